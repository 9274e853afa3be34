//! Events: what the kernel side told, decoded, and the stream they come in.
//!
//! Everything right of this module is pure: a recorded stream of these events (with the answers that
//! user space gave about processes and files, see [`crate::timeline::world`]) replays to the same trace.

pub mod decode;
pub mod file;
pub mod order;
pub mod task;

use crate::method::facts::{Call, Fd};
use serde::{Deserialize, Serialize};

/// A process on this boot: its id (tgid in the initial PID namespace) and when it was created.
///
/// The kernel keeps the creation time across exec, also when another thread than the leader execs,
/// so the pair is an identity; a pid alone is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    /// Process id (tgid).
    pub pid: u32,
    /// `start_boottime` in nanoseconds.
    pub birth_ns: u64,
}

impl Id {
    /// From `PID@BIRTH`, as a trace writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, birth_ns) = text.split_once('@')?;
        Some(Self { pid: pid.parse().ok()?, birth_ns: birth_ns.parse().ok()? })
    }

    /// `PID@BIRTH`; dozens of times a start, so without the way through a formatter.
    pub fn text(self) -> String {
        let mut text = String::with_capacity(32);
        text.push_str(itoa::Buffer::new().format(self.pid));
        text.push('@');
        text.push_str(itoa::Buffer::new().format(self.birth_ns));
        text
    }

    /// `PID@BIRTH/SEQ`, the id of one of the process's starts.
    pub fn start(self, seq: u32) -> String {
        let mut text = self.text();
        text.push('/');
        text.push_str(itoa::Buffer::new().format(seq));
        text
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.pid, self.birth_ns)
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, boottime nanoseconds.
    pub time_ns: u64,
    /// Which process.
    pub id: Id,
    /// Which of its tasks.
    pub tid: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The process was created.
    Fork(Box<Fork>),
    /// It is on a CPU for the first time.
    Run {
        /// When it became runnable.
        wakeup_ns: Option<u64>,
        /// When it got there; earlier than the event where only a later one told, `None` where nothing
        /// tells.
        run_ns: Option<u64>,
    },
    /// A new image is in place.
    Exec(Box<Exec>),
    /// An exec failed.
    ExecFail {
        /// Entry into the call.
        entry_ns: Option<u64>,
        /// Positive errno; `None` where only the failure was seen.
        errno: Option<i32>,
        /// The path asked for.
        path: Option<String>,
    },
    /// The process called fork, vfork or clone, and that failed.
    ForkFail {
        /// Entry into the call.
        entry_ns: Option<u64>,
        /// Positive errno.
        errno: i32,
        /// Which call.
        call: Call,
    },
    /// Its last thread has ended.
    Exit {
        /// As wait(2) gives it.
        status: u32,
        /// Effective user id at the end.
        uid: u32,
        /// Effective group id at the end.
        gid: u32,
        /// Task name at the end.
        comm: String,
        /// Leader of its session.
        session_leader: bool,
        /// Has a controlling terminal.
        has_tty: bool,
        /// Process group.
        group: Option<u32>,
        /// That is the foreground group of its terminal; `None` without one.
        foreground: Option<bool>,
        /// Descriptors 0, 1 and 2, told where there was no exec.
        stdio: [Fd; 3],
        /// Signals ignored (of HUP, INT, QUIT, PIPE, TERM, CHLD).
        ignored: u64,
        /// Bytes given to write calls; told where there was no exec.
        written: Option<u64>,
        /// /dev/null has the number that the creator's first fresh pipe had.
        null_on_pipe: Option<bool>,
    },
    /// It was sent a signal that it does not handle. Where it ends by it, that is who did it.
    Signal {
        /// Which.
        signal: u32,
        /// The process that sent it.
        by: Id,
        /// Its name.
        comm: String,
    },
    /// A task of a start waited.
    Wait(Box<task::Wait>),
    /// A task of a start passed a moment.
    Mark(Box<task::Mark>),
    /// A language runtime imports.
    Import(Box<Import>),
    /// A call that names a file has returned.
    File(Box<file::Call>),
    /// Such calls that are not told singly.
    Files(Box<file::Sums>),
    /// An attempt to connect is over; the event's task is the one that began it.
    Connect(Box<task::Connect>),
    /// A task was on its CPU when it was looked at.
    Sample(Box<Sample>),
    /// The name of a cgroup.
    Cgroup {
        /// Its id as in other events.
        cgroup: CgroupId,
        /// Path from the root of its hierarchy.
        path: String,
    },
}

/// A step of an import, as CPython takes it in `import_find_and_load`: for modules that are not loaded yet,
/// as `-X importtime` lists them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Which; the event's time is its own.
    pub step: ImportStep,
    /// The module's full name where the runtime told it at that place, else the name as the statement has
    /// it, with its leading dots. `None` where it is no name or could not be read.
    pub module: Option<String>,
    /// At the end: the module is there.
    pub found: bool,
    /// Since when all imports of this interpreter are told; `None`: not yet.
    pub live_ns: Option<u64>,
    /// No import: a shell begins or ends to read a file of commands, which it opens next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shell: bool,
}

/// Where a task was on its CPU: return addresses, leaf first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// In the kernel; empty where it ran in the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<u64>,
    /// In the program, as far as frame pointers lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<u64>,
}

/// The steps of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStep {
    /// It begins.
    #[default]
    Begin,
    /// It ends; the latest of this task that began and has the same name.
    End,
    /// It ends, and began at this time.
    Whole(u64),
}

