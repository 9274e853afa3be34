//! `startrace stat`: real commands, many times, under one set of probes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{check_schema, parse, require_root, startrace, starts};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn stat(args: &[&str]) -> Output {
    Command::new(startrace()).arg("stat").args(args).stdin(Stdio::null()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn ms(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number")) / 1e6
}

/// When the longest wait of a kind and with such a detail began and ended.
fn wait_of(start: &Value, kind: &str, detail: &str) -> (u64, u64) {
    let timeline = &start["timeline"];
    let waits = timeline["waits"].as_array().unwrap().iter();
    let such = |wait: &&Value| {
        wait["kind"] == kind && wait["detail"].as_str().is_some_and(|d| d.starts_with(detail))
    };
    let wait = waits.filter(such).max_by_key(|wait| wait["duration_ns"].as_u64());
    let wait = wait.unwrap_or_else(|| panic!("no {kind} of {detail} in {start:#}"));
    let at = timeline["origin_boottime_ns"].as_u64().unwrap() + wait["at_ns"].as_u64().unwrap();
    (at, at + wait["duration_ns"].as_u64().unwrap())
}

#[test]
fn a_command_is_run_many_times_and_its_runs_are_kept() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs.json");
    let marks = dir.path().join("marks");
    // Every run leaves a line, warm-ups and preparations too.
    let text = format!("echo run >> {0}; sleep 0.03; /bin/true", marks.display());
    let prepare = format!("echo prepare >> {0}", marks.display());
    let output = stat(&[
        "-n",
        "6",
        "--warmup",
        "2",
        "--prepare",
        &prepare,
        "--json",
        "-o",
        file.to_str().unwrap(),
        "--",
        "sh",
        "-c",
        &text,
    ]);
    let stat = json(&output);
    let lines = std::fs::read_to_string(&marks).unwrap();
    assert_eq!(lines.trim().lines().collect::<Vec<_>>(), ["prepare", "run"].repeat(8));
    let command = &stat["commands"][0];
    assert_eq!(command["runs"], 6);
    assert_eq!(command["unfinished"], 0);
    assert_eq!(command["ready"], serde_json::json!({"exit": 6}));
    let time = &command["time"];
    assert!(ms(&time["min_ns"]) > 30.0, "{time}");
    for (less, more) in [("min_ns", "median_ns"), ("median_ns", "p90_ns"), ("p90_ns", "max_ns")] {
        assert!(time[less].as_u64() <= time[more].as_u64(), "{time}");
    }
    // sh, sleep, true.
    assert_eq!(command["processes"]["median_ns"], 3);
    // It waits for its child, and that sleeps: the path leads through it.
    let sleep = command["path"].as_array().unwrap().iter().find(|state| state["name"] == "sleep").unwrap();
    let slept = ms(&sleep["time"]["median_ns"]);
    let sum: f64 = command["phases"].as_array().unwrap().iter().map(|p| ms(&p["time"]["median_ns"])).sum();
    assert!((sum / ms(&time["median_ns"]) - 1.0).abs() < 0.3, "{sum} {time}");

    // The trace holds the measured runs, and nothing else.
    let trace = parse(&std::fs::read(&file).unwrap());
    check_schema(&trace);
    assert_eq!(trace["session"]["complete"], true, "{:#}", trace["session"]);
    let runs = trace["session"]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 6);
    assert_eq!(starts(&trace).len(), 18);
    let mut of_runs = Vec::new();
    for run in runs {
        assert_eq!(run["exit"], 0);
        let root = starts(&trace).iter().find(|start| start["start_id"] == run["start_id"]).unwrap();
        assert_eq!(root["argv"][0], "sh");
        // ... for as long as the shell waits for it: on a busy machine that begins after the sleep.
        let of_root =
            |start: &&Value| start["parent"]["start_id"] == run["start_id"] && start["argv"][0] == "sleep";
        let sleeper = starts(&trace).iter().find(of_root).unwrap();
        let (from, to) = wait_of(sleeper, "sleep", "asked for 30 ms");
        assert!(to - from >= 30_000_000, "{sleeper:#}");
        let (since, until) = wait_of(root, "child", &format!("pid {} (", sleeper["pid"]));
        let both = to.min(until).saturating_sub(from.max(since));
        let on_path = root["timeline"]["path_ns"]["sleep"].as_u64().unwrap();
        assert!(on_path.abs_diff(both) < 1_000_000, "{on_path} ns, not {both}: {root:#}");
        of_runs.push(on_path as f64 / 1e6);
    }
    of_runs.sort_by(f64::total_cmp);
    assert!((of_runs[2]..=of_runs[3]).contains(&slept), "{slept} of {of_runs:?}");
    // And so say the commands that read traces.
    let diff = Command::new(startrace()).arg("diff").args([&file, &file]).arg("--json").output().unwrap();
    let diff = json(&diff);
    assert_eq!(diff["base"]["runs"], 6);
    let roots: Vec<&Value> =
        diff["pairs"].as_array().unwrap().iter().filter(|pair| pair["base"]["root"] == true).collect();
    assert_eq!(roots.len(), 1);
    assert_eq!(roots[0]["unit"], "run");
    assert_eq!(roots[0]["verdict"], "same");
    assert_eq!(roots[0]["base"]["tally"]["duration"]["n"], 6);
    let report = Command::new(startrace()).arg("report").arg(&file).output().unwrap();
    assert!(report.status.success());
}

