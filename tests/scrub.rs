//! `startrace scrub`: nothing of the original stays, and everything can still read the copy.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "traces/mod.rs"]
mod traces;

use proptest::prelude::*;
use serde_json::{Value, json};
use startrace::compare::{Digest, MatchedBy, Options, Side, compare};
use startrace::scrub::Pseudonyms;
use startrace::trace::json_schema;
use startrace::trace::read;
use startrace::trace::schema::Start;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use traces::{MS, spec, trace, write};

fn startrace(args: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_startrace")).args(args).output().unwrap()
}

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Every string of a value, with the names of the fields that lead there.
fn strings(value: &Value, path: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        Value::Array(list) => list.iter().for_each(|value| strings(value, path, out)),
        Value::Object(map) => {
            for (name, value) in map {
                // Keys too: names of states and of counters.
                out.push((format!("{path}/"), name.clone()));
                strings(value, &format!("{path}/{name}"), out);
            }
        }
        _ => {}
    }
}

/// Replaces every string that a process or a file could have chosen.
fn poison(value: &mut Value, path: &str, secret: &str, n: &mut usize) {
    // Those are enums of the schema: nothing else can be read.
    const FIXED: [&str; 2] = ["/method/confidence", "/timeline/origin"];
    match value {
        Value::String(text) if !FIXED.contains(&path) => {
            *n += 1;
            *text = secret.to_owned();
        }
        Value::Array(list) => list.iter_mut().for_each(|value| poison(value, path, secret, n)),
        Value::Object(map) => {
            let is_free = [
                "/timeline/phase_ns",
                "/timeline/path_ns",
                "/timeline/states/blocked",
                "/timeline/files/errors",
            ]
            .contains(&path);
            if is_free && !map.is_empty() {
                let ns = map.values().next().cloned().unwrap();
                map.clear();
                map.insert(secret.to_owned(), ns);
                *n += 1;
                return;
            }
            for (name, value) in map {
                poison(value, &format!("{path}/{name}"), secret, n);
            }
        }
        _ => {}
    }
}

/// What a person would call a secret: words of letters, digits and anything else.
fn secret() -> impl Strategy<Value = (String, Vec<String>)> {
    let word = prop_oneof![
        "[a-z]{3}q[a-z]{4,9}",
        "[A-Z][a-z]{2}q[a-z]{3}[A-Z][a-z]{2,5}",
        "[1-9][0-9]{3,15}",
        "[a-f0-9]{4}q[a-f0-9]{12}",
        "q[äöüßéñ☃日本]{2,6}",
    ];
    let between =
        prop_oneof![Just("/"), Just("="), Just(" "), Just(":"), Just("--"), Just("."), Just("@"), Just("\n")];
    prop::collection::vec((word, between), 1..5).prop_map(|pieces| {
        let text = pieces.iter().map(|(word, between)| format!("{word}{between}")).collect();
        (text, pieces.into_iter().map(|(word, _)| word).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_word_stays_wherever_it_stands((secret, words) in secret(), which in 0_usize..8) {
        // The samples have no imports, opened files and profiles.
        let mut value = if which < 6 {
            let file = &samples()[which % samples().len()];
            let Some(start) = read::load(file).unwrap().starts.into_iter().nth(which) else { return Ok(()) };
            serde_json::to_value(&start).unwrap()
        } else {
            full()["starts"][0].clone()
        };
        let mut n = 0;
        poison(&mut value, "", &secret, &mut n);
        prop_assert!(n > 8);
        let start: Start = serde_json::from_value(value).unwrap();
        let copy = serde_json::to_value(Pseudonyms::random().start(start)).unwrap();
        let mut left = Vec::new();
        strings(&copy, "", &mut left);
        for (path, text) in left {
            for word in &words {
                // The first numbers after "pid" are process ids, which stay; ours stand elsewhere.
                prop_assert!(!text.contains(word.as_str()), "{path}: {word:?} in {text:?}");
            }
        }
    }
}

#[test]
fn every_reading_command_takes_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let document =
        jsonschema::validator_for(&serde_json::from_str(&json_schema::document()).unwrap()).unwrap();
    for file in samples() {
        let copy = dir.path().join("copy.json");
        let output = startrace(&["scrub".as_ref(), file.as_os_str(), "-o".as_ref(), copy.as_os_str()]);
        assert!(output.status.success(), "{output:?}");
        let value: Value = serde_json::from_slice(&std::fs::read(&copy).unwrap()).unwrap();
        let errors: Vec<String> = document.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());

        // Times, relations, names of ours: as they were.
        let (before, after) = (read::load(&file).unwrap(), read::load(&copy).unwrap());
        assert_eq!(before.starts.len(), after.starts.len());
        let find = |id: &str| before.starts.iter().find(|start| start.start_id == id).unwrap();
        for start in &after.starts {
            let old = find(&start.start_id);
            assert_eq!(start.method.name, old.method.name);
            assert_eq!(start.timeline.phase_ns, old.timeline.phase_ns);
            assert_eq!(start.timeline.path_ns, old.timeline.path_ns);
            assert_eq!(start.timeline.ready.kind, old.timeline.ready.kind);
            assert_eq!(start.argv.as_ref().map(Vec::len), old.argv.as_ref().map(Vec::len));
            assert_eq!(
                start.parent.as_ref().map(|parent| (&parent.start_id, parent.pid)),
                old.parent.as_ref().map(|parent| (&parent.start_id, parent.pid))
            );
        }
        let other = dir.path().join("other.ndjson");
        for args in [
            vec!["report".as_ref(), copy.as_os_str()],
            vec!["diff".as_ref(), copy.as_os_str(), copy.as_os_str()],
            vec!["export".as_ref(), copy.as_os_str(), "--to".as_ref(), "chrome".as_ref()],
            vec!["scrub".as_ref(), copy.as_os_str(), "-o".as_ref(), other.as_os_str()],
        ] {
            let output = startrace(&args);
            assert!(output.status.success(), "{args:?}: {output:?}");
        }
        std::fs::remove_file(&other).unwrap();
    }
}

/// Where an original has something and its copy has nothing, or the other way round.
fn uneven(old: &Value, new: &Value, path: &str, out: &mut Vec<String>) {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).for_each(|(old, new)| uneven(old, new, path, out));
        }
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().chain(new.keys()) {
                // Keys are names of others' choosing nowhere, so those of maps are the same too.
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                uneven(&of(old), &of(new), &format!("{path}/{name}"), out);
            }
        }
        (Value::Array(_), _) | (Value::Object(_), _) => out.push(path.to_owned()),
        (old, new) if old.is_null() != new.is_null() => out.push(path.to_owned()),
        _ => {}
    }
}

