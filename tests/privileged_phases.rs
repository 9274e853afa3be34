//! Programs that spend a known time in one phase of their start: it is in that phase, within a millisecond or a
//! hundredth.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::phase_ns;
use common::{Built, Recorded, compile, script};
use serde_json::Value;
use std::process::Command;

const MS: u64 = 1_000_000;

/// How often a phase is measured, of which one has to be right: between the clock that the program reads and the end
/// of its phase, a busy machine may have its CPU for others, and so may a hypervisor.
const TRIES: usize = 5;

/// What makes the program that is executed there.
const FIRST: [&str; 4] = ["-DFIRST", "-static", "-nostdlib", "-fno-stack-protector"];

/// The program in that folder, as a phase needs it.
fn build(built: &Built, to: &str, flags: &[&str]) -> String {
    let (source, to) = (script("phases.c"), built.path(to));
    // After the source: they are looked for in that order.
    let library = flags.contains(&"-DNEEDS_LINK").then(|| built.path("liblate.so"));
    let last: Vec<&str> = [source.to_str().unwrap()].into_iter().chain(library.as_deref()).collect();
    compile(
        "gcc",
        &[&["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", &to], flags, &last].concat(),
    );
    to
}

/// Records it until a phase is what the program says, from its recording: the phase in the trace, and that.
fn recovers(phase: &str, least: u64, line: &[&str], times: impl Fn(&Recorded) -> (u64, u64)) {
    common::require_root();
    let mut off = Vec::new();
    for _ in 0..TRIES {
        let recorded = common::record::<&str, &str>(&[], line);
        assert!(recorded.status.success(), "{phase}: {}", recorded.stderr);
        let (found, told) = times(&recorded);
        if told >= least && found.abs_diff(told) <= (told / 100).max(MS) {
            return;
        }
        off.push((found, told));
    }
    panic!("{phase}: {off:?} ns in the trace, and by the program's own clock, of {least} at least");
}

fn of<'a>(recorded: &'a Recorded, role: &str) -> &'a Value {
    recorded.start_of(recorded.pid(role))
}

fn told(recorded: &Recorded, name: &str) -> u64 {
    recorded.told()[name].as_u64().unwrap()
}

/// The phase of the child that the program made, which measured it.
fn of_child(phase: &'static str, least: u64, args: &[&str]) {
    let built = Built::new();
    let program = build(&built, "phases", &[]);
    recovers(phase, least, &[&[&*program], args].concat(), |recorded| {
        (phase_ns(of(recorded, "child"), phase), told(recorded, "ns"))
    });
}

#[test]
fn fork_is_from_its_call_until_the_child_can_run() {
    of_child("fork", 2 * MS, &["fork", "256"]);
}

#[test]
fn schedule_is_until_the_child_has_a_cpu() {
    of_child("schedule", 50 * MS, &["schedule", "60"]);
}

#[test]
fn setup_is_until_it_executes() {
    of_child("setup", 120 * MS, &["setup", "120"]);
}

/// A number of any of the lines that processes told.
fn of_any(recorded: &Recorded, name: &str) -> u64 {
    let mut lines = recorded.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find_map(|line| line[name].as_u64()).unwrap()
}

#[test]
fn exec_is_until_the_new_image_is_there() {
    let built = Built::new();
    let program = build(&built, "phases", &[]);
    let first = build(&built, "first", &FIRST);
    recovers("exec", 2 * MS, &[&program, "exec", "256", &first], |recorded| {
        let of = |name: &str| of_any(recorded, name);
        // The time at which it was called, and at which the new program ran.
        (phase_ns(recorded.start_of(of("child")), "exec"), of("began") - of("ns"))
    });
}

fn milestone(start: &Value, name: &str) -> u64 {
    let all = start["timeline"]["milestones"].as_array().unwrap();
    let found: Vec<&Value> = all.iter().filter(|milestone| milestone["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {all:#?}");
    assert_eq!(found[0]["inferred"], false, "{all:#?}");
    start["timeline"]["origin_boottime_ns"].as_u64().unwrap() + found[0]["at_ns"].as_u64().unwrap()
}

/// The milestone `exec` is between the call and the new program's first instructions.
#[test]
fn exec_is_a_milestone() {
    let built = Built::new();
    let program = build(&built, "phases", &[]);
    let first = build(&built, "first", &FIRST);
    recovers("exec", 0, &[&program, "exec", "1", &first], |recorded| {
        let of = |name: &str| of_any(recorded, name);
        let exec = milestone(recorded.start_of(of("child")), "exec");
        assert!((of("ns")..=of("began")).contains(&exec), "{exec}: {}", recorded.stdout);
        (of("began") - exec, 0)
    });
}

/// ... and `libc_start` right before main().
#[test]
fn libc_start_is_a_milestone() {
    let built = Built::new();
    let program = build(&built, "phases", &[]);
    recovers("libc_start", 0, &[&program, "plain"], |recorded| {
        let start = &recorded.starts()[0];
        let (libc, main) = (milestone(start, "libc_start"), told(recorded, "main"));
        assert!((milestone(start, "exec")..=main).contains(&libc), "{libc}: {}", recorded.stdout);
        (main - libc, 0)
    });
}

#[test]
fn load_is_until_the_loader_maps_libraries() {
    let built = Built::new();
    let program = build(&built, "phases", &["-DAUDITED"]);
    let audit = build(&built, "audit.so", &["-DAUDIT", "-shared", "-fPIC"]);
    recovers("load", 120 * MS, &["env", &format!("LD_AUDIT={audit}"), &program, "plain"], |recorded| {
        (last_ns(&recorded.starts()[0], "load"), told(recorded, "ns"))
    });
}

#[test]
fn link_is_until_all_is_relocated() {
    let built = Built::new();
    build(&built, "liblate.so", &["-DLINK", "-shared", "-fPIC", "-fno-stack-protector"]);
    let program = build(&built, "phases", &["-DNEEDS_LINK", "-Wl,-z,now"]);
    recovers("link", 120 * MS, &[&program, "plain"], |recorded| {
        (phase_ns(&recorded.starts()[0], "link"), told(recorded, "ns"))
    });
}

#[test]
fn init_is_what_constructors_do() {
    let built = Built::new();
    let source = script("constructor.c");
    let (library, program) = (built.path("libslow.so"), built.path("app"));
    for line in [&["-shared", "-fPIC", "-DLIBRARY", "-o", &library][..], &["-o", &program, &library]] {
        let output = Command::new("gcc").arg(&source).args(line).output().unwrap();
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    recovers("init", 120 * MS, &["env", "WORK=sleep 120", &program], |recorded| {
        (last_ns(&recorded.starts()[0], "init"), told(recorded, "constructor_ns"))
    });
}

#[test]
fn app_is_from_its_main_to_its_end() {
    let built = Built::new();
    let program = build(&built, "phases", &[]);
    recovers("app", 120 * MS, &[&program, "app", "120"], |recorded| {
        (phase_ns(&recorded.starts()[0], "app"), told(recorded, "ns"))
    });
}

/// Of the last image: `env`'s own comes before.
fn last_ns(start: &Value, name: &str) -> u64 {
    let phases = start["timeline"]["phases"].as_array().unwrap();
    phases.iter().rev().find(|phase| phase["name"] == name).unwrap()["duration_ns"].as_u64().unwrap()
}
