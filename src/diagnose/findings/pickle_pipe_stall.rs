//! `pickle-pipe-stall`: a parent writes a worker's arguments into a pipe that nobody reads yet.

use crate::diagnose::case::{Case, OnPath, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct PicklePipeStall;

const PAGE: Page = Page {
    what: "A parent writes the pickled arguments of a spawned worker into a pipe, and stands still until the worker has come far enough to read them.",
    why: "A pipe holds 64 KiB. multiprocessing's spawn writes the pickled process object right after the start; what \
          does not fit waits for the new interpreter, which imports first. The workers then start one after the other.",
    measured: "Waits of the parent in write() on a pipe to the worker, as far as they are on the critical path.",
    fix: "Hand over less: a file name or a key instead of the data, multiprocessing.shared_memory, an initializer that \
          loads the data in the worker. Or start the workers from several threads.",
    mistaken: "Any worker whose command line names multiprocessing counts; what is written need not be a pickle.",
};

impl Rule for PicklePipeStall {
    fn id(&self) -> &'static str {
        "pickle-pipe-stall"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.pickle_pipe_stall;
        let writes = |on: &OnPath<'_>| {
            matches!(on.wait.kind.as_str(), "pipe" | "unix_socket")
                && on
                    .wait
                    .syscall
                    .as_deref()
                    .is_some_and(|call| call.contains("write") || call.contains("send"))
        };
        let names = |text: &str| text.contains("multiprocessing") || text.contains("loky");
        let to_worker = |on: &OnPath<'_>| {
            on.wait.detail.as_deref().is_some_and(names)
                || on.through.and_then(|id| case.known.name(id)).is_some_and(names)
        };
        let (mut ns, mut n, mut claims) = (0u64, 0u64, Vec::new());
        for on in case.waits().filter(writes).filter(to_worker) {
            ns = ns.saturating_add(on.ns);
            n += 1;
            claims.extend(on.claims);
        }
        if !case.is_worth(ns, limits.min_cost) {
            return Vec::new();
        }
        let hit = Hit::new(case.program(), "writing arguments to workers that do not read yet")
            .says(format!(
                "{} stood still for {} in {}, writing to a worker that was not ready to read",
                case.name(),
                time(ns),
                crate::words::counted(n, "write")
            ))
            .advises(
                "Hand less over to the workers (a file name, shared memory), or load the data in the worker",
            )
            .shows("waited_ns", ns)
            .shows("writes", n);
        vec![measured(hit, ns, claims)]
    }
}