/// A start with everything that the samples lack.
fn full() -> Value {
    let mut trace = trace(&[spec(1, None, "python3 /srv/acme/serve.py", 900 * MS)]);
    let timeline = &mut trace["starts"][0]["timeline"];
    timeline["imports"] = json!({
        "language": "cpython", "provider": "usdt", "from_beginning": true, "init_ns": 20 * MS,
        "importing_ns": 700 * MS, "code_ns": 100 * MS, "count": 3, "left_out": 1, "left_out_own_ns": 5,
        "modules": [
            {"module": "site", "at_ns": 10 * MS, "duration_ns": 80 * MS, "own_ns": 80 * MS, "depth": 0,
             "importer": null, "tid": 1, "found": true},
            {"module": "acmeware.json", "at_ns": 100 * MS, "duration_ns": 700 * MS, "own_ns": 700 * MS,
             "depth": 0, "importer": null, "tid": 1, "found": true},
            {"module": null, "at_ns": 850 * MS, "duration_ns": 1, "own_ns": 1, "depth": 1, "importer": 1,
             "tid": 1, "found": null}
        ]
    });
    timeline["files"] = json!({
        "opened": 2, "open_failed": 3, "found": 4, "missed": 5, "spent_ns": 6,
        "sums": [{"phase": "app", "exec": 0, "kind": "python_bytecode", "opened": 1, "open_failed": 2,
                  "found": 3, "missed": 4, "bytes": 5, "spent_ns": 6}],
        "errors": {"ENOENT": 3, "unknown": 1},
        "misses": [{"folder": "/srv/acme/lib", "n": 3, "libraries": 1, "spent_ns": 4}],
        "misses_left_out": 1,
        "files": [{"at_ns": 1, "duration_ns": 2, "path": "/srv/acme/serve.py", "kind": "shared_library",
                   "bytes": 5, "tid": 1},
                  {"at_ns": 1, "duration_ns": 2, "path": null, "kind": "cds_archive", "bytes": null, "tid": 1}],
        "files_left_out": 7,
        "sourced": [{"at_ns": 1, "duration_ns": 2, "path": "/home/acme/.profile", "exec": 0}]
    });
    timeline["runtime"] = json!({
        "language": "cpython", "stages": [{"name": "loading", "at_ns": 1, "duration_ns": 2}],
        "threads": [{"role": "application", "n": 1, "running_ns": 2, "runnable_ns": 3}]
    });
    timeline["counters"] = json!({
        "user_ns": 1, "system_ns": 2, "minor_faults": 3, "major_faults": 4, "voluntary_switches": 5,
        "involuntary_switches": 6, "read_bytes": 7, "rss_bytes": 8, "threads": 9
    });
    timeline["profile"] = json!({
        "hz": 99, "period_ns": 10_101_010, "samples": 20, "functions_left_out": 1, "stacks_left_out": 2,
        "functions": [
            {"function": "acme_hash", "module": "/srv/acme/lib/libacme.so", "phase": "app", "exec": 0, "own": 9, "all": 9},
            {"function": "acme_driver_poll", "module": "[kernel]", "phase": "app", "exec": 0, "own": 5, "all": 5},
            {"function": null, "module": null, "phase": "app", "exec": 0, "own": 1, "all": 1}
        ],
        "stacks": [{"phase": "app", "exec": 0, "samples": 3,
                    "frames": ["?", "[libacme.so]", "acme_hash", "[kernel]"]}]
    });
    trace
}

