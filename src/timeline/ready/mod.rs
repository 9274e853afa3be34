//! When a start is finished: the milestones on its way, and the one that makes it ready.
//!
//! A start's *tree* is its process and the descendants that were created since its origin: what any of
//! them does counts for it. Each descendant has a start of its own, with a readiness of its own. A tree
//! is quiet only when no start below is under way, so that each process needs to be looked at only for
//! its own start, and only once its records say that the time has come.

pub(crate) mod quiet;
pub mod rule;
#[cfg(test)]
mod tests;

use super::world::{Doing, TaskNow, World};
use super::{Builder, start};
use crate::event::Id;
use crate::event::task::{Mark, Moment, Socket, Spent, Wait, WaitKind, Waker};
use crate::level::Level;
use crate::trace::schema::Milestone;
use quiet::{Quiet, Threads};
use rule::Kind;
use std::cmp::Reverse;

/// The usual length of quiet.
pub const QUIET_NS: u64 = 1_000_000_000;
/// A quiet tree runs for less than this part of the time ...
const QUIET_PART: u64 = 100;
/// ... or than this, where the time is short.
const QUIET_LEAST_NS: u64 = 2_000_000;
/// Ancestors for whose trees an event counts; a guard against endless chains.
const MAX_TREE: usize = 64;
/// Milestones kept of one start.
const MAX_MILESTONES: usize = 100;
/// Listening ports remembered of one start.
const MAX_PORTS: usize = 64;
/// Longest text of a program in a milestone.
const MAX_TEXT: usize = 200;
/// A start that may only be made ready by its own word is looked at this seldom.
const SELDOM_NS: u64 = 5_000_000_000;

const AF_UNIX: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const TCP_SYN_SENT: u32 = 2;

/// Why a start is finished.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub kind: &'static str,
    pub inferred: bool,
    pub detail: Option<String>,
}

/// What is remembered of an open start towards its readiness.
#[derive(Debug)]
pub(super) struct State {
    seq: u32,
    origin_ns: u64,
    /// Threads seen from now on are seen from their beginning.
    from_birth: bool,
    rule: Option<usize>,
    /// When it is looked at next; 0: something has to happen before.
    armed_ns: u64,
    /// Open starts below it in its tree.
    open_below: u32,
    quiet: Quiet,
    /// It was quiet once, and that decides nothing: it is not looked for any more.
    rested: bool,
    threads: Threads,
    /// `at_ns` on the boottime clock.
    milestones: Vec<Milestone>,
    listen: Option<(u64, String)>,
    /// Somebody in the tree waits for clients, which did not decide.
    accept: Option<(u64, String)>,
    ports: Vec<u16>,
    serves_unix: bool,
    workers: u32,
    workers_ns: u64,
    pub verdict: Option<Verdict>,
}

impl State {
    fn note(&mut self, name: &str, at_ns: u64, detail: Option<String>, inferred: bool) {
        if self.milestones.len() < MAX_MILESTONES {
            self.milestones.push(Milestone { name: name.to_owned(), at_ns, detail, inferred });
        }
    }

    fn note_first(&mut self, name: &str, at_ns: u64, detail: Option<String>, inferred: bool) {
        if !self.milestones.iter().any(|milestone| milestone.name == name) {
            self.note(name, at_ns, detail, inferred);
        }
    }

    fn port(&mut self, socket: Option<&Socket>) {
        if let Some(local) = socket.and_then(|socket| socket.local)
            && self.ports.len() < MAX_PORTS
            && !self.ports.contains(&local.port())
        {
            self.ports.push(local.port());
        }
    }

    fn thread(&mut self, tid: u32) -> &mut quiet::Thread {
        let whole = self.from_birth;
        self.threads.entry(tid).or_insert_with(|| quiet::Thread::new(whole))
    }

    fn told(&mut self, tid: u32, spent: &Spent, at_ns: u64) -> &mut quiet::Thread {
        let thread = self.thread(tid);
        thread.told(spent, at_ns);
        thread
    }

