//! Starts that belong together: the workers of one pool.

use crate::event::Id;
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::schema::{Group, Start};

/// Patterns whose starts form pools.
pub(crate) fn is_pooled(pattern: &str) -> bool {
    matches!(
        pattern,
        "multiprocessing.fork"
            | "multiprocessing.spawn"
            | "multiprocessing.forkserver"
            | "loky.worker"
            | "prefork_worker"
            | "node.cluster"
    )
}

/// The starts of one pool.
#[derive(Default)]
pub(crate) struct Pool {
    parent: Option<String>,
    /// Origin of the first of all.
    begin_ns: Option<u64>,
    /// First origin and last ready of those that became ready or ended.
    first_ns: Option<u64>,
    last_ns: u64,
    durations: Vec<u64>,
    unfinished: u64,
}

impl Pool {
    /// Takes a start in. How long one takes whose end was not seen is not known.
    pub(crate) fn add(&mut self, origin_ns: u64, duration_ns: u64, is_unfinished: bool) {
        self.begin_ns = Some(self.begin_ns.map_or(origin_ns, |begin| begin.min(origin_ns)));
        if is_unfinished {
            self.unfinished += 1;
            return;
        }
        self.first_ns = Some(self.first_ns.map_or(origin_ns, |first| first.min(origin_ns)));
        self.last_ns = self.last_ns.max(origin_ns.saturating_add(duration_ns));
        self.durations.push(duration_ns);
    }

    /// How many.
    pub(crate) fn size(&self) -> u64 {
        self.durations.len() as u64 + self.unfinished
    }

    /// What is told of them.
    pub(crate) fn group(mut self, parent_id: Option<String>, method: String) -> Group {
        self.durations.sort_unstable();
        let makespan_ns = self.first_ns.map(|first| self.last_ns.saturating_sub(first));
        let sum: f64 = self.durations.iter().map(|&d| d as f64).sum();
        let parallelism = makespan_ns.map(|span| if span == 0 { 1.0 } else { sum / span as f64 });
        Group {
            n: self.size(),
            parent: self.parent,
            parent_id,
            method,
            unfinished: self.unfinished,
            makespan_ns,
            parallelism: parallelism.map(|ratio| (ratio * 1000.0).round() / 1000.0),
            // By nearest rank, as in the report.
            p50_ns: self.durations.get(self.durations.len().saturating_sub(1) / 2).copied(),
            max_ns: self.durations.last().copied(),
        }
    }
}

/// Collects pools while starts are written.
#[derive(Default)]
pub struct Groups {
    pools: HashMap<(Id, String), Pool>,
}

impl Groups {
    /// Takes a finished start in. `owner` is the process that asked for it (its parent, or the client
    /// of a fork server).
    pub fn add(&mut self, owner: Id, owner_start: Option<&str>, start: &Start) {
        if start.partial || !start.method.pattern.as_deref().is_some_and(is_pooled) {
            return;
        }
        let origin = start.timeline.origin_boottime_ns;
        let pool = self.pools.entry((owner, start.method.name.clone())).or_default();
        if pool.parent.is_none() {
            pool.parent = owner_start.map(str::to_owned);
        }
        pool.add(origin, start.timeline.duration_ns, start.timeline.ready.kind == "timeout");
    }

    /// The pools of two and more, in order of time.
    pub fn finish(self) -> Vec<Group> {
        let mut pools: Vec<_> = self.pools.into_iter().filter(|(_, pool)| pool.size() > 1).collect();
        pools.sort_small_by(|((_, a), p), ((_, b), q)| (p.begin_ns, a).cmp(&(q.begin_ns, b)));
        let pools = pools.into_iter();
        pools.map(|((owner, method), pool)| pool.group(Some(owner.to_string()), method)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::document::tests::{method, start};

    fn worker(origin: u64, duration: u64, ready: &str) -> Start {
        let mut start = start("1@1/0", None, origin);
        start.method = method("prefork_worker");
        start.method.pattern = Some("prefork_worker".into());
        start.timeline.duration_ns = duration;
        start.timeline.ready.kind = ready.into();
        start
    }

    fn pool(starts: &[Start]) -> Vec<Group> {
        let mut groups = Groups::default();
        for start in starts {
            groups.add(Id::default(), Some("7@7/0"), start);
        }
        groups.finish()
    }

    #[test]
    fn what_has_not_ended_has_no_duration() {
        let mixed = pool(&[worker(5, 100_000, "timeout"), worker(10, 10, "exit"), worker(20, 20, "exit")]);
        assert_eq!(mixed.len(), 1);
        let group = &mixed[0];
        assert_eq!((group.n, group.unfinished, group.makespan_ns), (3, 1, Some(30)));
        assert_eq!((group.p50_ns, group.max_ns, group.parallelism), (Some(10), Some(20), Some(1.0)));

        let servers = pool(&[worker(5, 100, "timeout"), worker(6, 99, "timeout")]);
        let group = &servers[0];
        assert_eq!((group.n, group.unfinished), (2, 2));
        assert_eq!((group.makespan_ns, group.p50_ns, group.max_ns), (None, None, None));
        assert_eq!(group.parallelism, None);
    }

    #[test]
    fn one_is_no_pool() {
        assert!(pool(&[worker(1, 1, "exit")]).is_empty());
    }
}
