//! `startrace stat`: what is said of many runs, from made traces, without root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "traces/mod.rs"]
mod traces;

use serde_json::json;
use startrace::compare::spread::{Stat, stat, text};
use startrace::compare::{Digest, Side, Sides};
use startrace::report::Style;
use std::ops::ControlFlow;
use traces::{MS, Spec, jitter, reader, spec, trace};

/// A run of a command that takes so long, with a helper whose start ends 10 ms after the command's.
fn run(n: u64, ns: u64) -> [Spec; 2] {
    [spec(100 + n, None, "app", ns), spec(500 + n, Some(100 + n), "helper", ns + 10 * MS)]
}

/// What is said of these runs, each with the name of its command.
fn stat_of(runs: &[(&str, &[Spec])]) -> Stat {
    warmed_up(runs, 0)
}

/// The same after so many others.
fn warmed_up(runs: &[(&str, &[Spec])], warmup: u32) -> Stat {
    let starts: Vec<Spec> = runs.iter().flat_map(|(_, starts)| starts.iter().cloned()).collect();
    let mut whole = trace(&starts);
    let told = runs.iter().zip(0..).map(|((name, starts), n)| {
        json!({"name": name, "start_id": starts[0].id(), "exit": n % 2, "pss_bytes": (n + 1) << 20})
    });
    whole["session"]["runs"] = told.collect();
    let mut digest = Digest::new(Vec::new());
    let mut reading = digest.begin(Side::BASE);
    let ending = reader(&whole)
        .read(&mut |item| {
            digest.item(&mut reading, item);
            ControlFlow::Continue(())
        })
        .unwrap();
    let names = digest.end(reading, "a recording".to_owned(), ending, Sides::ByName);
    stat(&digest, &names, warmup, 0.05)
}

/// Two commands take turns, 12 runs each: the seventh of the first waits 200 ms for a disk, and the second takes 30 ms
/// longer.
fn two_commands() -> Stat {
    let mut runs: Vec<(&str, [Spec; 2])> = Vec::new();
    for n in 0..12 {
        let mut starts = run(2 * n, jitter(100 * MS, n));
        if n == 6 {
            starts[0].phases.push(("app", 200 * MS));
            starts[0].path.push(("disk", 200 * MS));
        }
        runs.push(("app", starts));
        runs.push(("new", run(2 * n + 1, jitter(130 * MS, n))));
    }
    stat_of(&runs.iter().map(|(name, starts)| (*name, &starts[..])).collect::<Vec<_>>())
}

fn told(stat: &Stat, all: bool) -> String {
    let mut out = Vec::new();
    text(stat, all, &Style { width: 80, color: false, unicode: true }, &mut out).unwrap();
    String::from_utf8(out).unwrap().replace('\u{a0}', " ")
}

#[test]
fn times_lie_where_they_were_made() {
    let stat = two_commands();
    let app = &stat.commands[0];
    assert_eq!((app.runs, app.unfinished, app.failed, app.ready["exit"]), (12, 0, 0, 12));
    let time = app.time.unwrap();
    assert!((100 * MS..104 * MS).contains(&time.median_ns), "{time:?}");
    assert!(time.min_ns >= 100 * MS && time.max_ns >= 300 * MS, "{time:?}");
    assert_eq!(app.processes.unwrap().median_ns, 2);
    assert_eq!((app.pss_bytes.unwrap().min_ns, app.pss_bytes.unwrap().max_ns), (1 << 20, 23 << 20));
    assert_eq!(stat.commands[1].failed, 12);
    // The helper's start ends later than the command's.
    assert!(app.makespan.unwrap().median_ns > time.median_ns + 9 * MS);
    let names: Vec<&str> = app.phases.iter().map(|phase| &*phase.name).collect();
    assert_eq!(names, ["fork", "exec", "app"]);
    assert_eq!((app.phases[0].time.median_ns, app.phases[1].time.max_ns), (MS, 2 * MS));
}

#[test]
fn a_run_that_is_far_off_is_told_with_its_cause() {
    let stat = two_commands();
    let [outlier] = &stat.commands[0].outliers[..] else { panic!("{:?}", stat.commands[0].outliers) };
    assert_eq!(outlier.run, 7);
    assert!(outlier.off_by_ns > 190_000_000, "{outlier:?}");
    assert_eq!((&*outlier.path[0].name, outlier.path[0].new_ns), ("disk", 200 * MS));
    assert_eq!(outlier.phases[0].name, "app");
    assert!(stat.commands[1].outliers.is_empty());
    let text = told(&stat, false).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("far off: run 7, 30") && text.contains(": disk +200 ms (0 ns -> 200 ms)"),
        "{text}"
    );
}