#[test]
fn commands_take_turns_and_are_compared() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let marks = dir.path().join("marks");
    let one = |name: &str, sleep: &str| format!("echo {name} >> {}; sleep {sleep}", marks.display());
    let (fast, slow) = (one("a", "0.01"), one("b", "0.06"));
    let output = stat(&["-n", "6", "--shell", "--json", "--name", "fast", &fast, "--name", "slow", &slow]);
    let stat = json(&output);
    let lines = std::fs::read_to_string(&marks).unwrap();
    assert_eq!(lines.trim().lines().collect::<Vec<_>>(), ["a", "b"].repeat(6));
    assert_eq!(stat["commands"][0]["name"], "fast");
    assert_eq!(stat["commands"][1]["name"], "slow");
    let pair = &stat["compared"][0];
    assert!(ms(&pair["shift"]["estimate_ns"]) > 30.0, "{pair}");
    assert!(pair["p"].as_f64().unwrap() < 0.05, "{pair}");
    assert_eq!(pair["path"][0]["name"], "sleep");
    let text = stat_text(&["-n", "4", "--name", "x", "sleep 0.01", "--name", "y", "'sleep' \"0.04\""]);
    assert!(text.contains("y against x: +"), "{text}");
}

fn stat_text(args: &[&str]) -> String {
    let output = stat(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Is this process's command line that of the server?
fn servers(port: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == port.as_bytes())
                && entry.file_name() != std::ffi::OsStr::new(&std::process::id().to_string())
        })
        .count()
}

#[test]
fn servers_are_ended_when_they_are_ready_and_their_memory_is_read() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("serve_later.py");
    std::fs::write(&server, SERVER).unwrap();
    let port = "40917";
    let kept = dir.path().join("servers.json").into_os_string().into_string().unwrap();
    let text = ["-n", "4", "--kill-when-ready", "--json", "-o", &kept, "--"];
    let python = common::python();
    let output = stat(&[&text[..], &[python.to_str().unwrap(), server.to_str().unwrap(), port]].concat());
    let stat = json(&output);
    let command = &stat["commands"][0];
    assert_eq!(command["ready"], serde_json::json!({"accept": 4}), "{command:#}");
    assert_eq!(command["failed"], 0);
    assert!(ms(&command["time"]["min_ns"]) > 50.0, "{command:#}");
    let pss = command["pss_bytes"]["median_ns"].as_u64().unwrap();
    // An interpreter, with a list of 8 MB.
    assert!((8 << 20..200 << 20).contains(&pss), "{pss}");
    assert_eq!(servers(port), 0);
    // How they ended was our doing: nothing of it is theirs.
    let budget = dir.path().join("budget.toml");
    std::fs::write(&budget, "failed = 0\n").unwrap();
    let check = Command::new(startrace()).args(["check", &kept, "--budget"]).arg(budget).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    let trace: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    for start in trace["starts"].as_array().unwrap() {
        assert!(start["exit"].is_null(), "{}", start["exit"]);
    }
}

