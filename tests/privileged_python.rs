//! Every CPython here, each of multiprocessing's methods by each of its interfaces, each way of
//! subprocess: recorded from the program's start, and with `-p` before and after its pools are made.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::Live;
use common::{Recorded, pythons, record, record_background, require_root, script};
use serde_json::Value;
use std::path::Path;

const METHODS: [&str; 3] = ["fork", "spawn", "forkserver"];
const PROGRAMS: [&str; 3] = ["mp_process", "mp_pool", "mp_executor"];
const WORKERS: usize = 3;

/// Runs every program by every method, one after the other; each prints a line of JSON.
const ALL: &str = "for p in mp_process mp_pool mp_executor; do for m in fork spawn forkserver; do \
                   \"$1\" \"$2/$p.py\" $m 3 || exit 9; done; done";

fn folder() -> &'static str {
    common::programs::FOLDER
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn pids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect()
}

/// The start has this name as its headline and pattern, and is no mere guess.
fn named(start: &Value, name: &str, what: &str) {
    let method = &start["method"];
    assert_eq!(method["name"], name, "{what}: {method:#}");
    assert_eq!(method["pattern"], name, "{what}: {method:#}");
    assert_ne!(method["confidence"], "guess", "{what}: {method:#}");
    assert!(!method["evidence"].as_array().unwrap().is_empty(), "{what}");
}

/// Children of a process by pattern, of this name only.
fn helpers(recorded: &Recorded, parent: u64, name: &str) -> Vec<u64> {
    let found = recorded.children_of(parent);
    let found = found.iter().filter(|start| start["method"]["pattern"] == name);
    found.map(|start| start["pid"].as_u64().unwrap()).collect()
}

/// One run of one program: workers, helpers, who asked, and the pool.
fn check_run(recorded: &Recorded, told: &Value, what: &str) {
    let method = told["method"].as_str().unwrap();
    let main = told["self"].as_u64().unwrap();
    let workers = pids(&told["workers"]);
    assert_eq!(workers.len(), WORKERS, "{what}: {told}");
    let pattern = format!("multiprocessing.{method}");
    let main_id = &recorded.start_of(main)["id"];
    for &pid in &workers {
        let start = recorded.start_of(pid);
        named(start, &pattern, &format!("{what} {method} worker {pid}"));
        assert_eq!(start["partial"], false, "{what}");
        assert_eq!(start["method"]["library"], "cpython", "{what} {method}");
        // What the worker itself took for its parent created it.
        assert_eq!(start["parent"]["pid"], told["parents"][0], "{what} {method}");
        assert_eq!(start["execs"].as_array().unwrap().is_empty(), method != "spawn", "{what} {method}");
        if method == "forkserver" {
            assert_eq!(start["requested_by"]["pid"], main, "{what}: {start:#}");
            assert_eq!(&start["requested_by"]["id"], main_id, "{what}");
            assert_ne!(start["parent"]["pid"], main, "{what}");
        } else {
            assert_eq!(start["requested_by"], Value::Null, "{what} {method}");
            assert_eq!(start["parent"]["pid"], main, "{what} {method}");
        }
    }
    // Nothing else is taken for a worker.
    let named_so = recorded.filter(|s| {
        s["method"]["pattern"] == pattern.as_str()
            && [&s["parent"]["pid"], &s["requested_by"]["pid"]].contains(&&Value::from(main))
    });
    assert_eq!(named_so.len(), WORKERS, "{what} {method}");

    let servers = helpers(recorded, main, "multiprocessing.forkserver.server");
    let trackers = helpers(recorded, main, "multiprocessing.resource_tracker");
    if method == "forkserver" {
        assert_eq!(servers, pids(&told["parents"]), "{what}");
    } else {
        assert!(servers.is_empty(), "{what} {method}");
    }
    // fork has use for a tracker too: its queues hold named semaphores, but they are unlinked at once.
    assert_eq!(trackers.len(), usize::from(method != "fork"), "{what} {method}");

    let groups = recorded.trace["groups"].as_array().unwrap();
    let of_main: Vec<_> = groups.iter().filter(|group| &group["parent_id"] == main_id).collect();
    assert_eq!(of_main.len(), 1, "{what} {method}: {of_main:#?}");
    assert_eq!(of_main[0]["method"], pattern.as_str(), "{what}");
    assert_eq!(of_main[0]["n"], WORKERS, "{what} {method}");
}

