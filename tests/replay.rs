//! Recorded event streams of real programs, replayed without root, make the starts that are committed
//! next to them. `STARTRACE_REWRITE=1 cargo test --test replay` writes those anew;
//! `tests/fixtures/events/record.sh` makes the streams.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::{method, phases};
use common::check;
use serde_json::{Value, json};
use startrace::timeline::replay::{Replayed, replay};
use std::fs;
use std::io::BufReader;
use std::path::PathBuf;

/// Name; starts in it, and of how many each pattern is (`-`: none).
type Stream = (&'static str, usize, &'static [(&'static str, usize)]);

const STREAMS: &[Stream] = &[
    ("linking", 2, &[("shell.command", 1), ("wrapper", 1)]),
    ("posix_spawn", 4, &[("-", 4)]),
    ("pipeline", 4, &[("-", 1), ("shell.pipeline", 3)]),
    ("pipeline_bash", 4, &[("-", 1), ("shell.pipeline", 3)]),
    ("daemon", 3, &[("-", 2), ("daemon", 1)]),
    ("exec_from_thread", 2, &[("-", 2)]),
    ("failed_fork", 2, &[("-", 2)]),
    ("late_exec", 3, &[("-", 2), ("reexec", 1)]),
    ("namespace", 3, &[("-", 2), ("namespace", 1)]),
    ("python_deep", 1, &[("-", 1)]),
    ("python_spawn", 4, &[("-", 1), ("multiprocessing.resource_tracker", 1), ("multiprocessing.spawn", 2)]),
    (
        "python_forkserver",
        5,
        &[
            ("-", 1),
            ("multiprocessing.forkserver", 2),
            ("multiprocessing.forkserver.server", 1),
            ("multiprocessing.resource_tracker", 1),
        ],
    ),
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/events")).join(name)
}

fn replayed(name: &str) -> Replayed {
    let file = fs::File::open(path(&format!("{name}.ndjson"))).unwrap();
    replay(BufReader::new(file)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// An object of lists, an element a line, so that differences are easy to find.
fn by_lines(lists: &Value) -> String {
    let lists = lists.as_object().unwrap().iter().map(|(name, list)| {
        let list: Vec<String> = list.as_array().unwrap().iter().map(Value::to_string).collect();
        format!("{}: [\n{}\n]", json!(name), list.join(",\n"))
    });
    format!("{{\n{}\n}}\n", lists.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn streams_make_the_starts_that_are_committed() {
    for (name, ..) in STREAMS {
        let replayed = replayed(name);
        assert_eq!((replayed.missed, replayed.unasked), (Default::default(), 0), "{name}");
        let made = serde_json::to_value(&replayed).unwrap();
        let expected = path(&format!("{name}.expected.json"));
        if std::env::var_os("STARTRACE_REWRITE").is_some() {
            fs::write(&expected, by_lines(&made)).unwrap();
        }
        let text =
            fs::read_to_string(&expected).unwrap_or_else(|why| panic!("{}: {why}", expected.display()));
        let expected: Value = serde_json::from_str(&text).unwrap();
        for list in ["starts", "failed_forks", "groups"] {
            let (made, expected) = (made[list].as_array().unwrap(), expected[list].as_array().unwrap());
            for (n, (made, expected)) in made.iter().zip(expected).enumerate() {
                assert_eq!(made, expected, "{name}: {list}[{n}]; STARTRACE_REWRITE=1 takes it over");
            }
            assert_eq!(made.len(), expected.len(), "{name}: {list}");
        }
    }
}

/// What is committed is right, not only the same as last time.
#[test]
fn streams_make_sound_starts_of_the_right_patterns() {
    for (name, n, patterns) in STREAMS {
        let replayed = replayed(name);
        let mut starts = replayed.starts;
        starts.sort_by_key(|start| start.timeline.origin_boottime_ns);
        let starts = serde_json::to_value(starts).unwrap();
        check::timelines(&json!({"starts": starts, "session": {"starts": n}}))
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        let mut found: Vec<(&str, usize)> = Vec::new();
        let mut names: Vec<&str> = starts.as_array().unwrap().iter().map(|s| method(s)[3]).collect();
        names.sort_unstable();
        for pattern in names {
            match found.last_mut() {
                Some(last) if last.0 == pattern => last.1 += 1,
                _ => found.push((pattern, 1)),
            }
        }
        assert_eq!(found, *patterns, "{name}");
    }
}

#[test]
fn details_that_only_the_whole_stream_tells() {
    let server = replayed("python_forkserver");
    let asked = server.starts.iter().filter(|s| s.method.name == "multiprocessing.forkserver");
    let root = server.starts.iter().find(|s| s.method.pattern.is_none()).unwrap();
    for worker in asked {
        let by = worker.requested_by.as_ref().unwrap();
        assert_eq!(by.id.as_ref(), Some(&root.id), "who asked the server");
        assert_ne!(worker.parent.as_ref().unwrap().id.as_ref(), Some(&root.id), "who forked");
    }
    assert_eq!(server.groups.len(), 1);
    assert_eq!((server.groups[0].n, server.groups[0].parent_id.as_ref()), (2, Some(&root.id)));

    let late = replayed("late_exec");
    let second = late.starts.iter().find(|s| s.seq == 1 && s.argv.as_ref().unwrap()[0] == "true").unwrap();
    let json = serde_json::to_value(second).unwrap();
    assert_eq!(phases(&json), ["exec", "app"]);
    let linking = replayed("linking");
    let image = ["exec", "load", "link", "init", "app"];
    for (start, want) in linking.starts.iter().zip([vec!["exec", "app"], image.repeat(3)]) {
        let json = serde_json::to_value(start).unwrap();
        let from = phases(&json).iter().position(|name| *name == "exec").unwrap();
        assert_eq!(phases(&json)[from..], want);
        let milestones = start.timeline.milestones.iter().filter(|m| m.name == "libc_start");
        assert_eq!(milestones.count(), want.len() / 5);
    }
    let failed = replayed("failed_fork").failed_forks;
    assert_eq!(failed.iter().map(|f| f.error.as_str()).collect::<Vec<_>>(), ["EAGAIN"]);
}

#[test]
fn what_the_deepest_level_tells_comes_out_of_its_events() {
    let replayed = serde_json::to_value(replayed("python_deep")).unwrap();
    let timeline = &replayed["starts"][0]["timeline"];
    let imports = &timeline["imports"];
    let modules = imports["modules"].as_array().unwrap();
    assert_eq!((&imports["provider"], imports["count"].as_u64()), (&json!("usdt"), Some(40)));
    // `-S`: there is no `site` that would tell that the interpreter has started.
    assert!(imports["init_ns"].is_null() && imports["from_beginning"] == true);
    let found: Vec<_> = modules.iter().filter(|m| m["found"] == false).map(|m| &m["module"]).collect();
    assert_eq!(found, ["nothing_like_it"]);
    let own: u64 = modules.iter().map(|m| m["own_ns"].as_u64().unwrap()).sum();
    assert_eq!(Some(own), imports["importing_ns"].as_u64());
    let files = &timeline["files"];
    assert!(files["opened"].as_u64() > Some(20) && files["errors"]["ENOENT"].as_u64() > Some(5), "{files:#}");
    assert!(files["sums"].as_array().unwrap().iter().any(|sums| sums["kind"] == "python_bytecode"));
    assert_eq!(timeline["profile"]["hz"], 499);
    let samples =
        timeline["profile"]["stacks"].as_array().unwrap().iter().map(|s| s["samples"].as_u64().unwrap());
    assert_eq!(Some(samples.sum::<u64>()), timeline["profile"]["samples"].as_u64());
}
