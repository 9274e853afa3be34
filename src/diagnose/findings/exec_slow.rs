//! `exec-slow`: the exec itself takes long.

use crate::diagnose::case::{Case, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Basis, Severity};

/// From so many bytes of arguments on, copying them takes as long as an exec usually does: 590 KB took 20 ms where few took 1.
pub(super) const MANY_ARGUMENTS: u64 = 64 << 10;

pub(crate) struct ExecSlow;

const PAGE: Page = Page {
    what: "From the entry into exec until the new image is in place it takes far longer than usual, without waiting for storage or for a CPU.",
    why: "Security modules that check or hash the file (IMA, fapolicyd, virus scanners), audit rules, binfmt_misc interpreters, other threads that have to be ended first, much memory that has to be given back, or hundreds of KiB of arguments that have to be copied.",
    measured: "The phase exec on the critical path without disk, page faults and waits for a CPU, less what an exec usually takes (threshold exec-slow.usual).",
    fix: "Find the module: cat /sys/kernel/security/lsm, auditctl -l, ls /proc/sys/fs/binfmt_misc. Exclude the program or its folder from the scan.",
    mistaken: "A process that held much memory before (a fork of a large parent) gives it back in exec: where that shows as a long fork, fork-large-parent has the price.",
};

impl Rule for ExecSlow {
    fn id(&self) -> &'static str {
        "exec-slow"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.exec_slow;
        let forked = case.phases("fork").next().map_or(0, |(_, ns)| ns);
        if forked >= case.thresholds.fork_large_parent.min_fork.0 {
            return Vec::new();
        }
        let mut hits = Vec::new();
        for phase in case.start.timeline.phases.iter().filter(|phase| phase.name == "exec").take(16) {
            let end = phase.at_ns.saturating_add(phase.duration_ns);
            let claims = case.between_where(phase.at_ns, end, |segment| {
                let waits = ["disk", "page_fault", "runnable", "unknown", "throttled"];
                segment.start_id == case.start.start_id && !waits.contains(&segment.state.as_str())
            });
            let ns = sum(&claims);
            let cost = ns.saturating_sub(limits.usual.0);
            if ns < limits.min_exec.0 || !case.is_worth(cost, case.thresholds.all.min_cost) {
                continue;
            }
            let exec = phase.exec.and_then(|index| case.start.execs.get(index as usize));
            // The arguments are those of the last image.
            let is_last =
                exec.is_some_and(|exec| case.images().last().is_some_and(|last| std::ptr::eq(*last, exec)));
            let bytes = case.start.argv_bytes.filter(|bytes| is_last && *bytes >= MANY_ARGUMENTS);
            let with =
                bytes.map(|bytes| format!(" with {} KiB of arguments", bytes >> 10)).unwrap_or_default();
            let path = exec.and_then(|exec| exec.path.as_deref()).map_or_else(|| case.program(), quoted);
            hits.push(
                Hit::new(path.clone(), format!("the exec of {path}"))
                    .costs(cost, Basis::Measured, claims)
                    .says(format!("exec of {path}{with} took {} before the new image was in place", time(phase.duration_ns)))
                    .advises(match bytes {
                        Some(_) => "The kernel copies all arguments to the new image: pass them in a file or by standard input (xargs passes fewer at a time)",
                        None => "Look for what checks programs at exec: security modules, audit rules, virus scanners, binfmt_misc",
                    })
                    .shows("argv_bytes", bytes)
                    .shows("exec_ns", phase.duration_ns)
                    .shows("without_waiting_ns", ns)
                    .at_most(Severity::Warning),
            );
        }
        hits
    }
}
