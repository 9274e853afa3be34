//! How processes end, and what of a start the recording sees when it or its parent ends first.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Batch;
use common::batch::{Run, has_evidence, method, phases};
use serde_json::{Value, json};
use std::sync::LazyLock;

const RUNS: &[Run<'_>] = &[
    ("exit_codes", &[]),
    ("thread_exits", &[]),
    ("leader_exits_first", &[]),
    ("daemonize", &["80"]),
    ("double_fork", &["80"]),
];

static BATCH: LazyLock<Batch> = LazyLock::new(|| {
    common::require_root();
    Batch::record(&[], "", RUNS)
});

fn span(start: &Value) -> (u64, u64) {
    let begin = start["timeline"]["origin_boottime_ns"].as_u64().unwrap();
    (begin, begin + start["timeline"]["duration_ns"].as_u64().unwrap())
}

#[test]
fn code_signal_and_core_are_what_the_parent_is_told() {
    let children = BATCH.told_by("exit_codes")["children"].as_array().unwrap();
    assert_eq!(children.len(), 7);
    for child in children {
        let start = BATCH.start_of(child["pid"].as_u64().unwrap());
        for field in ["code", "signal", "core"] {
            assert_eq!(start["exit"][field], child[field], "{child}");
        }
        assert_eq!(start["exit"]["at_ns"], start["timeline"]["duration_ns"], "{child}");
        assert_eq!(start["timeline"]["ready"]["kind"], "exit");
    }
    // At least one core, where the limits and the machine's core_pattern let the kernel write any.
    let cores = children.iter().filter(|child| child["core"] == true).count();
    assert!(cores == 0 || cores == 2, "{children:#?}");
}

#[test]
fn who_sent_the_signal_that_ended_it_is_known_unless_it_was_itself_or_the_kernel() {
    // The first is ended by the command, the second by itself, the third handles the command's signal and ends by another.
    let script = "/bin/sleep 60 & /bin/sleep 0.2; kill -TERM $!; wait $!; \
                  /bin/sh -c 'kill -HUP $$; /bin/sleep 5'; \
                  /bin/sh -c 'trap \"exit 3\" TERM; while :; do /bin/sleep 0.02; done' & \
                  /bin/sleep 0.2; kill -TERM $!; wait $!; true";
    let recorded = common::record::<&str, &str>(&[], &["bash", "-c", script]);
    let command = recorded.start_with_argv(&["bash", "-c", script]);
    let killed = recorded.start_with_argv(&["/bin/sleep", "60"]);
    assert_eq!(killed["exit"]["signal"], "SIGTERM");
    assert_eq!(killed["exit"]["killed_by"]["id"], command["id"], "{:#}", killed["exit"]);
    assert_eq!(killed["exit"]["killed_by"]["comm"], "bash");
    assert_eq!(killed["exit"]["killed_by"]["start_id"], command["start_id"]);
    let own = recorded.start_with_argv(&["/bin/sh", "-c", "kill -HUP $$; /bin/sleep 5"]);
    assert_eq!((&own["exit"]["signal"], &own["exit"]["killed_by"]), (&json!("SIGHUP"), &Value::Null));
    let handles = recorded.start_with_argv(&[
        "/bin/sh",
        "-c",
        "trap \"exit 3\" TERM; while :; do /bin/sleep 0.02; done",
    ]);
    assert_eq!((&handles["exit"]["code"], &handles["exit"]["killed_by"]), (&json!(3), &Value::Null));
}

/// A pool ends its workers by signals: that is known with `-p` as well, and no failure.
#[test]
fn workers_that_a_running_pool_ends_have_not_failed() {
    common::require_root();
    let script = "import multiprocessing as m, sys, time\nsys.stdin.readline()\np = m.get_context('fork').Pool(2)\n\
                  w = [p.apply_async(time.sleep, (60,)) for _ in 'ab']\ntime.sleep(0.5)\np.terminate()\np.join()\n";
    let mut pool = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let running = common::record_background(&["-p", &pool.id().to_string()]);
    drop(pool.stdin.take());
    assert!(pool.wait().unwrap().success());
    let recorded = running.stop_at_its_end();
    let ended = recorded.starts().iter().filter(|start| start["exit"]["signal"] == "SIGTERM");
    let by: Vec<_> = ended.map(|start| &start["exit"]["killed_by"]["pid"]).collect();
    assert_eq!(by.len(), 2, "{:#}", recorded.outline());
    assert!(by.iter().all(|by| **by == pool.id()), "{:#}", recorded.outline());
    let report = std::process::Command::new(common::startrace())
        .args(["report", "--json", "trace.json"])
        .current_dir(recorded.folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["failed"], 0, "{report:#}");
}