/// A cgroup's number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CgroupId {
    /// kernfs id.
    pub id: u64,
    /// In the hierarchy of the v1 cpu controller.
    pub v1: bool,
}

/// How exactly an entry into fork or exec is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The entry itself.
    Exact(u64),
    /// The allocation of the new address space, some 20 to 60 us later.
    MmAlloc(u64),
}

impl Entry {
    /// The time, boottime nanoseconds.
    pub fn ns(self) -> u64 {
        match self {
            Self::Exact(ns) | Self::MmAlloc(ns) => ns,
        }
    }
}

/// The creation of a process, in its creator's context.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// Entry into the call.
    pub entry: Option<Entry>,
    /// The process that called.
    pub creator: Id,
    /// The task that called.
    pub creator_tid: u32,
    /// The kernel's parent, which is another with `CLONE_PARENT`.
    pub real_parent: Id,
    /// The call.
    pub call: Call,
    /// Made by a 32-bit call, whose number counts in another table.
    pub compat: bool,
    /// 64-bit clone flags.
    pub flags: u64,
    /// Signal to the parent at the end; 0 for none.
    pub exit_signal: u32,
    /// Child's stack pointer less the creator's.
    pub stack_delta: Option<i64>,
    /// Signals blocked in the creating task.
    pub blocked: u64,
    /// Signals ignored (of HUP, INT, QUIT, PIPE, TERM, CHLD).
    pub ignored: u64,
    /// Signals handled (of the same).
    pub handled: u64,
    /// Threads of the creator.
    pub threads: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id in its own PID namespace.
    pub ns_pid: u32,
    /// The child's PID namespace is below the creator's.
    pub new_pid_ns: bool,
    /// The creator is a kernel thread.
    pub kernel_parent: bool,
    /// The creator leads its session.
    pub session_leader: bool,
    /// The creator has a controlling terminal.
    pub has_tty: bool,
    /// The process that the recording itself started.
    pub root: bool,
    /// Pairs of pipe ends that are the creator's newest descriptors.
    pub fresh_pipes: Option<u8>,
    /// Those ends are close-on-exec.
    pub fresh_pipes_cloexec: bool,
    /// The lowest number among those ends.
    pub first_pipe_fd: Option<u32>,
    /// The creator's process group.
    pub group: Option<u32>,
    /// The creator's descriptors 0, 1 and 2.
    pub stdio: [Fd; 3],
    /// Cgroup.
    pub cgroup: CgroupId,
    /// The other end of the unix socket that the creator read last, and when.
    pub peer: Option<(u32, u64)>,
    /// How long the creator waited for a CPU since the entry into the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ns: Option<u64>,
    /// Resident memory of the creator, of which the page tables were copied; `None` where it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<u64>,
    /// Task name.
    pub comm: String,
}

/// A new image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// Entry into the call.
    pub entry: Option<Entry>,
    /// The point of no return.
    pub prepare_ns: Option<u64>,
    /// The calling thread's id before the call: not the pid for a thread that is not the leader.
    pub old_tid: u32,
    /// The path asked for (`/dev/fd/N` for execveat on a descriptor).
    pub path: Option<String>,
    /// The interpreter of a `#!` line, or of binfmt_misc.
    pub interpreter: Option<String>,
    /// Resolved path of the image, as the process itself sees it; ` (deleted)` is appended where so.
    pub exe: Option<String>,
    /// Path of the image within its file system, where the process has another root than startrace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Working directory, as [`Self::exe`].
    pub cwd: Option<String>,
    /// Arguments, as many as were carried.
    pub argv: Option<Vec<String>>,
    /// Bytes of the argument area.
    pub argv_bytes: u64,
    /// Less than that was carried.
    pub argv_truncated: bool,
    /// Number of arguments as the kernel counted them.
    pub argc: u32,
    /// Device of the image's file system, as `(major << 20) | minor`.
    pub dev: u32,
    /// Inode of the image.
    pub inode: u64,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id in its own PID namespace.
    pub ns_pid: u32,
    /// Leader of its session.
    pub session_leader: bool,
    /// Has a controlling terminal.
    pub has_tty: bool,
    /// Process group.
    pub group: Option<u32>,
    /// That is the foreground group of its terminal; `None` without one.
    pub foreground: Option<bool>,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Fd; 3],
    /// Descriptor 3.
    pub fd3: Fd,
    /// Signals ignored (of HUP, INT, QUIT, PIPE, TERM, CHLD).
    pub ignored: u64,
    /// Cgroup.
    pub cgroup: CgroupId,
    /// Task name.
    pub comm: String,
    /// Strings are missing because no buffer was free.
    pub strings_lost: bool,
    /// Its loader had been probed by then, so that it tells what it does: said by user space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loader_tells: bool,
}

#[cfg(test)]
impl What {
    /// The end of a process, of which nothing else is known.
    pub(crate) fn exit_of(comm: &str) -> Self {
        Self::Exit {
            status: 0,
            uid: 0,
            gid: 0,
            comm: comm.into(),
            session_leader: false,
            group: None,
            foreground: None,
            has_tty: false,
            stdio: Default::default(),
            ignored: 0,
            written: None,
            null_on_pipe: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_it_says() {
        let id = Id { pid: 7, birth_ns: 12 };
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_eq!((id.text(), id.start(3)), (id.to_string(), format!("{id}/3")));
        assert_eq!(Id::parse("7"), None);
        assert_eq!(Id::parse("x@1"), None);
    }
}
