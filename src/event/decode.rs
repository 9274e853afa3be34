//! Raw records to events. The records come from our own programs, but are checked as if they did not:
//! what does not parse is named, counted by the caller and passed over.

use super::file;
use super::task::{Connect, Mark, Moment, Socket, Spent, Usage, Wait, WaitKind, Waker};
use super::{CgroupId, Entry, Event, Exec, Fork, Id, Import, ImportStep, Sample, What};
use crate::bpf::types as wire;
use crate::method::arch::Arch;
use crate::method::facts::{Call, Fd, FdKind};
use crate::trace::text;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a record was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its kind, or than it says itself.
    Short {
        /// Kind of the record.
        kind: u32,
        /// Bytes that came.
        len: usize,
    },
    /// A kind that this version does not know.
    Kind(u32),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short { kind, len } => write!(f, "record of kind {kind} has only {len} bytes"),
            Self::Kind(kind) => write!(f, "unknown kind of record: {kind}"),
        }
    }
}

impl std::error::Error for Error {}

// The generated types have no padding: the last field ends where the type ends. The C side says the
// same in event.h; a change there that is not regenerated cannot pass here.
const _: () = {
    assert!(size_of::<wire::event_head>() == 32);
    assert!(size_of::<wire::event_fd>() == 16);
    assert!(size_of::<wire::event_fork>() == 32 + 8 * 9 + 16 * 4 + 48 + 16);
    assert!(offset_of!(wire::event_fork, fds) == 32 + 8 * 9 + 16 * 4);
    assert!(size_of::<wire::event_run>() == 48);
    assert!(size_of::<wire::event_exec>() == 32 + 5 * 8 + 16 * 4 + 64 + 16);
    assert!(offset_of!(wire::event_exec, fds) == 32 + 5 * 8 + 16 * 4);
    assert!(size_of::<wire::event_exec_fail>() == 56);
    assert!(size_of::<wire::event_fork_fail>() == 48);
    assert!(size_of::<wire::event_exit>() == 32 + 8 + 6 * 4 + 48 + 16);
    assert!(size_of::<wire::event_cgroup>() == 48);
    assert!(size_of::<wire::event_spent>() == 32 + 8 * WaitKind::ALL.len());
    assert!(size_of::<wire::event_sock>() == 48);
    assert!(size_of::<wire::event_wait>() == 32 + 192 + 8 * 8 + 4 * 12 + 48 + 32);
    assert!(offset_of!(wire::event_wait, sock) == 32 + 192 + 8 * 8 + 4 * 12);
    assert!(size_of::<wire::event_usage>() == 72);
    assert!(size_of::<wire::event_mark>() == 32 + 192 + 72 + 8 + 16 + 48);
    assert!(size_of::<wire::event_import>() == 32 + 16 + 16 + 112);
    assert!(offset_of!(wire::event_import, name) == 32 + 16 + 16);
    assert!(size_of::<wire::event_file>() == 32 + 16 + 16);
    assert!(size_of::<wire::event_files>() == 32 + 16 + 16);
    assert!(size_of::<wire::event_sample>() == 40);
    assert!(size_of::<wire::event_connect>() == 32 + 8 + 16 + 48);
    assert!(offset_of!(wire::event_connect, sock) == 32 + 8 + 16);
    assert!(size_of::<wire::event_signal>() == 32 + 16 + 16);
    assert!(size_of::<wire::seed>() == 16);
};

/// Types of which every bit pattern is a value.
///
/// # Safety
/// `repr(C)`, only integers and arrays of them.
unsafe trait Plain: Copy {}

