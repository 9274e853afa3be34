//! `cpu-bound`: a start computes nearly all the time, and nothing else explains it.

use crate::diagnose::case::{Case, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct CpuBound;

const PAGE: Page = Page {
    what: "A start runs on a CPU for nearly all of its time, and no other finding explains much of it.",
    why: "It computes: parses, compiles, imports, decompresses. Only the program itself can do less.",
    measured: "Not priced: what of it could go away is not known. The evidence has the CPU time on the critical path, and user's and kernel's share.",
    fix: "Profile it (perf record -g, py-spy record, async-profiler); keep results between runs; do later what is not needed at once; much kernel time is a matter of system calls and page faults.",
    mistaken: "A batch job is meant to compute: its end is the end of its start for --ready auto.",
};

impl Rule for CpuBound {
    fn id(&self) -> &'static str {
        "cpu-bound"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.cpu_bound;
        let running: Vec<_> = case.own_in(&["running"]).map(|segment| case.claim(segment)).collect();
        let ns = sum(&running);
        // What it waits for a CPU is told apart.
        let ready: u64 =
            sum(&case.own_in(&["runnable"]).map(|segment| case.claim(segment)).collect::<Vec<_>>());
        let rest = case.duration().saturating_sub(ready).max(1);
        if !case.is_whole()
            || ns < limits.min_cost.0
            || (ns as f64 / rest as f64) < limits.min_running
            || case.share(case.explained_ns) > limits.max_explained
        {
            return Vec::new();
        }
        let who = case.who(&running);
        let mut hit = Hit::new(&*who.program, format!("{} computing", who.program))
            .says(format!(
                "{} ran for {} of {}, and nothing else explains it",
                who.name,
                time(ns),
                time(case.duration())
            ))
            .advises("Profile it: perf record -g, or the language's own profiler")
            .shows("running_ns", ns)
            .at_most(Severity::Info);
        if let Some(counters) = &case.start.timeline.counters {
            hit = hit.shows("user_ns", counters.user_ns).shows("system_ns", counters.system_ns);
        }
        if let Some(profile) = &case.start.timeline.profile {
            let top = profile.functions.iter().take(5).map(|function| {
                let name = function.function.as_deref().or(function.module.as_deref()).unwrap_or("?");
                serde_json::json!({"function": super::super::case::quoted(name), "ns": function.own.saturating_mul(profile.period_ns)})
            });
            hit = hit.shows("functions", top.collect::<Vec<_>>());
        }
        vec![hit]
    }
}
