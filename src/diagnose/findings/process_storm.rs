//! `process-storm`: many short processes, one after the other.

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;

/// Processes that are remembered by name.
const MAX_MEMBERS: usize = 512;

pub(crate) struct ProcessStorm;

const PAGE: Page = Page {
    what: "A start waits for many short processes, one after the other.",
    why: "Each costs a fork, an exec, loading and linking: 1 to 3 ms even for a program that does nothing. Shell \
          scripts with a substitution a line, version managers and configure-like probes run hundreds of them.",
    measured: "The critical path within processes that it leads through for no longer than 20 ms each.",
    fix: "Use the shell's own means (parameter expansion instead of sed, basename and expr), read once what is \
          asked many times, keep the result in a file, or rewrite the script in a language that needs no processes.",
    mistaken: "A script that has to run many programs (a build) is told for what it is. Processes that are waited for no \
               longer than until they have their own image (posix_spawn) do not count. Processes that are started \
               together and waited for at the end count only as far as the path leads through them.",
};

impl Rule for ProcessStorm {
    fn id(&self) -> &'static str {
        "process-storm"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn nests(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.process_storm;
        let own = case.start.start_id.as_str();
        let mut others: HashMap<&str, (u64, u64)> = HashMap::default();
        let mut came_to_run: HashSet<&str> = HashSet::default();
        for segment in case.path().iter().filter(|segment| segment.start_id != own) {
            // Whoever makes a process by vfork or posix_spawn stands still until that has its image, however long it
            // lives then.
            let before = ["unobserved", "fork", "schedule", "setup", "exec"];
            if segment.phase.as_deref().is_none_or(|phase| !before.contains(&phase)) {
                came_to_run.insert(&segment.start_id);
            }
            let (ns, busy) = others.entry(&segment.start_id).or_default();
            *ns = ns.saturating_add(segment.duration_ns);
            // A process is no longer because it has to wait for a CPU.
            *busy = busy.saturating_add(if segment.state == "runnable" { 0 } else { segment.duration_ns });
        }
        let is_short = |id: &str| {
            let busy = others.get(id).map_or(u64::MAX, |(_, busy)| *busy);
            busy < limits.longest.0 && came_to_run.contains(id) && !case.is_older(id)
        };
        let short = case.path().iter().filter(|s| s.start_id != own && is_short(&s.start_id));
        let (ns, claims) = case.claims(short);
        let n = others.keys().filter(|id| is_short(id)).count();
        if (n as u64) < limits.min_processes
            || case.share(ns) < limits.min_share
            || !case.is_worth(ns, case.thresholds.all.min_cost)
        {
            return Vec::new();
        }
        let mut members: Vec<(u64, u64)> = others
            .iter()
            .filter(|(id, _)| is_short(id))
            .map(|(id, (ns, _))| (case.known.key(id), *ns))
            .collect();
        members.sort_small_by_key(|(key, ns)| (std::cmp::Reverse(*ns), *key));
        members.truncate(MAX_MEMBERS);
        let mut hit = Hit::new(case.program(), format!("{n} short processes, one after the other"))
            .says(format!("{} waited for {n} short processes one after the other, {}", case.name(), time(ns)))
            .advises("Keep their results, or use the shell's own means instead of one process a step")
            .shows("processes", n)
            .shows("on_path_ns", ns);
        hit.members = members;
        vec![measured(hit, ns, claims)]
    }
}
