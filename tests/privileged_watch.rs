//! `startrace watch` and `startrace doctor` on the real kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{check, require_root, startrace};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr;

const LIMIT: Duration = Duration::from_secs(60);

fn watch(args: &[&str]) -> Command {
    let mut command = Command::new(startrace());
    command.arg("watch").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    require_root();
    watch(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one line that holds `what`.
fn line<'t>(text: &'t str, what: &str) -> &'t str {
    let mut found = text.lines().filter(|line| line.contains(what));
    let line = found.next().unwrap_or_else(|| panic!("no line with {what:?} in:\n{text}"));
    assert!(found.next().is_none(), "more than one line with {what:?} in:\n{text}");
    line
}

fn end(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("startrace watch did not end");
}

fn interrupt(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
}

/// A shell that starts `true` for every line that it gets.
fn starter() -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "while read x; do /bin/true \"$x\"; done"]).stdin(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_line_for_each_start_of_a_command() {
    let long = "x".repeat(300);
    let script = format!(
        "echo from-the-command; /bin/true 'a b' {long}; ls /nonexistent; /bin/true '\x1b[31m'; exit 7"
    );
    let output = output(&["--", "sh", "-c", &script]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{err}");
    assert!(
        !out.lines().any(|line| line == "from-the-command") && err.contains("from-the-command\n"),
        "{out}\n{err}"
    );
    assert_eq!(out.lines().count(), 4, "{out}");
    let shell = line(&out, "exit 7 sh -c ");
    let pid = shell.split_whitespace().nth(1).unwrap();
    let whole = line(&out, "/bin/true 'a b' xxx");
    assert!(whole.ends_with(&long) && whole.contains(&format!(" sh/{pid} ")), "{whole}");
    line(&out, " exit 2 ls /nonexistent");
    // As a shell takes it, and a terminal does not.
    assert!(out.contains("/bin/true $'\\033[31m'\n") && !out.contains('\x1b'), "{out:?}");
    assert!(line(&err, "startrace: ").starts_with("startrace: 4 starts in "), "{err}");
    assert!(line(&err, "startrace: ").ends_with(", 2 failed"), "{err}");
}

#[test]
fn json_is_a_trace_that_comes_while_it_is_made() {
    require_root();
    let mut child =
        watch(&["--json", "--", "sh", "-c", "/bin/true first; read x; /bin/true second"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut bytes = Vec::new();
    let mut lines = 0;
    // The first start is there before the command goes on.
    while lines < 2 {
        assert!(out.read_until(b'\n', &mut bytes).unwrap() > 0, "{}", text(&bytes));
        lines += 1;
    }
    assert!(text(&bytes).contains("first") && !text(&bytes).contains("footer"));
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    out.read_to_end(&mut bytes).unwrap();
    assert!(end(&mut child).success());

    let schema = Command::new(startrace()).args(["schema", "--ndjson"]).output().unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema.stdout).unwrap()).unwrap();
    for line in text(&bytes).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {line}");
    }
    let trace = common::parse(&bytes);
    common::check_schema(&trace);
    check::timelines(&trace).unwrap();
    assert_eq!(trace["session"]["starts"], 3);
    assert_eq!(trace["session"]["complete"], true);
}

#[test]
fn ctrl_c_ends_it_with_success_and_a_summary() {
    require_root();
    let mut starter = starter();
    let mut child = watch(&["-p", &starter.id().to_string()]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    let mut to = starter.stdin.take().unwrap();
    // Until it is live nothing is seen, and what it finds under way is told in part: one after the other until the line of
    // a whole one comes.
    let lines = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                first.clear();
                let lines = out.read_line(&mut first).unwrap();
                if lines == 0 || !first.contains(" (partial) ") {
                    return lines;
                }
            }
        });
        let begin = Instant::now();
        while !reader.is_finished() && begin.elapsed() < LIMIT {
            to.write_all(b"go\n").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        reader.join().unwrap()
    });
    assert!(lines > 0 && first.trim_end().ends_with("/bin/true go"), "{first:?}");
    interrupt(&child);
    assert_eq!(end(&mut child).code(), Some(0));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.starts_with("startrace: ") && err.contains(" in ") && err.lines().count() == 1, "{err:?}");
    drop(to);
    starter.wait().unwrap();
}