    /// The milestones up to a moment, `at_ns` still on the boottime clock.
    pub(super) fn milestones(&self, end_ns: u64) -> Vec<Milestone> {
        let mut all = self.milestones.clone();
        if self.workers >= 2 {
            all.push(Milestone {
                name: "workers_ready".to_owned(),
                at_ns: self.workers_ns,
                detail: Some(format!("{} workers", self.workers)),
                inferred: true,
            });
        }
        all.retain(|milestone| (self.origin_ns..=end_ns).contains(&milestone.at_ns));
        all
    }
}

/// What was found out about a start from outside: that it has a file, or answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outside {
    /// Which of [`rule::Rules::list`].
    pub rule: usize,
    /// In words, with how late it may have been seen.
    pub detail: String,
}

impl Builder {
    pub(super) fn quiet_ns(&self) -> u64 {
        if self.options.quiet_ns == 0 { QUIET_NS } else { self.options.quiet_ns }
    }

    fn budget_ns(&self) -> u64 {
        (self.quiet_ns() / QUIET_PART).max(QUIET_LEAST_NS)
    }

    /// A start was opened.
    pub(super) fn begin_ready(&mut self, id: Id, origin_ns: u64, seq: u32) {
        let timeline = self.options.level >= Level::Timeline;
        if !timeline && self.options.ready.list.is_empty() {
            return;
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        let rule = self.options.ready.of(process.program.image.exe.as_deref(), process.is_command);
        let from_birth = process.start.as_ref().is_some_and(|start| !start.in_place && !start.partial);
        process.ready = Some(Box::new(State {
            seq,
            origin_ns,
            from_birth,
            rule,
            armed_ns: 0,
            open_below: 0,
            quiet: Quiet::new(origin_ns),
            rested: !timeline,
            threads: Threads::default(),
            milestones: Vec::new(),
            listen: None,
            accept: None,
            ports: Vec::new(),
            serves_unix: false,
            workers: 0,
            workers_ns: 0,
            verdict: None,
        }));
        for owner in self.trees_with(id).into_iter().skip(1) {
            if let Some(state) = self.state(owner) {
                state.open_below += 1;
            }
        }
        if timeline {
            self.arm(id, origin_ns.saturating_add(self.quiet_ns()));
        }
        self.arm_time(id);
    }

    /// A start was closed; `ready`: the process goes on, and is no longer of interest.
    pub(super) fn end_ready(&mut self, id: Id, end_ns: u64, ready: bool) {
        let trees = self.trees_with(id);
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.ready.take().is_none() {
            return;
        }
        let copy = process.execs == 0 && process.creation.is_some();
        let creator = process.creator;
        if ready {
            self.settled.push(id);
        }
        let quiet_ns = self.quiet_ns();
        for owner in trees.into_iter().filter(|owner| *owner != id) {
            let Some(state) = self.state(owner) else { continue };
            state.open_below = state.open_below.saturating_sub(1);
            if ready {
                // The whole does not rest before its parts.
                state.quiet.active(end_ns);
            }
            if copy && ready && creator == Some(owner) {
                state.workers += 1;
                state.workers_ns = state.workers_ns.max(end_ns);
            }
            if state.open_below == 0 && state.armed_ns == 0 && !state.rested {
                let at = state.quiet.since_ns().saturating_add(quiet_ns);
                self.arm(owner, at);
            }
        }
    }

    fn state(&mut self, id: Id) -> Option<&mut State> {
        self.processes.get_mut(&id)?.ready.as_deref_mut()
    }

    fn kind(&self, id: Id) -> &Kind {
        let rule = self.processes.get(&id).and_then(|process| process.ready.as_ref()?.rule);
        self.options.ready.kind(rule)
    }

    fn arm(&mut self, id: Id, at_ns: u64) {
        let Some(state) = self.state(id) else { return };
        let at_ns = at_ns.max(1);
        state.armed_ns = at_ns;
        let seq = state.seq;
        self.due.push(Reverse((at_ns, id, seq)));
    }

    fn arm_time(&mut self, id: Id) {
        if let Kind::Time(after) = *self.kind(id)
            && let Some(state) = self.state(id)
        {
            let (at, seq) = (state.origin_ns.saturating_add(after), state.seq);
            self.due.push(Reverse((at, id, seq)));
        }
    }

    /// The open starts in whose tree a process is: its own first, then upwards.
    fn trees_with(&self, id: Id) -> Vec<Id> {
        let mut found = Vec::new();
        let (mut next, mut created_ns) = (Some(id), u64::MAX);
        for _ in 0..MAX_TREE {
            let Some((at, process)) = next.and_then(|at| Some((at, self.processes.get(&at)?))) else { break };
            if process.ready.as_ref().is_some_and(|state| created_ns >= state.origin_ns) {
                found.push(at);
            }
            created_ns = process.created_ns.unwrap_or(at.birth_ns);
            next = process.creator;
        }
        found
    }

    /// Something happened in the trees of a process: `with` gets the window of each and its owner.
    fn touch(&mut self, id: Id, at_ns: u64, mut with: impl FnMut(&mut Quiet, Id)) {
        let quiet_ns = self.quiet_ns();
        let Self { processes, due, .. } = self;
        let (mut next, mut created_ns) = (Some(id), u64::MAX);
        for _ in 0..MAX_TREE {
            let Some((at, process)) = next.and_then(|at| Some((at, processes.get_mut(&at)?))) else { break };
            if let Some(state) = &mut process.ready
                && !state.rested
                && created_ns >= state.origin_ns
            {
                with(&mut state.quiet, at);
                if state.armed_ns == 0 {
                    state.armed_ns = at_ns.max(state.quiet.since_ns()).saturating_add(quiet_ns).max(1);
                    due.push(Reverse((state.armed_ns, at, state.seq)));
                }
            }
            created_ns = process.created_ns.unwrap_or(at.birth_ns);
            next = process.creator;
        }
    }

    /// A process made another, or a new image.
    pub(super) fn tree_grows(&mut self, id: Id, at_ns: u64) {
        self.touch(id, at_ns, |quiet, _| quiet.active(at_ns));
    }

    /// A new image is in place: another rule may hold, and other threads.
    pub(super) fn image_is_new(&mut self, time_ns: u64, id: Id, old_tid: u32, world: &mut dyn World) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.has_notify_socket = None;
        let rule = self.options.ready.of(process.program.image.exe.as_deref(), process.is_command);
        let Some(state) = &mut process.ready else { return };
        let changed = state.rule != rule;
        state.rule = rule;
        let thread = state.threads.remove(&old_tid);
        state.threads.clear();
        state.threads.extend(thread.map(|thread| (id.pid, thread)));
        // What the image before listened on and said is not this one's.
        (state.listen, state.accept) = (None, None);
        self.tree_grows(id, time_ns);
        if changed {
            self.arm_time(id);
        }
        if *self.kind(id) == Kind::Exec {
            self.decide(id, time_ns, "exec", false, None, world);
        }
    }

