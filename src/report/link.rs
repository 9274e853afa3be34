//! Joins starts to their parents. The file is untrusted: ids can be double, missing, or go in circles.

use super::digest::{Link, Outside, Row};
use crate::hash::HashMap;

/// Rows by a hashed key.
pub(crate) struct Index(Vec<(u64, u32)>);

impl Index {
    pub(crate) fn new(keys: impl Iterator<Item = u64>) -> Self {
        let mut entries: Vec<(u64, u32)> = keys.zip(0..).collect();
        entries.sort_unstable();
        Self(entries)
    }

    /// All rows of a key, in the order of the file.
    fn all(&self, key: u64) -> &[(u64, u32)] {
        let begin = self.0.partition_point(|e| e.0 < key);
        let end = begin + self.0.get(begin..).unwrap_or(&[]).partition_point(|e| e.0 == key);
        self.0.get(begin..end).unwrap_or(&[])
    }

    /// The last row of a key: of double ids the later one counts.
    pub(crate) fn last(&self, key: u64) -> Option<u32> {
        self.all(key).last().map(|e| e.1)
    }
}

/// Most rows of one process that are looked at for a parent that is named by process only.
const MAX_TRIES: usize = 64;

/// Fills in `parent` and `outside` of every row; returns the parents that have no row.
pub(crate) fn join(rows: &mut [Row], links: &[Link], by_start: &Index) -> Vec<Outside> {
    let by_process = Index::new(links.iter().map(|link| link.process));
    let mut outside = Vec::new();
    let mut outside_index: HashMap<u64, u32> = HashMap::default();
    for (i, link) in (0u32..).zip(links) {
        let Some(row) = rows.get(i as usize) else {
            continue;
        };
        let (seq, origin) = (row.seq, row.origin);
        // A later start of a process belongs under its first one.
        let earlier = || {
            let own = by_process.all(link.process).iter().take(MAX_TRIES);
            own.map(|e| e.1)
                .filter_map(|j| Some((rows.get(j as usize)?.seq, j)))
                .filter(|&(s, _)| s < seq)
                .min()
                .map(|(_, j)| j)
        };
        let own_first = if seq > 0 { earlier() } else { None };
        // The parent's start that was under way or the last before.
        let of_process = |process: u64| {
            let theirs = by_process.all(process);
            theirs
                .iter()
                .rev()
                .take(MAX_TRIES)
                .filter_map(|e| Some((rows.get(e.1 as usize)?.origin, e.1)))
                .filter(|&(o, _)| o <= origin)
                .max()
                .map(|(_, j)| j)
                .or(theirs.first().map(|e| e.1))
        };
        let parent = own_first.or_else(|| {
            let parent = link.parent?;
            parent.start.and_then(|start| by_start.last(start)).or_else(|| of_process(parent.process))
        });
        let circle = parent == Some(i);
        let parent = parent.filter(|_| !circle);
        let out = match (parent, link.parent) {
            (None, Some(link)) if !circle => Some(*outside_index.entry(link.process).or_insert_with(|| {
                outside.push(Outside { pid: link.pid, comm: link.comm });
                (outside.len() - 1) as u32
            })),
            _ => None,
        };
        if let Some(row) = rows.get_mut(i as usize) {
            (row.parent, row.outside) = (parent, out);
        }
    }
    cut_cycles(rows);
    outside
}

/// Makes a root of one start in every circle.
fn cut_cycles(rows: &mut [Row]) {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnPath,
        Done,
    }
    let mut seen = vec![Seen::No; rows.len()];
    let mut path = Vec::new();
    for i in 0..rows.len() {
        let mut at = i;
        loop {
            match seen.get(at) {
                Some(Seen::No) => {}
                Some(Seen::OnPath) => {
                    if let Some(row) = rows.get_mut(at) {
                        row.parent = None;
                    }
                    break;
                }
                _ => break,
            }
            if let Some(seen) = seen.get_mut(at) {
                *seen = Seen::OnPath;
            }
            path.push(at);
            match rows.get(at).and_then(|row| row.parent) {
                Some(parent) => at = parent as usize,
                None => break,
            }
        }
        for at in path.drain(..) {
            if let Some(seen) = seen.get_mut(at) {
                *seen = Seen::Done;
            }
        }
    }
}

/// The tree of rows: children of each in order of time, and roots.
pub(crate) struct Tree {
    /// Rows by parent, each parent's in order of time; the roots come last.
    sorted: Vec<u32>,
    /// Where the children of row `i` begin in `sorted`; one more entry for the roots.
    begin: Vec<u32>,
    /// Longest duration in the subtree.
    pub(crate) weight: Vec<u64>,
    /// Starts in the subtree.
    pub(crate) size: Vec<u32>,
}

impl Tree {
    pub(crate) fn new(rows: &[Row]) -> Self {
        let n = rows.len();
        let slot = |row: &Row| row.parent.map_or(n, |p| (p as usize).min(n));
        let mut by_time: Vec<(u64, u32)> = rows.iter().map(|r| r.origin).zip(0..).collect();
        by_time.sort_unstable();
        let mut begin = vec![0u32; n + 2];
        for row in rows {
            if let Some(count) = begin.get_mut(slot(row) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for entry in &mut begin {
            sum += *entry;
            *entry = sum;
        }
        let mut next = begin.clone();
        let mut sorted = vec![0; n];
        for (_, i) in by_time {
            let Some(row) = rows.get(i as usize) else {
                continue;
            };
            if let Some(place) = next.get_mut(slot(row)) {
                if let Some(entry) = sorted.get_mut(*place as usize) {
                    *entry = i;
                }
                *place += 1;
            }
        }
        let mut tree = Self { sorted, begin, weight: Vec::new(), size: Vec::new() };
        tree.measure(rows);
        tree
    }

    pub(crate) fn children(&self, row: u32) -> &[u32] {
        self.slice(row as usize)
    }

    pub(crate) fn roots(&self) -> &[u32] {
        self.slice(self.begin.len().saturating_sub(2))
    }

    fn slice(&self, slot: usize) -> &[u32] {
        match (self.begin.get(slot), self.begin.get(slot + 1)) {
            (Some(&from), Some(&to)) => self.sorted.get(from as usize..to as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Weights and sizes, children before parents, without recursion: a chain can be a million deep.
    fn measure(&mut self, rows: &[Row]) {
        let mut order: Vec<u32> = self.roots().to_vec();
        let mut at = 0;
        while let Some(&row) = order.get(at) {
            order.extend_from_slice(self.children(row));
            at += 1;
        }
        self.weight = rows.iter().map(|row| row.duration).collect();
        self.size = vec![1; rows.len()];
        for &i in order.iter().rev() {
            let i = i as usize;
            let Some(parent) = rows.get(i).and_then(|row| row.parent) else {
                continue;
            };
            let (weight, size) =
                (self.weight.get(i).copied().unwrap_or(0), self.size.get(i).copied().unwrap_or(0));
            if let Some(of_parent) = self.weight.get_mut(parent as usize) {
                *of_parent = (*of_parent).max(weight);
            }
            if let Some(of_parent) = self.size.get_mut(parent as usize) {
                *of_parent += size;
            }
        }
    }
}
