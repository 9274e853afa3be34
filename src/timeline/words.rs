//! Waits in words: what for exactly, and who ended them.

use super::Builder;
use super::syscall;
use super::tasks::{Call, Rival, SINGLE_NS, State, Told, Waited};
use crate::event::Id;
use crate::event::task::{Socket, Wait, WaitKind, Waker};
use crate::method::facts::FdKind;
use crate::trace::schema::{Holder, WokenBy};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Characters of a command within a sentence.
const COMMAND: usize = 80;

impl Builder {
    /// The name of a system call.
    pub(super) fn call_name(&self, call: Call) -> Cow<'static, str> {
        match syscall::name(self.options.arch, call.nr, call.compat) {
            Some(name) => name.into(),
            None => format!("nr {}", call.nr).into(),
        }
    }

    /// The name of a state in a trace.
    pub(super) fn state_name(&self, state: State) -> Cow<'static, str> {
        match state {
            State::Creating => "creating".into(),
            State::Running => "running".into(),
            State::Runnable => "runnable".into(),
            State::Exited => "exited".into(),
            State::Unknown => "unknown".into(),
            State::Blocked(kind) => kind.name().into(),
            State::Other(Some(call)) => format!("other:{}", self.call_name(call)).into(),
            State::Other(None) => "other:kernel".into(),
        }
    }

    /// A wait, with what can be said of it now: those who had a part in it may be forgotten later.
    pub(super) fn told_wait(&self, id: Id, tid: u32, back_ns: u64, wait: &Wait) -> Waited {
        let call = wait.nr.map(|nr| Call { nr, compat: wait.compat });
        let wake_ns = wait.off_ns.saturating_add(wait.blocked_ns(back_ns));
        let state = State::of(wait.kind, call);
        if back_ns.saturating_sub(wait.off_ns) < SINGLE_NS {
            // Only its time is counted.
            let told = Told { state, ..Told::default() };
            return Waited::new(wait.off_ns, wake_ns, back_ns.max(wait.off_ns), &told);
        }
        // Who waits for SIGCHLD in sigsuspend, or for a pidfd, is woken by the child's end as well.
        let by_child = matches!(wait.waker, Waker::Task { pid, .. }
            if self.is_child(id, pid) && (wait.signal || self.has_ended(pid, wake_ns)));
        let believed = by_child || is_believed(id, wait);
        let told = Told {
            back_unseen: wait.wake_ns.is_none() && wait.rival.as_ref().is_some_and(|(pid, _)| *pid == id.pid),
            state,
            call,
            // Of a wait for a CPU alone the rival tells.
            detail: self.detail(id, call, believed, wait).map(Into::into),
            woken_by: woken_by(id, wake_ns, self.timeout(call, wait), believed, wait),
            waker: match &wait.waker {
                Waker::Task { pid, tid: by, .. } if *by != tid && (believed || is_sender(wait)) => {
                    Some((*pid, *by))
                }
                Waker::Softirq { pid, tid: by, .. } if *by != tid && is_sender(wait) => Some((*pid, *by)),
                _ => None,
            },
            rival: wait.rival.clone().map(|(pid, comm)| Rival { pid, comm, held_ns: wait.rival_ns }),
        };
        Waited::new(wait.off_ns, wake_ns, back_ns.max(wait.off_ns), &told)
    }

    /// The time-out asked for, where the registers tell.
    fn timeout(&self, call: Option<Call>, wait: &Wait) -> Option<u64> {
        if wait.timeout_ns.is_some() || call.map(|call| self.call_name(call)).as_deref() != Some("poll") {
            return wait.timeout_ns;
        }
        // Of a stream that was recorded when that was told of sleeps only.
        u64::try_from(wait.args[2] as i32).ok().map(|ms| ms * 1_000_000)
    }

    fn detail(&self, id: Id, call: Option<Call>, believed: bool, wait: &Wait) -> Option<String> {
        let object = self.object(id, call, believed, wait)?;
        // Which of several it came back for is not known: the first stands for all.
        let of_set = match (wait.kind, wait.members, wait.fd) {
            (WaitKind::Sleep, ..) | (_, 0 | 1, _) | (.., None) => return Some(object),
            (_, members, Some(fd)) => {
                format!("fd {fd} or {}", crate::words::counted(u64::from(members) - 1, "other"))
            }
        };
        let fd = wait.fd.map(|fd| format!("fd {fd}")).unwrap_or_default();
        let rest = object.strip_prefix(&fd).map_or(&*object, |rest| rest.trim_start_matches(": "));
        Some(if rest.is_empty() { of_set } else { format!("{of_set}: {rest}") })
    }

    fn object(&self, id: Id, call: Option<Call>, believed: bool, wait: &Wait) -> Option<String> {
        let name = call.map(|call| self.call_name(call));
        let name = name.as_deref().unwrap_or("");
        // What is in no folder and has no name of its own: a pidfd since Linux 6.9.
        let path = wait.path.as_deref().filter(|path| *path != "//").map(named);
        let file = || path.clone().or_else(|| wait.fd.map(|fd| format!("fd {fd}")));
        match wait.kind {
            WaitKind::Child | WaitKind::Vfork => self.child(id, name, wait).map(|pid| self.command_of(pid)),
            WaitKind::Disk | WaitKind::PageFault | WaitKind::Lock | WaitKind::Tty | WaitKind::Device => {
                file()
            }
            WaitKind::Other => file().or_else(|| queue(name, wait)),
            WaitKind::Pipe => Some(self.pipe(id, name, wait)),
            WaitKind::Futex => name.starts_with("futex").then(|| self.futex(id, name, believed, wait)),
            WaitKind::Sleep => wait.timeout_ns.map(|ns| slept(name, wait, ns)),
            WaitKind::Poll => match (&wait.socket, wait.fd) {
                (Some(socket), Some(fd)) => {
                    // Of several that are asked for, another may be the one that was woken for.
                    let believed = believed && name.starts_with("epoll");
                    Some(format!("fd {fd}: {}", self.socket(id, "", believed, wait, socket)))
                }
                (None, Some(fd)) => match (&path, wait.inode) {
                    (Some(path), _) => Some(format!("fd {fd}: {path}")),
                    (None, Some(inode)) if wait.is_pipe => Some(format!("fd {fd}: pipe:[{inode}]")),
                    _ => Some(format!("fd {fd}")),
                },
                (_, None) => None,
            },
            WaitKind::Network | WaitKind::Dns | WaitKind::UnixSocket => match &wait.socket {
                Some(socket) => Some(self.socket(id, name, believed, wait, socket)),
                None => file(),
            },
            WaitKind::Cpu | WaitKind::Stopped | WaitKind::Throttled | WaitKind::Memory | WaitKind::Random => {
                None
            }
        }
    }

    /// The child that a wait was for: the one that ended it, or the one that was asked for.
    fn child(&self, id: Id, name: &str, wait: &Wait) -> Option<u32> {
        if let Waker::Task { pid, .. } = wait.waker
            && pid != id.pid
            && (!wait.signal || self.is_child(id, pid))
        {
            return Some(pid);
        }
        // Numbers in the arguments are those of the process's own PID namespace.
        let own = self.processes.get(&id).is_none_or(|process| process.ns_pid.is_none_or(|ns| ns == id.pid));
        let asked = match name {
            "wait4" | "waitpid" => wait.args[0] as i32,
            // P_PID
            "waitid" if wait.args[0] == 1 => wait.args[1] as i32,
            _ => 0,
        };
        u32::try_from(asked).ok().filter(|pid| *pid > 0 && own)
    }

    /// A futex, with who held it (which only a lock with priority inheritance says) or else who ended the wait:
    /// of a mutex that is whoever let it go.
    fn futex(&self, id: Id, name: &str, believed: bool, wait: &Wait) -> String {
        let futex = format!("futex {:#x}", wait.args[0]);
        // FUTEX_LOCK_PI, FUTEX_LOCK_PI2, without the flags.
        let locks = name == "futex" && matches!(wait.args[1] & 0x7f, 6 | 13);
        match (wait.args[2], &wait.waker) {
            (holder, _) if locks && holder != 0 => format!("{futex}, held by thread {holder}"),
            (_, Waker::Task { pid, tid, comm }) if believed && *pid == id.pid => {
                format!("{futex}, woken by thread {tid} ({comm})")
            }
            (_, Waker::Task { pid, .. }) if believed => {
                format!("{futex}, woken by {}", self.command_of(*pid))
            }
            _ => futex,
        }
    }

    fn is_child(&self, id: Id, pid: u32) -> bool {
        match self.by_pid.get(&pid).and_then(|id| self.processes.get(id)) {
            Some(process) => process.creator == Some(id),
            None => self.past.creator(pid) == Some(id),
        }
    }

    /// Had the process come to its end by then? What is forgotten of ended before.
    fn has_ended(&self, pid: u32, time_ns: u64) -> bool {
        match self.by_pid.get(&pid).and_then(|id| self.processes.get(id)) {
            Some(process) => process.ended.as_ref().is_some_and(|ended| ended.at_ns <= time_ns),
            None => self.past.creator(pid).is_some(),
        }
    }

    fn pipe(&self, id: Id, name: &str, wait: &Wait) -> String {
        let own = match (&wait.path, wait.inode, wait.fd) {
            (Some(path), ..) => path.clone(),
            (None, Some(inode), _) => format!("pipe:[{inode}]"),
            (None, None, Some(fd)) => format!("fd {fd}"),
            (None, None, None) => "pipe".to_owned(),
        };
        // Of a FIFO that is being opened, whether to write to it may be in the program's memory alone.
        let (own, writes) = match opened_to_write(name, wait) {
            Some(writes) => (format!("{own} (open)"), writes),
            None => (own, Some(name.contains("write") || name.contains("send"))),
        };
        let other = match wait.waker {
            // Who sent a signal need not have the other end.
            Waker::Task { pid, .. }
                if pid != id.pid && (!wait.signal || self.had_end(id, pid, wait.inode)) =>
            {
                Some(pid)
            }
            _ => writes.and_then(|writes| self.other_end(id, wait.inode?, writes)),
        };
        let way = match writes {
            Some(true) => "->",
            Some(false) => "<-",
            None => "with",
        };
        match other {
            None => own,
            Some(pid) => format!("{own} {way} {}", self.command_of(pid)),
        }
    }

    /// Had a child an end of this pipe? Its own end, which comes with a signal, then ended the wait as well.
    fn had_end(&self, id: Id, pid: u32, inode: Option<u64>) -> bool {
        let has = |process: &super::Process| {
            let mut pipes = process.stdio.iter().filter(|fd| fd.kind == FdKind::Pipe);
            process.ended.is_some() || pipes.any(|fd| Some(fd.inode) == inode)
        };
        // What is forgotten of has ended.
        let living = self.by_pid.get(&pid).and_then(|id| self.processes.get(id));
        self.is_child(id, pid) && living.is_none_or(has)
    }

    /// Who has the other end of a pipe as its standard input (or output, for one that is read).
    fn other_end(&self, id: Id, inode: u64, writes: bool) -> Option<u32> {
        let range = if writes { 0..1 } else { 1..3 };
        let has = |process: &super::Process| {
            process.ended.is_none()
                && process
                    .stdio
                    .get(range.clone())
                    .unwrap_or_default()
                    .iter()
                    .any(|fd| fd.kind == FdKind::Pipe && fd.inode == inode)
        };
        let others = self.processes.iter().filter(|(other, process)| **other != id && has(process));
        others.map(|(other, _)| other.pid).min()
    }

    fn socket(&self, id: Id, name: &str, believed: bool, wait: &Wait, socket: &Socket) -> String {
        const LISTENS: u32 = 10;
        let does = on_socket(name, socket.state == LISTENS);
        if i32::from(socket.family) == libc::AF_UNIX {
            let at = match (&wait.path, wait.inode) {
                (Some(path), _) => path.clone(),
                (None, Some(inode)) => format!("socket:[{inode}]"),
                (None, None) => "socket".to_owned(),
            };
            let peer = match wait.waker {
                // Nobody but the other end, or who shares it, ends such a wait without a signal.
                Waker::Task { pid, .. } if believed && !wait.signal => Some(pid),
                // Its credentials are those of whoever called listen, who need not be the one that serves.
                _ => socket.peer_pid,
            };
            let peer = peer.filter(|pid| *pid != id.pid);
            let peer = peer.map(|pid| format!(", peer {}", self.command_of(pid))).unwrap_or_default();
            return format!("unix {at}{does}{peer}");
        }
        let protocol = match i32::from(socket.kind) {
            libc::SOCK_STREAM => "tcp",
            libc::SOCK_DGRAM => "udp",
            _ => "socket",
        };
        match socket.peer.or(socket.local) {
            Some(address) => format!("{protocol} {}{does}", plain(address)),
            None => format!("{protocol}{does}"),
        }
    }

    /// `pid 4243 (lsb_release -a)`, with as much as is known.
    pub(super) fn command_of(&self, pid: u32) -> String {
        let living = self.by_pid.get(&pid).and_then(|id| self.processes.get(id));
        let command = match living {
            Some(process) => Some(command(process.program.image.shown(), &process.comm)),
            None => self.past.command(pid),
        };
        match command.filter(|command| !command.is_empty()) {
            Some(command) => format!("pid {pid} ({command})"),
            None => format!("pid {pid}"),
        }
    }
}

