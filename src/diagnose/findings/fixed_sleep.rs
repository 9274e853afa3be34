//! `fixed-sleep`: a start sleeps for a time that was chosen beforehand.

use crate::diagnose::case::{Case, by_name, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::words::count;

/// A sleep whose end was given, not its length.
const UNTIL: &str = "until a set time";

pub(crate) struct FixedSleep;

const PAGE: Page = Page {
    what: "A start sleeps for a fixed time, and everything else waits for it.",
    why: "A sleep that waits for something else to be ready is either too long or too short; one within a loop that asks again and again adds half its length on average.",
    measured: "Waits in nanosleep and clock_nanosleep that a timer ended, on the critical path. Sleeps of less than 100 us are not counted.",
    fix: "Wait for the event itself: READY=1, a listening socket, inotify for a file, pidfd or waitpid for a process, a condition variable; or ask in ever longer steps, beginning with 1 ms.",
    mistaken: "A sleep that keeps a rate limit, or whose length is the point (sleep 5 as a command), is told as well. Time-outs of poll, select and futex are no fixed sleeps.",
};

impl Rule for FixedSleep {
    fn id(&self) -> &'static str {
        "fixed-sleep"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let (mut ns, mut claims, mut lengths) = (0u64, Vec::new(), Vec::new());
        for on in case.waits_where(|wait| wait.kind == "sleep") {
            let ended = on.wait.woken_by.as_ref().is_none_or(|by| by.kind == "timer");
            if on.wait.kind != "sleep" || !ended {
                continue;
            }
            ns = ns.saturating_add(on.ns);
            claims.extend(on.claims);
            let asked = on.wait.detail.as_deref().and_then(|detail| detail.strip_prefix("asked for "));
            lengths.push((quoted(asked.unwrap_or(UNTIL)), on.ns, ()));
        }
        if !case.is_worth(ns, case.thresholds.fixed_sleep.min_cost) {
            return Vec::new();
        }
        let n = lengths.len();
        let lengths = by_name(lengths.into_iter(), 64);
        let until = lengths.iter().find(|(asked, ..)| asked == UNTIL).map_or(0, |(_, _, list)| list.len());
        let times = |n: usize, asked: &str| if n > 1 { format!("{n} × {asked}") } else { asked.to_owned() };
        let shown: Vec<String> =
            lengths.iter().take(3).map(|(asked, _, list)| times(list.len(), asked)).collect();
        let asked: Vec<String> = lengths
            .iter()
            .filter(|(asked, ..)| asked != UNTIL)
            .map(|(asked, _, list)| times(list.len(), asked))
            .collect();
        let asked = match (asked.is_empty(), until) {
            (false, 0) => format!("asked for {}", listed(&asked)),
            (false, until) => format!("asked for {}; {until} {UNTIL}", listed(&asked)),
            (true, _) => UNTIL.to_owned(),
        };
        let often = if n > 1 { format!("{} times, ", count(n as u64)) } else { String::new() };
        let all = if n > 1 { " in all" } else { "" };
        let hit = Hit::new(case.program(), format!("sleeping for a fixed time in {}", case.program()))
            .says(format!("{} slept {often}{}{all} ({asked})", case.name(), time(ns)))
            .advises("Wait for the event that the sleep is meant for, or ask in ever longer steps that begin with 1 ms")
            .shows("sleeps", n)
            .shows("slept_ns", ns)
            .shows("asked_for", shown);
        vec![measured(hit, ns, claims)]
    }
}
