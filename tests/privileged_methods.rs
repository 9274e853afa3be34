//! The names of methods, for C programs and shells (Python's are in files of their own).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::{Run, has_evidence, method, phases, strings};
use common::jail::Jail;
use common::{Batch, Recorded, program, script};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

const RUNS: &[Run<'_>] = &[
    ("fork_exec", &[]),
    ("posix_spawn", &[]),
    ("vfork_exec", &[]),
    ("system_call", &[]),
    ("popen_call", &[]),
    ("prefork", &["4", "1100"]),
    ("wrappers.sh", &[]),
    ("masquerade", &[]),
    ("exec_paths", &["FOLDER"]),
];

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

static BATCH: LazyLock<Batch> = LazyLock::new(|| {
    common::require_root();
    let folder = FOLDER.path().to_str().unwrap();
    let runs: Vec<(&str, Vec<&str>)> = RUNS
        .iter()
        .map(|(name, args)| (*name, args.iter().map(|&a| if a == "FOLDER" { folder } else { a }).collect()))
        .collect();
    let runs: Vec<Run<'_>> = runs.iter().map(|(name, args)| (*name, args.as_slice())).collect();
    let batch = Batch::record(&[], "", &runs);
    std::fs::remove_dir_all(folder).unwrap();
    batch
});

#[test]
fn c_programs() {
    // Starter, role; mechanism, library, pattern, confidence.
    for (starter, role, want) in [
        ("fork_exec", "child", ["fork_exec", "glibc", "-", "likely"]),
        ("posix_spawn", "plain", ["posix_spawn", "glibc", "-", "likely"]),
        ("vfork_exec", "child", ["vfork_exec", "glibc", "-", "likely"]),
        ("system_call", "shell", ["posix_spawn", "glibc", "system", "likely"]),
        ("popen_call", "shell", ["posix_spawn", "glibc", "popen", "likely"]),
        ("exec_paths", "proc_self", ["fork_exec", "glibc", "reexec", "likely"]),
    ] {
        let start = BATCH.start(starter, role);
        assert_eq!(method(start)[1..], want, "{starter} {role}: {:#}", start["method"]);
    }
    // What the shells then run is theirs.
    for argument in ["in-system", "in-popen"] {
        let start = BATCH.start_with_argv(&["/bin/true", argument]);
        assert_eq!(start["method"]["pattern"], "shell.command", "{:#}", start["method"]);
    }
}

#[test]
fn system_and_popen_are_told_apart_where_signals_are_ignored_anyway() {
    common::require_root();
    let batch = Batch::record(&[], "trap '' INT QUIT;", &[("system_call", &[]), ("popen_call", &[])]);
    for (starter, pattern) in [("system_call", "system"), ("popen_call", "popen")] {
        let start = batch.start(starter, "shell");
        assert_eq!(start["method"]["pattern"], pattern, "{:#}", start["method"]);
    }
}