    fn decide(
        &mut self,
        id: Id,
        at_ns: u64,
        kind: &'static str,
        inferred: bool,
        detail: Option<String>,
        world: &mut dyn World,
    ) {
        let reached = self.marking.filter(|(when, ..)| *when == at_ns).map(|(_, id, tid)| (id, tid));
        let Some(state) = self.state(id) else { return };
        state.verdict = Some(Verdict { kind, inferred, detail });
        if let Some(start) = self.start_of(id) {
            start.reached = reached;
        }
        self.finish(id, at_ns, start::End::Ready, world);
    }

    /// A task waited.
    pub(super) fn wait_ended(&mut self, time_ns: u64, id: Id, tid: u32, wait: &Wait) {
        let asked = self.asked(id, wait);
        let Some(state) = self.state(id) else { return };
        let work = state.told(tid, &wait.spent, time_ns).waited(wait, time_ns) || asked;
        // Who wrote to the pipe: one of the tree?
        let writer = match (wait.kind, &wait.waker) {
            (WaitKind::Pipe | WaitKind::UnixSocket, Waker::Task { pid, .. }) if *pid != id.pid => {
                self.by_pid.get(pid).map(|writer| self.trees_with(*writer)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let budget_ns = self.budget_ns();
        self.touch(id, time_ns, |quiet, owner| {
            quiet.ran(&wait.spent, budget_ns);
            if work || writer.contains(&owner) {
                quiet.active(time_ns);
            }
        });
    }

    /// Did it wait for the answer of a peer that it turned to itself?
    fn asked(&self, id: Id, wait: &Wait) -> bool {
        let Some(socket) = &wait.socket else { return false };
        let above = || {
            let mut next = Some(id);
            std::iter::from_fn(move || {
                let at = next?;
                next = self.processes.get(&at)?.creator;
                Some((at, self.processes.get(&at)?))
            })
            .take(MAX_TREE)
        };
        match wait.kind {
            WaitKind::Network if socket.state == TCP_SYN_SENT => true,
            WaitKind::Network if socket.kind == SOCK_DGRAM => socket.peer.is_some(),
            WaitKind::Network => {
                let serves = |port| {
                    above()
                        .any(|(_, process)| process.ready.as_ref().is_some_and(|s| s.ports.contains(&port)))
                };
                socket.peer.is_some() && !socket.local.is_some_and(|local| serves(local.port()))
            }
            // A pair of sockets comes from the process itself or from above.
            WaitKind::UnixSocket => socket.peer_pid.is_some_and(|peer| {
                let serves = |(at, process): (Id, &super::process::Process)| {
                    at.pid == peer || process.ready.as_ref().is_some_and(|state| state.serves_unix)
                };
                peer != 0 && !above().any(serves)
            }),
            _ => false,
        }
    }

    /// A task passed a moment.
    pub(super) fn marked(&mut self, time_ns: u64, id: Id, tid: u32, mark: &Mark, world: &mut dyn World) {
        self.marking = Some((time_ns, id, tid));
        let Some(state) = self.state(id) else { return };
        state.told(tid, &mark.spent, time_ns);
        if mark.moment == Moment::End {
            state.threads.remove(&tid);
        }
        let budget_ns = self.budget_ns();
        self.touch(id, time_ns, |quiet, _| quiet.ran(&mark.spent, budget_ns));
        let socket = mark.socket.as_ref();
        match mark.moment {
            Moment::Entry => {
                if let Some(state) = self.state(id) {
                    state.note("entry", time_ns, None, mark.inferred);
                }
            }
            Moment::Listen => self.listens(time_ns, id, mark, world),
            Moment::AcceptWait => self.awaits_clients(time_ns, id, mark, world),
            Moment::Accepted | Moment::Answer => {
                let name = if mark.moment == Moment::Accepted { "first_accept" } else { "first_answer" };
                for owner in self.trees_with(id) {
                    let detail = of_process(described(socket, mark.text.as_deref(), true), id, owner);
                    if let Some(state) = self.state(owner) {
                        state.port(socket);
                        state.note_first(name, time_ns, Some(detail), mark.inferred);
                    }
                }
                // With clients from the first moment on, it need never wait for one.
                self.serves(time_ns, id, mark, true, world);
            }
            Moment::Notify => self.notified(time_ns, id, mark.text.as_deref().unwrap_or_default(), world),
            Moment::Name => {
                if let Some(name) = mark.text.as_deref().and_then(|text| text.strip_prefix('@')) {
                    // As `echo` writes it.
                    let name = name.trim_end_matches('\n');
                    self.marked_itself(time_ns, id, name, world);
                }
            }
            Moment::Output => self.wrote(time_ns, id, mark.text.as_deref().unwrap_or_default(), world),
            // Those of linking are told with its phases.
            Moment::Sums
            | Moment::Exec
            | Moment::End
            | Moment::LdState
            | Moment::LibcStart
            | Moment::ThreadName => {}
        }
    }

    fn listens(&mut self, time_ns: u64, id: Id, mark: &Mark, world: &mut dyn World) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            let Some(state) = self.state(owner) else { continue };
            state.port(mark.socket.as_ref());
            state.note_first("first_listen", time_ns, Some(detail.clone()), mark.inferred);
            state.listen.get_or_insert((time_ns, detail.clone()));
            if *self.kind(owner) == Kind::Listen {
                self.decide(owner, time_ns, "listen", mark.inferred, Some(detail), world);
            }
        }
    }

    fn awaits_clients(&mut self, time_ns: u64, id: Id, mark: &Mark, world: &mut dyn World) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            let Some(state) = self.state(owner) else { continue };
            state.port(mark.socket.as_ref());
            state.serves_unix |= is_unix(mark) && owner == id;
            // Nothing tells of a unix socket before.
            state.note_first("first_listen", time_ns, Some(detail.clone()), true);
            state.note_first("first_accept_wait", time_ns, Some(detail), mark.inferred);
        }
        self.serves(time_ns, id, mark, mark.inferred, world);
    }

    /// A process waits for clients, or has one.
    fn serves(&mut self, time_ns: u64, id: Id, mark: &Mark, inferred: bool, world: &mut dyn World) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            match self.kind(owner) {
                Kind::Listen => self.decide(owner, time_ns, "listen", true, Some(detail), world),
                Kind::Accept => self.decide(owner, time_ns, "accept", inferred, Some(detail), world),
                Kind::Auto => {
                    // A helper with a unix socket of its own (an agent, a fork server) is not the service.
                    let own = owner == id
                        || !is_unix(mark)
                        || mark.fd.is_some_and(|fd| world.shares_socket(id, fd, owner) == Some(true));
                    if own && !self.must_notify(owner, world) {
                        self.decide(owner, time_ns, "accept", inferred, Some(detail), world);
                    } else if let Some(state) = self.state(owner) {
                        state.accept.get_or_insert((time_ns, detail));
                    }
                }
                _ => {}
            }
        }
    }

    /// Has it to say READY=1 itself? A copy of a living process has not: its creator has. Nor has anybody
    /// below a process whose tree has said it.
    fn must_notify(&mut self, id: Id, world: &mut dyn World) -> bool {
        let mut next = Some(id);
        for depth in 0..MAX_TREE {
            let Some(process) = next.and_then(|at| self.processes.get(&at)) else { break };
            if process.has_notified {
                return false;
            }
            let copy = process.execs == 0 && process.creation.is_some();
            next = process.creator;
            if depth == 0 && copy {
                let creator = next.and_then(|creator| self.processes.get(&creator));
                if creator.is_some_and(|creator| creator.ended.is_none()) {
                    return false;
                }
            }
        }
        let Some(process) = self.processes.get_mut(&id) else { return false };
        if let Some(known) = process.has_notify_socket {
            return known;
        }
        let has = world.notify_socket(id).unwrap_or(false);
        process.has_notify_socket = Some(has);
        has
    }

    fn notified(&mut self, time_ns: u64, id: Id, text: &str, world: &mut dyn World) {
        for line in text.lines() {
            let (name, detail) = match line.split_once('=') {
                Some(("READY", "1")) => ("notify_ready", None),
                Some(("EXTEND_TIMEOUT_USEC", usec)) if usec.bytes().all(|b| b.is_ascii_digit()) => {
                    ("notify_extend_timeout", Some(format!("{} us", cut(usec))))
                }
                Some(("STATUS", status)) => ("notify_status", Some(cut(status).to_owned())),
                Some(("MAINPID", pid)) if pid.bytes().all(|b| b.is_ascii_digit()) => {
                    ("notify_main_pid", Some(cut(pid).to_owned()))
                }
                _ => continue,
            };
            for owner in self.trees_with(id) {
                if let Some(state) = self.state(owner) {
                    let by = (owner != id).then(|| format!("pid {}", id.pid));
                    state.note(name, time_ns, detail.clone().or(by), false);
                }
            }
        }
        if !text.lines().any(|line| line == "READY=1") {
            return;
        }
        for owner in self.trees_with(id) {
            let ready = match self.kind(owner) {
                Kind::Notify => true,
                Kind::Auto => self.must_notify(owner, world),
                _ => false,
            };
            if ready {
                let detail = (owner != id).then(|| format!("READY=1 of pid {}", id.pid));
                self.decide(owner, time_ns, "notify", false, detail, world);
                if let Some(process) = self.processes.get_mut(&owner) {
                    process.has_notified = true;
                }
            }
        }
    }

    fn marked_itself(&mut self, time_ns: u64, id: Id, name: &str, world: &mut dyn World) {
        for owner in self.trees_with(id) {
            let detail = of_process(name.to_owned(), id, owner);
            if let Some(state) = self.state(owner) {
                state.note("mark", time_ns, Some(detail.clone()), false);
            }
            if matches!(self.kind(owner), Kind::Mark(wanted) if wanted == name) {
                self.decide(owner, time_ns, "mark", false, Some(detail), world);
            }
        }
    }

    fn wrote(&mut self, time_ns: u64, id: Id, text: &str, world: &mut dyn World) {
        for owner in self.trees_with(id) {
            if let Some(state) = self.state(owner) {
                let by = (owner != id).then(|| format!("pid {}", id.pid));
                state.note_first("first_output", time_ns, by, false);
            }
            let Kind::Output(pattern) = self.kind(owner) else { continue };
            let detail = pattern.as_ref().map(|pattern| format!("matches {pattern}"));
            let rule = self.processes.get(&owner).and_then(|process| process.ready.as_ref()?.rule);
            let regex = rule.and_then(|rule| self.patterns.get(rule)?.as_ref());
            if detail.is_none() || regex.is_some_and(|regex| regex.is_match(text)) {
                self.decide(owner, time_ns, "output", false, detail, world);
            }
        }
    }

    /// Is a start under way that waits for what a rule says?
    pub fn waits_for(&self, rule: usize) -> bool {
        let waits = |process: &super::process::Process| {
            process.ready.as_ref().is_some_and(|state| state.rule == Some(rule))
        };
        self.processes.values().any(waits)
    }

    /// Something was found out from outside.
    pub fn outside(&mut self, time_ns: u64, seen: &Outside, world: &mut dyn World) {
        let kind = self.options.ready.kind(Some(seen.rule)).name();
        let holds = |process: &super::process::Process| {
            process.ready.as_ref().filter(|state| state.rule == Some(seen.rule)).map(|state| state.origin_ns)
        };
        let mut open: Vec<(u64, Id)> = self
            .processes
            .iter()
            .filter_map(|(id, process)| Some((holds(process)?, *id)))
            .filter(|(origin_ns, _)| *origin_ns <= time_ns)
            .collect();
        // Children first: what their parents wait for is then known.
        open.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in open {
            if let Some(state) = self.state(id) {
                state.note(kind, time_ns, Some(seen.detail.clone()), true);
            }
            self.decide(id, time_ns, kind, true, Some(seen.detail.clone()), world);
        }
    }

    /// The first time at which [`Self::look`] has something to do.
    pub(super) fn look_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Looks at the starts whose time has come.
    pub(super) fn look(&mut self, now_ns: u64, world: &mut dyn World) {
        while let Some(&Reverse((at, id, seq))) = self.due.peek()
            && at <= now_ns
        {
            self.due.pop();
            let Some(state) = self.state(id).filter(|state| state.seq == seq) else { continue };
            let origin_ns = state.origin_ns;
            if state.armed_ns == at {
                state.armed_ns = 0;
                self.look_at(id, now_ns, world);
            } else if let Kind::Time(after) = *self.kind(id)
                && origin_ns.saturating_add(after) == at
            {
                self.decide(id, at, "time", false, None, world);
            }
        }
    }

    fn look_at(&mut self, id: Id, now_ns: u64, world: &mut dyn World) {
        let (quiet_ns, budget_ns) = (self.quiet_ns(), self.budget_ns());
        let Some(state) = self.state(id).filter(|state| !state.rested) else { return };
        let due_ns = state.quiet.since_ns().saturating_add(quiet_ns);
        if due_ns > now_ns {
            return self.arm(id, due_ns);
        }
        if state.open_below > 0 {
            // The end of theirs wakes us.
            return;
        }
        let Some(tasks) = world.tasks(id) else {
            // On its way out, or not to be looked into.
            return self.arm(id, now_ns.saturating_add(quiet_ns));
        };
        // All processes are gone through, so only where it matters.
        let waits_for_child = tasks.iter().any(|task| task.doing == Doing::Child);
        let settled_children = waits_for_child && self.has_settled_child(id);
        let Some(state) = self.state(id) else { return };
        let mut untold = Vec::new();
        let mut again = None;
        // What the kernel side does not tell: unix sockets in an epoll set, sockets from elsewhere.
        if let Some(task) = tasks.iter().find(|task| task.doing == Doing::Clients) {
            let detail =
                task.object.as_deref().map_or_else(|| "socket".to_owned(), |text| cut(text).to_owned());
            state.accept.get_or_insert((state.quiet.since_ns(), detail));
        }
        for task in &tasks {
            let origin_ns = state.origin_ns;
            let thread = state.thread(task.tid);
            let since_told = match task.running_ns {
                Some(total) if thread.whole => total.saturating_sub(thread.running_ns),
                // The first look at it: the second will tell how much it runs.
                Some(total) => {
                    (thread.whole, thread.running_ns) = (true, total);
                    if task.doing == Doing::Running || thread.told_ns == 0 {
                        again = Some(now_ns.saturating_add(quiet_ns / 4));
                    }
                    0
                }
                None => 0,
            };
            if task.doing == Doing::Running && since_told >= budget_ns {
                state.quiet.active(now_ns);
                again = Some(now_ns.saturating_add(quiet_ns));
                break;
            }
            match &task.doing {
                Doing::Busy | Doing::Stopped => {
                    again = Some(now_ns.saturating_add(quiet_ns / 4));
                    break;
                }
                // When that is over, a record comes.
                Doing::Sleep { nr, args } if !thread.is_period(*nr, *args) => return,
                Doing::Lock | Doing::Peer => return,
                Doing::Child if !settled_children => return,
                _ => {}
            }
            // From its last record it ran on until it began to wait, in one go or nearly so.
            if since_told > 0 {
                let from_ns = if thread.told_ns > 0 { thread.told_ns } else { origin_ns };
                let until_ns = from_ns.saturating_add(since_told).min(now_ns);
                untold.push(Spent {
                    since_ns: from_ns,
                    until_ns,
                    running_ns: since_told,
                    ..Spent::default()
                });
            }
        }
        if let Some(again) = again {
            return self.arm(id, again);
        }
        match state.quiet.begin_ns(&untold, budget_ns) {
            Ok(begin_ns) => self.rests(id, begin_ns, now_ns, world),
            Err(until_ns) => {
                state.quiet.active(until_ns);
                self.arm(id, until_ns.saturating_add(quiet_ns));
            }
        }
    }

    /// Does one of its children go on whose start is finished? Waiting for that is no work.
    fn has_settled_child(&self, id: Id) -> bool {
        self.processes.values().any(|child| {
            child.creator == Some(id)
                && child.ended.is_none()
                && child.start.is_none()
                && child.last.is_some()
        })
    }

    /// The tree has been quiet for long enough.
    fn rests(&mut self, id: Id, begin_ns: u64, now_ns: u64, world: &mut dyn World) {
        let kind = self.kind(id).clone();
        let waits = kind == Kind::Auto && self.must_notify(id, world);
        let Some(state) = self.state(id) else { return };
        state.note_first("quiet", begin_ns, None, true);
        match (&kind, state.accept.clone(), state.listen.clone()) {
            (Kind::Quiet, ..) => self.decide(id, begin_ns, "quiet", true, None, world),
            (Kind::Auto, ..) if waits => {
                // Until then; or until somebody above has said it for all.
                let again = now_ns.saturating_add(SELDOM_NS);
                self.arm(id, again);
            }
            (Kind::Accept, Some((at, detail)), _) | (Kind::Auto, Some((at, detail)), _) => {
                state.note_first("first_listen", at.max(begin_ns), Some(detail.clone()), true);
                state.note_first("first_accept_wait", at.max(begin_ns), Some(detail.clone()), true);
                self.decide(id, at.max(begin_ns), "accept", true, Some(detail), world);
            }
            (Kind::Auto, None, Some((at, detail))) => {
                self.decide(id, at.max(begin_ns), "listen", true, Some(detail), world);
            }
            (Kind::Auto, None, None) => self.decide(id, begin_ns, "quiet", true, None, world),
            _ => {
                state.rested = true;
                state.threads = Threads::default();
            }
        }
    }

    /// The window or the recording ends before the start: with what, and when.
    pub(super) fn out_of_time(
        &mut self,
        id: Id,
        end_ns: u64,
        end: start::End,
        world: &mut dyn World,
    ) -> (u64, start::End) {
        let why = match end {
            start::End::Window => "the window ended",
            start::End::Recording => "the recording ended",
            start::End::Exit(_) | start::End::Lost | start::End::Ready => return (end_ns, end),
        };
        if self.options.level < Level::Timeline || self.state(id).is_none() {
            return (end_ns, end);
        }
        let listens = match *self.kind(id) {
            Kind::Auto => !self.must_notify(id, world),
            _ => false,
        };
        let Some(state) = self.state(id) else { return (end_ns, end) };
        if listens && let Some((at, detail)) = state.listen.clone() {
            state.verdict = Some(Verdict { kind: "listen", inferred: true, detail: Some(detail) });
            let rest_ns = state.quiet.begin_ns(&[], u64::MAX).unwrap_or(at);
            return (at.max(rest_ns).min(end_ns), start::End::Ready);
        }
        if self.asked_at_end >= MAX_ASKED {
            return (end_ns, end);
        }
        self.asked_at_end += u32::from(end == start::End::Recording);
        let doing = world.tasks(id).map(|tasks| doing(&tasks));
        let detail = match doing {
            Some(doing) if !doing.is_empty() => format!("{why}; it {doing}"),
            _ => why.to_owned(),
        };
        if let Some(state) = self.state(id) {
            state.verdict = Some(Verdict { kind: "timeout", inferred: false, detail: Some(detail) });
        }
        (end_ns, end)
    }
}

