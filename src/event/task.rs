//! What the tasks of a start do: how they spend their time, what they wait for, and moments that they
//! pass.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What a task that is off its CPU waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// Its turn on a CPU: it could run all the time.
    #[default]
    Cpu,
    /// A child's end.
    Child,
    /// The child that borrows its memory.
    Vfork,
    /// Storage.
    Disk,
    /// A page that is not in memory.
    PageFault,
    /// A pipe or FIFO.
    Pipe,
    /// A futex: mutex, condition variable, thread's end.
    Futex,
    /// A file's lock.
    Lock,
    /// A time.
    Sleep,
    /// Several descriptors, or one that has no kind of its own.
    Poll,
    /// A TCP or UDP socket.
    Network,
    /// A name server's answer.
    Dns,
    /// A unix socket.
    UnixSocket,
    /// A terminal.
    Tty,
    /// Job control, or a tracer.
    Stopped,
    /// The cgroup's CPU quota.
    Throttled,
    /// Memory to be reclaimed.
    Memory,
    /// Random numbers.
    Random,
    /// A device.
    Device,
    /// Another system call, or something else in the kernel.
    Other,
}

impl WaitKind {
    /// All, in the order of the wire format.
    pub const ALL: [Self; 20] = [
        Self::Cpu,
        Self::Child,
        Self::Vfork,
        Self::Disk,
        Self::PageFault,
        Self::Pipe,
        Self::Futex,
        Self::Lock,
        Self::Sleep,
        Self::Poll,
        Self::Network,
        Self::Dns,
        Self::UnixSocket,
        Self::Tty,
        Self::Stopped,
        Self::Throttled,
        Self::Memory,
        Self::Random,
        Self::Device,
        Self::Other,
    ];

    /// The name in a trace. [`Self::Cpu`] is `runnable`; [`Self::Other`] is followed by the system call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "runnable",
            Self::Child => "child",
            Self::Vfork => "vfork",
            Self::Disk => "disk",
            Self::PageFault => "page_fault",
            Self::Pipe => "pipe",
            Self::Futex => "futex",
            Self::Lock => "lock",
            Self::Sleep => "sleep",
            Self::Poll => "poll",
            Self::Network => "network",
            Self::Dns => "dns",
            Self::UnixSocket => "unix_socket",
            Self::Tty => "tty",
            Self::Stopped => "stopped",
            Self::Throttled => "throttled",
            Self::Memory => "memory",
            Self::Random => "random",
            Self::Device => "device",
            Self::Other => "other",
        }
    }
}

/// How a task spent the time between two records of its own. Waits with a record of their own are not
/// in here. `running_ns`, `runnable_ns` and `blocked` add up to `until_ns - since_ns`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The record before, or the task's first run. Boottime.
    pub since_ns: u64,
    /// Boottime.
    pub until_ns: u64,
    /// On a CPU.
    pub running_ns: u64,
    /// Waiting for one.
    pub runnable_ns: u64,
    /// Short waits by kind; kinds that did not occur are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<(WaitKind, u64)>,
}

/// In whose context a task was woken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waker {
    /// Not seen.
    #[default]
    Unknown,
    /// A task (thread), in its own context.
    Task {
        /// Process.
        pid: u32,
        /// Task.
        tid: u32,
        /// Task name.
        comm: String,
    },
    /// A thread of the kernel.
    Kernel {
        /// Its name.
        comm: String,
    },
    /// A device's or timer's interrupt; whoever it interrupted has no part in it.
    Hardirq,
    /// What follows an interrupt: received packets, timers. The task that was current is told, because
    /// with a socket of this machine it may be the sender.
    Softirq {
        /// Process of the task that was current.
        pid: u32,
        /// That task.
        tid: u32,
        /// Its name.
        comm: String,
    },
}

