//! Starts that belong together: the workers of one pool.

use crate::event::Id;
use crate::trace::schema::{Group, Start};
use std::collections::HashMap;

/// Patterns whose starts form pools.
fn is_pooled(pattern: &str) -> bool {
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

#[derive(Default)]
struct Pool {
    parent: Option<String>,
    first_ns: u64,
    last_ns: u64,
    durations: Vec<u64>,
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
        let pool = self
            .pools
            .entry((owner, start.method.name.clone()))
            .or_insert_with(|| Pool { first_ns: origin, ..Pool::default() });
        if pool.parent.is_none() {
            pool.parent = owner_start.map(str::to_owned);
        }
        pool.first_ns = pool.first_ns.min(origin);
        pool.last_ns = pool.last_ns.max(origin.saturating_add(start.timeline.duration_ns));
        pool.durations.push(start.timeline.duration_ns);
    }

    /// The pools of two and more, in order of time.
    pub fn finish(self) -> Vec<Group> {
        let mut pools: Vec<_> = self.pools.into_iter().filter(|(_, p)| p.durations.len() > 1).collect();
        pools.sort_by(|((_, a), p), ((_, b), q)| (p.first_ns, a).cmp(&(q.first_ns, b)));
        pools
            .into_iter()
            .map(|((owner, method), mut pool)| {
                pool.durations.sort_unstable();
                let makespan_ns = pool.last_ns - pool.first_ns;
                let sum: f64 = pool.durations.iter().map(|&d| d as f64).sum();
                let parallelism = if makespan_ns == 0 { 1.0 } else { sum / makespan_ns as f64 };
                Group {
                    parent: pool.parent,
                    parent_id: Some(owner.to_string()),
                    method,
                    n: pool.durations.len() as u64,
                    makespan_ns,
                    parallelism: (parallelism * 1000.0).round() / 1000.0,
                    p50_ns: pool.durations[pool.durations.len() / 2],
                    max_ns: pool.durations.last().copied().unwrap_or_default(),
                }
            })
            .collect()
    }
}
