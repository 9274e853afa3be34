//! What `startrace report` shows: the sample traces at two widths, and files made to break it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use startrace::report::{Digest, Style, render};
use startrace::trace::{json_schema, read};
use std::fs;
use std::path::{Path, PathBuf};
use unicode_width::UnicodeWidthStr;

const PLAIN: Style = Style { width: 80, color: false, unicode: true };

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn samples() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder("fixtures/traces")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    files
}

fn show(reader: read::Reader, all: bool, style: &Style) -> String {
    text_of(&Digest::read(reader).unwrap(), all, style)
}

fn text_of(digest: &Digest, all: bool, style: &Style) -> String {
    let mut out = Vec::new();
    render(digest, all, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn show_value(trace: &Value, all: bool, style: &Style) -> String {
    let bytes = std::io::Cursor::new(trace.to_string().into_bytes());
    let reader = read::Reader::new("test".into(), Box::new(bytes)).unwrap();
    show(reader, all, style)
}

/// Every line within the width, and nothing that a terminal would obey.
fn check(text: &str, style: &Style) {
    for line in text.lines() {
        assert!(line.width() <= style.width, "{} columns: {line}", line.width());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(style.unicode || line.is_ascii(), "{line}");
    }
}

#[test]
fn samples_look_as_they_should() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    for file in samples() {
        for width in [80, 120] {
            let style = Style { width, ..PLAIN };
            let text = show(read::open(&file).unwrap(), false, &style);
            check(&text, &style);
            let name = file.file_name().unwrap().to_str().unwrap();
            let snapshot = folder("snapshots").join(format!("{name}.{width}.txt"));
            if update {
                fs::write(&snapshot, &text).unwrap();
            }
            let wanted = fs::read_to_string(&snapshot).unwrap();
            assert_eq!(
                text,
                wanted,
                "{} differs; if it is meant to: UPDATE_SNAPSHOTS=1 cargo test --test report",
                snapshot.display()
            );
        }
    }
}

#[test]
fn what_a_file_says_is_not_found_anew_unless_it_is_cut_off() {
    let sample = fs::read(folder("fixtures/traces/python-spawn-pool.json")).unwrap();
    let trace: Value = serde_json::from_slice(&sample).unwrap();
    let lines = |footer: &str| {
        let mut header = serde_json::Map::new();
        header.insert("type".into(), "header".into());
        for key in ["schema", "tool", "host"] {
            header.insert(key.into(), trace[key].clone());
        }
        let starts = trace["starts"].as_array().unwrap().iter().map(|start| {
            let mut line = json!({"type": "start"});
            line.as_object_mut().unwrap().extend(start.as_object().unwrap().clone());
            line.to_string()
        });
        let mut lines = vec![Value::Object(header).to_string()];
        lines.extend(starts);
        lines.push(footer.to_owned());
        lines.join("\n")
    };
    let own = json!({"id": "own-words", "severity": "warning", "saves_ns": 7, "basis": "measured", "n": 1,
        "starts": [trace["starts"][0]["start_id"]], "summary": "this is what the file says", "advice": "x"});
    let footer = json!({"type": "footer", "groups": [], "findings": [own], "not_examined": [],
        "session": trace["session"]})
    .to_string();
    let folder = tempfile::tempdir().unwrap();
    let of_file = |text: &str| {
        let file = folder.path().join("t.ndjson");
        fs::write(&file, text).unwrap();
        show(read::open(&file).unwrap(), true, &PLAIN)
    };
    let of_stream = |text: &str| {
        let bytes = std::io::Cursor::new(text.as_bytes().to_vec());
        show(read::Reader::new("t".into(), Box::new(bytes)).unwrap(), true, &PLAIN)
    };
    let whole = lines(&footer);
    assert!(of_file(&whole).contains("this is what the file says"));
    assert_eq!(of_file(&whole), of_stream(&whole));
    // The list is there, its line has no end.
    let cut = &whole[..whole.len() - 20];
    let text = of_file(cut);
    assert!(!text.contains("this is what the file says") && text.contains("spawn-reimport"), "{text}");
    assert_eq!(text, of_stream(cut));
}

#[test]
fn every_width_and_character_set_holds() {
    for file in samples() {
        let digest = Digest::read(read::open(&file).unwrap()).unwrap();
        for width in (40..=400).step_by(9) {
            for unicode in [true, false] {
                for all in [true, false] {
                    let style = Style { width, color: false, unicode };
                    check(&text_of(&digest, all, &style), &style);
                }
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for file in samples() {
        let coloured = Style { color: true, ..PLAIN };
        let text = show(read::open(&file).unwrap(), false, &coloured);
        let mut bare = String::new();
        let mut rest = &*text;
        while let Some((before, after)) = rest.split_once('\x1b') {
            bare.push_str(before);
            let (code, after) = after.split_once('m').unwrap();
            let number = code.strip_prefix('[').unwrap();
            assert!(number.chars().all(|c| c.is_ascii_digit()), "{code:?}");
            rest = after;
        }
        bare.push_str(rest);
        let lines = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&bare), lines(&show(read::open(&file).unwrap(), false, &PLAIN)));
    }
}

#[test]
fn samples_obey_the_schema_and_add_up() {
    let document =
        jsonschema::validator_for(&serde_json::from_str(&json_schema::document()).unwrap()).unwrap();
    let line = jsonschema::validator_for(&serde_json::from_str(&json_schema::line()).unwrap()).unwrap();
    for file in samples() {
        let text = fs::read_to_string(&file).unwrap();
        if file.extension().is_some_and(|e| e == "json") {
            let value: Value = serde_json::from_str(&text).unwrap();
            let errors: Vec<String> = document.iter_errors(&value).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
        } else {
            let whole = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
            assert!(whole.map(|v| assert!(line.is_valid(&v), "{v}")).count() > 3);
        }
        for start in read::load(&file).unwrap().starts {
            let timeline = start.timeline;
            let mut at = 0;
            for phase in &timeline.phases {
                assert_eq!(phase.at_ns, at, "{}", start.start_id);
                at += phase.duration_ns;
            }
            assert_eq!(at, timeline.duration_ns, "{}", start.start_id);
            assert_eq!(timeline.phase_ns.values().sum::<u64>(), at);
            assert_eq!(timeline.ready.at_ns, at);
        }
    }
}

#[test]
fn the_schema_refuses_what_is_no_trace() {
    let document =
        jsonschema::validator_for(&serde_json::from_str(&json_schema::document()).unwrap()).unwrap();
    let line = jsonschema::validator_for(&serde_json::from_str(&json_schema::line()).unwrap()).unwrap();
    let good = trace(vec![start(1, 0)]);
    assert!(document.is_valid(&good));
    // Fields may be added under one version.
    let mut more = good.clone();
    more["starts"][0]["novelty"] = json!({"a": [1]});
    assert!(document.is_valid(&more));
    for (path, bad) in [
        ("/schema", json!("startrace/2")),
        ("/starts", json!({})),
        ("/starts/0/pid", json!(-1)),
        ("/starts/0/pid", json!("1")),
        ("/starts/0/timeline/duration_ns", json!(1.5)),
        ("/starts/0/timeline/origin", json!("nowhere")),
        ("/starts/0/method/confidence", json!("sure")),
        ("/starts/0/argv", json!("ls")),
        ("/session/complete", json!(null)),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = bad;
        assert!(!document.is_valid(&changed), "{path}");
    }
    for field in ["schema", "tool", "host", "starts", "session"] {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(field);
        assert!(!document.is_valid(&changed), "without {field}");
    }
    let mut of_line = start(1, 0);
    assert!(!line.is_valid(&of_line));
    of_line["type"] = json!("start");
    assert!(line.is_valid(&of_line));
    of_line["type"] = json!("begin");
    assert!(!line.is_valid(&of_line));
}

fn start(pid: u32, parent: u32) -> Value {
    json!({
        "start_id": format!("{pid}@1/0"), "id": format!("{pid}@1"), "seq": 0, "partial": false, "pid": pid,
        "ns_pid": pid, "comm": "x",
        "parent": {"start_id": format!("{parent}@1/0"), "id": format!("{parent}@1"), "pid": parent, "comm": "p"},
        "method": {"name": "fork", "primitive": "fork", "mechanism": "fork", "library": null, "pattern": null,
                   "confidence": "certain", "evidence": [], "clone_flags": [], "exit_signal": null},
        "exe": format!("/bin/x{pid}"), "argv": ["x"], "argv_bytes": 2, "argv_truncated": false, "execs": [],
        "binary": null,
        "timeline": {"started_at": "2025-01-01T00:00:00Z", "origin_boottime_ns": u64::from(pid) * 1000,
            "origin": "entry", "duration_ns": 1000, "ready": {"kind": "exit", "at_ns": 1000, "inferred": false},
            "phases": [{"name": "fork", "at_ns": 0, "duration_ns": 400, "exec": null},
                       {"name": "app", "at_ns": 400, "duration_ns": 600, "exec": null}],
            "phase_ns": {"fork": 400, "app": 600}, "milestones": []},
        "exit": {"code": 0, "signal": null, "core": false, "killed_by": null, "at_ns": 1000}
    })
}

fn trace(starts: Vec<Value>) -> Value {
    json!({
        "schema": "startrace/1", "tool": {"name": "startrace", "version": "0"},
        "host": {"hostname": "h", "kernel": "6", "arch": "x", "cpus": 1},
        "starts": starts, "groups": [],
        "session": {"mode": "system", "target": {}, "level": "lifecycle", "env_source": null,
            "started_at": "2025-01-01T00:00:00Z", "duration_ns": 5000, "ended_by": "signal", "complete": true,
            "lost": {}, "hooks": [], "starts": 0}
    })
}

/// Lines of the tree: from its heading to the blank line.
fn tree(text: &str) -> Vec<&str> {
    let lines = text.lines().skip_while(|line| !line.starts_with("START"));
    lines.skip(1).take_while(|line| !line.is_empty() && !line.starts_with("phases:")).collect()
}

#[test]
fn hostile_strings_stay_harmless() {
    let evil = "\x1b]0;owned\x07\x1b[2J\u{202e}\u{200b}\n\r\t\u{9b}31m\u{301}\u{ef9b}";
    let mut s = start(7, 1);
    for path in ["/comm", "/exe", "/method/name", "/parent/comm", "/timeline/ready/kind", "/start_id"] {
        *s.pointer_mut(path).unwrap() = json!(evil);
    }
    s["argv"] = json!([evil, "", "x".repeat(100_000), evil]);
    s["exit"] = json!({"code": null, "signal": evil, "core": true, "killed_by": null, "at_ns": 5});
    s["timeline"]["phases"][0]["name"] = json!(evil);
    let mut no_argv = start(8, 7);
    no_argv["argv"] = json!([]);
    let mut forked = start(9, 7);
    (forked["argv"], forked["comm"]) = (json!(null), json!("a\nb"));
    let mut t = trace(vec![s, no_argv, forked]);
    t["host"]["hostname"] = json!(evil);
    t["session"]["lost"] = json!({evil: 3, "y".repeat(100_000): u64::MAX});
    t["session"]["ended_by"] = json!(evil);
    t["session"]["complete"] = json!(false);
    t["groups"] = json!([{"parent": evil, "parent_id": evil, "method": evil, "n": u64::MAX,
        "makespan_ns": u64::MAX, "parallelism": 1e308, "p50_ns": u64::MAX, "max_ns": u64::MAX}]);
    t["failed_forks"] = json!([{"boottime_ns": u64::MAX, "duration_ns": null, "primitive": evil, "error": evil,
        "by": {"start_id": evil, "id": evil, "pid": 1, "comm": evil}}]);
    for target in [
        json!({"argv": [evil, evil]}),
        json!({"selectors": [evil]}),
        json!({"pids": vec![4_000_000_000u32; 1000]}),
    ] {
        for mode in ["system", "pid", "command", evil] {
            (t["session"]["target"], t["session"]["mode"]) = (target.clone(), json!(mode));
            for unicode in [true, false] {
                for width in [40, 80, 400] {
                    let style = Style { width, color: false, unicode };
                    let text = show_value(&t, true, &style);
                    check(&text, &style);
                    assert!(text.contains("a\\nb"));
                }
            }
        }
    }
}

#[test]
fn failed_forks_are_told_once_for_each_process_and_error() {
    let failed = |pid: u32, comm: Value, error: &str| {
        json!({"boottime_ns": 1, "duration_ns": 2, "primitive": "clone", "error": error,
            "by": {"start_id": null, "id": null, "pid": pid, "comm": comm}})
    };
    let mut t = trace(vec![start(7, 1)]);
    let shown = |t: &Value| show_value(t, false, &PLAIN).replace("\n  ", " ");
    assert!(!shown(&t).contains("failed"));
    t["failed_forks"] = json!([failed(4242, json!("make"), "EAGAIN"), failed(4242, json!("make"), "EAGAIN")]);
    assert!(shown(&t).contains("\n2 forks failed: EAGAIN in pid 4242 (make).\n"), "{}", shown(&t));
    t["failed_forks"] = json!([failed(9, json!(null), "ENOMEM")]);
    assert!(shown(&t).contains("\n1 fork failed: ENOMEM in pid 9.\n"), "{}", shown(&t));
    let many = (1..=9).flat_map(|pid| vec![failed(pid, json!("sh"), "EAGAIN"); pid as usize]);
    t["failed_forks"] = many.collect();
    let text = shown(&t);
    assert!(text.contains("45 forks failed: 9 times EAGAIN in pid 9 (sh), 8 times"), "{text}");
    assert!(text.contains("6 times EAGAIN in pid 6 (sh), 15 others."), "{text}");
}

#[test]
fn whose_exec_failed_is_told_with_the_path_and_why() {
    let ended = |pid, code: i32, execs: &[(&str, Option<&str>)]| {
        let mut start = start(pid, 1);
        start["exit"] =
            json!({"code": code, "signal": null, "core": false, "killed_by": null, "at_ns": 1000});
        let exec = |(path, error): &(&str, Option<&str>)| json!({"at_ns": 0, "duration_ns": 1, "path": path, "interpreter": null, "error": error});
        start["execs"] = execs.iter().map(exec).collect();
        start
    };
    let wide = Style { width: 240, ..PLAIN };
    let note = |starts: Vec<Value>| {
        let mut trace = trace(starts);
        // As a recorder writes it: with its own findings, so that most starts are only glanced at.
        trace["findings"] = json!([]);
        trace["not_examined"] = json!([]);
        let text = show_value(&trace, false, &wide);
        let note = text.lines().find(|line| line.contains(" failed")).unwrap_or_default().to_owned();
        (note.split_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default(), text)
    };
    let nowhere = |pid| ended(pid, 255, &[("/bin/true", None), ("/nowhere", Some("ENOENT"))]);
    let denied = |pid| ended(pid, 255, &[("/etc/passwd", Some("EACCES"))]);
    // A search in PATH: what was there and could not be executed is why.
    let search = |pid| {
        ended(pid, 126, &[("/a/x", Some("ENOENT")), ("/b/x", Some("EACCES")), ("/c/x", Some("ENOENT"))])
    };
    let nothing = |pid| ended(pid, 127, &[("/a/y", Some("ENOENT")), ("/c/y", Some("ENOENT"))]);
    let plain = |pid| ended(pid, 3, &[("/a/z", Some("ENOENT")), ("/c/z", None)]);
    // It went on, and all was well.
    let tried = |pid| ended(pid, 0, &[("/nowhere", Some("ENOENT"))]);
    for (starts, expected) in [
        (vec![nowhere(5), tried(6)], ", its exec failed: /nowhere (ENOENT)."),
        (vec![nothing(5)], ", its exec failed: /c/y (ENOENT)."),
        (vec![search(5), tried(6)], ", its exec failed: /b/x (EACCES)."),
        (vec![nowhere(5), denied(6)], ", their execs failed: /nowhere (ENOENT), /etc/passwd (EACCES)."),
        (
            vec![nowhere(5), denied(6), nowhere(7), nothing(8), search(9)],
            ", their execs failed: /nowhere (ENOENT) 2 times, /etc/passwd (EACCES) and 2 others.",
        ),
        (vec![plain(5), nowhere(6)], ", the exec of 1 of them failed: /nowhere (ENOENT)."),
        (
            vec![plain(5), nowhere(6), denied(7)],
            ", the execs of 2 of them failed: /nowhere (ENOENT), /etc/passwd (EACCES).",
        ),
        (vec![plain(5), tried(6)], "."),
    ] {
        let (note, text) = note(starts);
        assert_eq!(note.replace('\u{a0}', " "), expected, "{text}");
    }
}

#[test]
fn a_server_that_was_looked_for_elsewhere_is_told_first() {
    let mut server = start(5, 1);
    server["parent"] = Value::Null;
    server["exit"] = Value::Null;
    server["timeline"]["ready"] = json!({"kind": "timeout", "at_ns": 1000, "inferred": false,
        "detail": "the window ended; it waits for clients in poll (tcp 127.0.0.1:70); --ready looks at tcp 127.0.0.1:80"});
    server["timeline"]["milestones"] =
        json!([{"name": "first_accept_wait", "at_ns": 300, "detail": "tcp 127.0.0.1:70", "inferred": false}]);
    // With its own findings, of a recorder, and with those that are looked for now.
    for known in [true, false] {
        let mut trace = trace(vec![server.clone()]);
        trace["session"]["mode"] = json!("command");
        if known {
            (trace["findings"], trace["not_examined"]) = (json!([]), json!([]));
        }
        let text = show_value(&trace, false, &Style { width: 240, ..PLAIN }).replace('\u{a0}', " ");
        let place = ": it waited for clients at tcp 127.0.0.1:70 after 300 ns, but --ready looks at tcp 127.0.0.1:80.";
        assert!(text.lines().next().unwrap().ends_with(place), "{known}: {text}");
    }
}

#[test]
fn who_was_told_to_end_has_not_failed() {
    let by = json!({"start_id": null, "id": "1@1", "pid": 1, "comm": "p"});
    let ended = |pid, signal, by: &Value, method| {
        let mut start = start(pid, 1);
        start["exit"] =
            json!({"code": null, "signal": signal, "core": false, "killed_by": by, "at_ns": 1000});
        start["method"]["name"] = json!(method);
        start
    };
    let told = ended(7, "SIGTERM", &by, "multiprocessing.fork");
    // By who asked a server for it, which is above that.
    let mut asked = ended(9, "SIGTERM", &by, "multiprocessing.forkserver");
    asked["parent"] = json!({"start_id": "7@1/0", "id": "7@1", "pid": 7, "comm": "p"});
    asked["requested_by"] = by.clone();
    let stranger = json!({"start_id": null, "id": "4@1", "pid": 4, "comm": "p"});
    let failed = |starts: Vec<Value>| {
        let text = show_value(&trace(starts), false, &PLAIN);
        let note = text.lines().find(|line| line.contains("failed")).map(str::to_owned);
        (text, note)
    };
    let (text, note) = failed(vec![told.clone(), asked.clone()]);
    assert_eq!(note, None, "{text}");
    assert!(tree(&text).iter().any(|line| line.contains("SIGTERM")), "{text}");
    // By whom is not known; what nobody sends to ask for an end; a wrapper that ends what takes too long.
    for failure in [
        ended(8, "SIGTERM", &Value::Null, "multiprocessing.fork"),
        ended(8, "SIGTERM", &stranger, "multiprocessing.fork"),
        ended(8, "SIGKILL", &by, "multiprocessing.fork"),
        ended(8, "SIGSEGV", &Value::Null, "fork"),
        ended(8, "SIGTERM", &by, "wrapper"),
    ] {
        let (text, note) = failed(vec![told.clone(), failure]);
        assert!(note.is_some_and(|note| note.contains("1 failed: ")), "{text}");
    }
}

#[test]
fn what_was_still_running_is_not_slow() {
    let mut server = start(7, 1);
    server["timeline"]["ready"]["kind"] = json!("timeout");
    server["exit"] = Value::Null;
    let mut late = start(8, 1);
    late["timeline"]["ready"]["kind"] = json!("timeout");
    let mut t = trace(vec![server, late, start(9, 1)]);
    let text = show_value(&t, false, &PLAIN);
    let line = |pid: &str| tree(&text).into_iter().find(|l| l.contains(pid)).unwrap().to_owned();
    assert!(line(" 7 ").contains(" running"), "{text}");
    assert!(line(" 8 ").contains(" >"), "{text}");
    let slowest = text.split("Slowest").nth(1).unwrap();
    assert!(slowest.contains("pid 9") && !slowest.contains("pid 7"), "{text}");

    let group = |unfinished: u64, times: Value| {
        json!([{"parent": null, "parent_id": "5@1", "method": "prefork_worker", "n": 4, "unfinished": unfinished,
            "makespan_ns": times, "parallelism": times, "p50_ns": times, "max_ns": times}])
    };
    for (unfinished, times, wanted) in [
        (4, json!(null), "4 × prefork_worker of pid 5: all still running at the end\n"),
        (1, json!(3), "of pid 5: 1 still running at the end; the others done in 3 ns; one takes 3 ns"),
        (0, json!(3), "of pid 5: all done in 3 ns; one takes 3 ns (p50), 3 ns (max); 3.0 at a time\n"),
    ] {
        t["groups"] = group(unfinished, times);
        let text = show_value(&t, false, &PLAIN).replace("\n    ", " ");
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
}

#[test]
fn absurd_numbers_neither_overflow_nor_panic() {
    let max = u64::MAX;
    let mut starts = Vec::new();
    for (i, (origin, duration, at, length)) in
        [(max, max, max, max), (0, max, 0, max), (max, 0, 0, 0), (0, 0, max, max), (5, 1, 0, max)]
            .into_iter()
            .enumerate()
    {
        let mut s = start(i as u32 + 1, 0);
        s["timeline"]["origin_boottime_ns"] = json!(origin);
        s["timeline"]["duration_ns"] = json!(duration);
        s["timeline"]["phases"] =
            json!(vec![json!({"name": "app", "at_ns": at, "duration_ns": length}); 300]);
        s["seq"] = json!(u32::MAX);
        s["exit"]["code"] = json!(i32::MIN);
        starts.push(s);
    }
    for width in [40, 60, 80, 400] {
        let style = Style { width, ..PLAIN };
        check(&show_value(&trace(starts.clone()), true, &style), &style);
    }
}

#[test]
fn odd_family_trees_show_every_start_once() {
    // Circles of one and of three; two with one id; a parent that is not there; a chain under a circle.
    let starts = vec![
        start(1, 1),
        start(2, 4),
        start(3, 2),
        start(4, 3),
        start(5, 999),
        start(6, 999),
        start(6, 5),
        start(7, 6),
        start(8, 3),
    ];
    let text = show_value(&trace(starts), true, &PLAIN);
    check(&text, &PLAIN);
    let lines = tree(&text);
    for pid in 1..=8 {
        let wanted = if pid == 6 { 2 } else { 1 };
        let found = lines.iter().filter(|l| l.contains(&format!("x{pid} "))).count();
        assert_eq!(found, wanted, "x{pid}\n{text}");
    }
    // The absent parent of two of them has a line.
    assert_eq!(lines.len(), 10, "{text}");
}

#[test]
fn later_starts_of_a_process_stand_under_its_first() {
    let mut second = start(10, 1);
    (second["seq"], second["start_id"]) = (json!(1), json!("10@1/1"));
    second["exe"] = json!("/bin/second");
    second["timeline"]["origin_boottime_ns"] = json!(30_000);
    let text = show_value(&trace(vec![second, start(10, 1)]), false, &PLAIN);
    let lines = tree(&text);
    let first = lines.iter().position(|l| l.contains("x10 ")).unwrap();
    assert!(lines[first + 1].contains("└ second"), "{text}");
}

#[test]
fn equal_siblings_are_one_line_and_large_trees_are_cut() {
    let mut starts = vec![start(1, 0)];
    for i in 0..32 {
        let mut s = start(100 + i, 1);
        (s["exe"], s["argv"]) = (json!("/bin/worker"), json!(["worker", format!("--id={i}")]));
        s["timeline"]["duration_ns"] = json!(1_000_000 * u64::from(i + 1));
        starts.push(s);
    }
    let text = show_value(&trace(starts.clone()), true, &PLAIN);
    let lines = tree(&text);
    let folded: Vec<_> = lines.iter().filter(|l| l.contains("worker")).collect();
    assert_eq!(folded.len(), 1, "{text}");
    assert!(folded[0].contains("32 × worker --id=#"), "{text}");
    assert!(folded[0].contains("p50 16.0 ms max 32.0 ms"), "{text}");

    // All different, one of them slow and deep: that one is shown, the others are counted.
    starts.truncate(1);
    let letters = |n: u32| -> String { n.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect() };
    for i in 2..2_000 {
        let mut s = start(i, if i > 1_990 { i - 1 } else { 1 });
        s["exe"] = json!(format!("/bin/{}", letters(i)));
        if i == 1_999 {
            s["timeline"]["duration_ns"] = json!(9_000_000_000u64);
        }
        starts.push(s);
    }
    let text = show_value(&trace(starts.clone()), false, &PLAIN);
    check(&text, &PLAIN);
    assert!(tree(&text).len() < 60, "{text}");
    assert!(tree(&text).iter().any(|l| l.contains("└ bjjj")), "{text}");
    assert!(text.contains("more (use --all)"), "{text}");
    let counted: u64 = tree(&text)
        .iter()
        .map(|l| match l.split_once("… and ") {
            Some((_, rest)) => rest.split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap(),
            None => 1,
        })
        .sum();
    // One line is the recorder-side parent, which is no start.
    assert_eq!(counted, 1_999 + 1, "{text}");
    assert!(tree(&show_value(&trace(starts), true, &PLAIN)).len() >= 1_999);
}

#[test]
fn a_chain_of_any_depth_is_drawn() {
    let starts: Vec<Value> = (1..5_000).map(|i| start(i, i - 1)).collect();
    let text = show_value(&trace(starts), true, &PLAIN);
    check(&text, &PLAIN);
    assert!(tree(&text).len() >= 4_999);
}

#[test]
fn a_waterfall_is_to_scale_and_hides_no_start() {
    let mut long = start(1, 0);
    long["timeline"]["origin_boottime_ns"] = json!(0);
    long["timeline"]["duration_ns"] = json!(1_000_000);
    long["timeline"]["phases"] = json!([
        {"name": "fork", "at_ns": 0, "duration_ns": 250_000},
        {"name": "exec", "at_ns": 250_000, "duration_ns": 250_000},
        {"name": "app", "at_ns": 500_000, "duration_ns": 500_000}]);
    let at = |pid: u32, origin: u64| {
        let mut s = start(pid, 1);
        s["timeline"]["origin_boottime_ns"] = json!(origin);
        (s["timeline"]["duration_ns"], s["timeline"]["phases"]) = (json!(0), json!([]));
        s["timeline"]["phases"] = json!([{"name": "setup", "at_ns": 0, "duration_ns": 0}]);
        s
    };
    let text = show_value(
        &trace(vec![long, at(2, 0), at(3, 500_000), at(4, 999_999), at(5, 1_000_000)]),
        false,
        &PLAIN,
    );
    let bar = |name: &str| -> String {
        let lines = tree(&text);
        let line = lines.iter().find(|l| l.contains(name)).unwrap();
        line.chars().skip(60).collect()
    };
    assert_eq!(bar("x1 "), "▚▚▚▚▚▓▓▓▓▓██████████");
    assert_eq!(bar("x2 "), "▒");
    assert_eq!(bar("x3 "), format!("{}▒", " ".repeat(10)));
    for last in ["x4 ", "x5 "] {
        assert_eq!(bar(last), format!("{}▒", " ".repeat(19)), "{text}");
    }
}

#[test]
fn nothing_lost_nothing_said() {
    let mut t = trace(vec![start(1, 0)]);
    let text = show_value(&t, false, &PLAIN);
    assert!(!text.to_lowercase().contains("lost") && !text.contains("INCOMPLETE"), "{text}");
    t["session"]["complete"] = json!(false);
    t["session"]["lost"] = json!({"events": 12_345, "none": 0});
    let text = show_value(&t, false, &PLAIN);
    assert!(text.starts_with("INCOMPLETE"), "{text}");
    assert!(text.contains("12,345  events") && !text.contains("none"), "{text}");
}

/// Nobody reads what is said: it is left unsaid, and the status is the same.
#[test]
fn a_standard_error_that_cannot_be_written_changes_nothing() {
    let trace = folder("fixtures/traces").join("shell-pipeline.json").into_os_string().into_string().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let same = |args: &[&str], code: i32| {
        let gone = || std::process::Stdio::from(nix::unistd::pipe().unwrap().1);
        let full = || std::process::Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
        for (name, stderr) in [("a closed pipe", gone()), ("a full disk", full())] {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_startrace"));
            command.args(args).current_dir(&dir).stdout(std::process::Stdio::null()).stderr(stderr);
            let status = command.status().unwrap();
            assert_eq!(status.code(), Some(code), "{args:?} with {name}: {status}");
        }
    };
    let t = trace.as_str();
    same(&["report", "no such file"], 1);
    same(&["export", t, "--to", "csv", "-o", "rows.csv"], 0);
    same(&["report", t, "--html", "page.html"], 0);
    same(&["scrub", t, "-o", "copy.json"], 0);
    same(&["record", "--no-such-option"], 2);
    same(&["record", "sleep", "1"], 2);
    same(&["-vv", "report", t], 0);
    for made in ["rows.csv", "page.html", "copy.json"] {
        assert!(fs::metadata(dir.path().join(made)).unwrap().len() > 0, "{made}");
    }
}

/// Who has a report before him asks for a finding's page with the same words.
#[test]
fn a_findings_page_is_shown_beside_a_trace_that_need_not_be_there() {
    let run = |args: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_startrace")).args(args).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let alone = run(&["report", "--explain", "connect-wait"]);
    assert!(alone.0 == Some(0) && alone.1.contains("connect-wait") && alone.2.is_empty(), "{alone:?}");
    assert_eq!(run(&["report", "/nowhere/app.json", "--explain", "connect-wait"]), alone);
    let (code, _, said) = run(&["report", "/nowhere/app.json", "--explain", "no-such"]);
    assert!(code == Some(2) && said.contains("there is no such finding"), "{said}");
    // Nor is it read for the usual thresholds.
    let alone = run(&["report", "--print-thresholds"]);
    assert!(alone.0 == Some(0) && alone.1.contains("min_cost") && alone.2.is_empty(), "{alone:?}");
    assert_eq!(run(&["report", "/nowhere/app.json", "--print-thresholds"]), alone);
}

/// Where a disk is full: each command names the file, or standard output, and says what to do.
#[test]
fn what_could_not_be_written_is_named() {
    let trace = folder("fixtures/traces").join("shell-pipeline.json").into_os_string().into_string().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let budget = dir.path().join("budget.toml").into_os_string().into_string().unwrap();
    fs::write(&budget, "ready = \"60s\"\n").unwrap();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let told = |args: &[&str], code: i32, what: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_startrace"));
        let done = command.args(args).current_dir(&dir).stdout(full()).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        let want =
            format!("cannot write {what} (make room there, or write it elsewhere): No space left on device");
        assert!(said.contains(&want), "{args:?}: {said}");
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
    };
    let t = trace.as_str();
    told(&["report", t, "--html", "/dev/full"], 1, "--html /dev/full");
    told(&["export", t, "--to", "csv", "-o", "/dev/full"], 1, "-o /dev/full");
    told(&["export", t, "--to", "html", "-o", "/dev/full"], 1, "-o /dev/full");
    told(&["diff", t, t, "--html", "/dev/full"], 1, "--html /dev/full");
    told(&["scrub", t, "-o", "/dev/full"], 1, "the trace to /dev/full");
    for (args, what) in [
        (&["report", t][..], "the report"),
        (&["report", t, "--json"], "the report"),
        (&["export", t, "--to", "perfetto"], "the export"),
        (&["scrub", t, "-o", "-"], "the trace"),
        (&["diff", t, t], "the comparison"),
        (&["check", t, "--budget", &budget], "the answer"),
        (&["inspect", env!("CARGO_BIN_EXE_startrace")], "the answer"),
        (&["schema"], "the schema"),
        (&["help", "phases"], "the help"),
        (&["help", "record"], "the help"),
        (&["--help"], "the help"),
        (&["record", "--print-redact-rules"], "the rules"),
    ] {
        told(args, 1, &format!("{what} to the standard output"));
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "half a file stays");
}

/// The runtime opens /dev/null where standard output is closed: all would be lost, and taken for a success.
#[test]
fn a_standard_output_that_is_closed_is_no_success() {
    let trace = folder("fixtures/traces").join("shell-pipeline.json").into_os_string().into_string().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let budget = dir.path().join("budget.toml").into_os_string().into_string().unwrap();
    fs::write(&budget, "ready = \"60s\"\n").unwrap();
    let closed = |args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >&-", env!("CARGO_BIN_EXE_startrace")]).args(args);
        let done = command.current_dir(&dir).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let t = trace.as_str();
    for args in [
        &["report", t][..],
        &["report", t, "--json"],
        &["report", t, "--html", "-"],
        &["report", "--explain", "connect-wait"],
        &["export", t, "--to", "csv"],
        &["scrub", t, "-o", "-"],
        &["diff", t, t],
        &["diff", t, t, "--html", "-"],
        &["check", t, "--budget", &budget],
        &["inspect", env!("CARGO_BIN_EXE_startrace")],
        &["schema"],
        &["doctor"],
        &["help"],
        &["help", "phases"],
        &["--help"],
        &["record", "--print-redact-rules"],
        &["record", "--dry-run", "--", "true"],
    ] {
        let (code, said) = closed(args);
        let want = "cannot write to the standard output, which is closed";
        assert!(code == Some(1) && said.contains(want), "{args:?}: {code:?} {said}");
    }
    // What goes to a file needs none.
    let (code, said) = closed(&["export", t, "--to", "csv", "-o", "rows.csv"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(fs::metadata(dir.path().join("rows.csv")).unwrap().len() > 0);
}

#[test]
fn a_report_of_some_starts_is_of_those_and_what_belongs_to_them() {
    use startrace::report::{Pick, View, render_view, write_json};
    let picked = |pick: Pick| {
        let file = folder("fixtures/traces/critical-path.json");
        let digest = Digest::pick(read::open(&file).unwrap(), None, &pick).unwrap();
        let mut json = Vec::new();
        write_json(&digest, View { all: true, top: None }, &mut json).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let mut text = Vec::new();
        render_view(&digest, View { all: false, top: None }, &PLAIN, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        check(&text, &PLAIN);
        let tree: Vec<String> = text
            .lines()
            .skip_while(|line| !line.starts_with("START"))
            .skip(1)
            .take_while(|line| !line.starts_with("phases:"))
            .map(|line| line.split("  ").next().unwrap().to_owned())
            .collect();
        assert_eq!(json["starts_in_all"], 7);
        assert_eq!(json["verdict"], "", "it is about all of them");
        let found = json["findings"].as_array().unwrap();
        // What is found is of those alone.
        assert_eq!(json["findings_of"], "picked");
        assert_eq!(text.contains("\nWhat would help those that were picked\n"), !found.is_empty(), "{text}");
        for found in found {
            let n = found["n"].as_u64().unwrap();
            assert!(n <= json["starts"].as_u64().unwrap(), "{found}");
            assert_eq!(found["starts"].as_array().unwrap().len() as u64, n, "{found}");
            assert_eq!(found["summary"].as_str().unwrap().contains("The dearest"), n > 1, "{found}");
        }
        let ids: Vec<&str> = found.iter().map(|found| found["id"].as_str().unwrap()).collect();
        (json["starts"].as_u64().unwrap(), tree, ids.join(" "))
    };
    let list = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.to_owned()).collect() };
    // By pid, by a process's id and by a start's: with what is below it, and with what was found of that.
    for name in ["31625", "31625@18110586364851", "31625@18110586364851/0"] {
        let (starts, tree, findings) = picked(Pick { starts: list(&[name]), ..Pick::default() });
        // Its wait for its own child is one of theirs, though of all starts a longer one has that time.
        assert_eq!((starts, findings.as_str()), (2, "helper-wait fixed-sleep"), "{name}");
        assert!(tree[0].starts_with("dash -c 'sleep 0.05;") && tree[1] == "└ sleep 0.1", "{tree:?}");
    }
    // By name: of a parent that is left out, the nearest that is not.
    let methods = list(&["fork_exec", "shell.comm*"]);
    let (starts, tree, _) = picked(Pick { methods, ..Pick::default() });
    assert_eq!((starts, &tree[1..]), (3, &list(&["├ sleep 0.05", "└ sleep 0.1"])[..]));
    for exes in [list(&["sleep"]), list(&["/usr/bin/slee?"]), list(&["nothing", "s*p"])] {
        let (starts, tree, _) = picked(Pick { exes, ..Pick::default() });
        assert_eq!((starts, tree), (2, list(&["sleep 0.05", "sleep 0.1"])));
    }
    // All of them have to fit.
    let both = Pick { exes: list(&["sleep"]), slower_than_ns: Some(100_000_000), ..Pick::default() };
    let (starts, tree, findings) = picked(both);
    assert_eq!((starts, tree, findings.as_str()), (1, list(&["sleep 0.1"]), "fixed-sleep"));
    let (starts, tree, findings) = picked(Pick { starts: list(&["99"]), ..Pick::default() });
    assert_eq!((starts, tree, findings.as_str()), (0, Vec::new(), ""));
}

#[test]
fn what_was_picked_is_priced_by_its_own_path() {
    use startrace::report::{Pick, View, render_view, write_json};
    let file = folder("fixtures/traces/critical-path.json");
    let json = |digest: &Digest| -> Value {
        let mut json = Vec::new();
        write_json(digest, View { all: true, top: None }, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    let pick = Pick { exes: vec!["sleep".to_owned()], slower_than_ns: Some(100_000_000), ..Pick::default() };
    let all = json(&Digest::pick(read::open(&file).unwrap(), None, &Pick::default()).unwrap());
    assert_eq!(all["findings_of"], "all");
    // One of the two that sleep: it costs what it slept, not what both did.
    let one = json(&Digest::pick(read::open(&file).unwrap(), None, &pick).unwrap());
    let (found, slowest) = (&one["findings"][0], &one["slowest"][0]);
    assert_eq!(found["starts"], json!([slowest["start_id"]]), "{one:#}");
    assert_eq!(found["saves_ns"], slowest["path_ns"]["sleep"], "{one:#}");
    // A pipe cannot be read twice: what was found of all is what there is, and it is said.
    let piped = read::Reader::new("pipe".to_owned(), Box::new(fs::File::open(&file).unwrap())).unwrap();
    let digest = Digest::pick(piped, None, &pick).unwrap();
    assert_eq!(json(&digest)["findings_of"], "all");
    let mut text = Vec::new();
    render_view(&digest, View { all: false, top: None }, &PLAIN, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("What would help: what was found of all starts"), "{text}");
}

#[test]
fn what_picks_nothing_is_said_with_what_there_is() {
    let file = folder("fixtures/traces/python-spawn-pool.json");
    let report = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_startrace"));
        let done = command.arg("report").arg(&file).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    };
    let there = "there are 11 starts: python3.11 (10), git";
    for (args, status, says) in [
        (&["--exe", "nosuch"][..], 1, &["nothing matches --exe nosuch: ", there][..]),
        (&["--exe", "/usr/bin/pyton3.1"], 1, &["/usr/bin/pyton3.1 (did you mean python3.11?): ", there]),
        (&["--exe", "a\u{1b}[31m"], 1, &["nothing matches --exe a\\x1b[31m: "]),
        (
            &["--method", "nosuch"],
            2,
            &["--method nosuch: there is no such method. ", "multiprocessing.spawn (8), "],
        ),
        (&["--method", "subproces"], 2, &["did you mean subprocess? "]),
        // Beside one that there is, too: else a slip would never be seen.
        (&["--method", "subproces", "--method", "subprocess"], 2, &["did you mean subprocess? "]),
        (&["--method", "daemon"], 1, &["nothing matches --method daemon: ", "subprocess"]),
        (&["--method", "daem*"], 1, &["nothing matches --method daem*: "]),
        (&["--starts", "99"], 1, &["nothing matches --starts 99: there are 11 starts"]),
        (
            &["--slower-than", "1h"],
            1,
            &["nothing matches --slower-than 1h 00m: the slowest took 1.62 s, python3"],
        ),
        (&["--exe", "git", "--slower-than", "1s"], 1, &["nothing matches all of what was asked for"]),
    ] {
        let (code, out, error) = report(args);
        assert_eq!((code, &*out, error.lines().count()), (status, "", 1), "{args:?}: {error}");
        assert!(says.iter().all(|said| error.contains(said)), "{args:?}: {error}");
        // A machine gets its object all the same, unless it asked for what there is not.
        let (code, out, error) = report(&[args, &["--json"]].concat());
        assert_eq!(code, status, "{args:?}: {error}");
        if status == 1 {
            let json: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(json["starts"], 0, "{args:?}");
            assert!(error.contains(json["matches_nothing"].as_str().unwrap()), "{args:?}: {error}");
        } else {
            assert_eq!(out, "", "{args:?}");
        }
    }
    // A trace that says what was found (a copy does) is glanced at first: each start counts once all the same.
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.json");
    let startrace = || std::process::Command::new(env!("CARGO_BIN_EXE_startrace"));
    assert!(startrace().arg("scrub").arg(&file).arg("-o").arg(&copy).status().unwrap().success());
    for flag in ["--starts", "--exe", "--slower-than=1us --starts"] {
        let done = startrace().arg("report").arg(&copy).args(flag.split(' ')).arg("nosuch").output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && error.contains("there are 11 starts:"), "{flag}: {error}");
    }
    // Where there is something to show, it is shown.
    let (code, out, error) = report(&["--exe", "git", "--exe", "nosuch"]);
    assert_eq!(code, 0, "{error}");
    assert!(
        out.contains("1 start of 11 picked") && error.contains("nothing matches --exe nosuch: "),
        "{error}"
    );
    let (code, out, error) = report(&["--exe", "git", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["matches_nothing"], &*error), (0, &Value::Null, ""));
    // Of a trace without starts there is nothing to offer.
    let empty = folder("fixtures/traces/empty.json");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_startrace"))
        .args(["report", empty.to_str().unwrap(), "--exe", "sh"])
        .output()
        .unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(error.contains("the trace has no starts"), "{error}");
}

#[test]
fn pools_of_what_was_picked_are_of_that_alone() {
    use startrace::report::{Pick, View, render_view, write_json};
    let file = folder("fixtures/traces/python-spawn-pool.json");
    let trace: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let workers: Vec<&Value> = trace["starts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|start| start["method"]["name"] == "multiprocessing.spawn")
        .collect();
    assert_eq!(workers.len(), 8);
    let report = |pick: &Pick| {
        let digest = Digest::pick(read::open(&file).unwrap(), None, pick).unwrap();
        let mut json = Vec::new();
        write_json(&digest, View::default(), &mut json).unwrap();
        let mut text = Vec::new();
        render_view(&digest, View::default(), &PLAIN, &mut text).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        (json["groups"].clone(), String::from_utf8(text).unwrap())
    };
    let all = report(&Pick::default()).0;
    // All of them: as the trace has it.
    let of_method = Pick { methods: vec!["multiprocessing.sp*".into()], ..Pick::default() };
    assert_eq!(report(&of_method).0, all);
    // Two of eight: their own times.
    let id = |start: &Value| start["start_id"].as_str().unwrap().to_owned();
    let two = Pick { starts: vec![id(workers[0]), id(workers[3])], ..Pick::default() };
    let (groups, text) = report(&two);
    let ns = |start: &Value, name: &str| start["timeline"][name].as_u64().unwrap();
    let of_two = [workers[0], workers[3]];
    let longest = of_two.iter().map(|start| ns(start, "duration_ns")).max().unwrap();
    let first = of_two.iter().map(|start| ns(start, "origin_boottime_ns")).min().unwrap();
    let last =
        of_two.iter().map(|start| ns(start, "origin_boottime_ns") + ns(start, "duration_ns")).max().unwrap();
    assert_eq!(groups.as_array().unwrap().len(), 1);
    assert_eq!((&groups[0]["n"], &groups[0]["parent_id"]), (&json!(2), &all[0]["parent_id"]));
    assert_eq!((&groups[0]["max_ns"], &groups[0]["makespan_ns"]), (&json!(longest), &json!(last - first)));
    assert!(text.contains("  2 × multiprocessing.spawn of pid "), "{text}");
    // None, and one: no pool.
    for starts in [vec![id(workers[5])], vec![]] {
        let exes = if starts.is_empty() { vec!["git".to_owned()] } else { Vec::new() };
        let (groups, text) = report(&Pick { starts, exes, ..Pick::default() });
        assert_eq!(groups, json!([]));
        assert!(!text.contains("Pools"), "{text}");
    }
}

#[test]
fn starts_of_several_commands_are_not_said_to_be_the_firsts() {
    let mut of_two = trace(vec![start(5, 1), start(6, 1)]);
    for root in of_two["starts"].as_array_mut().unwrap() {
        root["parent"]["start_id"] = Value::Null;
    }
    of_two["session"]["mode"] = json!("command");
    of_two["session"]["target"] = json!({"argv": ["/bin/x5"]});
    let run = |name: &str, pid: u32| json!({"name": name, "start_id": format!("{pid}@1/0"), "exit": 0, "pss_bytes": null});
    of_two["session"]["runs"] = json!([run("old", 5), run("new", 6)]);
    let text = show_value(&of_two, false, &PLAIN);
    assert!(text.contains("2 starts of 2 runs in 5.00 us"), "{text}");
}
