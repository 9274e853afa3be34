//! Numbers of a report against each other and against the trace, over every event stream that is kept of real programs:
//! what says that it is a sum of others is that, and what is counted twice is the same both times.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use regex_lite::Regex;
use serde_json::{Value, json};
use startrace::diagnose::{Diagnoser, Thresholds};
use startrace::report::{Digest, Style, render};
use startrace::timeline::replay::{Replayed, replay};
use startrace::trace::read;
use startrace::trace::schema::{Header, SCHEMA};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use xtask::{cases, streams};

/// Nothing is broken into lines.
const WIDE: Style = Style { width: 4_000, color: false, unicode: true };

static DURATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[ (])([0-9.]+) (ns|us|ms|s)\b").unwrap());
static PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|, )(?:rest )?([0-9.]+) (ns|us|ms|s)\b").unwrap());
static SENTENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([0-9.]+) (ns|us|ms|s)( of ([0-9.]+) (ns|us|ms|s))?: (.*)$").unwrap());
static MODULES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"of (more than )?([0-9,]+) module").unwrap());
static STORM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([0-9,]+) short processes one after the other, ([0-9.]+) (ns|us|ms|s)").unwrap()
});
static THROUGH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"its path leads through ([0-9,]+) of them").unwrap());
static MEMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|, )([0-9,]+) \S+").unwrap());
static TOTAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^  (\S+) +([0-9,]+) (.*)$").unwrap());
static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^([0-9,]+) starts").unwrap());
static MORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^([0-9]+) findings? more below\.$").unwrap());

/// Every stream that is kept, by name.
fn recorded() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in [streams::FOLDER, cases::FOLDER] {
        for file in streams::files(&root.join(folder)).unwrap() {
            let streams = streams::read(&file).unwrap();
            all.extend(streams.into_iter().map(|stream| (stream.whose.job, stream.events)));
        }
    }
    for entry in fs::read_dir(root.join("tests/fixtures/events")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "ndjson") {
            all.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

fn trace(mut replayed: Replayed) -> Value {
    let mut trace = json!({
        "schema": SCHEMA, "tool": {"name": "startrace", "version": "0"},
        "host": {"hostname": "h", "kernel": "6", "arch": "x86_64", "cpus": 2},
    });
    let header: Header = serde_json::from_value(trace.clone()).unwrap();
    let mut diagnoser = Diagnoser::new(Thresholds::default());
    diagnoser.header(&header);
    for start in &mut replayed.starts {
        start.findings = diagnoser.start(start);
    }
    let said = diagnoser.finish(&replayed.groups, None, None);
    trace["starts"] = json!(replayed.starts);
    trace["groups"] = json!(replayed.groups);
    trace["findings"] = json!(said.diagnosis.findings);
    trace["not_examined"] = json!(said.diagnosis.not_examined);
    trace
}

/// Its report, with one blank for each that must not be broken.
fn report(trace: &Value, all: bool) -> String {
    let bytes = std::io::Cursor::new(trace.to_string().into_bytes());
    let digest = Digest::read(read::Reader::new("test".into(), Box::new(bytes)).unwrap()).unwrap();
    let mut out = Vec::new();
    render(&digest, all, &WIDE, &mut out).unwrap();
    String::from_utf8(out).unwrap().replace('\u{a0}', " ")
}

/// A duration in nanoseconds, and by how much it may have been rounded.
fn parse(number: &str, unit: &str) -> (f64, f64) {
    let scale = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        _ => 1e9,
    };
    let digits = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let step = if unit == "ns" { 0.0 } else { scale / 10f64.powi(digits as i32) / 2.0 };
    (number.parse::<f64>().unwrap() * scale, step)
}

/// Every duration of a text.
fn durations(text: &str) -> Vec<(f64, f64)> {
    DURATION.captures_iter(text).map(|found| parse(&found[1], &found[2])).collect()
}

