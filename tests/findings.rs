//! Findings on traces made by hand: what they cost in wall time, what they share, what a verdict says, and that
//! nothing in a file breaks them. No root needed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use startrace::diagnose::{Diagnoser, Said, Thresholds};
use startrace::report::{Digest, Style, View, render_view, write_json};
use startrace::trace::read::{Item, Reader};
use startrace::trace::schema::{Basis, Group, Joined, Session, Severity, Start};
use std::ops::ControlFlow;

const MS: u64 = 1_000_000;

/// A start by its pid: born at `at` ms, over after `ms`; its path in pieces of (ms, owner's pid, state, detail).
fn start(pid: u32, parent: Option<u32>, at: u64, ms: u64, path: &[(u64, u32, &str, &str)]) -> Value {
    let id = |pid: u32| format!("{pid}@{pid}/0");
    let mut from = 0;
    let mut segments = Vec::new();
    let mut waits = Vec::new();
    for (length, of, state, detail) in path {
        let detail = (!detail.is_empty()).then_some(*detail);
        segments.push(json!({"at_ns": from * MS, "duration_ns": length * MS, "start_id": id(*of), "tid": of,
            "phase": "app", "state": state, "detail": detail}));
        let waiting = !matches!(*state, "running" | "runnable" | "creating");
        if *of == pid && waiting {
            waits.push(json!({"at_ns": from * MS, "duration_ns": length * MS, "runnable_ns": 0, "tid": pid,
                "kind": state, "syscall": null, "detail": detail, "woken_by": null}));
        }
        from += length;
    }
    assert_eq!(from, ms, "the path of {pid}");
    let parent = match parent {
        Some(parent) => {
            json!({"start_id": id(parent), "id": format!("{parent}@{parent}"), "pid": parent, "comm": "p"})
        }
        None => json!({"start_id": null, "id": "1@1", "pid": 1, "comm": "init"}),
    };
    json!({
        "start_id": id(pid), "id": format!("{pid}@{pid}"), "seq": 0, "partial": false, "pid": pid, "ns_pid": pid,
        "comm": "app", "parent": parent,
        "method": {"name": "fork_exec", "primitive": "clone", "mechanism": "fork_exec", "library": null, "pattern": null,
            "confidence": "certain", "evidence": [], "clone_flags": [], "exit_signal": null},
        "exe": "/bin/app", "argv": ["app"], "argv_bytes": 4, "argv_truncated": false,
        "execs": [{"at_ns": 0, "duration_ns": 0, "path": "/bin/app", "interpreter": null, "error": null}],
        "binary": null,
        "timeline": {"started_at": "2025-01-01T00:00:00Z", "origin_boottime_ns": at * MS, "origin": "entry",
            "duration_ns": ms * MS, "ready": {"kind": "exit", "at_ns": ms * MS, "inferred": false},
            "phases": [{"name": "app", "at_ns": 0, "duration_ns": ms * MS, "exec": 0}],
            "phase_ns": {"app": ms * MS}, "critical_path": segments, "path_ns": {}, "waits": waits, "milestones": []},
        "exit": {"code": 0, "signal": null, "core": false, "killed_by": null, "at_ns": ms * MS}
    })
}

fn diagnose(starts: &[Value]) -> Said {
    with(Thresholds::default(), starts, &[], None)
}

fn with(thresholds: Thresholds, starts: &[Value], groups: &[Group], session: Option<&Session>) -> Said {
    let mut diagnoser = Diagnoser::new(thresholds);
    let header = json!({"schema": "startrace/1", "tool": {"name": "s", "version": "0"},
        "host": {"hostname": "h", "kernel": "6", "arch": "x", "boot_id": null, "cpus": 8, "cpu_model": null, "cpu_quota": null}});
    diagnoser.header(&serde_json::from_value(header).unwrap());
    for start in starts {
        let start: Start = serde_json::from_value(start.clone()).unwrap();
        for finding in diagnoser.start(&start) {
            assert!(finding.cost_ns.unwrap_or(0) <= start.timeline.duration_ns, "{finding:?}");
        }
    }
    diagnoser.finish(groups, session, None)
}

fn find<'s>(said: &'s Said, id: &str) -> &'s Joined {
    let found: Vec<&Joined> = said.diagnosis.findings.iter().filter(|joined| joined.id == id).collect();
    assert_eq!(found.len(), 1, "{id} in {:#?}", said.diagnosis.findings);
    found[0]
}

fn has(said: &Said, id: &str) -> bool {
    said.diagnosis.findings.iter().any(|joined| joined.id == id)
}

/// Whenever it waits for a CPU.
fn others_have_the_cpu(start: &mut Value) {
    for segment in start["timeline"]["critical_path"].as_array_mut().unwrap() {
        if segment["state"] == "runnable" {
            segment["holder"] = json!({"pid": 99, "comm": "cc1", "held_ns": MS});
        }
    }
}

#[test]
fn a_busy_machine_is_not_blamed_on_storage() {
    // Eleven short reads, after each of which others had the CPU for far longer; and a long one with less of that.
    let mut path = Vec::new();
    for _ in 0..11 {
        path.extend([(1, 1, "disk", "/lib/a.so"), (40, 1, "runnable", ""), (1, 1, "running", "")]);
    }
    path.extend([(30, 1, "disk", "/lib/b.so"), (20, 1, "runnable", ""), (8, 1, "running", "")]);
    let mut busy = start(1, None, 0, 11 * 42 + 58, &path);
    others_have_the_cpu(&mut busy);
    let said = diagnose(&[busy]);
    assert_eq!(find(&said, "cold-cache").saves_ns, Some((11 + 30) * MS));
    assert_eq!(find(&said, "cpu-starved").saves_ns, Some((11 * 40 + 20) * MS));
}

#[test]
fn threads_that_sleep_at_the_same_time_cost_what_the_path_has_of_it() {
    // The first joins one thread, then another that had begun to sleep when the first of them did.
    let path = [
        (10, 1, "running", ""),
        (40, 1, "sleep", ""),
        (1, 1, "running", ""),
        (20, 1, "sleep", ""),
        (1, 1, "running", ""),
        (28, 1, "running", ""),
    ];
    let mut app = start(1, None, 0, 100, &path);
    for (at, tid) in [(1, 2), (2, 2), (3, 3), (4, 3)] {
        app["timeline"]["critical_path"][at]["tid"] = json!(tid);
    }
    let wait = |tid: u32, ms: u64| {
        json!({"at_ns": 10 * MS, "duration_ns": ms * MS, "runnable_ns": 0, "tid": tid, "kind": "sleep",
            "syscall": "clock_nanosleep", "detail": null, "woken_by": {"kind": "timer", "pid": null, "comm": null}})
    };
    app["timeline"]["waits"] = json!([wait(2, 40), wait(3, 61)]);
    let said = diagnose(&[app]);
    let sleep = find(&said, "fixed-sleep");
    assert_eq!((sleep.saves_ns, &sleep.evidence["slept_ns"]), (Some(60 * MS), &json!(60 * MS)));
}

#[test]
fn of_ever_longer_steps_only_the_last_may_be_too_late() {
    // As Popen.wait(timeout=) asks for its child.
    let polls = |steps: &[u64]| {
        let path: Vec<_> =
            steps.iter().flat_map(|ms| [(1, 1, "running", ""), (*ms, 1, "sleep", "")]).collect();
        let ms = path.iter().map(|(ms, ..)| ms).sum();
        diagnose(&[start(1, None, 0, ms, &path)])
    };
    let said = polls(&[1, 2, 4, 8, 16, 32, 50, 50, 50, 50]);
    let found = find(&said, "fixed-sleep");
    assert_eq!((found.saves_ns, &found.evidence["slept_ns"]), (Some(50 * MS), &json!(263 * MS)));
    assert!(found.summary.contains("slept 10 times, 263 ms in all"), "{}", found.summary);
    assert!(found.summary.contains(", 9 times in steps to a longer one"), "{}", found.summary);
    // Equal ones, and few, are what somebody chose.
    assert_eq!(find(&polls(&[50; 10]), "fixed-sleep").saves_ns, Some(500 * MS));
    assert_eq!(find(&polls(&[1, 2, 4, 80]), "fixed-sleep").saves_ns, Some(87 * MS));
}

/// A thread waits for a child, and the main one has work of its own for most of that time, before it joins the thread.
#[test]
fn a_child_that_a_thread_waits_for_costs_what_the_path_has_of_it() {
    let path =
        [(20, 1, "running", ""), (770, 1, "running", ""), (148, 2, "sleep", ""), (2, 1, "running", "")];
    let mut app = start(1, None, 0, 940, &path);
    app["timeline"]["critical_path"][3]["tid"] = json!(9);
    app["timeline"]["waits"] = json!([{"at_ns": 26 * MS, "duration_ns": 912 * MS, "runnable_ns": 0, "tid": 9,
        "kind": "child", "syscall": "wait4", "detail": "pid 2 (sleep 0.9)",
        "woken_by": {"kind": "task", "pid": 2, "comm": "sleep"}}]);
    let said = diagnose(&[app]);
    let waited = find(&said, "helper-wait");
    assert_eq!((waited.saves_ns, &waited.evidence["waited_ns"]), (Some(148 * MS), &json!(148 * MS)));
}

/// Who had the CPU is told in the same words as who is waited for.
#[test]
fn a_process_is_not_named_by_what_it_did_with_the_cpu() {
    let path =
        [(10, 1, "running", ""), (20, 1, "runnable", ""), (200, 2, "running", ""), (10, 1, "running", "")];
    let mut app = start(1, None, 0, 240, &path);
    app["timeline"]["waits"] = json!([
        {"at_ns": 10 * MS, "duration_ns": 0, "runnable_ns": 20 * MS, "tid": 1, "kind": "runnable", "syscall": null,
            "detail": "pid 2 (python3) had the CPU for the last 1.231 ms", "woken_by": null},
        {"at_ns": 30 * MS, "duration_ns": 200 * MS, "runnable_ns": 0, "tid": 1, "kind": "child", "syscall": "wait4",
            "detail": "pid 2 (helper --now)", "woken_by": {"kind": "task", "pid": 2, "comm": "helper"}}
    ]);
    let said = diagnose(&[app]);
    let summary = &find(&said, "helper-wait").summary;
    assert!(summary.ends_with("waited 200 ms for its child helper --now"), "{summary}");
}

#[test]
fn a_condition_that_nobody_fulfils_in_time_is_a_sleep() {
    let waited = |ms: u64, by: &str| {
        let mut app = start(
            1,
            None,
            0,
            ms + 20,
            &[(10, 1, "running", ""), (ms, 1, "futex", ""), (10, 1, "running", "")],
        );
        app["timeline"]["waits"][0]["woken_by"] = json!({"kind": by, "pid": null, "comm": null});
        diagnose(&[app])
    };
    assert_eq!(find(&waited(80, "timer"), "fixed-sleep").saves_ns, Some(80 * MS));
    assert!(!has(&waited(80, "task"), "fixed-sleep"));
    assert!(!has(&waited(80, "unknown"), "fixed-sleep"));
    // Whoever asks for a lock again and again, as CPython's threads do.
    assert!(!has(&waited(5, "timer"), "fixed-sleep"));
}

#[test]
fn workers_on_the_cpus_that_their_parent_waits_for_cost_more_than_its_path_has() {
    let spawned = |at: [u64; 4], path: &[(u64, u32, &str, &str)]| {
        let worker = |pid: u32, at: u64| {
            let mut worker = start(pid, Some(1), at, 200, &[(200, pid, "running", "")]);
            worker["method"]["name"] = json!("multiprocessing.spawn");
            worker["timeline"]["imports"] = json!({"language": "cpython", "provider": "usdt", "from_beginning": true,
                "init_ns": 190 * MS, "importing_ns": 0, "code_ns": 0, "count": 0, "left_out": 0, "left_out_own_ns": 0,
                "modules": []});
            worker
        };
        let ms = path.iter().map(|(ms, ..)| ms).sum();
        let mut starts: Vec<Value> = (2..).zip(at).map(|(pid, at)| worker(pid, at)).collect();
        starts.push(start(1, None, 0, ms, path));
        let said = diagnose(&starts);
        let summary = &find(&said, "spawn-reimport").summary;
        assert!(summary.contains("200 ms each until it ended"), "{summary}");
        summary.contains("; at least, as what is done again takes ")
    };
    let own = (20, 1, "running", "");
    assert!(spawned([20, 80, 80, 80], &[own, (200, 2, "running", ""), (60, 3, "running", ""), own]));
    // One after the other, all of them are on the path: nothing is missing.
    let all = [2, 3, 4, 5].map(|pid| (200, pid, "running", ""));
    assert!(!spawned([20, 220, 420, 620], &[&[own][..], &all, &[own]].concat()));
}

#[test]
fn a_command_that_is_ready_and_executes_another_program_is_told_of_both() {
    let mut before = start(1, None, 0, 10, &[(10, 1, "running", "")]);
    before["timeline"]["ready"] = json!({"kind": "output", "at_ns": 10 * MS, "inferred": false});
    let mut after = start(1, None, 10, 50, &[(50, 1, "running", "")]);
    (after["start_id"], after["seq"]) = (json!("1@1/1"), json!(1));
    let said = diagnose(&[before, after]);
    assert_eq!(
        said.verdict,
        ["app was ready after 10.0 ms (output); 10.0 ms after it began it executed another program: \
          app was done after 50.0 ms."]
    );
}

#[test]
fn a_wait_for_a_cpu_is_no_part_of_the_wait_before_it() {
    let priced = |id: &str, state: &str, detail: &str, syscall: Option<&str>| {
        let path = [
            (10, 1, "running", ""),
            (15, 1, state, detail),
            (12, 1, "runnable", ""),
            (15, 1, state, detail),
            (48, 1, "runnable", ""),
        ];
        let mut start = start(1, None, 0, 100, &path);
        for (wait, runnable) in start["timeline"]["waits"].as_array_mut().unwrap().iter_mut().zip([12, 48]) {
            wait["runnable_ns"] = json!(runnable * MS);
            wait["syscall"] = json!(syscall);
        }
        others_have_the_cpu(&mut start);
        let said = diagnose(&[start]);
        assert_eq!(find(&said, "cpu-starved").saves_ns, Some(60 * MS), "{id}");
        find(&said, id).saves_ns
    };
    for (id, state, detail, syscall) in [
        ("fsync", "disk", "", Some("fsync")),
        ("cold-cache", "disk", "/lib/a.so", Some("read")),
        ("cold-cache", "page_fault", "/lib/a.so", None),
        ("fixed-sleep", "sleep", "asked for 15 ms", Some("clock_nanosleep")),
        ("dns-wait", "dns", "udp 10.0.0.2:53 (receive)", Some("recvfrom")),
        ("connect-wait", "network", "tcp 10.0.0.2:80 (connect)", Some("connect")),
        ("lock-wait", "lock", "/var/lock/a", Some("flock")),
        ("memory-reclaim", "memory", "", None),
        ("entropy-wait", "random", "", Some("getrandom")),
        ("prompt-wait", "tty", "", Some("read")),
    ] {
        assert_eq!(priced(id, state, detail, syscall), Some(30 * MS), "{id}");
    }
}

