//! `ld-search`: the dynamic loader looks for libraries in many folders.

use crate::diagnose::case::{Case, listed, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Basis;

pub(crate) struct LdSearch;

const PAGE: Page = Page {
    what: "The dynamic loader tries many paths in vain before it finds the libraries of a program.",
    why: "Every directory of RPATH, RUNPATH and LD_LIBRARY_PATH is tried for every library, in that order, before the cache; each try is a failed open.",
    measured: "Calculated from the phases load and link, at --level deep: the share of failed tries in them, where a library that is found counts as much as 20 tries (threshold linking.tries_per_library).",
    fix: "Take directories out of LD_LIBRARY_PATH, shorten RUNPATH (patchelf --set-rpath), put the directory with most of the libraries first, or use the cache (ldconfig).",
    mistaken: "Failed opens in a warm directory cost 1 us each: a hundred of them do not matter. 'startrace inspect PROGRAM' counts them.",
};

impl Rule for LdSearch {
    fn id(&self) -> &'static str {
        "ld-search"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Files
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = &case.start.timeline.files else { return Vec::new() };
        let in_loader = |phase: &str| matches!(phase, "load" | "link");
        let tries: u64 = files
            .sums
            .iter()
            .filter(|sums| sums.kind == "shared_library" && in_loader(&sums.phase))
            .fold(0, |sum, sums| sum.saturating_add(sums.open_failed).saturating_add(sums.missed));
        let found: u64 = files
            .sums
            .iter()
            .filter(|sums| sums.kind == "shared_library" && in_loader(&sums.phase))
            .fold(0, |sum, sums| sum.saturating_add(sums.opened));
        let folders: Vec<_> =
            files.misses.iter().filter(|folder| folder.libraries > 0 && folder.n > 0).collect();
        let (load, mut claims) = case.in_phases("load");
        let (link, of) = case.in_phases("link");
        claims.extend(of);
        // The calls themselves are a part of what a try takes: the rest is between them. What a library takes
        // that is found stands for so many tries.
        let of_phase = files.sums.iter().filter(|sums| in_loader(&sums.phase));
        let failed =
            of_phase.fold(0u64, |sum, sums| sum.saturating_add(sums.open_failed).saturating_add(sums.missed));
        let weight = found.saturating_mul(case.thresholds.linking.tries_per_library).saturating_add(failed);
        let cost =
            (u128::from(load.saturating_add(link)) * u128::from(failed) / u128::from(weight.max(1))) as u64;
        if tries < case.thresholds.linking.min_tries || !case.is_worth(cost, case.thresholds.all.min_cost) {
            return Vec::new();
        }
        let names: Vec<String> = folders.iter().map(|folder| quoted(&folder.folder)).collect();
        let who = case.who(&claims);
        vec![
            Hit::new(&*who.program, format!("looking for the libraries of {} in vain", who.program))
                .costs(cost, Basis::Scaled, claims)
                .says(format!(
                    "the dynamic loader tried {tries} paths in vain for {found} libraries of {}, in {}: {}",
                    who.name,
                    time(cost),
                    listed(&names)
                ))
                .advises("Shorten RUNPATH and LD_LIBRARY_PATH, with the folder that has most of the libraries first; or use the loader's cache")
                .shows("failed_tries", tries)
                .shows("libraries", found)
                .shows("failed_ns", cost)
                .shows("folders", names.into_iter().take(8).collect::<Vec<_>>()),
        ]
    }
}
