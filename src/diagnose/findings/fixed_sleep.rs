//! `fixed-sleep`: a start sleeps for a time that was chosen beforehand.

use crate::diagnose::case::{Case, OnPath, Who, by_name, image_at, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::hash::HashMap;
use crate::trace::schema::Wait;
use crate::words::count;

/// A sleep that is not told by the length asked for: its name, and what it is within a sentence.
type Kind = (&'static str, &'static str);

/// A sleep whose end was given, not its length.
const UNTIL: Kind = ("until a set time", "until a set time");

/// A sleep that was not over when the start was: what it was for is not known, only where it stood.
const UNFINISHED: Kind = ("still asleep at the end", "still asleep at the end");

/// An event loop's time-out, as long as it was asked for.
const LOOP: Kind = ("an event loop's time-outs", "in an event loop's time-outs");

/// What pthread_cond_timedwait and its like are at the kernel: a JVM's Thread.sleep, Event.wait(5) of Python.
const CONDITION: Kind = ("time-outs of conditions", "in time-outs of conditions that nobody fulfilled");

const KINDS: [Kind; 4] = [UNTIL, UNFINISHED, LOOP, CONDITION];

/// A wait in epoll_wait that ended because its time was over, with nothing of a peer that it was for: that is `dns-wait`
/// or `connect-wait`.
fn is_time_out_of_a_loop(wait: &Wait) -> bool {
    let is_epoll = wait.syscall.as_deref().is_some_and(|call| call.starts_with("epoll_"));
    let timed = wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
    let detail = wait.detail.as_deref().unwrap_or("");
    let of_peer = ["tcp ", "udp ", "socket ", "(accept)"].iter().any(|word| detail.contains(word));
    wait.kind == "poll" && is_epoll && timed && !of_peer
}

/// Shorter ones are of those that ask for a lock again and again: CPython's threads for the interpreter's, each 5 ms.
const CONDITION_NS: u64 = 10_000_000;

/// A wait for another thread that none ended before its time was over.
fn is_time_out_of_a_condition(wait: &Wait) -> bool {
    let timed = wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
    wait.kind == "futex" && timed && wait.duration_ns >= CONDITION_NS
}

/// Sleeps of one thread, one after the other, that are ever longer steps: so many, the first no longer than this.
const STEPS: usize = 5;
const FIRST_STEP_NS: u64 = 5_000_000;

/// Of each sleep, whether it is a step to a longer one: what was asked for after it was not there yet, and whoever is told
/// when it is waits as long. Popen.wait(timeout=) of Python asks so for its child, from 1 ms to 50 ms.
fn steps(slept: &[OnPath<'_>]) -> Vec<bool> {
    let mut is_step = vec![false; slept.len()];
    let mut runs: HashMap<u32, Vec<usize>> = HashMap::default();
    let close = |run: &[usize], is_step: &mut Vec<bool>| {
        let ns = |at: Option<&usize>| at.and_then(|at| slept.get(*at)).map_or(0, |on| on.wait.duration_ns);
        let (first, last) = (ns(run.first()), ns(run.last()));
        if run.len() < STEPS || first > FIRST_STEP_NS || last < first.saturating_mul(4) {
            return;
        }
        for at in run.iter().rev().skip(1) {
            if let Some(step) = is_step.get_mut(*at) {
                *step = true;
            }
        }
    };
    for (at, on) in slept.iter().enumerate().filter(|(_, on)| on.wait.kind == "sleep") {
        let run = runs.entry(on.wait.tid).or_default();
        let before = run.last().and_then(|last| slept.get(*last)).map_or(0, |last| last.wait.duration_ns);
        let ns = on.wait.duration_ns;
        // Equal ones are where the longest is reached; the very last may be cut to what is left of a time-out.
        let goes_on = ns >= before.saturating_sub(before / 5) && ns <= before.saturating_mul(3);
        if !run.is_empty() && !goes_on {
            close(run, &mut is_step);
            run.clear();
        }
        run.push(at);
    }
    runs.values().for_each(|run| close(run, &mut is_step));
    is_step
}

pub(crate) struct FixedSleep;

const PAGE: Page = Page {
    what: "A start sleeps for a fixed time, and everything else waits for it.",
    why: "A sleep that waits for something else to be ready is either too long or too short; one within a loop that asks again and again adds half its length on average.",
    measured: "Waits in nanosleep and clock_nanosleep that a timer ended, on the critical path; and of an event loop (asyncio.sleep, setTimeout) those in epoll_wait that ended because the time asked for was over, with nothing from a peer on the network; and those for a condition of another thread (a futex) that nobody fulfilled before their time was over, as a JVM's Thread.sleep is, from 10 ms on. Sleeps of less than 100 us are not counted. Of ever longer steps, as Python's Popen.wait(timeout=) asks for its child, only the last one costs: what was asked for was not there before.",
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
        let times_out = |wait: &Wait| {
            case.is_whole() && (is_time_out_of_a_loop(wait) || is_time_out_of_a_condition(wait))
        };
        let timed = |on: &OnPath<'_>| on.wait.woken_by.as_ref().is_none_or(|by| by.kind == "timer");
        let waits = case.waits_where(|wait| wait.kind == "sleep" || times_out(wait));
        let slept: Vec<OnPath<'_>> = waits.filter(timed).collect();
        let is_step = steps(&slept);
        let images = case.images();
        // A script's sleep is not that of the program which it executed later.
        let mut by_image: Vec<(usize, Vec<(OnPath<'_>, bool)>)> = Vec::new();
        for (on, is_step) in slept.into_iter().zip(is_step) {
            let image = image_at(&images, on.wait.at_ns);
            match by_image.iter_mut().find(|(of, _)| *of == image) {
                Some((_, list)) => list.push((on, is_step)),
                None => by_image.push((image, vec![(on, is_step)])),
            }
        }
        let hits = by_image.into_iter();
        hits.filter_map(|(image, slept)| hit(case, &case.who_was(&images, Some(image)), slept)).collect()
    }
}

/// How long a sleep was asked for, or else the name of its kind.
fn asked_for(wait: &Wait) -> String {
    let asked = wait.detail.as_deref().and_then(|detail| detail.strip_prefix("asked for "));
    let (name, _) = match (wait.kind.as_str(), asked) {
        ("sleep", Some(asked)) => return quoted(asked),
        ("sleep", None) if wait.woken_by.is_none() => UNFINISHED,
        ("sleep", None) => UNTIL,
        ("futex", _) => CONDITION,
        _ => LOOP,
    };
    name.to_owned()
}

/// The sleeps of one program; whether each is a step to a longer one.
fn hit(case: &Case<'_>, who: &Who, slept: Vec<(OnPath<'_>, bool)>) -> Option<Hit> {
    let (mut ns, mut claims, mut lengths) = (0u64, Vec::new(), Vec::new());
    let steps = slept.iter().filter(|(_, is_step)| *is_step).count();
    let mut all_ns = 0u64;
    for (on, is_step) in slept {
        all_ns = all_ns.saturating_add(on.ns);
        if !is_step {
            ns = ns.saturating_add(on.ns);
            claims.extend(on.claims);
        }
        lengths.push((asked_for(on.wait), on.ns, ()));
    }
    if !case.is_worth(ns, case.thresholds.fixed_sleep.min_cost) {
        return None;
    }
    let n = lengths.len();
    let kinds = KINDS.map(|kind| (kind, lengths.iter().filter(|(asked, ..)| asked == kind.0).count()));
    let lengths = by_name(lengths.into_iter(), 64);
    let times = |n: usize, asked: &str| if n > 1 { format!("{n} × {asked}") } else { asked.to_owned() };
    let shown: Vec<String> =
        lengths.iter().take(3).map(|(asked, _, list)| times(list.len(), asked)).collect();
    let asked: Vec<String> = lengths
        .iter()
        .filter(|(asked, ..)| !KINDS.iter().any(|(name, _)| name == asked))
        .map(|(asked, _, list)| times(list.len(), asked))
        .collect();
    let mut parts = Vec::new();
    if !asked.is_empty() {
        parts.push(format!("asked for {}", listed(&asked)));
    }
    parts.extend(kinds.iter().filter(|(_, some)| *some > 0).map(|((_, words), some)| match some {
        all if *all == n => (*words).to_owned(),
        some => format!("{some} {words}"),
    }));
    let asked = parts.join("; ");
    let often = if n > 1 { format!("{} times, ", count(n as u64)) } else { String::new() };
    let all = if n > 1 { " in all" } else { "" };
    let advice = match steps {
        0 => {
            "Wait for the event that the sleep is meant for, or ask in ever longer steps that begin with 1 ms"
        }
        _ => {
            "Wait for the event itself, as a plain waitpid or a pidfd does for a process, and inotify for a file"
        }
    };
    let steps = match steps {
        0 => String::new(),
        steps => format!(
            ", {steps} times in steps to a longer one, which it would have waited all the same; the rest, {}, may be too late",
            time(ns)
        ),
    };
    let hit = Hit::new(who.program.clone(), format!("sleeping for a fixed time in {}", who.program))
        .says(format!("{} slept {often}{}{all} ({asked}){steps}", who.name, time(all_ns)))
        .advises(advice)
        .shows("sleeps", n)
        .shows("slept_ns", all_ns)
        .shows("asked_for", shown);
    Some(measured(hit, ns, claims))
}
