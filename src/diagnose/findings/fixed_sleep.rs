//! `fixed-sleep`: a start sleeps for a time that was chosen beforehand.

use crate::diagnose::case::{Case, by_name, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Wait;
use crate::words::count;

/// A sleep whose end was given, not its length.
const UNTIL: &str = "until a set time";

/// A sleep that was not over when the start was: what it was for is not known, only where it stood.
const UNFINISHED: &str = "still asleep at the end";

/// An event loop's time-out, as long as it was asked for.
const LOOP: &str = "an event loop's time-outs";

/// A wait in epoll_wait that ended because its time was over, with nothing of a peer that it was for: that is `dns-wait`
/// or `connect-wait`.
fn is_time_out_of_a_loop(wait: &Wait) -> bool {
    let is_epoll = wait.syscall.as_deref().is_some_and(|call| call.starts_with("epoll_"));
    let timed = wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
    let detail = wait.detail.as_deref().unwrap_or("");
    let of_peer = ["tcp ", "udp ", "socket ", "(accept)"].iter().any(|word| detail.contains(word));
    wait.kind == "poll" && is_epoll && timed && !of_peer
}

/// What pthread_cond_timedwait and its like are at the kernel: a JVM's Thread.sleep, Event.wait(5) of Python.
const CONDITION: &str = "time-outs of conditions";

/// Shorter ones are of those that ask for a lock again and again: CPython's threads for the interpreter's, each 5 ms.
const CONDITION_NS: u64 = 10_000_000;

/// A wait for another thread that none ended before its time was over.
fn is_time_out_of_a_condition(wait: &Wait) -> bool {
    let timed = wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
    wait.kind == "futex" && timed && wait.duration_ns >= CONDITION_NS
}

pub(crate) struct FixedSleep;

const PAGE: Page = Page {
    what: "A start sleeps for a fixed time, and everything else waits for it.",
    why: "A sleep that waits for something else to be ready is either too long or too short; one within a loop that asks again and again adds half its length on average.",
    measured: "Waits in nanosleep and clock_nanosleep that a timer ended, on the critical path; and of an event loop (asyncio.sleep, setTimeout) those in epoll_wait that ended because the time asked for was over, with nothing from a peer on the network; and those for a condition of another thread (a futex) that nobody fulfilled before their time was over, as a JVM's Thread.sleep is, from 10 ms on. Sleeps of less than 100 us are not counted.",
    fix: "Wait for the event itself: READY=1, a listening socket, inotify for a file, pidfd or waitpid for a process, a condition variable; or ask in ever longer steps, beginning with 1 ms.",
    mistaken: "A sleep that keeps a rate limit, or whose length is the point (sleep 5 as a command), is told as well, and so is an event loop that looks after something else from time to time. A condition whose time-out is over each time is told, whether it was meant to be fulfilled or not. Time-outs of poll and select with descriptors are no fixed sleeps. A timerfd is not told from other events; of a start that was not ready in the end only sleeps count, as an idle loop waits for ever.",
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
        let (mut loops, mut conditions) = (0usize, 0usize);
        let times_out = |wait: &Wait| {
            case.is_whole() && (is_time_out_of_a_loop(wait) || is_time_out_of_a_condition(wait))
        };
        for on in case.waits_where(|wait| wait.kind == "sleep" || times_out(wait)) {
            if on.wait.woken_by.as_ref().is_some_and(|by| by.kind != "timer") {
                continue;
            }
            ns = ns.saturating_add(on.ns);
            claims.extend(on.claims);
            let asked = on.wait.detail.as_deref().and_then(|detail| detail.strip_prefix("asked for "));
            let asked = match on.wait.kind.as_str() {
                "sleep" => match asked {
                    Some(asked) => quoted(asked),
                    None if on.wait.woken_by.is_none() => UNFINISHED.to_owned(),
                    None => UNTIL.to_owned(),
                },
                "futex" => {
                    conditions += 1;
                    CONDITION.to_owned()
                }
                _ => {
                    loops += 1;
                    LOOP.to_owned()
                }
            };
            lengths.push((asked, on.ns, ()));
        }
        if !case.is_worth(ns, case.thresholds.fixed_sleep.min_cost) {
            return Vec::new();
        }
        let n = lengths.len();
        let lengths = by_name(lengths.into_iter(), 64);
        let of =
            |kind: &str| lengths.iter().find(|(asked, ..)| asked == kind).map_or(0, |found| found.2.len());
        let (until, unfinished) = (of(UNTIL), of(UNFINISHED));
        let times = |n: usize, asked: &str| if n > 1 { format!("{n} × {asked}") } else { asked.to_owned() };
        let shown: Vec<String> =
            lengths.iter().take(3).map(|(asked, _, list)| times(list.len(), asked)).collect();
        let asked: Vec<String> = lengths
            .iter()
            .filter(|(asked, ..)| ![UNTIL, UNFINISHED, LOOP, CONDITION].contains(&asked.as_str()))
            .map(|(asked, _, list)| times(list.len(), asked))
            .collect();
        let mut parts = Vec::new();
        if !asked.is_empty() {
            parts.push(format!("asked for {}", listed(&asked)));
        }
        match until {
            0 => {}
            all if all == n => parts.push(UNTIL.to_owned()),
            until => parts.push(format!("{until} {UNTIL}")),
        }
        match unfinished {
            0 => {}
            all if all == n => parts.push(UNFINISHED.to_owned()),
            unfinished => parts.push(format!("{unfinished} {UNFINISHED}")),
        }
        match loops {
            0 => {}
            all if all == n => parts.push(format!("in {LOOP}")),
            loops => parts.push(format!("{loops} in {LOOP}")),
        }
        match conditions {
            0 => {}
            all if all == n => parts.push(format!("in {CONDITION} that nobody fulfilled")),
            some => parts.push(format!("{some} in {CONDITION} that nobody fulfilled")),
        }
        let asked = parts.join("; ");
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
