//! What was seen of all the starts so far, as far as a finding about another one asks for it.

use super::case::{MAX_TEXT, MAX_WAITS};
use super::names::Names;
use super::pids::Pids;
use crate::aside::Scratch;
use crate::hash::{HashMap, RandomState};
use crate::trace::schema::{SHORT_START_NS, Start};
use crate::words::intern::{Interner, Sym};
use crate::words::label;
use std::hash::BuildHasher;
use std::rc::Rc;

/// Starts whose commands are remembered; the names of more are not known to those that waited for them.
const MAX_NAMES: usize = 200_000;
/// Threads of one process whose time is remembered.
const MAX_THREADS: usize = 64;
/// Processes with threads, and copies without an exec, that are remembered.
const MAX_FORKERS: usize = 20_000;
/// Attempts to connect that are remembered of one start and those below it.
const MAX_ATTEMPTS: usize = 1_000;

/// An attempt to connect, on the boottime clock.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) peer: Rc<str>,
    /// `None`: it succeeded.
    pub(crate) error: Option<Rc<str>>,
    /// The start that made it.
    pub(crate) by: u64,
}

/// A start's key in a table of hundreds of thousands: the same without the room that keeps a number aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) [u32; 2]);

impl Key {
    pub(super) fn of(key: u64) -> Self {
        Self([key as u32, (key >> 32) as u32])
    }
}

/// Short starts below one, however deep.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Below {
    pub(crate) n: u64,
    /// How long they took, each without its waits for a CPU.
    pub(crate) sum_ns: u64,
}

/// What was seen of other starts so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// With their places among the texts, and whether they are workers.
    names: Names,
    named: usize,
    /// Pids of starts that are finished, by their parent's start, as long as that is not.
    children: HashMap<u64, Pids>,
    /// ... and how many.
    pids: usize,
    /// From when to when other threads than the first were seen, by start.
    threads: HashMap<u64, Vec<(u64, u64)>>,
    /// When copies were made that went on without an exec, by their parent's start.
    copies: HashMap<u64, Vec<u64>>,
    /// Short starts that are finished, by the start that they descend from, as long as that is not.
    below: HashMap<u64, Below>,
    workers: usize,
    /// Attempts to connect of starts, and of those below them, where any failed.
    attempts: HashMap<u64, Vec<Attempt>>,
    pub(crate) texts: Interner,
    state: RandomState,
}

