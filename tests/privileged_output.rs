//! Where `record`'s trace goes, what it exits with, how signals end it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, alive, names};
use common::{check, check_schema, parse, program, record_unchecked, require_root, startrace};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `startrace record ARGS` in a folder.
fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(startrace())
        .arg("record")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &Path) -> Value {
    let trace = parse(&fs::read(path).unwrap());
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    trace
}

#[test]
fn variables_are_kept_by_name_and_no_other() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let script = "sleep 0.2; COLOUR='re\u{e9}d' sleep 0.2";
    let recorded = Command::new(startrace())
        .args([
            "record",
            "-q",
            "-o",
            "env.json",
            "--env",
            "TRACEPARENT",
            "--env",
            "COLOUR",
            "--",
            "sh",
            "-c",
            script,
        ])
        .envs([("TRACEPARENT", context), ("SECRET", "hunter2")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let file = folder.path().join("env.json");
    let trace = read(&file);
    let env: Vec<&Value> = trace["starts"].as_array().unwrap().iter().map(|start| &start["env"]).collect();
    let plain = serde_json::json!({"TRACEPARENT": context});
    let coloured = serde_json::json!({"TRACEPARENT": context, "COLOUR": "re\u{e9}d"});
    assert_eq!(env, [&plain, &plain, &coloured]);
    assert!(!fs::read_to_string(&file).unwrap().contains("hunter2"));

    // The export hangs the command below that span.
    let spans = Command::new(startrace()).arg("export").arg(&file).args(["--to", "otlp"]).output().unwrap();
    let spans = text(&spans.stdout);
    assert!(
        spans.contains("\"parentSpanId\":\"00f067aa0ba902b7\"") && spans.contains("4bf92f3577b34da6"),
        "{spans}"
    );
    // Without the flag there is nothing.
    let without = run(folder.path(), &["-q", "-o", "none.json", "--", "true"]);
    assert!(without.status.success());
    assert!(read(&folder.path().join("none.json"))["starts"][0].get("env").is_none());
    let wrong = run(folder.path(), &["--env", "A=b", "--", "true"]);
    assert!(wrong.status.code() == Some(2) && text(&wrong.stderr).contains("without its value"));
}

#[test]
fn exit_codes_are_those_of_env() {
    require_root();
    for (cmd, code) in [
        (vec!["sh", "-c", "exit 7"], 7),
        (vec!["true"], 0),
        (vec!["sh", "-c", "kill -TERM $$"], 143),
        (vec!["sh", "-c", "ulimit -c 0; kill -SEGV $$"], 139),
        (vec!["no-such-command-anywhere"], 127),
        (vec!["/no/such/path"], 127),
        (vec!["/etc/passwd"], 126),
        (vec!["/"], 126),
    ] {
        let recorded = record_unchecked::<&str, _>(&[], &cmd);
        assert_eq!(recorded.status.code(), Some(code), "{cmd:?}: {}", recorded.stderr);
        let started = !matches!(code, 126 | 127);
        assert_eq!(recorded.trace.is_null(), !started, "{cmd:?}");
        if !started {
            assert!(recorded.stderr.contains(cmd[0]), "{cmd:?}: {}", recorded.stderr);
            assert_eq!(recorded.stderr.lines().count(), 1, "{}", recorded.stderr);
            // Nothing is left in the folder but the test's own files.
            assert_eq!(names(recorded.folder.path()), ["stderr", "stdout"], "{cmd:?}");
        }
    }
}

#[test]
fn our_own_failures_are_125_and_usage_is_2() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for output in ["folder", "none/t.json", "/proc/t.json"] {
        let done = run(folder.path(), &["-o", output, "--", "touch", "ran"]);
        assert_eq!(done.status.code(), Some(125), "{done:?}");
        assert!(text(&done.stderr).contains(output.split('/').next().unwrap()), "{done:?}");
        // Nobody was started in vain.
        assert_eq!(names(folder.path()), ["folder"], "{output}");
    }
    let done = run(folder.path(), &["-o", "none/t.json", "-a", "--duration", "1s"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    for args in [&["-o", "x"][..], &["-p", "0"], &["-p", "x"], &["-p", "1", "-a"], &["--count", "0", "-a"]] {
        let done = run(folder.path(), args);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {done:?}");
        assert!(!done.stderr.is_empty());
    }
    assert_eq!(names(folder.path()), ["folder"]);
    // With --best-effort it runs all the same.
    let done =
        run(folder.path(), &["--best-effort", "-o", "none/t.json", "--", "sh", "-c", "touch ran; exit 9"]);
    assert_eq!(done.status.code(), Some(9), "{done:?}");
    assert_eq!(names(folder.path()), ["folder", "ran"]);
}

#[test]
fn files_are_named_and_never_written_over() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let done = run(folder.path(), &["--", "true"]);
        assert!(done.status.success(), "{done:?}");
        // It says where the trace is and what to type next.
        let said = text(&done.stderr);
        assert!(said.contains("startrace report startrace-true-"), "{said}");
    }
    let made = names(folder.path());
    assert_eq!(made.len(), 2, "{made:?}");
    for name in &made {
        assert!(name.starts_with("startrace-true-") && name.ends_with(".json"), "{name}");
        let path = folder.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path)["starts"].as_array().unwrap().len(), 1);
    }
    // A file that is named is replaced, by a whole one.
    let path = folder.path().join("t.json");
    fs::write(&path, "earlier").unwrap();
    let done = run(folder.path(), &["-q", "-o", "t.json", "--", "true"]);
    assert!(done.status.success() && done.stderr.is_empty() && done.stdout.is_empty(), "{done:?}");
    assert_eq!(read(&path)["session"]["complete"], true);
    assert_eq!(names(folder.path()).len(), 3);
    // Lines by the file's name or by --format.
    for args in [&["-o", "l.ndjson"][..], &["-o", "l.trace", "--format", "ndjson"]] {
        let done = run(folder.path(), &[&["-q"], args, &["--", "true"]].concat());
        assert!(done.status.success(), "{done:?}");
        let lines = fs::read_to_string(folder.path().join(args[1])).unwrap();
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!((&first["type"], lines.lines().count()), (&"header".into(), 3), "{args:?}");
        read(&folder.path().join(args[1]));
    }
    let document = run(folder.path(), &["-q", "-o", "d.ndjson", "--format", "json", "--", "true"]);
    assert!(document.status.success());
    let whole: Value = serde_json::from_slice(&fs::read(folder.path().join("d.ndjson")).unwrap()).unwrap();
    assert_eq!(whole["schema"], "startrace/1");
}

