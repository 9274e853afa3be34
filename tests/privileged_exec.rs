//! Execs: arguments, paths, interpreters, failures, threads, and processes that hardly live.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::{Run, has_evidence, phase_ns, phases, strings};
use common::{Batch, require_root, startrace};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;

const RUNS: &[Run<'_>] = &[
    ("odd_argv", &[]),
    ("empty_argv", &[]),
    ("long_argv", &["30720"]),
    ("long_argv#exact", &["32768"]),
    ("long_argv#over", &["32769"]),
    ("long_argv#far_over", &["100000"]),
    ("script_chain", &[]),
    ("execveat_fd", &[]),
    ("memfd_exec", &[]),
    ("exec_from_thread", &[]),
    ("failed_execs", &[]),
    ("late_exec", &["60"]),
    ("fork_fails", &[]),
];

static BATCH: LazyLock<Batch> = LazyLock::new(|| {
    common::require_root();
    Batch::record(&[], "", RUNS)
});

/// `exec_paths` and the folder in which it worked.
static PATHS: LazyLock<(Batch, String)> = LazyLock::new(|| {
    common::require_root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    (Batch::record(&[], "", &[("exec_paths", &[path.as_str()])]), path)
});

fn execs(start: &Value) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let list = start["execs"].as_array().unwrap();
    list.iter()
        .map(|exec| (exec["path"].as_str().unwrap(), exec["interpreter"].as_str(), exec["error"].as_str()))
        .collect()
}

