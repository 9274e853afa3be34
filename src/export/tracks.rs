//! Which rows are one process, by what number a viewer may call it, and how many starts go on at once.
//!
//! Viewers key tracks by pid. A pid may be taken again within one trace; the later process then gets a
//! number that no process can have.

use super::Outline;
use crate::hash::HashSet;
use crate::report::digest::Digest;
use crate::sort::SortSmall;

/// Linux's largest pid limit on 64-bit machines (`PID_MAX_LIMIT`, include/linux/threads.h).
const PID_MAX: u32 = 4 << 20;
/// Most execs in place that are followed back to a process's first start.
const MAX_STEPS: usize = 1_000;

/// The processes of a trace.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// By row.
    numbers: Vec<u32>,
    /// By index into the digest's list of parents that have no row.
    outside: Vec<u32>,
}

impl Processes {
    pub(super) fn new(trace: &Outline) -> Self {
        let digest = &trace.digest;
        let mut taken = HashSet::default();
        let mut spare = PID_MAX;
        let mut number = |pid: u32| {
            if taken.insert(pid) {
                return pid;
            }
            spare += 1;
            spare
        };
        let outside = digest.outside.iter().map(|process| number(process.pid)).collect();
        let mut firsts: Vec<u32> = Vec::with_capacity(digest.rows.len());
        firsts.extend((0u32..).zip(&digest.rows).map(|(row, _)| first_row(digest, row)));
        let mut by_origin: Vec<u32> =
            (0u32..).zip(&firsts).filter(|&(row, &first)| row == first).map(|(row, _)| row).collect();
        by_origin.sort_small_by_key(|&row| digest.row(row).map(|row| row.origin));
        let mut numbers = vec![0; digest.rows.len()];
        for row in by_origin {
            if let (Some(slot), Some(found)) = (numbers.get_mut(row as usize), digest.row(row)) {
                *slot = number(found.pid);
            }
        }
        for (row, &first) in firsts.iter().enumerate() {
            let first = numbers.get(first as usize).copied();
            if let (Some(slot), Some(first)) = (numbers.get_mut(row), first) {
                *slot = first;
            }
        }
        Self { numbers, outside }
    }

    /// The number of a row's process.
    pub(super) fn of(&self, row: u32) -> u32 {
        self.numbers.get(row as usize).copied().unwrap_or(0)
    }

    /// The number of the process that a row's process was created by.
    pub(super) fn parent(&self, trace: &Outline, row: u32) -> Option<u32> {
        let row = trace.digest.row(row)?;
        match (row.parent, row.outside) {
            (Some(parent), _) => Some(self.of(parent)),
            (None, Some(outside)) => self.outside.get(outside as usize).copied(),
            (None, None) => None,
        }
    }

    /// Parents that have no row: number, name.
    pub(super) fn outside<'a>(&'a self, trace: &'a Outline) -> impl Iterator<Item = (u32, u32, &'a str)> {
        let processes = self.outside.iter().zip(&trace.digest.outside);
        processes.map(|(&number, process)| (number, process.pid, trace.digest.text(process.comm)))
    }
}

/// The first row of the same process.
fn first_row(digest: &Digest, row: u32) -> u32 {
    let mut at = row;
    for _ in 0..MAX_STEPS {
        let earlier = digest.row(at).filter(|row| row.seq > 0).and_then(|row| {
            let parent = row.parent?;
            let earlier = digest.row(parent)?;
            (earlier.pid == row.pid && earlier.seq < row.seq).then_some(parent)
        });
        match earlier {
            Some(earlier) => at = earlier,
            None => break,
        }
    }
    at
}

/// How many starts are going on: time (boottime, ns) and the number from then on.
pub(super) fn under_way(trace: &Outline) -> Vec<(u64, u32)> {
    let mut changes: Vec<(u64, i32)> = Vec::with_capacity(trace.digest.rows.len() * 2);
    for row in &trace.digest.rows {
        changes.push((row.origin, 1));
        changes.push((row.finish(), -1));
    }
    changes.sort_unstable();
    let mut counts: Vec<(u64, u32)> = Vec::new();
    let mut n = 0i64;
    for change in changes.chunk_by(|a, b| a.0 == b.0) {
        n += change.iter().map(|&(_, by)| i64::from(by)).sum::<i64>();
        if let Some(&(at, _)) = change.first() {
            counts.push((at, u32::try_from(n).unwrap_or(0)));
        }
    }
    counts
}
