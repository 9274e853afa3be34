//! Credentials in arguments of real programs, searched for in everything that startrace writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::require_root;
use common::secrets::{SECRET, all_output, has_secret, readings};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Starts programs with a credential in every way in which arguments get into a trace: its own, a child's that is
/// waited for, system() (quoted as evidence), a shell's script.
const STARTER: &str = "\
import os, subprocess, sys
subprocess.run(['sh', '-c', 'sleep 0.12; true $1', 'sh', '--token', sys.argv[2]])
os.system('sleep 0.11; DB_PASSWORD=' + sys.argv[2] + ' true')
subprocess.run(['true', 'https://user:' + sys.argv[2] + '@host/'])
";

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(bytes)))
}

fn command(folder: &Path) -> [String; 4] {
    let script = folder.join("starter.py");
    std::fs::write(&script, STARTER).unwrap();
    ["python3", script.to_str().unwrap(), "--password", SECRET].map(str::to_owned)
}

fn run(args: &[&str], cmd: &[String], folder: &Path) -> Vec<u8> {
    let args: Vec<&str> = args.iter().copied().chain(["--"]).chain(cmd.iter().map(String::as_str)).collect();
    all_output(&args, folder)
}

#[test]
fn no_output_of_a_recording_has_the_credential() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cmd = command(folder);
    let (trace, events) = (folder.join("trace.json"), folder.join("events"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (trace, events) = (path(&trace), path(&events));
    for args in [
        vec!["-vv", "record", "-o", &trace, "--events", &events, "--report"],
        vec!["record", "-o", "{}", "--format", "ndjson"],
        vec!["record", "-o", "-"],
        vec!["watch"],
        vec!["watch", "--json"],
        vec!["stat", "-n", "2", "--all"],
        vec!["stat", "-n", "2", "--json", "-o", "{}"],
    ] {
        let output = run(&args, &cmd, folder);
        let text = String::from_utf8_lossy(&output);
        assert!(!has_secret(&output), "{args:?}: {text}");
        assert!(text.contains("[redacted]"), "{args:?}: {text}");
    }
    assert!(!has_secret(&std::fs::read(&events).unwrap()));
    let document = std::fs::read(&trace).unwrap();
    assert!(!has_secret(&document));
    for line in readings(&trace) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = all_output(&line, folder);
        assert!(output.len() > 20 && !has_secret(&output), "{line:?}: {}", String::from_utf8_lossy(&output));
    }

    let document = json(&document);
    // The script, sh's token (and its copy's, if it makes one), system()'s assignment, the URL.
    assert!(document["session"]["redacted"].as_u64().unwrap() >= 4, "{}", document["session"]);
    assert_eq!(document["session"]["target"]["argv"][3], "[redacted]");
    let starts = document["starts"].as_array().unwrap();
    let root = starts.iter().find(|start| start["argv"][2] == "--password").unwrap();
    assert_eq!(root["argv"][3], "[redacted]");
    // python3 may be a shim, which execs another one.
    let program = root["argv"][0].as_str().unwrap();
    let words = [program].into_iter().chain(cmd[1..].iter().map(String::as_str));
    let true_bytes = words.map(|arg| arg.len() as u64 + 1).sum::<u64>();
    assert_eq!(root["argv_bytes"], true_bytes, "{}", root["argv"]);
    // What it waited for is told with the child's arguments, and how system() is known with its own.
    assert!(
        root["timeline"]["waits"].to_string().contains("--token [redacted]"),
        "{}",
        root["timeline"]["waits"]
    );
    let quoted = |start: &&Value| start["method"]["evidence"].to_string().contains("DB_PASSWORD=[redacted]");
    assert!(starts.iter().any(|start| quoted(&start)), "no evidence quotes system()'s command");
}

#[test]
fn a_process_that_ran_before_is_shown_without_its_credential() {
    require_root();
    let script = "while read x; do sleep 0.02; true; done; : --token";
    let mut shell = Command::new("sh")
        .args(["-c", script, "sh", "--password", SECRET])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = shell.id().to_string();
    let recording = common::record_background(&["-p", &pid]);
    use std::io::Write;
    shell.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let recorded = recording.stop_at_its_end();
    assert!(!has_secret(recorded.trace.to_string().as_bytes()), "{}", recorded.trace);
    assert!(!recorded.starts().is_empty());
}

#[test]
fn no_redact_keeps_it_and_reading_does_not_show_it() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cmd = command(folder);
    let trace = folder.join("trace.json");
    let trace = trace.to_str().unwrap();
    assert!(has_secret(&run(&["record", "-o", trace, "--no-redact", "--report"], &cmd, folder)));
    let document = std::fs::read(trace).unwrap();
    assert!(has_secret(&document));
    assert_eq!(json(&document)["session"]["redacted"], Value::Null);
    for line in readings(trace) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = all_output(&line, folder);
        assert!(!has_secret(&output), "{line:?}: {}", String::from_utf8_lossy(&output));
    }
    assert!(has_secret(&run(&["watch", "--no-redact"], &cmd, folder)));
    assert!(has_secret(&run(&["stat", "-n", "2", "--no-redact"], &cmd, folder)));
}
