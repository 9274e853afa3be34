//! What is known of one start when its method is named: plain data, gathered by the timeline builder.
//!
//! Rules read this and nothing else. Every field is a fact that was observed; `None` means that it
//! was not, never that it is false.

use super::arch::Arch;
use serde::{Deserialize, Serialize};

/// All that is known of one start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Architecture of the machine: it decides which system calls there are.
    #[serde(default)]
    pub arch: Arch,
    /// The fork, vfork or clone; `None` for an exec in place and for a creation that was not observed.
    pub creation: Option<Creation>,
    /// The start is an exec of a process whose earlier start was over.
    pub exec_in_place: bool,
    /// The image of the process that created this one, at that moment; for an exec in place, the
    /// image that was replaced.
    pub parent: Option<Image>,
    /// The method of the creator's own current start, where the trace has it.
    pub parent_method: Option<ParentMethod>,
    /// The execs of this start, failed ones too, in order of time.
    pub execs: Vec<ExecFact>,
    /// The image at the end of the start (the parent's, where there was no exec).
    pub image: Image,
    /// What the process did and what became of it.
    pub child: Child,
    /// The other processes that the same creator made.
    pub siblings: Siblings,
    /// The peer of the unix stream socket that the creating task read last before it forked.
    pub peer: Option<Peer>,
}

/// The creation of a process as the kernel saw it, at `task_newtask` in the creator's context.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Creation {
    /// Which system call did it.
    pub call: Call,
    /// The 64 bits of clone flags, without the exit signal's byte.
    pub flags: u64,
    /// Signal to the parent at the end; 0 for none.
    pub exit_signal: u32,
    /// The child's stack pointer less the parent's. 0: same stack (fork, vfork, Go); below 1 MiB:
    /// a buffer in the caller's frame (musl posix_spawn); more: a stack of its own (glibc posix_spawn).
    pub stack_delta: Option<i64>,
    /// Signals blocked in the creating thread (bit 0 is signal 1).
    pub blocked: u64,
    /// Of HUP, INT, QUIT, PIPE, TERM and CHLD, those ignored by the creating process (bit 0 is signal 1).
    pub ignored: u64,
    /// Of the same signals, those with a handler.
    pub handled: u64,
    /// The creating thread is not the leader of its process.
    pub by_thread: bool,
    /// Id of the creating thread, for people.
    #[serde(default)]
    pub tid: Option<u32>,
    /// Threads of the creating process at that moment.
    pub parent_threads: u32,
    /// The creator is a kernel thread.
    pub kernel_parent: bool,
    /// The creator was the leader of a session.
    pub parent_session_leader: bool,
    /// The child's parent in the kernel is not the creator (`CLONE_PARENT`).
    pub parent_is_other: bool,
    /// The child is in a PID namespace below the creator's.
    pub new_pid_namespace: bool,
    /// Pairs (0, 1 or 2) of pipe ends, read end and write end of one pipe, that are the newest
    /// descriptors of the creator: pipes made just before the fork. Not read for `CLONE_VM`.
    pub fresh_pipes: Option<u8>,
    /// All ends in `fresh_pipes` are close-on-exec.
    pub fresh_pipes_cloexec: bool,
    /// Descriptors 0, 1 and 2 of the creator.
    pub stdio: [Fd; 3],
    /// The same when its image began: mksh and ksh93 put a pipeline's ends onto their own
    /// descriptors before they fork.
    #[serde(default)]
    pub image_stdio: [Fd; 3],
}

/// The system call that created a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// `fork`
    Fork,
    /// `vfork`
    Vfork,
    /// `clone`
    Clone,
    /// `clone3`
    Clone3,
    /// No system call: the kernel itself.
    Kernel,
    /// Not known (an unexpected number).
    #[default]
    Unknown,
}

/// A program in memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Resolved path of the executable, encoded as in [`crate::trace::text`]. A `memfd:` prefix or a
    /// ` (deleted)` suffix is kept.
    pub exe: Option<String>,
    /// Arguments as given to its exec.
    pub argv: Option<Vec<String>>,
    /// The same with its credentials replaced, where it has any: what is shown of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<Vec<String>>,
    /// Task name: evidence of nothing, shown to people.
    pub comm: String,
    /// The script, where the kernel took the executable from a `#!` line.
    pub script: Option<String>,
    /// Runtime as in [`crate::trace::schema::Binary::runtime`], from ELF facts.
    pub runtime: Option<String>,
    /// The program that its ELF file shows it to be, as in [`crate::trace::schema::Binary::program`].
    #[serde(default)]
    pub program: Option<String>,
    /// Its name is a program's that its ELF file shows it not to be, as in
    /// [`crate::trace::schema::Binary::misnamed`].
    #[serde(default)]
    pub misnamed: Option<bool>,
    /// `dynamic`, `static`, `static-pie`.
    pub linkage: Option<String>,
    /// ELF interpreter: tells glibc from musl for dynamic programs.
    pub interpreter: Option<String>,
    /// GNU build-id.
    pub build_id: Option<String>,
    /// Device and inode of the executable.
    pub file: Option<(u64, u64)>,
}

impl Image {
    /// Arguments as they may be shown.
    pub fn shown(&self) -> Option<&[String]> {
        self.redacted.as_deref().or(self.argv.as_deref())
    }
}

