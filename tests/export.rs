//! The shape of every export, without any other tool: what holds for the samples and for traces that are
//! made to break it. What other tools make of them: `tests/readers.rs`, `tests/browser.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod export_traces;

use export_traces::{
    HOSTILE, convert, convert_file, convert_with, document, hostile, sample, samples, source, start, stated,
};
use serde_json::{Value, json};
use startrace::export::{Format, Options};
use startrace::trace::read::{self, Loaded};
use startrace::trace::text::sanitize;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn total(loaded: &Loaded) -> u64 {
    loaded.starts.iter().map(|start| start.timeline.duration_ns).sum()
}

#[test]
fn every_format_takes_every_trace() {
    let (empty, with_states) = (document(Vec::new()), stated());
    let loop_of_parents = document(vec![start(1, Some(2)), start(2, Some(1)), start(3, Some(3))]);
    for format in Format::ALL {
        for file in samples() {
            convert_file(&file, format);
        }
        for trace in [&empty, &loop_of_parents, &with_states, &hostile()] {
            let bytes = convert(source(trace), format);
            if !format.is_binary() {
                text(bytes);
            }
        }
    }
}

/// What a viewer makes of begins and ends: by time, in the order of the file; category and length of each.
fn chrome_slices(events: &[Value]) -> Vec<(String, f64)> {
    let mut order: Vec<&Value> = events.iter().filter(|e| e["ph"] == "B" || e["ph"] == "E").collect();
    order.sort_by(|a, b| a["ts"].as_f64().unwrap().total_cmp(&b["ts"].as_f64().unwrap()));
    let mut open: HashMap<u64, Vec<&Value>> = HashMap::new();
    let mut slices = Vec::new();
    for event in order {
        let stack = open.entry(event["tid"].as_u64().unwrap()).or_default();
        if event["ph"] == "B" {
            stack.push(event);
            continue;
        }
        let begin = stack.pop().expect("an end without a begin");
        assert_eq!(begin["name"], event["name"], "slices overlap");
        let length = event["ts"].as_f64().unwrap() - begin["ts"].as_f64().unwrap();
        slices.push((begin["cat"].as_str().unwrap().to_owned(), length * 1e3));
    }
    assert!(open.values().all(Vec::is_empty), "a begin without an end");
    slices
}

#[test]
fn chrome_has_a_slice_for_each_start_and_phase_and_arrows_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("stated.json");
    std::fs::write(&made, stated().to_string()).unwrap();
    for file in samples().into_iter().chain([made]) {
        let loaded = read::load(&file).unwrap();
        let trace = parsed(&convert_file(&file, Format::Chrome));
        let stretches: usize = loaded.starts.iter().map(|start| start.timeline.critical_path.len()).sum();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |ph: &'static str| events.iter().filter(move |event| event["ph"] == ph);
        let slices = chrome_slices(events);
        let category = |category: &'static str| slices.iter().filter(move |slice| slice.0 == category);
        assert_eq!(category("start").count(), loaded.starts.len());
        let phases: usize = loaded.starts.iter().map(|start| start.timeline.phases.len()).sum();
        assert_eq!(category("phase").count(), phases);
        assert_eq!(category("state").count(), stretches);
        let inside: Vec<_> =
            loaded.starts.iter().filter_map(|start| start.timeline.runtime.as_ref()).collect();
        let stages: u64 = inside.iter().flat_map(|of| &of.stages).map(|stage| stage.duration_ns).sum();
        let sum: f64 = category("runtime").map(|slice| slice.1).sum();
        assert!((sum - stages as f64).abs() < 1.0, "{sum} of {stages}");
        let threads: usize = inside.iter().map(|of| of.threads.len()).sum();
        let told = of("E").filter_map(|event| event["args"]["runtime_threads"].as_array()).map(Vec::len);
        assert_eq!(told.sum::<usize>(), threads);
        let sum: f64 = category("phase").map(|slice| slice.1).sum();
        assert!((sum - total(&loaded) as f64).abs() < 1.0, "{sum}");
        // Both ends of an arrow are there, and at each there is a slice that begins with it.
        let begins: HashSet<String> =
            of("X").chain(of("B")).map(|e| format!("{} {}", e["pid"], e["ts"])).collect();
        let ends = |ph: &'static str| -> HashMap<u64, &Value> {
            of(ph).map(|e| (e["id"].as_u64().unwrap(), e)).collect()
        };
        let (from, to) = (ends("s"), ends("f"));
        assert_eq!(from.len(), to.len());
        for (id, from) in from {
            for end in [from, to[&id]] {
                assert!(begins.contains(&format!("{} {}", end["pid"], end["ts"])), "{end}");
            }
        }
        let last = of("C").next_back();
        assert!(last.is_none_or(|event| event["args"]["starts"] == 0), "{last:?}");
        let names: HashSet<u64> =
            of("M").filter(|e| e["name"] == "process_name").map(|e| e["pid"].as_u64().unwrap()).collect();
        assert!(of("B").chain(of("X")).all(|event| names.contains(&event["pid"].as_u64().unwrap())));
    }
}