/// A socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `AF_*`.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u16,
    /// The state's number (TCP's names for it; unix sockets use the same: 1 established, 10 listening).
    pub state: u32,
    /// Local address, of an internet socket.
    pub local: Option<SocketAddr>,
    /// The other end, where there is one.
    pub peer: Option<SocketAddr>,
    /// Of a unix socket: the process that called listen(2) or connect(2) at the other end.
    pub peer_pid: Option<u32>,
}

/// A wait of a task, told when it is back on a CPU; the event's time is that of its return.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// The time before.
    pub spent: Spent,
    /// Left the CPU.
    pub off_ns: u64,
    /// Could run again; `None` where it could all the time, or where that was not seen.
    pub wake_ns: Option<u64>,
    /// What for.
    pub kind: WaitKind,
    /// System call, by number; `None` outside of one.
    pub nr: Option<i32>,
    /// Of a 32-bit program, whose numbers count in another table.
    pub compat: bool,
    /// The call's first three arguments.
    pub args: [u64; 3],
    /// The time asked for: of a sleep, and at most of poll, select, epoll_wait and (but for the real-time clock) futex;
    /// of a sleep until a set time what was left until then.
    pub timeout_ns: Option<u64>,
    /// The descriptor waited on: of poll and select the first; of an epoll set the first that is ready, or the set itself
    /// where none is.
    pub fd: Option<u32>,
    /// So many descriptors poll and select were asked for, as far as they were looked at; 0: another call, or not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub members: u32,
    /// That is a pipe or FIFO.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_pipe: bool,
    /// Inode of that descriptor's file, or of what a walk along a path has come to.
    pub inode: Option<u64>,
    /// Its path, where it is a file, or the name of a unix socket: the peer's, else its own. Within a walk along a path (of
    /// open(2) and the like) how far that has come: a folder, which ends in a slash, or the file itself.
    pub path: Option<String>,
    /// The socket.
    pub socket: Option<Socket>,
    /// In the kernel's I/O wait.
    pub iowait: bool,
    /// Not to be interrupted by signals.
    pub uninterruptible: bool,
    /// A signal was pending when it came back.
    pub signal: bool,
    /// Who woke it.
    pub waker: Waker,
    /// [`Waker`] was read from the CPU's count of nested interrupts. Else a [`Waker::Task`] may be a
    /// bystander that was interrupted in a system call: to be believed only where nothing but a task
    /// can have ended the wait (child, pipe, unix socket, futex without time-out ...).
    #[serde(default)]
    pub waker_exact: bool,
    /// Who had the CPU that it came back to, just before: process and task name.
    pub rival: Option<(u32, String)>,
    /// For how long the rival had had it; `None` where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival_ns: Option<u64>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Wait {
    /// How long it was blocked: from leaving the CPU until it could run again.
    /// `back_ns` is the event's time.
    pub fn blocked_ns(&self, back_ns: u64) -> u64 {
        match (self.kind, self.wake_ns) {
            (WaitKind::Cpu, _) => 0,
            (_, Some(wake_ns)) => wake_ns.clamp(self.off_ns, back_ns.max(self.off_ns)) - self.off_ns,
            (_, None) => back_ns.saturating_sub(self.off_ns),
        }
    }

    /// How long it waited for a CPU, after that.
    pub fn runnable_ns(&self, back_ns: u64) -> u64 {
        back_ns.saturating_sub(self.off_ns) - self.blocked_ns(back_ns)
    }
}

/// What a task has used so far, over all its images; resident memory and threads are those of its
/// process. A process whose exec in place begins a start tells what it had used until then in a mark of
/// its own ([`Moment::Sums`] with nothing spent), which is to be taken off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, as the kernel accounts for it: by ticks, on most kernels.
    pub user_ns: u64,
    /// CPU time in the kernel.
    pub system_ns: u64,
    /// Page faults served from memory.
    pub minor_faults: u64,
    /// Page faults that took I/O.
    pub major_faults: u64,
    /// Context switches that it asked for.
    pub voluntary: u64,
    /// Context switches that it did not.
    pub involuntary: u64,
    /// Read from storage; [`Self::NOT_KNOWN`] where the kernel does not account for it.
    pub read_bytes: u64,
    /// Resident memory; 0 where it has given that back already, as a task that ends has before Linux 6.16.
    pub rss_bytes: u64,
    /// Threads that live.
    pub threads: u32,
}

