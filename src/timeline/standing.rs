//! What tasks do that have not told yet: the kernel side tells of a wait only when it is over, and of a
//! task that runs when it leaves its CPU. At the end of a start, `/proc` is asked instead.
//!
//! A task that sleeps now and has had no record since then began to sleep after it had run on for a while:
//! how long, its time on a CPU says, where all of that is known; else it is less than the time after which
//! the kernel side tells its sums, and that stretch stays unknown.

use super::tasks::{Call, Lane, State, Told, Waited};
use super::world::{Doing, TaskNow, World};
use super::{Builder, start, syscall, words};
use crate::event::Id;
use crate::event::task::{Spent, WaitKind};
use crate::level::Level;

/// A task that leaves its CPU after having been silent for so long tells its sums (`SILENT_NS` in
/// `bpf/task.bpf.h`).
const SILENT_NS: u64 = 20_000_000;
/// At the end of a recording so many processes are asked: it has to end.
const MAX_ASKED: u32 = 256;

impl Builder {
    /// Asks what the tasks of a process do whose start ends while it lives, where that is not known.
    pub(super) fn ask_standing(&mut self, id: Id, end_ns: u64, end: start::End, world: &mut dyn World) {
        if self.options.level < Level::Timeline
            || !(self.is_dark(id, end_ns) || self.is_uncounted(id, end_ns))
        {
            return;
        }
        if end == start::End::Recording {
            if self.asked_standing >= MAX_ASKED {
                return;
            }
            self.asked_standing += 1;
        }
        let Some(now) = world.tasks(id) else { return };
        for task in &now {
            self.used(id, end_ns, task);
            self.stands(id, end_ns, task);
        }
    }

    /// Is it not known what the process had used by then? Threads tell nothing of it while they wait.
    fn is_uncounted(&self, id: Id, end_ns: u64) -> bool {
        let process = self.processes.get(&id).filter(|process| process.start.is_some());
        process.is_some_and(|process| !process.tasks.told_usage(end_ns))
    }

    /// Takes in what a task has used. Of one that was there before the start, and has told nothing in it, nobody knows
    /// what was before.
    fn used(&mut self, id: Id, end_ns: u64, task: &TaskNow) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(open) = &process.start else { return };
        let (Some(used), Some(born_ns)) = (&task.used, task.born_ns) else { return };
        let whole = !(open.in_place || open.partial) || born_ns >= open.origin_ns;
        if born_ns <= end_ns && (whole || process.tasks.lane(task.tid).is_some()) {
            process.tasks.asked(task.tid, used);
        }
    }

    /// Has the main thread not told what it did until then?
    pub(super) fn is_dark(&self, id: Id, end_ns: u64) -> bool {
        let Some(process) = self.processes.get(&id) else { return false };
        let lane = process.tasks.lane(id.pid).and_then(|lane| process.tasks.lanes.get(lane));
        process.start.is_some()
            && lane.is_none_or(|lane| {
                lane.ended_ns.is_none() && lane.until_ns().is_none_or(|until| until < end_ns)
            })
    }

    fn stands(&mut self, id: Id, end_ns: u64, task: &TaskNow) {
        let state = self.standing_state(task);
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(open) = &process.start else { return };
        let lane = process.tasks.lane(task.tid).and_then(|lane| process.tasks.lanes.get(lane));
        if lane.is_some_and(|lane| lane.ended_ns.is_some()) {
            return;
        }
        let first_run = open.run_ns.filter(|_| task.tid == id.pid);
        let Some(since_ns) = lane.and_then(|lane| lane.until_ns()).or(first_run) else { return };
        if since_ns >= end_ns {
            return;
        }
        let length = end_ns - since_ns;
        // What it had run before its first record is in its total as well.
        let whole = !(open.in_place || open.partial);
        let running = |lane: &Lane, from_ns| lane.within(from_ns, u64::MAX).get(State::Running);
        let told = lane.map_or(0, |lane| match lane.taken_over.last() {
            // A thread that executed: the task is the thread's, also in what it has run.
            Some((from_ns, thread)) => {
                let thread = process.tasks.lanes.get(*thread);
                thread.map_or(0, |thread| running(thread, 0)) + running(lane, *from_ns)
            }
            None => running(lane, 0),
        });
        let ran_ns = task.running_ns.filter(|_| whole).map(|total| total.saturating_sub(told).min(length));
        let (until_ns, running_ns) = match (&state, ran_ns) {
            (None, ran) => (end_ns, ran.unwrap_or(0)),
            (Some(_), Some(ran)) => (since_ns + ran, ran),
            (Some(_), None) => (since_ns + length.min(SILENT_NS), 0),
        };
        let spent = Spent { since_ns, until_ns, running_ns, ..Spent::default() };
        let before = process.tasks.len();
        process.tasks.stood(
            id.pid,
            task.tid,
            &spent,
            state.map(|(state, call)| {
                let detail = detail(task).map(Into::into);
                Waited::new(until_ns, end_ns, end_ns, &Told { state, call, detail, ..Told::default() })
            }),
        );
        self.pieces = (self.pieces + process.tasks.len()).saturating_sub(before);
    }

    /// What it waits for; `None` for a task that runs, or could.
    fn standing_state(&self, task: &TaskNow) -> Option<(State, Option<Call>)> {
        let name = task.call.as_deref().unwrap_or("");
        let arch = self.options.arch;
        let by_number = || name.strip_prefix("system call ").and_then(|nr| nr.parse().ok());
        let nr = syscall::number(arch, name).or_else(by_number);
        let name = nr.and_then(|nr| syscall::name(arch, nr, false)).unwrap_or(name);
        let call = nr.map(|nr| Call { nr, compat: false });
        let kind = match &task.doing {
            Doing::Running => return None,
            Doing::Stopped => WaitKind::Stopped,
            Doing::Sleep { .. } => WaitKind::Sleep,
            Doing::Child => WaitKind::Child,
            Doing::Lock => WaitKind::Lock,
            Doing::Busy => match name {
                "" => WaitKind::PageFault,
                "vfork" | "clone" | "clone3" => WaitKind::Vfork,
                _ => WaitKind::Disk,
            },
            Doing::Clients => match of_object(name, task.object.as_deref()) {
                // A name server asks nobody.
                WaitKind::Dns => WaitKind::Network,
                kind => kind,
            },
            Doing::Peer | Doing::Idle => of_object(name, task.object.as_deref()),
        };
        Some((State::of(kind, call), call))
    }
}