/// The method of the creator's own start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParentMethod {
    /// Its mechanism.
    pub mechanism: Option<String>,
    /// Its library.
    pub library: Option<String>,
    /// Its pattern.
    pub pattern: Option<String>,
}

/// One exec of the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecFact {
    /// Entry, from the origin of the start.
    pub at_ns: u64,
    /// The path asked for.
    pub path: Option<String>,
    /// Error name for a failed exec; `None` for success.
    pub error: Option<String>,
    /// The new image, for a success.
    pub image: Option<Image>,
    /// Made by a thread that was not the leader.
    pub by_thread: bool,
    /// The id that this thread had before, for people.
    #[serde(default)]
    pub tid: Option<u32>,
    /// Descriptors 0, 1 and 2 in the new image.
    pub stdio: [Fd; 3],
    /// Leader of its session at that moment.
    pub session_leader: Option<bool>,
    /// Has a controlling terminal at that moment.
    pub has_tty: Option<bool>,
    /// Of HUP, INT, QUIT, PIPE, TERM and CHLD, those that the new image ignores (bit 0 is signal 1):
    /// what an exec inherits. Tells a background job, `nohup`, and who put SIGPIPE back.
    #[serde(default)]
    pub ignored: Option<u64>,
    /// Its process group is another than the one that it was created into: a shell with job control
    /// gives each job a group of its own.
    #[serde(default)]
    pub new_group: Option<bool>,
    /// Its process group is the foreground group of its controlling terminal; `None` without one.
    #[serde(default)]
    pub foreground: Option<bool>,
    /// Descriptor 3 in the new image: the IPC channel of Node's children.
    #[serde(default)]
    pub fd3: Fd,
}

/// What the process did after its creation and what became of it, as far as observed when the
/// start was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Time from origin to exit, to ready, or to the end of the window.
    pub lived_ns: u64,
    /// Exit status or signal, if it has ended.
    pub exit: Option<ExitFact>,
    /// Processes that it created before its first exec.
    pub forks_before_exec: u32,
    /// Processes that it created altogether.
    pub forks: u32,
    /// A process that it created was there when it ended; `None` while it runs.
    #[serde(default)]
    pub outlived: Option<bool>,
    /// Leader of its session (latest observation).
    pub session_leader: Option<bool>,
    /// Has a controlling terminal (latest observation).
    pub has_tty: Option<bool>,
    /// Its process group is another than the one that it was created into (latest observation).
    #[serde(default)]
    pub new_group: Option<bool>,
    /// Its process group is the foreground group of its controlling terminal (latest observation);
    /// `None` without one.
    #[serde(default)]
    pub foreground: Option<bool>,
    /// Of HUP, INT, QUIT, PIPE, TERM and CHLD, those that it ignores (latest observation).
    #[serde(default)]
    pub ignored: Option<u64>,
    /// Bytes that it had written by write and its kin when it ended (`signal->ioac.wchar` and its
    /// tasks'); `None` while it runs, or where the kernel does not count them.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// The lowest number that an end of the creator's `fresh_pipes` had is /dev/null here (latest
    /// observation). A worker of multiprocessing closes the ends that are its parent's and opens
    /// /dev/null for its `sys.stdin`, which takes the lowest of their numbers. (Descriptor 0 itself
    /// stays as it was: CPython opens its standard streams with `closefd=False`. Seen with 2.7 to 3.13.)
    #[serde(default)]
    pub null_on_pipe: Option<bool>,
    /// Its descriptors 0, 1 and 2 (latest observation: exec, exit, or the end of the window).
    pub stdio: [Fd; 3],
    /// The creator's exit, counted from this process's creation, if it came first.
    pub creator_exited_after_ns: Option<u64>,
    /// The creator ended with status 0.
    pub creator_exit_ok: Option<bool>,
    /// The creator itself never exec'd since its own creation and was created by a process of the
    /// same image (it is the middle of a double fork).
    pub creator_is_plain_fork: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFact {
    /// Exit status.
    pub code: Option<i32>,
    /// Signal number.
    pub signal: Option<u32>,
}

/// One descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fd {
    /// What it is.
    pub kind: FdKind,
    /// Inode number, for pipes and sockets: equal numbers are the same pipe.
    pub inode: u64,
}

/// What a descriptor refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdKind {
    /// Not read.
    #[default]
    Unknown,
    /// Not open.
    Closed,
    /// `/dev/null`
    Null,
    /// A pipe or FIFO.
    Pipe,
    /// A terminal.
    Tty,
    /// A regular file.
    File,
    /// A socket.
    Socket,
    /// Anything else.
    Other,
}

/// The other processes that the same creator made in its present image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Siblings {
    /// Children without an exec, this one included if it has none.
    pub execless: u32,
    /// The most of those alive at one time.
    pub execless_peak: u32,
    /// Of those without exec, how many lived for a second or more, or are alive.
    pub execless_long_lived: u32,
    /// All children.
    pub all: u32,
    /// Children created within 10 ms before or after this one that share a pipe with it on
    /// descriptors 0 or 1 (a pipeline).
    pub pipe_mates: u32,
}

/// The process at the other end of a unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// How long before the fork the socket was read.
    pub age_ns: u64,
}
