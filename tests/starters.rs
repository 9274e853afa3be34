//! The starters themselves, without tracing: each compiles without a warning and does what its head
//! comment says. Whoever adds one adds its row here.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::programs::{FOLDER, told};
use common::{program, python, script};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

/// C starters that work without privileges: name, arguments, roles for which they print a pid.
const C: &[(&str, &[&str], &[&str])] = &[
    ("busy_tree", &["3", "1"], &["self"]),
    ("clone3_exec", &[], &["self", "child"]),
    ("clone_parent", &[], &["self", "middle", "child"]),
    ("counted", &["exit", "2", "10"], &["self"]),
    ("daemonize", &["20"], &["self", "launcher", "daemon"]),
    ("double_fork", &["20"], &["self", "middle", "daemon"]),
    ("empty_argv", &[], &["self", "child"]),
    ("endless", &["5"], &["self", "helper"]),
    ("exec_from_thread", &[], &["self", "child", "thread"]),
    ("execveat_fd", &[], &["self", "child"]),
    ("exit_codes", &[], &["self"]),
    ("failed_execs", &[], &["self", "path_walk", "noexec", "never"]),
    ("fake_spawn", &[], &["self", "far"]),
    ("fork_exec", &[], &["self", "child"]),
    ("fork_exit", &["5"], &["self", "child"]),
    ("fork_resident", &["8"], &["self", "copied", "shared"]),
    ("fork_fails", &[], &["self", "attempter"]),
    ("leader_exits_first", &[], &["self", "child", "grandchild"]),
    ("long_argv", &["100000"], &["self", "child"]),
    ("many_threads", &["50"], &["self"]),
    ("memfd_exec", &[], &["self", "child"]),
    ("odd_argv", &[], &["self", "child"]),
    ("on_request", &[], &["self"]),
    ("popen_call", &[], &["self", "shell"]),
    ("posix_spawn", &[], &["self", "plain", "actions", "path"]),
    ("kill_sweep", &["20"], &["self"]),
    ("late_exec", &["10"], &["self", "child"]),
    ("masquerade", &[], &["self", "spawn", "tracker", "forkserver", "copy"]),
    ("posix_spawn_sh", &[], &["self", "plain"]),
    ("prefork", &["3", "20"], &["self"]),
    ("raw_clones", &[], &["self", "raw_clone", "clear_sighand", "usr1", "silent", "near", "far"]),
    ("script_chain", &[], &["self", "nested", "env"]),
    ("short_lived", &["5"], &["self"]),
    ("slow_setup", &["5"], &["self", "forked", "vforked"]),
    ("snapshot", &["8"], &["self", "child"]),
    ("straced", &["/bin/true"], &["self", "child"]),
    ("subreaper_orphan", &[], &["self", "child", "orphan"]),
    ("system_call", &[], &["self", "shell"]),
    ("thread_exits", &[], &["self", "group", "last", "killed"]),
    ("threads_fork", &[], &["self", "thread", "child"]),
    ("vfork_exec", &[], &["self", "child"]),
    ("wordexp_call", &[], &["self"]),
    ("contended", &[], &["self", "writer"]),
    ("vfork_no_exec", &[], &["self", "child"]),
];

/// C starters that need root or a folder of their own.
const APART: &[&str] = &[
    "clone_newpid",
    "constructor",
    "exec_paths",
    "fork_bomb",
    "fork_enomem",
    "killed",
    "many_live",
    "no_clone3",
    "no_threads",
    "phases",
    "pid_reuse",
    "profile",
    "pidfd_spawn",
    "spawn_into_cgroup",
    "serve",
    "spend",
    "switched_imports",
    "under_ptrace",
];

fn run(path: &Path, args: &[&str]) -> Value {
    let output = Command::new(path).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{} {args:?}: {} {stderr}",
        path.display(),
        output.status
    );
    told(&String::from_utf8_lossy(&output.stdout))
}

fn pids(value: &Value) -> Vec<u64> {
    let list = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    list.iter().map(|pid| pid.as_u64().unwrap()).collect()
}

