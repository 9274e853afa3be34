//! `vfork-parent-blocked`: a parent stands still until its child by vfork has executed.

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct VforkParentBlocked;

const PAGE: Page = Page {
    what: "A child that was made by vfork or posix_spawn prepares for long before its exec, and the calling thread stands still until then.",
    why: "vfork lends the parent's memory to the child and stops the calling thread until the child executes or \
          ends. Whatever the child does in between (closing descriptors, walking PATH, waiting for a file system) is \
          time of the parent as well.",
    measured: "What of the child's phase setup lies on the critical path, while its parent waited in vfork.",
    fix: "Trim what the child does: absolute path of the program, close_range or close-on-exec instead of a loop, \
          no file actions on slow file systems. Several children can be spawned by several threads.",
    mistaken: "A child that sleeps or waits on purpose before its exec (a debugger, a barrier) is told as well.",
};

impl Rule for VforkParentBlocked {
    fn id(&self) -> &'static str {
        "vfork-parent-blocked"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.vfork_parent_blocked;
        if !case.start.method.clone_flags.iter().any(|flag| flag == "CLONE_VFORK") {
            return Vec::new();
        }
        let (ns, claims) = case.in_phases("setup");
        if !case.is_worth(ns, limits.min_setup) {
            return Vec::new();
        }
        let by = case.start.parent.as_ref().and_then(|parent| parent.comm.as_deref());
        let by = by.map_or_else(|| "the parent".to_owned(), super::super::case::quoted);
        let failed = case.start.execs.iter().filter(|exec| exec.error.is_some()).count();
        let hit = Hit::new(format!("{by} {}", case.program()), format!("{by} standing still in vfork"))
            .says(format!("{by} stood still in vfork for {} until {} was executed", time(ns), case.name()))
            .advises("Do less between vfork and exec: an absolute path, close_range, no slow file actions")
            .shows("setup_ns", ns)
            .shows("failed_execs", failed);
        vec![measured(hit, ns, claims)]
    }
}
