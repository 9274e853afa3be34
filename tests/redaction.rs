//! Credentials in arguments: traces that were recorded with them, and programs that have none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::secrets::{SECRET, all_output, has_secret, readings};
use startrace::redact::Redactor;
use startrace::timeline::replay::replay;
use startrace::trace::read;
use std::path::Path;
use xtask::streams::{self, Stream};

/// A trace of before there was redaction, with a credential wherever an argument gets to.
fn trace(folder: &Path) -> String {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces/critical-path.json");
    let mut trace: serde_json::Value = serde_json::from_slice(&std::fs::read(sample).unwrap()).unwrap();
    let detail = format!("pid 7 (mysql -p{SECRET} db)");
    for start in trace["starts"].as_array_mut().unwrap() {
        start["argv"] = serde_json::json!(["app", "--password", SECRET, format!("https://u:{SECRET}@h/")]);
        start["method"]["evidence"] =
            serde_json::json!([format!("argv `sh -c TOKEN={SECRET} app`: system()")]);
        for list in ["waits", "critical_path", "milestones"] {
            for one in start["timeline"][list].as_array_mut().unwrap() {
                one["detail"] = detail.as_str().into();
            }
        }
    }
    trace["session"]["target"]["argv"] = serde_json::json!(["sh", "-c", format!("app --token={SECRET}")]);
    let file = folder.join("trace.json");
    std::fs::write(&file, trace.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_trace_that_was_recorded_with_credentials_is_shown_without() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace(folder.path());
    assert!(has_secret(&std::fs::read(&trace).unwrap()));
    let mut kept = 0;
    for line in readings(&trace) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = all_output(&line, folder.path());
        assert!(output.len() > 20 && !has_secret(&output), "{line:?}: {}", String::from_utf8_lossy(&output));
        // And is found where it was asked for: the search works.
        kept += usize::from(has_secret(&all_output(&[&line[..], &["--no-redact"]].concat(), folder.path())));
    }
    assert!(kept >= 10, "only {kept} outputs have arguments at all");
    let scrubbed = all_output(&["scrub", &trace, "-o", "{}"], folder.path());
    assert!(scrubbed.len() > 1000 && !has_secret(&scrubbed));
}

#[test]
fn rules_can_be_shown_given_and_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace(folder.path());
    let rules = all_output(&["record", "--print-redact-rules"], folder.path());
    assert_eq!(String::from_utf8(rules).unwrap(), *startrace::redact::RULES);
    let file = folder.path().join("rules.toml");
    let shown = |rules: &str| {
        std::fs::write(&file, rules).unwrap();
        let file = file.to_str().unwrap();
        String::from_utf8(all_output(
            &["export", &trace, "--to", "csv", "--redact-rules", file],
            folder.path(),
        ))
        .unwrap()
    };
    assert!(shown("").contains("app"));
    let more = shown("patterns = ['app']");
    assert!(more.contains("[redacted]") && !more.contains("\"app\""), "{more}");
    let wrong = shown("Password-of-somebody = 1\n");
    assert!(wrong.contains("--redact-rules") && wrong.contains("line 1"), "{wrong}");
    let missing =
        all_output(&["export", &trace, "--to", "csv", "--redact-rules", "/nonexistent"], folder.path());
    assert!(String::from_utf8(missing).unwrap().contains("/nonexistent"));
}

#[test]
fn real_programs_without_credentials_stay_as_they_are() {
    let rules = Redactor::new(None).unwrap();
    let files = streams::files(Path::new(streams::FOLDER)).unwrap();
    let mut starts = 0;
    for Stream { whose, events } in files.iter().flat_map(|file| streams::read(file).unwrap()) {
        for start in replay(events.as_bytes()).unwrap().starts {
            let mut shown = start.clone();
            rules.start(&mut shown);
            assert_eq!(shown, start, "{}", whose.job);
            starts += 1;
        }
    }
    assert!(starts > 150, "only {starts} starts");
    // And those of the samples, as they are read.
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces");
    for file in std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path()) {
        let usual = Some(std::rc::Rc::new(Redactor::new(None).unwrap()));
        let plain = read::load(&file).unwrap();
        let shown = read::open(&file).unwrap().redacted(usual).load().unwrap();
        assert_eq!(shown.starts, plain.starts, "{}", file.display());
        assert_eq!(shown.session, plain.session, "{}", file.display());
        assert_eq!(shown.diagnosis, plain.diagnosis, "{}", file.display());
    }
}

/// What a start pays: ordinary command lines, in release (`cargo test --release`) under a microsecond.
#[test]
fn an_ordinary_command_line_costs_little() {
    let rules = Redactor::new(None).unwrap();
    let argv = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = [
        "/bin/true",
        "grep -c Cap /proc/self/status",
        "gcc -O2 -g -Wall -Iinclude -c -o build/main.o src/main.c",
        "python3 -m gunicorn app:app --workers 4 --bind 0.0.0.0:8000 --timeout 30",
        "java -Xmx2g -Dspring.profiles.active=prod -cp /opt/app/lib.jar com.example.Main --port 8080",
    ]
    .map(argv)
    .into();
    let began = std::time::Instant::now();
    let rounds = 20_000;
    let mut found = 0;
    for _ in 0..rounds {
        found += lines.iter().filter(|line| rules.argv(std::hint::black_box(line)).is_some()).count();
    }
    let each = began.elapsed() / (rounds * lines.len() as u32);
    println!("{each:?} a command line");
    assert_eq!(found, 0);
    // Ten times what it takes, unoptimised and on a busy machine: only what is quadratic is caught.
    assert!(each < std::time::Duration::from_micros(50), "{each:?}");
}
