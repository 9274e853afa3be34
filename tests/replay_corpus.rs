//! The corpus without root: the event streams that `cargo xtask corpus --record tests/fixtures/corpus` keeps
//! of real programs go through the timeline and the classifier, and what comes out is held against the
//! same table (tests/corpus/corpus.toml).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;
use startrace::timeline::replay::replay;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use xtask::judge::{Grade, judge};
use xtask::streams::{self, Stream};
use xtask::table::{self, Row};

const ANEW: &str = "record anew: cargo xtask corpus --record tests/fixtures/corpus";

fn rows() -> BTreeMap<String, Row> {
    let table = table::read().unwrap();
    table.row.into_iter().map(|row| (format!("{}/{}", row.family, row.name), row)).collect()
}

fn recorded() -> Vec<Stream> {
    let files = streams::files(Path::new(streams::FOLDER)).unwrap();
    files.iter().flat_map(|file| streams::read(file).unwrap()).collect()
}

#[test]
fn recorded_programs_are_named_as_the_table_says() {
    let rows = rows();
    let mut wrong = Vec::new();
    let mut starts = 0;
    for Stream { whose, events } in recorded() {
        let job = &whose.job;
        let row = rows.get(&whose.row).unwrap_or_else(|| panic!("{job} is not in the table; {ANEW}"));
        let replayed = replay(events.as_bytes()).unwrap_or_else(|why| panic!("{job}: {why}"));
        assert_eq!((replayed.missed, replayed.unasked), (Default::default(), 0), "{job}");
        let trace = json!({"starts": replayed.starts});
        let verdicts = judge(row, table::root_of(job), &trace, &whose.told)
            .unwrap_or_else(|why| panic!("{job}: {why}; {ANEW}"));
        assert!(!verdicts.is_empty(), "{job}");
        starts += verdicts.len();
        let missed: Vec<_> = verdicts.iter().filter(|v| v.grade != Grade::Exact).collect();
        wrong.extend(missed.iter().map(|v| format!("{job}: {}", v.why)));
    }
    println!("{starts} starts");
    assert!(starts > 150, "only {starts} starts; {ANEW}");
    assert!(wrong.is_empty(), "{} of {starts}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_quick_row_has_a_stream() {
    let have: BTreeSet<String> = recorded().into_iter().map(|stream| stream.whose.row).collect();
    let lack: Vec<String> = rows()
        .into_iter()
        .filter(|(name, row)| row.quick && row.not_yet.is_none() && !have.contains(name))
        .map(|(name, _)| name)
        .collect();
    assert!(lack.is_empty(), "no stream of {}; {ANEW} --quick", lack.join(", "));
}