#[test]
fn a_pid_that_is_taken_again_is_another_track() {
    let mut later = start(50, None);
    later["pid"] = start(1, None)["pid"].clone();
    let trace = document(vec![start(1, None), start(2, Some(1)), later]);
    let events = parsed(&convert(source(&trace), Format::Chrome));
    let events = events["traceEvents"].as_array().unwrap().clone();
    let tracks: HashSet<u64> = events
        .iter()
        .filter(|e| e["cat"] == "start" && e["ph"] == "B")
        .map(|e| e["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(tracks.len(), 3);
    assert!(tracks.iter().any(|&track| track > 4 << 20), "{tracks:?}");
}

#[test]
fn folded_stacks_add_up_and_hold_no_stray_separator() {
    let mut texts: Vec<(u64, String)> = Vec::new();
    for file in samples() {
        texts.push((total(&read::load(&file).unwrap()), text(convert_file(&file, Format::Folded))));
    }
    let of_sample =
        total(&read::load(&export_traces::folder("fixtures/traces/python-spawn-pool.json")).unwrap());
    let with_states = text(convert(source(&stated()), Format::Folded));
    for frames in [";app;running ", ";app;disk ", ";fork;creating "] {
        assert!(with_states.contains(frames), "{frames} is not in {with_states}");
    }
    // Where the parent waits for its child, the child's name stands between phase and state.
    let child = |line: &str| line.contains(";app;python3.11 -c") && line.contains(";running ");
    assert!(with_states.lines().any(child), "{with_states}");
    // Without a path, the main thread's waits.
    let mut waits_only = stated();
    for start in waits_only["starts"].as_array_mut().unwrap() {
        start["timeline"]["critical_path"] = json!([]);
    }
    let with_waits = text(convert(source(&waits_only), Format::Folded));
    assert!(
        with_waits.contains(";app;child ")
            && with_waits.contains(";app;disk ")
            && !with_waits.contains("running")
    );
    texts.extend([with_states, with_waits].map(|text| (of_sample, text)));
    for (wanted, text) in texts {
        let mut sum = 0;
        for line in text.lines() {
            let (stack, value) = line.rsplit_once(' ').unwrap();
            assert!(stack.split(';').count() >= 2 && stack.split(';').all(|frame| !frame.trim().is_empty()));
            sum += value.parse::<u64>().unwrap();
        }
        assert_eq!(sum, wanted);
    }
    let text = text(convert(source(&hostile()), Format::Folded));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    // Nine starts below each other under init, each with its phase.
    assert_eq!(text.lines().map(|line| line.split(';').count()).max(), Some(11));
}

#[test]
fn what_ran_is_in_stacks_of_time_on_a_cpu() {
    let mut trace = document(vec![start(1, None), start(2, Some(1))]);
    trace["starts"][1]["timeline"]["profile"] = json!({"hz": 100, "period_ns": 10_000_000, "samples": 6,
    "functions": [], "functions_left_out": 0, "stacks_left_out": 1, "stacks": [
        {"phase": "app", "exec": 0, "frames": ["main", "a;b \u{1b}[31m", "work"], "samples": 3},
        {"phase": "link", "exec": 0, "frames": [], "samples": 2},
    ]});
    let told = text(convert(source(&trace), Format::Profile));
    let lines: Vec<(&str, &str)> = told.lines().map(|line| line.rsplit_once(' ').unwrap()).collect();
    let values: Vec<&str> = lines.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, ["30000000", "20000000", "10000000"]);
    let stacks: Vec<Vec<&str>> = lines.iter().map(|(stack, _)| stack.split(';').collect()).collect();
    let path = stacks[2].split_last().unwrap();
    assert_eq!((path.1.len(), *path.0), (stacks[1].len() - 1, "(other stacks)"));
    assert!(stacks.iter().all(|stack| stack.starts_with(path.1)), "{told}");
    // What parts frames is part of none, and no terminal obeys.
    assert_eq!(stacks[0].len(), path.1.len() + 4);
    assert_eq!((stacks[0][path.1.len()], *stacks[0].last().unwrap()), ("app", "work"));
    assert_eq!(stacks[1].last(), Some(&"link"));
    assert!(!told.contains('\u{1b}'), "{told:?}");
    // Nothing of it without --profile.
    assert_eq!(text(convert(source(&sample()), Format::Profile)), "");
}

#[test]
fn speedscope_opens_what_it_closes_and_names_every_frame() {
    for trace in samples().iter().map(|file| convert_file(file, Format::Speedscope)) {
        check_speedscope(&parsed(&trace));
    }
    let many = document((0..300).map(|n| start(n, None)).collect());
    let trace = parsed(&convert(source(&many), Format::Speedscope));
    check_speedscope(&trace);
    assert_eq!(trace["profiles"].as_array().unwrap().len(), 201);
}

fn check_speedscope(trace: &Value) {
    let frames = trace["shared"]["frames"].as_array().unwrap().len() as u64;
    let profiles = trace["profiles"].as_array().unwrap();
    assert!((trace["activeProfileIndex"].as_u64().unwrap() as usize) < profiles.len());
    for profile in profiles {
        if profile["type"] == "sampled" {
            let (samples, weights) =
                (profile["samples"].as_array().unwrap(), profile["weights"].as_array().unwrap());
            assert_eq!(samples.len(), weights.len());
            let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
            assert_eq!(profile["endValue"], sum);
            assert!(samples.iter().flat_map(|s| s.as_array().unwrap()).all(|f| f.as_u64().unwrap() < frames));
            continue;
        }
        let mut open = Vec::new();
        let mut last = 0;
        for event in profile["events"].as_array().unwrap() {
            let at = event["at"].as_u64().unwrap();
            assert!(at >= last && at <= profile["endValue"].as_u64().unwrap());
            last = at;
            let frame = event["frame"].as_u64().unwrap();
            assert!(frame < frames);
            match event["type"].as_str().unwrap() {
                "O" => open.push(frame),
                _ => assert_eq!(open.pop(), Some(frame)),
            }
        }
        assert!(open.is_empty());
    }
}

fn spans(bytes: Vec<u8>) -> Vec<Value> {
    let requests: Vec<Value> = text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let resources = requests.iter().flat_map(|request| list(&request["resourceSpans"]));
    let scopes = resources.flat_map(|resource| list(&resource["scopeSpans"]));
    scopes.flat_map(|scope| list(&scope["spans"])).collect()
}

#[test]
fn otlp_spans_are_one_tree_for_each_tree_of_starts() {
    for file in samples() {
        let loaded = read::load(&file).unwrap();
        let spans = spans(convert_file(&file, Format::Otlp));
        let phases: usize = loaded.starts.iter().map(|start| start.timeline.phases.len()).sum();
        // Of each start, the longest waits.
        let waits: usize = loaded.starts.iter().map(|start| start.timeline.waits.len().min(100)).sum();
        assert_eq!(spans.len(), loaded.starts.len() + phases + waits);
        let hex = |value: &Value, length| {
            let text = value.as_str().unwrap().to_owned();
            assert!(text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
            text
        };
        let trace_of: HashMap<String, String> =
            spans.iter().map(|span| (hex(&span["spanId"], 16), hex(&span["traceId"], 32))).collect();
        assert_eq!(trace_of.len(), spans.len(), "a span id is there twice");
        for span in &spans {
            if let Some(parent) = span["parentSpanId"].as_str() {
                assert_eq!(trace_of[parent], span["traceId"], "another trace than its parent's");
            }
            let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
            for link in span["links"].as_array().into_iter().flatten() {
                assert_eq!(trace_of[link["spanId"].as_str().unwrap()], link["traceId"]);
            }
        }
    }
}

#[test]
fn otlp_links_to_whoever_asked_and_joins_a_given_trace() {
    let mut worker = start(2, Some(1));
    worker["requested_by"] =
        json!({"start_id": start(0, None)["start_id"], "id": null, "pid": 1, "comm": null});
    let trace = document(vec![start(0, None), start(1, None), worker]);
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let options = Options { context: Some(context), ..Options::default() };
    let spans = spans(convert_with(source(&trace), Format::Otlp, &options));
    assert!(spans.iter().all(|span| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(spans.iter().filter(|span| span["parentSpanId"] == "00f067aa0ba902b7").count(), 2);
    let links: Vec<&Value> = spans.iter().filter(|s| s["links"][0].is_object()).collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0]["links"][0]["spanId"], spans[0]["spanId"]);
}

#[test]
fn otlp_joins_the_trace_that_a_recorded_environment_names() {
    let context = |trace: char, span: char| {
        format!("00-{}-{}-01", trace.to_string().repeat(32), span.to_string().repeat(16))
    };
    let with = |mut start: Value, text: String| {
        start["env"] = json!({"TRACEPARENT": text});
        start
    };
    // The shell and its first child have one context, which the child has only inherited; the second was given one
    // of its own, and what the third has is none.
    let trace = document(vec![
        with(start(0, None), context('a', 'b')),
        with(start(1, Some(0)), context('a', 'b')),
        with(start(2, Some(0)), context('c', 'd')),
        with(start(3, Some(0)), "nonsense".to_owned()),
        start(4, Some(2)),
        start(5, None),
    ]);
    let spans = spans(convert(source(&trace), Format::Otlp));
    let span = |n: u64| {
        let id = start(n, None)["start_id"].clone();
        let of = |span: &&Value| {
            let mut about = span["attributes"].as_array().unwrap().iter();
            about.any(|one| one["key"] == "startrace.start_id" && one["value"]["stringValue"] == id)
        };
        spans.iter().find(of).unwrap()
    };
    let trace_of = |n: u64| span(n)["traceId"].as_str().unwrap().chars().next().unwrap();
    assert_eq!((0..5).map(trace_of).collect::<String>(), "aacac");
    assert_eq!(span(0)["parentSpanId"], "b".repeat(16));
    assert_eq!(span(2)["parentSpanId"], "d".repeat(16));
    for (child, parent) in [(1, 0), (3, 0), (4, 2)] {
        assert_eq!(span(child)["parentSpanId"], span(parent)["spanId"], "{child}");
    }
    assert!(span(5).get("parentSpanId").is_none());
}

#[test]
fn otlp_keeps_arguments_only_if_asked() {
    let mut secret = start(0, None);
    secret["argv"] = json!(["psql", "--password=hunter2"]);
    secret["method"]["evidence"] = json!(["argv: hunter2"]);
    let trace = document(vec![secret]);
    let waiting = text(convert(source(&stated()), Format::Otlp));
    assert!(waiting.contains("wait disk") && !waiting.contains("secret"));
    let plain = text(convert(source(&trace), Format::Otlp));
    assert!(!plain.contains("hunter2") && plain.contains("[redacted]") && plain.contains("psql"), "{plain}");
    let options = Options { command_lines: true, ..Options::default() };
    assert!(text(convert_with(source(&trace), Format::Otlp, &options)).contains("--password=hunter2"));
}

/// Cells by RFC 4180.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) if chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(c),
        }
    }
    assert!(!quoted && row.is_empty() && cell.is_empty());
    rows
}