#[test]
fn nobody_is_blamed_for_a_cpu_that_others_may_have_had() {
    let holder =
        |comm: &str, ms: Option<u64>| json!({"pid": 7, "comm": comm, "held_ns": ms.map(|ms| ms * MS)});
    let said = |holders: &[(u64, Value)]| {
        let path: Vec<(u64, u32, &str, &str)> =
            holders.iter().flat_map(|(ms, _)| [(*ms, 1, "runnable", ""), (1, 1, "running", "")]).collect();
        let mut start = start(1, None, 0, path.iter().map(|(ms, ..)| ms).sum(), &path);
        for (at, (_, holder)) in holders.iter().enumerate() {
            let segment = &mut start["timeline"]["critical_path"][2 * at];
            match holder.as_str() {
                Some(detail) => segment["detail"] = json!(detail),
                None => segment["holder"] = holder.clone(),
            }
        }
        let said = diagnose(&[start]);
        let found = find(&said, "cpu-starved").clone();
        (found.summary.split_once("; ").map(|(_, who)| who.to_owned()).unwrap_or_default(), found.evidence)
    };
    // A kernel thread that ran for an instant is the last in each wait.
    let (who, evidence) = said(&[
        (71, json!({"pid": 15, "comm": "rcu_preempt", "held_ns": 20_000})),
        (30, holder("cc1", Some(10))),
    ]);
    assert_eq!(who, "meanwhile cc1 (10.0 ms) ran there; what ran in the other 91.0 ms is not recorded");
    assert_eq!(
        evidence["competitors"],
        json!([{"comm": "cc1", "ns": 10 * MS, "waits": 1}, {"comm": "rcu_preempt", "ns": 20_000, "waits": 1}])
    );
    assert_eq!(evidence["held_ns"], json!(10 * MS + 20_000));
    // All of it is known.
    let (who, _) = said(&[(70, holder("cc1", Some(70))), (30, holder("ld", Some(30)))]);
    assert_eq!(who, "meanwhile cc1 (70.0 ms), ld (30.0 ms) ran there");
    // What a file claims is not more than the wait.
    let (who, _) = said(&[(70, holder("cc1", Some(700)))]);
    assert_eq!(who, "meanwhile cc1 (70.0 ms) ran there");
    // Only who was the last is known: of this version, and of one before.
    for last in [holder("cc1", None), json!("pid 7 (cc1) had the CPU")] {
        let (who, evidence) = said(&[(71, last)]);
        assert_eq!(who, "the last to run there each time: cc1 (1 time); for how long is not recorded");
        assert_eq!(evidence["competitors"], json!([{"comm": "cc1", "ns": null, "waits": 1}]));
    }
    // Nobody was seen at all.
    assert_eq!(said(&[(71, Value::Null)]).0, "");
}

#[test]
fn a_fork_that_lost_its_cpu_has_not_copied_much() {
    let said = |fork_ms: u64, waited_ms: u64, rss_mib: Option<u64>| {
        let path = [(fork_ms, 1, "creating", ""), (1, 1, "running", "")];
        let mut start = start(1, None, 0, fork_ms + 1, &path);
        start["method"]["primitive"] = json!("fork");
        let (timeline, whole) = (&mut start["timeline"], (fork_ms + 1) * MS);
        timeline["phases"] = json!([
            {"name": "fork", "at_ns": 0, "duration_ns": fork_ms * MS, "exec": null},
            {"name": "app", "at_ns": fork_ms * MS, "duration_ns": whole - fork_ms * MS, "exec": null}
        ]);
        timeline["fork_waited_ns"] = json!(waited_ms * MS);
        if let Some(mib) = rss_mib {
            timeline["counters"] = json!({"user_ns": 0, "system_ns": 0, "minor_faults": 0, "major_faults": 0,
                "voluntary_switches": 0, "involuntary_switches": 0, "read_bytes": 0, "rss_bytes": mib << 20, "threads": 1});
            start["execs"] = json!([]);
        }
        let said = diagnose(&[start]);
        has(&said, "fork-large-parent").then(|| find(&said, "fork-large-parent").summary.clone())
    };
    assert_eq!(said(12, 0, Some(1024)).as_deref(), Some("fork of init, which has 1024 MiB, took 12.0 ms"));
    assert_eq!(said(12, 0, None).as_deref(), Some("fork of init took 12.0 ms"));
    // Of that it waited for a CPU.
    assert_eq!(said(12, 11, Some(1024)), None);
    assert_eq!(said(12, 11, None), None);
    assert_eq!(said(12, 8, None).as_deref(), Some("fork of init took 4.00 ms"));
    // With hardly any memory, it takes a great many mappings.
    assert_eq!(said(3, 0, Some(13)), None);
    assert_eq!(said(12, 0, Some(13)).as_deref(), Some("fork of init, which has 13 MiB, took 12.0 ms"));
}

/// The copy is gone with the exec: what the parent had is known from the fork itself.
#[test]
fn a_fork_says_how_much_its_parent_had_where_the_child_executed_a_program() {
    let said = |copied_mib: u64| {
        let mut start = start(1, None, 0, 6, &[(5, 1, "creating", ""), (1, 1, "running", "")]);
        start["method"]["primitive"] = json!("fork");
        assert_eq!(start["execs"].as_array().map(Vec::len), Some(1));
        start["timeline"]["fork_copied_bytes"] = json!(copied_mib << 20);
        start["timeline"]["phases"] = json!([
            {"name": "fork", "at_ns": 0, "duration_ns": 5 * MS, "exec": null},
            {"name": "app", "at_ns": 5 * MS, "duration_ns": MS, "exec": 0}
        ]);
        let said = diagnose(&[start]);
        has(&said, "fork-large-parent").then(|| find(&said, "fork-large-parent").clone())
    };
    let found = said(700).unwrap();
    assert_eq!(found.summary, "fork of init, which has 700 MiB, took 5.00 ms");
    assert_eq!(found.evidence["rss_bytes"], json!(700 << 20));
    // Bad luck with a CPU, or a great many mappings, which take longer.
    assert!(said(13).is_none());
}

#[test]
fn a_storm_of_any_length_saves_what_it_is_said_to_take() {
    let mut path = Vec::new();
    for n in 0..300 {
        path.extend([(1, 10, "running", ""), (2, 1_000 + n, "running", "")]);
    }
    let said = diagnose(&[start(10, None, 0, 900, &path)]);
    let storm = find(&said, "process-storm");
    assert_eq!((storm.saves_ns, &storm.evidence["on_path_ns"]), (Some(600 * MS), &json!(600 * MS)));
    assert!(storm.summary.contains("300 short processes one after the other, 600 ms"), "{}", storm.summary);
}

#[test]
fn a_storm_that_could_not_be_followed_to_its_first_process_is_one_at_least() {
    let path = |rest: &'static str| {
        let mut path = vec![(100, 10, "unknown", rest)];
        (0..20).for_each(|n| path.extend([(1, 10, "running", ""), (2, 1_000 + n, "running", "")]));
        path
    };
    for (rest, said) in [("", "waited for 20 short"), ("too long to follow", "waited for at least 20 short")]
    {
        let found = diagnose(&[start(10, None, 0, 160, &path(rest))]);
        let storm = find(&found, "process-storm");
        assert!(storm.summary.contains(said), "{}", storm.summary);
    }
    // How many it started is known, if those are in the trace: 60 that can have been one after the other.
    let child =
        |n: u32, ms: u64| start(1_000 + n, Some(10), 2 * u64::from(n), ms, &[(ms, 1_000 + n, "running", "")]);
    let seen = |n: u32, ms: u64| {
        let mut starts: Vec<Value> = (0..n).map(|n| child(n, ms)).collect();
        starts.push(start(10, None, 0, 160, &path("too long to follow")));
        let found = diagnose(&starts);
        let storm = find(&found, "process-storm");
        (
            storm.summary.clone(),
            storm.what.clone(),
            storm.evidence["short_starts_below"].clone(),
            storm.saves_ns,
        )
    };
    let (summary, what, below, saves_ns) = seen(60, 2);
    assert!(
        summary.starts_with(
            "app waited for 60 short processes one after the other, at least 40.0 ms in all (its path could be followed through 20 of them)"
        ),
        "{summary}"
    );
    assert_eq!(
        (&*what, below, saves_ns),
        ("60 short processes, one after the other", json!(60), Some(40 * MS))
    );
    // Some of those were there at the same time, so that nobody can say so of all.
    let (summary, ..) = seen(60, 19);
    assert!(summary.contains("waited for at least 20 short"), "{summary}");
    // Most of them are on the path: there were 21.
    let mut starts: Vec<Value> = (0..21).map(|n| child(n, 2)).collect();
    starts.push(start(10, None, 0, 160, &path("")));
    let found = diagnose(&starts);
    let summary = &find(&found, "process-storm").summary;
    assert!(
        summary.starts_with(
            "app waited for 21 short processes one after the other, 40.0 ms in all (its path leads through 20 of them)"
        ),
        "{summary}"
    );
    // What is longer is not short.
    assert_eq!(seen(60, 21).2, Value::Null);
}

#[test]
fn a_storm_whose_waits_are_known_by_their_sums_is_counted_by_its_children() {
    let told = |(waited_ms, detail): (u64, &'static str), followed: u32, children: u32| {
        let mut path = vec![
            (170 - waited_ms - 3 * u64::from(followed - 3), 10, "running", ""),
            (waited_ms, 10, "child", detail),
        ];
        (0..followed).for_each(|n| path.extend([(1, 10, "running", ""), (2, 1_000 + n, "running", "")]));
        let child =
            |n: u32| start(1_000 + n, Some(10), 2 * u64::from(n), 2, &[(2, 1_000 + n, "running", "")]);
        let mut starts: Vec<Value> = (0..children).map(child).collect();
        starts.push(start(10, None, 0, 179, &path));
        let found = diagnose(&starts);
        has(&found, "process-storm").then(|| find(&found, "process-storm").clone())
    };
    let seen = |detail, children| told((150, detail), 3, children);
    let storm = seen("short waits", 60).unwrap();
    // No more of the waits than the other 57 took.
    assert_eq!((storm.saves_ns, storm.basis), (Some((6 + 114) * MS), Some(Basis::Scaled)));
    assert!(
        storm.summary.starts_with(
            "app waited for 60 short processes one after the other, at least 120 ms in all (its path could be followed through 3 of them; 114 ms of it are waits for others of them): 3 app 6.00 ms"
        ),
        "{}",
        storm.summary
    );
    // A few are no matter.
    let storm = told((3, "short waits"), 20, 60).unwrap();
    assert_eq!((storm.saves_ns, storm.basis), (Some(40 * MS), Some(Basis::Measured)));
    assert!(storm.summary.starts_with("app waited for 20 short"), "{}", storm.summary);
    // A wait that is known by itself is for one of them, and these are too few.
    assert!(seen("pid 1003 (app)", 60).is_none());
    assert!(seen("short waits", 7).is_none());
    // As many as take more time than there is have not been one after the other.
    assert!(seen("short waits", 100).is_none());
}

#[test]
fn a_storm_of_which_no_process_is_told_apart_names_no_others() {
    let mut app = start(10, None, 0, 120, &[(20, 10, "running", ""), (100, 11, "running", "")]);
    put_together(&mut app, 1, json!({}), json!({"running": 100 * MS}));
    let folded = &mut app["timeline"]["critical_path"][1]["folded"];
    (folded["short_ns"], folded["short_starts"]) = (json!(100 * MS), json!(30));
    assert_eq!(
        find(&diagnose(&[app]), "process-storm").summary,
        "app waited for 30 short processes one after the other, 100 ms, 100 ms of that in pieces too short to be told apart \
         (30 of them have no others)"
    );
}

#[test]
fn sleeps_are_told_with_what_was_asked_for() {
    // What ended a sleep is known, but for one that was not over.
    let said = |sleeps: &[(u64, &str)], by: &[Option<&str>]| {
        let path: Vec<_> = sleeps.iter().map(|(ms, asked)| (*ms, 1, "sleep", *asked)).collect();
        let mut start = start(1, None, 0, path.iter().map(|p| p.0).sum(), &path);
        for (wait, by) in start["timeline"]["waits"].as_array_mut().unwrap().iter_mut().zip(by) {
            wait["woken_by"] = by.map_or(json!(null), |by| json!({"kind": by, "pid": null, "comm": null}));
        }
        let summary = find(&diagnose(&[start]), "fixed-sleep").summary.clone();
        summary.strip_prefix("app slept ").unwrap().to_owned()
    };
    let timer = [Some("timer"); 3];
    assert_eq!(said(&[(104, "asked for 100 ms")], &timer), "104 ms (asked for 100 ms)");
    assert_eq!(said(&[(104, "")], &timer), "104 ms (until a set time)");
    assert_eq!(said(&[(104, "")], &[None]), "104 ms (still asleep at the end)");
    assert_eq!(
        said(&[(104, "asked for 100 ms"), (101, "asked for 100 ms"), (50, "asked for 50 ms")], &timer),
        "3 times, 255 ms in all (asked for 2 × 100 ms, 50 ms)"
    );
    assert_eq!(
        said(&[(104, "asked for 100 ms"), (101, ""), (50, "")], &timer),
        "3 times, 255 ms in all (asked for 100 ms; 2 until a set time)"
    );
    assert_eq!(
        said(&[(104, "asked for 100 ms"), (101, ""), (50, "")], &[timer[0], timer[0], None]),
        "3 times, 255 ms in all (asked for 100 ms; 1 until a set time; 1 still asleep at the end)"
    );
}

#[test]
fn what_ran_before_the_recording_is_not_said_to_be_unready() {
    let verdict = |kind: &str, birth: u64, partial: bool| {
        let mut start = start(5, None, 7, 90, &[(90, 5, "running", "")]);
        start["id"] = json!(format!("5@{birth}"));
        start["partial"] = json!(partial);
        start["timeline"]["ready"] = json!({"kind": kind, "at_ns": 90 * MS, "inferred": false});
        diagnose(&[start]).verdict[0].clone()
    };
    let begins = |kind: &str, birth: u64, partial: bool, text: &str| {
        let verdict = verdict(kind, birth, partial);
        assert!(verdict.starts_with(text), "{verdict}");
    };
    begins(
        "timeout",
        1,
        true,
        "app ran when the recording began, and did nothing in 90.0 ms of it that tells whether it is ready",
    );
    begins("listen", 1, true, "app ran when the recording began, and was ready after 90.0 ms of it (listen)");
    begins("exit", 1, true, "app ran when the recording began, and was done after 90.0 ms of it");
    let mut concluded = start(5, None, 7, 90, &[(90, 5, "running", "")]);
    concluded["timeline"]["ready"] = json!({"kind": "quiet", "at_ns": 90 * MS, "inferred": true});
    let verdict = diagnose(&[concluded.clone()]).verdict[0].clone();
    assert!(verdict.starts_with("app was ready after 90.0 ms (quiet, inferred)"), "{verdict}");
    (concluded["id"], concluded["partial"]) = (json!("5@1"), json!(true));
    let verdict = diagnose(&[concluded]).verdict[0].clone();
    assert!(verdict.contains("was ready after 90.0 ms of it (quiet, inferred)"), "{verdict}");
    // Born within the recording; its beginning was lost.
    begins("timeout", 7 * MS, true, "app (seen from its middle on) was not ready after 90.0 ms");
    begins("timeout", 7 * MS, false, "app was not ready after 90.0 ms");
}

