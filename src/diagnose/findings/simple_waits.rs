//! Findings that are one state of the critical path: `cpu-throttled`, `memory-reclaim`, `entropy-wait`,
//! `prompt-wait`.

use crate::diagnose::case::{Case, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

/// One state, one finding.
pub(crate) struct OneState {
    id: &'static str,
    states: &'static [&'static str],
    /// After "3.1 s of it: ".
    what: &'static str,
    /// After the command and the time.
    summary: &'static str,
    advice: &'static str,
    page: &'static Page,
}

pub(crate) static CPU_THROTTLED: OneState = OneState {
    id: "cpu-throttled",
    states: &["throttled"],
    what: "held back by the CPU quota of its cgroup",
    summary: "by the CPU quota of its cgroup",
    advice: "Raise the quota for the time of the start (CPUQuota=, cpu.max, limits.cpu), or use CPU weights instead of quotas",
    page: &Page {
        what: "The cgroup of a start has used up its CPU quota, and its tasks stand still until the next period.",
        why: "A start needs more CPU than the service does later: with a quota of half a CPU, 2 s of computing take 4 s.",
        measured: "Time on the critical path in which a task was off its CPU because its cgroup was throttled.",
        fix: "Raise cpu.max (CPUQuota=, limits.cpu) for the start and lower it later, use weights (CPUWeight=) instead of quotas, allow a burst (cpu.max.burst), or compute less.",
        mistaken: "The quota in the trace's header is that of the recorder's own cgroup, which need not be the start's.",
    },
};

pub(crate) static MEMORY_RECLAIM: OneState = OneState {
    id: "memory-reclaim",
    states: &["memory"],
    what: "waiting for memory to be reclaimed",
    summary: "for memory that had to be reclaimed first",
    advice: "Raise memory.high (MemoryHigh=) of its cgroup, or make room before the start",
    page: &Page {
        what: "A start has to free memory before it gets any: direct reclaim, or the limit memory.high of its cgroup.",
        why: "Over memory.high the kernel lets a task wait on purpose; without free memory it writes out and drops pages itself.",
        measured: "Time on the critical path in which a task waited within the kernel's reclaim.",
        fix: "Raise memory.high (MemoryHigh=), give the service memory.low, end or move what uses the memory, use less at start.",
        mistaken: "Reclaim that runs on a CPU without waiting is CPU time, and not told.",
    },
};

pub(crate) static ENTROPY_WAIT: OneState = OneState {
    id: "entropy-wait",
    states: &["random"],
    what: "waiting for the kernel's random numbers to be seeded",
    summary: "for the kernel's random number generator to be seeded",
    advice: "Seed the generator early: virtio-rng for a virtual machine, systemd-random-seed, or a CPU with RDSEED (random.trust_cpu=on)",
    page: &Page {
        what: "A start waits in getrandom() or on /dev/random until the kernel has gathered enough entropy.",
        why: "Shortly after boot a virtual machine without a source of entropy may take minutes to have any.",
        measured: "Waits in getrandom and reads of /dev/random, on the critical path.",
        fix: "A virtio-rng device, systemd-random-seed.service with a saved seed, random.trust_cpu=on and random.trust_bootloader=on on the kernel's command line.",
        mistaken: "A kernel whose CPU has a fine clock gathers entropy by itself within a second or so, and whoever \
asks computes for it meanwhile: that is running, and not told. A page that is written to late, within getrandom, counts as well.",
    },
};

pub(crate) static PROMPT_WAIT: OneState = OneState {
    id: "prompt-wait",
    states: &["tty"],
    what: "waiting for somebody to type",
    summary: "for input from a terminal",
    advice: "Give the answer beforehand (an option, an environment variable, a file), or take the terminal away: < /dev/null",
    page: &Page {
        what: "A start waits for somebody to type: a password, a question, a pager.",
        why: "A program that asks has all the time in the world, and in a service nobody answers.",
        measured: "Waits to read from a terminal, on the critical path.",
        fix: "Options that answer beforehand (-y, --non-interactive, DEBIAN_FRONTEND=noninteractive, GIT_TERMINAL_PROMPT=0), PAGER=cat, and < /dev/null in scripts.",
        mistaken: "For an interactive program the prompt is the end of its start: it is told only where it is part of it.",
    },
};

impl Rule for OneState {
    fn id(&self) -> &'static str {
        self.id
    }

    fn page(&self) -> &'static Page {
        self.page
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn is_circumstance(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let (ns, claims) = case.claims(case.own_in(self.states));
        let least = if self.id == "cpu-throttled" {
            case.thresholds.cpu_throttled.min_cost
        } else {
            case.thresholds.all.min_cost
        };
        if !case.is_worth(ns, least) {
            return Vec::new();
        }
        let objects = case.own_in(self.states).filter_map(|segment| {
            segment.detail.as_deref().map(|detail| (quoted(detail), segment.duration_ns, ()))
        });
        let objects: Vec<String> =
            by_name(objects, 64).into_iter().take(3).map(|(name, _, _)| name).collect();
        let who = case.who(&claims);
        let mut hit = Hit::new(who.program, self.what)
            .says(format!("{} waited {} {}", who.name, time(ns), self.summary))
            .advises(self.advice)
            .shows("waited_ns", ns);
        if !objects.is_empty() {
            hit = hit.shows("objects", objects);
        }
        if let Some(quota) = case.quota.filter(|_| self.id == "cpu-throttled") {
            hit = hit.shows("recorder_quota_cpus", quota);
        }
        vec![measured(hit, ns, claims)]
    }
}
