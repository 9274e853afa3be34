//! `fd-close-loop`: a child closes every descriptor up to its limit before it executes.

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct FdCloseLoop;

const PAGE: Page = Page {
    what: "Between fork and exec a child computes in the kernel for long, as closing all descriptors up to the limit does.",
    why: "close() on every number up to RLIMIT_NOFILE is a system call for each, open or not. With the limits of \
          containers and of systemd (a million and more) that is hundreds of milliseconds for every child.",
    measured: "CPU time on the critical path in the child's phase setup, without failed execs, where the child's CPU time is the kernel's. The calls themselves are not seen.",
    fix: "close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), closefrom(), or close-on-exec on every descriptor. Where the \
          program cannot be changed: a lower limit for it (LimitNOFILE=, ulimit -n, docker --ulimit nofile=).",
    mistaken: "Anything else that keeps a child in the kernel before its exec looks the same: a walk through \
               /proc/self/fd, unmounting, many signal handlers. A loop in a child that lives on without an exec is not seen.",
};

impl Rule for FdCloseLoop {
    fn id(&self) -> &'static str {
        "fd-close-loop"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.fd_close_loop;
        let Some((at, length)) = case.phases("setup").next() else { return Vec::new() };
        let before = case.start.execs.iter().filter(|exec| exec.at_ns <= at.saturating_add(length));
        if before.filter(|exec| exec.error.is_some()).count() > 0 {
            return Vec::new();
        }
        // To make up so many takes time as well, and copying them is in the kernel's share.
        if case.start.argv_bytes.is_some_and(|bytes| bytes >= super::exec_slow::MANY_ARGUMENTS) {
            return Vec::new();
        }
        let running = case.own_in(&["running"]).filter(|segment| segment.phase.as_deref() == Some("setup"));
        let ns = crate::diagnose::case::sum(&case.claims(running).1);
        if !case.is_worth(ns, limits.min_running) {
            return Vec::new();
        }
        // What the whole start used: to be told apart, the loop must be a good part of the kernel's share.
        let Some(counters) = &case.start.timeline.counters else { return Vec::new() };
        let system = counters.system_ns;
        let used = counters.user_ns.saturating_add(system);
        if (system as f64) < limits.min_system_share * (ns as f64) || used == 0 {
            return Vec::new();
        }
        let hit = Hit::new(case.program(), "closing descriptors one by one before the exec")
            .says(format!(
                "{} of CPU time between fork and exec of {}, most of it in the kernel: as closing all descriptors up to the limit one by one takes",
                time(ns),
                case.name()
            ))
            .advises("Close them with close_range() or mark them close-on-exec; or lower the limit (ulimit -n, LimitNOFILE=) for this program")
            .shows("setup_running_ns", ns)
            .shows("system_ns", system)
            .shows("user_ns", counters.user_ns)
            .at_most(if system >= ns { Severity::Critical } else { Severity::Warning });
        // All of it goes away: also what it waited for a CPU meanwhile.
        let (wall, claims) = case.between(at, at.saturating_add(length));
        vec![measured(hit, wall, claims)]
    }
}