// SAFETY: generated from event.h, which holds nothing but fixed-width integers and arrays of them.
unsafe impl Plain for wire::event_head {}
// SAFETY: as above.
unsafe impl Plain for wire::event_fork {}
// SAFETY: as above.
unsafe impl Plain for wire::event_run {}
// SAFETY: as above.
unsafe impl Plain for wire::event_exec {}
// SAFETY: as above.
unsafe impl Plain for wire::event_exec_fail {}
// SAFETY: as above.
unsafe impl Plain for wire::event_fork_fail {}
// SAFETY: as above.
unsafe impl Plain for wire::event_exit {}
// SAFETY: as above.
unsafe impl Plain for wire::event_cgroup {}
// SAFETY: as above.
unsafe impl Plain for wire::event_wait {}
// SAFETY: as above.
unsafe impl Plain for wire::event_mark {}
// SAFETY: as above.
unsafe impl Plain for wire::event_import {}
// SAFETY: as above.
unsafe impl Plain for wire::event_file {}
// SAFETY: as above.
unsafe impl Plain for wire::event_files {}
// SAFETY: as above.
unsafe impl Plain for wire::event_sample {}
// SAFETY: as above.
unsafe impl Plain for wire::event_connect {}
// SAFETY: as above.
unsafe impl Plain for wire::event_signal {}
// SAFETY: as above.
unsafe impl Plain for wire::seed {}

fn read<T: Plain>(kind: u32, bytes: &[u8]) -> Result<(T, &[u8]), Error> {
    if bytes.len() < size_of::<T>() {
        return Err(Error::Short { kind, len: bytes.len() });
    }
    // SAFETY: the length was checked, `T` is valid for every bit pattern, and the read is unaligned.
    let value = unsafe { bytes.as_ptr().cast::<T>().read_unaligned() };
    Ok((value, &bytes[size_of::<T>()..]))
}

fn has(facts: u32, fact: wire::fact) -> bool {
    facts & fact.0 != 0
}

fn some(ns: u64) -> Option<u64> {
    (ns != 0).then_some(ns)
}

fn entry(ns: u64, facts: u32) -> Option<Entry> {
    some(ns).map(|ns| {
        if has(facts, wire::fact::FACT_ENTRY_IS_MM_ALLOC) { Entry::MmAlloc(ns) } else { Entry::Exact(ns) }
    })
}

fn foreground(facts: u32) -> Option<bool> {
    has(facts, wire::fact::FACT_FOREGROUND_KNOWN).then_some(has(facts, wire::fact::FACT_FOREGROUND))
}

fn number(n: u32) -> Option<u32> {
    (n != 0).then_some(n)
}

fn comm(raw: [i8; 16]) -> String {
    let bytes = raw.map(|b| b as u8);
    text::encode(bytes.split(|&b| b == 0).next().unwrap_or_default())
}

fn fds<const N: usize>(raw: [wire::event_fd; N], facts: u32) -> [Fd; N] {
    if !has(facts, wire::fact::FACT_FDS_KNOWN) {
        return [Fd::default(); N];
    }
    raw.map(|fd| Fd {
        kind: match wire::fd_kind(fd.kind) {
            wire::fd_kind::FD_CLOSED => FdKind::Closed,
            wire::fd_kind::FD_NULL => FdKind::Null,
            wire::fd_kind::FD_PIPE => FdKind::Pipe,
            wire::fd_kind::FD_TTY => FdKind::Tty,
            wire::fd_kind::FD_FILE => FdKind::File,
            wire::fd_kind::FD_SOCKET => FdKind::Socket,
            wire::fd_kind::FD_OTHER => FdKind::Other,
            _ => FdKind::Unknown,
        },
        inode: fd.inode,
    })
}

/// The system call that a number names here.
fn call(nr: i32, compat: bool, kernel: bool) -> Call {
    if kernel { Call::Kernel } else { Arch::HERE.call(nr, compat) }
}

/// Takes `len` bytes from the front; fewer where the record was cut.
fn take<'a>(rest: &mut &'a [u8], len: u32) -> &'a [u8] {
    let len = (len as usize).min(rest.len());
    let (head, tail) = rest.split_at(len);
    *rest = tail;
    head
}

fn c_string(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| text::encode(bytes.split(|&b| b == 0).next().unwrap_or_default()))
}

/// A path from its components, leaf first, each with its NUL.
fn path(bytes: &[u8], cut: bool) -> Option<String> {
    let mut out = Vec::with_capacity(bytes.len() + 4);
    if cut {
        out.extend_from_slice(b"...");
    }
    let names = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    for name in names.rsplit(|&b| b == 0).filter(|name| !name.is_empty()) {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(text::encode(&out))
}

/// Arguments from the argument area. `argc` bounds them: a program may have rewritten the area, and
/// with argc 0 the kernel itself puts one empty argument there.
fn argv(bytes: &[u8], argc: u32, truncated: bool) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let whole = if truncated { bytes } else { bytes.strip_suffix(&[0]).unwrap_or(bytes) };
    whole.split(|&b| b == 0).take(argc.max(1) as usize).map(text::encode).collect()
}

