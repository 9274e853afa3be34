//! What fuzzing begins with, and what it once found (`fuzz/seeds`): read on every run, without libFuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, unreachable_pub)]
#[path = "common/check.rs"]
mod check;
#[allow(unreachable_pub)]
#[path = "common/records.rs"]
mod records;

use serde_json::json;
use startrace::event::{What, decode};
use startrace::export::{self, Format, Options as ExportOptions, Source};
use startrace::level::Level;
use std::fs::{self, File};
use std::path::PathBuf;

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{target}");
    files
}

#[test]
fn records_of_the_kernel_side_become_starts_that_add_up() {
    for file in seeds("events") {
        let bytes = fs::read(&file).unwrap();
        let mut decoded = 0;
        for level in [Level::Lifecycle, Level::Timeline, Level::Deep] {
            let (n, starts) = records::starts(&bytes, level);
            decoded += n;
            for start in starts {
                let trace = json!({"starts": [start], "session": {"starts": 1}});
                check::timelines(&trace).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            }
        }
        assert!(decoded > 0, "{}", file.display());
    }
}

/// A record that grew leaves those of an earlier day behind, and what fuzzing begins with would be refused at the door.
#[test]
fn seeds_are_records_of_this_version() {
    // What the fuzzer made of recorded ones, and was read wrongly once: some of it is refused.
    const MADE: [&str; 4] = ["clock_runs_out", "execs-out-of-order", "lengths_that_overflow", "own_parent"];
    for file in seeds("events") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&file).unwrap();
        let mut forks = 0;
        for record in records::records(&bytes) {
            match decode::record(record) {
                Ok(event) => forks += usize::from(matches!(event.what, What::Fork(_))),
                Err(decode::Error::OwnParent { .. }) => forks += 1,
                Err(why) => assert!(MADE.contains(&&*name), "{name}: {why}"),
            }
        }
        assert!(forks > 0, "{name}: no fork");
    }
}

#[test]
fn a_stranger_s_trace_leaves_as_text_that_no_terminal_obeys() {
    for file in seeds("export") {
        let mut source = Source::new("trace".into(), File::open(&file).unwrap());
        let outline = source.outline().unwrap();
        for format in [Format::Csv, Format::Folded] {
            let mut out = Vec::new();
            let mut exporter = format.exporter(&ExportOptions::default());
            export::export(&mut source, &outline, &mut *exporter, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
            assert!(!text.contains(obeyed), "{}: {text:?}", file.display());
        }
    }
}
