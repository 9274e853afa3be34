//! The children of one process, as far as their siblings need to know: is one of them a worker of a pool, or an
//! element of a pipeline?
//!
//! A master may have tens of thousands of them alive, and each is asked about more than once. So nothing here goes
//! through all: a child without an exec is looked at when it is created, when it is old enough to count, when it has
//! lived for long, and when it ends.

use crate::event::Id;
use crate::hash::HashMap;
use crate::method::facts::{Fd, FdKind, Siblings};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A living child may still be on its way to its exec; it counts as exec-less when it is older.
const ON_ITS_WAY_NS: u64 = 5_000_000;
/// What long-lived means for a worker.
const LONG_LIVED_NS: u64 = 1_000_000_000;
/// How close in time the elements of a pipeline are started. They share a pipe, whose number the
/// kernel does not give again for long; a busy machine takes its time between two forks.
const PIPELINE_NS: u64 = 1_000_000_000;
const RECENT: usize = 32;

/// The children that one process made in its present image. Most processes make none.
#[derive(Debug, Default)]
pub(super) struct Kids(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: u32,
    /// Children that were there when the image began.
    before: u32,
    /// Of all, and of those, how many have ended.
    gone: u32,
    /// Children without an exec so far, by PID: the living, and those that ended and are still among the `young`.
    execless: HashMap<u32, Kid>,
    /// Those that nobody has counted yet, in order of creation. Some are no longer in `execless`.
    young: VecDeque<Id>,
    /// Those that were counted and have not lived for long yet, in order of creation. Some are no longer in `execless`.
    counted: VecDeque<Id>,
    /// How many are counted and alive, and of those, how many have lived for long.
    staying: u32,
    long_lived: u32,
    /// How many ended without an exec, and of those, how many had lived for long.
    ended: u32,
    ended_long_lived: u32,
    /// The most of those counted that lived at one time ...
    peak: u32,
    /// ... and how many did when the latest of them was created, ...
    at_once: u32,
    /// ... whose ends are these, where they have ended. (A child ends after the creation of those that come later in
    /// `young`, and before they are counted.)
    ends: BinaryHeap<Reverse<u64>>,
    /// The latest children, for pipelines: creation, and pipes on descriptors 0 and 1.
    recent: VecDeque<(Id, u64, [Option<u64>; 2])>,
}

#[derive(Debug, Clone, Copy)]
struct Kid {
    id: Id,
    created_ns: u64,
    ended_ns: Option<u64>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Young,
    Counted,
    LongLived,
}

fn pipes(stdio: &[Fd; 3]) -> [Option<u64>; 2] {
    let pipe = |fd: Fd| (fd.kind == FdKind::Pipe).then_some(fd.inode);
    [pipe(stdio[0]), pipe(stdio[1])]
}

impl Kids {
    /// A new child, with the descriptors that it inherits: some shells put a pipeline's pipe onto their own
    /// before they fork, and a sibling may end before this one has exec'd.
    pub(super) fn forked(&mut self, id: Id, now: u64, stdio: &[Fd; 3]) {
        let known = self.0.get_or_insert_default();
        known.grow_older(now);
        known.all += 1;
        known.add(id, now);
        known.young.push_back(id);
        if known.recent.len() == RECENT {
            known.recent.pop_front();
        }
        known.recent.push_back((id, now, pipes(stdio)));
    }

    /// A child that was there before anything was seen. It may be met twice, first with its birth to the tick.
    pub(super) fn was_there(&mut self, id: Id, is_copy: bool) {
        let known = self.0.get_or_insert_default();
        let met = known.execless.get(&id.pid).filter(|kid| kid.ended_ns.is_none()).map(|kid| kid.id);
        match met {
            Some(met) => known.remove(met),
            None => known.all += 1,
        }
        if is_copy {
            known.add(id, id.birth_ns);
            // Before those that were created since.
            known.young.push_front(id);
        }
    }

    /// What the next image begins with: the children are its own, but no siblings of those that it makes.
    pub(super) fn of_next_image(&self) -> Self {
        let left = self.0.as_ref().map_or(0, |known| known.left());
        Self((left > 0).then(|| Box::new(Known { before: left, ..Known::default() })))
    }

    pub(super) fn stdio(&mut self, id: Id, stdio: &[Fd; 3]) {
        let recent = self.0.iter_mut().flat_map(|known| known.recent.iter_mut()).find(|kid| kid.0 == id);
        if let Some(kid) = recent {
            kid.2 = pipes(stdio);
        }
    }

