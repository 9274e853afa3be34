//! Reproducers and negative controls of findings without root: the event streams that `cargo xtask findings
//! --record` keeps of real programs, held against the same table (tests/findings/findings.toml). And the
//! corpus of start methods, in which nothing critical may be found that a person would call wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use startrace::diagnose::{Diagnoser, Thresholds};
use startrace::timeline::replay::{Replayed, replay};
use startrace::trace::schema::{Header, Host, SCHEMA, Start, Tool};
use std::collections::HashMap;
use std::path::Path;
use xtask::cases::{self, Outcome};
use xtask::streams::{self, Stream};

const ANEW: &str = "record anew: cargo xtask findings --record";

fn header() -> Header {
    Header {
        schema: SCHEMA.into(),
        tool: Tool { name: "startrace".into(), version: "0".into() },
        host: Host {
            hostname: "h".into(),
            kernel: "6".into(),
            arch: "x86_64".into(),
            boot_id: None,
            cpus: 2,
            cpu_model: None,
            cpu_quota: None,
        },
    }
}

/// Per start and joined.
fn diagnose(replayed: &mut Replayed) -> Value {
    let mut diagnoser = Diagnoser::new(Thresholds::default());
    diagnoser.header(&header());
    for start in &mut replayed.starts {
        start.findings = diagnoser.start(start);
    }
    let said = diagnoser.finish(&replayed.groups, None, None);
    assert!(!said.verdict.is_empty());
    // Of workers that nothing tells the readiness of, the end is known.
    if let Some(first) = said.verdict.first().filter(|first| first.contains("workers, the last ready ")) {
        let ready = |start: &Start| {
            let kind = start.timeline.ready.kind.as_str();
            first.contains(&format!(" {} workers", start.method.name)) && !["exit", "timeout"].contains(&kind)
        };
        assert!(replayed.starts.iter().any(ready), "{first}");
    }
    json!(said.diagnosis.findings)
}

fn recorded(folder: &str) -> Vec<Stream> {
    let files = streams::files(Path::new(folder)).unwrap();
    files.iter().flat_map(|file| streams::read(file).unwrap()).collect()
}

/// No start is cheaper without a finding than nothing, and no saving is more than the whole.
fn sound(job: &str, starts: &[Start], findings: &Value) {
    for start in starts {
        for finding in &start.findings {
            let whole = start.timeline.duration_ns;
            assert!(finding.cost_ns.unwrap_or(0) <= whole, "{job}: {finding:?} of {whole}");
            assert_eq!(finding.cost_ns.is_some(), finding.basis.is_some(), "{job}: {finding:?}");
            if finding.id == "fixed-sleep" {
                // No more than the path has of it, however many threads sleep at the same time.
                let path = ["sleep", "poll", "futex"].map(|state| start.timeline.path_ns.get(state));
                let slept: u64 = path.into_iter().flatten().sum();
                assert!(finding.cost_ns.unwrap_or(0) <= slept, "{job}: {finding:?} of {slept}");
            }
            if finding.id == "constructors" {
                // A constructor is not slow because its process has to wait for a CPU.
                let path = start.timeline.critical_path.iter().filter(|segment| segment.state != "runnable");
                let phases = start.timeline.phases.iter().filter(|phase| phase.name == "init");
                let both =
                    |(from, to): (u64, u64), (at, end): (u64, u64)| end.min(to).saturating_sub(at.max(from));
                let init: Vec<_> =
                    phases.map(|phase| (phase.at_ns, phase.at_ns + phase.duration_ns)).collect();
                let busy: u64 = path
                    .map(|segment| (segment.at_ns, segment.at_ns + segment.duration_ns))
                    .map(|segment| init.iter().map(|init| both(*init, segment)).sum::<u64>())
                    .sum();
                assert!(finding.cost_ns.unwrap_or(0) <= busy, "{job}: {finding:?} of {busy}");
            }
            if finding.summary.contains(" for its child ") {
                // A grandchild has most of the time, and is no child.
                let helper = finding.evidence["helper"].as_str().unwrap();
                let process = |id: &str| id.split('/').next().unwrap().to_owned();
                let parent =
                    starts.iter().find(|other| other.start_id == helper).and_then(|it| it.parent.as_ref());
                let parent = parent.and_then(|parent| parent.id.clone());
                // With CLONE_PARENT the kernel's word for it is the wait.
                let pid = format!("pid {} ", helper.split('@').next().unwrap());
                let details = start.timeline.waits.iter().filter(|wait| wait.kind == "child");
                let is_waited_for =
                    details.filter_map(|wait| wait.detail.as_deref()).any(|detail| detail.starts_with(&pid));
                let is_parent = parent.is_none_or(|parent| parent == process(&start.start_id));
                assert!(is_parent || is_waited_for, "{job}: {finding:?}");
            }
            assert!(!finding.summary.is_empty() && !finding.advice.is_empty(), "{job}: {finding:?}");
        }
    }
    let ends = starts.iter().map(|s| s.timeline.origin_boottime_ns + s.timeline.duration_ns);
    let begins = starts.iter().map(|s| s.timeline.origin_boottime_ns);
    let span = ends.max().unwrap_or(0) - begins.min().unwrap_or(0);
    for found in findings.as_array().unwrap() {
        assert!(found["saves_ns"].as_u64().unwrap_or(0) <= span, "{job}: {found} of {span}");
        assert!(!found["what"].as_str().unwrap().is_empty(), "{job}: {found}");
        assert!(found["n"].as_u64().unwrap() >= 1, "{job}: {found}");
        let known = |id: &Value| starts.iter().any(|start| Some(start.start_id.as_str()) == id.as_str());
        assert!(found["starts"].as_array().unwrap().iter().all(known), "{job}: {found}");
        assert!(!found["starts"].as_array().unwrap().is_empty(), "{job}: {found}");
    }
}