impl Known {
    /// Puts the commands of starts there.
    pub(super) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.names.keep_in(scratch);
    }

    /// With keys that somebody else has, too.
    pub(super) fn hashed_with(state: RandomState) -> Self {
        Self { state, ..Self::default() }
    }

    /// A start or a process by its id.
    pub(crate) fn key(&self, id: &str) -> u64 {
        self.state.hash_one(id)
    }

    /// A start's command.
    pub(crate) fn name_in(&mut self, start: &Start) -> Sym {
        self.texts.add(&label::of_start(start))
    }

    /// Takes a start in; its command.
    pub(crate) fn learn(&mut self, key: u64, start: &Start) -> Sym {
        let name = self.name_in(start);
        let parent =
            start.parent.as_ref().and_then(|parent| parent.start_id.as_deref()).map(|id| self.key(id));
        let is_worker = is_worker(start);
        if self.named < MAX_NAMES || (is_worker && self.workers < MAX_NAMES) {
            self.named += 1;
            self.workers += usize::from(is_worker);
            let sym = u32::try_from(name.number()).unwrap_or(u32::MAX).min(u32::MAX >> 1);
            self.names.insert(Key::of(key), sym << 1 | u32::from(is_worker));
        }
        self.learn_below(key, parent, start);
        // Only it will ask for them.
        if let Some(parent) = parent.filter(|parent| !self.names.contains(Key::of(*parent)))
            && self.pids < MAX_NAMES
        {
            self.pids += usize::from(self.children.entry(parent).or_default().insert(start.pid));
        }
        if let Some(parent) = parent.filter(|_| is_copy(start))
            && (self.copies.len() < MAX_FORKERS || self.copies.contains_key(&parent))
        {
            let copies = self.copies.entry(parent).or_default();
            if copies.len() < MAX_THREADS {
                copies.push(start.timeline.origin_boottime_ns);
            }
        }
        self.learn_attempts(key, parent, start);
        let spans = thread_spans(start);
        if !spans.is_empty() && self.threads.len() < MAX_FORKERS {
            self.threads.insert(key, spans);
        }
        name
    }

    /// A short start counts for all that it descends from, by way of its parent.
    fn learn_below(&mut self, key: u64, parent: Option<u64>, start: &Start) {
        let Some(parent) = parent.filter(|parent| !self.names.contains(Key::of(*parent))) else {
            return;
        };
        let mut more = self.below.get(&key).copied().unwrap_or_default();
        let states = start.timeline.states.as_ref();
        let busy_ns =
            start.timeline.duration_ns.saturating_sub(states.map_or(0, |states| states.runnable_ns));
        let ran = start.timeline.phases.iter().any(|phase| phase.name == "app");
        // What waits for others has their time.
        let itself_ns = busy_ns.saturating_sub(more.sum_ns);
        if ran && !start.partial && itself_ns < SHORT_START_NS {
            more.n = more.n.saturating_add(1);
            more.sum_ns = more.sum_ns.saturating_add(itself_ns);
        }
        if more.n > 0 && (self.below.len() < MAX_NAMES || self.below.contains_key(&parent)) {
            let all = self.below.entry(parent).or_default();
            all.n = all.n.saturating_add(more.n);
            all.sum_ns = all.sum_ns.saturating_add(more.sum_ns);
        }
    }

    /// The short starts below one that has just come to its end.
    pub(crate) fn below(&self, key: u64) -> Below {
        self.below.get(&key).copied().unwrap_or_default()
    }

    /// Its attempts to connect belong to those above it, too: a script tries by its helpers.
    fn learn_attempts(&mut self, key: u64, parent: Option<u64>, start: &Start) {
        let connects = &start.timeline.connects;
        let has_failed = connects.iter().any(|connect| connect.error.is_some());
        let awaited = |attempts: &[Attempt], peer: &str| attempts.iter().any(|old| &*old.peer == peer);
        let origin = start.timeline.origin_boottime_ns;
        let full = self.attempts.len() >= MAX_FORKERS;
        if has_failed && (!full || self.attempts.contains_key(&key)) {
            let own = self.attempts.entry(key).or_default();
            for connect in connects.iter().take(2 * MAX_ATTEMPTS) {
                let Some(peer) = connect.peer.as_deref().filter(|_| own.len() < MAX_ATTEMPTS) else {
                    continue;
                };
                let from = origin.saturating_add(connect.at_ns);
                own.push(Attempt {
                    from,
                    to: from.saturating_add(connect.duration_ns.unwrap_or(0)),
                    peer: peer.into(),
                    error: connect.error.as_deref().map(Into::into),
                    by: key,
                });
            }
        } else if let Some(own) = self.attempts.get_mut(&key) {
            // Where its helpers failed, it may succeed.
            for connect in connects.iter().take(MAX_ATTEMPTS) {
                let Some(peer) = connect.peer.as_deref().filter(|peer| awaited(own, peer)) else { continue };
                let from = origin.saturating_add(connect.at_ns);
                own.push(Attempt { from, to: from, peer: peer.into(), error: None, by: key });
            }
        }
        let Some(parent) = parent else { return };
        let mut passed: Vec<Attempt> = self.attempts.get(&key).cloned().unwrap_or_default();
        if let Some(above) = self.attempts.get(&parent).filter(|_| passed.is_empty()) {
            let known = connects.iter().filter_map(|connect| {
                let peer = connect.peer.as_deref().filter(|peer| awaited(above, peer))?;
                let from = origin.saturating_add(connect.at_ns);
                Some(Attempt { from, to: from, peer: peer.into(), error: None, by: key })
            });
            passed.extend(known.take(MAX_ATTEMPTS));
        }
        if passed.is_empty() || (self.attempts.len() >= MAX_FORKERS && !self.attempts.contains_key(&parent)) {
            return;
        }
        let above = self.attempts.entry(parent).or_default();
        for attempt in passed {
            // The last place is the latest one's: it tells how that ended.
            if above.len() >= MAX_ATTEMPTS {
                above.pop();
            }
            above.push(attempt);
        }
    }

    /// The attempts to connect of a start and of those below it; empty where none of them failed.
    pub(crate) fn attempts(&self, start_id: &str) -> &[Attempt] {
        self.attempts.get(&self.key(start_id)).map_or(&[], Vec::as_slice)
    }

    fn name_at(&self, key: u64) -> Option<Sym> {
        Some(Sym::from_number((self.names.get(Key::of(key))? >> 1) as usize))
    }

    /// The command of a start that was seen already.
    pub(crate) fn name(&self, start_id: &str) -> Option<&str> {
        self.name_at(self.key(start_id)).map(|name| self.texts.get(name))
    }

    /// The same by its key, fit for a sentence.
    pub(crate) fn name_of(&self, key: u64) -> Option<String> {
        self.name_at(key).map(|name| label::harmless(self.texts.get(name), MAX_TEXT))
    }

    /// Is that start, which was seen already, a worker: a copy that went on without an exec, or one of a pool? They do a
    /// part of the work, and answer nothing.
    pub(crate) fn is_worker(&self, start_id: &str) -> bool {
        self.names.get(Key::of(self.key(start_id))).is_some_and(|value| value & 1 == 1)
    }

    /// Is that pid the one of a child that was seen already?
    pub(crate) fn is_child(&self, parent: &str, pid: u32) -> bool {
        self.children.get(&self.key(parent)).is_some_and(|pids| pids.contains(pid))
    }

    /// A start has been looked at, and asks no more.
    pub(crate) fn done(&mut self, key: u64) {
        self.pids -= self.children.remove(&key).map_or(0, |pids| pids.len());
        self.below.remove(&key);
    }

    /// Other threads of a start that was seen already which were there at that time.
    pub(crate) fn threads_at(&self, start_id: &str, time_ns: u64) -> u64 {
        let spans = self.threads.get(&self.key(start_id)).map_or(&[][..], Vec::as_slice);
        spans.iter().filter(|(first, last)| *first < time_ns && time_ns < *last).count() as u64
    }

    /// Copies of a start that were made while it had other threads, and how many threads at most.
    pub(crate) fn forks_with_threads(&self, start_id: &str) -> (u64, u64) {
        let copies = self.copies.get(&self.key(start_id)).map_or(&[][..], Vec::as_slice);
        let threads = copies.iter().map(|at| self.threads_at(start_id, *at)).filter(|threads| *threads > 0);
        threads.fold((0, 0), |(n, most), threads| (n + 1, most.max(threads)))
    }
}

