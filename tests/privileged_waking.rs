//! The program on wake-ups: there while a start is under way, and what is known without it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, is_stopped, until};
use common::{Background, check, check_schema, parse, program, record_background, startrace, turn};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

fn has_hook(trace: &Value) -> bool {
    trace["session"]["hooks"].as_array().unwrap().iter().any(|hook| hook == "tp_btf/sched_waking")
}

/// A recording of the target's processes, at rest: nobody looks at wake-ups any more.
fn record_at_rest(target: &Live) -> Background {
    let running = record_background(&["-p", &target.pid_text()]);
    running.rest();
    running
}

/// Each line that it gets is a script, run in a shell of its own; answered with a line.
fn shell() -> Live {
    Live::shell("while read -r line; do sh -c \"$line\"; echo over; done", &[])
}

#[test]
fn wake_ups_are_looked_at_while_a_start_is_under_way() {
    let _turn = turn();
    let mut target = shell();
    let running = record_at_rest(&target);
    for round in 1..=2 {
        target.say("sleep 0.4");
        until("the program on wake-ups", || running.looks_at_wake_ups());
        target.wait_lines(round);
        running.rest();
    }
    let recorded = running.stop();
    assert!(has_hook(&recorded.trace));
    assert_eq!(recorded.trace["session"]["complete"], true, "{}", recorded.trace["session"]["lost"]);
    let sleeps = recorded.starts_with_argv(&["sleep", "0.4"]);
    assert_eq!(sleeps.len(), 2);
    for sleep in sleeps {
        let wait =
            &sleep["timeline"]["waits"].as_array().unwrap().iter().find(|w| w["kind"] == "sleep").unwrap();
        assert_eq!(wait["woken_by"]["kind"], "timer");
    }
}