#[test]
fn recorded_reproducers_fire_and_controls_do_not() {
    let all = cases::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut outcomes: HashMap<String, Outcome> = HashMap::new();
    for Stream { whose, events } in recorded(cases::FOLDER) {
        let job = &whose.job;
        let case = all.iter().find(|case| case.name == *job);
        let case = case.unwrap_or_else(|| panic!("{job} is not in the table; {ANEW}"));
        let mut replayed = replay(events.as_bytes()).unwrap_or_else(|why| panic!("{job}: {why}"));
        assert_eq!((replayed.missed, replayed.unasked), (Default::default(), 0), "{job}");
        let findings = diagnose(&mut replayed);
        sound(job, &replayed.starts, &findings);
        outcomes.insert(job.clone(), case.judge(&findings, &whose.told));
    }
    let mut wrong = Vec::new();
    for case in &all {
        let Some(outcome) = outcomes.get(&case.name) else {
            assert!(case.needs.is_some(), "no stream of {}; {ANEW}", case.name);
            continue;
        };
        let other = case.instead().and_then(|other| outcomes.get(other));
        if let Some(why) = case.wrong(outcome, other) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}\n{ANEW}", wrong.join("\n"));
}

#[test]
fn nothing_critical_is_wrong_in_the_corpus() {
    let mut found = Vec::new();
    let mut starts = 0;
    for Stream { whose, events } in recorded(streams::FOLDER) {
        let job = &whose.job;
        let mut replayed = replay(events.as_bytes()).unwrap();
        let findings = diagnose(&mut replayed);
        sound(job, &replayed.starts, &findings);
        starts += replayed.starts.len();
        for joined in findings.as_array().unwrap() {
            if joined["severity"] == "critical" {
                found.push(format!("{job}: {}: {}", joined["id"], joined["summary"]));
            }
        }
    }
    assert!(starts > 300, "{starts}");
    println!("{}", found.join("\n"));
    let unexpected: Vec<&String> = found.iter().filter(|line| !is_right(line)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

/// What was looked at, and is right: programs that sleep on purpose for 100 ms and more, and starts that did wait
/// for a CPU or for storage, as the machine was busy when they were recorded; on such a machine the workers of
/// multiprocessing's spawn took a second to import again what their parent had. No other finding is critical there.
fn is_right(line: &str) -> bool {
    let is = |id: &str| line.contains(&format!(": \"{id}\": "));
    ["fixed-sleep", "cpu-starved", "cold-cache"].into_iter().any(is)
        || is("spawn-reimport") && line.starts_with("python/mp_") && line.contains("_spawn")
}