#[test]
fn commands_are_compared_with_the_first() {
    let stat = two_commands();
    let [pair] = &stat.compared[..] else { panic!("{:?}", stat.compared) };
    assert_eq!((&*pair.base, &*pair.new), ("app", "new"));
    let shift = pair.shift.unwrap();
    assert!((25 * 1_000_000..35 * 1_000_000).contains(&shift.estimate_ns), "{shift:?}");
    assert!(pair.p.unwrap() < 0.05);
    assert_eq!(pair.phases[0].name, "app");
    let text = told(&stat, true);
    assert!(text.contains("new against app: +3") && text.contains(", p "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn too_few_runs_are_no_proof_and_have_no_outliers() {
    let runs: Vec<_> = (0..6).map(|n| run(n, (100 + 300 * n) * MS)).collect();
    let stat = stat_of(
        &runs
            .iter()
            .zip(["a", "b"].into_iter().cycle())
            .map(|(run, name)| (name, &run[..]))
            .collect::<Vec<_>>(),
    );
    assert!(stat.commands[0].outliers.is_empty());
    assert_eq!(stat.compared[0].p, None);
    assert!(told(&stat, false).contains("4 runs"), "{}", told(&stat, false));
}

#[test]
fn runs_that_never_finished_are_counted_and_left_out() {
    let mut hung = spec(1, None, "app", 100 * MS);
    hung.ready = "timeout";
    let stat = stat_of(&[("app", &[hung])]);
    let app = &stat.commands[0];
    assert_eq!((app.runs, app.unfinished, app.time.is_none()), (1, 1, true));
    let text = told(&stat, false);
    assert!(text.contains("app: no run was finished") && text.contains("; 1 more never finished"), "{text}");
}

#[test]
fn what_was_concluded_is_told_as_such() {
    let said = |kinds: &[(&'static str, bool)]| {
        let runs = kinds.iter().zip(0..).map(|((ready, inferred), n)| {
            [Spec { ready, inferred: *inferred, ..spec(100 + n, None, "app", 100 * MS) }]
        });
        let runs: Vec<[Spec; 1]> = runs.collect();
        let stat = stat_of(&runs.iter().map(|starts| ("app", &starts[..])).collect::<Vec<_>>());
        let text = told(&stat, false).split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, kinds) = text.split_once("(until: ").expect("what made it ready");
        kinds.split_once(')').unwrap().0.to_owned()
    };
    assert_eq!(said(&[("quiet", true), ("quiet", true)]), "quiet, inferred");
    assert_eq!(said(&[("accept", false), ("exit", false)]), "accept, exit");
    assert_eq!(said(&[("accept", false), ("accept", true)]), "accept, inferred: 1 of 2 runs");
    assert_eq!(said(&[("exit", false), ("quiet", true)]), "exit; quiet, inferred");
}

#[test]
fn a_busy_machine_is_told_in_a_line() {
    let said = |waited: u64, with_helper: bool| {
        let runs: Vec<Vec<Spec>> = (0..5)
            .map(|n| {
                let mut starts = run(n, 100 * MS).to_vec();
                starts.truncate(if with_helper { 2 } else { 1 });
                starts[0].phases.push(("app", waited * MS));
                starts[0].path.push(("runnable", waited * MS));
                starts
            })
            .collect();
        let stat = stat_of(&runs.iter().map(|starts| ("app", &starts[..])).collect::<Vec<_>>());
        let text = told(&stat, false);
        let line =
            text.split_once("busy: ").map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>().join(" "));
        (stat.commands[0].waited_share.unwrap(), line.unwrap_or_default())
    };
    let (share, line) = said(100, false);
    assert!((share - 0.5).abs() < 0.01, "{share}");
    let begins = "it waited for a CPU for 50 % of its time, which other programs had; on an idle machine these times are shorter";
    assert!(line.starts_with(begins), "{line}");
    let (_, line) = said(100, true);
    assert!(line.contains("other programs, or its own processes among themselves, had"), "{line}");
    let (share, line) = said(5, false);
    assert!(share < 0.1 && line.is_empty(), "{share} {line}");
}

#[test]
fn one_run_that_waited_for_a_cpu_makes_no_machine_busy() {
    let runs: Vec<[Spec; 1]> = (0..5)
        .map(|n| {
            let mut start = spec(100 + n, None, "app", 20 * MS);
            let waited = if n == 2 { 1_140 * MS } else { MS / 10 };
            start.phases.push(("app", waited));
            start.path.push(("runnable", waited));
            [start]
        })
        .collect();
    let stat = stat_of(&runs.iter().map(|starts| ("app", &starts[..])).collect::<Vec<_>>());
    let share = stat.commands[0].waited_share.unwrap();
    assert!(share < 0.01, "{share}");
    let text = told(&stat, false);
    assert!(!text.contains("busy: ") && text.contains("far off: run 3"), "{text}");
}

#[test]
fn only_a_first_run_that_read_is_said_to_have_been_cold() {
    let said = |state: &'static str, slow: u64, warmup: u32| {
        let runs: Vec<[Spec; 1]> = (0..6)
            .map(|n| {
                let mut start = spec(100 + n, None, "app", jitter(100 * MS, n));
                if n == slow {
                    start.phases.push(("app", 200 * MS));
                    start.path.push((state, 200 * MS));
                }
                [start]
            })
            .collect();
        let stat = warmed_up(&runs.iter().map(|starts| ("app", &starts[..])).collect::<Vec<_>>(), warmup);
        assert_eq!(stat.commands[0].outliers.len(), 1);
        told(&stat, false).contains("caches were cold: --warmup 1")
    };
    assert!(said("disk", 0, 0) && said("page_fault", 0, 0));
    for state in ["sleep", "runnable", "running", "network"] {
        assert!(!said(state, 0, 0), "{state}");
    }
    assert!(!said("disk", 0, 1), "it was warmed up");
    assert!(!said("disk", 3, 0), "not the first");
}
