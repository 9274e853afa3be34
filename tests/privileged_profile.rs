//! `--profile`: which functions ran in a start, against a program that spends known times in known places.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Built, compile, record, record_unchecked, require_root, script};
use serde_json::Value;
use std::process::Command;

/// The program, with symbols and without.
fn spinners() -> Built {
    let built = Built::new();
    for (name, more) in [("spin", &[][..]), ("stripped", &["-s"])] {
        let flags = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
        let (source, to) = (script("profile.c"), built.path(name));
        compile("gcc", &[&flags, more, &["-o", &to, source.to_str().unwrap()]].concat());
    }
    built
}

fn n(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value:#}"))
}

fn profile(start: &Value) -> &Value {
    let profile = &start["timeline"]["profile"];
    assert!(profile.is_object(), "{:#}", start["timeline"]);
    let sum = |list: &str, field: &str| -> u64 {
        profile[list].as_array().unwrap().iter().map(|one| n(one, field)).sum()
    };
    assert_eq!(sum("functions", "own") + n(profile, "functions_left_out"), n(profile, "samples"));
    assert_eq!(sum("stacks", "samples") + n(profile, "stacks_left_out"), n(profile, "samples"));
    profile
}

/// Samples whose stack holds all of these, in this order.
fn through(profile: &Value, functions: &[&str]) -> u64 {
    let holds = |stack: &&Value| {
        let mut frames = stack["frames"].as_array().unwrap().iter();
        functions.iter().all(|function| frames.any(|frame| frame == function))
    };
    profile["stacks"].as_array().unwrap().iter().filter(holds).map(|stack| n(stack, "samples")).sum()
}

/// What `cpu-bound` advises.
fn advice_on_computing(start: &Value) -> &str {
    let findings = start["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == "cpu-bound");
    found.unwrap_or_else(|| panic!("{findings:#?}"))["advice"].as_str().unwrap()
}

#[test]
fn known_functions_have_their_shares() {
    require_root();
    let built = spinners();
    let recorded = record(&["-q", "--profile", "997"], &[built.path("spin")]);
    let start = &recorded.starts()[0];
    let profile = profile(start);
    assert_eq!((n(profile, "hz"), n(profile, "period_ns")), (997, 1_003_009));
    // Every sample stands for its period of the time on a CPU.
    let running = n(&start["timeline"]["states"], "running_ns");
    let sampled = n(profile, "samples") * n(profile, "period_ns");
    assert!(sampled.abs_diff(running) < running / 10, "{sampled} sampled, {running} running");
    let outer = through(profile, &["main", "spin_outer", "spin_inner"]);
    let other = through(profile, &["main", "spin_other", "spin_inner"]);
    assert!((120..=165).contains(&outer) && (38..=60).contains(&other), "{outer} {other}: {profile:#}");
    let first = &profile["functions"][0];
    assert_eq!((&first["function"], &first["phase"]), (&"spin_inner".into(), &"app".into()));
    assert_eq!(first["module"].as_str(), Some(&*built.path("spin")));
    let hooks = recorded.trace["session"]["hooks"].as_array().unwrap();
    assert!(hooks.contains(&"perf_event/cpu-clock".into()));
    // Nobody is advised to look for what has been found.
    assert!(advice_on_computing(start).contains("what ran most, by its samples: spin_inner, "));

    let trace = recorded.folder.path().join("trace.json");
    let exported =
        Command::new(common::startrace()).args(["export", "--to", "profile"]).arg(&trace).output().unwrap();
    let folded = String::from_utf8(exported.stdout).unwrap();
    let line = folded.lines().find(|line| line.contains("main;spin_outer;spin_inner ")).unwrap();
    assert!(line.contains(";app;"), "{line}");
    let total: u64 =
        folded.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(total, sampled);
    let report = Command::new(common::startrace()).arg("report").arg(&trace).output().unwrap();
    assert!(String::from_utf8_lossy(&report.stdout).contains("spin_inner"), "{report:?}");
}

#[test]
fn what_has_no_names_says_so_and_children_have_their_own() {
    require_root();
    let built = spinners();
    let script = format!("{} & {}; wait", built.path("stripped"), built.path("spin"));
    let recorded = record(&["-q", "--profile", "997"], &["sh", "-c", &script]);
    let stripped = recorded.start_with_argv(&[&built.path("stripped")]);
    let first = &profile(stripped)["functions"][0];
    assert!(first["function"].is_null(), "{first}");
    assert_eq!(first["module"].as_str(), Some(&*built.path("stripped")));
    let spin = recorded.start_with_argv(&[&built.path("spin")]);
    assert_eq!(profile(spin)["functions"][0]["function"], "spin_inner");
    // Without the option there is none.
    let recorded = record(&["-q"], &[built.path("spin")]);
    assert!(recorded.starts()[0]["timeline"]["profile"].is_null());
    assert!(advice_on_computing(&recorded.starts()[0]).contains("--profile"));
}

#[test]
fn what_cannot_be_sampled_is_an_error_that_names_the_option() {
    require_root();
    for (args, exit) in
        [(["--profile", "0"], 2), (["--profile", "10001"], 2), (["--profile=99", "--level=lifecycle"], 2)]
    {
        let recorded = record_unchecked(&args, &["true"]);
        assert_eq!(recorded.status.code(), Some(exit), "{args:?}: {}", recorded.stderr);
        assert!(recorded.stderr.contains("--profile"), "{}", recorded.stderr);
    }
}