#[test]
fn what_a_running_process_starts_is_what_somebody_waits_for() {
    // A shell that was there before: what it does meanwhile is not known, and the last of its children accepts.
    let mut shell = start(10, None, 7, 390, &[(390, 10, "unknown", "")]);
    shell["partial"] = json!(true);
    shell["timeline"]["ready"] = json!({"kind": "accept", "at_ns": 390 * MS, "inferred": true});
    let child = |pid: u32, at: u64| {
        let path =
            [(10, pid, "running", ""), (80, pid, "sleep", "asked for 80 ms"), (10, pid, "running", "")];
        start(pid, Some(10), at, 100, &path)
    };
    // A child of a child stays part of it.
    let helper = |pid: u32, of: u32, at: u64| {
        start(pid, Some(of), at, 60, &[(60, pid, "dns", "udp 10.0.0.2:53 (receive)")])
    };
    let orders = [
        vec![child(11, 20), helper(13, 11, 25), child(12, 200), shell.clone()],
        vec![shell.clone(), child(11, 20), helper(13, 11, 25), child(12, 200)],
    ];
    for starts in orders {
        let said = diagnose(&starts);
        let sleep = find(&said, "fixed-sleep");
        assert_eq!((sleep.saves_ns, sleep.n), (Some(160 * MS), 2));
        assert_eq!(find(&said, "dns-wait").saves_ns, Some(0));
        assert!(
            said.verdict[0].starts_with("4 starts in 390 ms, 200 ms of it starting; 160 ms of it: sleeping"),
            "{:?}",
            said.verdict
        );
    }
    // What takes far longer than its children is told of itself.
    shell["timeline"]["duration_ns"] = json!(900 * MS);
    let said = diagnose(&[child(11, 20), shell]);
    assert_eq!(find(&said, "fixed-sleep").saves_ns, Some(80 * MS));
    assert!(said.verdict[0].starts_with("app ran when the recording began"), "{:?}", said.verdict);
}

#[test]
fn what_a_module_executes_is_not_said_to_be_its_compiling() {
    // A module without its .pyc that sleeps and then computes.
    let path = [(20, 1, "running", ""), (200, 1, "sleep", "until a set time"), (40, 1, "running", "")];
    let mut python = start(1, None, 0, 260, &path);
    python["binary"] = json!({"linkage": "dynamic", "build_id": null, "interpreter": null, "needed": 1,
        "relocations": null, "runtime": "cpython 3.11"});
    python["timeline"]["imports"] = json!({"language": "cpython", "provider": "usdt", "from_beginning": true,
        "init_ns": 5 * MS, "importing_ns": 250 * MS, "code_ns": 0, "count": 1, "left_out": 0, "left_out_own_ns": 0,
        "modules": [{"module": "slow", "at_ns": 10 * MS, "duration_ns": 250 * MS, "own_ns": 250 * MS, "depth": 0,
            "importer": null, "tid": 1, "found": true}]});
    python["timeline"]["files"] = json!({"opened": 1, "open_failed": 0, "found": 0, "missed": 0, "spent_ns": 0,
        "sums": [], "errors": {}, "misses": [], "misses_left_out": 0, "files_left_out": 0,
        "files": [{"at_ns": 10 * MS, "duration_ns": 1, "path": "/app/slow.py", "kind": "python_source",
            "bytes": 100, "tid": 1}]});
    let said = diagnose(&[python]);
    let compiling = find(&said, "python-no-pyc");
    assert_eq!((compiling.saves_ns, find(&said, "python-import").saves_ns), (Some(50 * MS), Some(250 * MS)));
    assert_eq!(compiling.what, "compiling 1 Python module again, at most");
    let place = |id: &str| said.diagnosis.findings.iter().position(|joined| joined.id == id);
    assert!(place("python-import") < place("python-no-pyc"), "{:#?}", said.diagnosis.findings);
}

#[test]
fn a_price_in_cpu_time_says_what_was_waited_beside_it() {
    let said = |waited: u64| {
        let mut path = vec![(30, 1, "running", "")];
        if waited > 0 {
            path.push((waited, 1, "runnable", ""));
        }
        path.push((10, 1, "running", ""));
        let whole: u64 = path.iter().map(|(ms, ..)| ms).sum();
        let mut start = start(1, None, 0, whole, &path);
        let linked = json!([
            {"name": "link", "at_ns": 0, "duration_ns": (whole - 10) * MS, "exec": 0},
            {"name": "app", "at_ns": (whole - 10) * MS, "duration_ns": 10 * MS, "exec": 0}
        ]);
        start["timeline"]["phases"] = linked;
        let path = start["timeline"]["critical_path"].as_array_mut().unwrap();
        let n = path.len();
        path[..n - 1].iter_mut().for_each(|segment| segment["phase"] = json!("link"));
        let said = diagnose(&[start]);
        let found = find(&said, "ld-relocations");
        assert_eq!(found.saves_ns, Some(30 * MS));
        found.summary.clone()
    };
    let plain = "the dynamic loader computed for 30.0 ms to relocate app and its libraries";
    assert_eq!(said(0), plain);
    assert_eq!(said(2), plain);
    assert_eq!(
        said(25),
        format!("{plain} (CPU time; it waited 25.0 ms for a CPU meanwhile, as the machine was busy)")
    );
}

/// Of equal workers that want one CPU, what they do there is the cause; of strangers that have it, the wait is.
#[test]
fn a_cpu_that_equals_want_is_not_the_first_cause() {
    let order = |holder: &str| {
        let mut list = Vec::new();
        let mut path = vec![(10, 10, "running", "")];
        path.extend([
            (60, 11, "runnable", ""),
            (5, 11, "running", ""),
            (25, 11, "sleep", "asked for 25 ms"),
            (20, 11, "runnable", ""),
        ]);
        let mut worker = start(11, Some(10), 10, 110, &path[1..]);
        let mut parent = start(10, None, 0, 120, &path);
        // What it does while it has to wait so often: a wrapper, and the program.
        worker["execs"] = json!([
            {"at_ns": 10 * MS, "duration_ns": 0, "path": "/usr/bin/shim", "interpreter": null, "error": null},
            {"at_ns": 40 * MS, "duration_ns": 0, "path": "/bin/app", "interpreter": null, "error": null}]);
        for start in [&mut worker, &mut parent] {
            for segment in start["timeline"]["critical_path"].as_array_mut().unwrap() {
                if segment["state"] == "runnable" {
                    segment["holder"] = json!({"pid": 12, "comm": holder, "held_ns": 15 * MS});
                }
            }
        }
        list.extend([worker, parent]);
        let said = diagnose(&list);
        let found = &said.diagnosis.findings;
        let ids: Vec<String> =
            found.iter().map(|joined| joined.id.clone()).filter(|id| id != "helper-wait").collect();
        assert_eq!(ids, ["cpu-starved", "wrapper-chain", "fixed-sleep"], "the dearest first");
        let starved = found.iter().find(|joined| joined.id == "cpu-starved").unwrap();
        (said.verdict[0].clone(), starved.explained, starved.advice.clone())
    };
    let (verdict, explained, advice) = order("app");
    assert!(explained && !verdict.contains("CPU"), "{verdict}");
    assert!(advice.contains("as many as there are CPUs"), "{advice}");
    let (verdict, explained, advice) = order("cc1");
    assert!(!explained && verdict.contains("of it: waiting for a CPU"), "{verdict}");
    assert!(advice.contains("more weight"), "{advice}");
}

#[test]
fn parallel_workers_cost_the_wall_time_of_one() {
    // A parent that waits for four workers, each of which sleeps for 80 ms at the same time.
    let sleeps = [(10, "running"), (80, "sleep"), (10, "running")];
    let worker = |pid: u32| {
        let path: Vec<(u64, u32, &str, &str)> =
            sleeps.iter().map(|(ms, state)| (*ms, pid, *state, "asked for 80 ms")).collect();
        start(pid, Some(10), 20 + u64::from(pid - 11), 100, &path)
    };
    let mut starts: Vec<Value> = (11..=14).map(worker).collect();
    // The path of the parent leads through the last of them.
    starts.push(start(
        10,
        None,
        0,
        140,
        &[
            (23, 10, "running", ""),
            (10, 14, "running", ""),
            (80, 14, "sleep", "asked for 80 ms"),
            (10, 14, "running", ""),
            (17, 10, "running", ""),
        ],
    ));
    let said = diagnose(&starts);
    let sleep = find(&said, "fixed-sleep");
    assert_eq!((sleep.saves_ns, sleep.n, sleep.starts.len()), (Some(80 * MS), 4, 4));
    assert_eq!(sleep.severity, Severity::Warning, "80 of 140 ms, but less than 100 ms");
    assert!(
        sleep.summary.starts_with("4 starts of app, 80.0 ms of each one's own time"),
        "{}",
        sleep.summary
    );
    assert_eq!(
        said.verdict[0],
        "app was done after 140 ms; 80.0 ms of it: sleeping for a fixed time in app."
    );
}

#[test]
fn what_nobody_waits_for_saves_nothing() {
    let helper = start(
        11,
        Some(10),
        20,
        100,
        &[(10, 11, "running", ""), (80, 11, "sleep", "asked for 80 ms"), (10, 11, "running", "")],
    );
    let parent = start(10, None, 0, 200, &[(200, 10, "running", "")]);
    let said = diagnose(&[helper, parent]);
    let sleep = find(&said, "fixed-sleep");
    assert_eq!((sleep.saves_ns, sleep.severity), (Some(0), Severity::Info));
    assert!(!said.verdict[0].contains("sleep"), "{:?}", said.verdict);
}

#[test]
fn overlapping_findings_say_so_and_are_not_added() {
    // A helper's whole life, and the sleep within it: the helper is dearer, and the sleep is why.
    let helper = [(20, 11, "running", ""), (100, 11, "sleep", "asked for 100 ms"), (20, 11, "running", "")];
    let child = start(11, Some(10), 10, 140, &helper);
    let mut path = vec![(10, 10, "running", "")];
    path.extend(helper);
    path.push((50, 10, "running", ""));
    let mut parent = start(10, None, 0, 200, &path);
    parent["timeline"]["waits"] = json!([{"at_ns": 10 * MS, "duration_ns": 140 * MS, "runnable_ns": 0, "tid": 10,
        "kind": "child", "syscall": "wait4", "detail": "pid 11 (app)", "woken_by": null}]);
    let said = diagnose(&[child, parent]);
    let (wait, sleep) = (find(&said, "helper-wait"), find(&said, "fixed-sleep"));
    assert_eq!((wait.saves_ns, sleep.saves_ns), (Some(140 * MS), Some(100 * MS)));
    assert_eq!(
        (&wait.overlaps[..], &sleep.overlaps[..]),
        (&["fixed-sleep".to_owned()][..], &["helper-wait".to_owned()][..])
    );
    assert_eq!((wait.explained, sleep.explained), (true, false));
    assert_eq!(said.diagnosis.findings[0].id, "helper-wait", "the dearest first");
    assert!(said.verdict[0].contains("100 ms of it: sleeping for a fixed time"), "{:?}", said.verdict);
}

/// One start through an entry script: its image comes up in 10 ms, works for a while, and executes the program.
fn entry_script(work: &[(u64, u32, &'static str, &'static str)], failed: &[u64]) -> Said {
    let mut path = vec![(10, 10, "running", "")];
    path.extend(work);
    let before: u64 = path.iter().map(|(ms, ..)| ms).sum();
    path.push((40, 10, "running", ""));
    let mut app = start(10, None, 0, before + 40, &path);
    let mut execs = vec![
        json!({"at_ns": 0, "duration_ns": MS, "path": "/entrypoint.sh", "interpreter": "/bin/sh", "error": null}),
    ];
    execs.extend(failed.iter().map(|back| {
        json!({"at_ns": (before - back) * MS, "duration_ns": MS, "path": "/x/app", "interpreter": null, "error": "ENOENT"})
    }));
    execs.push(json!({"at_ns": before * MS, "duration_ns": MS, "path": "/bin/app", "interpreter": null, "error": null}));
    app["execs"] = json!(execs);
    diagnose(&[app])
}

#[test]
fn what_a_script_does_before_it_executes_its_program_is_not_the_price_of_wrappers() {
    let price = |work: &[_], failed: &[u64]| find(&entry_script(work, failed), "wrapper-chain").saves_ns;
    assert_eq!(price(&[], &[]), Some(10 * MS));
    // Reading its interpreter from storage is the wrapper's, and so is computing before its first work.
    assert_eq!(price(&[(20, 10, "disk", "/bin/sh"), (3, 10, "running", "")], &[]), Some(33 * MS));
    for work in [
        (200, 10, "sleep", "asked for 200 ms"),
        (200, 10, "network", "tcp 10.0.0.2:5432 (connect)"),
        (200, 10, "poll", ""),
        (200, 10, "child", ""),
        (200, 11, "running", ""),
        (200, 11, "creating", ""),
    ] {
        assert_eq!(price(&[work], &[]), Some(10 * MS), "{work:?}");
        // What it computes between two works is its work, too; looking for its program is not.
        assert_eq!(price(&[work, (30, 10, "running", "")], &[]), Some(10 * MS), "{work:?}");
        assert_eq!(price(&[work, (30, 10, "running", "")], &[5, 2]), Some(15 * MS), "{work:?}");
    }
    let said = entry_script(&[(200, 10, "sleep", "asked for 200 ms"), (30, 10, "running", "")], &[]);
    let wrapper = find(&said, "wrapper-chain");
    assert_eq!(
        wrapper.summary,
        "app was started through 1 wrapper: /entrypoint.sh 10.0 ms; 230 ms more passed in that wrapper with what it did \
         and waited for"
    );
    assert!(
        wrapper.advice.ends_with("that spares what it does, too, where nobody needs that"),
        "{}",
        wrapper.advice
    );
    assert_eq!(
        wrapper.evidence["hops"],
        json!([{"path": "/entrypoint.sh", "ns": 240 * MS, "own_ns": 10 * MS}])
    );
    assert!(wrapper.overlaps.is_empty(), "{:?}", wrapper.overlaps);
    assert!(said.verdict[0].contains("200 ms of it: sleeping"), "{:?}", said.verdict);
    // Without a path, nobody knows what the script did.
    let mut app = start(10, None, 0, 200, &[(200, 10, "running", "")]);
    app["timeline"]["critical_path"] = json!([]);
    app["timeline"]["phases"] = json!([{"name": "exec", "at_ns": 0, "duration_ns": 100_000, "exec": 0},
        {"name": "app", "at_ns": 100_000, "duration_ns": 160 * MS - 100_000, "exec": 0},
        {"name": "exec", "at_ns": 160 * MS, "duration_ns": MS, "exec": 1},
        {"name": "app", "at_ns": 161 * MS, "duration_ns": 39 * MS, "exec": 1}]);
    app["execs"] = json!([
        {"at_ns": 0, "duration_ns": 100_000, "path": "/entrypoint.sh", "interpreter": "/bin/sh", "error": null},
        {"at_ns": 160 * MS, "duration_ns": MS, "path": "/bin/app", "interpreter": null, "error": null}]);
    let said = diagnose(&[app]);
    let wrapper = find(&said, "wrapper-chain");
    assert_eq!(wrapper.saves_ns, None);
    assert!(wrapper.summary.contains("/entrypoint.sh 160 ms; what it did"), "{}", wrapper.summary);
    assert_eq!(
        said.verdict[0],
        "app was done after 200 ms; 160 ms of it (80 %) in entrypoint.sh before it executed app."
    );
}