#[test]
fn csv_has_one_row_for_each_start_and_every_cell_is_whole() {
    for file in samples() {
        let loaded = read::load(&file).unwrap();
        let rows = cells(&text(convert_file(&file, Format::Csv)));
        assert_eq!(rows.len(), loaded.starts.len() + 1);
        let column = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
        let phases = column("unobserved_ns")..=column("other_ns");
        for (row, start) in rows[1..].iter().zip(&loaded.starts) {
            assert_eq!(row.len(), rows[0].len());
            let sum: u64 = row[phases.clone()].iter().filter_map(|cell| cell.parse::<u64>().ok()).sum();
            assert_eq!(sum, start.timeline.duration_ns);
            assert_eq!(row[column("start_id")], start.start_id);
            let code = start.exit.as_ref().and_then(|exit| exit.code).map(|code| code.to_string());
            assert_eq!(row[column("exit_code")], code.unwrap_or_default());
        }
    }
    let rows = cells(&text(convert(source(&stated()), Format::Csv)));
    let cell = |row: usize, name: &str| &rows[row][rows[0].iter().position(|cell| cell == name).unwrap()];
    let first = &stated()["starts"][0]["timeline"];
    assert_eq!(*cell(1, "main_child_ns"), first["states"]["blocked"]["child"].to_string());
    assert_eq!(*cell(1, "path_running_ns"), first["path_ns"]["running"].to_string());
    assert_eq!((&**cell(1, "rss_bytes"), &**cell(1, "main_disk_ns")), ("10", ""));
    let rows = cells(&text(convert(source(&hostile()), Format::Csv)));
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
    for (row, text) in rows[1..].iter().zip(HOSTILE) {
        let argv: Vec<String> = serde_json::from_str(&row[column("argv")]).unwrap();
        assert_eq!(argv, [text, "--flag", text]);
        // What a terminal obeys is escaped; JSON does that by itself.
        let obeyed = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
        let comm = if text.contains(obeyed) { sanitize(text) } else { text.to_owned() };
        assert_eq!(row[column("comm")].trim_start_matches('\''), comm);
        assert!(!row.iter().any(|cell| cell.contains(obeyed)));
        assert!(!row[column("comm")].starts_with(['=', '+', '-', '@']));
    }
}