/// Decodes one record.
///
/// # Errors
/// A record that is shorter than its kind demands, or of a kind that is not known.
pub fn record(bytes: &[u8]) -> Result<Event, Error> {
    let (head, _) = read::<wire::event_head>(0, bytes)?;
    let id = Id { pid: head.pid, birth_ns: head.birth_ns };
    if (head.size as usize) > bytes.len() {
        return Err(Error::Short { kind: head.kind, len: bytes.len() });
    }
    let what = match wire::event_kind(head.kind) {
        wire::event_kind::EVENT_FORK => fork(&read(head.kind, bytes)?.0),
        wire::event_kind::EVENT_RUN => {
            let (ev, _) = read::<wire::event_run>(head.kind, bytes)?;
            What::Run { wakeup_ns: some(ev.wakeup_ns), run_ns: some(ev.run_ns) }
        }
        wire::event_kind::EVENT_EXEC => {
            let (ev, rest) = read(head.kind, bytes)?;
            exec(&ev, rest)
        }
        wire::event_kind::EVENT_EXEC_FAIL => {
            let (ev, mut rest) = read::<wire::event_exec_fail>(head.kind, bytes)?;
            What::ExecFail {
                entry_ns: some(ev.entry_ns),
                errno: (ev.error != 0).then_some(ev.error),
                path: c_string(take(&mut rest, ev.path_len)),
            }
        }
        wire::event_kind::EVENT_FORK_FAIL => {
            let (ev, _) = read::<wire::event_fork_fail>(head.kind, bytes)?;
            What::ForkFail { entry_ns: some(ev.entry_ns), errno: ev.error, call: call(ev.nr, false, false) }
        }
        wire::event_kind::EVENT_EXIT => {
            let (ev, _) = read::<wire::event_exit>(head.kind, bytes)?;
            What::Exit {
                status: ev.exit_code,
                uid: ev.uid,
                gid: ev.gid,
                comm: comm(ev.comm),
                session_leader: has(ev.facts, wire::fact::FACT_SESSION_LEADER),
                has_tty: has(ev.facts, wire::fact::FACT_HAS_TTY),
                group: number(ev.group),
                foreground: foreground(ev.facts),
                stdio: fds(ev.fds, ev.facts),
                ignored: ev.sig_ignored.into(),
                written: has(ev.facts, wire::fact::FACT_WRITTEN_KNOWN).then_some(ev.written),
                null_on_pipe: has(ev.facts, wire::fact::FACT_PIPE_FD_KNOWN)
                    .then_some(has(ev.facts, wire::fact::FACT_NULL_ON_PIPE_FD)),
            }
        }
        wire::event_kind::EVENT_CGROUP => {
            let (ev, mut rest) = read::<wire::event_cgroup>(head.kind, bytes)?;
            let name = path(take(&mut rest, ev.path_len), false).unwrap_or_default();
            let v1 = has(ev.facts, wire::fact::FACT_CGROUP_V1);
            What::Cgroup { cgroup: CgroupId { id: ev.cgroup_id, v1 }, path: name }
        }
        wire::event_kind::EVENT_WAIT => {
            let (ev, rest) = read(head.kind, bytes)?;
            What::Wait(Box::new(wait(&ev, rest)))
        }
        wire::event_kind::EVENT_MARK => {
            let (ev, rest) = read(head.kind, bytes)?;
            What::Mark(Box::new(mark(&ev, rest)?))
        }
        wire::event_kind::EVENT_IMPORT => {
            let (ev, _) = read(head.kind, bytes)?;
            What::Import(Box::new(import(&ev)?))
        }
        wire::event_kind::EVENT_FILE => {
            let (ev, rest) = read(head.kind, bytes)?;
            What::File(Box::new(file_call(&ev, rest)?))
        }
        wire::event_kind::EVENT_FILES => {
            let (ev, _) = read::<wire::event_files>(head.kind, bytes)?;
            What::Files(Box::new(file::Sums {
                since_ns: ev.since_ns,
                spent_ns: ev.spent_ns,
                opened: ev.opened,
                open_failed: ev.open_failed,
                found: ev.found,
                missed: ev.missed,
            }))
        }
        wire::event_kind::EVENT_CONNECT => {
            let (ev, rest) = read(head.kind, bytes)?;
            What::Connect(Box::new(connect(&ev, rest)))
        }
        wire::event_kind::EVENT_SIGNAL => {
            let (ev, _) = read::<wire::event_signal>(head.kind, bytes)?;
            let by = Id { pid: ev.sender_pid, birth_ns: ev.sender_birth_ns };
            What::Signal { signal: ev.signal, by, comm: comm(ev.comm) }
        }
        wire::event_kind::EVENT_SAMPLE => {
            let (ev, mut rest) = read::<wire::event_sample>(head.kind, bytes)?;
            let kernel = addresses(take(&mut rest, ev.kernel_len));
            What::Sample(Box::new(Sample { kernel, user: addresses(take(&mut rest, ev.user_len)) }))
        }
        wire::event_kind(kind) => return Err(Error::Kind(kind)),
    };
    Ok(Event { time_ns: head.time_ns, id, tid: head.tid, what })
}

