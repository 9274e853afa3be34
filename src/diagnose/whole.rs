//! What somebody waits for: a command with all that it started, or what one process started while it was
//! recorded. Savings are wall time of that, never sums over starts.
//!
//! A whole has one path: every moment of it belongs to one task. With one root start it is that start's
//! critical path. With several (a master that was running before and forked workers) it is put together
//! backwards from the last end: a start's own path while it was the last to end; before it began, the
//! sibling that ended just before; and of a sibling that was still going on then, what its parent spent on
//! forking it, since one thread forks one child at a time.
//!
//! A process that was there before the recording is no start that its children are part of: nothing is known of
//! how it waits for them, and whoever records it asks what it starts. Its children are roots.

use super::hit::{Claim, Of};
use super::known::Key;
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;

/// One start, as far as its place in time and in the tree goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Hash of its id.
    pub(super) key: u64,
    /// Hash of its parent's start.
    pub(super) parent: Option<u64>,
    /// Hash of its parent's process: what roots have in common.
    pub(super) creator: u64,
    pub(super) origin: u64,
    pub(super) finish: u64,
    /// The end of its first phase, if that is `fork`.
    pub(super) forked: u64,
}

/// A stretch of a path: one task's time, or short pieces of many tasks that were put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Of pieces of many tasks: whose path it is.
    pub(super) of: u64,
    pub(super) tid: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Of pieces of many tasks: how long it is that start's own. The rest is of others, and where each is, nobody knows.
    pub(super) own_ns: Option<u64>,
}

impl Run {
    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// How much of a claim on that start may be in it.
    fn holds(&self, of: u64, tid: u32) -> u64 {
        match self.own_ns {
            None if self.of == of && (self.tid == tid || self.tid == 0 || tid == 0) => self.length(),
            None => 0,
            Some(own_ns) if self.of == of => own_ns.min(self.length()),
            Some(own_ns) => self.length().saturating_sub(own_ns),
        }
    }
}

/// One whole.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Places in the list of entries, in order of time.
    pub(super) roots: Vec<u32>,
    /// In order of time, without overlaps.
    pub(super) path: Vec<Run>,
    /// Length of the path.
    pub(super) length: u64,
    /// All that it is, is a process that was there before the recording.
    pub(super) is_older: bool,
}

/// All wholes, and which one each start belongs to.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    pub(super) list: Vec<Whole>,
    /// The whole of each entry.
    of: Vec<u32>,
}

impl Wholes {
    /// `paths` has the critical paths of those that could be roots; where one is missing, the start itself
    /// is all that is known of it.
    /// `by_key` has the places of entries; `older` those of processes that were there before the recording; `runs` the
    /// commands of `stat`, which nobody waits for together.
    pub(super) fn new(
        entries: &[Entry],
        by_key: &HashMap<Key, u32>,
        paths: &HashMap<u64, Vec<Run>>,
        older: &HashSet<u64>,
        runs: &HashSet<u64>,
    ) -> Self {
        let mut root_of: Vec<Option<u32>> = vec![None; entries.len()];
        let mut way = Vec::new();
        for start in 0..entries.len() as u32 {
            // Up to a root, or to a start whose root is known. A circle, which only a forged file has, ends.
            let mut at = start;
            let root = loop {
                if let Some(known) = root_of.get(at as usize).copied().flatten() {
                    break known;
                }
                way.push(at);
                let parent = entries.get(at as usize).and_then(|entry| entry.parent);
                match parent
                    .filter(|parent| !older.contains(parent))
                    .and_then(|parent| by_key.get(&Key::of(parent)))
                    .filter(|_| way.len() <= entries.len())
                {
                    Some(&parent) => at = parent,
                    None => break at,
                }
            };
            for at in way.drain(..) {
                if let Some(of) = root_of.get_mut(at as usize) {
                    *of = Some(root);
                }
            }
        }
        let mut wholes = Self::default();
        let mut by_creator: HashMap<(u64, bool), u32> = HashMap::default();
        for at in 0..entries.len() as u32 {
            let root = root_of.get(at as usize).copied().flatten().unwrap_or(at);
            let creator =
                entries.get(root as usize).map_or((0, false), |root| match runs.contains(&root.key) {
                    true => (root.key, true),
                    false => (root.creator, false),
                });
            let place = *by_creator.entry(creator).or_insert_with(|| {
                wholes.list.push(Whole::default());
                (wholes.list.len() - 1) as u32
            });
            wholes.of.push(place);
            if root == at
                && let Some(whole) = wholes.list.get_mut(place as usize)
            {
                whole.roots.push(at);
            }
        }
        for whole in &mut wholes.list {
            whole.roots.sort_small_by_key(|&at| entries.get(at as usize).map(|entry| entry.origin));
            let roots: Vec<&Entry> = whole.roots.iter().filter_map(|&at| entries.get(at as usize)).collect();
            whole.is_older = roots.iter().all(|root| older.contains(&root.key));
            whole.path = join(&roots, paths);
            whole.length = whole.path.iter().fold(0, |sum, run| sum + (run.to - run.from));
        }
        wholes
    }

