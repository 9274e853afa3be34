//! `constructors`: initialisers of libraries run long before main().

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct Constructors;

const PAGE: Page = Page {
    what: "Constructors of shared libraries (global objects, init functions) take long before main() is entered.",
    why: "The dynamic loader runs them for every library that is linked, whether or not the program uses it in this run.",
    measured: "The phase init, from the end of relocation to __libc_start_main, on the critical path, without its waits for a CPU.",
    fix: "Initialise at first use instead of at load; link libraries that are seldom used by dlopen; look which one it is with LD_DEBUG=statistics,init or perf record.",
    mistaken: "The executable's own constructors run after __libc_start_main and are in app (with musl: those of libraries too).",
};

impl Rule for Constructors {
    fn id(&self) -> &'static str {
        "constructors"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Linking
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let (ns, claims, waited) = case.in_phases_but_for_cpu("init");
        if !case.is_worth(ns, case.thresholds.constructors.min_init) {
            return Vec::new();
        }
        let busy = if waited.saturating_mul(10) >= ns {
            format!(" (without the {} for which they waited for a CPU)", time(waited))
        } else {
            String::new()
        };
        let who = case.who(&claims);
        let hit = Hit::new(&*who.program, format!("constructors of {}'s libraries", who.program))
            .says(format!(
                "constructors of the libraries of {} took {} before main(){busy}",
                who.name,
                time(ns)
            ))
            .advises("Initialise libraries at their first use, or load those that are seldom used by dlopen")
            .shows("init_ns", ns)
            .shows("runnable_ns", waited);
        vec![measured(hit, ns, claims)]
    }
}
