//! What happens within a start: waits, marks, imports, files and connects.

use super::{Error, c_string, comm, has, path, some, take};
use crate::bpf::types as wire;
use crate::event::task::{Connect, Mark, Moment, Socket, Spent, Usage, Wait, WaitKind, Waker};
use crate::event::{Import, ImportStep, file};
use crate::trace::text;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn spent(raw: &wire::event_spent) -> Spent {
    let blocked = WaitKind::ALL.into_iter().zip(raw.blocked_ns).filter(|(_, ns)| *ns != 0).collect();
    Spent {
        since_ns: raw.since_ns,
        until_ns: raw.until_ns,
        running_ns: raw.running_ns,
        runnable_ns: raw.runnable_ns,
        blocked,
    }
}

fn address(family: u16, bytes: [u8; 16], port: u16) -> Option<SocketAddr> {
    let ip = match i32::from(family) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

pub(super) fn socket(raw: &wire::event_sock, facts: u32) -> Option<Socket> {
    has(facts, wire::fact::FACT_SOCK).then(|| Socket {
        family: raw.family,
        kind: raw.r#type,
        state: raw.state,
        local: address(raw.family, raw.local, raw.local_port),
        peer: address(raw.family, raw.peer, raw.peer_port).filter(|peer| peer.port() != 0),
        peer_pid: (raw.peer_pid != 0).then_some(raw.peer_pid),
    })
}

/// What waits for random numbers but getrandom(2) reads here.
const RANDOM: &str = "/dev/random";

pub(super) fn wait(ev: &wire::event_wait, mut rest: &[u8]) -> Wait {
    let facts = ev.facts;
    let on_fd = wire::fd_kind(ev.fd_kind) != wire::fd_kind::FD_UNKNOWN;
    let (pid, tid) = (ev.waker_pid, ev.waker_tid);
    let socket = socket(&ev.sock, facts);
    let name = take(&mut rest, ev.path_len);
    let path = match (name, wire::fd_kind(ev.fd_kind)) {
        ([], wire::fd_kind::FD_NULL) => Some("/dev/null".to_owned()),
        ([], _) => None,
        (name, wire::fd_kind::FD_SOCKET)
            if socket.as_ref().is_some_and(|socket| i32::from(socket.family) == libc::AF_UNIX) =>
        {
            unix_name(name)
        }
        (name, kind) => {
            let path = path(name, has(facts, wire::fact::FACT_PATH_CUT));
            let is_folder = kind == wire::fd_kind::FD_FOLDER;
            path.map(|path| if is_folder && path != "/" { path + "/" } else { path })
        }
    };
    let kind = match WaitKind::ALL.get(ev.kind as usize).copied() {
        // The kernel side knows it for a device, as any other.
        Some(WaitKind::Device) if path.as_deref() == Some(RANDOM) => WaitKind::Random,
        known => known.unwrap_or(WaitKind::Other),
    };
    Wait {
        spent: spent(&ev.spent),
        off_ns: ev.off_ns,
        wake_ns: some(ev.wake_ns),
        kind,
        nr: (ev.nr >= 0).then_some(ev.nr),
        compat: has(facts, wire::fact::FACT_COMPAT_CALL),
        args: ev.args,
        timeout_ns: some(ev.timeout_ns),
        // What a page fault or a walk along a path came to is no descriptor.
        fd: (on_fd && ev.fd != u32::MAX).then_some(ev.fd),
        members: ev.members,
        is_pipe: wire::fd_kind(ev.fd_kind) == wire::fd_kind::FD_PIPE,
        inode: (on_fd && ev.inode != 0).then_some(ev.inode),
        path,
        socket,
        iowait: has(facts, wire::fact::FACT_IOWAIT),
        uninterruptible: has(facts, wire::fact::FACT_UNINTERRUPTIBLE),
        signal: has(facts, wire::fact::FACT_SIGNAL),
        waker: match wire::waker_kind(ev.waker_kind) {
            wire::waker_kind::WAKER_TASK => Waker::Task { pid, tid, comm: comm(ev.waker_comm) },
            wire::waker_kind::WAKER_KERNEL => Waker::Kernel { comm: comm(ev.waker_comm) },
            wire::waker_kind::WAKER_HARDIRQ => Waker::Hardirq,
            wire::waker_kind::WAKER_SOFTIRQ => Waker::Softirq { pid, tid, comm: comm(ev.waker_comm) },
            _ => Waker::Unknown,
        },
        waker_exact: has(facts, wire::fact::FACT_WAKER_EXACT),
        rival: (ev.rival_pid != 0).then(|| (ev.rival_pid, comm(ev.rival_comm))),
        rival_ns: some(ev.rival_ns),
    }
}

pub(super) fn mark(ev: &wire::event_mark, mut rest: &[u8]) -> Result<Mark, Error> {
    let moment = match wire::mark_kind(ev.mark) {
        wire::mark_kind::MARK_SUMS => Moment::Sums,
        wire::mark_kind::MARK_EXEC => Moment::Exec,
        wire::mark_kind::MARK_END => Moment::End,
        wire::mark_kind::MARK_LD_STATE => Moment::LdState,
        wire::mark_kind::MARK_LIBC_START => Moment::LibcStart,
        wire::mark_kind::MARK_LISTEN => Moment::Listen,
        wire::mark_kind::MARK_ACCEPT_WAIT => Moment::AcceptWait,
        wire::mark_kind::MARK_ACCEPTED => Moment::Accepted,
        wire::mark_kind::MARK_ANSWER => Moment::Answer,
        wire::mark_kind::MARK_NOTIFY => Moment::Notify,
        wire::mark_kind::MARK_NAME => Moment::Name,
        wire::mark_kind::MARK_OUTPUT => Moment::Output,
        wire::mark_kind::MARK_ENTRY => Moment::Entry,
        wire::mark_kind::MARK_THREAD_NAME => Moment::ThreadName,
        wire::mark_kind(mark) => return Err(Error::Kind(mark)),
    };
    let text = take(&mut rest, ev.text_len);
    let usage = &ev.usage;
    Ok(Mark {
        moment,
        spent: spent(&ev.spent),
        usage: Usage {
            user_ns: usage.user_ns,
            system_ns: usage.system_ns,
            minor_faults: usage.minor_faults,
            major_faults: usage.major_faults,
            voluntary: usage.voluntary,
            involuntary: usage.involuntary,
            read_bytes: usage.read_bytes,
            rss_bytes: usage.rss_bytes,
            threads: usage.threads,
        },
        value: ev.value,
        fd: (ev.fd != u32::MAX).then_some(ev.fd),
        socket: socket(&ev.sock, ev.facts),
        text: (!text.is_empty()).then(|| text::encode(text.strip_suffix(&[0]).unwrap_or(text))),
        inferred: has(ev.facts, wire::fact::FACT_INFERRED),
    })
}

pub(super) fn import(ev: &wire::event_import) -> Result<Import, Error> {
    let step = match wire::import_step(ev.step) {
        wire::import_step::IMPORT_BEGIN => ImportStep::Begin,
        wire::import_step::IMPORT_END => ImportStep::End,
        wire::import_step::IMPORT_WHOLE => ImportStep::Whole(ev.since_ns),
        wire::import_step(step) => return Err(Error::Kind(step)),
    };
    let name = ev.name.map(|b| b as u8);
    let name = name.get(..ev.name_len as usize).unwrap_or(&name);
    Ok(Import {
        step,
        module: module(name, ev.dots, ev.facts & wire::import_fact::IMPORT_NAME_CUT.0 != 0),
        found: ev.facts & wire::import_fact::IMPORT_FOUND.0 != 0,
        live_ns: some(ev.live_ns),
        shell: ev.facts & wire::import_fact::IMPORT_SHELL.0 != 0,
    })
}

/// A module's name. What is none was read from where this build of the runtime does not keep it.
pub(super) fn module(name: &[u8], dots: u32, cut: bool) -> Option<String> {
    let dots = dots.min(16) as usize;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-') || !b.is_ascii();
    if (name.is_empty() && dots == 0) || !name.iter().all(is_name) {
        return None;
    }
    let name = std::str::from_utf8(name).ok().or_else(|| {
        // Cut within a character.
        let whole = std::str::from_utf8(name).err().filter(|_| cut)?.valid_up_to();
        std::str::from_utf8(name.get(..whole)?).ok()
    })?;
    Some(format!("{}{name}{}", ".".repeat(dots), if cut { "..." } else { "" }))
}

/// What the kernel could not find out about a stack ends in zeros.
pub(super) fn addresses(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_ne_bytes));
    words.take_while(|address| *address != 0).collect()
}

