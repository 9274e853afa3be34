//! Where a traced program may be, and what may be done to it: under a debugger, in namespaces, killed in the middle of
//! its start. Its starts are what they are elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Recorded, check, check_schema, parse, program, record, require_root, startrace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NONE: &[&str] = &[];

fn phases(start: &Value) -> Vec<&str> {
    start["timeline"]["phases"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect()
}

/// A program with the usual starts, run by whatever puts it into its place.
fn recorded_in(place: &[&str]) -> Recorded {
    require_root();
    let starter = program("fork_exec");
    let command: Vec<&str> = place.iter().copied().chain([starter.to_str().unwrap()]).collect();
    let recorded = record(NONE, &command);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let start = recorded.start_with_argv(&["true", "fork_exec"]);
    let method =
        ["primitive", "mechanism", "library"].map(|field| start["method"][field].as_str().unwrap_or("-"));
    assert_eq!(method, ["clone", "fork_exec", "glibc"], "{:#}", start["method"]);
    assert_eq!(phases(start), common::phases(&["fork", "schedule", "setup", "image"]));
    assert_eq!((&start["exit"]["code"], &start["timeline"]["origin"]), (&0.into(), &"entry".into()));
    recorded
}

#[test]
fn under_a_debugger() {
    let ptrace = program("under_ptrace");
    let recorded = recorded_in(&[ptrace.to_str().unwrap()]);
    // Stopped at every system call: that time is the debugger's, and is told apart.
    let start = recorded.start_with_argv(&["true", "fork_exec"]);
    let blocked = start["timeline"]["states"]["blocked"].as_object().unwrap();
    assert!(blocked.keys().any(|state| state.contains("stop") || state.contains("trace")), "{blocked:?}");
}

#[test]
fn in_a_user_namespace() {
    recorded_in(&["unshare", "--user", "--map-root-user"]);
}

#[test]
fn in_a_pid_namespace() {
    let recorded = recorded_in(&["unshare", "--pid", "--fork"]);
    let told = recorded.told();
    let start = recorded.start_with_argv(&["true", "fork_exec"]);
    // The program knows the number inside, the trace both.
    assert_eq!((&told["self"], &start["ns_pid"]), (&1.into(), &told["child"]));
    assert_ne!(start["pid"], start["ns_pid"]);
}

#[test]
fn in_a_time_namespace() {
    recorded_in(&["unshare", "--time", "--boottime", "1000000"]);
}

#[test]
fn under_a_filter_of_system_calls() {
    let filter = program("no_clone3");
    recorded_in(&[filter.to_str().unwrap()]);
}

/// As where a limit of tasks is reached.
#[test]
fn where_there_can_be_no_more_threads() {
    require_root();
    let filter = program("no_threads");
    for args in
        [&["record", "-q", "-o", "t.json"][..], &["stat", "--runs", "2"], &["watch", "--level", "deep"]]
    {
        let folder = tempfile::tempdir().unwrap();
        let run = |mut command: Command| {
            let line = args.iter().chain(&["--", "sh", "-c", "exit 9"]);
            command.args(line).current_dir(&folder).output().unwrap()
        };
        let mut filtered = Command::new(&filter);
        filtered.arg(startrace());
        let (with, without) = (run(Command::new(startrace())), run(filtered));
        let said = String::from_utf8_lossy(&without.stderr);
        assert_eq!(without.status.code(), with.status.code(), "{args:?}: {said}");
        assert!(said.contains("no thread can be started"), "{args:?}: {said}");
        if args[0] == "record" {
            let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
            check_schema(&trace);
            check::timelines(&trace).unwrap();
            assert_eq!(trace["session"]["complete"], true);
            assert_eq!(common::starts(&trace)[0]["exit"]["code"], 9);
        }
    }
}

#[test]
fn in_a_chroot_with_nothing_in_it() {
    require_root();
    let root = tempfile::tempdir().unwrap();
    let starter = statically("fork_exec", root.path());
    fs::create_dir(root.path().join("bin")).unwrap();
    fs::copy(statically("exit_codes", root.path()), root.path().join("bin/true")).unwrap();
    let inside = format!("/{}", starter.file_name().unwrap().to_str().unwrap());
    let recorded = record(NONE, &["chroot", root.path().to_str().unwrap(), &inside]);
    let start = recorded.start_with_argv(&["true", "fork_exec"]);
    assert_eq!(phases(start), ["fork", "schedule", "setup", "exec", "app"]);
    assert_eq!(start["exe"].as_str().unwrap().rsplit('/').next(), Some("true"));
}

/// A starter that needs no library, in a folder.
fn statically(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join(name);
    let output = Command::new("gcc")
        .args(["-std=gnu11", "-O1", "-static", "-pthread", "-o"])
        .arg(&to)
        .arg(common::script(&format!("{name}.c")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to
}

/// A shared time namespace of tracer and traced: what /proc and the clocks say there is not what the kernel's programs
/// see.
#[test]
fn a_tracer_in_a_time_namespace_sees_the_same() {
    require_root();
    for offset in ["1000000", "-100"] {
        let folder = tempfile::tempdir().unwrap();
        let done = Command::new("unshare")
            .args(["--time", "--boottime", offset])
            .arg(startrace())
            .args(["record", "-q", "-o", "t.json", "--", "sh", "-c", "sleep 0.3; /bin/true inside; exit 3"])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
        let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
        check_schema(&trace);
        check::timelines(&trace).unwrap();
        let session = &trace["session"];
        assert_eq!((&session["complete"], &session["starts"]), (&true.into(), &3.into()), "{session:#}");
        let command = &trace["starts"][0]["timeline"];
        assert_eq!(command["origin"], "entry", "{command:#}");
        assert!(
            (300_000_000..60_000_000_000).contains(&command["duration_ns"].as_u64().unwrap()),
            "{command:#}"
        );
    }
    // One that runs already, found by what /proc says of it.
    let folder = tempfile::tempdir().unwrap();
    let script = "mkfifo go && { sh -c 'read go < go; /bin/true later' & } && \
                  \"$1\" record -q -p $! -o t.json -- sh -c 'echo > go' && wait";
    let done = Command::new("unshare")
        .args(["--time", "--boottime", "1000000", "sh", "-c", script, "sh"])
        .arg(startrace())
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
    let later = trace["starts"].as_array().unwrap().iter().find(|start| start["argv"][1] == "later");
    assert_eq!(later.expect("the start that came later")["partial"], false);
    assert_eq!(trace["session"]["complete"], true);
}

#[test]
fn killed_by_the_program_itself_in_each_phase() {
    require_root();
    let recorded = record(NONE, &[program("killed")]);
    let told = recorded.told();
    for (role, last) in [("unrun", None), ("setup", None), ("app", Some("app"))] {
        let start = recorded.start_of(told[role].as_u64().unwrap());
        assert_eq!(start["exit"]["signal"], "SIGKILL", "{role}: {:#}", start["exit"]);
        let phases = phases(start);
        assert_eq!(phases[0], "fork");
        if let Some(last) = last {
            assert_eq!(phases.last(), Some(&last), "{role}: {phases:?}");
        } else {
            assert!(!phases.contains(&"exec"), "{role}: {phases:?}");
        }
    }
    let parent = recorded.start_of(told["self"].as_u64().unwrap());
    assert_eq!(parent["exit"]["code"], 0);
}

/// In the loader: before the libraries are mapped, while they are linked, and in a constructor.
#[test]
fn killed_in_the_loader() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let kill = "#include <signal.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
                static void end(void) { syscall(SYS_kill, syscall(SYS_getpid), 9); }\n";
    for (name, text) in [
        ("load", "unsigned la_version(unsigned v) { end(); return v; }"),
        // What chooses a function runs while its uses are relocated; the library's own calls are not ready by then.
        (
            "link",
            "static void *choose(void) { long pid; \
             __asm__ volatile(\"syscall\" : \"=a\"(pid) : \"a\"(SYS_getpid) : \"rcx\", \"r11\", \"memory\"); \
             __asm__ volatile(\"syscall\" : : \"a\"(SYS_kill), \"D\"(pid), \"S\"(9) : \"rcx\", \"r11\", \"memory\"); \
             return 0; } void chosen(void) __attribute__((ifunc(\"choose\"))); void (*use)(void) = chosen;",
        ),
        ("init", "__attribute__((constructor)) static void begin(void) { end(); }"),
    ] {
        let source = folder.path().join(format!("{name}.c"));
        fs::write(&source, format!("{kill}{text}\n")).unwrap();
        let output = Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(folder.path().join(format!("{name}.so")))
            .arg(&source)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let script = "env LD_AUDIT=$1/load.so /bin/true load; env LD_PRELOAD=$1/link.so /bin/true link; \
                  env LD_PRELOAD=$1/init.so /bin/true init; :";
    let recorded = record(NONE, &["sh", "-c", script, "sh", folder.path().to_str().unwrap()]);
    // An auditing library is the first that the loader maps, before it has told anything.
    for (name, last) in [("load", "load"), ("link", "link"), ("init", "init")] {
        let start = recorded.start_with_argv(&["/bin/true", name]);
        assert_eq!(start["exit"]["signal"], "SIGKILL", "{:#}", start["exit"]);
        let phases = phases(start);
        assert_eq!(phases.last(), Some(&last), "{name}: {phases:?}");
    }
}

/// At any moment: whatever phase that is in, it is the last one, and nothing is lost or made up.
#[test]
fn killed_at_every_moment() {
    require_root();
    let starter = program("kill_sweep");
    let recorded = record(NONE, &[starter.to_str().unwrap(), "400", "20000"]);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let told = recorded.told();
    let children: Vec<u64> = serde_json::from_value(told["children"].clone()).unwrap();
    let mut ends = BTreeMap::new();
    let mut killed = 0;
    for child in children {
        let start = recorded.start_of(child);
        let phases = phases(start);
        assert_eq!((phases[0], &start["partial"]), ("fork", &false.into()), "{start:#}");
        if start["exit"]["signal"] == "SIGKILL" {
            killed += 1;
            // What a copy does before its exec is its own.
            let image = if phases.contains(&"exec") { "" } else { "copy: " };
            *ends.entry(format!("{image}{}", phases.last().unwrap())).or_insert(0) += 1;
        } else {
            assert_eq!((phases.last(), &start["exit"]["code"]), (Some(&"app"), &0.into()), "{start:#}");
        }
    }
    println!("killed in {ends:?}");
    assert_eq!(told["killed"], killed);
    // Which moments are met is the scheduler's choice, but for those that take long.
    for long in [&["copy: fork", "copy: schedule", "copy: app"][..], &["exec", "load", "link", "init"]] {
        assert!(long.iter().any(|phase| ends.contains_key(*phase)), "none in {long:?}: {ends:?}");
    }
}

#[test]
fn numbers_of_processes_come_round() {
    require_root();
    let starter = program("short_lived");
    // Two rounds in a PID namespace, all of whose processes get the same number.
    let script =
        "for i in 1 2 3 4 5 6; do echo 100 > /proc/sys/kernel/ns_last_pid && /bin/true same || exit 9; done";
    let recorded = record(NONE, &["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script]);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let same = recorded.starts_with_argv(&["/bin/true", "same"]);
    assert_eq!(same.len(), 6);
    assert!(same.iter().all(|start| start["ns_pid"] == 101), "{:#}", recorded.outline());
    // The machine's own numbers go over their end.
    let last = "expr $(cat /proc/sys/kernel/pid_max) - 40 > /proc/sys/kernel/ns_last_pid && exec \"$1\" 80";
    let recorded = record(NONE, &["sh", "-c", last, "sh", starter.to_str().unwrap()]);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let told = recorded.told();
    let children: Vec<u64> = serde_json::from_value(told["children"].clone()).unwrap();
    assert!(children.windows(2).any(|pair| pair[1] < pair[0]), "{children:?}");
    for child in children {
        // Where the numbers were about to come round by themselves, the script's own commands had some of them.
        let starts = recorded.starts_of(child);
        let ours: Vec<_> = starts.iter().filter(|start| start["argv"][1] == "short_lived").collect();
        assert_eq!(ours.len(), 1, "{starts:#?}");
        assert_eq!(ours[0]["parent"]["pid"], told["self"]);
    }
}
