//! `spawn-reimport`: workers by multiprocessing's spawn import the whole program again.

use crate::diagnose::case::time;
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::diagnose::siblings::Family;
use crate::diagnose::thresholds::Thresholds;
use crate::trace::schema::Basis;

pub(crate) struct SpawnReimport;

const PAGE: Page = Page {
    what: "Each worker of a pool by multiprocessing's spawn is a new interpreter, which imports the main module and all that it imports once more.",
    why: "spawn starts python anew: interpreter, site, multiprocessing, and then everything that the main module \
          imports at its top level, in every worker; on few CPUs one after the other.",
    measured: "Where imports are seen (a Python with static probes, or --level deep): from the origin of each worker until its interpreter is ready, and its imports, less what a fork takes, as far as that is on the path of the whole, less one of them, which the server pays. Where that is less than what they compute, shared among all CPUs, others waited for a CPU meanwhile, and the price is said to be the least. Else not priced.",
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

    fn look_at_siblings(&self, family: &Family, thresholds: &Thresholds, cpus: u32) -> Option<Hit> {
        let n = family.n;
        if family.method != "multiprocessing.spawn" || n < thresholds.spawn_reimport.min_workers {
            return None;
        }
        let each = family.sum / n.max(1);
        let lengths =
            || family.members.iter().map(|member| time(member.finish.saturating_sub(member.origin)));
        let first = lengths().next();
        let all = if lengths().all(|length| Some(length) == first) { "each" } else { "on average" };
        // What a worker of a fork server with the modules preloaded does not have: the interpreter's own
        // start, and the imports.
        let mut claims: Vec<_> =
            family.members.iter().flat_map(|member| member.entering.iter().copied()).collect();
        let known = !claims.is_empty();
        claims.extend(family.members.iter().flat_map(|member| member.importing.iter().copied()));
        let spared = crate::diagnose::case::sum(&claims);
        let fork = thresholds.spawn_reimport.fork.0.saturating_mul(n);
        // The server has to do it once; the worker that was the least disturbed tells how long that takes.
        let of_one = family.members.iter().map(|member| member.alone);
        let once = of_one.filter(|ns| *ns > 0).min().unwrap_or(0);
        let imports = match family.modules.as_slice() {
            [] => String::new(),
            modules => format!(", one of them with {}", modules.join(", ")),
        };
        // Nothing tells when a worker of a pool is ready: what is known of most is their whole life.
        let until = if family.all_exit { "until it ended" } else { "until ready" };
        let mut hit = Hit::new(format!("{}", family.parent_pid), format!("{n} spawn workers, each importing the program again"))
            .says(format!(
                "{n} workers by multiprocessing spawn, each a new interpreter that imports the program again: {} {all} {until}, {} for all{imports}",
                time(each),
                time(family.makespan())
            ))
            .advises("Use the start method forkserver with set_forkserver_preload(), or keep imports out of the main module's top level")
            .shows("workers", n)
            .shows("each_ns", each)
            .shows("makespan_ns", family.makespan())
            .shows("importing_ns", family.importing)
            .shows("modules", family.modules.clone());
        if known && spared > fork {
            hit = hit.costs(spared - fork, Basis::Scaled, claims);
            hit.stays_ns = once;
            // On the path of a parent that has to wait for a CPU its workers have, they have less than they take.
            let all = family.members.iter().fold(0u64, |sum, member| sum.saturating_add(member.alone));
            let wall = all.saturating_sub(once).saturating_sub(fork) / u64::from(cpus).clamp(1, n);
            let why = format!(
                "as what is done again takes {} of {cpus} CPUs, and who waits for them meanwhile is not in the price",
                time(wall)
            );
            hit.least = Some((wall, why));
        }
        hit.starts = family.members.iter().map(|member| member.key).collect();
        Some(hit)
    }
}