/// A sleep, with the time that was asked for or left.
fn slept(name: &str, wait: &Wait, ns: u64) -> String {
    // TIMER_ABSTIME
    match name == "clock_nanosleep" && wait.args[1] & 1 == 1 {
        true => format!("until a set time, {} later", length(ns)),
        false => format!("asked for {}", length(ns)),
    }
}

/// What System V's calls wait for.
fn queue(name: &str, wait: &Wait) -> Option<String> {
    match name {
        "msgrcv" | "msgsnd" => Some(format!("message queue {}", wait.args[0])),
        "semop" | "semtimedop" => Some(format!("semaphore set {}", wait.args[0])),
        _ => None,
    }
}

/// Of a FIFO that is being opened: is it to be written to, where that is known? `None` for another call.
fn opened_to_write(name: &str, wait: &Wait) -> Option<Option<bool>> {
    let flags = match name {
        "open" => wait.args[1],
        "openat" => wait.args[2],
        "creat" => return Some(Some(true)),
        "openat2" => return Some(None),
        _ => return None,
    };
    Some(Some(flags as i32 & libc::O_ACCMODE == libc::O_WRONLY))
}

/// A file's name; one without a path has a name like `/[eventfd]` in the kernel's walk.
fn named(path: &str) -> String {
    match path.strip_prefix('/') {
        // All of them have brackets but this one.
        Some(name) if name.starts_with('[') && name.ends_with(']') || name == "inotify" => {
            format!("anon_inode:{name}")
        }
        _ => path.to_owned(),
    }
}

