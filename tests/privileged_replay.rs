//! The stream that a recording keeps makes the very trace that the recording wrote.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::Run;
use common::{Batch, Recorded, starts};
use serde_json::{Value, json};
use startrace::timeline::replay::replay;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

fn by_id(starts: &[Value]) -> BTreeMap<&str, &Value> {
    starts.iter().map(|start| (start["start_id"].as_str().unwrap(), start)).collect()
}

fn check(recorded: &Recorded, events: &Path) {
    let replayed = replay(BufReader::new(File::open(events).unwrap())).unwrap();
    assert_eq!((replayed.missed, replayed.unasked), (Default::default(), 0));
    let replayed = serde_json::to_value(&replayed).unwrap();
    let (made, wrote) = (by_id(starts(&replayed)), by_id(recorded.starts()));
    assert_eq!(made.keys().collect::<Vec<_>>(), wrote.keys().collect::<Vec<_>>());
    for (id, start) in made {
        assert_eq!(*start, common::without_findings(wrote[id]), "{id}");
    }
    for list in ["groups", "failed_forks"] {
        assert_eq!(replayed[list], recorded.trace[list], "{list}");
    }
}

#[test]
fn a_replay_makes_the_same_trace() {
    common::require_root();
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let option = ["--events", events.to_str().unwrap()];
    let runs: &[Run<'_>] = &[
        ("posix_spawn", &[]),
        ("prefork", &["3", "150"]),
        ("daemonize", &["150"]),
        ("exec_from_thread", &[]),
        ("fork_fails", &[]),
        ("jobs.sh", &[]),
    ];
    check(&Batch::record(&option, "", runs), &events);
    // With ticks that end starts.
    let window = [option.as_slice(), &["--window", "100ms"]].concat();
    check(&Batch::record(&window, "", &[("late_exec", &["250"])]), &events);
    let kept = std::fs::read_to_string(&events).unwrap();
    let ticks =
        kept.lines().filter(|line| json!(null) != serde_json::from_str::<Value>(line).unwrap()["tick"]);
    // The shell, the starter and its child: a tick for each window that ended, not one for every 20 ms.
    assert!((1..=4).contains(&ticks.count()), "{kept}");
}