    /// The whole that a start belongs to, by its place among the entries.
    pub(super) fn of(&self, at: u32) -> Option<u32> {
        self.of.get(at as usize).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Whole> {
        self.list.get(number as usize)
    }

    /// What somebody waits for: all, but for a process that was there before if what is started takes at least
    /// half as long. What such a one does in the end, a child often did: a shell's child accepts, and not the shell.
    pub(super) fn awaited(&self) -> impl DoubleEndedIterator<Item = &Whole> {
        let begun = self.list.iter().filter(|whole| !whole.is_older).map(|whole| whole.length).max();
        let passed = begun.map_or(0, |begun| begun.saturating_mul(2));
        self.list.iter().filter(move |whole| !whole.is_older || whole.length > passed)
    }

    /// The longest of these.
    pub(super) fn main(&self) -> Option<&Whole> {
        self.awaited().rev().max_by_key(|whole| whole.length)
    }
}

/// One path from those of several roots, which are in order of their origins.
fn join(roots: &[&Entry], paths: &HashMap<u64, Vec<Run>>) -> Vec<Run> {
    // By their ends, latest last; and what is left of each when the path has come back before its end.
    let mut by_end: Vec<&Entry> = roots.to_vec();
    by_end.sort_small_by_key(|root| (root.finish, root.origin));
    let mut by_origin: Vec<&Entry> = roots.to_vec();
    let mut out: Vec<Run> = Vec::new();
    let mut now = u64::MAX;
    loop {
        while by_end.last().is_some_and(|root| root.finish > now || root.origin >= now) {
            by_end.pop();
        }
        while by_origin.last().is_some_and(|root| root.origin >= now) {
            by_origin.pop();
        }
        // The one that ended last of those that had ended ...
        let ended = by_end.last().copied();
        // ... or the fork before, of one that was still going on.
        let forking =
            by_origin.iter().rev().take(64).find(|root| root.forked <= now && root.forked > root.origin);
        let forking = forking.copied();
        let (root, until) = match (ended, forking) {
            (Some(ended), Some(forking)) if forking.forked > ended.finish => (forking, forking.forked),
            (Some(ended), _) => (ended, ended.finish),
            (None, Some(forking)) => (forking, forking.forked),
            (None, None) => break,
        };
        let until = until.min(now);
        let whole = [Run { of: root.key, tid: 0, from: root.origin, to: root.finish, own_ns: None }];
        let path = paths.get(&root.key).filter(|path| !path.is_empty()).map_or(&whole[..], |path| path);
        let within = path.iter().filter(|run| run.from < until && run.to > root.origin);
        let cut = within.map(|run| Run { from: run.from.max(root.origin), to: run.to.min(until), ..*run });
        out.extend(cut.filter(|run| run.from < run.to).collect::<Vec<_>>().into_iter().rev());
        // Always further back: a root without any length is passed over.
        now = root.origin.min(now.saturating_sub(1));
        if now == 0 {
            break;
        }
    }
    out.reverse();
    out
}

impl Whole {
    /// How long at least one of some of its roots was starting: where they overlap, one path does not lead through all
    /// of that.
    pub(super) fn under_way(&self, entries: &[Entry], of: impl Fn(&Entry) -> bool) -> u64 {
        let roots = self.roots.iter().filter_map(|&at| entries.get(at as usize)).filter(|root| of(root));
        length(&union(roots.map(|root| (root.origin, root.finish)).collect()))
    }
}

/// A piece of a whole's path that claims cover.
pub(super) type Piece = (u64, u64);

impl Whole {
    /// The parts of claims that lie on the path, in order of time, each nanosecond once.
    pub(super) fn on_path<'c>(&self, claims: impl Iterator<Item = &'c Claim>) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        // Claims are in order of time: what of each stretch of many tasks, own and of others, was claimed so far.
        let mut taken: Option<(u64, [u64; 2])> = None;
        for claim in claims {
            let first = self.path.partition_point(|run| run.to <= claim.from);
            let rest = self.path.get(first..).unwrap_or_default();
            for run in rest.iter().take_while(|run| run.from < claim.to) {
                let (from, mut to) = (run.from.max(claim.from), run.to.min(claim.to));
                // Task 0: what is known of a start as a whole.
                if let Of::Task(of, tid) = claim.of {
                    let mut left = run.holds(of, tid);
                    if run.own_ns.is_some() {
                        let sums = match &mut taken {
                            Some((begin, sums)) if *begin == run.from => sums,
                            other => &mut other.insert((run.from, [0; 2])).1,
                        };
                        let [own, others] = sums;
                        let sum = if run.of == of { own } else { others };
                        left = left.saturating_sub(*sum);
                        *sum = sum.saturating_add(left.min(to.saturating_sub(from)));
                    }
                    to = to.min(from.saturating_add(left));
                }
                if from < to {
                    pieces.push((from, to));
                }
            }
        }
        union(pieces)
    }
}