/// What a task waits for, in the words for a wait that is over: a socket with what is done on it.
fn detail(task: &TaskNow) -> Option<String> {
    let object = words::short(task.object.as_deref()?);
    let call = task.call.as_deref().unwrap_or("");
    if is_open(call) {
        return Some(object + " (open)");
    }
    let is_socket = ["tcp ", "udp ", "unix "].iter().any(|kind| object.starts_with(kind));
    let does = if is_socket { words::on_socket(call, task.doing == Doing::Clients) } else { "" };
    Some(object + does)
}

/// Does it open a file? What is told of such calls is a FIFO.
fn is_open(call: &str) -> bool {
    matches!(call, "open" | "openat")
}

/// The kind of a wait by its system call and, in words, what it is on.
fn of_object(name: &str, object: Option<&str>) -> WaitKind {
    if name.starts_with("futex") {
        return WaitKind::Futex;
    }
    if name == "getrandom" {
        return WaitKind::Random;
    }
    // As the kernel side does: one descriptor has a kind of its own, a set of several has not.
    let Some(object) = object else {
        let sets = ["poll", "select", "epoll"];
        return if sets.iter().any(|set| name.contains(set)) { WaitKind::Poll } else { WaitKind::Other };
    };
    let internet = object.starts_with("tcp") || object.starts_with("udp");
    match object {
        _ if name.starts_with("epoll") => WaitKind::Poll,
        _ if is_open(name) => WaitKind::Pipe,
        _ if internet && object.ends_with(":53") => WaitKind::Dns,
        _ if internet => WaitKind::Network,
        _ if object.starts_with("unix") || object.starts_with("socket:[") => WaitKind::UnixSocket,
        _ if object.starts_with("pipe:[") => WaitKind::Pipe,
        _ if object.starts_with("/dev/pts/") || object.starts_with("/dev/tty") => WaitKind::Tty,
        _ if object == "/dev/random" => WaitKind::Random,
        _ if object.starts_with("/dev/") => WaitKind::Device,
        _ if name.contains("poll") || name.contains("select") => WaitKind::Poll,
        _ => WaitKind::Other,
    }
}
