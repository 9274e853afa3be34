//! `serial-spawn`: equal processes are started one after the other, while CPUs are idle.

use crate::diagnose::case::time;
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit, Of};
use crate::diagnose::siblings::Family;
use crate::diagnose::thresholds::Thresholds;
use crate::trace::schema::{Basis, Severity};

pub(crate) struct SerialSpawn;

const PAGE: Page = Page {
    what: "Equal processes of one parent are started one after the other, each when the one before is ready, while the machine has idle CPUs.",
    why: "The time until the last one is ready is the sum of all instead of the longest one.",
    measured: "Scaled: the sum of their durations, less what they would take together: the longest of them, or their CPU time over the machine's CPUs, whichever is more; over the time in which they were starting.",
    fix: "Start them all, then wait for all (multiprocessing: call start() on every process before the first \
          join(); shells: & and wait, xargs -P; systemd: no After= between equal units).",
    mistaken: "Each may need what the one before has made, or be for a request that came after the one before was answered. What is tried again because it failed, a `sleep` of a script and the runs of `startrace stat` are not told. Memory, a licence or a data base may allow only so many at a time. The price takes every CPU for free, as far as these processes do not use it themselves.",
};

impl Rule for SerialSpawn {
    fn id(&self) -> &'static str {
        "serial-spawn"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look_at_siblings(&self, family: &Family, thresholds: &Thresholds, cpus: u32) -> Option<Hit> {
        let limits = &thresholds.serial_spawn;
        let n = family.n;
        let span = family.makespan();
        let parallelism = family.parallelism();
        let busy = family.running as f64 / (span.max(1) as f64 * f64::from(cpus.max(1)));
        // Of those that are started now and then, each on its own, none waits for the one before.
        let dense = parallelism >= 0.5;
        // A substitution or a member of a pipeline is there for the one that waits for it.
        let is_part = family.method.starts_with("shell.sub") || family.method == "shell.pipeline";
        if n < limits.min_siblings.max(2)
            || is_part
            || cpus < 2
            || !dense
            || parallelism > limits.max_parallelism
            || busy > limits.max_busy
            || family.running == 0
            || family.sum / n < limits.min_each.0
            || !is_one_by_one(family)
            || is_retried(family)
            || only_sleeps(family)
        {
            return None;
        }
        let together = family.longest.max(family.running / u64::from(cpus));
        let saves = family.sum.min(span).saturating_sub(together);
        if saves < thresholds.all.min_cost.0 {
            return None;
        }
        let claims = family.members.iter().map(|member| Claim {
            of: Of::Anybody,
            from: member.origin,
            to: member.finish,
        });
        let who = format!("{n} × {} ({})", family.command, family.method);
        let mut hit = Hit::new(
            format!("{} {}", family.parent_pid, family.command),
            format!("{n} equal processes are started one after the other"),
        )
        .costs(saves, Basis::Scaled, claims.collect())
        .says(format!(
            "{who} started one after the other in {}, {parallelism:.1} at a time, with {cpus} CPUs {:.0} % busy with them",
            time(span),
            busy * 100.0
        ))
        .advises("Start them all first and wait for them then, where none needs what the one before has made and nobody asks for them one by one")
        .shows("n", n)
        .shows("makespan_ns", span)
        .shows("longest_ns", family.longest)
        .shows("running_ns", family.running)
        .shows("parallelism", (parallelism * 100.0).round() / 100.0)
        .shows("cpus", cpus)
        // Commands of a script may need each other; workers that become ready do not.
        .at_most(if family.all_exit { Severity::Warning } else { Severity::Critical });
        hit.starts = family.members.iter().map(|member| member.key).collect();
        Some(hit)
    }
}

/// Does each begin when the one before is done, for nearly all of them?
fn is_one_by_one(family: &Family) -> bool {
    let after = family.members.windows(2).filter(|pair| match pair {
        [a, b] => b.origin.saturating_add((a.finish - a.origin) / 10) >= a.finish,
        _ => false,
    });
    let pairs = family.members.len().saturating_sub(1);
    pairs > 0 && after.count() * 10 >= pairs * 9
}

/// One thing is tried until it works: all have the same arguments, and nearly each but the last failed.
fn is_retried(family: &Family) -> bool {
    let Some((_, before)) = family.members.split_last() else { return false };
    let failed = before.iter().filter(|member| member.failed).count();
    family.same_argv && family.all_exit && failed * 10 >= before.len() * 9
}

/// A script's `sleep`, whose time is the point of it: between tries, or until something else is there.
fn only_sleeps(family: &Family) -> bool {
    let by_script = ["shell.", "system", "popen", "subprocess"].iter().any(|of| family.method.contains(of));
    let mut words = family.command.split(' ');
    let program =
        words.next().map(|word| if word == "busybox" { words.next().unwrap_or(word) } else { word });
    by_script && program.is_some_and(|program| matches!(program, "sleep" | "usleep"))
}
