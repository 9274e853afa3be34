//! `ld-many-libraries`: a great many libraries.

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct LdManyLibraries;

const PAGE: Page = Page {
    what: "A program loads a great many shared libraries before its own code runs.",
    why: "Each has to be found, opened, mapped, relocated and initialised: 50 to 200 us for one of medium size.",
    measured: "The phases load and link on the critical path.",
    fix: "Drop what is not needed (ldd -u, --as-needed), link statically, load seldom used parts by dlopen.",
    mistaken: "Many small libraries with few relocations cost little; ld-relocations tells the dear ones.",
};

impl Rule for LdManyLibraries {
    fn id(&self) -> &'static str {
        "ld-many-libraries"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Files
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = &case.start.timeline.files else { return Vec::new() };
        let of_loader = files
            .sums
            .iter()
            .filter(|sums| sums.kind == "shared_library" && matches!(sums.phase.as_str(), "load" | "link"));
        let (mut n, mut bytes) = (0u64, 0u64);
        for sums in of_loader {
            (n, bytes) = (n.saturating_add(sums.opened), bytes.saturating_add(sums.bytes));
        }
        let (load, mut claims) = case.in_phases("load");
        let (link, of) = case.in_phases("link");
        claims.extend(of);
        let ns = load.saturating_add(link);
        if n < case.thresholds.linking.min_libraries || !case.is_worth(ns, case.thresholds.all.min_cost) {
            return Vec::new();
        }
        let who = case.who(&claims);
        let hit = Hit::new(&*who.program, format!("loading the {n} libraries of {}", who.program))
            .says(format!("{} loaded {n} libraries ({} MiB), in {}", who.name, bytes >> 20, time(ns)))
            .advises("Drop libraries that are not needed (ldd -u), load seldom used ones by dlopen, or link statically")
            .shows("libraries", n)
            .shows("bytes", bytes)
            .shows("loading_ns", ns)
            // Not all of it can go away.
            .at_most(Severity::Warning);
        vec![measured(hit, ns, claims)]
    }
}