fn check_runs(recorded: &Recorded, stdout: &str, version: &str) {
    let told = lines(stdout);
    assert_eq!(told.len(), METHODS.len() * PROGRAMS.len(), "{version}: {stdout}");
    for (n, told) in told.iter().enumerate() {
        check_run(recorded, told, &format!("CPython {version} {}", PROGRAMS[n / METHODS.len()]));
    }
}

fn has_syscall_hooks(recorded: &Recorded) -> bool {
    let hooks = recorded.trace["session"]["hooks"].as_array().unwrap();
    hooks.iter().any(|hook| hook.as_str().unwrap().contains("syscalls"))
}

#[test]
fn workers_from_the_programs_start() {
    require_root();
    for (version, python) in pythons() {
        let cmd = ["/bin/sh", "-c", ALL, "sh", python.to_str().unwrap(), folder()];
        let recorded = record::<&str, _>(&[], &cmd);
        assert!(recorded.status.success(), "{version}: {}", recorded.stderr);
        check_runs(&recorded, &recorded.stdout, &version);
    }
}

#[test]
fn workers_of_a_process_that_ran_before() {
    require_root();
    for (version, python) in pythons() {
        let script = format!("read go; {ALL}");
        let mut shell = Live::shell(&script, &[python.to_str().unwrap(), folder()]);
        let running = record_background(&["-p", &shell.pid_text()]);
        shell.say("go");
        let stdout = shell.finish();
        let recorded = running.stop_at_its_end();
        check_runs(&recorded, &stdout, &version);
        assert_eq!(recorded.trace["session"]["ended_by"], "pids", "{version}");
        assert!(!has_syscall_hooks(&recorded), "{version}");
    }
}

