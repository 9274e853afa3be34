//! `spawn-reimport`: workers by multiprocessing's spawn import the whole program again.

use crate::diagnose::case::time;
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::diagnose::siblings::Family;
use crate::diagnose::thresholds::Thresholds;

pub(crate) struct SpawnReimport;

const PAGE: Page = Page {
    what: "Each worker of a pool by multiprocessing's spawn is a new interpreter, which imports the main module and all that it imports once more.",
    why: "spawn starts python anew: interpreter, site, multiprocessing, and then everything that the main module \
          imports at its top level, in every worker; on few CPUs one after the other.",
    measured: "Not priced: what of a worker's start are imports is not in this trace. The evidence has how long the workers took.",
    fix: "multiprocessing.set_start_method('forkserver') with set_forkserver_preload([...]) pays the imports once. \
          Or keep heavy imports out of the main module's top level (if __name__ == '__main__', imports within functions). \
          fork is fastest, where no threads run yet.",
    mistaken: "Workers with a small main module lose little: 20 to 50 ms each for the interpreter.",
};

impl Rule for SpawnReimport {
    fn id(&self) -> &'static str {
        "spawn-reimport"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look_at_siblings(&self, family: &Family, thresholds: &Thresholds, _cpus: u32) -> Option<Hit> {
        let n = family.n;
        if family.method != "multiprocessing.spawn" || n < thresholds.spawn_reimport.min_workers {
            return None;
        }
        let each = family.sum / n.max(1);
        let mut hit = Hit::new(format!("{}", family.parent_pid), format!("{n} spawn workers, each importing the program again"))
            .says(format!(
                "{n} workers by multiprocessing spawn, each a new interpreter that imports the program again: {} each until ready, {} for all",
                time(each),
                time(family.makespan())
            ))
            .advises("Use the start method forkserver with set_forkserver_preload(), or keep imports out of the main module's top level")
            .shows("workers", n)
            .shows("each_ns", each)
            .shows("makespan_ns", family.makespan());
        hit.starts = family.members.iter().map(|member| member.key).collect();
        Some(hit)
    }
}