#[test]
fn a_daemon_is_measured_until_it_is_ready_and_ended() {
    require_root();
    let script = "import os, socket, sys, time\n\
                  if os.fork(): os._exit(0)\n\
                  os.setsid()\n\
                  if os.fork(): os._exit(0)\n\
                  time.sleep(0.5)\n\
                  s = socket.socket()\n\
                  s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
                  s.bind(('127.0.0.1', int(sys.argv[1])))\n\
                  s.listen()\n\
                  s.accept()";
    let python = common::python();
    let line = ["--", python.to_str().unwrap(), "-c", script, "40919"];
    let stat_of = |args: &[&str]| stat(&[args, &line[..]].concat());
    let told = json(&stat_of(&["-n", "3", "--kill-when-ready", "--json"]));
    let command = &told["commands"][0];
    assert_eq!(servers("40919"), 0);
    assert_eq!(command["ready"], serde_json::json!({"accept": 3}), "{command:#}");
    assert!(ms(&command["time"]["min_ns"]) > 500.0, "{command:#}");
    assert!(ms(&command["daemon"]["max_ns"]) > 400.0, "{command:#}");
    assert!(command["pss_bytes"].is_object(), "{command:#}");
    // Without, they stay, and that is said.
    let output = stat_of(&["-n", "1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("left by run 1 and still running: python3"), "{text}");
    assert!(text.contains("--kill-when-ready"), "{text}");
    let left = text.split("(pid ").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok());
    let left: i32 = left.unwrap_or_else(|| panic!("no pid in {text}"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// The end of a run is told some 20 ms later, when the next one has ended too.
#[test]
fn servers_that_are_ready_at_once_have_not_failed_either() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("servers.json").into_os_string().into_string().unwrap();
    let serve = common::programs::program("serve");
    let text = ["-n", "20", "--kill-when-ready", "--json", "-o", &kept, "--"];
    json(&stat(&[&text[..], &[serve.to_str().unwrap(), "accept", "0", "1"]].concat()));
    let trace: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    assert_eq!(starts(&trace).len(), 20);
    let ends: Vec<&Value> = starts(&trace).iter().map(|start| &start["exit"]).collect();
    assert!(ends.iter().all(|end| end.is_null()), "{ends:?}");
}

const SERVER: &str = "\
import socket, sys, time
keep = bytearray(8 << 20)
time.sleep(0.05)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', int(sys.argv[1])))
listener.listen()
listener.accept()
";

#[test]
fn what_goes_wrong_is_said() {
    require_root();
    for (args, code, said) in [
        (&["-n", "2", "--", "/nowhere/nothing"][..], 127, "cannot start"),
        (&["-n", "2", "--", "/etc/passwd"], 126, "cannot execute"),
        (&["-n", "3", "--", "sh", "-c", "exit 3"], 1, "ended with status 3"),
        (&["-n", "3", "--prepare", "exit 4", "--", "true"], 1, "--prepare failed: it ended with 4"),
        (&["--name", "a", "true", "--name", "a", "true"], 2, "another of that name"),
        (&["--name", "a", "'true"], 2, "a quote has no end"),
        (&["--name", "a", ""], 2, "there is no command"),
        (&["--prepare", "true", "--prepare", "true", "--", "true"], 2, "--prepare: one for all"),
        (&["-n", "0", "--", "true"], 2, "0 is not in"),
        (&[], 2, "CMD"),
    ] {
        let output = stat(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
    let output = stat(&["-n", "4", "-i", "--json", "--", "sh", "-c", "exit 3"]);
    assert_eq!(json(&output)["commands"][0]["failed"], 4);
    // Never ready within its window, and yet ended.
    let output = stat(&[
        "-n",
        "1",
        "--kill-when-ready",
        "--ready",
        "listen",
        "--window",
        "200ms",
        "--json",
        "--",
        "sleep",
        "77.7",
    ]);
    let stat = json(&output);
    assert_eq!(stat["commands"][0]["unfinished"], 1);
    assert!(stat["commands"][0]["time"].is_null());
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 run not ready within --window"));
    assert_eq!(servers("77.7"), 0);
}

#[test]
fn an_interrupt_keeps_the_runs_until_then() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let marks = dir.path().join("marks");
    let text = format!("echo x >> {}; sleep 0.1", marks.display());
    let child = Command::new(startrace())
        .args(["stat", "-n", "500", "--json", "--", "sh", "-c", &text])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = std::time::Instant::now();
    while lines(&marks) < 4 {
        assert!(begin.elapsed().as_secs() < 60, "no runs");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 15), "{output:?}");
    let stat: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = stat["commands"][0]["runs"].as_u64().unwrap();
    assert!((3..100).contains(&runs), "{runs}");
    // Nothing goes on without us.
    let then = lines(&marks);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(lines(&marks), then);
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// The commands are the caller's, and so is the process that reads what strangers' processes tell.
#[test]
fn nobody_but_the_launcher_stays_root() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let alice = 54341;
    nix::unistd::chown(dir.path(), Some(alice.into()), Some(alice.into())).unwrap();
    let out = dir.path().join("out");
    // Effective user, effective capabilities and no_new_privs: of the command, its parent and its parent's.
    let text = format!(
        "t=$(awk '/^PPid/{{print $2}}' /proc/$PPID/status)
         awk '/^(Uid|CapEff|NoNewPrivs)/{{print $2}}' /proc/self/status /proc/$PPID/status /proc/$t/status > {}",
        out.display()
    );
    let output = Command::new(startrace())
        .args(["stat", "-n", "1", "--json", "--", "sh", "-c", &text])
        .env("SUDO_UID", alice.to_string())
        .env("SUDO_GID", alice.to_string())
        .env("SUDO_USER", "alice")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    json(&output);
    let told = std::fs::read_to_string(&out).unwrap();
    let told: Vec<&str> = told.split_whitespace().collect();
    let [command, command_caps, free, launcher, launcher_caps, _, tracer, tracer_caps, bound] = told[..]
    else {
        panic!("{told:?}")
    };
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    assert_eq!((command, number(command_caps), free), ("54341", 0, "0"));
    assert_eq!(launcher, "0");
    assert!(number(launcher_caps) > 0);
    let kept = startrace::host::privilege::KEPT.iter().fold(0, |set, capability| set | capability.bit());
    assert_eq!((tracer, bound), ("54341", "1"));
    assert_eq!(number(tracer_caps) & !kept, 0, "{tracer_caps}");
}