#[test]
fn ndjson_is_the_same_trace_with_its_amendments_inside() {
    for file in samples() {
        let wanted = read::load(&file).unwrap();
        let bytes = convert_file(&file, Format::Ndjson);
        let got = read::Reader::new("export".into(), Box::new(std::io::Cursor::new(bytes)))
            .unwrap()
            .load()
            .unwrap();
        assert_eq!(got.starts, wanted.starts, "{}", file.display());
        assert_eq!(got.failed_forks, wanted.failed_forks);
        assert_eq!(got.session, wanted.session);
        assert_eq!(got.groups, wanted.groups);
        assert_eq!(got.unmatched_lines, 0);
    }
}

/// Fields of a message: number, and value or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                all.push((tag >> 3, varint(&mut bytes), &[][..]));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        let number = if tag & 7 == 1 { u64::from_le_bytes(value.try_into().unwrap()) } else { 0 };
        all.push((tag >> 3, number, value));
        bytes = rest;
    }
    all
}

#[test]
fn perfetto_slices_are_balanced_on_described_tracks() {
    let mut traces: Vec<Vec<u8>> =
        samples().iter().map(|file| convert_file(file, Format::Perfetto)).collect();
    traces.push(convert(source(&hostile()), Format::Perfetto));
    traces.push(convert(source(&stated()), Format::Perfetto));
    for trace in traces {
        let (mut tracks, mut begun, mut flows) = (HashSet::new(), HashMap::new(), HashMap::new());
        let mut events = 0;
        for (field, _, packet) in fields(&trace) {
            assert_eq!(field, 1);
            let packet = fields(packet);
            for &(field, _, message) in &packet {
                let message = fields(message);
                let number = |field| message.iter().find(|f| f.0 == field).map(|f| f.1);
                match field {
                    60 => assert!(tracks.insert(number(1).unwrap()), "a track is described twice"),
                    11 => {
                        events += 1;
                        let track = number(11).unwrap();
                        assert!(tracks.contains(&track), "{track} is not described");
                        assert!(packet.iter().any(|f| f.0 == 8), "no time");
                        match number(9).unwrap() {
                            1 => *begun.entry(track).or_insert(0) += 1,
                            2 => *begun.get_mut(&track).unwrap() -= 1,
                            3 | 4 => {}
                            other => panic!("type {other}"),
                        }
                        for end in [47, 48] {
                            if let Some(flow) = number(end) {
                                *flows.entry(flow).or_insert(0) += end;
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        assert!(begun.values().all(|&open| open == 0), "{begun:?}");
        assert!(flows.values().all(|&ends| ends == 47 + 48), "{flows:?}");
        assert!(events > 0 || tracks.len() == 1);
    }
}

fn startrace() -> Command {
    Command::new(env!("CARGO_BIN_EXE_startrace"))
}

#[test]
fn the_command_reads_pipes_and_leaves_whole_files_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let mut child = startrace()
        .args(["export", "-", "--to", "csv", "-o"])
        .arg(&out)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(sample().to_string().as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let first = std::fs::read(&out).unwrap();
    assert_eq!(first, convert(source(&sample()), Format::Csv));

    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, sample().to_string().replace("\"pid\"", "\"dip\"")).unwrap();
    let done = startrace().arg("export").arg(&broken).args(["--to", "csv", "-o"]).arg(&out).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(std::fs::read(&out).unwrap(), first, "an error cost the older file");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "something was left behind");
}

#[test]
fn the_command_says_what_to_do() {
    let file = export_traces::folder("fixtures/traces/shell-pipeline.json");
    let run = |args: &[&str]| {
        let done = startrace().arg("export").arg(&file).args(args).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, said) = run(&["--to", "otlp", "--endpoint", "https://collector"]);
    assert!(code == 2 && said.contains("no TLS") && said.contains("http://"), "{said}");
    let (code, said) = run(&["--to", "profile"]);
    assert!(code == 0 && said.contains("the export is empty: record with --profile"), "{said}");
    let (code, said) = run(&["--to", "csv", "--endpoint", "http://localhost"]);
    assert!(code == 2 && said.contains("--endpoint is for --to otlp only"), "{said}");
    let (code, said) = run(&["--to", "csv", "--otlp-format", "json"]);
    assert!(code == 2 && said.contains("--otlp-format is for --to otlp only"), "{said}");
    let (code, said) = run(&["--to", "otlp", "--traceparent", "x"]);
    assert!(code == 2 && said.contains("00-<32 hex digits>"), "{said}");
    let (code, said) = run(&["--to", "csv", "-o", "/"]);
    assert!(code == 1 && said.contains("name a file"), "{said}");
    let closed = format!("{} export {} --to folded | true", env!("CARGO_BIN_EXE_startrace"), file.display());
    let done = Command::new("bash").args(["-o", "pipefail", "-c", &closed]).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
}
