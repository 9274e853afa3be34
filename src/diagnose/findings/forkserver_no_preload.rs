//! `forkserver-no-preload`: workers import what their server could have.

use crate::diagnose::case::time;
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::diagnose::siblings::Family;
use crate::diagnose::thresholds::Thresholds;
use crate::trace::schema::Basis;

pub(crate) struct ForkserverNoPreload;

const PAGE: Page = Page {
    what: "Workers of a multiprocessing fork server import modules that the server could have imported once for all.",
    why: "A worker is a copy of the server: what the server has imported, no worker imports again.",
    measured: "The imports of the workers on their own critical paths; over all of them as far as they are on the path of the whole.",
    fix: "multiprocessing.set_forkserver_preload([...]) with the modules that the workers need, before the first worker.",
    mistaken: "Modules that start threads or open devices when they are imported must not be preloaded.",
};

impl Rule for ForkserverNoPreload {
    fn id(&self) -> &'static str {
        "forkserver-no-preload"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Imports
    }

    fn look_at_siblings(&self, family: &Family, thresholds: &Thresholds, _cpus: u32) -> Option<Hit> {
        let (n, ns) = (family.n, family.importing);
        // What one of them imports by itself, however many of them wanted the CPUs.
        let alone = family.members.iter().map(|member| member.importing_alone).max().unwrap_or(0);
        if family.method != "multiprocessing.forkserver" || alone < thresholds.python_import.min_cost.0 {
            return None;
        }
        let each = ns / n.max(1);
        let claims = family.members.iter().flat_map(|member| member.importing.iter().copied()).collect();
        let mut hit = Hit::new(
            format!("{}", family.parent_pid),
            format!("{n} fork-server workers importing what the server could have"),
        )
        .costs(ns, Basis::Measured, claims)
        .says(format!(
            "{n} workers of a fork server spent {} importing, {} on average: {}",
            time(ns),
            time(each),
            family.modules.join(", ")
        ))
        .advises(format!(
            "multiprocessing.set_forkserver_preload([...]) with {}",
            family.modules.iter().map(|m| m.split(' ').next().unwrap_or(m)).collect::<Vec<_>>().join(", ")
        ))
        .shows("workers", n)
        .shows("importing_ns", ns)
        .shows("modules", family.modules.clone());
        // The server has to import them once.
        let of_one = family.members.iter().map(|member| member.importing_alone);
        hit.stays_ns = of_one.filter(|ns| *ns > 0).min().unwrap_or(0);
        hit.starts = family.members.iter().map(|member| member.key).collect();
        Some(hit)
    }
}