#[test]
fn a_path_that_is_cut_is_counted_and_each_counter_explained() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..80).fold(folder.path().to_owned(), |at, _| at.join("d"));
    fs::create_dir_all(&deep).unwrap();
    fs::copy("/bin/true", deep.join("true")).unwrap();
    let program = deep.join("true");
    let done = run(folder.path(), &["-q", "-o", "t.json", "--", program.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let trace = read(&folder.path().join("t.json"));
    let (session, exe) = (&trace["session"], trace["starts"][0]["exe"].as_str().unwrap());
    assert!(exe.starts_with(".../d/d/") && exe.ends_with("/d/true"), "{exe}");
    assert!(session["lost"]["file_paths_cut"].as_u64() >= Some(1), "{session}");
    assert_eq!(session["complete"], false);
    let page = include_str!("../docs/trace.md");
    for name in session["lost"].as_object().unwrap().keys() {
        assert!(
            page.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`"))),
            "{name}"
        );
    }
}

#[test]
fn stdout_belongs_to_the_trace_if_asked() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    for format in ["json", "ndjson"] {
        let cmd = ["-o", "-", "--format", format, "--", "sh", "-c", "echo from-cmd; exit 5"];
        let done = run(folder.path(), &cmd);
        assert_eq!(done.status.code(), Some(5), "{done:?}");
        let trace = parse(&done.stdout);
        check_schema(&trace);
        assert_eq!(trace["starts"][0]["exit"]["code"], 5);
        assert_eq!(done.stdout.starts_with(b"{\"type\":\"header\""), format == "ndjson");
        assert!(text(&done.stderr).contains("from-cmd"), "{done:?}");
        assert!(!text(&done.stdout).contains("from-cmd\n"));
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
    // Without, it is CMD's.
    let done = run(folder.path(), &["-q", "-o", "t.json", "--", "echo", "from-cmd"]);
    assert_eq!(text(&done.stdout), "from-cmd\n");
}

#[test]
fn a_reader_who_has_enough_is_no_failure() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let script = "\"$1\" record -o - --format ndjson -- sh -c 'for i in 1 2 3 4 5 6; do /bin/true; sleep 0.4; \
                  done; exit 4'  | head -1; echo ${PIPESTATUS[*]}";
    let done = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(startrace())
        .current_dir(&folder)
        .output()
        .unwrap();
    let out = text(&done.stdout);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert_eq!(serde_json::from_str::<Value>(lines[0]).unwrap()["type"], "header");
    // The trace is not wanted any more; CMD may be running still, or have been waited for.
    assert!(lines[1] == "0 0" || lines[1] == "4 0", "{out} {}", text(&done.stderr));
    assert!(!text(&done.stderr).contains("Broken pipe"), "{}", text(&done.stderr));
}

/// A recording of a command that says `ready` and runs until it is told to end, in one process group.
fn recording(folder: &Path, cmd: &str) -> (Live, u64) {
    let mut tracer = Live::spawn(
        Command::new(startrace()).args(["record", "-o", "t.json", "--", "sh", "-c", cmd]).current_dir(folder),
    );
    tracer.wait_lines(1);
    let pid = tracer.stdout().trim().parse().unwrap();
    (tracer, pid)
}

#[test]
fn ctrl_c_leaves_a_whole_file() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let (mut tracer, cmd) = recording(folder.path(), "/bin/true inner; echo $$; exec sleep 60");
    // As a terminal does: to everybody in the foreground.
    killpg(Pid::from_raw(tracer.pid() as i32), Signal::SIGINT).unwrap();
    let status = tracer.wait();
    let trace = read(&folder.path().join("t.json"));
    assert_eq!(status.code(), Some(130), "{}", tracer.stderr());
    assert!(!alive(cmd));
    assert_eq!(trace["session"]["ended_by"], "SIGINT");
    assert_eq!(trace["session"]["complete"], true);
    let starts = trace["starts"].as_array().unwrap();
    let of_cmd: Vec<_> = starts.iter().filter(|start| start["pid"] == cmd).collect();
    assert_eq!((starts.len(), of_cmd.len()), (2, 1));
    assert_eq!(of_cmd[0]["exit"]["signal"], "SIGINT", "{:#}", of_cmd[0]["exit"]);
    assert_eq!(names(folder.path()), ["t.json"]);
}

#[test]
fn a_signal_to_us_alone_is_passed_on() {
    require_root();
    let trap = "trap 'exit 33' TERM; echo $$; while :; do sleep 0.05; done";
    for (cmd, code, signal) in [(trap, 33, Value::Null), ("echo $$; exec sleep 60", 143, "SIGTERM".into())] {
        let folder = tempfile::tempdir().unwrap();
        let (mut tracer, pid) = recording(folder.path(), cmd);
        tracer.signal(Signal::SIGTERM);
        assert_eq!(tracer.wait().code(), Some(code), "{cmd}: {}", tracer.stderr());
        let trace = read(&folder.path().join("t.json"));
        assert_eq!(trace["session"]["ended_by"], "SIGTERM");
        let of_cmd = trace["starts"].as_array().unwrap().iter().find(|s| s["pid"] == pid).unwrap();
        assert_eq!(of_cmd["exit"]["signal"], signal, "{cmd}");
    }
    // Who does not listen is left alone, and the file is whole all the same.
    let folder = tempfile::tempdir().unwrap();
    let (mut tracer, pid) = recording(folder.path(), "trap '' TERM; echo $$; sleep 20");
    tracer.signal(Signal::SIGTERM);
    let status = tracer.wait();
    assert!(alive(pid));
    assert_eq!(status.code(), Some(143), "{}", tracer.stderr());
    assert!(tracer.stderr().contains("still running"), "{}", tracer.stderr());
    assert_eq!(read(&folder.path().join("t.json"))["session"]["ended_by"], "SIGTERM");
}

#[test]
fn a_signal_to_a_recording_of_pids_ends_that_alone() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let mut master = Live::spawn(&mut Command::new(program("on_request")));
    master.wait_lines(1);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut tracer = Live::spawn(
            Command::new(startrace())
                .args(["record", "-o", "t.json", "-p", &master.pid_text()])
                .current_dir(&folder),
        );
        common::live::until("the probes", || common::live::is_live(tracer.pid()));
        tracer.signal(signal);
        assert_eq!(tracer.wait().code(), Some(0), "{signal}: {}", tracer.stderr());
        let trace = read(&folder.path().join("t.json"));
        assert_eq!(trace["session"]["ended_by"], signal.as_str());
        assert!(alive(master.pid()));
    }
}
