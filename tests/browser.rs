//! The HTML page in a real browser, and exports as speedscope itself reads them.
//!
//! Debian's Chromium, driven by playwright-core from npm: `cargo xtask test --all` installs them and runs
//! these. `STARTRACE_SHOTS=FOLDER` keeps screenshots.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod export_traces;
#[path = "traces/mod.rs"]
mod traces;

use export_traces::{convert, document, folder, hostile, source, start, stated};
use serde_json::{Value, json};
use startrace::export::Format;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use traces::{MS, jitter, spec, trace};

fn node<I: AsRef<OsStr>>(script: &str, args: &[I]) {
    for variable in ["STARTRACE_BROWSER", "STARTRACE_CHROMIUM"] {
        assert!(
            std::env::var_os(variable).is_some(),
            "{variable} is not set: cargo xtask test --all browser"
        );
    }
    let done = Command::new("node").arg(folder("browser").join(script)).args(args).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script}:\n{out}{error}");
    print!("{out}");
}

/// A trace and its page.
fn files(folder: &Path, trace: &Value) -> [PathBuf; 2] {
    let paths = [folder.join("trace.json"), folder.join("page.html")];
    std::fs::write(&paths[0], trace.to_string()).unwrap();
    std::fs::write(&paths[1], convert(source(trace), Format::Html)).unwrap();
    paths
}

#[test]
#[ignore = "needs a browser: cargo xtask test --all browser"]
fn the_page_shows_what_the_json_says() {
    let folder = tempfile::tempdir().unwrap();
    node("page.mjs", &files(folder.path(), &stated()));
}

#[test]
#[ignore = "needs a browser: cargo xtask test --all browser"]
fn the_page_shows_hostile_text_as_text() {
    let folder = tempfile::tempdir().unwrap();
    node("hostile.mjs", &files(folder.path(), &hostile()));
}

#[test]
#[ignore = "needs a browser and half a minute: cargo xtask test --all browser"]
fn a_page_of_100_000_starts_is_there_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let n = 100_000;
    let template = start(0, None);
    let child = |i: u64| {
        let mut start = template.clone();
        let id = |i: u64| format!("{}@{}", 1000 + i % 30_000, 1_000_000_000 + i * 100_000);
        start["id"] = id(i).into();
        start["start_id"] = format!("{}/0", id(i)).into();
        start["pid"] = (1000 + i % 30_000).into();
        start["argv"] = json!(["python3", "/srv/worker.py", format!("--job-{i}")]);
        start["timeline"]["origin_boottime_ns"] = (1_000_000_000 + i * 100_000).into();
        if i >= 50 {
            start["parent"] = json!({"start_id": format!("{}/0", id(i % 50)), "id": id(i % 50), "pid": 1000 + i % 50,
                "comm": "python3"});
        }
        start
    };
    let trace = document((0..n).map(child).collect());
    let [_, page] = files(folder.path(), &trace);
    node("large.mjs", &[n.to_string().into(), page.into_os_string()]);
}

#[test]
#[ignore = "needs a browser: cargo xtask test --all browser"]
fn speedscope_reads_chrome_folded_and_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let trace = stated();
    let starts = trace["starts"].as_array().unwrap();
    let sum: u64 = starts.iter().map(|start| start["timeline"]["duration_ns"].as_u64().unwrap()).sum();
    for (format, name, shown, sum) in [
        (Format::Folded, "x.folded", "x.folded", sum),
        (Format::Speedscope, "x.speedscope.json", "all 11 starts", sum),
        (Format::Chrome, "x.trace.json", "pool.py", 0),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, convert(source(&trace), format)).unwrap();
        node("speedscope.mjs", &[file.into_os_string(), shown.into(), sum.to_string().into()]);
    }
}

#[test]
#[ignore = "needs a browser: cargo xtask test --all browser"]
fn two_sides_are_one_page() {
    let runs = |ms: u64, helper_ms: u64| -> Vec<Value> {
        let run = |i: u64| {
            let mut root = spec(100 + i, None, "app --port 8080", jitter(ms * MS, i));
            let helper = spec(900 + i, Some(100 + i), "helper -v", jitter(helper_ms * MS, i));
            let rest = root.duration() - 21 * MS - helper.duration();
            let of_helper: &'static str = Box::leak(format!("running:{}", 900 + i).into_boxed_str());
            root.path =
                vec![("creating", MS), ("sleep", 20 * MS), ("running", rest), (of_helper, helper.duration())];
            trace(&[root, helper])
        };
        (0..9).map(run).collect()
    };
    for (name, base, new, verdict) in [
        ("diff", runs(100, 40), runs(150, 90), "NEW is slower"),
        ("diff-hostile", vec![hostile()], vec![hostile(), stated()], "too few samples"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("diff.html");
        let mut diff = Command::new(env!("CARGO_BIN_EXE_startrace"));
        diff.arg("diff");
        for (side, traces) in [("--base", base), ("--new", new)] {
            diff.arg(side);
            for (i, trace) in traces.iter().enumerate() {
                diff.arg(traces::write(folder.path(), &format!("{side}{i}.json"), trace));
            }
        }
        let done = diff.arg("--html").arg(&page).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        node("diff.mjs", &[page.as_os_str(), name.as_ref(), verdict.as_ref()]);
    }
}
