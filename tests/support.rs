//! The checks that every trace has to pass, on traces made by hand: they find what they look for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::check::{join_lines, timelines};
use serde_json::{Value, json};

fn start(id: &str, parent: Option<&str>) -> Value {
    json!({
        "start_id": format!("{id}/0"), "id": id, "seq": 0, "execs": [{"at_ns": 4}],
        "parent": parent.map(|p| json!({"start_id": format!("{p}/0")})),
        "timeline": {
            "duration_ns": 10, "ready": {"at_ns": 10},
            "phases": [
                {"name": "fork", "at_ns": 0, "duration_ns": 3, "exec": null},
                {"name": "exec", "at_ns": 3, "duration_ns": 2, "exec": 0},
                {"name": "app", "at_ns": 5, "duration_ns": 5, "exec": 0}],
            "phase_ns": {"app": 5, "exec": 2, "fork": 3},
            "states": {"creating_ns": 3, "running_ns": 4, "runnable_ns": 1, "exited_ns": 0, "unknown_ns": 0,
                       "blocked": {"disk": 2}},
            "waits": [],
            "critical_path": [
                {"at_ns": 0, "duration_ns": 3, "start_id": format!("{id}/0"), "tid": 1, "state": "creating"},
                {"at_ns": 3, "duration_ns": 7, "start_id": format!("{id}/0"), "tid": 1, "state": "running"}],
            "path_ns": {"creating": 3, "running": 7}},
    })
}

fn trace(starts: Vec<Value>) -> Value {
    json!({"session": {"starts": starts.len()}, "starts": starts})
}

#[test]
fn a_sound_trace_passes() {
    timelines(&trace(vec![start("1@1", Some("0@0")), start("2@2", Some("1@1"))])).unwrap();
}

#[test]
fn what_is_wrong_is_found() {
    let cases: [(&str, Value, &str); 12] = [
        ("/timeline/states/running_ns", json!(5), "states add up to 11"),
        ("/timeline/states/blocked/disk", json!(1), "states add up to 9"),
        ("/timeline/critical_path/1/duration_ns", json!(6), "path adds up to 9"),
        ("/timeline/critical_path/1/at_ns", json!(4), "after 3"),
        ("/timeline/path_ns/running", json!(8), "path_ns"),
        ("/timeline/duration_ns", json!(11), "ready at 10"),
        ("/timeline/phases/1/at_ns", json!(4), "begins at 4"),
        ("/timeline/phases/2/duration_ns", json!(6), "add up to 11"),
        ("/timeline/phase_ns/fork", json!(4), "phase_ns is"),
        ("/timeline/phases/1/exec", json!(1), "exec 1"),
        ("/start_id", json!("1@1/7"), "id and seq"),
        ("/execs/0/at_ns", json!(null), "not a number"),
    ];
    for (place, value, expected) in cases {
        let mut broken = start("1@1", None);
        *broken.pointer_mut(place).unwrap() = value;
        let why = timelines(&trace(vec![broken])).unwrap_err();
        assert!(why.contains(expected), "{place}: {why}");
    }
    let twice = trace(vec![start("1@1", None), start("1@1", None)]);
    assert!(timelines(&twice).unwrap_err().contains("start ids"));
    let upside_down = trace(vec![start("2@2", Some("1@1")), start("1@1", None)]);
    assert!(timelines(&upside_down).unwrap_err().contains("before its parent"));
    let mut miscounted = trace(vec![start("1@1", None)]);
    miscounted["session"]["starts"] = json!(2);
    assert!(timelines(&miscounted).unwrap_err().contains("session.starts"));
}

#[test]
fn lines_join_into_the_document() {
    let line = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        format!("{value}\n")
    };
    let mut text = line("header", json!({"schema": "startrace/1"}));
    text += &line("start", start("2@2", Some("1@1")));
    text += &line("start", start("1@1", None));
    text += &line("exit", json!({"start_id": "2@2/0", "exit": {"code": 3}}));
    assert!(join_lines(text.as_bytes()).unwrap_err().contains("footer"));
    text += &line("footer", json!({"groups": [], "session": {"starts": 2}}));
    let document = join_lines(text.as_bytes()).unwrap();
    timelines(&document).unwrap();
    assert_eq!(document["starts"][1]["exit"]["code"], 3);
    assert_eq!(document["schema"], "startrace/1");
    text.push_str("{\"type\":\"exit\",\"start_id\":\"9@9/0\",\"exit\":null}\n");
    assert!(join_lines(text.as_bytes()).unwrap_err().contains("no start"));
}