#[test]
fn a_closed_pipe_is_success() {
    require_root();
    for json in [false, true] {
        let mut starter = starter();
        let pid = starter.id().to_string();
        let mut args = vec!["-p", &pid];
        args.extend(json.then_some("--json"));
        let mut child = watch(&args).spawn().unwrap();
        drop(child.stdout.take());
        let mut to = starter.stdin.take().unwrap();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < LIMIT, "watch goes on without a reader");
            to.write_all(b"go\n").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""));
        drop(to);
        starter.wait().unwrap();
    }
}

#[test]
fn on_a_terminal_no_line_is_wrapped() {
    require_root();
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 72, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).unwrap();
    let mut command = watch(&[
        "--",
        "sh",
        "-c",
        "/bin/true aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; exit 1",
    ]);
    command.env_remove("COLUMNS").env("TERM", "xterm").env("NO_COLOR", "").stdin(Stdio::null());
    command.stdout(pty.slave.try_clone().unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop((pty.slave, command));
    let mut shown = Vec::new();
    // Reading fails (EIO) when nobody has the other side open any more.
    let _ = File::from(pty.master).read_to_end(&mut shown);
    assert_eq!(end(&mut child).code(), Some(1));
    let shown = text(&shown);
    assert!(shown.contains("\x1b[1mSTARTED "), "{shown:?}");
    assert!(shown.contains("\x1b[31mexit 1\x1b[0m"), "{shown:?}");
    let bare =
        ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[36m"].iter().fold(shown, |s, code| s.replace(code, ""));
    assert_eq!(bare.lines().count(), 3, "{bare}");
    for line in bare.lines() {
        assert!(line.width() <= 72, "{} columns: {line}", line.width());
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}

#[test]
fn what_cannot_be_watched_is_said() {
    let output = output(&["-p", "4194303"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("4194303"), "{}", text(&output.stderr));
    let missing = watch(&["--", "/nonexistent/program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", text(&missing.stderr));
}

/// The binary where everybody can run it.
fn public_binary(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), all.clone()).unwrap();
    let path = folder.path().join("startrace");
    std::fs::copy(startrace(), &path).unwrap();
    std::fs::set_permissions(&path, all).unwrap();
    path
}

#[test]
fn without_privileges_it_says_what_to_do() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let binary = public_binary(&folder);
    for (args, status) in [(&["watch"][..], 77), (&["watch", "--", "true"][..], 77), (&["doctor"][..], 77)] {
        let output = Command::new(&binary).args(args).uid(65534).gid(65534).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", text(&output.stderr));
        let said = text(if args[0] == "doctor" { &output.stdout } else { &output.stderr });
        assert!(said.contains(&format!("sudo startrace {}", args[0])), "{said}");
    }
}

#[test]
fn doctor_finds_recording_possible_where_it_is() {
    require_root();
    let output = Command::new(startrace()).args(["doctor", "--json"]).output().unwrap();
    let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{diagnosis:#}");
    assert_eq!(diagnosis["works"], true);
    let check = |id: &str| {
        let mut found = diagnosis["checks"].as_array().unwrap().iter().filter(|check| check["id"] == id);
        let check = found.next().unwrap_or_else(|| panic!("no check {id}: {diagnosis:#}"));
        assert!(found.next().is_none(), "{id} twice");
        check.clone()
    };
    for id in ["privileges", "btf", "programs", "ring", "task_storage", "iter_task"] {
        assert_eq!(check(id)["state"], "ok", "{:#}", check(id));
    }
    // What the kernel has is no guess: the recorder says the same.
    let plan = Command::new(startrace()).args(["record", "--dry-run", "-a"]).output().unwrap();
    let plan = text(&plan.stdout);
    for name in ["sched_prepare_exec", "sock_recv_length"] {
        let there = plan.contains(name);
        assert_eq!(check(name)["state"] == "ok", there, "{name}: {plan}");
    }
    assert_eq!(check("fentry")["state"] == "ok", plan.contains("fentry/"), "{plan}");
    // Nothing of the trial is left behind.
    let table = Command::new(startrace()).arg("doctor").output().unwrap();
    let table = text(&table.stdout);
    assert!(table.contains("Recording works"), "{table}");
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
}
