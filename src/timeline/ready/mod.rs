//! When a start is finished: the milestones on its way, and the one that makes it ready.
//!
//! A start's *tree* is its process and the descendants that were created since its origin: what any of
//! them does counts for it. Each descendant has a start of its own, with a readiness of its own. A tree
//! is quiet only when no start below is under way, so that each process needs to be looked at only for
//! its own start, and only once its records say that the time has come.

mod marks;
pub(crate) mod quiet;
mod rest;
pub mod rule;
#[cfg(test)]
mod tests;

pub(crate) use rest::{ANSWER, LOOKS};

use super::world::World;
use super::{Builder, start};
use crate::event::Id;
use crate::event::task::{Socket, Spent, Wait, WaitKind, Waker};
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
    /// When the last of the starts below it was ready, and which task of the tree that was.
    last_part: Option<(u64, Id, u32)>,
    /// What it last answered to somebody who asked whether it is ready, if it was not.
    refusal: Option<String>,
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
    /// It answered that it is not ready: told when it begins to, or says it in another way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

impl Builder {
    pub(super) fn quiet_ns(&self) -> u64 {
        if self.options.quiet_ns == 0 { QUIET_NS } else { self.options.quiet_ns }
    }

    fn budget_ns(&self) -> u64 {
        (self.quiet_ns() / QUIET_PART).max(QUIET_LEAST_NS)
    }

    fn rule_of(&mut self, id: Id) -> Option<usize> {
        let process = self.processes.get(&id)?;
        let rule = self.options.ready.of(process.program.image.exe.as_deref(), process.is_command);
        self.rules_met.extend(rule.filter(|rule| !self.rules_met.contains(rule)));
        rule
    }

    /// The executables for whose starts something was asked for, and of which none was met.
    pub fn rules_not_met(&self) -> impl Iterator<Item = &str> {
        let rules = self.options.ready.list.iter().enumerate();
        rules.filter(|(at, _)| !self.rules_met.contains(at)).filter_map(|(_, rule)| rule.exe.as_deref())
    }

    /// A start was opened.
    pub(super) fn begin_ready(&mut self, id: Id, origin_ns: u64, seq: u32) {
        let timeline = self.options.level >= Level::Timeline;
        if !timeline && self.options.ready.list.is_empty() {
            return;
        }
        let rule = self.rule_of(id);
        let Some(process) = self.processes.get_mut(&id) else { return };
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
            last_part: None,
            refusal: None,
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
        let Some(state) = process.ready.take() else { return };
        // Its own rest may have begun with that of a part.
        let own = (end_ns, id, id.pid);
        let part = state.last_part.filter(|(at_ns, ..)| *at_ns == end_ns).unwrap_or(own);
        let copy = process.execs == 0 && process.creation.is_some();
        let creator = process.creator;
        if ready {
            self.settled.push((id, self.now_ns));
        }
        let quiet_ns = self.quiet_ns();
        for owner in trees.into_iter().filter(|owner| *owner != id) {
            let Some(state) = self.state(owner) else { continue };
            state.open_below = state.open_below.saturating_sub(1);
            if ready {
                // The whole does not rest before its parts.
                state.quiet.active(end_ns);
                state.last_part = state.last_part.max(Some(part));
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
        if at_ns == u64::MAX {
            // It never comes: a clock that a stranger wrote has run out, and every look would be followed by another.
            state.armed_ns = 0;
            return;
        }
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
        let rule = self.rule_of(id);
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.has_notify_socket = None;
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
        // What only waited for a part of it, rests from when that does.
        let part = state.last_part.filter(|(when, ..)| inferred && *when == at_ns);
        let reached = reached.or(part.map(|(_, id, tid)| (id, tid)));
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

    /// A task could not connect: whoever goes on trying is not ready, however it passes the time between.
    pub(super) fn connect_failed(&mut self, time_ns: u64, id: Id, tid: u32) {
        let Some(state) = self.state(id) else { return };
        state.thread(tid).failed();
        self.touch(id, time_ns, |quiet, _| quiet.active(time_ns));
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
                if seen.refused {
                    state.refusal = Some(cut(&seen.detail).to_owned());
                    continue;
                }
                state.note(kind, time_ns, Some(seen.detail.clone()), true);
            }
            self.decide(id, time_ns, kind, true, Some(seen.detail.clone()), world);
        }
    }
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).map_or(text, |(at, _)| &text[..at])
}

fn of_process(text: String, id: Id, owner: Id) -> String {
    if id == owner { text } else { format!("{text} in pid {}", id.pid) }
}