/// Each is over by the time it is looked at: attached and detached for each of them, the program would miss some.
#[test]
fn short_starts_one_after_the_other_are_all_looked_at() {
    let _turn = turn();
    let mut target = shell();
    let running = record_at_rest(&target);
    for round in 1..=8 {
        target.say("true");
        until("the program on wake-ups", || running.looks_at_wake_ups());
        target.wait_lines(round);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(300) {
            assert!(running.looks_at_wake_ups(), "gone within {:?}, round {round}", begin.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    running.rest();
    assert_eq!(running.stop().starts_with_argv(&["sh", "-c", "true"]).len(), 8);
}

/// What starts while a recording begins is looked at, too: the thread that attaches the program again is not there yet.
#[test]
fn wake_ups_are_looked_at_for_a_while_from_the_beginning_on() {
    let _turn = turn();
    let target = shell();
    let running = record_background(&["-p", &target.pid_text()]);
    assert!(running.looks_at_wake_ups());
    running.rest();
    let session = running.stop().trace["session"].clone();
    assert_eq!(session["lost"]["wakers"], 0);
}

#[test]
fn a_tracer_that_was_kept_from_it_says_so() {
    let _turn = turn();
    let mut target = shell();
    let running = record_at_rest(&target);
    running.signal(Signal::SIGSTOP);
    until("its stop", || is_stopped(running.pid().into()));
    target.say("sleep 0.3");
    target.wait_lines(1);
    running.signal(Signal::SIGCONT);
    until("the program on wake-ups", || running.looks_at_wake_ups());
    let session = running.stop_unchecked().trace["session"].clone();
    assert_eq!((&session["lost"]["wakers"], &session["complete"]), (&1.into(), &false.into()), "{session}");
}

/// It waits from its first instruction on, and is woken when the program is there.
#[test]
fn a_process_that_waits_at_once_after_a_pause_has_its_waker() {
    let _turn = turn();
    let mut target = shell();
    let running = record_at_rest(&target);
    // The right half reads before it does anything else.
    target.say("{ sleep 0.2; echo x; } | { read -r x; }");
    target.wait_lines(1);
    let recorded = running.stop();
    let shell = recorded.children_of(target.pid());
    assert_eq!(shell.len(), 1);
    let halves = recorded.children_of(shell[0]["pid"].as_u64().unwrap());
    let of = |kind: &str| {
        let has = |start: &&&Value| start["timeline"]["states"]["blocked"][kind].as_u64() > Some(150 * MS);
        *halves.iter().find(has).unwrap_or_else(|| panic!("no half waited in {kind}: {halves:#?}"))
    };
    let (left, right) = (of("child"), of("pipe"));
    let waits = right["timeline"]["waits"].as_array().unwrap();
    let wait = waits.iter().max_by_key(|wait| wait["duration_ns"].as_u64()).unwrap();
    assert_eq!(wait["kind"], "pipe");
    assert_eq!(
        (&wait["woken_by"]["kind"], &wait["woken_by"]["pid"]),
        (&"task".into(), &left["pid"]),
        "{wait}"
    );
}

/// What it said of its own waits for a CPU, and the trace.
fn contended(seen: bool) -> (Value, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut target = shell();
    let mut tracer = Command::new(startrace());
    tracer.args(["record", "-q", "-o", "t.json", "-p", &target.pid_text()]).current_dir(&folder);
    if !seen {
        tracer.env("STARTRACE_TEST_NO_WAKING", "1");
    }
    let mut tracer = Live::spawn(&mut tracer);
    until("the recording", || common::live::is_live(tracer.pid()));
    target.say(&format!("exec {}", program("contended").display()));
    target.wait_lines(2);
    tracer.signal(Signal::SIGINT);
    assert!(tracer.wait().success(), "{}", tracer.stderr());
    let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    (common::programs::told(&target.stdout()), trace)
}

/// How long a task was blocked and how long it then waited for a CPU is measured with the program and without it.
#[test]
fn without_the_program_waits_are_divided_by_the_schedulers_account() {
    let _turn = turn();
    for seen in [true, false] {
        let (told, trace) = contended(seen);
        let start = common::starts(&trace).iter().find(|start| start["pid"] == told["self"]).unwrap();
        let states = &start["timeline"]["states"];
        let ns = |value: &Value| value.as_u64().unwrap();
        let (asked, slept) = (ns(&told["sleeps"]) * 5 * MS, ns(&told["slept_ns"]));
        assert!(slept > asked + 10 * MS, "it had its CPU for itself: {told}");
        let waits = start["timeline"]["waits"].as_array().unwrap();
        let of = |kind: &str, call: &str| -> Vec<&Value> {
            waits.iter().filter(|wait| wait["kind"] == kind && wait["syscall"] == call).collect()
        };
        // A timer comes some 0.1 ms late (later, where the host takes its CPU away); the CPU came much later.
        let mut sleeps: Vec<u64> =
            of("sleep", "clock_nanosleep").iter().map(|wait| ns(&wait["duration_ns"])).collect();
        sleeps.sort_unstable();
        let middle = sleeps[sleeps.len() / 2];
        assert!((5 * MS..5 * MS + MS / 2).contains(&middle), "seen: {seen}, {sleeps:?}");
        let blocked = ns(&states["blocked"]["sleep"]);
        assert!(blocked >= asked, "seen: {seen}, {told}, {states}");
        assert!(ns(&states["runnable_ns"]) > slept - blocked - MS, "seen: {seen}, {told}, {states}");
        let pipes = of("pipe", "read");
        assert!(!pipes.is_empty());
        let by = if seen {
            (Value::from("task"), told["writer"].clone())
        } else {
            ("unknown".into(), Value::Null)
        };
        for wait in pipes {
            assert_eq!(
                (&wait["woken_by"]["kind"], &wait["woken_by"]["pid"]),
                (&by.0, &by.1),
                "seen: {seen}, {wait}"
            );
        }
        let session = &trace["session"];
        assert_eq!(session["lost"]["wakers"], u64::from(!seen), "{session}");
        assert_eq!((&session["complete"], has_hook(&trace)), (&seen.into(), seen));
    }
}