    pub(super) fn execed(&mut self, id: Id) {
        if let Some(known) = &mut self.0 {
            known.remove(id);
        }
    }

    pub(super) fn ended(&mut self, id: Id, now: u64) {
        let known = self.0.get_or_insert_default();
        known.gone += 1;
        known.end(id, now);
    }

    /// Some of the children are there.
    pub(super) fn any_left(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.left() > 0)
    }

    pub(super) fn siblings(&mut self, id: Id, now: u64) -> Siblings {
        let Some(known) = &mut self.0 else { return Siblings::default() };
        known.grow_older(now);
        let own = known.execless.get(&id.pid).filter(|kid| kid.id == id);
        let is_young = own.is_some_and(|kid| kid.stage == Stage::Young && kid.ended_ns.is_none());
        Siblings {
            execless: known.ended + known.staying + u32::from(is_young),
            execless_peak: known.peak,
            execless_long_lived: known.ended_long_lived + known.long_lived,
            all: known.all,
            pipe_mates: known.pipe_mates(id),
        }
    }
}

impl Known {
    fn left(&self) -> u32 {
        (self.before + self.all).saturating_sub(self.gone)
    }

    fn add(&mut self, id: Id, created_ns: u64) {
        let kid = Kid { id, created_ns, ended_ns: None, stage: Stage::Young };
        if let Some(unseen) = self.execless.insert(id.pid, kid) {
            // Whose end nobody saw, but its PID is another's.
            self.leave(&unseen);
        }
    }

    /// It is no copy any more.
    fn remove(&mut self, id: Id) {
        if let Some(kid) = self.execless.get(&id.pid).filter(|kid| kid.id == id).copied() {
            self.execless.remove(&id.pid);
            self.leave(&kid);
        }
    }

    /// One that is not among the `execless` any more, and has not ended.
    fn leave(&mut self, kid: &Kid) {
        if kid.stage != Stage::Young {
            self.staying -= 1;
            self.long_lived -= u32::from(kid.stage == Stage::LongLived);
            self.at_once = self.at_once.saturating_sub(1);
        }
    }

    fn end(&mut self, id: Id, now: u64) {
        let Some(kid) = self.execless.get_mut(&id.pid).filter(|kid| kid.id == id && kid.ended_ns.is_none())
        else {
            return;
        };
        self.ended += 1;
        self.ended_long_lived += u32::from(now.saturating_sub(kid.created_ns) >= LONG_LIVED_NS);
        kid.ended_ns = Some(now);
        let stage = kid.stage;
        if stage != Stage::Young {
            self.staying -= 1;
            self.long_lived -= u32::from(stage == Stage::LongLived);
            self.ends.push(Reverse(now));
            self.execless.remove(&id.pid);
        }
    }

    /// Counts those that are old enough by now.
    fn grow_older(&mut self, now: u64) {
        while let Some(&id) = self.young.front() {
            if let Some(kid) = self.execless.get_mut(&id.pid).filter(|kid| kid.id == id) {
                // It has ended without an exec, or is not likely to do one any more. Those after it have to wait: what
                // it is decides how many lived when they were created.
                if kid.ended_ns.is_none() && now.saturating_sub(kid.created_ns) < ON_ITS_WAY_NS {
                    break;
                }
                let is_old = now.saturating_sub(kid.created_ns) >= LONG_LIVED_NS;
                kid.stage = if is_old { Stage::LongLived } else { Stage::Counted };
                let kid = *kid;
                self.count(&kid);
            }
            self.young.pop_front();
        }
        while let Some(&id) = self.counted.front() {
            if let Some(kid) = self.execless.get_mut(&id.pid).filter(|kid| kid.id == id) {
                if now.saturating_sub(kid.created_ns) < LONG_LIVED_NS {
                    break;
                }
                kid.stage = Stage::LongLived;
                self.long_lived += 1;
            }
            self.counted.pop_front();
        }
    }

    fn count(&mut self, kid: &Kid) {
        // At equal times, ends come first.
        while self.ends.peek().is_some_and(|end| end.0 <= kid.created_ns) {
            self.ends.pop();
            self.at_once = self.at_once.saturating_sub(1);
        }
        self.at_once += 1;
        self.peak = self.peak.max(self.at_once);
        match kid.ended_ns {
            Some(ended_ns) => {
                self.ends.push(Reverse(ended_ns));
                self.execless.remove(&kid.id.pid);
            }
            None => {
                self.staying += 1;
                if kid.stage == Stage::LongLived {
                    self.long_lived += 1;
                } else {
                    self.counted.push_back(kid.id);
                }
            }
        }
    }