#[test]
fn a_process_ends_with_its_last_thread() {
    let codes = &BATCH.told_by("thread_exits")["codes"];
    let group = BATCH.start("thread_exits", "group");
    assert_eq!((&group["exit"]["code"], &codes["group"]), (&json!(9), &json!(9)));
    let last = BATCH.start("thread_exits", "last");
    assert_eq!(last["exit"]["code"], codes["last"], "the kernel tells the parent the same");
    assert!(last["timeline"]["duration_ns"].as_u64().unwrap() >= 20_000_000, "{:#}", last["timeline"]);
    let killed = BATCH.start("thread_exits", "killed");
    assert_eq!(codes["killed_by"], 9);
    assert_eq!((&killed["exit"]["code"], &killed["exit"]["signal"]), (&Value::Null, &json!("SIGKILL")));

    let child = BATCH.start("leader_exits_first", "child");
    let grandchild = BATCH.start("leader_exits_first", "grandchild");
    assert_eq!(child["exit"]["code"], 7);
    assert!(child["timeline"]["duration_ns"].as_u64().unwrap() >= 30_000_000, "{:#}", child["timeline"]);
    assert_eq!(grandchild["parent"]["start_id"], child["start_id"]);
    assert!(span(child).1 >= span(grandchild).1, "it waits for the grandchild");
    assert!(has_evidence(grandchild, "called by thread"), "{:#}", grandchild["method"]);
}

#[test]
fn a_daemon_outlives_its_creator_and_is_still_its_child() {
    for (starter, creator, pattern) in
        [("daemonize", "launcher", "daemon"), ("double_fork", "middle", "double_fork")]
    {
        let (daemon, creator) = (BATCH.start(starter, "daemon"), BATCH.start(starter, creator));
        assert_eq!(method(daemon), ["clone", "fork", "glibc", pattern, "likely"], "{:#}", daemon["method"]);
        assert_eq!(daemon["parent"]["start_id"], creator["start_id"], "{starter}");
        assert!(span(creator).1 + 50_000_000 < span(daemon).1, "{starter}: the daemon lives 80 ms longer");
        assert_eq!(daemon["exit"]["code"], 0, "{starter}");
        assert_eq!(creator["method"]["pattern"], Value::Null, "{starter}: {:#}", creator["method"]);
    }
}

#[test]
fn a_start_that_the_recording_does_not_outlive_is_a_timeout() {
    common::require_root();
    // Once it sleeps; the shell looks with builtins, which start nothing.
    let script = "/bin/sleep 2.5 & \
                  until read -r _ comm state _ </proc/$!/stat && [ \"$comm$state\" = '(sleep)S' ]; do :; done; \
                  echo {\\\"sleep\\\": $!}";
    let recorded = common::record::<&str, &str>(&[], &["sh", "-c", script]);
    let sleep = recorded.start_of(recorded.pid("sleep"));
    assert_eq!(sleep["exit"], Value::Null);
    assert_eq!(sleep["timeline"]["ready"]["kind"], "timeout");
    assert_eq!(sleep["timeline"]["ready"]["detail"], "the recording ended; it waits in clock_nanosleep");
    assert_eq!(phases(sleep), common::phases(&["fork", "schedule", "setup", "image"]));
    assert!(sleep["timeline"]["duration_ns"].as_u64().unwrap() < 2_000_000_000, "{:#}", sleep["timeline"]);
    assert_eq!(recorded.trace["session"]["ended_by"], "command");
    // A window ends a start, not its process; the exit is told all the same.
    let recorded =
        common::record::<&str, &str>(&["--window", "100ms"], &["sh", "-c", "/bin/sleep 0.4; exit 3"]);
    let sleep = recorded.start_with_argv(&["/bin/sleep", "0.4"]);
    assert_eq!(sleep["timeline"]["duration_ns"], 100_000_000);
    assert_eq!(sleep["timeline"]["ready"]["detail"], "the window ended; it waits in clock_nanosleep");
    assert_eq!(sleep["exit"]["code"], 0, "{:#}", sleep["exit"]);
    assert!(sleep["exit"]["at_ns"].as_u64().unwrap() >= 400_000_000, "{:#}", sleep["exit"]);
    assert_eq!(recorded.status.code(), Some(3));
}
