//! `ld-relocations`: the loader computes.

use crate::diagnose::case::{Case, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Basis, Severity};

pub(crate) struct LdRelocations;

const PAGE: Page = Page {
    what: "The dynamic loader spends its time on relocations: looking up symbols and writing addresses.",
    why: "C++ libraries with large interfaces have tens of thousands of relocations, each by name through all libraries.",
    measured: "The CPU time of the phase link on the critical path; at --level deep without what opening files took. What it waited for a CPU meanwhile is not in the price, and is told beside it.",
    fix: "-fvisibility=hidden, -Bsymbolic-functions, -z pack-relative-relocs, static linking, prelinking; LD_BIND_NOW must not be set without need.",
    mistaken: "A cold page cache lengthens the same phase; cold-cache has that part.",
};

impl Rule for LdRelocations {
    fn id(&self) -> &'static str {
        "ld-relocations"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Linking
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.linking;
        let running = case.own_in(&["running"]).filter(|segment| segment.phase.as_deref() == Some("link"));
        let (_, claims) = case.claims(running);
        let opens = case.start.timeline.files.as_ref().map(|files| {
            let sums = files.sums.iter().filter(|sums| sums.phase == "link");
            sums.fold(0u64, |sum, sums| sum.saturating_add(sums.spent_ns))
        });
        // Opening files is part of the phase as well.
        let ns = sum(&claims).saturating_sub(opens.unwrap_or(0));
        if ns < limits.min_relocating.0 || !case.is_worth(ns, case.thresholds.all.min_cost) {
            return Vec::new();
        }
        // The more there is to compute, the more often it loses its CPU on a busy machine.
        let waited = case.own_in(&["runnable"]).filter(|segment| segment.phase.as_deref() == Some("link"));
        let (waited, _) = case.claims(waited);
        let busy = if waited.saturating_mul(10) >= ns {
            format!(" (CPU time; it waited {} for a CPU meanwhile, as the machine was busy)", time(waited))
        } else {
            String::new()
        };
        let who = case.who(&claims);
        // Of the last of its programs alone the file was looked at.
        let binary = case.start.binary.as_ref().filter(|_| who.is_last);
        let own = binary.and_then(|binary| binary.relocations);
        let needed = binary.and_then(|binary| binary.needed);
        vec![
            Hit::new(&*who.program, format!("relocating the libraries of {}", who.program))
                .costs(ns, Basis::Measured, claims)
                .says(format!("the dynamic loader computed for {} to relocate {} and its libraries{busy}", time(ns), who.name))
                .advises("Fewer and smaller dynamic symbol tables (-fvisibility=hidden, -Bsymbolic-functions), static linking; 'startrace inspect' lists relocations by library")
                .shows("linking_running_ns", ns)
                .shows("linking_runnable_ns", waited)
                .shows("own_relocations", own)
                .shows("needed", needed)
                .at_most(Severity::Warning),
        ]
    }
}