#[test]
fn c_starters_make_the_processes_that_they_tell() {
    for (name, args, roles) in C {
        let told = run(&program(name), args);
        let mut seen = HashSet::new();
        for role in *roles {
            let pid = told[role].as_u64().unwrap_or(0);
            assert!(pid > 1 && seen.insert(pid), "{name}: {role} in {told}");
        }
    }
}

#[test]
fn starters_tell_details_that_tests_rely_on() {
    assert_eq!(run(&program("fork_exit"), &["5"])["code"], 5);
    assert_eq!(pids(&run(&program("short_lived"), &["7"])["children"]).len(), 7);
    assert_eq!(pids(&run(&program("prefork"), &["6", "10"])["workers"]).len(), 6);
    assert_eq!(run(&program("long_argv"), &["65536"])["argv_bytes"], 65536);
    let ends = run(&program("exit_codes"), &[]);
    let ends = ends["children"].as_array().unwrap();
    let codes: Vec<_> = ends.iter().filter_map(|end| end["code"].as_i64()).collect();
    let signals: Vec<_> = ends.iter().filter_map(|end| end["signal"].as_str()).collect();
    assert_eq!(codes, [0, 3, 255]);
    assert_eq!(signals, ["SIGABRT", "SIGSEGV", "SIGTERM", "SIGKILL"]);
}

#[test]
fn odd_paths_work_in_a_folder_that_is_empty_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let told = run(&program("exec_paths"), &[folder.path().to_str().unwrap()]);
    for role in ["link", "relative", "proc_self", "deleted", "spaces", "refused"] {
        assert!(told[role].as_u64().unwrap() > 1, "{role} in {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_daemon_by_itself_writes_its_pid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let status = Command::new(program("daemonize")).arg("50").arg(&file).status().unwrap();
    assert!(status.success());
    let begin = std::time::Instant::now();
    let text = loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            break text;
        }
        assert!(begin.elapsed().as_secs() < 20, "the daemon wrote no file");
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let told = told(&text);
    assert_ne!(told["self"], told["daemon"]);
}

#[test]
fn no_c_starter_is_left_out() {
    let known: HashSet<&str> = C.iter().map(|(name, ..)| *name).chain(APART.iter().copied()).collect();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".c") {
            assert!(known.contains(name), "{name}.c is in no list of tests/starters.rs");
        }
    }
}

#[test]
fn python_workers_tell_their_pids_and_parents() {
    let python = python();
    for name in ["mp_process.py", "mp_pool.py", "mp_executor.py"] {
        for method in ["fork", "spawn", "forkserver"] {
            let told = run(&python, &[script(name).to_str().unwrap(), method, "3"]);
            let workers: HashSet<_> = pids(&told["workers"]).into_iter().collect();
            assert_eq!(workers.len(), 3, "{name} {method}: {told}");
            let parents = pids(&told["parents"]);
            assert_eq!(parents.len(), 1, "{name} {method}: {told}");
            assert_eq!(
                method != "forkserver",
                told["self"] == parents[0],
                "{name} {method}: only a fork server stands between: {told}"
            );
        }
    }
}

#[test]
fn python_programs_and_the_demo_work() {
    let python = python();
    let run = |name: &str| run(&python, &[script(name).to_str().unwrap()]);
    let kinds = run("subprocess_kinds.py");
    let kinds: HashSet<u64> =
        kinds["kinds"].as_object().unwrap().values().filter_map(Value::as_u64).collect();
    assert_eq!(kinds.len(), 9);
    let server = run("prefork_server.py");
    assert_eq!(pids(&server["workers"]), pids(&server["answers"]));
    let demo = run("demo.py");
    assert_eq!(demo["prefork_server"], 3);
    // Primes below 1,000: 168; below 2,000: 303.
    assert_eq!([&demo["fork"], &demo["spawn"], &demo["forkserver"]], [6 * 168, 4 * 168, 2 * 303]);
}

#[test]
fn shell_starters_work() {
    for (name, role) in [
        ("pipeline.sh", "self"),
        ("subshell.sh", "subshell"),
        ("background.sh", "background"),
        ("jobs.sh", "self"),
        ("wrappers.sh", "chain"),
    ] {
        let told = run(&script(name), &[]);
        assert!(told[role].as_u64().unwrap_or(0) > 1, "{name}: {told}");
    }
}
