//! Raw records to events. The records come from our own programs, but are checked as if they did not:
//! what does not parse is named, counted by the caller and passed over.

mod within;

use super::task::WaitKind;
use super::{CgroupId, Entry, Event, Exec, Fork, Id, Sample, What, file};
use crate::bpf::types as wire;
use crate::method::arch::Arch;
use crate::method::facts::{Call, Fd, FdKind};
use crate::trace::text;
use std::mem::{offset_of, size_of};
use within::{addresses, connect, file_call, import, mark, wait};

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
    /// A process that made itself, or is its own parent.
    OwnParent {
        /// The process.
        pid: u32,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short { kind, len } => write!(f, "record of kind {kind} has only {len} bytes"),
            Self::Kind(kind) => write!(f, "unknown kind of record: {kind}"),
            Self::OwnParent { pid } => write!(f, "process {pid} is its own parent"),
        }
    }
}

impl std::error::Error for Error {}

// The generated types have no padding: the last field ends where the type ends. The C side says the
// same in event.h; a change there that is not regenerated cannot pass here.
const _: () = {
    assert!(size_of::<wire::event_head>() == 32);
    assert!(size_of::<wire::event_fd>() == 16);
    assert!(size_of::<wire::event_fork>() == 32 + 8 * 10 + 16 * 4 + 48 + 16);
    assert!(offset_of!(wire::event_fork, fds) == 32 + 8 * 10 + 16 * 4);
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
        wire::event_kind::EVENT_FORK => {
            let fork = fork(&read(head.kind, bytes)?.0);
            if fork.creator == id || fork.real_parent == id {
                return Err(Error::OwnParent { pid: id.pid });
            }
            What::Fork(Box::new(fork))
        }
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

fn fork(ev: &wire::event_fork) -> Fork {
    let facts = ev.facts;
    let compat = has(facts, wire::fact::FACT_COMPAT_CALL);
    let kernel = has(facts, wire::fact::FACT_KERNEL_PARENT);
    Fork {
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
        copied_bytes: some(ev.rss_bytes),
        comm: comm(ev.comm),
    }
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
