//! `lock-wait`: a lock that another process holds.

use crate::diagnose::case::{Case, OnPath, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct LockWait;

const PAGE: Page = Page {
    what: "A start waits for a lock that another process holds: of a file, or in shared memory.",
    why: "Package managers, data bases and caches serialise their starts with a lock file; whoever comes second waits for as long as the first one works.",
    measured: "Waits for file locks (flock, fcntl), and for futexes that another process ended, on the critical path.",
    fix: "Hold the lock for a shorter time (prepare outside, take it for the change alone), have one lock for each object, take readers' locks for reading, or do not take it at start.",
    mistaken: "Mutexes between threads of one process are not told: the path goes through the thread that holds them. Who holds a file lock is known only when it gives it back while we look.",
};

impl Rule for LockWait {
    fn id(&self) -> &'static str {
        "lock-wait"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let own = case.start.pid;
        let foreign = |on: &OnPath<'_>| {
            let by = on.wait.woken_by.as_ref().filter(|by| by.kind == "task").and_then(|by| by.pid);
            by.is_some_and(|pid| pid != own)
        };
        let waits = case
            .waits_where(|wait| matches!(wait.kind.as_str(), "lock" | "futex"))
            .filter(|on| on.wait.kind == "lock" || (on.wait.kind == "futex" && foreign(on)));
        let waits = waits.map(|on| {
            let what = on.wait.detail.as_deref().unwrap_or("a lock");
            (quoted(if on.wait.kind == "futex" { "a futex in shared memory" } else { what }), on.ns, on)
        });
        let mut hits = Vec::new();
        for (lock, ns, waits) in by_name(waits, 64).into_iter().take(4) {
            if !case.is_worth(ns, case.thresholds.lock_wait.min_cost) {
                break;
            }
            let holder = waits.iter().max_by_key(|on| on.ns).and_then(|on| {
                let by = on.wait.woken_by.as_ref()?;
                let comm = by.comm.as_deref().map(quoted).unwrap_or_default();
                by.pid.map(|pid| match on.through {
                    Some(id) => case.process(id),
                    None => format!("pid {pid} ({comm})"),
                })
            });
            let n = waits.len();
            let claims: Vec<_> = waits.into_iter().flat_map(|on| on.claims).collect();
            let held = holder.as_ref().map_or(String::new(), |holder| format!(", held by {holder}"));
            let who = case.who(&claims);
            let hit = Hit::new(lock.clone(), format!("waiting for the lock {lock}{held}"))
                .says(format!("{} waited {} for the lock {lock}{held}", who.name, time(ns)))
                .advises(match &holder {
                    Some(holder) => {
                        format!("Let {holder} hold {lock} for a shorter time, or do without it at start")
                    }
                    None => format!("Hold {lock} for a shorter time, or do without it at start"),
                })
                .shows("lock", lock)
                .shows("holder", holder)
                .shows("waited_ns", ns)
                .shows("waits", n);
            hits.push(measured(hit, ns, claims));
        }
        hits
    }
}