impl Usage {
    /// More than there can be.
    pub const NOT_KNOWN: u64 = u64::MAX;
}

/// How an attempt to connect a stream socket ended; the event's time is that end's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// When it began; `None` where only the end is seen (unix sockets).
    pub since_ns: Option<u64>,
    /// It did not succeed.
    pub failed: bool,
    /// Positive errno, where it is known.
    pub error: Option<i32>,
    /// The program closed the socket before there was an answer.
    pub given_up: bool,
    /// The socket.
    pub socket: Option<Socket>,
    /// The name of a unix socket, as it was given; an abstract one begins with `@`.
    pub path: Option<String>,
}

/// A moment in the life of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// None: only the sums, after a long time without a record.
    Sums,
    /// The image before ends here; told right before the exec.
    Exec,
    /// The task ends.
    End,
    /// glibc's ld.so tells debuggers that its list of libraries is about to change, or has changed
    /// (`_dl_debug_state`); musl calls it once, after relocation.
    LdState,
    /// `__libc_start_main` is entered.
    LibcStart,
    /// A socket begins to listen.
    Listen,
    /// It begins to wait for clients.
    AcceptWait,
    /// It has accepted a client.
    Accepted,
    /// It wrote to a client for the first time.
    Answer,
    /// It sent a datagram to a unix socket (sd_notify).
    Notify,
    /// It renamed itself.
    Name,
    /// It writes to standard output or error.
    Output,
    /// The first instruction of the program itself.
    Entry,
    /// A thread of the process (its number is the value) has a new name.
    ThreadName,
}

/// A moment, with what was known then. The event's time is the moment's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Which.
    pub moment: Moment,
    /// The time before.
    pub spent: Spent,
    /// So far.
    pub usage: Usage,
    /// A number that belongs to it.
    pub value: u64,
    /// The descriptor concerned.
    pub fd: Option<u32>,
    /// The socket concerned.
    pub socket: Option<Socket>,
    /// What was written, or the name.
    pub text: Option<String>,
    /// Seen only after it had happened.
    pub inferred: bool,
}

/// What [`Mark::value`] says at [`Moment::LdState`], besides [`LIBC_FOLLOWS`]: what ld.so tells
/// debuggers of its list of libraries (`r_state` of glibc's `link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RState {
    /// It could not be read.
    Unknown,
    /// The list is whole: all that was to be mapped is mapped and relocated.
    Consistent,
    /// Libraries are about to be mapped.
    Adding,
    /// Libraries are about to go.
    Deleting,
}

/// Bit of [`Mark::value`] at [`Moment::LdState`]: the C library is probed too, so that
/// [`Moment::LibcStart`] will be told if it comes.
pub const LIBC_FOLLOWS: u64 = 1 << 8;

impl RState {
    /// From a mark's value.
    pub fn of(value: u64) -> Self {
        match value & 0xff {
            1 => Self::Consistent,
            2 => Self::Adding,
            3 => Self::Deleting,
            _ => Self::Unknown,
        }
    }

    /// Can this be the end of what an earlier call began?
    pub fn ends(self) -> bool {
        matches!(self, Self::Consistent | Self::Unknown)
    }
}

impl Mark {
    /// A mark of which nothing else is known.
    pub fn of(moment: Moment) -> Self {
        Self {
            moment,
            spent: Spent::default(),
            usage: Usage::default(),
            value: 0,
            fd: None,
            socket: None,
            text: None,
            inferred: false,
        }
    }
}
