//! `fork-large-parent`: fork copies the page tables of a process with much memory.

use crate::diagnose::case::{Case, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit, Of};
use crate::trace::schema::Basis;

pub(crate) struct ForkLargeParent;

const PAGE: Page = Page {
    what: "A process with much memory is forked, and the kernel copies its page tables while the parent stands still.",
    why: "fork and clone without CLONE_VM duplicate every page-table entry of the parent, which takes time in \
          proportion to its resident memory (far less of it with huge pages). If the child then executes another \
          program, that copy is torn down again before the new image is in place.",
    measured: "The phase fork (from the entry into the call until the child can run), and of the exec that \
               follows what is more than usual; less what either waited for a CPU meanwhile, and less what posix_spawn \
               takes (threshold fork-large-parent.spawn).",
    fix: "To run a program: posix_spawn or vfork, which copy nothing (Python: subprocess with close_fds=False and \
          without preexec_fn; Java: -Djdk.lang.Process.launchMechanism=POSIX_SPAWN). To have workers: fork them \
          before memory grows, or from a small zygote or fork server. Huge pages for the heap make the copy cheap.",
    mistaken: "What a virtual machine's host takes away in the middle of the call lengthens the phase, and nobody tells; \
               repeat the recording. (What other tasks take is left out, but in traces of older versions.) A parent with few \
               pages and a great many mappings costs the same way.",
};

impl Rule for ForkLargeParent {
    fn id(&self) -> &'static str {
        "fork-large-parent"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.fork_large_parent;
        let method = &case.start.method;
        let copies = matches!(method.primitive.as_deref(), Some("fork" | "clone" | "clone3"))
            && !method.clone_flags.iter().any(|flag| flag == "CLONE_VM");
        let Some((0, fork)) = case.phases("fork").next().filter(|_| copies) else { return Vec::new() };
        let copied = case.start.execs.iter().all(|exec| exec.error.is_some());
        let timeline = &case.start.timeline;
        // Older traces have that of the child only, where it is a copy still.
        let of_child =
            || timeline.counters.as_ref().filter(|_| copied).and_then(|counters| counters.rss_bytes);
        let rss = timeline.fork_copied_bytes.or_else(of_child);
        let few = rss.is_some_and(|rss| rss >> 20 < limits.few);
        let least = if few { limits.min_fork_few.0 } else { limits.min_fork.0 };
        // Who waits for a CPU copies nothing meanwhile.
        let waited = timeline.fork_waited_ns.min(fork);
        let own = fork - waited;
        if own < least {
            return Vec::new();
        }
        let (_, mut claims) = case.between(0, fork);
        // The parent stands still meanwhile, whether or not anybody waits for the child.
        if let Some(parent) = &case.start.parent
            && let Some(id) = &parent.start_id
        {
            let origin = timeline.origin_boottime_ns;
            let of = Of::Task(case.known.key(id), parent.pid);
            claims.push(Claim { of, from: origin, to: origin.saturating_add(fork) });
        }
        let mut cost = own.saturating_sub(limits.spawn.0);
        // The exec gives the copy back.
        let exec = case.phases("exec").next();
        let (exec_ns, exec_claims) =
            exec.map_or((0, Vec::new()), |(at, ns)| (ns, case.between(at, at.saturating_add(ns)).1));
        let torn = exec_ns.saturating_sub(case.circumstances(&exec_claims)).saturating_sub(limits.exec.0);
        if torn > 0 {
            cost = cost.saturating_add(torn);
            claims.extend(exec_claims);
        }
        if !case.is_worth(cost, limits.min_fork) {
            return Vec::new();
        }
        let parent = case.start.parent.as_ref();
        let by = parent.and_then(|parent| parent.comm.as_deref()).map(super::super::case::quoted);
        let by = by.unwrap_or_else(|| "its parent".to_owned());
        let memory = rss.map_or(String::new(), |rss| format!(", which has {} MiB,", rss >> 20));
        let torn_text = if torn > 0 {
            format!(" and {} to give the copy back at the exec", time(torn))
        } else {
            String::new()
        };
        let advice = if copied {
            "Fork the workers before memory grows, or from a small fork server; huge pages for the heap make the copy cheap"
        } else {
            "Start programs by posix_spawn or vfork, which copy nothing, or from a small helper process"
        };
        let mut hit = Hit::new(format!("{by} {copied}"), format!("copying the memory map of {by} at fork"))
            .costs(cost, Basis::Measured, claims)
            .says(format!("fork of {by}{memory} took {}{torn_text}", time(own)))
            .advises(advice)
            .shows("fork_ns", fork);
        if torn > 0 {
            hit = hit.shows("exec_ns", exec_ns);
        }
        if waited > 0 {
            hit = hit.shows("waited_ns", waited);
        }
        match rss {
            Some(rss) => vec![hit.shows("rss_bytes", rss)],
            None => vec![hit],
        }
    }
}