#[test]
fn a_verdict_names_the_file_that_a_shell_read_and_that_had_the_time() {
    let mut script = start(10, None, 0, 400, &[(400, 10, "running", "")]);
    let file = |path: &str, ms: u64, own_ms: u64| {
        json!({"at_ns": MS, "duration_ns": ms * MS, "path": path, "exec": 0, "whole_ns": ms * MS,
            "own_ns": own_ms * MS})
    };
    let said = |script: &Value| diagnose(std::slice::from_ref(script)).verdict[0].clone();
    let sourced = |files: &[Value]| {
        let none = json!([]);
        json!({"opened": 3, "open_failed": 0, "found": 0, "missed": 0, "spent_ns": 0, "sums": none, "errors": {},
            "misses": none, "misses_left_out": 0, "files": none, "files_left_out": 0, "sourced": files})
    };
    // The inner one, and not the one that reads it.
    let quick = file("/etc/quick", 2, 2);
    script["timeline"]["files"] =
        sourced(&[file("env", 310, 10), file("lib\u{1b}[1m.inc", 300, 300), quick.clone()]);
    assert!(
        said(&script).ends_with("; 300 ms of it in lib\\x1b[1m.inc, which the shell read."),
        "{}",
        said(&script)
    );
    // None of them has the most.
    script["timeline"]["files"] = sourced(&[file("a", 199, 199), quick]);
    assert!(!said(&script).contains("which the shell read"), "{}", said(&script));
    // Where the shell does not tell, the time until the next one is nobody's.
    script["timeline"]["files"] =
        sourced(&[json!({"at_ns": MS, "duration_ns": 390 * MS, "path": "a.sh", "exec": 0})]);
    assert!(!said(&script).contains("which the shell read"), "{}", said(&script));
}

#[test]
fn a_verdict_names_what_the_script_did_where_no_cause_is_most_of_it() {
    // A helper each, none of them worth the verdict.
    let work: Vec<(u64, u32, &str, &str)> =
        (11..16).flat_map(|pid| [(20, pid, "running", ""), (8, 10, "poll", "")]).collect();
    let said = entry_script(&work, &[]);
    assert_eq!(
        said.verdict[0],
        "app was done after 190 ms; 150 ms of it (79 %) in entrypoint.sh before it executed app (100 ms waiting for \
         other processes, 40.0 ms waiting (poll)); 10.0 ms of it: wrappers before app."
    );
}

/// One start through a script and a program: each has its own sleep, and the script a helper.
#[test]
fn what_a_script_did_is_not_told_of_the_program_that_it_executed() {
    let path = [
        (10, 10, "running", ""),
        (100, 10, "sleep", "asked for 100 ms"),
        (10, 10, "running", ""),
        (80, 11, "running", ""),
        (10, 10, "running", ""),
        (50, 10, "sleep", "asked for 50 ms"),
        (10, 10, "running", ""),
    ];
    let mut app = start(10, None, 0, 270, &path);
    app["timeline"]["waits"].as_array_mut().unwrap().push(json!({"at_ns": 120 * MS, "duration_ns": 80 * MS,
        "runnable_ns": 0, "tid": 10, "kind": "child", "syscall": "wait4", "detail": "pid 11 (helper)", "woken_by": null}));
    app["execs"] = json!([
        {"at_ns": 0, "duration_ns": MS, "path": "/srv/entrypoint.sh", "interpreter": "/bin/sh", "error": null},
        {"at_ns": 205 * MS, "duration_ns": MS, "path": "/bin/app", "interpreter": null, "error": null}]);
    let mut helper = start(11, Some(10), 120, 80, &[(80, 11, "running", "")]);
    helper["exe"] = json!("/bin/helper");
    helper["argv"] = json!(["helper"]);
    let said = diagnose(&[helper, app]);
    let of = |id: &str| -> Vec<String> {
        let found = said.diagnosis.findings.iter().filter(|joined| joined.id == id);
        found.map(|joined| joined.summary.clone()).collect()
    };
    assert_eq!(
        of("fixed-sleep"),
        ["entrypoint.sh slept 100 ms (asked for 100 ms)", "app slept 50.0 ms (asked for 50 ms)"]
    );
    assert_eq!(of("helper-wait"), ["entrypoint.sh waited 80.0 ms for its child helper"]);
    assert!(
        said.verdict[0].contains("100 ms of it: sleeping for a fixed time in entrypoint.sh"),
        "{:?}",
        said.verdict
    );
}

#[test]
fn a_script_that_env_finds_the_interpreter_of_has_its_own_name() {
    let mut app = start(
        10,
        None,
        0,
        220,
        &[(10, 10, "running", ""), (100, 10, "sleep", "asked for 100 ms"), (110, 10, "running", "")],
    );
    let execs =
        [("/srv/entrypoint", Some("/usr/bin/env"), 0), ("/usr/bin/bash", None, 5), ("/bin/app", None, 150)];
    let execs = execs.map(|(path, interpreter, at)| {
        json!({"at_ns": at * MS, "duration_ns": MS, "path": path, "interpreter": interpreter, "error": null})
    });
    app["execs"] = json!(execs);
    let said = diagnose(&[app]);
    assert_eq!(find(&said, "fixed-sleep").summary, "entrypoint slept 100 ms (asked for 100 ms)");
}

#[test]
fn a_script_that_was_given_to_a_shell_is_told_by_its_name() {
    let path = [(40, 10, "running", ""), (100, 10, "sleep", "asked for 100 ms"), (60, 10, "running", "")];
    let mut app = start(10, None, 0, 200, &path);
    app["execs"] = json!([
        {"at_ns": 0, "duration_ns": MS, "path": "/bin/sh", "interpreter": null, "script": "/srv/entrypoint.sh", "error": null},
        {"at_ns": 150 * MS, "duration_ns": MS, "path": "/bin/app", "interpreter": null, "error": null}]);
    let said = diagnose(&[app]);
    assert_eq!(find(&said, "fixed-sleep").summary, "entrypoint.sh slept 100 ms (asked for 100 ms)");
    let wrapper = &find(&said, "wrapper-chain").summary;
    assert!(wrapper.contains("1 wrapper: /bin/sh /srv/entrypoint.sh 40.0 ms"), "{wrapper}");
    assert!(said.verdict[0].contains("sleeping for a fixed time in entrypoint.sh"), "{:?}", said.verdict);
}

/// `true $(seq 100000)` by a shell.
#[test]
fn an_exec_with_very_many_arguments_is_no_close_loop_and_no_virus_scanner() {
    let found = |bytes: u64| {
        let mut app = start(
            10,
            None,
            0,
            60,
            &[(20, 10, "running", ""), (30, 10, "running", ""), (10, 10, "running", "")],
        );
        app["argv_bytes"] = json!(bytes);
        app["execs"] = json!([{"at_ns": 20 * MS, "duration_ns": 30 * MS, "path": "/bin/app", "interpreter": null, "error": null}]);
        app["timeline"]["phases"] = json!([{"name": "setup", "at_ns": 0, "duration_ns": 20 * MS, "exec": null},
            {"name": "exec", "at_ns": 20 * MS, "duration_ns": 30 * MS, "exec": 0},
            {"name": "app", "at_ns": 50 * MS, "duration_ns": 10 * MS, "exec": 0}]);
        for (at, phase) in ["setup", "exec", "app"].into_iter().enumerate() {
            app["timeline"]["critical_path"][at]["phase"] = json!(phase);
        }
        app["timeline"]["counters"] = json!({"user_ns": 0, "system_ns": 50 * MS, "minor_faults": 0, "major_faults": 0,
            "voluntary_switches": 0, "involuntary_switches": 0, "read_bytes": 0, "rss_bytes": 0, "threads": 1});
        let said = diagnose(&[app]);
        let slow = find(&said, "exec-slow");
        (slow.summary.clone(), slow.advice.clone(), has(&said, "fd-close-loop"))
    };
    let (summary, advice, loops) = found(588_905);
    assert_eq!(
        summary,
        "exec of /bin/app with 575 KiB of arguments took 30.0 ms before the new image was in place"
    );
    assert!(advice.starts_with("The kernel copies all arguments") && !loops, "{advice}");
    let (summary, advice, loops) = found(40);
    assert_eq!(summary, "exec of /bin/app took 30.0 ms before the new image was in place");
    assert!(advice.contains("security modules") && loops, "{advice}");
}

/// `until connect; do sleep 0.05; done`: each sleep is a process of its own, and all are one start's.
#[test]
fn what_one_start_waited_for_several_times_is_not_told_of_several_starts() {
    let mut path = vec![(10, 10, "running", "")];
    path.extend((11..14).flat_map(|pid| [(50, pid, "sleep", "asked for 50 ms"), (2, 10, "running", "")]));
    let mut all: Vec<Value> = (11..14)
        .map(|pid| {
            start(pid, Some(10), 10 + 52 * u64::from(pid - 11), 50, &[(50, pid, "sleep", "asked for 50 ms")])
        })
        .collect();
    let mut app = start(10, None, 0, 166, &path);
    let waits = (0..3).map(|n| {
        json!({"at_ns": (10 + 52 * n) * MS, "duration_ns": 50 * MS, "runnable_ns": 0, "tid": 10, "kind": "child",
            "syscall": "wait4", "detail": format!("pid {} (app)", 11 + n), "woken_by": null})
    });
    app["timeline"]["waits"] = json!(waits.collect::<Vec<_>>());
    all.push(app);
    let said = diagnose(&all);
    let waited = find(&said, "helper-wait");
    assert_eq!((waited.n, waited.starts.len(), waited.saves_ns), (1, 1, Some(150 * MS)));
    assert_eq!(waited.summary, "app waited 50.0 ms for its child app; with 2 others like that 150 ms");
    assert_eq!(find(&said, "fixed-sleep").n, 3);
}

/// A version manager's shim: forty processes to find out which program is meant.
#[test]
fn a_storm_before_the_program_is_spared_by_calling_that_itself() {
    let starts = |execs: Value| {
        let mut path = vec![(5, 10, "running", "")];
        path.extend((11..31).map(|pid| (5, pid, "running", "")));
        path.push((20, 10, "running", ""));
        let mut app = start(10, None, 0, 125, &path);
        app["execs"] = execs;
        let mut all: Vec<Value> = (11..31)
            .map(|pid| start(pid, Some(10), 5 * u64::from(pid - 10), 5, &[(5, pid, "running", "")]))
            .collect();
        all.push(app);
        find(&diagnose(&all), "process-storm").clone()
    };
    let exec = |path: &str, at: u64| json!({"at_ns": at * MS, "duration_ns": MS, "path": path, "interpreter": null, "error": null});
    let shim = starts(json!([exec("/opt/shims/app", 0), exec("/bin/app", 110)]));
    assert!(shim.summary.starts_with("app waited for 20 short processes"), "{}", shim.summary);
    assert!(
        shim.advice.starts_with("Call /bin/app itself, where nobody needs what app does"),
        "{}",
        shim.advice
    );
    let plain = starts(json!([exec("/bin/app", 0)]));
    assert!(plain.advice.starts_with("Keep their results"), "{}", plain.advice);
}

#[test]
fn many_wrappers_are_listed_with_how_many_more() {
    let mut app = start(10, None, 0, 100, &[(100, 10, "running", "")]);
    let execs = (0..7).map(|n| {
        json!({"at_ns": n * 10 * MS, "duration_ns": 0, "path": format!("/bin/w{n}"), "interpreter": null, "error": null})
    });
    app["execs"] = json!(execs.collect::<Vec<_>>());
    let said = diagnose(&[app]);
    let wrapper = find(&said, "wrapper-chain");
    assert_eq!(
        wrapper.summary,
        "app was started through 6 wrappers: /bin/w0 10.0 ms, /bin/w1 10.0 ms, /bin/w2 10.0 ms and 3 more"
    );
}

#[test]
fn roots_of_one_master_are_one_whole() {
    // Workers of a process that was there before: two at once, then one more.
    let worker = |pid: u32, at: u64| {
        start(
            pid,
            None,
            at,
            100,
            &[
                (20, pid, "running", ""),
                (60, pid, "dns", "udp 10.0.0.2:53 (receive)"),
                (20, pid, "running", ""),
            ],
        )
    };
    let said = diagnose(&[worker(11, 0), worker(12, 5), worker(13, 200)]);
    let dns = find(&said, "dns-wait");
    // Once for the two together, once for the one.
    assert_eq!((dns.saves_ns, dns.n), (Some(120 * MS), 3));
    assert_eq!(dns.what, "waiting for the name server 10.0.0.2");
}

#[test]
fn forks_of_a_large_parent_add_up_and_take_its_memory_back() {
    let fork = |pid: u32, at: u64| {
        let mut child = start(pid, Some(10), at, 40, &[(30, pid, "creating", ""), (10, pid, "running", "")]);
        child["timeline"]["phases"] = json!([{"name": "fork", "at_ns": 0, "duration_ns": 30 * MS, "exec": null},
            {"name": "exec", "at_ns": 30 * MS, "duration_ns": 5 * MS, "exec": 0},
            {"name": "app", "at_ns": 35 * MS, "duration_ns": 5 * MS, "exec": 0}]);
        child
    };
    let parent = start(
        10,
        None,
        0,
        200,
        &[
            (50, 10, "running", ""),
            (30, 11, "creating", ""),
            (10, 11, "running", ""),
            (10, 10, "running", ""),
            (30, 12, "creating", ""),
            (10, 12, "running", ""),
            (60, 10, "running", ""),
        ],
    );
    let said = diagnose(&[fork(11, 50), fork(12, 100), parent]);
    let large = find(&said, "fork-large-parent");
    // 30 ms of fork less 150 us, and 4 ms of an exec that usually takes 1 ms; twice.
    assert_eq!(large.n, 2);
    let saves = large.saves_ns.unwrap();
    assert!((2 * 33 * MS..=2 * 34 * MS).contains(&saves), "{saves}");
    // CLONE_VM copies nothing.
    let mut spawned = fork(11, 50);
    spawned["method"]["clone_flags"] = json!(["CLONE_VM", "CLONE_VFORK"]);
    assert!(!has(&diagnose(&[spawned]), "fork-large-parent"));
}

