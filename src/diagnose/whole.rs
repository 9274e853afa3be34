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

use super::entries::{Entries, Place};
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

/// A start that nobody else's start waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) key: u64,
    origin: u64,
    finish: u64,
    forked: u64,
    pub(super) place: Place,
}

/// One whole.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// In order of time.
    pub(super) roots: Vec<Root>,
    /// In order of time, without overlaps.
    pub(super) path: Vec<Run>,
    /// Length of the path.
    pub(super) length: u64,
    /// All that it is, is a process that was there before the recording.
    pub(super) is_older: bool,
}

/// All wholes, and which one each of the starts belongs to that are asked for.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    pub(super) list: Vec<Whole>,
    asked: HashMap<Key, (u32, Place)>,
}

/// A start that is the parent of others.
#[derive(Debug, Clone, Copy)]
struct Inner {
    parent: Option<u64>,
    creator: u64,
    root: Option<u64>,
}

/// The parents among the starts, by their keys: of a million starts, they are few.
#[derive(Debug, Default)]
struct Tree(HashMap<u64, Inner>);

impl Tree {
    fn new(entries: &Entries, key: &impl Fn(&str) -> u64, older: &HashSet<u64>) -> Self {
        let mut parents: HashSet<u64> = HashSet::default();
        entries.each(key, |entry, _| parents.extend(entry.parent.filter(|parent| !older.contains(parent))));
        let mut tree = HashMap::default();
        entries.each(key, |Entry { key, parent, creator, .. }, _| {
            if parents.contains(&key) {
                let parent = parent.filter(|parent| !older.contains(parent));
                tree.insert(key, Inner { parent, creator, root: None });
            }
        });
        Self(tree)
    }

    /// Up to a root, or to a start whose root is known. A circle, which only a forged file has, ends.
    fn root(&mut self, of: u64) -> Option<u64> {
        let (mut at, mut way) = (of, Vec::new());
        let root = loop {
            let inner = self.0.get(&at)?;
            if let Some(known) = inner.root {
                break known;
            }
            way.push(at);
            match inner.parent.filter(|parent| self.0.contains_key(parent) && way.len() <= self.0.len()) {
                Some(parent) => at = parent,
                None => break at,
            }
        };
        for at in way {
            if let Some(inner) = self.0.get_mut(&at) {
                inner.root = Some(root);
            }
        }
        Some(root)
    }
}

impl Wholes {
    /// The entries have the critical paths of those that could be roots; where one is missing, the start itself is all
    /// that is known of it. `older` are those of processes that were there before the recording; `runs` the commands of
    /// `stat`, which nobody waits for together; `asked` those whose whole and id will be asked for.
    pub(super) fn new(
        entries: &Entries,
        key: impl Fn(&str) -> u64,
        older: &HashSet<u64>,
        runs: &HashSet<u64>,
        asked: &HashSet<Key>,
    ) -> Self {
        let mut tree = Tree::new(entries, &key, older);
        let mut wholes = Self::default();
        let mut by_creator: HashMap<(u64, bool), u32> = HashMap::default();
        entries.each(&key, |entry, place| {
            let parent = entry.parent.filter(|parent| !older.contains(parent));
            let root = parent.and_then(|parent| tree.root(parent)).unwrap_or(entry.key);
            let creator = match runs.contains(&root) {
                true => (root, true),
                false if root == entry.key => (entry.creator, false),
                false => (tree.0.get(&root).map_or(0, |root| root.creator), false),
            };
            let number = *by_creator.entry(creator).or_insert_with(|| {
                wholes.list.push(Whole { is_older: true, ..Whole::default() });
                (wholes.list.len() - 1) as u32
            });
            if asked.contains(&Key::of(entry.key)) {
                wholes.asked.insert(Key::of(entry.key), (number, place));
            }
            if root == entry.key
                && let Some(whole) = wholes.list.get_mut(number as usize)
            {
                let Entry { key, origin, finish, forked, .. } = entry;
                whole.is_older &= older.contains(&key);
                whole.roots.push(Root { key, origin, finish, forked, place });
            }
        });
        for whole in &mut wholes.list {
            whole.roots.sort_small_by_key(|root| root.origin);
            whole.path = join(&whole.roots, |root| entries.runs(root.key, root.place));
            whole.length = whole.path.iter().fold(0, |sum, run| sum + (run.to - run.from));
        }
        wholes
    }

    /// The whole that a start belongs to, of those that were asked for.
    pub(super) fn of(&self, key: u64) -> Option<u32> {
        Some(self.asked.get(&Key::of(key))?.0)
    }

    /// Where its id is.
    pub(super) fn place(&self, key: u64) -> Option<Place> {
        Some(self.asked.get(&Key::of(key))?.1)
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
fn join(roots: &[Root], path_of: impl Fn(&Root) -> Vec<Run>) -> Vec<Run> {
    // By their ends, latest last; and what is left of each when the path has come back before its end.
    let mut by_end: Vec<u32> = (0..roots.len() as u32).collect();
    let root_at = |at: &u32| roots.get(*at as usize);
    by_end.sort_small_by_key(|at| root_at(at).map(|root| (root.finish, root.origin)));
    let mut by_origin = roots;
    let mut out: Vec<Run> = Vec::new();
    let mut now = u64::MAX;
    loop {
        while by_end.last().and_then(root_at).is_some_and(|root| root.finish > now || root.origin >= now) {
            by_end.pop();
        }
        while let Some((last, rest)) = by_origin.split_last()
            && last.origin >= now
        {
            by_origin = rest;
        }
        // The one that ended last of those that had ended ...
        let ended = by_end.last().and_then(root_at);
        // ... or the fork before, of one that was still going on.
        let forking =
            by_origin.iter().rev().take(64).find(|root| root.forked <= now && root.forked > root.origin);
        let (root, until) = match (ended, forking) {
            (Some(ended), Some(forking)) if forking.forked > ended.finish => (forking, forking.forked),
            (Some(ended), _) => (ended, ended.finish),
            (None, Some(forking)) => (forking, forking.forked),
            (None, None) => break,
        };
        let until = until.min(now);
        let mut path = path_of(root);
        if path.is_empty() {
            path.push(Run { of: root.key, tid: 0, from: root.origin, to: root.finish, own_ns: None });
        }
        let within = path.iter().rev().filter(|run| run.from < until && run.to > root.origin);
        let cut = within.map(|run| Run { from: run.from.max(root.origin), to: run.to.min(until), ..*run });
        out.extend(cut.filter(|run| run.from < run.to));
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
    pub(super) fn under_way(&self, of: impl Fn(&Root) -> bool) -> u64 {
        let roots = self.roots.iter().filter(|root| of(root));
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
        assert_eq!((whole.length, whole.under_way(|_| true)), (100, 150));
        assert_eq!(whole.under_way(|root| root.key != 3), 130);
        assert_eq!(whole.under_way(|_| false), 0);
    }

    fn of_entries(entries: &[Entry], paths: &HashMap<u64, Vec<Run>>) -> Wholes {
        let mut all = Entries::default();
        for entry in entries {
            all.push(&entry.key.to_string(), entry, paths.get(&entry.key).map_or(&[], Vec::as_slice));
        }
        let asked = entries.iter().map(|entry| Key::of(entry.key)).collect();
        let key = |id: &str| id.parse().unwrap();
        Wholes::new(&all, key, &HashSet::default(), &HashSet::default(), &asked)
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
        assert!([1, 2, 3].iter().all(|&key| wholes.of(key) == Some(0)) && wholes.of(4).is_none());
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