/// A copy of its parent that goes on without another program.
pub(crate) fn is_copy(start: &Start) -> bool {
    start.seq == 0
        && !start.partial
        && start.method.mechanism.as_deref() == Some("fork")
        && start.execs.iter().all(|exec| exec.error.is_some())
}

/// Such a copy, but for those that a shell makes for a part of its script; or of a pool by its method's name.
pub(crate) fn is_worker(start: &Start) -> bool {
    let pattern = start.method.pattern.as_deref().unwrap_or("");
    let is_pool = pattern.starts_with("multiprocessing.") || pattern.starts_with("loky.");
    is_pool || pattern.contains("worker") || (is_copy(start) && !pattern.starts_with("shell."))
}

/// From when to when each thread but the first was seen: by its waits.
fn thread_spans(start: &Start) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u32, u64, u64)> = Vec::new();
    let origin = start.timeline.origin_boottime_ns;
    for wait in start.timeline.waits.iter().take(MAX_WAITS).filter(|wait| wait.tid != start.pid) {
        let first = origin.saturating_add(wait.at_ns);
        let last = first.saturating_add(wait.duration_ns);
        let full = spans.len() >= MAX_THREADS;
        match spans.iter_mut().find(|(tid, ..)| *tid == wait.tid) {
            Some(span) => (span.1, span.2) = (span.1.min(first), span.2.max(last)),
            None if !full => spans.push((wait.tid, first, last)),
            None => {}
        }
    }
    spans.into_iter().map(|(_, first, last)| (first, last)).collect()
}