/// In order of time, touching and overlapping ones as one.
pub(super) fn union(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_unstable();
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for (from, to) in pieces {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

pub(super) fn length(pieces: &[Piece]) -> u64 {
    pieces.iter().fold(0, |sum, (from, to)| sum.saturating_add(to.saturating_sub(*from)))
}

/// What two lists of pieces, both as [`union`] gives them, have in common.
pub(super) fn common(a: &[Piece], b: &[Piece]) -> u64 {
    let (mut i, mut j, mut sum) = (0, 0, 0u64);
    while let (Some(&(a_from, a_to)), Some(&(b_from, b_to))) = (a.get(i), b.get(j)) {
        sum += a_to.min(b_to).saturating_sub(a_from.max(b_from));
        if a_to <= b_to { i += 1 } else { j += 1 }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u64, parent: Option<u64>, origin: u64, finish: u64) -> Entry {
        Entry { key, parent, creator: parent.unwrap_or(99), origin, finish, forked: origin }
    }

    #[test]
    fn roots_that_overlap_are_starting_as_long_as_one_of_them_is() {
        // The path goes from the last end back to where that one began, and leaves out who was still starting then.
        let entries = [entry(2, Some(1), 0, 100), entry(3, Some(1), 50, 120), entry(4, Some(1), 200, 230)];
        let wholes = of_entries(&entries, &HashMap::default());
        let whole = wholes.main().unwrap();
        assert_eq!((whole.length, whole.under_way(&entries, |_| true)), (100, 150));
        assert_eq!(whole.under_way(&entries, |root| root.key != 3), 130);
        assert_eq!(whole.under_way(&entries, |_| false), 0);
    }

    fn of_entries(entries: &[Entry], paths: &HashMap<u64, Vec<Run>>) -> Wholes {
        let by_key = entries.iter().zip(0u32..).map(|(entry, at)| (Key::of(entry.key), at)).collect();
        Wholes::new(entries, &by_key, paths, &HashSet::default(), &HashSet::default())
    }

    fn run(of: u64, from: u64, to: u64) -> Run {
        Run { of, tid: of as u32, from, to, own_ns: None }
    }

    fn claim(of: u64, from: u64, to: u64) -> Claim {
        Claim { of: Of::Task(of, of as u32), from, to }
    }

    #[test]
    fn one_root_is_its_own_path() {
        let entries = [entry(2, Some(1), 10, 60), entry(1, None, 0, 100), entry(3, Some(2), 20, 50)];
        let path = vec![run(1, 0, 10), run(2, 10, 60), run(1, 60, 100)];
        let wholes = of_entries(&entries, &[(1, path.clone())].into_iter().collect());
        assert_eq!(wholes.list.len(), 1);
        let whole = wholes.main().unwrap();
        assert_eq!((&whole.path, whole.length), (&path, 100));
        assert!([0, 1, 2].iter().all(|&at| wholes.of(at) == Some(0)));
        // A claim counts where the path leads through its task.
        assert_eq!(whole.on_path([claim(2, 0, 30), claim(1, 0, 30)].iter()), [(0, 30)]);
        assert_eq!(whole.on_path([claim(3, 20, 50)].iter()), []);
        assert_eq!(length(&whole.on_path([claim(1, 0, 100)].iter())), 50);
        let anybody = Claim { of: Of::Anybody, from: 55, to: 70 };
        assert_eq!(whole.on_path([anybody].iter()), [(55, 70)]);
    }

    #[test]
    fn of_what_was_put_together_everybody_has_as_much_as_is_said() {
        // A path of 100, of which 60 are short pieces: 20 of its own, 40 of others. The longest was of number 2.
        let entries = [entry(1, None, 0, 100), entry(2, Some(1), 30, 40), entry(3, Some(1), 50, 60)];
        let many = Run { own_ns: Some(20), ..run(1, 20, 80) };
        let path = vec![run(1, 0, 20), many, run(1, 80, 100)];
        let wholes = of_entries(&entries, &[(1, path)].into_iter().collect());
        let whole = wholes.main().unwrap();
        let on_path = |claims: &[Claim]| length(&whole.on_path(claims.iter()));
        assert_eq!(whole.length, 100);
        assert_eq!((on_path(&[claim(2, 30, 40)]), on_path(&[claim(3, 50, 60)])), (10, 10));
        assert_eq!(on_path(&[claim(2, 30, 40), claim(3, 50, 60)]), 20);
        // Nobody has more of it than there is.
        assert_eq!(on_path(&[claim(2, 20, 80)]), 40);
        assert_eq!(on_path(&[claim(2, 20, 50), claim(3, 50, 80)]), 40);
        assert_eq!(on_path(&[claim(1, 0, 100)]), 20 + 20 + 20);
        let anybody = Claim { of: Of::Anybody, from: 0, to: 90 };
        assert_eq!(on_path(&[anybody]), 90);
    }

    #[test]
    fn parallel_roots_cost_wall_time_once() {
        // Four workers at once, each of which sleeps for 80: the wall time of one.
        let entries: Vec<Entry> = (1..=4).map(|n| entry(n, None, n, 100 + n)).collect();
        let paths = (1..=4).map(|n| (n, vec![run(n, n, 100 + n)])).collect();
        let wholes = of_entries(&entries, &paths);
        let whole = wholes.main().unwrap();
        assert_eq!((wholes.list.len(), whole.roots.len(), whole.length), (1, 4, 100));
        let sleeps: Vec<Claim> = (1..=4).map(|n| claim(n, 10, 90)).collect();
        assert_eq!(length(&whole.on_path(sleeps.iter())), 80);
    }

    #[test]
    fn serial_roots_add_up_and_forks_of_one_parent_do() {
        // One after the other, with a gap.
        let entries = [entry(1, None, 0, 50), entry(2, None, 60, 100)];
        let wholes = of_entries(&entries, &HashMap::default());
        let whole = wholes.main().unwrap();
        assert_eq!(whole.length, 90);
        assert_eq!(length(&whole.on_path([claim(1, 0, 20), claim(2, 60, 70)].iter())), 30);
        // A large master: 100 to fork each, and they live on.
        let forked = |n: u64| Entry { forked: n * 100 + 100, ..entry(n, None, n * 100, 1000 + n) };
        let entries: Vec<Entry> = (0..3).map(forked).collect();
        let wholes = of_entries(&entries, &HashMap::default());
        let whole = wholes.main().unwrap();
        assert_eq!(whole.length, 1002);
        let forks: Vec<Claim> = (0..3).map(|n| claim(n, n * 100, n * 100 + 100)).collect();
        assert_eq!(length(&whole.on_path(forks.iter())), 300);
    }

    #[test]
    fn circles_and_strangers_end() {
        let entries = [
            entry(1, Some(2), 5, 9),
            entry(2, Some(1), 6, 8),
            entry(3, Some(3), 1, 2),
            entry(4, Some(77), 0, 0),
        ];
        let wholes = of_entries(&entries, &HashMap::default());
        assert!(wholes.list.iter().map(|whole| whole.roots.len()).sum::<usize>() >= 1);
        assert!(of_entries(&[], &HashMap::default()).main().is_none());
        let odd = Entry { finish: 3, ..entry(5, None, 9, 0) };
        assert!(of_entries(&[odd], &HashMap::default()).main().unwrap().length == 0);
    }

    #[test]
    fn pieces_have_their_algebra() {
        assert_eq!(union(vec![(5, 7), (0, 2), (2, 3), (6, 9)]), [(0, 3), (5, 9)]);
        assert_eq!(common(&[(0, 10), (20, 30)], &[(5, 25)]), 10);
        assert_eq!(common(&[], &[(5, 25)]), 0);
    }
}