#[test]
fn a_name_server_that_does_not_answer_is_named_with_its_time_outs() {
    let path = [
        (10, 10, "running", ""),
        (5000, 10, "dns", "udp 10.0.0.2:53 (receive)"),
        (10, 10, "running", ""),
        (40, 10, "dns", "udp 10.0.0.3:53 (receive)"),
        (40, 10, "running", ""),
    ];
    let said = diagnose(&[start(10, None, 0, 5100, &path)]);
    let dns = find(&said, "dns-wait");
    assert_eq!((dns.saves_ns, dns.evidence["time_outs"].as_u64()), (Some(5000 * MS), Some(1)));
    assert!(dns.advice.contains("10.0.0.2") && dns.summary.contains("did not answer"), "{dns:?}");
    assert_eq!(
        said.verdict[0],
        "app was done after 5.10 s; 5.00 s of it: waiting for the name server 10.0.0.2."
    );
}

#[test]
fn siblings_that_could_start_together_are_priced_by_scaling() {
    let worker = |pid: u32, at: u64| {
        let mut worker = start(
            pid,
            Some(10),
            at,
            100,
            &[(10, pid, "running", ""), (90, pid, "network", "tcp 10.0.0.9:80 (connect)")],
        );
        worker["timeline"]["ready"]["kind"] = json!("listen");
        worker
    };
    let mut starts: Vec<Value> = (0..4).map(|n| worker(11 + n, 10 + u64::from(n) * 100)).collect();
    let mut path = vec![(10, 10, "running", "")];
    for n in 0..4 {
        path.extend([(10, 11 + n, "running", ""), (90, 11 + n, "network", "tcp 10.0.0.9:80 (connect)")]);
    }
    starts.push(start(10, None, 0, 410, &path));
    let said = diagnose(&starts);
    let serial = find(&said, "serial-spawn");
    // 400 ms one after the other, 100 ms together.
    assert_eq!((serial.saves_ns, serial.n), (Some(300 * MS), 4));
    assert_eq!(serial.overlaps, ["connect-wait"]);
    assert_eq!(serial.severity, Severity::Critical);
    // Started together they are not told.
    let mut together: Vec<Value> = (0..4).map(|n| worker(11 + n, 10 + u64::from(n))).collect();
    together.push(start(10, None, 0, 410, &[(410, 10, "running", "")]));
    assert!(!has(&diagnose(&together), "serial-spawn"));
}

#[test]
fn states_of_the_machine_are_priced() {
    for (state, detail, id) in [
        ("throttled", "", "cpu-throttled"),
        ("memory", "", "memory-reclaim"),
        ("random", "/dev/random", "entropy-wait"),
        ("tty", "/dev/pts/3", "prompt-wait"),
    ] {
        let said = diagnose(&[start(10, None, 0, 100, &[(40, 10, "running", ""), (60, 10, state, detail)])]);
        assert_eq!(find(&said, id).saves_ns, Some(60 * MS), "{id}");
        let short =
            diagnose(&[start(10, None, 0, 10_000, &[(9_950, 10, "running", ""), (50, 10, state, detail)])]);
        assert!(!has(&short, id), "{id}: half a percent");
    }
}

#[test]
fn a_worker_that_waits_for_orders_is_not_told_as_one_that_waits_for_a_peer() {
    // The path of the worker leads through the older process while it waits on a pipe.
    let waits = |parent: u32| {
        let path = [(5, 20, "running", ""), (60, 10, "running", ""), (5, 20, "running", "")];
        let mut worker = start(20, Some(parent), 10, 70, &path);
        worker["timeline"]["waits"] = json!([{"at_ns": 5 * MS, "duration_ns": 60 * MS, "runnable_ns": 0, "tid": 20,
            "kind": "pipe", "syscall": "read", "detail": "pipe:[7] <- pid 10 (python3 jobs.py)", "woken_by": null}]);
        worker
    };
    let older = start(10, None, 0, 100, &[(100, 10, "running", "")]);
    let of_other =
        diagnose(&[older.clone(), start(11, None, 1, 100, &[(100, 11, "running", "")]), waits(11)]);
    let told = find(&of_other, "peer-wait");
    assert!(told.summary.contains("waited 60.0 ms for pid 10 ("), "{}", told.summary);
    let mut of_parent = vec![older, waits(10)];
    assert!(!has(&diagnose(&of_parent), "peer-wait"));
    // So it is where somebody else, such as a fork server, made it for whoever gives the orders.
    of_parent[1] = waits(11);
    of_parent[1]["requested_by"] = json!({"start_id": "10@10/0", "id": "10@10", "pid": 10, "comm": "p"});
    assert!(!has(&diagnose(&of_parent), "peer-wait"));
}

#[test]
fn a_peer_that_is_known_by_its_socket_alone_is_told_by_that() {
    for (state, detail) in [
        ("unix_socket", "unix /run/bus (receive)"),
        ("unix_socket", "unix /run/bus (receive), peer pid 9 (busd)"),
        ("poll", "fd 3: unix /run/bus"),
        ("poll", "fd 3: unix /run/bus, peer pid 9 (busd)"),
        ("unix_socket", "fd 3 or 1 other: unix /run/bus"),
    ] {
        let path = [(5, 20, "running", ""), (60, 20, state, detail), (5, 20, "running", "")];
        let mut asking = start(20, None, 10, 70, &path);
        asking["timeline"]["waits"] = json!([{"at_ns": 5 * MS, "duration_ns": 60 * MS, "runnable_ns": 0, "tid": 20,
            "kind": state, "syscall": "poll", "detail": detail, "woken_by": null}]);
        let told = diagnose(&[asking]);
        assert_eq!(find(&told, "peer-wait").evidence["peer"], "unix /run/bus", "{detail}");
    }
}

#[test]
fn processes_that_are_made_and_left_alone_are_no_storm() {
    let storm = |phase: &str| {
        let children = (20..30).map(|pid| (8, pid, "runnable", ""));
        let path: Vec<_> = children.chain([(20, 10, "running", "")]).collect();
        let mut root = start(10, None, 0, 100, &path);
        for segment in root["timeline"]["critical_path"].as_array_mut().unwrap() {
            segment["phase"] = if segment["tid"] == 10 { "app" } else { phase }.into();
        }
        let mut all: Vec<Value> = (20..30)
            .map(|pid| start(pid, Some(10), u64::from(pid - 20) * 8, 60, &[(60, pid, "running", "")]))
            .collect();
        all.push(root);
        diagnose(&all)
    };
    assert!(has(&storm("app"), "process-storm"));
    assert!(!has(&storm("setup"), "process-storm"), "posix_spawn of workers on a busy machine");
}

#[test]
fn the_dearest_is_first_and_the_verdict_is_why() {
    // A parent that waits for a helper that sleeps: the sleep is the cause, although it is a little less.
    let helper = start(
        11,
        Some(10),
        20,
        100,
        &[(5, 11, "running", ""), (90, 11, "sleep", "asked for 90 ms"), (5, 11, "running", "")],
    );
    let mut parent = start(
        10,
        None,
        0,
        200,
        &[
            (20, 10, "running", ""),
            (5, 11, "running", ""),
            (90, 11, "sleep", "asked for 90 ms"),
            (5, 11, "running", ""),
            (80, 10, "running", ""),
        ],
    );
    parent["timeline"]["waits"] = json!([{"at_ns": 20 * MS, "duration_ns": 100 * MS, "runnable_ns": 0, "tid": 10, "kind": "child",
        "syscall": "wait4", "detail": "pid 11 (app)", "woken_by": {"kind": "task", "pid": 11, "comm": "app"}}]);
    let said = diagnose(&[helper.clone(), parent.clone()]);
    let ids: Vec<&str> = said.diagnosis.findings.iter().map(|joined| joined.id.as_str()).collect();
    assert_eq!(ids, ["helper-wait", "fixed-sleep"]);
    assert_eq!(said.diagnosis.findings[0].saves_ns, Some(100 * MS));
    assert_eq!(said.diagnosis.findings[0].overlaps, ["fixed-sleep"]);
    assert!(said.verdict[0].contains("90.0 ms of it: sleeping"), "{:?}", said.verdict);
    assert_eq!(
        said.diagnosis.findings.iter().map(|joined| joined.explained).collect::<Vec<_>>(),
        [true, false]
    );
    // A trace of before says so by its order: what is explained is last.
    let mut recorded = said.diagnosis.clone();
    recorded.findings.reverse();
    recorded.findings.iter_mut().for_each(|joined| joined.explained = false);
    let mut again = Diagnoser::new(Thresholds::default());
    for start in [&helper, &parent] {
        again.known_start(&serde_json::from_value(start.clone()).unwrap());
    }
    let again = again.finish(&[], None, Some(recorded));
    assert_eq!(again.verdict, said.verdict);
    assert_eq!(again.diagnosis.findings.iter().map(|joined| &*joined.id).collect::<Vec<_>>(), ids);
}

#[test]
fn thresholds_decide_what_is_told_and_not_what_it_costs() {
    let starts = [start(10, None, 0, 100, &[(40, 10, "running", ""), (60, 10, "sleep", "asked for 60 ms")])];
    let strict = Thresholds::parse("[fixed-sleep]\nmin_cost = \"61ms\"").unwrap();
    assert!(!has(&with(strict, &starts, &[], None), "fixed-sleep"));
    let lax = Thresholds::parse("[all]\ncritical_cost = \"50ms\"").unwrap();
    let said = with(lax, &starts, &[], None);
    assert_eq!(
        (find(&said, "fixed-sleep").severity, find(&said, "fixed-sleep").saves_ns),
        (Severity::Critical, Some(60 * MS))
    );
}

#[test]
fn a_trace_without_paths_says_what_it_cannot_say() {
    let mut one = start(10, None, 0, 100, &[(100, 10, "running", "")]);
    one["timeline"]["critical_path"] = json!([]);
    one["execs"] = (0..6)
        .map(|n| {
            json!({"at_ns": n * 10 * MS, "duration_ns": 1, "path": format!("/d{n}/app"),
        "interpreter": null, "error": if n < 5 { json!("ENOENT") } else { Value::Null }})
        })
        .collect();
    let said = diagnose(&[one]);
    // What phases and execs tell is told all the same.
    assert_eq!(find(&said, "path-walk").saves_ns, Some(50 * MS));
    let missing = |id: &str| said.diagnosis.not_examined.iter().find(|missing| missing.finding == id);
    assert!(missing("fixed-sleep").unwrap().needs.contains("--level timeline"));
    assert!(missing("constructors").unwrap().needs.contains("--library-probes"));
    assert!(missing("path-walk").is_none());
    assert_eq!(diagnose(&[]), Said::default());
}

fn trace(starts: &[Value]) -> Value {
    json!({"schema": "startrace/1", "tool": {"name": "startrace", "version": "0"},
        "host": {"hostname": "h", "kernel": "6", "arch": "x", "cpus": 2}, "starts": starts, "groups": [],
        "session": {"mode": "command", "target": {"argv": ["app"]}, "level": "timeline", "env_source": null,
            "started_at": "2025-01-01T00:00:00Z", "duration_ns": 300 * MS, "ended_by": "command", "complete": true,
            "lost": {}, "hooks": [], "starts": starts.len()}})
}

fn reader(trace: &Value) -> Reader {
    Reader::new("test".into(), Box::new(std::io::Cursor::new(trace.to_string().into_bytes()))).unwrap()
}

fn report(digest: &Digest, view: View) -> String {
    let mut out = Vec::new();
    render_view(digest, view, &Style { width: 80, color: false, unicode: true }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_report_begins_with_the_verdict_and_what_would_help() {
    let sleepy =
        trace(&[start(10, None, 0, 100, &[(40, 10, "running", ""), (60, 10, "sleep", "asked for 60 ms")])]);
    let text = report(&Digest::read(reader(&sleepy)).unwrap(), View::default());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "app was done after 100 ms; 60.0 ms of it: sleeping for a fixed time in app.");
    assert!(
        text.contains("\nWhat would help\n  60.0 ms  fixed-sleep: app slept 60.0 ms (asked for 60 ms)"),
        "{text}"
    );
    assert!(text.contains("Not examined: "), "{text}");
    // What the trace itself says counts, unless somebody brings thresholds.
    let mut told = sleepy.clone();
    told["findings"] = json!([]);
    told["not_examined"] = json!([]);
    let text = report(&Digest::read(reader(&told)).unwrap(), View::default());
    assert!(!text.contains("What would help") && !text.contains("Not examined"), "{text}");
    let anew = Digest::diagnose(reader(&told), Thresholds::default()).unwrap();
    assert!(report(&anew, View::default()).contains("fixed-sleep"));
    let mut json = Vec::new();
    write_json(&anew, View::default(), &mut json).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["findings"][0]["saves_ns"], 60 * MS);
    assert_eq!(json["slowest"][0]["start_id"], "10@10/0");
    assert!(json["verdict"].as_str().unwrap().contains("60.0 ms of it"));
}

#[test]
fn hostile_traces_do_no_harm() {
    let evil = "\x1b]0;owned\x07\u{202e}\n".repeat(50);
    let mut one = start(10, None, 0, 100, &[(40, 10, "running", ""), (60, 10, "sleep", "asked for 60 ms")]);
    for place in [
        "/exe",
        "/comm",
        "/argv/0",
        "/method/name",
        "/timeline/ready/kind",
        "/timeline/ready/detail",
        "/timeline/critical_path/1/detail",
        "/timeline/waits/0/detail",
        "/parent/comm",
        "/start_id",
    ] {
        let mut bad = one.clone();
        match bad.pointer_mut(place) {
            Some(value) => *value = json!(evil),
            None => bad["timeline"]["ready"]["detail"] = json!(evil),
        }
        shows_harmlessly(&trace(&[bad]));
    }
    for place in [
        "/timeline/origin_boottime_ns",
        "/timeline/duration_ns",
        "/timeline/critical_path/0/at_ns",
        "/timeline/critical_path/1/duration_ns",
        "/timeline/waits/0/at_ns",
        "/timeline/waits/0/duration_ns",
        "/timeline/waits/0/runnable_ns",
        "/timeline/phases/0/duration_ns",
        "/execs/0/at_ns",
    ] {
        *one.pointer_mut(place).unwrap() = json!(u64::MAX);
        shows_harmlessly(&trace(&[one.clone(), start(11, Some(10), 5, 10, &[(10, 11, "running", "")])]));
    }
    for (own, others) in [(u64::MAX, u64::MAX), (0, u64::MAX), (u64::MAX, 0), (0, 0)] {
        let path = [(40, 10, "running", ""), (50, 11, "sleep", ""), (10, 10, "running", "")];
        let mut odd = start(10, None, 0, 100, &path);
        put_together(
            &mut odd,
            1,
            json!({evil.clone(): own, "sleep": own}),
            json!({"sleep": others, "disk": others}),
        );
        odd["timeline"]["critical_path"][1]["folded"]["short_ns"] = json!(u64::MAX);
        odd["timeline"]["critical_path"][1]["folded"]["short_starts"] = json!(u64::MAX);
        let child = start(11, Some(10), 40, 50, &[(50, 11, "sleep", "asked for 50 ms")]);
        for joined in diagnose(&[child.clone(), odd.clone()]).diagnosis.findings {
            assert!(joined.saves_ns.unwrap_or(0) <= 100 * MS, "{joined:?}");
        }
        shows_harmlessly(&trace(&[odd.clone(), child.clone()]));
        odd["timeline"]["critical_path"][1]["duration_ns"] = json!(u64::MAX);
        shows_harmlessly(&trace(&[odd, child]));
    }
    let mut loud = trace(&[]);
    loud["findings"] = json!([{"id": evil, "severity": "critical", "saves_ns": u64::MAX, "basis": "scaled",
        "starts": [evil, evil], "n": u64::MAX, "overlaps": [evil, evil], "what": evil, "summary": evil, "evidence": {evil.clone(): 1},
        "advice": evil}]);
    loud["not_examined"] = json!([{"finding": evil, "needs": evil}]);
    shows_harmlessly(&loud);
}