    /// How many share a pipe with this one that nobody else has.
    fn pipe_mates(&self, id: Id) -> u32 {
        let Some(own) = self.recent.iter().find(|kid| kid.0 == id) else { return 0 };
        let is_mate = |kid: &&(Id, u64, [Option<u64>; 2])| {
            kid.0 != id
                && kid.1.abs_diff(own.1) <= PIPELINE_NS
                && (own.2[0].is_some() && kid.2[1] == own.2[0] || own.2[1].is_some() && kid.2[0] == own.2[1])
        };
        self.recent.iter().filter(is_mate).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pid: u32) -> Id {
        Id { pid, birth_ns: 0 }
    }

    const S: u64 = 1_000_000_000;
    const NONE: [Fd; 3] = [Fd { kind: FdKind::Unknown, inode: 0 }; 3];

    #[test]
    fn children_on_their_way_to_exec_are_no_pool() {
        let mut kids = Kids::default();
        kids.forked(id(1), 0, &NONE);
        kids.forked(id(2), 1000, &NONE);
        kids.execed(id(1));
        kids.execed(id(2));
        kids.forked(id(3), S, &NONE);
        let siblings = kids.siblings(id(3), S + 5);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.all), (1, 0, 3));
    }

    #[test]
    fn workers_are_counted_alive_and_ended() {
        let mut kids = Kids::default();
        for pid in 1..=4 {
            kids.forked(id(pid), u64::from(pid), &NONE);
        }
        kids.ended(id(1), 2 * S);
        kids.ended(id(2), 3 * S);
        let siblings = kids.siblings(id(3), 4 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (4, 4, 4));
    }

    /// Workers that are ready at once are asked about when they are young, and then not before they are named.
    #[test]
    fn living_workers_are_counted_however_long_nothing_happened() {
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid), &NONE);
            assert_eq!(kids.siblings(id(pid), 10).execless_peak, 0);
        }
        let siblings = kids.siblings(id(1), 2 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (3, 3, 3));
    }

    #[test]
    fn workers_that_were_there_before_are_siblings_of_those_that_come() {
        let mut kids = Kids::default();
        kids.was_there(id(1), true);
        kids.was_there(id(2), true);
        kids.was_there(id(3), false);
        kids.forked(id(4), 5 * S, &NONE);
        let siblings = kids.siblings(id(4), 5 * S + 1);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (3, 2, 2));
        // Met again, with its exact birth.
        let exact = Id { pid: 2, birth_ns: 7 };
        kids.was_there(exact, true);
        assert_eq!(kids.siblings(id(4), 5 * S + 1), siblings);
        kids.ended(id(1), 6 * S);
        assert!(kids.any_left());
        [exact, id(3), id(4)].into_iter().for_each(|kid| kids.ended(kid, 7 * S));
        assert!(!kids.any_left());
        assert_eq!(kids.siblings(id(4), 8 * S).execless_peak, 3);
    }

    #[test]
    fn children_of_the_image_before_are_left_but_no_siblings() {
        let mut kids = Kids::default();
        [1, 2].into_iter().for_each(|pid| kids.forked(id(pid), 0, &NONE));
        kids.ended(id(2), S);
        let mut next = kids.of_next_image();
        assert!(next.any_left());
        next.forked(id(3), 2 * S, &NONE);
        next.ended(id(1), 3 * S);
        assert!(next.any_left(), "the new one is there");
        assert_eq!(next.siblings(id(3), 4 * S).all, 1);
        next.ended(id(3), 5 * S);
        assert!(!next.any_left());
    }

    #[test]
    fn short_lived_workers_that_overlap_are_counted_once_they_have_ended() {
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid) * 1000, &NONE);
        }
        assert_eq!(kids.siblings(id(1), 5000).execless_peak, 0);
        for pid in 1..=3 {
            kids.ended(id(pid), 10_000 + u64::from(pid));
        }
        assert_eq!(kids.siblings(id(1), 20_000).execless_peak, 3);
        // One after the other is no pool.
        let mut serial = Kids::default();
        for pid in 1..=200 {
            serial.forked(id(pid), u64::from(pid) * S, &NONE);
            serial.ended(id(pid), u64::from(pid) * S + 7);
        }
        let siblings = serial.siblings(id(200), 300 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (200, 1, 0));
    }

    #[test]
    fn pipeline_elements_share_a_pipe() {
        let fd = |kind, inode| Fd { kind, inode };
        let pipe = |inode| fd(FdKind::Pipe, inode);
        let tty = fd(FdKind::Tty, 1);
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid) * 1_000_000, &NONE);
        }
        kids.stdio(id(1), &[tty, pipe(7), tty]);
        kids.stdio(id(2), &[pipe(7), pipe(8), tty]);
        kids.stdio(id(3), &[tty, pipe(9), tty]);
        assert_eq!(kids.siblings(id(1), S).pipe_mates, 1);
        assert_eq!(kids.siblings(id(2), S).pipe_mates, 1);
        assert_eq!(kids.siblings(id(3), S).pipe_mates, 0);
    }

    #[test]
    fn a_pipe_on_the_shells_own_descriptor_is_known_from_the_fork_on() {
        let pipe = |inode| Fd { kind: FdKind::Pipe, inode };
        let mut kids = Kids::default();
        kids.forked(id(1), 1000, &[NONE[0], pipe(7), NONE[0]]);
        kids.ended(id(1), 2000);
        kids.forked(id(2), 3000, &[pipe(7), NONE[0], NONE[0]]);
        assert_eq!(kids.siblings(id(1), S).pipe_mates, 1);
        // A stdin or stdout that both have of the shell is no pipeline.
        kids.forked(id(3), 4000, &[pipe(8), pipe(9), NONE[0]]);
        kids.forked(id(4), 5000, &[pipe(8), pipe(9), NONE[0]]);
        assert_eq!(kids.siblings(id(3), S).pipe_mates, 0);
    }

    proptest::proptest! {
        /// What is counted step by step is what the whole history says.
        #[test]
        fn what_is_counted_is_what_was(steps in proptest::collection::vec((0_u8..4, 0_u64..40, 0_usize..100), 1..200)) {
            let mut kids = Kids::default();
            // Creation, end, exec.
            let mut all: Vec<(u64, Option<u64>, bool)> = Vec::new();
            let mut now = S;
            for (what, later, at) in steps {
                now += [0, 1, 700, 4_000_000, 50_000_000, 400_000_000][(later % 6) as usize] + later;
                let is_alive = |kid: &(u64, Option<u64>, bool)| kid.1.is_none() && !kid.2;
                let alive: Vec<usize> = (0..all.len()).filter(|&at| is_alive(&all[at])).collect();
                let chosen = alive.get(at % alive.len().max(1)).copied();
                match (what, chosen) {
                    (0, Some(at)) => {
                        all[at].1 = Some(now);
                        kids.ended(id(at as u32), now);
                    }
                    // Those that are counted stay what they are.
                    (1, Some(at)) if now - all[at].0 < ON_ITS_WAY_NS => {
                        all[at].2 = true;
                        kids.execed(id(at as u32));
                    }
                    _ => {
                        kids.forked(id(all.len() as u32), now, &NONE);
                        all.push((now, None, false));
                    }
                }
            }
            now += ON_ITS_WAY_NS;
            let copies: Vec<(u64, u64)> =
                all.iter().filter(|kid| !kid.2).map(|kid| (kid.0, kid.1.unwrap_or(u64::MAX))).collect();
            // Of those created at one time, the latest has all of them beside it.
            let at_once = |&(time, _): &(u64, u64)| {
                copies.iter().filter(|&&(from, to)| from <= time && time < to).count() as u32
            };
            let long = copies.iter().filter(|&&(from, to)| to.min(now) - from >= LONG_LIVED_NS).count() as u32;
            let expected = Siblings {
                execless: copies.len() as u32,
                execless_peak: copies.iter().map(at_once).max().unwrap_or(0),
                execless_long_lived: long,
                all: all.len() as u32,
                pipe_mates: 0,
            };
            proptest::prop_assert_eq!(kids.siblings(id(0), now), expected);
        }
    }

    /// A master of thousands that stay: nothing goes through all of them for each.
    #[test]
    fn what_is_kept_does_not_grow_with_what_is_over() {
        let mut kids = Kids::default();
        for pid in 0..50_000_u32 {
            let now = u64::from(pid) * 10_000_000;
            kids.forked(id(pid), now, &NONE);
            kids.ended(id(pid), now + 1_000_000);
            assert_eq!(kids.siblings(id(pid), now + 2_000_000).execless_peak, 1);
        }
        let known = kids.0.unwrap();
        let kept = [known.execless.len(), known.young.len(), known.counted.len(), known.ends.len()];
        assert!(kept.iter().all(|&n| n <= 1), "{kept:?}");
    }
}
