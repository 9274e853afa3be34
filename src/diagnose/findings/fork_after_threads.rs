//! `fork-after-threads`: a process with several threads forks, and the copy goes on without an exec.

use crate::diagnose::case::Case;
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct ForkAfterThreads;

const PAGE: Page = Page {
    what: "A process with several threads forks, and its copy, which has only the one thread, goes on without an exec.",
    why: "Locks that other threads held at that moment stay locked in the copy for ever: of malloc, of logging, of \
          libraries. It works most of the time, and then hangs. No time is lost by it: it is told because a start \
          that hangs is the slowest of all.",
    measured: "Not priced. A thread counts if it was seen both before and after the fork.",
    fix: "Fork before the first thread is started, or use spawn or forkserver (Python 3.14's default) instead of fork.",
    mistaken: "A library may have prepared for it (pthread_atfork). Threads that only wait and hold no lock do no harm.",
};

impl Rule for ForkAfterThreads {
    fn id(&self) -> &'static str {
        "fork-after-threads"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let mut out = Vec::new();
        // Its own forks, as far as the copies are known already; and the one that it comes from itself.
        let (forks, threads) = case.known.forks_with_threads(&case.start.start_id);
        if forks > 0 {
            out.push(hit(&case.program(), forks, threads));
        }
        if super::super::known::is_copy(case.start)
            && let Some(parent) = case.start.parent.as_ref()
            && let Some(id) = &parent.start_id
        {
            let threads = case.known.threads_at(id, case.start.timeline.origin_boottime_ns);
            if threads > 0 {
                out.push(hit(&case.program(), 1, threads));
            }
        }
        out
    }
}

fn hit(program: &str, forks: u64, threads: u64) -> Hit {
    Hit::new(program, "forks of a process with several threads")
        .says(format!(
            "{program} forked {} while it had {}, and the copies went on without an exec",
            crate::words::counted(forks, "copy").replace("copys", "copies"),
            crate::words::counted(threads, "other thread")
        ))
        .advises("Fork before the first thread starts, or use spawn or a fork server: locks of other threads stay locked in the copy")
        .shows("forks", forks)
        .shows("other_threads", threads)
        .at_least(Severity::Warning)
        .at_most(Severity::Warning)
}