/// What a call does on a socket, after the socket's name.
pub(super) fn on_socket(name: &str, listens: bool) -> &'static str {
    match name {
        "connect" => " (connect)",
        _ if listens || name.starts_with("accept") => " (accept)",
        _ if name.starts_with("recv") || name.contains("read") => " (receive)",
        _ if name.starts_with("send") || name.contains("write") => " (send)",
        _ => "",
    }
}

/// An object's name, no longer than a sentence bears.
pub(super) fn short(object: &str) -> String {
    let mut out: String = object.chars().take(4 * COMMAND).collect();
    if out.len() < object.len() {
        out.push('…');
    }
    out
}

/// A command line in short.
pub(super) fn command(argv: Option<&[String]>, comm: &str) -> String {
    let Some([first, rest @ ..]) = argv else { return comm.to_owned() };
    let mut out = String::new();
    for part in std::iter::once(first.rsplit('/').next().unwrap_or(first)).chain(rest.iter().map(|s| &**s)) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(part.chars().take(COMMAND + 1));
        if out.len() > 4 * COMMAND {
            break;
        }
    }
    if out.is_empty() {
        return comm.to_owned();
    }
    if let Some((at, _)) = out.char_indices().nth(COMMAND) {
        out.truncate(at);
        out.push('…');
    }
    out
}