#[test]
fn no_part_of_a_trace_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let everything = write(dir.path(), "full.json", &full());
    for file in samples().into_iter().chain([everything]) {
        let copy = dir.path().join("copy.json");
        let output = startrace(&["scrub".as_ref(), file.as_os_str(), "-o".as_ref(), copy.as_os_str()]);
        assert!(output.status.success(), "{output:?}");
        let (before, after) = (read::load(&file).unwrap(), read::load(&copy).unwrap());
        let mut lost = Vec::new();
        assert_eq!(before.starts.len(), after.starts.len());
        for new in &after.starts {
            let old = before.starts.iter().find(|old| old.start_id == new.start_id).unwrap();
            let [mut old, mut new] = [old, new].map(|start| serde_json::to_value(start).unwrap());
            for start in [&mut old, &mut new] {
                // Found anew; and the only thing that is left out, as the help says.
                start["findings"].take();
                start["env"].take();
            }
            uneven(&old, &new, "", &mut lost);
        }
        // A recording that was cut off has none, and the copy says so in one.
        if before.session.is_some() {
            let [old, new] = [&before, &after].map(|trace| serde_json::to_value(&trace.session).unwrap());
            uneven(&old, &new, "/session", &mut lost);
        }
        assert!(lost.is_empty(), "{}: {lost:?}", file.display());
    }
}

#[test]
fn what_is_found_in_a_copy_is_what_is_found_in_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    // Copied twice: the first copy's names are already pseudonyms.
    let file = write(dir.path(), "full.json", &full());
    let mut found = Vec::new();
    for name in [None, Some("copy.json"), Some("again.json")] {
        let report = match name {
            None => startrace(&["report".as_ref(), "--json".as_ref(), file.as_os_str()]),
            Some(name) => {
                let copy = dir.path().join(name);
                let output =
                    startrace(&["scrub".as_ref(), file.as_os_str(), "-o".as_ref(), copy.as_os_str()]);
                assert!(output.status.success(), "{output:?}");
                let text = std::fs::read_to_string(&copy).unwrap();
                assert!(!text.contains("acme"), "{text}");
                startrace(&["report".as_ref(), "--json".as_ref(), copy.as_os_str()])
            }
        };
        let value: Value = serde_json::from_slice(&report.stdout).unwrap();
        let mut kinds: Vec<String> = value["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["id"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        found.push(kinds);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
    assert!(found[0].iter().any(|kind| kind == "python-site"), "{found:?}");
}

#[test]
fn copies_with_one_seed_can_be_compared() {
    let mut digest = Digest::new(Vec::new());
    let dir = tempfile::tempdir().unwrap();
    for (side, ms) in [(Side::BASE, 10), (Side::NEW, 20)] {
        let root = spec(1, None, "acme --config /srv/acme/conf.toml", ms * MS);
        let file = write(dir.path(), "trace.json", &trace(&[root, spec(2, Some(1), "jqx -n", MS * 5)]));
        let copy = dir.path().join(format!("{}.ndjson", side.0));
        let words = ["scrub".as_ref(), file.as_os_str(), "-o".as_ref(), copy.as_os_str()];
        let output = startrace(&[&words[..], &["--seed".as_ref(), "s".as_ref()]].concat());
        assert!(output.status.success(), "{output:?}");
        let text = std::fs::read_to_string(&copy).unwrap();
        assert!(!text.contains("acme") && !text.contains("jqx"), "{text}");
        digest.add(read::open(&copy).unwrap(), side).unwrap();
    }
    let found = compare(&digest, Side::BASE, Side::NEW, &Options::default());
    assert_eq!(found.pairs.len(), 2);
    assert!(found.pairs.iter().all(|pair| pair.matched_by == MatchedBy::Everything));
}

#[test]
fn what_cannot_be_scrubbed_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "trace.json", &trace(&[spec(1, None, "app", MS * 5)]));
    let before = std::fs::read(&file).unwrap();
    let output = startrace(&["scrub".as_ref(), file.as_os_str(), "-o".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("that is the trace itself"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let output = startrace(&["scrub".as_ref(), "nowhere.json".as_ref(), "-o".as_ref(), "x.json".as_ref()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!Path::new("x.json").exists());
    // A spool that was cut off: what is there, and that it is not all.
    let spool = samples().into_iter().find(|path| path.to_string_lossy().ends_with(".spool")).unwrap();
    let copy = dir.path().join("copy.json");
    let output = startrace(&["scrub".as_ref(), spool.as_os_str(), "-o".as_ref(), copy.as_os_str()]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("cut off"));
    assert!(!read::load(&copy).unwrap().is_complete());
    let output = startrace(&["scrub".as_ref(), spool.as_os_str(), "-o".as_ref(), "-".as_ref()]);
    assert!(output.stdout.starts_with(b"{"));
}
