//! `cpu-starved`: a start waits for a CPU.

use crate::diagnose::case::{Case, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct CpuStarved;

const PAGE: Page = Page {
    what: "A start is ready to run and has to wait for a CPU, for a good part of its time.",
    why: "More tasks want to run than there are CPUs: other starts of the same storm, or what else the machine does.",
    measured: "The time on the critical path in which the start's tasks could run and did not; the evidence names who had the CPU.",
    fix: "Start fewer at once (as many as there are CPUs), give the start a higher weight (nice, CPUWeight=), move the competitors (CPUAffinity=, cpuset), or do less in each of them.",
    mistaken: "The price takes a CPU for free at any time. Where the competitors are parts of the same start, more CPUs help, and another order does not. startrace itself runs as well, some 20 us a start.",
};

impl Rule for CpuStarved {
    fn id(&self) -> &'static str {
        "cpu-starved"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    // Where a program's own processes want the CPUs, what they do with them is the cause.
    fn vagueness(&self) -> u8 {
        1
    }

    fn is_circumstance(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.cpu_starved;
        let (ns, claims) = case.claims(case.own_in(&["runnable"]));
        if case.share(ns) < limits.min_share || !case.is_worth(ns, limits.min_cost) {
            return Vec::new();
        }
        let rivals = case.own_in(&["runnable"]).filter_map(|segment| {
            let detail = segment.detail.as_deref()?.strip_suffix(" had the CPU")?;
            // `pid 42 (cc1plus)`: many processes of one name are one competitor.
            let name = detail.split_once('(').map_or(detail, |(_, name)| name.trim_end_matches(')'));
            Some((quoted(name), segment.duration_ns, ()))
        });
        let rivals = by_name(rivals, 256);
        let shown: Vec<String> =
            rivals.iter().take(3).map(|(name, ns, _)| format!("{name} {}", time(*ns))).collect();
        let who =
            if shown.is_empty() { String::new() } else { format!("; they were had by {}", shown.join(", ")) };
        let hit = Hit::new("", "waiting for a CPU")
            .says(format!("{} waited {} for a CPU, {:.0} % of its time{who}", case.name(), time(ns), case.share(ns) * 100.0))
            .advises("Start fewer at once, or give this start more weight than its competitors (nice, CPUWeight=, affinity)")
            .shows("runnable_ns", ns)
            .shows("competitors", rivals.iter().take(8).map(|(name, ns, _)| serde_json::json!({"comm": name, "ns": ns})).collect::<Vec<_>>());
        vec![measured(hit, ns, claims)]
    }
}