fn fork(ev: &wire::event_fork) -> What {
    let facts = ev.facts;
    let compat = has(facts, wire::fact::FACT_COMPAT_CALL);
    let kernel = has(facts, wire::fact::FACT_KERNEL_PARENT);
    What::Fork(Box::new(Fork {
        entry: entry(ev.entry_ns, facts),
        creator: Id { pid: ev.parent_pid, birth_ns: ev.parent_birth_ns },
        creator_tid: ev.parent_tid,
        real_parent: Id { pid: ev.real_parent_pid, birth_ns: ev.real_parent_birth_ns },
        call: call(ev.nr, compat, kernel),
        compat,
        flags: ev.clone_flags,
        exit_signal: ev.exit_signal,
        stack_delta: has(facts, wire::fact::FACT_STACK_KNOWN).then_some(ev.stack_delta),
        blocked: ev.blocked,
        ignored: ev.sig_ignored.into(),
        handled: ev.sig_handled.into(),
        threads: ev.parent_threads,
        uid: ev.uid,
        gid: ev.gid,
        ns_pid: ev.ns_pid,
        new_pid_ns: has(facts, wire::fact::FACT_NEW_PID_NS),
        kernel_parent: kernel,
        session_leader: has(facts, wire::fact::FACT_SESSION_LEADER),
        has_tty: has(facts, wire::fact::FACT_HAS_TTY),
        root: has(facts, wire::fact::FACT_ROOT),
        fresh_pipes: has(facts, wire::fact::FACT_PIPES_KNOWN).then_some(ev.fresh_pipes.min(2) as u8),
        fresh_pipes_cloexec: has(facts, wire::fact::FACT_PIPES_CLOEXEC),
        first_pipe_fd: number(ev.first_pipe_fd),
        group: number(ev.group),
        stdio: fds(ev.fds, facts),
        cgroup: CgroupId { id: ev.cgroup_id, v1: has(facts, wire::fact::FACT_CGROUP_V1) },
        peer: (ev.peer_pid != 0).then_some((ev.peer_pid, ev.peer_ns)),
        waited_ns: some(ev.waited_ns),
        comm: comm(ev.comm),
    }))
}