fn sum(all: &[(f64, f64)]) -> (f64, f64) {
    all.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Is a list as long as is said, but for what is left out of it because it does not matter?
fn adds_up(parts: &[(f64, f64)], whole: (f64, f64), left_out: f64) -> bool {
    let (parts, slack) = sum(parts);
    let slack = slack + whole.1 + 1.0;
    parts <= whole.0 + slack && parts >= whole.0 * (1.0 - left_out) - slack
}

/// Without shares: `(94 %)`.
fn without_details(text: &str) -> String {
    let (mut depth, mut out) = (0usize, String::new());
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// The lines of one of the slowest starts, the first at its front.
fn slowest(text: &str) -> Vec<Vec<&str>> {
    let lines =
        text.lines().skip_while(|line| *line != "Slowest").skip(1).take_while(|line| !line.is_empty());
    let mut all: Vec<Vec<&str>> = Vec::new();
    for line in lines {
        match line.strip_prefix("           ") {
            Some(more) => all.last_mut().unwrap().push(more),
            None => all.push(vec![line]),
        }
    }
    all
}

/// One start's critical path: its sentences make its duration, and each sentence's list what it begins with.
fn path_adds_up(job: &str, block: &[&str], duration: (f64, f64)) -> usize {
    // A detail in parentheses may have numbers, too, and may be cut off.
    let told: Vec<_> = block.iter().skip(2).filter_map(|line| SENTENCE.captures(line)).collect();
    let Some(first) = told.first() else { return 0 };
    let whole = parse(&first[4], &first[5]);
    assert_eq!(whole, duration, "{job}: {block:#?}");
    let heads: Vec<_> = told.iter().map(|found| parse(&found[1], &found[2])).collect();
    // What is less than a fiftieth of it is left out.
    assert!(adds_up(&heads, whole, 0.02), "{job}: {block:#?}");
    for (found, head) in told.iter().zip(&heads) {
        let list = [", which was ", ", which were "].iter().find_map(|of| found[6].split_once(of));
        let list = list.map_or(&found[6], |(_, list)| list);
        let parts: Vec<_> = PART.captures_iter(list).map(|found| parse(&found[1], &found[2])).collect();
        assert!(parts.is_empty() || adds_up(&parts, *head, 0.02), "{job}: {}", &found[0]);
    }
    told.len()
}

/// Of a start's imports: its three parts, and what is listed of each.
fn imports_add_up(job: &str, block: &[&str], start: &Value) -> bool {
    let Some(head) = block.iter().position(|line| line.contains(" in app: ") && line.contains(" modules, "))
    else {
        return false;
    };
    let (line, imports) = (block[head], &start["timeline"]["imports"]);
    let number = |name: &str| imports[name].as_u64().unwrap_or(0) as f64;
    let parts = durations(line);
    let app = number("init_ns") + number("importing_ns") + number("code_ns");
    assert!(adds_up(&parts, (app, 0.0), 0.0), "{job}: {line}");
    let listed = block.get(head + 1).filter(|line| line.contains("longest imports: "));
    for part in listed.iter().flat_map(|line| line.split("; ")) {
        let (what, list) = part.split_once(": ").unwrap();
        let all = if what == "in its own start" { number("init_ns") } else { number("importing_ns") };
        let (sum, slack) = sum(&durations(list));
        assert!(sum <= all + slack, "{job}: {line}; {part}");
    }
    if let Some(found) = MODULES.captures(line) {
        let count: u64 = found[2].replace(',', "").parse().unwrap();
        let missing =
            imports["modules"].as_array().unwrap().iter().filter(|m| m["found"] == false).count() as u64;
        assert!(count <= imports["count"].as_u64().unwrap() - missing, "{job}: {line}");
        assert_eq!(found.get(1).is_some(), imports["left_out"] != 0, "{job}: {line}");
    }
    true
}

/// `A: 28 bash 43.6 ms, 5 readlink 4.73 ms`: as many as are said, and as long.
fn storm_adds_up(job: &str, finding: &Value) -> bool {
    let summary = finding["summary"].as_str().unwrap();
    let Some(found) = STORM.captures(summary) else { return false };
    let n = THROUGH.captures(summary).map_or(found[1].to_owned(), |found| found[1].to_owned());
    let Some((_, list)) = summary[found.get(0).unwrap().end()..].split_once(": ") else { return false };
    let list = list.split("; ").next().unwrap();
    let counts = MEMBER.captures_iter(list).map(|found| found[1].replace(',', "").parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), n.replace(',', "").parse::<u64>().unwrap(), "{job}: {summary}");
    assert!(adds_up(&durations(list), parse(&found[2], &found[3]), 0.0), "{job}: {summary}");
    true
}

/// The totals by method against the starts, and the pools against them and the verdict.
fn totals_add_up(job: &str, text: &str, trace: &Value) {
    let starts = trace["starts"].as_array().unwrap();
    let rows =
        text.lines().skip_while(|line| *line != "By method").skip(2).take_while(|line| !line.is_empty());
    let mut n = 0;
    for found in rows.filter_map(|line| TOTAL.captures(line)) {
        let of: Vec<&Value> = starts.iter().filter(|start| start["method"]["name"] == found[1]).collect();
        let of: Vec<&Value> = of.into_iter().filter(|start| start["partial"] == false).collect();
        let count: usize = found[2].replace(',', "").parse().unwrap();
        assert_eq!(count, of.len(), "{job}: {}", &found[0]);
        n += count;
        let times = durations(&found[3]);
        let ended = of.iter().filter(|start| start["timeline"]["ready"]["kind"] != "timeout");
        let ns: Vec<f64> = ended.map(|start| start["timeline"]["duration_ns"].as_f64().unwrap()).collect();
        if let [_, max, all] = times[..] {
            assert!(adds_up(&[all], (ns.iter().sum(), 0.0), 0.0), "{job}: {}", &found[0]);
            assert!(
                adds_up(&[max], (ns.iter().copied().fold(0.0, f64::max), 0.0), 0.0),
                "{job}: {}",
                &found[0]
            );
        }
    }
    let whole = starts.iter().filter(|start| start["partial"] == false).count();
    assert_eq!(n, whole, "{job}: {text}");
    // A worker that was ready is not said to be done, and what is not the verdict's is not said otherwise below.
    for line in text.lines().skip_while(|line| *line != "Pools").skip(1) {
        let Some((pool, told)) = line.split_once(": ").filter(|(pool, _)| pool.contains(" × ")) else {
            continue;
        };
        let method = pool.split(" × ").nth(1).unwrap().split(' ').next().unwrap();
        let is_ready = |start: &&Value| {
            start["method"]["name"] == method
                && !["exit", "timeout"].contains(&start["timeline"]["ready"]["kind"].as_str().unwrap())
        };
        let ready = starts.iter().any(|start| is_ready(&start));
        assert!(!told.contains(" done in") || !ready, "{job}: {line}");
        assert!(!told.contains(" ready in") || ready, "{job}: {line}");
        let verdict = text.lines().next().unwrap();
        if verdict.contains(&format!(" {method} workers")) {
            assert_eq!(verdict.contains("the last ready"), ready, "{job}: {verdict}");
        }
    }
}

#[test]
fn numbers_of_a_report_agree() {
    let (mut paths, mut imports, mut storms, mut phases) = (0, 0, 0, 0);
    for (job, events) in recorded() {
        let trace = trace(replay(events.as_bytes()).unwrap());
        let starts = trace["starts"].as_array().unwrap();
        for all in [false, true] {
            let text = report(&trace, all);
            for block in slowest(&text) {
                let duration = *durations(block[0]).first().unwrap();
                // Its phases, of which none is left out.
                let split = durations(&without_details(block[1]));
                assert!(adds_up(&split, duration, 0.0), "{job}: {block:#?}");
                phases += 1;
                paths += path_adds_up(&job, &block, duration);
                let pid = block[0].split("  pid ").nth(1).unwrap().split(' ').next().unwrap();
                let of_pid = starts.iter().filter(|start| start["pid"].as_u64() == pid.parse().ok());
                let start = of_pid.clone().next().filter(|_| of_pid.count() == 1);
                imports += usize::from(start.is_some_and(|start| imports_add_up(&job, &block, start)));
            }
            totals_add_up(&job, &text, &trace);
            // No more of a recording is spent starting than there is of it.
            let over = text.lines().next().filter(|line| line.contains(" of it starting"));
            if let Some([all, starting]) = over.map(durations).as_deref().and_then(|of| of.get(..2)) {
                assert!(starting.0 <= all.0 + all.1 + starting.1, "{job}: {text}");
            }
            // As many as are there: the one of the verdict, and those below.
            let told = text.lines().filter(|line| line.trim_start().starts_with("-> ")).count();
            let hidden =
                text.lines().find_map(|line| line.strip_prefix("  … and ")?.split(' ').next()?.parse().ok());
            if let (Some(found), false) = (MORE.captures(&text), all) {
                let (more, hidden): (usize, usize) = (found[1].parse().unwrap(), hidden.unwrap_or(0));
                assert!([told, told + hidden].contains(&(more + 1)), "{job}: {text}");
            }
        }
        let findings = trace["findings"].as_array().unwrap();
        for finding in findings {
            // As many as are named.
            let (n, named) =
                (finding["n"].as_u64().unwrap(), finding["starts"].as_array().unwrap().len() as u64);
            assert!(n == named || named >= 1_000, "{job}: {n} of {named}: {finding:#}");
            let told = COUNT.captures(finding["summary"].as_str().unwrap());
            let told = told.map(|found| found[1].replace(',', "").parse::<u64>().unwrap());
            assert!(told.is_none_or(|told| told == n), "{job}: {finding:#}");
        }
        storms += findings.iter().filter(|finding| storm_adds_up(&job, finding)).count();
    }
    println!("{phases} starts, {paths} sentences of paths, {imports} with imports, {storms} storms");
    assert!(phases > 400 && paths > 800 && imports > 20 && storms > 5);
}