/// Who had the CPU during a wait of `waited_ns` for it, as far as that is known: who had it before the last is not.
pub(super) fn had(holder: &Holder, waited_ns: u64) -> String {
    let Holder { pid, comm, held_ns } = holder;
    let how_long = match held_ns {
        Some(ns) if *ns >= waited_ns => "all the while".to_owned(),
        Some(ns) if *ns > 0 => format!("for the last {}", length(*ns)),
        _ => "last".to_owned(),
    };
    format!("pid {pid} ({comm}) had the CPU {how_long}")
}

impl Rival {
    /// What it had of the time between two others; it gave its CPU up at `back_ns`.
    pub(super) fn within(&self, from_ns: u64, to_ns: u64, back_ns: u64) -> Holder {
        let since_ns = self.held_ns.map(|ns| back_ns.saturating_sub(ns));
        holder(self.pid, &self.comm, since_ns, from_ns, to_ns)
    }
}

/// The same of one who had had the CPU since then.
pub(super) fn holder(pid: u32, comm: &str, since_ns: Option<u64>, from_ns: u64, to_ns: u64) -> Holder {
    let held_ns = since_ns.map(|since_ns| to_ns.saturating_sub(from_ns.max(since_ns)));
    Holder { pid, comm: comm.to_owned(), held_ns }
}

pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `120 ms`; no more digits than it takes.
fn length(ns: u64) -> String {
    // The kernel's longest time, whatever was asked for beyond it.
    if ns >= i64::MAX as u64 {
        return "292 years".to_owned();
    }
    let (unit, name) = match ns {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let whole = ns / unit;
    let rest = (ns % unit) * 1000 / unit;
    if rest == 0 {
        return format!("{whole} {name}");
    }
    format!("{whole}.{} {name}", format!("{rest:03}").trim_end_matches('0'))
}

/// Did the task that was current at the wake-up really wake it? Where the CPU's count of interrupts could
/// not be read, only if nothing but a task ends such a wait. A futex with a time-out can be ended by a
/// timer, but a bystander would have to be a thread of the same process, in a system call.
fn is_believed(id: Id, wait: &Wait) -> bool {
    let of_process = matches!(wait.waker, Waker::Task { pid, .. } if pid == id.pid);
    wait.waker_exact
        || match wait.kind {
            WaitKind::Child
            | WaitKind::Vfork
            | WaitKind::Pipe
            | WaitKind::Lock
            | WaitKind::UnixSocket
            | WaitKind::Stopped
            | WaitKind::Tty => true,
            WaitKind::Futex => of_process,
            WaitKind::Poll => is_by_tasks(wait, of_process),
            _ => false,
        }
}

/// Is what was ready first of an epoll set something that only tasks make ready? (poll and select tell how many descriptors
/// they wait for, and an epoll set itself is what its wait is on where none was ready.) Threads of the process wake each
/// other by an eventfd, which the kernel may write to as well.
fn is_by_tasks(wait: &Wait, of_process: bool) -> bool {
    let of_set = wait.members == 0 && wait.fd.is_some_and(|fd| wait.args[0] as u32 != fd);
    let is_unix = || wait.socket.as_ref().is_some_and(|socket| i32::from(socket.family) == libc::AF_UNIX);
    let is_eventfd = || wait.path.as_deref() == Some("/[eventfd]");
    of_set && (wait.is_pipe || is_unix() || (of_process && is_eventfd()))
}

/// Can the task that was current when a packet arrived be its sender? Only where the socket's other end
/// is on this machine.
fn is_sender(wait: &Wait) -> bool {
    let Some(socket) = &wait.socket else { return false };
    let ip = |address: Option<SocketAddr>| address.map(|address| address.ip().to_canonical());
    let (peer, local) = (ip(socket.peer), ip(socket.local));
    // A socket that listens has no peer; its client is on this machine if it can only be.
    peer.or(local).is_some_and(|ip| ip.is_loopback()) || (peer.is_some() && peer == local)
}

fn woken_by(id: Id, wake_ns: u64, timeout_ns: Option<u64>, believed: bool, wait: &Wait) -> Option<WokenBy> {
    let storage = matches!(wait.kind, WaitKind::Disk | WaitKind::PageFault);
    // It has run since it entered the call, for a moment.
    let over = timeout_ns.is_some_and(|ns| wake_ns.saturating_sub(wait.off_ns) >= ns - ns / 64);
    let (kind, who) = match &wait.waker {
        _ if wait.kind == WaitKind::Cpu => return None,
        // Whoever was current when the time was up was interrupted by the timer.
        _ if over && !wait.waker_exact && !wait.signal => ("timer", None),
        Waker::Task { pid, comm, .. } if !wait.waker_exact && is_sender(wait) => {
            ("softirq", Some((*pid, comm)))
        }
        Waker::Task { .. } | Waker::Kernel { .. } if !believed => match wait.kind {
            _ if wait.signal => ("signal", None),
            WaitKind::Disk | WaitKind::PageFault => ("io", None),
            WaitKind::Sleep => ("timer", None),
            _ => ("unknown", None),
        },
        Waker::Task { pid, comm, .. } => {
            // A child's end may come with a signal, but is more than that.
            let child = matches!(wait.kind, WaitKind::Child | WaitKind::Vfork) && *pid != id.pid;
            (if wait.signal && !child { "signal" } else { "task" }, Some((*pid, comm)))
        }
        _ if wait.signal => ("signal", None),
        Waker::Kernel { comm } => (if storage { "io" } else { "kworker" }, Some((0, comm))),
        Waker::Hardirq | Waker::Softirq { .. } if storage => ("io", None),
        Waker::Hardirq | Waker::Softirq { .. } if wait.kind == WaitKind::Sleep => ("timer", None),
        // Nothing but the timer and signals ends it, whether the wake-up was seen or not (kernels that hide some tasks
        // hide what is woken while one of those is interrupted).
        Waker::Unknown if wait.kind == WaitKind::Sleep => ("timer", None),
        // It came back when its time was over, and nobody was seen to wake it.
        Waker::Unknown if over => ("timer", None),
        // Nothing else in an interrupt ends these two.
        Waker::Hardirq if matches!(wait.kind, WaitKind::Futex | WaitKind::Throttled) => ("timer", None),
        Waker::Hardirq if over => ("timer", None),
        Waker::Softirq { pid, comm, .. } => ("softirq", is_sender(wait).then_some((*pid, comm))),
        Waker::Hardirq | Waker::Unknown => ("unknown", None),
    };
    Some(WokenBy {
        kind: kind.to_owned(),
        pid: who.map(|(pid, _)| pid).filter(|pid| *pid != 0),
        comm: who.map(|(_, comm)| comm.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_short_and_name_the_program() {
        let argv = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(command(Some(&argv(&["/usr/bin/lsb_release", "-a"])), "x"), "lsb_release -a");
        assert_eq!(command(Some(&[]), "comm"), "comm");
        assert_eq!(command(Some(&argv(&[""])), "comm"), "comm");
        assert_eq!(command(None, "comm"), "comm");
        let long = command(Some(&argv(&["ä".repeat(9999).as_str(), "b"])), "x");
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (COMMAND + 1, true));
    }

    #[test]
    fn lengths_have_no_digits_to_spare() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 us"),
            (120_000_000, "120 ms"),
            (1_000_001, "1 ms"),
            (1_050_000_000, "1.05 s"),
            (i64::MAX as u64, "292 years"),
        ] {
            assert_eq!(length(ns), text);
        }
    }

    #[test]
    fn whoever_an_interrupt_met_is_not_blamed() {
        let id = Id { pid: 7, birth_ns: 1 };
        let softirq = || Waker::Softirq { pid: 9, tid: 9, comm: "x".into() };
        let task = || Waker::Task { pid: 9, tid: 9, comm: "x".into() };
        let socket = |peer: &str, local: &str| {
            Some(Socket { peer: peer.parse().ok(), local: local.parse().ok(), ..Socket::default() })
        };
        let wait = |kind, waker| Wait { kind, waker, off_ns: 100, waker_exact: true, ..Wait::default() };
        let of_set = |fd, members| Wait {
            waker_exact: false,
            args: [3, 0, 0],
            fd: Some(fd),
            members,
            ..wait(WaitKind::Poll, task())
        };
        let cases = [
            (wait(WaitKind::Sleep, Waker::Hardirq), "timer", None),
            (wait(WaitKind::Sleep, task()), "task", Some(9)),
            (Wait { signal: true, ..wait(WaitKind::Sleep, task()) }, "signal", Some(9)),
            (Wait { signal: true, ..wait(WaitKind::Child, task()) }, "task", Some(9)),
            (wait(WaitKind::Disk, Waker::Hardirq), "io", None),
            (wait(WaitKind::Disk, softirq()), "io", None),
            (wait(WaitKind::PageFault, Waker::Kernel { comm: "kworker/0".into() }), "io", None),
            (wait(WaitKind::Tty, Waker::Kernel { comm: "kworker/0".into() }), "kworker", None),
            (wait(WaitKind::Poll, Waker::Hardirq), "unknown", None),
            (Wait { timeout_ns: Some(50), ..wait(WaitKind::Poll, Waker::Hardirq) }, "timer", None),
            (Wait { timeout_ns: Some(5000), ..wait(WaitKind::Poll, Waker::Hardirq) }, "unknown", None),
            // It ran for a moment within the call; and whoever was interrupted did not wake it.
            (
                Wait { timeout_ns: Some(50), off_ns: 101, ..wait(WaitKind::Poll, Waker::Hardirq) },
                "unknown",
                None,
            ),
            (Wait { timeout_ns: Some(64_000_000), ..wait(WaitKind::Poll, Waker::Hardirq) }, "unknown", None),
            (
                Wait { timeout_ns: Some(50), waker_exact: false, ..wait(WaitKind::Poll, task()) },
                "timer",
                None,
            ),
            (
                Wait { timeout_ns: Some(5000), waker_exact: false, ..wait(WaitKind::Poll, task()) },
                "unknown",
                None,
            ),
            (Wait { timeout_ns: Some(50), ..wait(WaitKind::Poll, task()) }, "task", Some(9)),
            (wait(WaitKind::Futex, Waker::Hardirq), "timer", None),
            (
                Wait {
                    waker_exact: false,
                    timeout_ns: Some(50),
                    socket: socket("127.0.0.53:53", "127.0.0.1:6"),
                    ..wait(WaitKind::Dns, task())
                },
                "timer",
                None,
            ),
            (
                Wait { waker_exact: false, timeout_ns: Some(51), ..wait(WaitKind::Pipe, task()) },
                "task",
                Some(9),
            ),
            (Wait { waker_exact: false, ..wait(WaitKind::Futex, task()) }, "unknown", None),
            (
                Wait {
                    waker_exact: false,
                    ..wait(WaitKind::Futex, Waker::Task { pid: 7, tid: 8, comm: "x".into() })
                },
                "task",
                Some(7),
            ),
            (
                Wait {
                    waker_exact: false,
                    socket: socket("127.0.0.1:5", "127.0.0.1:6"),
                    ..wait(WaitKind::Network, task())
                },
                "softirq",
                Some(9),
            ),
            (Wait { waker_exact: false, ..wait(WaitKind::Disk, task()) }, "io", None),
            (Wait { waker_exact: false, ..wait(WaitKind::Pipe, task()) }, "task", Some(9)),
            // Of an epoll set (3) the pipe (4) was ready; the set itself; the first of several, of poll.
            (Wait { is_pipe: true, ..of_set(4, 0) }, "task", Some(9)),
            (Wait { is_pipe: true, ..of_set(3, 0) }, "unknown", None),
            (Wait { is_pipe: true, ..of_set(4, 2) }, "unknown", None),
            (of_set(4, 0), "unknown", None),
            // A thread of the process, or whoever was interrupted as the kernel wrote to it.
            (Wait { path: Some("/[eventfd]".into()), ..of_set(4, 0) }, "unknown", None),
            (
                Wait {
                    path: Some("/[eventfd]".into()),
                    waker: Waker::Task { pid: 7, tid: 8, comm: "x".into() },
                    ..of_set(4, 0)
                },
                "task",
                Some(7),
            ),
            (wait(WaitKind::Network, softirq()), "softirq", None),
            (
                Wait { socket: socket("10.0.0.1:5", "10.0.0.2:6"), ..wait(WaitKind::Network, softirq()) },
                "softirq",
                None,
            ),
            (
                Wait { socket: socket("127.0.0.1:5", "127.0.0.1:6"), ..wait(WaitKind::Network, softirq()) },
                "softirq",
                Some(9),
            ),
            (
                Wait {
                    socket: socket("[::ffff:10.0.0.2]:5", "10.0.0.2:6"),
                    ..wait(WaitKind::Network, softirq())
                },
                "softirq",
                Some(9),
            ),
            (wait(WaitKind::Futex, Waker::Unknown), "unknown", None),
            (Wait { timeout_ns: Some(50), ..wait(WaitKind::Futex, Waker::Unknown) }, "timer", None),
            (Wait { timeout_ns: Some(51), ..wait(WaitKind::Futex, Waker::Unknown) }, "unknown", None),
            (Wait { timeout_ns: Some(50), ..wait(WaitKind::Poll, Waker::Unknown) }, "timer", None),
            (
                Wait { timeout_ns: Some(50), signal: true, ..wait(WaitKind::Futex, Waker::Unknown) },
                "signal",
                None,
            ),
            (wait(WaitKind::Sleep, Waker::Unknown), "timer", None),
            (Wait { signal: true, ..wait(WaitKind::Sleep, Waker::Unknown) }, "signal", None),
        ];
        for (wait, kind, pid) in cases {
            let by = woken_by(id, 150, wait.timeout_ns, is_believed(id, &wait), &wait).unwrap();
            assert_eq!((&*by.kind, by.pid), (kind, pid), "{wait:?}");
        }
        assert_eq!(woken_by(id, 150, None, true, &wait(WaitKind::Cpu, task())), None);
    }
}