/// At the end of a recording so many starts are asked what they do: it has to end.
const MAX_ASKED: u32 = 256;

/// What its threads do, in words, the main thread's first.
fn doing(tasks: &[TaskNow]) -> String {
    let mut groups: Vec<(String, u32)> = Vec::new();
    for task in tasks {
        let object = |text: String| match &task.object {
            Some(object) => format!("{text} ({})", cut(object)),
            None => text,
        };
        let text = match (&task.doing, &task.call) {
            (Doing::Running, _) => "runs".to_owned(),
            (Doing::Stopped, _) => "is stopped".to_owned(),
            (Doing::Busy, Some(call)) => object(format!("is held up in {call}")),
            (Doing::Busy, None) => "is held up in the kernel".to_owned(),
            (_, Some(call)) => object(format!("waits in {call}")),
            (_, None) => "waits".to_owned(),
        };
        match groups.iter_mut().find(|group| group.0 == text) {
            Some(group) => group.1 += 1,
            None => groups.push((text, 1)),
        }
    }
    let more = groups.len().saturating_sub(3);
    let mut texts: Vec<String> = groups
        .into_iter()
        .take(3)
        .map(|(text, n)| if n > 1 { format!("{text} ({n} threads)") } else { text })
        .collect();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).map_or(text, |(at, _)| &text[..at])
}

/// `tcp 0.0.0.0:80`, `unix /run/x`.
fn described(socket: Option<&Socket>, text: Option<&str>, peer: bool) -> String {
    let Some(socket) = socket else { return text.map_or_else(|| "socket".to_owned(), |t| cut(t).to_owned()) };
    let address = if peer { socket.peer } else { socket.local };
    match (socket.family, address) {
        (AF_UNIX, _) => match text.filter(|text| !text.is_empty()) {
            // One in the abstract namespace, as ss(8) writes it.
            Some(path) => match path.strip_prefix('\0') {
                Some(name) => format!("unix @{}", cut(name)),
                None => format!("unix {}", cut(path)),
            },
            None => "unix".to_owned(),
        },
        (_, Some(address)) if socket.kind == SOCK_DGRAM => format!("udp {address}"),
        (_, Some(address)) => format!("tcp {address}"),
        (family, None) => format!("address family {family}"),
    }
}

fn is_unix(mark: &Mark) -> bool {
    mark.socket.as_ref().is_some_and(|socket| socket.family == AF_UNIX)
}

fn of_process(text: String, id: Id, owner: Id) -> String {
    if id == owner { text } else { format!("{text} in pid {}", id.pid) }
}
