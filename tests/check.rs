//! `startrace check`: budgets over made traces, without root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "traces/mod.rs"]
mod traces;

use serde_json::{Value, json};
use startrace::compare::budget::{self, Budget, Checked, Result as Outcome};
use startrace::compare::{Digest, Side};
use startrace::report::Style;
use std::process::Command;
use traces::{MS, reader, spec, trace, write};
use unicode_width::UnicodeWidthStr;

fn check(trace: &Value, text: &str) -> Checked {
    let mut digest = Digest::new(Vec::new());
    digest.add(reader(trace), Side::BASE).unwrap();
    budget::check(&digest, &Budget::parse(text).unwrap())
}

/// A command of 100 ms that starts three tools, one of which fails.
fn sample() -> Value {
    let mut root = spec(1, None, "app --port 80", 100 * MS);
    root.path = vec![("creating", MS), ("running", 59 * MS), ("dns", 40 * MS)];
    let mut tools: Vec<_> = (0..3).map(|i| spec(10 + i, Some(1), "tool -x", (10 + i) * MS)).collect();
    tools[1].method = "fork".into();
    tools[2].exit = Some(2);
    trace(&[&[root][..], &tools].concat())
}

fn told(checked: &Checked, width: usize) -> String {
    let mut out = Vec::new();
    budget::text(checked, &Style { width, color: false, unicode: true }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_limit_is_held_against_what_there_is() {
    for (text, result, said) in [
        ("ready = \"100ms\"", Outcome::Ok, "ok    command  ready  100 ms of 100 ms"),
        ("ready = \"80ms\"", Outcome::Over, "OVER  command  ready  100 ms of 80.0 ms (+25 %): app --port 80"),
        ("[phases]\nexec = \"2ms\"", Outcome::Ok, "phases.exec  2.00 ms of 2.00 ms"),
        ("[phases]\napp = \"1ms\"", Outcome::Over, "phases.app  97.0 ms of 1.00 ms"),
        ("[phases]\nlink = \"0ms\"", Outcome::Ok, "phases.link  0 ns of 0 ns"),
        ("[states]\ndns = \"10ms\"", Outcome::Over, "states.dns  40.0 ms of 10.0 ms (+300 %)"),
        ("[states]\ndisk = \"1ms\"", Outcome::Ok, "states.disk  0 ns of 1.00 ms"),
        ("processes = 4", Outcome::Ok, "processes  4 of 4"),
        ("processes = 3", Outcome::Over, "OVER  trace  processes  4 of 3"),
        ("failed = 0", Outcome::Over, "failed  1 of 0: tool -x"),
        ("failed-execs = 0", Outcome::Ok, "failed-execs  0 of 0"),
        ("forbid-methods = [\"fork\"]", Outcome::Over, "method fork  1 of 0: tool -x"),
        ("forbid-methods = [\"fork_*\", \"vfork\"]", Outcome::Ok, "within budget: 2 limits"),
        ("[[exe]]\nmatch = \"to*\"\nready = \"11ms\"", Outcome::Over, "OVER  to*  ready  12.0 ms of 11.0 ms"),
        (
            "statistic = \"median\"\n[[exe]]\nmatch = \"to*\"\nready = \"11ms\"",
            Outcome::Ok,
            "ok    to*  ready  11.0 ms of 11.0 ms: median of 3",
        ),
        ("[[exe]]\nmatch = \"/usr/bin/tool\"\nprocesses = 2", Outcome::Over, "processes  3 of 2"),
        ("[[exe]]\nmatch = \"none\"\nready = \"1s\"", Outcome::Unknown, "the trace has no such start"),
        ("[[exe]]\nmatch = \"none\"\nprocesses = 0", Outcome::Ok, "processes  0 of 0"),
    ] {
        let checked = check(&sample(), text);
        let shown = told(&checked, 200);
        assert_eq!(checked.result, result, "{text}: {shown}");
        assert!(shown.replace('\u{a0}', " ").contains(said), "{text}: {shown}");
    }
}

#[test]
fn findings_can_be_forbidden() {
    let mut found = sample();
    let finding = |id: &str| {
        json!({"id": id, "severity": "warning", "cost_ns": 5, "basis": "measured", "summary": "s",
            "evidence": {}, "advice": "a"})
    };
    found["starts"][1]["findings"] = json!([finding("path-walk")]);
    // What only its siblings tell stands in the trace's own list.
    let several = found["starts"][2]["start_id"].clone();
    let joined = |id: &str, starts: Value| {
        json!({"id": id, "severity": "warning", "saves_ns": 5, "basis": "measured", "starts": starts, "n": 1,
            "overlaps": [], "what": "w", "summary": "s", "evidence": {}, "advice": "a"})
    };
    found["findings"] = json!([joined("serial-spawn", json!([several]))]);
    found["not_examined"] = json!([]);
    for (text, result, said) in [
        ("forbid-findings = [\"path-walk\"]", Outcome::Over, "finding path-walk  1 of 0: tool -x"),
        ("forbid-findings = [\"serial-*\"]", Outcome::Over, "finding serial-*  1 of 0: tool -x"),
        ("forbid-findings = [\"dns-wait\"]", Outcome::Ok, "within budget: 1 limit"),
        ("[[exe]]\nmatch = \"app\"\nforbid-findings = [\"*\"]", Outcome::Ok, "within budget: 1 limit"),
    ] {
        let checked = check(&found, text);
        let shown = told(&checked, 200);
        assert_eq!(checked.result, result, "{text}: {shown}");
        assert!(shown.replace('\u{a0}', " ").contains(said), "{text}: {shown}");
        // The same from lines, which are read another way.
        let lines = traces::lines(&found);
        let mut digest = Digest::new(Vec::new());
        digest.add(traces::read_text(&lines), Side::BASE).unwrap();
        assert_eq!(told(&budget::check(&digest, &Budget::parse(text).unwrap()), 200), shown);
    }
    // Of a trace from before there were findings nothing is known.
    let checked = check(&sample(), "forbid-findings = [\"path-walk\"]");
    assert_eq!(checked.result, Outcome::Unknown);
    assert!(told(&checked, 200).contains("no findings"));
    // One that is cut off has lost them: recording with another version would not help.
    // Those that a start has itself are there, but not those that only stand at the end.
    for trace in [&sample(), &found] {
        let lines = traces::lines(trace);
        let cut = &lines[..lines.trim_end().rfind('\n').unwrap() + 1];
        let mut digest = Digest::new(Vec::new());
        digest.add(traces::read_text(cut), Side::BASE).unwrap();
        let budget = Budget::parse("forbid-findings = [\"serial-spawn\"]\nallow-incomplete = true").unwrap();
        let checked = budget::check(&digest, &budget);
        let shown = told(&checked, 200);
        assert_eq!(checked.result, Outcome::Unknown, "{shown}");
        assert!(shown.contains("cut off") && shown.contains("footer") && !shown.contains("newer"), "{shown}");
    }
}

#[test]
fn what_a_trace_cannot_tell_is_not_within_budget() {
    let mut lost = sample();
    lost["session"]["complete"] = json!(false);
    lost["session"]["lost"] = json!({"events": 7});
    let checked = check(&lost, "ready = \"1s\"\nprocesses = 3");
    // More than allowed is more than allowed, whatever is missing.
    assert_eq!(checked.result, Outcome::Over);
    assert_eq!(check(&lost, "ready = \"1s\"").result, Outcome::Unknown);
    assert!(told(&check(&lost, "ready = \"1s\""), 80).contains("INCOMPLETE (lost: events 7)"));
    assert_eq!(check(&lost, "ready = \"1s\"\nallow-incomplete = true").result, Outcome::Ok);

    let mut endless = sample();
    endless["starts"][0]["timeline"]["ready"]["kind"] = json!("timeout");
    assert_eq!(check(&endless, "ready = \"50ms\"").result, Outcome::Over);
    assert_eq!(check(&endless, "ready = \"1s\"").result, Outcome::Unknown);

    let mut no_paths = sample();
    no_paths["starts"][0]["timeline"]["path_ns"] = json!({});
    assert_eq!(check(&no_paths, "[states]\ndns = \"1ms\"").result, Outcome::Unknown);
    assert_eq!(check(&trace(&[]), "ready = \"1s\"").result, Outcome::Unknown);
}

#[test]
fn the_log_fits_and_holds_no_control_characters() {
    let mut bad = sample();
    let evil = "\x1b[31m\u{202e}|`x`</td>";
    for start in bad["starts"].as_array_mut().unwrap() {
        start["argv"] = json!([evil, evil]);
        start["exe"] = json!(evil);
        start["method"]["name"] = json!("fork");
    }
    let text =
        "ready = \"1ms\"\nforbid-methods = [\"fork\"]\n[[exe]]\nmatch = \"*\\u001b[31m*\"\nprocesses = 0";
    let checked = check(&bad, text);
    for width in [40, 80, 200] {
        for line in told(&checked, width).lines() {
            assert!(line.width() <= width, "{line}");
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
    let mut page = Vec::new();
    budget::markdown(&checked, &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.starts_with("### Start budget: OVER BUDGET") && !page.contains('\x1b'), "{page}");
}

#[test]
fn the_command_says_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let trace = write(dir.path(), "app.json", &sample());
    for (text, code, said) in [
        ("ready = \"1s\"", 0, "within budget: 1 limit\n"),
        ("ready = \"1ms\"", 3, "OVER BUDGET: 1 of 1 limit\n"),
        ("[[exe]]\nmatch = \"none\"\nready = \"1s\"", 4, "cannot be told from this trace"),
        ("redy = \"1s\"", 1, "unknown field `redy`, expected one of `statistic`"),
        ("ready = \"1s\"\n[phases]\nlnk = \"1s\"", 1, "expected one of unobserved, fork"),
        ("", 1, "it limits nothing"),
    ] {
        let budget = dir.path().join("budget.toml");
        std::fs::write(&budget, text).unwrap();
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_startrace"));
            command.arg("check").arg(&trace).arg("--budget").arg(&budget).args(more).output().unwrap()
        };
        let output = run(&[]);
        let all = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}: {all}");
        assert!(all.contains(said), "{text}: {all}");
        if code != 1 {
            let json: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
            assert_eq!(json["schema"], "startrace-check/1");
            assert!(run(&["--markdown"]).stdout.starts_with(b"### Start budget: "));
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_startrace")).arg("check").arg(&trace).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