#[test]
fn workers_of_a_pool_are_one_group() {
    let workers = BATCH.told_by("prefork")["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 4);
    for worker in workers {
        let start = BATCH.start_of(worker.as_u64().unwrap());
        assert_eq!(method(start), ["clone", "fork", "glibc", "prefork_worker", "likely"], "{start:#}");
        assert_eq!(phases(start), ["fork", "schedule", "app"]);
    }
    let master = BATCH.start("prefork", "self");
    let groups = BATCH.trace["groups"].as_array().unwrap();
    let own: Vec<&Value> = groups.iter().filter(|group| group["parent"] == master["start_id"]).collect();
    assert_eq!(own.len(), 1, "{groups:#?}");
    assert_eq!((&own[0]["n"], &own[0]["method"]), (&json!(4), &json!("prefork_worker")));
    assert!(own[0]["parallelism"].as_f64().unwrap() > 3.0, "{:#}", own[0]);
}

#[test]
fn wrappers_are_one_start_up_to_the_one_that_waits() {
    let chain = BATCH.start("wrappers.sh", "chain");
    let succeeded: Vec<&str> = chain["execs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|exec| exec["error"].is_null())
        .map(|exec| exec["path"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(succeeded, ["env", "nohup", "nice", "timeout"]);
    assert_eq!(method(chain)[3..], ["wrapper", "likely"]);
    assert!(has_evidence(chain, "env runs the program in its own place"), "{:#}", chain["method"]);
    assert_eq!(
        phases(chain),
        common::phases(&["fork", "schedule", "setup", "image", "image", "image", "image"])
    );
    // Each phase of an image points at the exec that brought it.
    let indexes: Vec<u64> =
        chain["timeline"]["phases"].as_array().unwrap().iter().filter_map(|p| p["exec"].as_u64()).collect();
    assert_eq!(indexes.len(), 20);
    for (image, name) in indexes.chunks(5).zip(succeeded) {
        assert!(image.iter().all(|index| *index == image[0]), "{indexes:?}");
        assert!(chain["execs"][image[0] as usize]["path"].as_str().unwrap().ends_with(name));
    }
    let wrapped = BATCH.start_with_argv(&["/bin/true", "wrapped"]);
    assert_eq!(wrapped["parent"]["start_id"], chain["start_id"]);
    assert_eq!(method(wrapped)[3..], ["wrapper", "likely"], "{:#}", wrapped["method"]);
    assert!(has_evidence(wrapped, "timeout"), "{:#}", wrapped["method"]);
}

#[test]
fn what_only_looks_like_multiprocessing_is_not() {
    for role in ["spawn", "tracker", "forkserver", "copy"] {
        let start = BATCH.start("masquerade", role);
        let [.., pattern, confidence] = method(start);
        assert!(!pattern.starts_with("multiprocessing"), "{role}: {:#}", start["method"]);
        assert_eq!(method(start)[2], "glibc", "{role}: {confidence} {:#}", start["method"]);
    }
}

#[test]
fn nothing_that_is_certain_is_a_matter_of_names() {
    for start in BATCH.starts().iter().filter(|start| start["method"]["confidence"] == "certain") {
        let pattern = start["method"]["pattern"].as_str();
        assert!(pattern.is_none_or(|p| p == "namespace"), "{:#}", start["method"]);
    }
}

/// Runs `jobs.sh` by a shell.
fn jobs(shell: &[&str]) -> (Recorded, u64) {
    common::require_root();
    let found = Command::new(shell[0]).args(&shell[1..]).args(["-c", "exit 0"]).output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{} does not start: `cargo xtask setup` installs it",
        shell[0]
    );
    let jobs = script("jobs.sh");
    let command: Vec<&str> = shell.iter().copied().chain([jobs.to_str().unwrap()]).collect();
    let recorded = common::record::<&str, &str>(&[], &command);
    let pid = recorded.pid("self");
    (recorded, pid)
}

/// Every job of the script, by a shell of that name; the primitive of a plain command.
fn check_jobs(shell: &[&str], library: &str, primitive: &str) {
    let (recorded, pid) = jobs(shell);
    let job = |argv: &[&str], pattern: &str| {
        let start = recorded.start_with_argv(argv);
        let what = format!("{shell:?} {argv:?}: {:#}", start["method"]);
        assert_eq!(method(start)[2..], [library, pattern, "likely"], "{what}");
        assert!(strings(&start["method"]["evidence"]).len() >= 2, "{what}");
        start
    };
    let command = job(&["/bin/true", "command"], "shell.command");
    assert_eq!(command["method"]["primitive"], primitive, "{:#}", command["method"]);
    for argv in [["/bin/echo", "left"], ["/bin/cat", "-"]] {
        let element = job(&argv, "shell.pipeline");
        assert_eq!(element["parent"]["pid"], pid);
        assert!(has_evidence(element, "shared with 1 sibling"), "{:#}", element["method"]);
    }
    let inner = job(&["/bin/true", "in-subshell"], "shell.command");
    let subshell = recorded.start_of(inner["parent"]["pid"].as_u64().unwrap());
    assert_eq!(method(subshell)[1..], ["fork", library, "shell.subshell", "likely"], "{subshell:#}");
    assert_eq!(subshell["parent"]["pid"], pid);
    job(&["/bin/echo", "substituted"], "shell.substitution");
    job(&["/bin/sleep", "0.021"], "shell.background");
}

#[test]
fn jobs_of_dash() {
    check_jobs(&["dash"], "dash", "vfork");
}

#[test]
fn jobs_of_bash() {
    check_jobs(&["bash"], "bash", "clone");
}

#[test]
fn jobs_of_busybox() {
    check_jobs(&["busybox", "sh"], "busybox", "clone");
}

#[test]
fn a_shells_last_command_takes_its_place() {
    common::require_root();
    // bash and busybox exec the only command of -c, dash runs it by vfork.
    for (shell, execs) in [(&["bash"][..], 2), (&["busybox", "sh"], 2), (&["dash"], 1)] {
        let command: Vec<&str> = shell.iter().copied().chain(["-c", "/bin/true only"]).collect();
        let recorded = common::record::<&str, &str>(&[], &command);
        let start = recorded.start_with_argv(&["/bin/true", "only"]);
        assert_eq!(start["execs"].as_array().unwrap().len(), execs, "{shell:?} {start:#}");
        assert_eq!(recorded.starts().len(), 3 - execs, "{shell:?} {:#}", recorded.outline());
    }
}

/// Job control: what a shell puts behind ignores nothing and keeps the terminal as its stdin.
#[test]
fn jobs_of_interactive_shells() {
    common::require_root();
    let typed = script("interactive.py");
    let python = common::python();
    for (shell, primitive) in [(&["bash", "--norc", "-i"][..], "clone"), (&["dash", "-i"], "vfork")] {
        let command: Vec<&str> = [python.to_str().unwrap(), typed.to_str().unwrap()]
            .into_iter()
            .chain(shell.iter().copied())
            .collect();
        let recorded = common::record::<&str, &str>(&[], &command);
        let terminal = recorded.start_with_argv(shell);
        assert_eq!(terminal["method"]["pattern"], "pty_session", "{terminal:#}");
        for (argv, primitive, pattern) in [
            (["/bin/true", "command"], primitive, "shell.command"),
            (["/bin/sleep", "0.021"], "clone", "shell.background"),
            (["/bin/true", "in-front"], primitive, "shell.command"),
            (["/bin/true", "in-front-too"], "clone", "shell.subshell"),
            (["/bin/true", "behind"], primitive, "shell.command"),
            (["/bin/true", "behind-too"], "clone", "shell.background"),
        ] {
            let start = recorded.start_with_argv(&argv);
            let what = format!("{shell:?} {argv:?}: {:#}", start["method"]);
            let name = method(start);
            assert_eq!(
                [name[0], name[2], name[3], name[4]],
                [primitive, shell[0], pattern, "likely"],
                "{what}"
            );
            let told = has_evidence(start, "a process group of its own");
            assert_eq!(told, pattern == "shell.background", "{what}");
        }
    }
}

/// Programs named like others, in a root that nobody has any more when the tracer gets to look: it sleeps meanwhile.
/// `$1` is the root; the script enters it.
fn after_the_end_of(enter: &str) -> Recorded {
    common::require_root();
    let jail = Jail::new();
    jail.put(&program("posix_spawn"), "/opt/make");
    jail.put(&program("fork_exit"), "/opt/python3");
    jail.put(&program("posix_spawn"), "/opt/neutral");
    // The starter opens it.
    std::fs::create_dir(jail.inside(Path::new("/dev"))).unwrap();
    std::fs::write(jail.inside(Path::new("/dev/null")), "").unwrap();
    let script =
        format!("kill -STOP $PPID; {{ {enter}; }} > /dev/null; status=$?; kill -CONT $PPID; exit $status");
    let recorded = common::record::<&str, &str>(&[], &["sh", "-c", &script, "sh", jail.path()]);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    recorded
}

/// `make` spawns by itself, and what is called `python3` is a C program that forks.
fn check_what_they_are(recorded: &Recorded) {
    let make = recorded.start_with_argv(&["/opt/make"]);
    assert_eq!(make["exe"], "/opt/make");
    assert_eq!(make["binary"]["misnamed"], true, "{make:#}");
    let spawned = recorded.start_with_argv(&["true", "plain"]);
    assert_eq!(method(spawned)[1..4], ["posix_spawn", "glibc", "-"], "{spawned:#}");
    let pythons = recorded.starts_with_argv(&["/opt/python3"]);
    let [python, copy] = pythons[..] else { panic!("{:#}", recorded.outline()) };
    assert_eq!(python["binary"]["linkage"], "dynamic");
    assert_eq!(python["binary"]["runtime"], Value::Null);
    assert_eq!(copy["parent"]["pid"], python["pid"]);
    assert_eq!(method(copy)[1..4], ["fork", "glibc", "-"], "{copy:#}");
}

#[test]
fn a_short_life_in_a_chroot_is_named_by_its_file() {
    let recorded = after_the_end_of("chroot $1 /opt/make && chroot $1 /opt/python3");
    check_what_they_are(&recorded);
}

#[test]
fn a_short_life_in_a_bind_mounted_root_is_named_by_its_file() {
    // The mount is in a namespace that has gone too.
    let enter = "mkdir $1/mnt && unshare -m sh -c 'mount --bind $1 $1/mnt && chroot $1/mnt /opt/make && \
                 chroot $1/mnt /opt/python3' sh $1";
    check_what_they_are(&after_the_end_of(enter));
}

/// It is judged by the name that it was run by, which it has nowhere else.
#[test]
fn a_short_life_under_a_mounted_name_is_named_by_its_file() {
    let enter = "unshare -m sh -c 'mv $1/opt/make $1/opt/other && : > $1/opt/make && \
                 mount --bind $1/opt/neutral $1/opt/make && chroot $1 /opt/make' sh $1 && chroot $1 /opt/python3";
    check_what_they_are(&after_the_end_of(enter));
}

/// Its file system was mounted nowhere else and is gone: a name is all there is, and no more than a guess.
#[test]
fn a_short_life_in_a_private_file_system_is_a_guess() {
    let enter = "mkdir $1/mnt && unshare -m sh -c 'mount -t tmpfs none $1/mnt && cp -a $1/bin $1/lib* $1/opt $1/dev $1/mnt && \
                 { cp -a $1/usr $1/mnt 2> /dev/null; chroot $1/mnt /opt/make; }' sh $1";
    let recorded = after_the_end_of(enter);
    let make = recorded.start_with_argv(&["/opt/make"]);
    assert_eq!(make["binary"], Value::Null, "{make:#}");
    let spawned = recorded.start_with_argv(&["true", "plain"]);
    assert_eq!(spawned["method"]["confidence"], "guess", "{spawned:#}");
}