fn exec(ev: &wire::event_exec, mut rest: &[u8]) -> What {
    let facts = ev.facts;
    let [stdin, stdout, stderr, fd3] = fds(ev.fds, facts);
    let filename = take(&mut rest, ev.filename_len);
    let interp = take(&mut rest, ev.interp_len);
    let exe = take(&mut rest, ev.exe_len);
    let cwd = take(&mut rest, ev.cwd_len);
    let within = take(&mut rest, ev.within_len);
    let area = take(&mut rest, ev.argv_len);
    let truncated = (area.len() as u64) < ev.argv_true;
    let lost = has(facts, wire::fact::FACT_NO_SCRATCH);
    let unreadable = has(facts, wire::fact::FACT_ARGV_UNREADABLE);
    let mut exe = if lost { None } else { path(exe, has(facts, wire::fact::FACT_EXE_CUT)) };
    if has(facts, wire::fact::FACT_EXE_DELETED) {
        exe = exe.map(|exe| exe + " (deleted)");
    }
    What::Exec(Box::new(Exec {
        entry: entry(ev.entry_ns, facts),
        prepare_ns: some(ev.prepare_ns),
        old_tid: ev.old_tid,
        path: c_string(filename),
        interpreter: c_string(interp),
        exe,
        within: if within.is_empty() { None } else { path(within, false) },
        cwd: if lost { None } else { path(cwd, has(facts, wire::fact::FACT_CWD_CUT)) },
        argv: (!lost && !unreadable).then(|| argv(area, ev.argc, truncated)),
        argv_bytes: ev.argv_true,
        argv_truncated: truncated,
        argc: ev.argc,
        dev: ev.dev,
        inode: ev.inode,
        uid: ev.uid,
        gid: ev.gid,
        ns_pid: ev.ns_pid,
        session_leader: has(facts, wire::fact::FACT_SESSION_LEADER),
        has_tty: has(facts, wire::fact::FACT_HAS_TTY),
        group: number(ev.group),
        foreground: foreground(facts),
        stdio: [stdin, stdout, stderr],
        fd3,
        ignored: ev.sig_ignored.into(),
        cgroup: CgroupId { id: ev.cgroup_id, v1: has(facts, wire::fact::FACT_CGROUP_V1) },
        comm: comm(ev.comm),
        strings_lost: lost,
        loader_tells: false,
    }))
}

fn spent(raw: &wire::event_spent) -> Spent {
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

fn socket(raw: &wire::event_sock, facts: u32) -> Option<Socket> {
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

fn wait(ev: &wire::event_wait, mut rest: &[u8]) -> Wait {
    let facts = ev.facts;
    let on_fd = wire::fd_kind(ev.fd_kind) != wire::fd_kind::FD_UNKNOWN;
    let (pid, tid) = (ev.waker_pid, ev.waker_tid);
    let name = take(&mut rest, ev.path_len);
    let path = if name.is_empty() { None } else { path(name, has(facts, wire::fact::FACT_PATH_CUT)) };
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
        fd: on_fd.then_some(ev.fd),
        inode: (on_fd && ev.inode != 0).then_some(ev.inode),
        path,
        socket: socket(&ev.sock, facts),
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

fn mark(ev: &wire::event_mark, mut rest: &[u8]) -> Result<Mark, Error> {
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

fn import(ev: &wire::event_import) -> Result<Import, Error> {
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
    })
}

/// A module's name. What is none was read from where this build of the runtime does not keep it.
fn module(name: &[u8], dots: u32, cut: bool) -> Option<String> {
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
fn addresses(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_ne_bytes));
    words.take_while(|address| *address != 0).collect()
}

fn file_call(ev: &wire::event_file, mut rest: &[u8]) -> Result<file::Call, Error> {
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

fn connect(ev: &wire::event_connect, mut rest: &[u8]) -> Connect {
    // The name of an abstract socket begins with a zero, and may hold more of them.
    let path = match take(&mut rest, ev.path_len) {
        [] => None,
        [0, name @ ..] => {
            Some(format!("@{}", text::encode(name.split(|&b| b == 0).next().unwrap_or_default())))
        }
        name => Some(text::encode(name.split(|&b| b == 0).next().unwrap_or_default())),
    };
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

/// A process that the seeding iterator found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// Which.
    pub id: Id,
    /// Marked by this pass.
    pub fresh: bool,
}

/// Decodes what one pass of the seeding iterator wrote. An incomplete last record is left out.
pub fn seeds(bytes: &[u8]) -> Vec<Seed> {
    bytes
        .chunks_exact(size_of::<wire::seed>())
        .filter_map(|chunk| read::<wire::seed>(0, chunk).ok())
        .map(|(seed, _)| Seed { id: Id { pid: seed.pid, birth_ns: seed.birth_ns }, fresh: seed.fresh != 0 })
        .collect()
}

#[cfg(test)]
mod tests;