#[test]
fn workers_of_a_fork_server_that_ran_before() {
    require_root();
    for (version, python) in pythons() {
        let mut program = Live::spawn(std::process::Command::new(&python).arg(script("mp_late.py")));
        program.wait_lines(1);
        let running = record_background(&["-p", &program.pid_text()]);
        program.say("go");
        let stdout = program.finish();
        let recorded = running.stop_at_its_end();
        let told = common::programs::told(&stdout);
        let (main, server) = (program.pid(), told["server"].as_u64().unwrap());
        assert_eq!(told["self"], main);
        for pid in pids(&told["workers"]) {
            let start = recorded.start_of(pid);
            named(start, "multiprocessing.forkserver", &version);
            assert_eq!(start["parent"]["pid"], server, "{version}");
            assert_eq!(start["requested_by"]["pid"], main, "{version}");
        }
        // It ran before, so it has no start, unless it is young enough to be in the middle of it.
        for start in recorded.starts_of(server) {
            assert_eq!(start["partial"], true, "{version}: {start:#}");
            assert_eq!(start["method"]["pattern"], "multiprocessing.forkserver.server", "{version}");
        }
        let groups = recorded.trace["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 1, "{version}: {groups:#?}");
        assert_eq!(groups[0]["n"], 3, "{version}: {groups:#?}");
        let id = groups[0]["parent_id"].as_str().unwrap();
        assert!(id.starts_with(&format!("{main}@")), "{version}: {groups:#?}");
    }
}

#[test]
fn a_spawn_worker_with_a_fork_server_of_its_own() {
    require_root();
    for (version, python) in pythons() {
        let recorded = record::<&str, _>(&[], &[python.as_os_str(), script("mp_nested.py").as_os_str()]);
        let told = recorded.told();
        let pid = |role: &str| told[role].as_u64().unwrap();
        let middle = recorded.start_of(pid("middle"));
        named(middle, "multiprocessing.spawn", &version);
        assert_eq!(middle["parent"]["pid"], pid("self"), "{version}");
        let server = recorded.start_of(pid("server"));
        named(server, "multiprocessing.forkserver.server", &version);
        assert_eq!(server["parent"]["pid"], pid("middle"), "{version}");
        for worker in pids(&told["workers"]) {
            let start = recorded.start_of(worker);
            named(start, "multiprocessing.forkserver", &version);
            assert_eq!(start["parent"]["pid"], pid("server"), "{version}");
            assert_eq!(start["requested_by"]["pid"], pid("middle"), "{version}");
        }
        assert_eq!(helpers(&recorded, pid("self"), "multiprocessing.resource_tracker").len(), 1, "{version}");
    }
}

/// What each kind of subprocess_kinds.py has to be, by the CPython's minor version.
fn check_kinds(recorded: &Recorded, told: &Value, version: &str) {
    let minor: u32 = version.strip_prefix("3.").unwrap().parse().unwrap();
    let kinds = told["kinds"].as_object().unwrap();
    assert_eq!(kinds.len(), 9, "{version}: {told}");
    let vfork = if minor >= 10 { "vfork_exec" } else { "fork_exec" };
    let spawn = if minor >= 13 { "posix_spawn" } else { vfork };
    for (kind, pid) in kinds {
        let start = recorded.start_of(pid.as_u64().unwrap());
        let (pattern, mechanism) = match kind.as_str() {
            "list" | "session" => (Some("subprocess"), vfork),
            "shell" | "os_popen" => (Some("subprocess"), spawn),
            "close_fds" => (Some("subprocess"), "posix_spawn"),
            "preexec_fn" => (Some("subprocess"), "fork_exec"),
            "os_system" => (Some("system"), "posix_spawn"),
            "os_posix_spawn" => (None, "posix_spawn"),
            "os_fork_exec" => (None, "fork_exec"),
            other => panic!("a new kind: {other}"),
        };
        let what = format!("CPython {version} {kind}: {:#}", start["method"]);
        assert_eq!(start["method"]["pattern"], pattern.map_or(Value::Null, Value::from), "{what}");
        assert_eq!(start["method"]["mechanism"], mechanism, "{what}");
        assert_ne!(start["method"]["confidence"], "guess", "{what}");
        assert_eq!(start["parent"]["pid"], told["self"], "{what}");
        assert_eq!(start["exit"]["code"], 0, "{what}");
    }
}

#[test]
fn subprocess_and_its_kin() {
    require_root();
    let script = script("subprocess_kinds.py");
    for (version, python) in pythons() {
        let recorded = record::<&str, _>(&[], &[python.as_os_str(), script.as_os_str()]);
        check_kinds(&recorded, &recorded.told(), &version);

        let args = [python.to_str().unwrap(), script.to_str().unwrap()];
        let mut shell = Live::shell("read go; \"$@\"", &args);
        let running = record_background(&["-p", &shell.pid_text()]);
        shell.say("go");
        let told = common::programs::told(&shell.finish());
        check_kinds(&running.stop_at_its_end(), &told, &version);
    }
}

#[test]
fn a_prefork_server_has_workers() {
    require_root();
    for (version, python) in pythons() {
        let recorded = record::<&str, _>(&[], &[&python, Path::new(&script("prefork_server.py"))]);
        let told = recorded.told();
        for pid in pids(&told["workers"]) {
            let start = recorded.start_of(pid);
            // Short-lived copies could be something else, so that the name may be a guess.
            assert_eq!(start["method"]["name"], "prefork_worker", "{version}");
            assert_eq!(start["method"]["mechanism"], "fork", "{version}");
            assert_eq!(start["method"]["library"], "cpython", "{version}");
        }
        let groups = recorded.trace["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 1, "{version}: {groups:#?}");
        assert_eq!((&groups[0]["n"], &groups[0]["method"]), (&3.into(), &"prefork_worker".into()));
        assert_eq!(groups[0]["parent"], recorded.start_of(told["self"].as_u64().unwrap())["start_id"]);
    }
}