pub(super) fn file_call(ev: &wire::event_file, mut rest: &[u8]) -> Result<file::Call, Error> {
    let op = match wire::file_op(ev.op) {
        wire::file_op::FILE_OPEN => file::Op::Open,
        wire::file_op::FILE_LOOK => file::Op::Look,
        wire::file_op(op) => return Err(Error::Kind(op)),
    };
    let is_regular = ev.facts & wire::file_fact::FILE_REGULAR.0 != 0;
    let cut = ev.facts & wire::file_fact::FILE_PATH_CUT.0 != 0;
    Ok(file::Call {
        since_ns: ev.since_ns,
        op,
        path: c_string(take(&mut rest, ev.path_len)).map(|path| if cut { path + "..." } else { path }),
        error: (ev.result < 0).then(|| ev.result.saturating_neg()),
        is_folder: ev.facts & wire::file_fact::FILE_FOLDER.0 != 0,
        is_regular,
        bytes: is_regular.then_some(ev.bytes),
    })
}

/// The name of a unix socket. That of an abstract one begins with a zero, and may hold more of them.
fn unix_name(name: &[u8]) -> Option<String> {
    match name {
        [] => None,
        [0, name @ ..] => {
            Some(format!("@{}", text::encode(name.split(|&b| b == 0).next().unwrap_or_default())))
        }
        name => Some(text::encode(name.split(|&b| b == 0).next().unwrap_or_default())),
    }
}

pub(super) fn connect(ev: &wire::event_connect, mut rest: &[u8]) -> Connect {
    let path = unix_name(take(&mut rest, ev.path_len));
    Connect {
        since_ns: some(ev.since_ns),
        failed: ev.failed != 0,
        // Of what the kernel cannot have written nothing is known.
        error: (1..4096).contains(&ev.error).then_some(ev.error),
        given_up: has(ev.facts, wire::fact::FACT_GIVEN_UP),
        socket: socket(&ev.sock, ev.facts),
        path,
    }
}
