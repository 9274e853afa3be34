//! Real event streams from which any events were lost, as a full ring loses them: in order, but not all. What is made
//! of the rest is a valid trace that adds up, and says of what it saw no beginning.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{check, check_schema};
use proptest::prelude::*;
use serde_json::{Value, json};
use startrace::timeline::replay::replay;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

fn fixtures(folder: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter()
}

/// Lines of each stream.
static STREAMS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    fixtures("events")
        .filter(|file| file.extension().is_some_and(|end| end == "ndjson"))
        .map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect())
        .collect()
});

/// A trace without starts, for what is around them.
static EMPTY: LazyLock<Value> = LazyLock::new(|| {
    let file = fixtures("traces").find(|file| file.ends_with("empty.json")).unwrap();
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
});

fn is_event(line: &str) -> bool {
    line.starts_with("{\"event\"")
}

/// The process of an event that creates one, as `pid@birth`.
fn created(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).unwrap();
    let event = &event["event"];
    event["what"]["fork"].is_object().then(|| format!("{}@{}", event["id"]["pid"], event["id"]["birth_ns"]))
}

/// Replays a stream without the events that `lost` names by their number.
fn check_without(lines: &[String], lost: &dyn Fn(usize) -> bool) {
    let (mut text, mut unborn, mut n) = (String::new(), HashSet::new(), 0);
    for line in lines {
        if is_event(line) {
            n += 1;
            if lost(n - 1) {
                unborn.extend(created(line));
                continue;
            }
        }
        text.push_str(line);
        text.push('\n');
    }
    let replayed = replay(text.as_bytes()).unwrap();
    let mut trace = EMPTY.clone();
    let made = serde_json::to_value(&replayed).unwrap();
    for start in made["starts"].as_array().unwrap() {
        // By itself: which parents are there, and in which order, is the document's to make.
        let checked = check::timelines(&json!({"starts": [start], "session": {"starts": 1}}));
        assert!(checked.is_ok(), "{checked:?}\n{start:#}");
        if start["seq"] == 0 && unborn.contains(start["id"].as_str().unwrap()) {
            assert_eq!(start["partial"], true, "{start:#}");
            assert!(start["method"]["primitive"].is_null(), "{start:#}");
        }
    }
    for (list, value) in made.as_object().unwrap() {
        trace[list] = value.clone();
    }
    check_schema(&trace);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_loss_of_real_events_leaves_a_valid_trace(
        stream in 0..STREAMS.len(),
        lost in prop::collection::hash_set(0usize..250, 1..40),
    ) {
        check_without(&STREAMS[stream], &|n| lost.contains(&n));
    }

    /// As a ring loses them that was full for a while.
    #[test]
    fn a_gap_in_real_events_leaves_a_valid_trace(
        stream in 0..STREAMS.len(),
        gap in (0usize..250, 1usize..120),
    ) {
        check_without(&STREAMS[stream], &|n| (gap.0..gap.0 + gap.1).contains(&n));
    }
}

/// Each single event of each stream.
#[test]
fn every_event_can_be_missed() {
    assert!(STREAMS.len() > 8);
    for lines in STREAMS.iter() {
        let count = lines.iter().filter(|line| is_event(line)).count();
        assert!(count > 3);
        for missed in 0..count.min(150) {
            check_without(lines, &|n| n == missed);
        }
    }
}