/// /bin/true as the kernel resolves it.
fn real_true() -> String {
    Path::new("/bin/true").canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn odd_arguments_come_back_byte_for_byte() {
    let start = BATCH.start("odd_argv", "child");
    let found: Vec<String> = strings(&start["argv"])
        .into_iter()
        .map(|arg| startrace::trace::text::decode(arg).iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(json!(found), BATCH.told_by("odd_argv")["argv_hex"]);
    assert_eq!(start["argv_truncated"], false);
    let escapes = strings(&start["argv"])[3];
    assert!(escapes.contains('\u{1b}'), "JSON holds the escape, by its own escape: {escapes:?}");
}

#[test]
fn empty_arguments_and_spaces_are_kept() {
    let (batch, _) = &*PATHS;
    let start = batch.start("exec_paths", "spaces");
    assert_eq!(start["argv"], json!(["true", "", "two words", "", " "]));
    assert_eq!(start["argv_bytes"], 5 + 1 + 10 + 1 + 2);
    let none = BATCH.start("empty_argv", "child");
    // Linux 5.18 and later put an empty string where there is nothing.
    assert!(none["argv"] == json!([""]) || none["argv"] == json!([]), "{}", none["argv"]);
    assert_eq!(none["argv_bytes"], strings(&none["argv"]).len());
    assert_eq!(none["exe"], real_true());
}

#[test]
fn long_arguments_are_whole_up_to_32_kib_and_their_size_is_always_true() {
    for (starter, bytes, whole) in [
        ("long_argv", 30_720, true),
        ("long_argv#exact", 32_768, true),
        ("long_argv#over", 32_769, false),
        ("long_argv#far_over", 100_000, false),
    ] {
        let start = BATCH.start(starter, "child");
        assert_eq!(start["argv_bytes"], bytes, "{starter}");
        assert_eq!(start["argv_truncated"], !whole, "{starter}");
        let argv = strings(&start["argv"]);
        let kept: usize = argv.iter().map(|arg| arg.len() + 1).sum();
        if whole {
            assert_eq!(kept, bytes, "{starter}");
            assert_eq!(argv.len() as u64, BATCH.told_by(starter)["arguments"].as_u64().unwrap());
        } else {
            // The last one is cut and has no terminator of its own.
            assert!((32_768..=32_769).contains(&kept), "{starter}: {kept}");
        }
        assert_eq!(argv[0], "true");
        // "true", then 4,095 times b, c, d ...
        for (i, arg) in argv.iter().enumerate().skip(1) {
            let letter = char::from(b'a' + (i % 26) as u8);
            assert!(arg.chars().all(|c| c == letter), "{starter}: argument {i}");
            assert!(arg.len() == 4095 || i == argv.len() - 1, "{starter}: argument {i}");
        }
    }
}

#[test]
fn the_path_asked_for_and_the_resolved_executable_are_told_apart() {
    let (batch, folder) = &*PATHS;
    let fd = batch.told_by("exec_paths")["fd"].as_u64().unwrap();
    let program = common::program("exec_paths").canonicalize().unwrap();
    let copy = format!("{folder}/copy");
    for (role, path, exe, cwd) in [
        ("link", format!("{folder}/link"), copy.clone(), None),
        ("relative", "./copy".to_owned(), copy.clone(), Some(folder)),
        ("proc_self", "/proc/self/exe".to_owned(), program.to_str().unwrap().to_owned(), None),
        ("deleted", format!("/dev/fd/{fd}"), format!("{copy} (deleted)"), None),
        ("nobody", "/bin/true".to_owned(), real_true(), None),
    ] {
        let start = batch.start("exec_paths", role);
        assert_eq!(execs(start), [(path.as_str(), None, None)], "{role}");
        assert_eq!(start["exe"], exe, "{role}");
        let own = batch.start("exec_paths", "self");
        assert_eq!(start["cwd"], cwd.map_or(own["cwd"].clone(), |cwd| json!(cwd)), "{role}");
        assert_eq!(start["exit"]["code"], 0, "{role}");
    }
    let fd = BATCH.told_by("execveat_fd")["fd"].as_u64().unwrap();
    let start = BATCH.start("execveat_fd", "child");
    assert_eq!(execs(start), [(format!("/dev/fd/{fd}").as_str(), None, None)]);
    assert_eq!((&start["exe"], &start["argv"]), (&json!(real_true()), &json!(["true", "execveat_fd"])));
    let start = BATCH.start("memfd_exec", "child");
    assert_eq!(start["exe"], "/memfd:startrace-memfd (deleted)");
}

#[test]
fn user_and_group_are_those_that_the_process_took_on() {
    let (batch, _) = &*PATHS;
    let ids = |role: &str| {
        let start = batch.start("exec_paths", role);
        (start["uid"].as_u64().unwrap(), start["gid"].as_u64().unwrap())
    };
    assert_eq!(ids("nobody"), (65534, 65534));
    assert_eq!(ids("spaces"), (0, 0));
    // Without an exec just as well.
    let attempter = BATCH.start("fork_fails", "attempter");
    assert_eq!((&attempter["uid"], &attempter["gid"]), (&json!(65534), &json!(65534)));
}

#[test]
fn scripts_name_their_interpreter() {
    let folder = BATCH.told_by("script_chain")["folder"].as_str().unwrap();
    let nested = BATCH.start("script_chain", "nested");
    // One exec call, whatever chain the kernel walks; the interpreter is the program that runs.
    let outer = format!("{folder}/outer");
    assert_eq!(execs(nested), [(outer.as_str(), Some("/bin/sh"), None)]);
    let argv =
        ["/bin/sh".to_owned(), format!("{folder}/inner"), "an-argument".into(), outer, "nested".into()];
    assert_eq!(nested["argv"], json!(argv));
    let env = BATCH.start("script_chain", "env");
    let script = format!("{folder}/env");
    let mut list = execs(env);
    // env walks PATH.
    list.retain(|(_, _, error)| error.is_none());
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!(list[0], (script.as_str(), Some("/usr/bin/env"), None));
    assert!(list[1].0.ends_with("/sh") && list[1].1.is_none(), "{list:?}");
    assert_eq!(env["argv"], json!(["sh", script, "env"]));
    let indexes: Vec<_> = env["timeline"]["phases"].as_array().unwrap().iter().map(|p| &p["exec"]).collect();
    let last = env["execs"].as_array().unwrap().len() - 1;
    assert_eq!(phases(env), common::phases(&["fork", "schedule", "setup", "image", "image"]));
    assert_eq!(json!(indexes), json!([null, null, null, 0, 0, 0, 0, 0, last, last, last, last, last]));
}

#[test]
fn an_exec_by_a_thread_is_one_start_of_one_process() {
    let child = BATCH.pid_of("exec_from_thread", "child");
    let thread = BATCH.pid_of("exec_from_thread", "thread");
    let start = BATCH.start_of(child);
    assert_eq!((&start["seq"], &start["exit"]["code"]), (&json!(0), &json!(0)));
    assert_eq!(start["argv"], json!(["true", "exec_from_thread"]));
    assert_eq!(execs(start), [("/bin/true", None, None)]);
    assert_eq!(phases(start), common::phases(&["fork", "schedule", "setup", "image"]));
    assert!(start["execs"][0]["duration_ns"].as_u64().unwrap() > 0, "the thread's entry is known");
    assert!(has_evidence(start, &format!("exec called by thread {thread}")), "{:#}", start["method"]);
    assert!(BATCH.starts_of(thread).is_empty());
}

#[test]
fn failed_execs_are_told_in_order_with_their_error_and_are_part_of_setup() {
    let (paths, _) = &*PATHS;
    for (batch, starter, role, errors, code) in [
        (&*BATCH, "failed_execs", "path_walk", &["ENOENT", "ENOENT", "EACCES"][..], 0),
        (&*BATCH, "failed_execs", "noexec", &["ENOEXEC"], 0),
        (&*BATCH, "failed_execs", "never", &["ENOENT"], 127),
        (paths, "exec_paths", "refused", &["ENOTDIR", "E2BIG"], 0),
    ] {
        let start = batch.start(starter, role);
        let list = start["execs"].as_array().unwrap();
        let found: Vec<&str> = list.iter().filter_map(|exec| exec["error"].as_str()).collect();
        assert_eq!(found, errors, "{role}: {list:#?}");
        assert_eq!(start["exit"]["code"], code, "{role}");
        let succeeded = list.iter().position(|exec| exec["error"].is_null());
        assert_eq!(succeeded, (code == 0).then_some(errors.len()), "{role}: failures come first");
        // Entries and durations do not overlap, and all lie before the exec that succeeds.
        let name = if code == 0 { "setup" } else { "app" };
        let phase =
            start["timeline"]["phases"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap();
        let begin = phase["at_ns"].as_u64().unwrap();
        let mut at = begin;
        for exec in &list[..errors.len()] {
            let entry = exec["at_ns"].as_u64().unwrap();
            assert!(entry >= at, "{role}: {list:#?}");
            at = entry + exec["duration_ns"].as_u64().unwrap();
            assert!(exec["path"].as_str().unwrap().starts_with('/'), "{role}: {exec}");
        }
        assert!(at <= begin + phase_ns(start, name), "{role}: {:#}", start["timeline"]);
    }
    // An attempt is no exec: the image stays.
    let never = BATCH.start("failed_execs", "never");
    assert_eq!(never["method"]["mechanism"], "fork");
    assert_eq!(never["exe"], BATCH.start("failed_execs", "self")["exe"]);
}

#[test]
fn a_thousand_short_lives_are_all_told() {
    common::require_root();
    let batch = Batch::record(&[], "", &[("short_lived", &["1000"])]);
    let pids = batch.told_by("short_lived")["children"].as_array().unwrap();
    assert_eq!(pids.len(), 1000);
    let (exe, inode) = (real_true(), std::fs::metadata("/bin/true").unwrap().ino());
    assert!(inode > 0);
    let mut build_ids: Vec<&str> = Vec::new();
    for pid in pids {
        let start = batch.start_of(pid.as_u64().unwrap());
        assert_eq!(start["exe"], exe);
        assert_eq!(start["argv"], json!(["true", "short_lived"]));
        assert_eq!(start["exit"]["code"], 0);
        assert_eq!(start["binary"]["linkage"], "dynamic", "{start:#}");
        assert_eq!(phases(start), common::phases(&["fork", "schedule", "setup", "image"]));
        build_ids.push(start["binary"]["build_id"].as_str().unwrap_or(""));
    }
    build_ids.dedup();
    assert_eq!(build_ids.len(), 1);
}

#[test]
fn an_exec_after_the_window_is_a_start_of_its_own() {
    common::require_root();
    let batch = Batch::record(&["--window", "200ms"], "", &[("late_exec", &["500"])]);
    let child = batch.pid_of("late_exec", "child");
    let starts = batch.starts_of(child);
    assert_eq!(starts.len(), 2, "{:#}", batch.outline());
    let (first, second) = (starts[0], starts[1]);
    assert_eq!((&first["seq"], &second["seq"]), (&json!(0), &json!(1)));
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["timeline"]["ready"]["kind"], "timeout");
    assert_eq!(first["timeline"]["duration_ns"], 200_000_000);
    assert_eq!(first["argv"][1], "wait");
    assert_eq!(first["method"]["mechanism"], "fork_exec");
    // The first is over, and so is its process at last: both know.
    assert_eq!(first["exit"], Value::Null, "the process's end belongs to its last start");
    assert_eq!(second["method"]["primitive"], "exec");
    assert_eq!(second["method"]["name"], "exec");
    assert_eq!(second["method"]["clone_flags"], json!([]));
    assert_eq!(second["argv"], json!(["true", "late_exec"]));
    assert_eq!(phases(second), common::phases(&["image"]));
    assert_eq!(second["exit"]["code"], 0);
    assert!(has_evidence(second, "image replaced"), "{:#}", second["method"]);
    // Without a window it is one start of two execs.
    let whole = BATCH.start("late_exec", "child");
    assert_eq!(phases(whole), common::phases(&["fork", "schedule", "setup", "image", "image"]));
    let app = &whole["timeline"]["phases"][7];
    assert!(app["duration_ns"].as_u64().unwrap() >= 60_000_000, "{:#}", whole["timeline"]);
}

#[test]
fn why_a_command_cannot_be_executed_is_said() {
    use std::os::unix::fs::PermissionsExt;
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, mode: u32, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    // A program of another machine (EM_SPARCV9).
    let mut foreign = std::fs::read(real_true()).unwrap();
    foreign[18..20].copy_from_slice(&43_u16.to_le_bytes());
    for (path, status, says) in [
        (folder.path().to_owned(), 126, ": it is a directory"),
        (at("plain", 0o644, b"#!/bin/sh\n"), 126, ": chmod +x "),
        (at("foreign", 0o755, &foreign), 126, ": it is a program for sparc"),
        (at("zip", 0o755, b"PK\x03\x04\x00"), 126, ": it is no program and no script"),
        (at("dos", 0o755, b"#!/bin/sh\r\necho\r\n"), 127, "its #! line ends in a carriage return"),
        (
            at("nowhere", 0o755, b"#!/no/such\n"),
            127,
            "the interpreter of its #! line, \"/no/such\", is not there",
        ),
        // As execvp(3) has it, a shell runs what has no line.
        (at("bare", 0o755, b"exit 7\n"), 7, ""),
    ] {
        let mut command = std::process::Command::new(startrace());
        let done = command.args(["record", "-q", "-o", "/dev/null", "--"]).arg(&path).output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(status), "{path:?}: {error}");
        assert!(error.contains(says) && error.lines().count() <= 1, "{path:?}: {error}");
    }
}
