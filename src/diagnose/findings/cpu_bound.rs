//! `cpu-bound`: a start computes nearly all the time, and nothing else explains it.

use crate::diagnose::case::{Case, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct CpuBound;

const PAGE: Page = Page {
    what: "A start runs on a CPU for nearly all of its time, and no other finding explains much of it.",
    why: "It computes: parses, compiles, imports, decompresses. Only the program itself can do less.",
    measured: "Not priced: what of it could go away is not known. The evidence has the CPU time on the critical path, and user's and kernel's share.",
    fix: "See which functions it is (record --profile 999; py-spy record, async-profiler); keep results between runs; do later what is not needed at once; much kernel time is a matter of system calls and page faults.",
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
            .advises("See which functions it is: record --profile 999, or the language's own profiler")
            .shows("running_ns", ns)
            .at_most(Severity::Info);
        if let Some(counters) = &case.start.timeline.counters {
            hit = hit.shows("user_ns", counters.user_ns).shows("system_ns", counters.system_ns);
        }
        if let Some(profile) = &case.start.timeline.profile {
            let top = profile.functions.iter().take(5).map(|function| {
                let name = function.function.as_deref().or(function.module.as_deref()).unwrap_or("?");
                (quoted(name), function.own.saturating_mul(profile.period_ns))
            });
            let top: Vec<(String, u64)> = top.collect();
            if let Some((name, ns)) = top.first() {
                hit = hit.advises(format!(
                    "Begin with what ran most, by its samples: {name}, {} by itself; in an interpreter the language's own \
                     profiler says for which line",
                    time(*ns)
                ));
            }
            let top = top.iter().map(|(name, ns)| serde_json::json!({"function": name, "ns": ns}));
            hit = hit.shows("functions", top.collect::<Vec<_>>());
        }
        vec![hit]
    }
}
