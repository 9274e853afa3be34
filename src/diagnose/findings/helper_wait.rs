//! `helper-wait`: a start waits for one process that it started.

use crate::diagnose::case::{Case, OnPath, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{ABOUT, Hit};
use crate::trace::schema::Severity;

/// Programs whose task is to run another one and to wait for it.
const RUNNERS: &[&str] = &[
    "ash",
    "bash",
    "busybox",
    "dash",
    "dumb-init",
    "env",
    "fish",
    "ksh",
    "ksh93",
    "make",
    "mksh",
    "ninja",
    "nice",
    "parallel",
    "runuser",
    "script",
    "setsid",
    "sh",
    "strace",
    "su",
    "sudo",
    "systemd",
    "time",
    "timeout",
    "tini",
    "unshare",
    "xargs",
    "zsh",
];
/// A start that does nothing else than wait for one process is a runner as well.
const ALL: f64 = 0.9;

pub(crate) struct HelperWait;

const PAGE: Page = Page {
    what: "A start waits for a process that it started itself, for a large part of its time.",
    why: "Programs ask helpers for what they want to know (lsb_release, git describe, ldconfig, a version \
          command) and wait for the answer. All of the helper's own start is then part of theirs.",
    measured: "The critical path while the start waited for its child, or for a pipe that a younger process held, as far as it leads through other processes.",
    fix: "Keep the answer (a file, an environment variable), ask later or only when it is needed, ask in parallel, \
          or read the information where the helper reads it. What makes the helper slow stands in its own start. For a \
          worker of a pool, or a child that only sleeps, the finding advises what fits those instead.",
    mistaken: "A program whose task it is to run another (a shell with -c, make, a supervisor that waits for its \
               service) is told as well.",
};

impl Rule for HelperWait {
    fn id(&self) -> &'static str {
        "helper-wait"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn nests(&self) -> bool {
        true
    }

    fn vagueness(&self) -> u8 {
        2
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.helper_wait;
        // It waits for all the others, as long as they are there.
        if case.start.method.name.ends_with("resource_tracker") {
            return Vec::new();
        }
        // Members of a pipeline wait for each other all the time: that is what they are for.
        let piped = case.start.method.pattern.as_deref() == Some("shell.pipeline");
        let kinds: &[&str] =
            if piped { &["child"] } else { &["child", "vfork", "pipe", "poll", "unix_socket"] };
        let waits = case.waits_where(|wait| kinds.contains(&wait.kind.as_str()));
        // What is written to a child that does not read is another matter.
        let writes = |on: &OnPath<'_>| on.wait.syscall.as_deref().is_some_and(|call| call.contains("write"));
        let waits = waits.filter(|on| !writes(on));
        let waits = waits.filter_map(|on| Some((on.through?, on)));
        let waits = waits.filter(|(through, _)| !case.is_older(through));
        let waits: Vec<(String, u64, OnPath<'_>)> =
            waits.map(|(through, on)| (through.to_owned(), on.ns, on)).collect();
        let sums = crate::diagnose::case::by_name(waits.into_iter(), 256);
        let mut hits = Vec::new();
        for (id, ns, waits) in sums.into_iter().take(4) {
            if case.share(ns) < limits.min_share || !case.is_worth(ns, limits.min_cost) {
                break;
            }
            let n = waits.len();
            // The path may lead through a child that waits itself: most of the time is then one's further below.
            let child = is_child(case, &id, &waits);
            let claims: Vec<_> = waits.into_iter().flat_map(|on| on.claims).collect();
            let who = case.who(&claims);
            let runs_it = who.is_one_of(RUNNERS) || case.share(ns) >= ALL;
            // A name that is known by those who waited for it is good enough; else it may come later.
            let pid = case.process(&id);
            let helper = case.command(&id).unwrap_or_else(|| ABOUT.to_owned());
            let (whose, it) = match child {
                true => ("its child ", "the child"),
                false => ("", "that process"),
            };
            let advice = if case.known.is_worker(&id) {
                "What makes the worker slow stands in its own start: start it earlier, give it less to do before it is there, or do not wait for it".to_owned()
            } else if only_sleeps(case, &id) {
                format!(
                    "{} only sleeps: wait for what its sleep is meant for, or ask for that in ever longer steps that begin with 1 ms",
                    capital(it)
                )
            } else if runs_it {
                format!(
                    "What makes {it} slow stands in its own start; where it only answers something, keep the answer"
                )
            } else {
                format!(
                    "Keep {it}'s answer (in a file, in a variable), ask for it later, or do meanwhile what does not need it"
                )
            };
            let mut hit = Hit::new(format!("{} {helper}", who.program), format!("waiting for {helper}"))
                .says(format!("{} waited {} for {whose}{helper}", who.name, time(ns)))
                .advises(advice)
                .shows("waited_ns", ns)
                .shows("waits", n)
                .shows("helper", id.clone())
                .at_most(if runs_it { Severity::Info } else { Severity::Warning });
            hit.about = Some((case.known.key(&id), pid));
            hits.push(measured(hit, ns, claims));
        }
        hits
    }
}

/// Is the process that most of the path leads through a child of its own?
fn is_child(case: &Case<'_>, id: &str, waits: &[OnPath<'_>]) -> bool {
    let Some(pid) = id.split('@').next().and_then(|pid| pid.parse::<u32>().ok()) else { return false };
    let told = format!("pid {pid} ");
    let waited_for = |on: &OnPath<'_>| {
        let details = on.wait.detail.as_deref().filter(|_| matches!(&*on.wait.kind, "child" | "vfork"));
        details.is_some_and(|detail| detail.starts_with(&told))
    };
    case.known.is_child(&case.start.start_id, pid) || waits.iter().any(waited_for)
}

fn capital(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Does a process that the path leads through do next to nothing else there?
fn only_sleeps(case: &Case<'_>, id: &str) -> bool {
    let (mut all, mut slept) = (0u64, 0u64);
    for segment in case.path().iter().filter(|segment| segment.start_id == id) {
        all = all.saturating_add(segment.duration_ns);
        slept = slept.saturating_add(if segment.state == "sleep" { segment.duration_ns } else { 0 });
    }
    slept as f64 >= ALL * all as f64
}
