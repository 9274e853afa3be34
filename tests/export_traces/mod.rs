//! Traces for the tests of exports and of the HTML page: the samples, and ones that are made to break them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use startrace::export::{self, Format, Options, Source};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// What must come through every format whole, and do nothing on the way.
pub const HOSTILE: [&str; 9] = [
    "</script><script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\">",
    "<!-- <script> ]]> --> &amp; &#x3c; \u{2028}\u{2029}",
    "quotes ' \" ` and \\ back\\\\slashes",
    "right-to-left \u{202e}gnp.exe\u{202c} and \u{200b}zero width",
    "controls \u{1b}[31m\u{9b}31m\u{7}\r\n\t\u{85}",
    "=HYPERLINK(\"http://evil\",\"x\");semi;colons, commas",
    "raw bytes \u{ef80}\u{efff} and \u{10ffff} \u{1f600}",
    "javascript:alert(1)",
];

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The sample traces: documents, and a spool.
pub fn samples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder("fixtures/traces")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    files
}

pub fn sample() -> Value {
    let text = std::fs::read_to_string(folder("fixtures/traces/python-spawn-pool.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A start for traces that are made here: `n` milliseconds after the first, child of `parent`.
pub fn start(n: u64, parent: Option<u64>) -> Value {
    let mut start = sample()["starts"][1].clone();
    let id = |n: u64| format!("{}@{}", 1000 + n % 30_000, 1_000_000_000 + n * 1_000_000);
    start["id"] = id(n).into();
    start["start_id"] = format!("{}/0", id(n)).into();
    start["pid"] = (1000 + n % 30_000).into();
    start["ns_pid"] = start["pid"].clone();
    start["parent"] = match parent {
        Some(parent) => json!({"start_id": format!("{}/0", id(parent)), "id": id(parent),
            "pid": 1000 + parent % 30_000, "comm": "parent"}),
        None => json!({"start_id": null, "id": "1@1", "pid": 1, "comm": "init"}),
    };
    start["timeline"]["origin_boottime_ns"] = (1_000_000_000 + n * 1_000_000).into();
    start
}

/// A document of these starts.
pub fn document(starts: Vec<Value>) -> Value {
    let mut trace = sample();
    trace["starts"] = starts.into();
    trace["groups"] = json!([]);
    trace
}

/// Every string that a process can choose is hostile, and numbers are absurd.
pub fn hostile() -> Value {
    let mut starts = Vec::new();
    for (i, text) in (0u64..).zip(HOSTILE) {
        let mut start = start(i, i.checked_sub(1));
        for field in ["comm", "exe", "cwd", "cgroup", "unit"] {
            start[field] = text.into();
        }
        start["argv"] = json!([text, "--flag", text]);
        start["method"]["name"] = text.into();
        start["method"]["evidence"] = json!([text]);
        start["container"] = json!({"id": text, "runtime": text, "pod": text});
        start["binary"]["runtime"] = text.into();
        start["execs"] = json!([{"at_ns": 1, "duration_ns": null, "path": text, "interpreter": text,
            "error": text}]);
        start["timeline"]["milestones"] =
            json!([{"name": text, "at_ns": 5, "detail": text, "inferred": true}]);
        start["timeline"]["ready"]["detail"] = text.into();
        start["timeline"]["runtime"] = json!({"language": text,
            "stages": [{"name": text, "at_ns": u64::MAX, "duration_ns": u64::MAX}],
            "threads": [{"role": text, "n": u64::MAX, "running_ns": u64::MAX, "runnable_ns": u64::MAX}]});
        start["exit"] = json!({"code": null, "signal": text, "core": true,
            "killed_by": {"start_id": null, "id": null, "pid": 7, "comm": text}, "at_ns": 9});
        starts.push(start);
    }
    let mut long = start(20, Some(0));
    long["argv"] = json!(["long", "x".repeat(100 << 10)]);
    long["argv_bytes"] = (100 << 10).into();
    starts.push(long);
    let mut many = start(21, Some(0));
    many["argv"] = vec!["many"; 20_000].into();
    starts.push(many);
    let mut absurd = start(22, Some(22));
    absurd["timeline"]["origin_boottime_ns"] = u64::MAX.into();
    absurd["timeline"]["duration_ns"] = u64::MAX.into();
    absurd["timeline"]["started_at"] = "the day before".into();
    absurd["timeline"]["phases"] = json!([
        {"name": "app", "at_ns": u64::MAX, "duration_ns": u64::MAX, "exec": u32::MAX},
        {"name": "", "at_ns": 0, "duration_ns": 0, "exec": null}]);
    starts.push(absurd);
    let mut bare = start(23, None);
    for field in ["parent", "exe", "argv", "cwd", "uid", "binary", "exit", "container"] {
        bare[field] = Value::Null;
    }
    (bare["comm"], bare["execs"]) = ("".into(), json!([]));
    bare["timeline"]["phases"] = json!([]);
    bare["timeline"]["phase_ns"] = json!({});
    starts.push(bare);
    document(starts)
}

/// The sample with states, waits and a critical path: of each phase but the first two the main thread
/// runs in the first third, waits in the second, and runs in the last; the wait is for the first child, if
/// there is one, and for the disk otherwise.
pub fn stated() -> Value {
    let mut trace = sample();
    let starts = trace["starts"].as_array().unwrap().clone();
    for start in trace["starts"].as_array_mut().unwrap() {
        let child = starts.iter().find(|other| other["parent"]["start_id"] == start["start_id"]);
        let (mut path, mut waits) = (Vec::new(), Vec::new());
        let (mut sums, mut blocked) = ([0u64; 3], serde_json::Map::new());
        for phase in start["timeline"]["phases"].as_array().unwrap() {
            let (at, ns) = (phase["at_ns"].as_u64().unwrap(), phase["duration_ns"].as_u64().unwrap());
            let mut push = |at: u64, ns: u64, state: &str, whose: &Value| {
                path.push(
                    json!({"at_ns": at, "duration_ns": ns, "start_id": whose["start_id"], "tid": whose["pid"],
                    "phase": phase["name"], "state": state, "detail": null}),
                );
            };
            match phase["name"].as_str().unwrap() {
                "fork" => {
                    push(at, ns, "creating", start);
                    sums[0] += ns;
                }
                "schedule" => {
                    push(at, ns, "runnable", start);
                    sums[1] += ns;
                }
                _ => {
                    let third = ns / 3;
                    let kind = if child.is_some() { "child" } else { "disk" };
                    push(at, third, "running", start);
                    push(
                        at + third,
                        third,
                        if child.is_some() { "running" } else { "disk" },
                        child.unwrap_or(start),
                    );
                    push(at + 2 * third, ns - 2 * third, "running", start);
                    sums[2] += ns - third;
                    let sum = blocked.get(kind).and_then(Value::as_u64).unwrap_or(0);
                    blocked.insert(kind.into(), (sum + third).into());
                    waits.push(json!({"at_ns": at + third, "duration_ns": third, "runnable_ns": 0, "tid": start["pid"],
                        "kind": kind, "syscall": "wait4", "detail": "pid 4243 (secret --token)",
                        "woken_by": {"kind": "task", "pid": 4243, "comm": "python3"}}));
                }
            }
        }
        let timeline = &mut start["timeline"];
        timeline["states"] = json!({"creating_ns": sums[0], "runnable_ns": sums[1], "running_ns": sums[2],
            "exited_ns": 0, "unknown_ns": 0, "blocked": blocked});
        let mut by_state = serde_json::Map::new();
        for segment in &path {
            let state = segment["state"].as_str().unwrap();
            let sum = by_state.get(state).and_then(Value::as_u64).unwrap_or(0);
            by_state.insert(state.into(), (sum + segment["duration_ns"].as_u64().unwrap()).into());
        }
        timeline["path_ns"] = by_state.into();
        timeline["critical_path"] = path.into();
        timeline["waits"] = waits.into();
        timeline["threads"] = json!([{"tid": 99, "comm": "worker", "running_ns": 5, "runnable_ns": 1}]);
        let app = timeline["phases"].as_array().unwrap().last().unwrap().clone();
        let (at, ns) = (app["at_ns"].as_u64().unwrap(), app["duration_ns"].as_u64().unwrap());
        timeline["runtime"] = json!({"language": "jvm", "stages": [
                {"name": "runtime", "at_ns": at, "duration_ns": ns / 2},
                {"name": "loading", "at_ns": at + ns / 2, "duration_ns": ns - ns / 2}],
            "threads": [{"role": "jit", "n": 2, "running_ns": 90_000_000, "runnable_ns": 1_000_000},
                {"role": "gc", "n": 6, "running_ns": 1_000_000, "runnable_ns": 0}]});
        timeline["counters"] = json!({"user_ns": 3, "system_ns": 4, "minor_faults": 5, "major_faults": 6,
            "voluntary_switches": 7, "involuntary_switches": 8, "read_bytes": 9, "rss_bytes": 10, "threads": 2});
    }
    trace
}

/// The file of a trace that is a JSON value.
pub fn source(trace: &Value) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(trace.to_string().as_bytes()).unwrap();
    file.rewind().unwrap();
    Source::new("test".into(), file)
}

pub fn convert_with(mut source: Source, format: Format, options: &Options) -> Vec<u8> {
    let outline = source.outline().unwrap();
    let mut out = Vec::new();
    export::export(&mut source, &outline, &mut *format.exporter(options), &mut out).unwrap();
    out
}

pub fn convert(source: Source, format: Format) -> Vec<u8> {
    convert_with(source, format, &Options::default())
}

pub fn convert_file(path: &Path, format: Format) -> Vec<u8> {
    convert(Source::open(path).unwrap(), format)
}