fn shows_harmlessly(trace: &Value) {
    let digest = Digest::read(reader(trace)).unwrap();
    for all in [true, false] {
        let text = report(&digest, View { all, top: None });
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    write_json(&digest, View::default(), &mut Vec::new()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the pieces are: a saving is never more than the whole, and the same with the starts in any order.
    #[test]
    fn savings_are_within_the_whole(
        pieces in prop::collection::vec((1u64..60, 0u32..4, 0usize..6), 1..40),
        order in any::<bool>(),
    ) {
        let states = ["running", "sleep", "dns", "disk", "runnable", "network"];
        let details = ["", "asked for 10 ms", "udp 10.0.0.2:53 (receive)", "/a", "pid 7 (x) had the CPU", "tcp 1.2.3.4:5 (connect)"];
        let path: Vec<(u64, u32, &str, &str)> =
            pieces.iter().map(|(ms, of, state)| (*ms, 10 + of, states[*state], details[*state])).collect();
        let whole: u64 = pieces.iter().map(|(ms, ..)| ms).sum();
        let mut starts = vec![start(10, None, 0, whole, &path)];
        for of in 1..4u32 {
            // The children, with the parts of the path that are theirs; the rest of their time they ran.
            let own: Vec<_> = path.iter().map(|(ms, by, state, detail)| if *by == 10 + of { (*ms, *by, *state, *detail) } else { (*ms, 10 + of, "running", "") }).collect();
            starts.push(start(10 + of, Some(10), 0, whole, &own));
        }
        if order {
            starts.reverse();
        }
        let said = diagnose(&starts);
        for joined in &said.diagnosis.findings {
            prop_assert!(joined.saves_ns.unwrap_or(0) <= whole * MS, "{joined:?}");
        }
        // Disjoint kinds cannot save more than the whole together.
        let disjoint = ["fixed-sleep", "dns-wait", "connect-wait"];
        let of = said.diagnosis.findings.iter().filter(|joined| disjoint.contains(&joined.id.as_str()));
        let sum: u64 = of.filter_map(|joined| joined.saves_ns).sum();
        prop_assert!(sum <= whole * MS, "{sum} of {whole}");
    }
}

/// Items are handed over as a reader does.
#[test]
fn reading_and_recording_say_the_same() {
    let starts = [
        start(11, Some(10), 20, 60, &[(20, 11, "running", ""), (40, 11, "sleep", "asked for 40 ms")]),
        start(
            10,
            None,
            0,
            100,
            &[
                (20, 10, "running", ""),
                (20, 11, "running", ""),
                (40, 11, "sleep", "asked for 40 ms"),
                (20, 10, "running", ""),
            ],
        ),
    ];
    let recorded = diagnose(&starts);
    let mut diagnoser = Diagnoser::new(Thresholds::default());
    let ending = reader(&trace(&starts))
        .read(&mut |item: Item| {
            diagnoser.item(&item);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(ending.diagnosis.is_none());
    assert_eq!(diagnoser.finish(&ending.groups, ending.session.as_ref(), None).diagnosis, recorded.diagnosis);
}

#[test]
fn waits_as_long_as_a_number_can_be_are_waits() {
    // As many ms as 64 bits of ns hold.
    let most = u64::MAX / MS;
    let said = diagnose(&[start(1, None, 0, most, &[(most, 1, "network", "tcp 10.0.0.9:80 (connect)")])]);
    let found = find(&said, "connect-wait");
    assert!(found.summary.contains("to be connected to tcp 10.0.0.9:80"), "{found:?}");
    let said = diagnose(&[start(1, None, 0, most, &[(most, 1, "dns", "udp 10.0.0.2:53 (receive)")])]);
    let found = find(&said, "dns-wait");
    assert_eq!((found.saves_ns, found.evidence["time_outs"].as_u64()), (Some(most * MS), Some(1)));
}

#[test]
fn however_often_helpers_tried_the_last_of_them_tells_how_it_ended() {
    let tries = 1_100;
    let mut starts: Vec<Value> = (0..=tries)
        .map(|n| {
            let pid = 100 + n;
            let mut child = start(pid, Some(5), 1 + u64::from(n), 1, &[(1, pid, "running", "")]);
            let error = (n < tries).then_some("ECONNREFUSED");
            child["timeline"]["connects"] = json!([{"at_ns": 0, "duration_ns": 1000, "tid": pid,
                "peer": "tcp 127.0.0.1:80", "error": error}]);
            child
        })
        .collect();
    let whole = u64::from(tries) + 10;
    starts.push(start(5, None, 0, whole, &[(2, 5, "running", ""), (whole - 2, 5, "sleep", "")]));
    let said = diagnose(&starts);
    let found = find(&said, "dependency-retry");
    assert!(found.summary.ends_with("; then it was connected"), "{}", found.summary);
}

/// ld.so ends with 127 what lacks a library (its `_dl_signal_error` outside of dlopen(3) is fatal with that status).
#[test]
fn a_program_that_its_loader_gave_up_is_to_be_inspected() {
    let failed = |code: u32, last: &str| {
        let mut failed = start(42, None, 0, 13, &[(13, 42, "running", "")]);
        failed["exit"]["code"] = json!(code);
        failed["timeline"]["phases"] = json!([{"name": "exec", "at_ns": 0, "duration_ns": MS, "exec": 0},
            {"name": last, "at_ns": MS, "duration_ns": 12 * MS, "exec": 0}]);
        find(&diagnose(&[failed]), "start-failed").advice.clone()
    };
    assert!(failed(127, "link").ends_with("'startrace inspect /bin/app' names it"));
    for (code, last) in [(127, "app"), (3, "link")] {
        assert!(failed(code, last).starts_with("Read its error output"), "{code} in {last}");
    }
}

#[test]
fn the_library_that_the_loader_did_not_find_is_named() {
    let failed = |missing: Value| {
        let mut failed = start(42, None, 0, 13, &[(13, 42, "running", "")]);
        failed["exit"]["code"] = json!(127);
        failed["exit"]["missing_libraries"] = missing;
        failed["timeline"]["phases"] = json!([{"name": "exec", "at_ns": 0, "duration_ns": MS, "exec": 0},
            {"name": "link", "at_ns": MS, "duration_ns": 12 * MS, "exec": 0}]);
        let said = diagnose(&[failed]);
        (said.verdict[0].clone(), find(&said, "start-failed").advice.clone())
    };
    let (verdict, advice) = failed(json!(["libssl.so.3", "libcrypto.so.3"]));
    let says = "app failed with status 127 after 13.0 ms: its dynamic loader does not find libssl.so.3, libcrypto.so.3";
    assert!(verdict.starts_with(says), "{verdict}");
    assert!(advice.starts_with("Install the package that has libssl.so.3, libcrypto.so.3"), "{advice}");
    // All are there: a symbol is missing, which only its own words name.
    let (verdict, advice) = failed(json!([]));
    assert!(
        verdict.contains(": its dynamic loader gave up before the program's own code began"),
        "{verdict}"
    );
    assert!(advice.contains("'ldd -r /bin/app'"), "{advice}");
}

/// At 3 a.m. the first line says why it failed, not what took most of the 2 ms.
#[test]
fn what_made_the_start_fail_stands_first() {
    let failing = |code: Option<u32>, signal: Option<&str>| {
        let path = [(10, 42, "running", ""), (190, 42, "sleep", "asked for 190 ms")];
        let mut app = start(42, None, 0, 200, &path);
        app["exit"]["code"] = json!(code);
        app["exit"]["signal"] = json!(signal);
        app
    };
    for (code, signal) in
        [(Some(1), None), (Some(127), None), (None, Some("SIGKILL")), (None, Some("SIGSEGV"))]
    {
        let said = diagnose(&[failing(code, signal)]);
        let ids: Vec<&str> = said.diagnosis.findings.iter().map(|joined| &*joined.id).collect();
        assert_eq!(ids, ["start-failed", "fixed-sleep"], "{code:?} {signal:?}");
    }
    assert_eq!(diagnose(&[failing(Some(0), None)]).diagnosis.findings[0].id, "fixed-sleep");
    // A helper's failure, of which nobody but it failed, stays behind what costs something; and goes with its parent's.
    let with_helper = |code: u32| {
        let mut helper = start(43, Some(42), 1, 2, &[(2, 43, "running", "")]);
        helper["exit"]["code"] = json!(127);
        let said = diagnose(&[helper, failing(Some(code), None)]);
        let found = &said.diagnosis.findings;
        found.iter().map(|joined| (joined.id.clone(), joined.starts[0].clone())).collect::<Vec<_>>()
    };
    let is = |id: &str, of: &str| (id.to_owned(), of.to_owned());
    let (own, helper) = (is("start-failed", "42@42/0"), is("start-failed", "43@43/0"));
    assert_eq!(with_helper(0), [is("fixed-sleep", "42@42/0"), helper.clone()]);
    assert_eq!(with_helper(2), [own, helper, is("fixed-sleep", "42@42/0")]);
    // The verdict has the reason.
    let mut app = failing(Some(127), None);
    let mut exec = app["execs"][0].clone();
    exec["path"] = json!("./server");
    exec["error"] = json!("ENOENT");
    app["execs"].as_array_mut().unwrap().push(exec);
    let said = diagnose(&[app]);
    let verdict = &said.verdict[0];
    assert!(
        verdict.starts_with("app failed with status 127 after 200 ms: exec of ./server failed (ENOENT); "),
        "{verdict}"
    );
    assert!(find(&said, "start-failed").advice.starts_with("The file, the folder before it"));
    let mut app = failing(None, Some("SIGTERM"));
    app["exit"]["killed_by"] = json!({"start_id": null, "id": "9@9", "pid": 9, "comm": "watchdog"});
    let said = diagnose(&[app]);
    let verdict = &said.verdict[0];
    assert!(
        verdict.starts_with("app was ended by SIGTERM after 200 ms, sent by pid 9 (watchdog); "),
        "{verdict}"
    );
}

#[test]
fn a_death_by_a_signal_is_advised_by_the_signal() {
    let advice = |signal: &str, by: bool| {
        let mut app = start(42, None, 0, 13, &[(13, 42, "running", "")]);
        app["exit"]["code"] = json!(null);
        app["exit"]["signal"] = json!(signal);
        app["cgroup"] = json!("/system.slice/app.service");
        if by {
            app["exit"]["killed_by"] = json!({"start_id": null, "id": "9@9", "pid": 9, "comm": "watchdog"});
        }
        find(&diagnose(&[app]), "start-failed").advice.clone()
    };
    for (signal, says) in [
        ("SIGKILL", "out-of-memory killer: 'dmesg'"),
        ("SIGKILL", "memory.events of cgroup /system.slice/app.service"),
        ("SIGSYS", "seccomp"),
        ("SIGSEGV", "coredumpctl debug 42"),
        ("SIGABRT", "its error output says why"),
        ("SIGBUS", "/dev/shm"),
        ("SIGILL", "another one"),
        ("SIGUSR1", "-a"),
    ] {
        let text = advice(signal, false);
        assert!(text.contains(says) && !text.starts_with("Read its error output"), "{signal}: {text}");
    }
    assert_eq!(
        advice("SIGKILL", true),
        "Look why pid 9 (watchdog) ended it: it was the one that sent the signal"
    );
}

/// `Pool.terminate`, and a daemon that is stopped: both were there.
#[test]
fn whoever_did_its_work_and_was_ended_by_order_has_not_failed() {
    let worker = |pattern: Option<&str>, by: &str, milestone: Option<&str>, signal: &str| {
        let mut worker = start(11, Some(10), 10, 110, &[(110, 11, "running", "")]);
        worker["method"]["pattern"] = json!(pattern);
        worker["exit"] = json!({"code": null, "signal": signal, "core": false, "at_ns": 110 * MS,
            "killed_by": {"start_id": null, "id": by, "pid": 10, "comm": "app"}});
        if let Some(name) = milestone {
            worker["timeline"]["milestones"] =
                json!([{"name": name, "at_ns": MS, "detail": null, "inferred": false}]);
        }
        let parent = start(10, None, 0, 130, &[(130, 10, "running", "")]);
        has(&diagnose(&[worker, parent]), "start-failed")
    };
    let (parent, stranger) = ("10@10", "77@77");
    assert!(!worker(Some("multiprocessing.fork"), parent, None, "SIGTERM"));
    assert!(worker(Some("multiprocessing.fork"), stranger, None, "SIGTERM"));
    assert!(worker(Some("multiprocessing.fork"), parent, None, "SIGKILL"));
    for by in [parent, stranger] {
        assert!(!worker(None, by, Some("first_listen"), "SIGTERM"));
        assert!(!worker(None, by, Some("notify_ready"), "SIGINT"));
        assert!(worker(None, by, Some("libc_start"), "SIGTERM"));
        assert!(worker(None, by, Some("first_listen"), "SIGSEGV"));
    }
}

#[test]
fn a_name_server_that_a_time_out_ended_did_not_answer() {
    let said = |ms: u64, by: &str| {
        let mut start = start(42, None, 0, ms, &[(ms, 42, "dns", "udp 127.0.0.53:53")]);
        start["timeline"]["waits"][0]["woken_by"] = json!({"kind": by, "pid": null, "comm": null});
        let said = diagnose(&[start]);
        let found = find(&said, "dns-wait");
        (found.evidence["time_outs"].as_u64().unwrap(), found.advice.clone())
    };
    let (times, advice) = said(1_000, "timer");
    assert_eq!(
        (times, advice.as_str()),
        (1, "Repair the name server 127.0.0.53 or take it out of /etc/resolv.conf")
    );
    let (times, advice) = said(5_000, "timer");
    assert!(times == 1 && advice.ends_with("/etc/resolv.conf (options timeout:1 attempts:1)"), "{advice}");
    for (ms, by) in [(1_000, "softirq"), (400, "timer")] {
        let (times, advice) = said(ms, by);
        assert!(times == 0 && advice.starts_with("Cache names locally"), "{advice}");
    }
}

/// A path whose short pieces were put together, under the longest of them.
fn put_together(root: &mut Value, at: usize, own: Value, others: Value) {
    let folded = json!({"pieces": 900, "own_ns": own, "others_ns": others});
    root["timeline"]["critical_path"][at]["folded"] = folded;
}

#[test]
fn what_was_put_together_is_not_all_of_whoever_has_the_longest_piece() {
    // 20 ms of its own; 100 ms in pieces, the longest of which is number 11's; 80 ms of its own.
    let path = [(20, 10, "running", ""), (100, 11, "running", ""), (80, 10, "running", "")];
    let mut root = start(10, None, 0, 200, &path);
    put_together(&mut root, 1, json!({"running": 30 * MS}), json!({"running": 20 * MS, "sleep": 50 * MS}));
    let sleeper = |pid: u32, at: u64, ms: u64| {
        start(pid, Some(10), at, ms + 2, &[(2, pid, "running", ""), (ms, pid, "sleep", "asked for 1 ms")])
    };
    let saves = |starts: &[Value]| find(&diagnose(starts), "fixed-sleep").saves_ns;
    // Whether it has the longest piece or not, a sleep in those pieces is one that somebody waited for.
    assert_eq!(saves(&[sleeper(11, 30, 40), root.clone()]), Some(40 * MS));
    assert_eq!(saves(&[sleeper(12, 30, 40), root.clone()]), Some(40 * MS));
    // No more of them than is not its own.
    assert_eq!(saves(&[sleeper(11, 20, 98), root.clone()]), Some(70 * MS));
    // A glance, which is all that a report takes of a trace that says what was found, gives the same whole.
    let said = diagnose(&[root]);
    assert_eq!(said.diagnosis.findings, []);
}

#[test]
fn where_most_of_the_time_went_is_said_beside_a_smaller_cause() {
    let verdict = |computes: u64, sleeps: u64| {
        let path = [(computes, 10, "running", ""), (sleeps, 10, "sleep", "asked for it")];
        let mut start = start(10, None, 0, computes + sleeps, &path);
        start["timeline"]["path_ns"] = json!({"running": computes * MS, "sleep": sleeps * MS});
        diagnose(&[start]).verdict.remove(0)
    };
    assert_eq!(
        verdict(800, 200),
        "app was done after 1.00 s; 200 ms of it: sleeping for a fixed time in app; most of it, 800 ms (80 %), running on a CPU."
    );
    // Where the cause is the larger part, or nearly, it is enough.
    for (computes, sleeps) in [(200, 800), (550, 450)] {
        let verdict = verdict(computes, sleeps);
        assert!(verdict.ends_with("ms of it: sleeping for a fixed time in app."), "{verdict}");
    }
}

/// A shell that runs one command after the other, each for 100 ms.
fn one_by_one(commands: &[(&[&str], i32)]) -> Vec<Value> {
    let mut path = vec![(10, 10, "running", "")];
    let mut starts = Vec::new();
    for (pid, (argv, code)) in (11u32..).zip(commands) {
        let within = [(10, pid, "running", ""), (90, pid, "network", "tcp 10.0.0.9:80 (receive)")];
        let at = 10 + 100 * u64::from(pid - 11);
        let mut start = start(pid, Some(10), at, 100, &within);
        start["exe"] = json!(format!("/usr/bin/{}", argv[0]));
        start["argv"] = json!(argv);
        start["exit"]["code"] = json!(code);
        start["method"]["name"] = json!("shell.command");
        starts.push(start);
        path.extend(within);
    }
    starts.push(start(10, None, 0, 10 + 100 * commands.len() as u64, &path));
    starts
}

#[test]
fn what_is_tried_again_or_only_sleeps_could_not_start_together() {
    let told = |commands: &[(&[&str], i32)]| has(&diagnose(&one_by_one(commands)), "serial-spawn");
    let get: &[&str] = &["curl", "http://db:80/"];
    assert!(told(&[(get, 0), (get, 0), (get, 0), (get, 0)]));
    // Until it works, or never.
    assert!(!told(&[(get, 7), (get, 7), (get, 7), (get, 0)]));
    assert!(!told(&[(get, 7), (get, 7), (get, 7), (get, 7)]));
    // One that fails among others is no retry, nor is it where each asks for something else.
    assert!(told(&[(get, 0), (get, 7), (get, 0), (get, 0)]));
    let other = |n: &'static str| -> [&'static str; 2] { ["curl", n] };
    let [a, b, c] = [other("http://a1/"), other("http://a2/"), other("http://a3/")];
    assert!(told(&[(&a, 7), (&b, 7), (&c, 7)]));
    for sleep in [&["sleep", "1"][..], &["busybox", "sleep", "1"]] {
        assert!(!told(&[(sleep, 0), (sleep, 0), (sleep, 0), (sleep, 0)]), "{sleep:?}");
    }
}

#[test]
fn runs_of_stat_are_each_a_whole_of_their_own() {
    let run = |n: u32| {
        let ms = 100 + u64::from(n);
        let at = 10 + 120 * u64::from(n);
        start(
            20 + n,
            None,
            at,
            ms,
            &[(20 + u64::from(n), 20 + n, "running", ""), (80, 20 + n, "sleep", "asked for 80 ms")],
        )
    };
    let starts: Vec<Value> = (0..6).map(run).collect();
    let runs: Vec<Value> = (20..26)
        .map(|pid| json!({"name": "app", "start_id": format!("{pid}@{pid}/0"), "exit": 0, "pss_bytes": null}))
        .collect();
    let mut session = trace(&starts)["session"].take();
    let said = |session: &Value| {
        let session: Session = serde_json::from_value(session.clone()).unwrap();
        with(Thresholds::default(), &starts, &[], Some(&session))
    };
    // Of a process that starts the same six times, one after the other, that is said, and all that is slept.
    let one = said(&session);
    assert!(has(&one, "serial-spawn"));
    assert_eq!(find(&one, "fixed-sleep").saves_ns, Some(6 * 80 * MS));
    session["runs"] = json!(runs);
    let each = said(&session);
    assert!(!has(&each, "serial-spawn"), "{:?}", each.diagnosis);
    assert_eq!((find(&each, "fixed-sleep").saves_ns, find(&each, "fixed-sleep").n), (Some(80 * MS), 6));
    // How many is of all of them, and the price of one.
    let summary = &find(&each, "fixed-sleep").summary;
    assert!(summary.starts_with("6 starts of app in 6 runs (the price is of one), 80.0 ms"), "{summary}");
    assert!(find(&one, "fixed-sleep").summary.starts_with("6 starts of app, 80.0 ms"));
    assert_eq!(
        each.verdict[0],
        "the longest of 6 runs: app was done after 105 ms; 80.0 ms of it: sleeping for a fixed time in app."
    );
}

/// Its one wait, of a kind, by a system call, and what ended it.
fn waits(start: &mut Value, kind: &str, syscall: &str, by: &str) {
    for wait in start["timeline"]["waits"].as_array_mut().unwrap() {
        wait["kind"] = json!(kind);
        wait["syscall"] = json!(syscall);
        wait["woken_by"] = json!({"kind": by, "pid": null, "comm": null});
    }
}

#[test]
fn an_event_loops_time_out_is_a_fixed_sleep_and_its_events_are_none() {
    let said = |syscall: &str, by: &str, detail: &str, ready: &str| {
        let path = [(20, 10, "running", ""), (80, 10, "poll", detail)];
        let mut start = start(10, None, 0, 100, &path);
        waits(&mut start, "poll", syscall, by);
        start["timeline"]["ready"]["kind"] = json!(ready);
        diagnose(&[start])
    };
    let slept = said("epoll_wait", "timer", "fd 3: eventpoll", "exit");
    let sleep = find(&slept, "fixed-sleep");
    assert_eq!(sleep.saves_ns, Some(80 * MS));
    assert_eq!(sleep.summary, "app slept 80.0 ms (in an event loop's time-outs)");
    for (syscall, by, detail, ready) in [
        ("epoll_wait", "task", "fd 3: eventpoll", "exit"),
        ("epoll_wait", "unknown", "fd 3: eventpoll", "exit"),
        // With descriptors of its own the time-out is of a wait for those.
        ("poll", "timer", "fd 3: pipe", "exit"),
        ("epoll_wait", "timer", "fd 3: tcp 10.0.0.9:80 (receive)", "exit"),
        ("epoll_wait", "timer", "fd 3: tcp 0.0.0.0:80 (accept)", "exit"),
        // An idle loop waits for ever.
        ("epoll_wait", "timer", "fd 3: eventpoll", "timeout"),
    ] {
        assert!(!has(&said(syscall, by, detail, ready), "fixed-sleep"), "{syscall} {by} {detail} {ready}");
    }
}

#[test]
fn a_server_that_waits_for_clients_elsewhere_than_ready_looks_is_no_client() {
    let told = |waited: Option<&str>, state: &str, detail: &str, looks: &str| {
        let mut start = start(10, None, 0, 2_000, &[(300, 10, "running", ""), (1_700, 10, state, detail)]);
        start["exit"] = Value::Null;
        start["timeline"]["ready"] = json!({"kind": "timeout", "at_ns": 2_000 * MS, "inferred": false,
            "detail": format!("the window ended; it waits for clients in accept4 (tcp 127.0.0.1:70){looks}")});
        if let Some(at) = waited {
            start["timeline"]["milestones"] =
                json!([{"name": "first_accept_wait", "at_ns": 300 * MS, "detail": at, "inferred": false}]);
        }
        start["timeline"]["path_ns"] = json!({"running": 300 * MS, state: 1_700 * MS});
        let said = diagnose(&[start]);
        assert!(!has(&said, "connect-wait") && !has(&said, "peer-wait"), "{said:?}");
        let found = find(&said, "never-ready");
        (said.verdict[0].clone(), found.summary.clone(), found.advice.clone())
    };
    let at = "tcp 127.0.0.1:70";
    let elsewhere =
        "it waited for clients at tcp 127.0.0.1:70 after 300 ms, but --ready looks at tcp 127.0.0.1:80";
    for (state, detail) in
        [("network", "tcp 127.0.0.1:70 (accept)"), ("poll", "fd 3: tcp 127.0.0.1:70 (accept)"), ("poll", "")]
    {
        let (verdict, summary, advice) = told(Some(at), state, detail, "; --ready looks at tcp 127.0.0.1:80");
        assert_eq!(verdict, format!("app was not ready after 2.00 s: {elsewhere}."));
        assert_eq!(summary, format!("app was not ready within its window of 2.00 s: {elsewhere}"));
        assert!(advice.contains("--ready accept"), "{advice}");
    }
    // It was answered otherwise than hoped for.
    let refused = "; --ready looks at tcp 127.0.0.1:70; the last answer there was HTTP 404 from http://127.0.0.1:70/bad";
    let (verdict, summary, advice) = told(Some(at), "poll", "", refused);
    let but = "it waited for clients at tcp 127.0.0.1:70 after 300 ms, but --ready got HTTP 404 from http://127.0.0.1:70/bad";
    assert_eq!(verdict, format!("app was not ready after 2.00 s: {but}."));
    assert!(summary.ends_with(but), "{summary}");
    assert!(advice.contains("a path that answers") && !advice.contains("where it waits"), "{advice}");
    let (_, summary, advice) = told(None, "sleep", "", refused);
    assert!(summary.ends_with("; --ready got HTTP 404 from http://127.0.0.1:70/bad"), "{summary}");
    assert!(advice.contains("a path that answers"), "{advice}");
    // Somebody else did.
    let (.., advice) = told(Some("tcp 127.0.0.1:71"), "poll", "", refused);
    assert!(advice.contains("where it waits"), "{advice}");
    // By another name, or by one of several: the place is the same.
    for (at, looks, same) in [
        (at, "tcp [::1]:70 or tcp 127.0.0.1:70", true),
        ("tcp 0.0.0.0:70", "tcp 127.0.0.1:70", true),
        ("tcp [::]:70", "tcp 127.0.0.1:70", true),
        ("tcp [::]:70 in pid 11", "tcp [::1]:70", true),
        ("tcp 0.0.0.0:70", "tcp [::1]:70", false),
        ("tcp 10.0.0.1:70", "tcp 127.0.0.1:70", false),
        ("tcp 0.0.0.0:71", "tcp 127.0.0.1:70", false),
        ("unix /run/x", "tcp 127.0.0.1:70", false),
    ] {
        let (_, summary, advice) = told(Some(at), "poll", "", &format!("; --ready looks at {looks}"));
        assert_eq!(summary.contains("--ready looks at"), !same, "{at}, {looks}: {summary}");
        assert_eq!(advice.contains("where it waits"), !same, "{at}, {looks}: {advice}");
    }
    // It looks at the right place, or at none.
    for looks in ["; --ready looks at tcp 127.0.0.1:70", ""] {
        let (verdict, ..) = told(Some(at), "network", "tcp 127.0.0.1:70 (accept)", looks);
        assert!(verdict.ends_with(": it waited for clients at tcp 127.0.0.1:70 after 300 ms."), "{verdict}");
    }
    // Another process's own unix socket makes it no server.
    let (verdict, ..) = told(Some("unix /tmp/a in pid 11"), "unix_socket", "unix /tmp/a (accept)", "");
    assert!(!verdict.contains("clients") && verdict.contains("of it (85 %)"), "{verdict}");
    // One that waits for clients late still computed for most of its time.
    let (verdict, ..) = told(Some(at), "sleep", "", "");
    assert!(verdict.contains("after 300 ms; ") && verdict.contains("sleeping"), "{verdict}");
}

#[test]
fn who_waits_for_an_answer_is_not_advised_to_connect() {
    let advice = |what: &str| {
        let path = [(20, 10, "running", ""), (80, 10, "network", what)];
        find(&diagnose(&[start(10, None, 0, 100, &path)]), "connect-wait").advice.clone()
    };
    let connects = advice("fd 3: tcp 10.0.0.9:80 (connect)");
    assert!(connects.starts_with("Connect to tcp 10.0.0.9:80 "), "{connects}");
    let asks = advice("fd 3: tcp 10.0.0.9:80 (receive)");
    assert!(asks.starts_with("Ask tcp 10.0.0.9:80 ") && asks.contains("answers late"), "{asks}");
}

/// Connects so long and pauses so long, so often, ms; the path is that of a client that polls for its connection.
fn tries(hangs: u64, pauses: u64, times: u64, error: &str) -> Value {
    let (mut path, mut connects) = (vec![(20, 10, "running", "")], Vec::new());
    for n in 0..times {
        connects.push(
            json!({"at_ns": (20 + n * (hangs + pauses)) * MS - MS / 2, "duration_ns": hangs * MS + MS / 2,
            "tid": 10, "peer": "tcp 127.0.0.1:80", "error": error}),
        );
        // Of one descriptor, and of an event loop.
        path.push(match n % 2 {
            0 => (hangs, 10, "network", "tcp 127.0.0.1:80"),
            _ => (hangs, 10, "poll", "fd 3: tcp 127.0.0.1:80"),
        });
        path.push((pauses, 10, "sleep", ""));
    }
    let mut start = start(10, None, 0, 20 + times * (hangs + pauses), &path);
    start["timeline"]["connects"] = json!(connects);
    start
}

#[test]
fn who_polls_for_a_connection_that_never_came_was_not_connected() {
    let said = diagnose(&[tries(500, 10, 4, "given_up")]);
    let found = find(&said, "connect-wait");
    assert_eq!(found.summary, "app waited 2.00 s to be connected to tcp 127.0.0.1:80, 4 times");
    assert!(
        found.advice.contains("shorter time-out") && !found.advice.contains("connected by then"),
        "{found:?}"
    );
    assert_eq!(found.evidence["connect_ns"].as_u64(), Some(2_000 * MS));
    // One that is under way still, and that nothing is told of yet.
    let mut pending = tries(500, 10, 4, "given_up");
    pending["timeline"]["connects"].as_array_mut().unwrap().truncate(1);
    let found = find(&diagnose(&[pending]), "connect-wait").clone();
    assert!(found.summary.contains("to be connected to"), "{found:?}");
    // Whose connection nobody saw is not said to be connected.
    let mut unseen = tries(500, 10, 4, "given_up");
    unseen["timeline"]["connects"] = json!([]);
    let found = find(&diagnose(&[unseen]), "connect-wait").clone();
    assert!(found.summary.contains("for answers of") && found.advice.ends_with("answers late"), "{found:?}");
    // Connected at once, and then asked.
    let mut asks = tries(500, 10, 4, "given_up");
    asks["timeline"]["connects"] = json!([{"at_ns": 10 * MS, "duration_ns": MS, "tid": 10,
        "peer": "tcp 127.0.0.1:80", "error": null}]);
    let found = find(&diagnose(&[asks]), "connect-wait").clone();
    assert!(found.advice.ends_with("it was connected by then"), "{found:?}");
    assert_eq!(found.evidence["connect_ns"].as_u64(), Some(0));
}

#[test]
fn tries_that_hang_are_advised_a_shorter_time_out_and_others_shorter_steps() {
    let said = diagnose(&[tries(500, 10, 4, "given_up")]);
    let found = find(&said, "dependency-retry");
    let hung = "app tried in vain to connect to tcp 127.0.0.1:80 4 times (given up), and waited 2.03 s for these tries \
                and between them; it was not connected within this start";
    assert_eq!(found.summary, hung);
    assert!(
        found.advice.starts_with("Give each try a shorter time-out: the tries themselves took 2.00 s"),
        "{found:?}"
    );
    assert!(!found.advice.contains("1 ms"), "{found:?}");
    let said = diagnose(&[tries(1, 500, 4, "ECONNREFUSED")]);
    let found = find(&said, "dependency-retry");
    assert!(
        found.summary.contains(" 4 times (ECONNREFUSED), and waited 1.50 s for the next try; "),
        "{found:?}"
    );
    assert!(found.advice.ends_with("or retry in steps that begin with 1 ms"), "{found:?}");
}

#[test]
fn who_waits_for_a_worker_or_a_sleep_is_not_advised_to_keep_an_answer() {
    let advice = |state: &str, of: &dyn Fn(&mut Value)| {
        let mut helper = start(11, Some(10), 20, 60, &[(2, 11, "running", ""), (58, 11, state, "")]);
        of(&mut helper);
        let path =
            [(20, 10, "running", ""), (2, 11, "running", ""), (58, 11, state, ""), (20, 10, "running", "")];
        let mut parent = start(10, None, 0, 100, &path);
        parent["timeline"]["waits"] = json!([{"at_ns": 20 * MS, "duration_ns": 60 * MS, "runnable_ns": 0, "tid": 10,
            "kind": "child", "syscall": "wait4", "detail": "pid 11 (app)", "woken_by": {"kind": "task", "pid": 11, "comm": "app"}}]);
        find(&diagnose(&[helper, parent]), "helper-wait").advice.clone()
    };
    let answers = advice("running", &|_| ());
    assert!(answers.starts_with("Keep the child's answer"), "{answers}");
    let sleeps = advice("sleep", &|_| ());
    assert!(sleeps.starts_with("The child only sleeps"), "{sleeps}");
    let copy = advice("running", &|start| {
        start["execs"] = json!([]);
        start["method"]["mechanism"] = json!("fork");
    });
    let spawned = advice("running", &|start| start["method"]["pattern"] = json!("multiprocessing.spawn"));
    for worker in [copy, spawned] {
        assert!(worker.starts_with("What makes the worker slow"), "{worker}");
    }
    // A subshell of a script answers.
    let subshell = advice("running", &|start| {
        start["execs"] = json!([]);
        start["method"]["mechanism"] = json!("fork");
        start["method"]["pattern"] = json!("shell.substitution");
    });
    assert!(subshell.starts_with("Keep the child's answer"), "{subshell}");
}

#[test]
fn a_stranger_that_has_the_cpu_is_named_and_nobody_is_to_start_fewer() {
    let advice = |holder: u32, held_ms: u64| {
        let mut start = start(10, None, 0, 100, &[(20, 10, "running", ""), (80, 10, "runnable", "")]);
        let holder = json!({"pid": holder, "comm": "hog", "held_ns": held_ms * MS});
        start["timeline"]["critical_path"][1]["holder"] = holder;
        find(&diagnose(&[start]), "cpu-starved").advice.clone()
    };
    let named = advice(77, 60);
    assert!(named.starts_with("Give this start more weight than hog (pid 77) "), "{named}");
    // Its parent is none, and who had it for the smaller part is not to blame.
    assert!(advice(1, 60).starts_with("Start fewer at once") && !advice(1, 60).contains("record -a"));
    let few = advice(77, 30);
    assert!(
        few.starts_with("Start fewer at once")
            && few.ends_with("record -a shows what else was started meanwhile"),
        "{few}"
    );
}

#[test]
fn a_daemon_that_was_left_behind_is_in_the_verdict() {
    let said = |pattern: &str, kind: &str| {
        let launcher = start(42, None, 0, 37, &[(37, 42, "running", "")]);
        let mut daemon = start(44, Some(42), 28, 601, &[(1, 44, "running", ""), (600, 44, "sleep", "")]);
        daemon["method"]["pattern"] = json!(pattern);
        daemon["timeline"]["path_ns"] = json!({"running": MS, "sleep": 600 * MS});
        daemon["timeline"]["ready"] =
            json!({"kind": kind, "at_ns": 601 * MS, "inferred": false, "detail": "tcp 127.0.0.1:80"});
        diagnose(&[daemon, launcher]).verdict
    };
    let told = "It left app behind, which was ready 629 ms after it began (accept: tcp 127.0.0.1:80); 600 ms of its own 601 ms \
                sleeping.";
    for pattern in ["daemon", "double_fork"] {
        assert_eq!(said(pattern, "accept")[1], told);
    }
    for (pattern, kind) in [("subprocess", "accept"), ("daemon", "exit"), ("daemon", "timeout")] {
        assert!(said(pattern, kind).iter().all(|sentence| !sentence.contains("left")));
    }
}

#[test]
fn a_wait_in_which_nobody_has_the_most_is_the_childs() {
    // A shell waits for an answer in a pipe: of its child, which asks two others one after the other, and the longest of the
    // three has a third of it.
    let path = [
        (10, 1, "running", ""),
        (30, 2, "running", ""),
        (40, 3, "running", ""),
        (30, 4, "running", ""),
        (20, 2, "running", ""),
        (10, 1, "running", ""),
    ];
    let waits = json!([{"at_ns": 10 * MS, "duration_ns": 120 * MS, "runnable_ns": 0, "tid": 1, "kind": "pipe",
        "syscall": "read", "detail": null, "woken_by": null}]);
    let named = |mut start: Value, name: &str| {
        start["argv"] = json!([name]);
        start["exe"] = json!(format!("/bin/{name}"));
        start
    };
    let mut root = start(1, None, 0, 140, &path);
    root["timeline"]["waits"] = waits.clone();
    let child = named(start(2, Some(1), 10, 120, &[(120, 2, "running", "")]), "ask");
    let first = named(start(3, Some(2), 40, 40, &[(40, 3, "running", "")]), "one");
    let second = named(start(4, Some(2), 80, 30, &[(30, 4, "running", "")]), "two");
    let said = diagnose(&[first.clone(), second.clone(), child.clone(), root]);
    let wait =
        said.diagnosis.findings.iter().find(|joined| joined.summary.starts_with("app waited")).unwrap();
    assert_eq!(wait.summary, "app waited 120 ms for its child ask");
    // One has the most of it.
    let path = [
        (10, 1, "running", ""),
        (30, 2, "running", ""),
        (80, 3, "running", ""),
        (10, 2, "running", ""),
        (10, 1, "running", ""),
    ];
    let mut root = start(1, None, 0, 140, &path);
    root["timeline"]["waits"] = waits;
    let said = diagnose(&[first, second, child, root]);
    let wait =
        said.diagnosis.findings.iter().find(|joined| joined.summary.starts_with("app waited")).unwrap();
    assert_eq!(wait.summary, "app waited 120 ms for one");
}

#[test]
fn site_is_told_for_what_it_takes_by_itself() {
    let said = |busy: u64, waited: u64| {
        let path = [
            (20, 1, "running", ""),
            (busy, 1, "running", ""),
            (waited, 1, "runnable", ""),
            (20, 1, "running", ""),
        ];
        let mut python = start(1, None, 0, 40 + busy + waited, &path);
        python["timeline"]["imports"] = json!({"language": "cpython", "provider": "usdt", "from_beginning": true,
            "init_ns": (20 + busy + waited) * MS, "importing_ns": 0, "code_ns": 20 * MS, "count": 1, "left_out": 0,
            "left_out_own_ns": 0, "modules": [{"module": "site", "at_ns": 20 * MS, "duration_ns": (busy + waited) * MS,
            "own_ns": (busy + waited) * MS, "depth": 0, "importer": null, "tid": 1, "found": true}]});
        let said = diagnose(&[python]);
        said.diagnosis
            .findings
            .iter()
            .find(|joined| joined.id == "python-site")
            .map(|joined| joined.summary.clone())
    };
    assert_eq!(said(200, 0).as_deref(), Some("the site module of app took 200 ms"));
    assert_eq!(
        said(200, 50).as_deref(),
        Some("the site module of app took 250 ms (50.0 ms of it waiting for a CPU or for storage)")
    );
    assert_eq!(said(2, 250), None, "who had the CPU is no module's doing");
}

#[test]
fn who_was_started_through_nice_is_told_so() {
    let mut python = start(1, None, 0, 1000, &[(100, 1, "running", ""), (900, 1, "runnable", "")]);
    let advice = |python: &Value| find(&diagnose(std::slice::from_ref(python)), "cpu-starved").advice.clone();
    assert!(!advice(&python).contains("through nice"), "{}", advice(&python));
    let exec =
        |path: &str| json!({"at_ns": 0, "duration_ns": 0, "path": path, "interpreter": null, "error": null});
    python["execs"] = json!([exec("/usr/bin/nice"), exec("/bin/app")]);
    assert!(advice(&python).contains("through nice"), "{}", advice(&python));
}

#[test]
fn what_short_processes_sleep_is_no_price_of_theirs() {
    let mut path = vec![(5, 1, "running", "")];
    for pid in 2..32 {
        path.push((3, pid, "running", ""));
    }
    path.extend([(3, 40, "running", ""), (10, 40, "sleep", "asked for 10 ms"), (5, 1, "running", "")]);
    let said = diagnose(&[start(1, None, 0, 113, &path)]);
    let storm = find(&said, "process-storm");
    assert_eq!(storm.saves_ns, Some(93 * MS), "{}", storm.summary);
    assert!(
        storm.summary.starts_with("app waited for 31 short processes one after the other, 93.0 ms"),
        "{}",
        storm.summary
    );
}

#[test]
fn what_one_start_has_several_times_is_one_starts() {
    // A script waits for three equal helpers, one after the other.
    let own = (10, 1, "running", "");
    let path = [own, (40, 2, "running", ""), own, (30, 3, "running", ""), own, (20, 4, "running", ""), own];
    let mut script = start(1, None, 0, 130, &path);
    let wait = |at: u64, ms: u64, pid: u32| {
        json!({"at_ns": at * MS, "duration_ns": ms * MS, "runnable_ns": 0, "tid": 1, "kind": "child",
            "syscall": "wait4", "detail": format!("pid {pid} (helper)"), "woken_by": null})
    };
    script["timeline"]["waits"] = json!([wait(10, 40, 2), wait(60, 30, 3), wait(100, 20, 4)]);
    let helper = |pid: u32, at: u64, ms: u64| {
        let mut helper = start(pid, Some(1), at, ms, &[(ms, pid, "running", "")]);
        helper["comm"] = json!("helper");
        helper
    };
    let said = diagnose(&[helper(2, 10, 40), helper(3, 60, 30), helper(4, 100, 20), script]);
    let waited = find(&said, "helper-wait");
    assert_eq!((waited.n, waited.starts.len(), waited.saves_ns), (1, 1, Some(90 * MS)), "{}", waited.summary);
    assert_eq!(waited.summary, "app waited 40.0 ms for its child app; with 2 others like that 90.0 ms");
}

#[test]
fn files_of_the_kernel_are_no_storage() {
    let path = [
        (20, 1, "running", ""),
        (30, 1, "disk", "/sys/fs/cgroup/app/cgroup.procs"),
        (20, 1, "running", ""),
        (40, 1, "disk", "/lib/a.so"),
        (20, 1, "running", ""),
    ];
    let said = diagnose(&[start(1, None, 0, 130, &path)]);
    let cold = find(&said, "cold-cache");
    assert_eq!(cold.saves_ns, Some(40 * MS), "{}", cold.summary);
    assert!(!cold.summary.contains("/sys/"), "{}", cold.summary);
    assert!(!has(&diagnose(&[start(1, None, 0, 50, &path[..2])]), "cold-cache"));
}

#[test]
fn what_siblings_of_each_run_have_in_common_is_said_once() {
    // Three runs of a master that starts four equal processes one after the other.
    let mut starts = Vec::new();
    for run in 0..3u64 {
        let root = 100 * (run as u32 + 1);
        let path: Vec<_> = (1..=4).map(|n| (50, root + n, "running", "")).collect();
        for n in 1..=4u32 {
            starts.push(start(
                root + n,
                Some(root),
                300 * run + 50 * u64::from(n - 1),
                50,
                &[(50, root + n, "running", "")],
            ));
        }
        let mut master = start(root, None, 300 * run, 200, &path);
        master["argv"] = json!(["master"]);
        starts.push(master);
    }
    let mut session = trace(&starts)["session"].take();
    let run =
        |pid: u32| json!({"name": "m", "start_id": format!("{pid}@{pid}/0"), "exit": 0, "pss_bytes": null});
    session["runs"] = json!([run(100), run(200), run(300)]);
    let session: Session = serde_json::from_value(session).unwrap();
    let said = with(Thresholds::default(), &starts, &[], Some(&session));
    let serial = find(&said, "serial-spawn");
    assert_eq!(
        (serial.n, serial.starts.len(), serial.saves_ns),
        (12, 12, Some(150 * MS)),
        "{}",
        serial.summary
    );
    assert!(
        serial.summary.starts_with("the same in 3 runs (the price is of one). The dearest: 4 × "),
        "{}",
        serial.summary
    );
}
