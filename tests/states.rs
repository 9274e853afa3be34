//! Streams made by hand, and what must come of them: states, waits, threads, counters and critical paths.
//! No root needed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::check;
use proptest::prelude::*;
use serde_json::{Value, json};
use startrace::event::task::{Mark, Moment, Socket, Spent, Usage, Wait, WaitKind, Waker};
use startrace::event::{Entry, Event, Exec, Fork, Id, What};
use startrace::level::Level;
use startrace::timeline::world::Replay;
use startrace::timeline::{Builder, Options, Output};
use startrace::trace::schema::Start;
use std::collections::HashMap;

const MS: u64 = 1_000_000;

fn id(pid: u32) -> Id {
    Id { pid, birth_ns: u64::from(pid) }
}

/// Makes a stream as the kernel side would tell it: times in the calls are milliseconds.
#[derive(Default)]
struct Stream {
    events: Vec<Event>,
    /// Where each task's last record ended.
    told: HashMap<(u32, u32), u64>,
}

impl Stream {
    fn push(&mut self, time_ns: u64, pid: u32, tid: u32, what: What) {
        self.events.push(Event { time_ns, id: id(pid), tid, what });
    }

    /// A child: entered, runnable, first run.
    fn fork(&mut self, by: (u32, u32), pid: u32, times: [u64; 3]) {
        let [entry, wake, run] = times.map(|t| t * MS);
        let fork = Fork {
            entry: Some(Entry::Exact(entry)),
            creator: id(by.0),
            creator_tid: by.1,
            real_parent: id(by.0),
            ns_pid: pid,
            comm: format!("c{pid}"),
            ..Fork::default()
        };
        self.push(wake, pid, pid, What::Fork(Box::new(fork)));
        self.push(run, pid, pid, What::Run { wakeup_ns: Some(wake), run_ns: Some(run) });
        self.told.insert((pid, pid), run);
    }

    fn thread(&mut self, pid: u32, tid: u32, run: u64) {
        self.told.insert((pid, tid), run * MS);
    }

    /// All of the time since the last record was spent running.
    fn ran(&mut self, task: (u32, u32), until_ns: u64) -> Spent {
        let since_ns = self.told.insert(task, until_ns).unwrap_or(until_ns);
        Spent { since_ns, until_ns, running_ns: until_ns - since_ns, ..Spent::default() }
    }

    fn wait(&mut self, task: (u32, u32), kind: WaitKind, times: [u64; 3], waker: Waker) {
        self.wait_with(task, times, Wait { kind, waker, waker_exact: true, ..Wait::default() });
    }

    fn wait_with(&mut self, task: (u32, u32), times: [u64; 3], wait: Wait) {
        let [off, wake, back] = times.map(|t| t * MS);
        let spent = self.ran(task, off);
        self.told.insert(task, back);
        let wake_ns = (wait.kind != WaitKind::Cpu).then_some(wake);
        self.push(back, task.0, task.1, What::Wait(Box::new(Wait { spent, off_ns: off, wake_ns, ..wait })));
    }

    fn mark(&mut self, task: (u32, u32), at: u64, moment: Moment) {
        let spent = self.ran(task, at * MS);
        let usage = Usage { user_ns: at * MS, minor_faults: at, threads: 1, ..Usage::default() };
        let mark =
            Mark { moment, spent, usage, value: 0, fd: None, socket: None, text: None, inferred: false };
        self.push(at * MS, task.0, task.1, What::Mark(Box::new(mark)));
    }

    fn exec(&mut self, task: (u32, u32), entry: u64, done: u64, argv: &[&str]) {
        let (pid, tid) = task;
        if let Some(told) = self.told.remove(&task) {
            self.told.insert((pid, pid), told);
        }
        self.mark((pid, pid), done, Moment::Exec);
        let exec = Exec {
            entry: Some(Entry::Exact(entry * MS)),
            old_tid: tid,
            argv: Some(argv.iter().map(|s| (*s).to_owned()).collect()),
            exe: Some(argv[0].to_owned()),
            argc: argv.len() as u32,
            ns_pid: pid,
            comm: argv[0].rsplit('/').next().unwrap().to_owned(),
            ..Exec::default()
        };
        self.push(done * MS, pid, pid, What::Exec(Box::new(exec)));
    }

    fn exit(&mut self, pid: u32, at: u64) {
        self.mark((pid, pid), at, Moment::End);
        self.gone(pid, at);
    }

    fn gone(&mut self, pid: u32, at: u64) {
        let what = What::Exit {
            group: None,
            foreground: None,
            status: 0,
            uid: 0,
            gid: 0,
            comm: format!("c{pid}"),
            session_leader: false,
            has_tty: false,
            stdio: Default::default(),
            ignored: 0,
            written: None,
            null_on_pipe: None,
        };
        self.push(at * MS, pid, pid, what);
    }

    fn starts(mut self, end: u64) -> HashMap<u64, Value> {
        self.events.sort_by_key(|event| event.time_ns);
        by_pid(build(self.events, end * MS))
    }
}

fn build(events: Vec<Event>, end_ns: u64) -> Vec<Value> {
    let mut builder = Builder::new(Options { level: Level::Timeline, ..Options::default() });
    let mut world = Replay::default();
    for event in events {
        builder.event(event, &mut world);
    }
    builder.end(end_ns, &mut world);
    let starts = builder.drain().filter_map(|out| match out {
        Output::Start(start) => Some(*start),
        _ => None,
    });
    let mut starts: Vec<_> = starts.collect();
    starts.sort_by_key(|start| (start.timeline.origin_boottime_ns, start.pid));
    let starts: Vec<Value> = starts.into_iter().map(|s| serde_json::to_value(s).unwrap()).collect();
    let n = starts.len();
    check::timelines(&json!({"starts": starts, "session": {"starts": n}})).unwrap();
    starts
}

fn by_pid(starts: Vec<Value>) -> HashMap<u64, Value> {
    starts.into_iter().map(|start| (start["pid"].as_u64().unwrap(), start)).collect()
}

fn task(pid: u32, tid: u32) -> Waker {
    Waker::Task { pid, tid, comm: format!("c{tid}") }
}

/// Tid, state, from and to in milliseconds.
fn path(start: &Value) -> Vec<(u64, &str, u64, u64)> {
    let list = start["timeline"]["critical_path"].as_array().unwrap().iter();
    list.map(|s| {
        let at = s["at_ns"].as_u64().unwrap();
        let end = at + s["duration_ns"].as_u64().unwrap();
        (s["tid"].as_u64().unwrap(), s["state"].as_str().unwrap(), at / MS, end / MS)
    })
    .collect()
}

fn states(start: &Value) -> &Value {
    &start["timeline"]["states"]
}

#[test]
fn the_script_that_a_shell_was_given_is_known_after_it_executed_another_program() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 2, 3]);
    for (at, argv) in [
        (4, &["/bin/sh", "-e", "/srv/entrypoint.sh", "app"][..]),
        (20, &["/usr/bin/nice", "/srv/other.sh"]),
        (30, &["/bin/bash", "-c", "exec /bin/sh /srv/last.sh"]),
        (40, &["/bin/sh", "/srv/last.sh"]),
    ] {
        s.exec((10, 10), at, at + 1, argv);
    }
    s.exit(10, 100);
    let starts = s.starts(200);
    let execs = starts[&10]["execs"].as_array().unwrap();
    // Only of a shell's file; of the last image the start has all arguments.
    let scripts: Vec<Option<&str>> =
        execs.iter().map(|exec| exec.get("script").map(|script| script.as_str().unwrap())).collect();
    assert_eq!(scripts, [Some("/srv/entrypoint.sh"), None, None, None]);
}

#[test]
fn a_parent_that_waits_for_its_child_has_the_child_on_its_path() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 2, 3]);
    s.exec((10, 10), 4, 6, &["/bin/sh", "-c", "lsb_release -a"]);
    s.fork((10, 10), 11, [20, 22, 25]);
    s.exec((11, 11), 26, 28, &["/usr/bin/lsb_release", "-a"]);
    s.wait((11, 11), WaitKind::Disk, [40, 60, 61], Waker::Hardirq);
    s.exit(11, 90);
    s.wait((10, 10), WaitKind::Child, [24, 91, 93], task(11, 11));
    s.exit(10, 100);
    let starts = s.starts(200);
    let start = &starts[&10];
    assert_eq!(
        path(start),
        [
            (10, "creating", 0, 2),
            (10, "runnable", 2, 3),
            (10, "running", 3, 4),
            (10, "running", 4, 6),
            (10, "running", 6, 24),
            (11, "runnable", 24, 25),
            (11, "running", 25, 26),
            (11, "running", 26, 28),
            (11, "running", 28, 40),
            (11, "disk", 40, 60),
            (11, "runnable", 60, 61),
            (11, "running", 61, 90),
            (11, "running", 90, 91),
            (10, "runnable", 91, 93),
            (10, "running", 93, 100),
        ]
    );
    let segments = &start["timeline"]["critical_path"];
    assert_eq!((&segments[2]["phase"], &segments[3]["phase"]), (&json!("setup"), &json!("exec")));
    assert_eq!((&segments[5]["phase"], &segments[12]["detail"]), (&json!("schedule"), &json!("ending")));
    assert_eq!(segments[9]["start_id"], "11@11/0");
    assert_eq!(
        start["timeline"]["path_ns"],
        json!({"creating": 2 * MS, "runnable": 5 * MS, "running": 73 * MS, "disk": 20 * MS})
    );
    assert_eq!(
        *states(start),
        json!({"creating_ns": 2 * MS, "running_ns": 28 * MS, "runnable_ns": 3 * MS, "exited_ns": 0,
            "unknown_ns": 0, "blocked": {"child": 67 * MS}})
    );
    let wait = &start["timeline"]["waits"][0];
    assert_eq!(wait["detail"], "pid 11 (lsb_release -a)");
    assert_eq!(wait["woken_by"], json!({"kind": "task", "pid": 11, "comm": "c11"}));
    assert_eq!((wait["at_ns"].as_u64(), wait["runnable_ns"].as_u64()), (Some(24 * MS), Some(2 * MS)));
    let child = &starts[&11]["timeline"]["waits"][0];
    assert_eq!((&child["kind"], &child["woken_by"]["kind"]), (&json!("disk"), &json!("io")));
    assert_eq!(start["timeline"]["counters"]["minor_faults"].as_u64(), Some(100));
}

#[test]
fn a_path_leads_through_hundreds_of_starts_of_a_start_that_is_over() {
    const N: u32 = 700;
    let end = 40 + u64::from(N) * 10;
    let mut stream = Stream::default();
    stream.fork((1, 1), 10, [0, 1, 2]);
    stream.exec((10, 10), 3, 4, &["/bin/script"]);
    stream.fork((10, 10), 11, [6, 7, 8]);
    stream.exec((11, 11), 9, 10, &["/bin/make"]);
    // One after the other; the path comes back to the second process for each.
    for n in 0..N {
        let (pid, at) = (1_000 + n, 20 + u64::from(n) * 10);
        stream.fork((11, 11), pid, [at, at + 1, at + 2]);
        stream.exec((pid, pid), at + 2, at + 3, &["/bin/cc"]);
        stream.exit(pid, at + 8);
        stream.wait((11, 11), WaitKind::Child, [at + 2, at + 8, at + 9], task(pid, pid));
    }
    stream.exit(11, end - 10);
    stream.wait((10, 10), WaitKind::Child, [12, end - 10, end - 9], task(11, 11));
    stream.exit(10, end - 1);
    let starts = stream.starts(end);
    let path_ns = &starts[&10]["timeline"]["path_ns"];
    // The first turn, and those after each wait; of no wait the other side is missing.
    let runnable = 1 + u64::from(N) + 1;
    let running = end - 1 - 1 - runnable;
    assert_eq!(*path_ns, json!({"creating": MS, "runnable": runnable * MS, "running": running * MS}));
}

/// Its pieces are too many for a trace: short ones are put together, and of whom they are is still told.
#[test]
fn a_storm_of_a_thousand_and_more_is_told_to_the_last_process() {
    const N: u32 = 1_500;
    let mut stream = Stream::default();
    stream.fork((1, 1), 10, [0, 1, 2]);
    stream.exec((10, 10), 3, 4, &["/bin/script"]);
    let (mut at, mut of_others) = (20, 0);
    for n in 0..N {
        let pid = 1_000 + n;
        // Of some only what is before their own program is long.
        let (done, over) = if n % 3 == 0 { (at + 8, at + 9) } else { (at + 3, at + 6 + u64::from(n % 4)) };
        stream.fork((10, 10), pid, [at, at + 1, at + 2]);
        stream.exec((pid, pid), at + 2, done, &["/bin/true"]);
        stream.exit(pid, over);
        stream.wait((10, 10), WaitKind::Child, [at + 2, over, over + 3], task(pid, pid));
        of_others += over - at - 2;
        at = over + 4;
    }
    stream.exit(10, at);
    let all = stream.starts(at + 1);
    let timeline = &all[&10]["timeline"];
    let path = timeline["critical_path"].as_array().unwrap();
    assert!(path.len() <= 2_000 && path.iter().any(|s| s["folded"]["also"].is_array()), "{}", path.len());
    let starved = timeline["states"]["runnable_ns"].as_u64().unwrap();

    let mut diagnoser = startrace::diagnose::Diagnoser::new(startrace::diagnose::Thresholds::default());
    let mut all: Vec<Start> = all.into_values().map(|start| serde_json::from_value(start).unwrap()).collect();
    // A parent is over after its children.
    all.sort_by_key(|start| std::cmp::Reverse(start.pid));
    let findings = all.iter().map(|start| diagnoser.start(start)).last().unwrap();
    let storm = findings.iter().find(|finding| finding.id == "process-storm").unwrap();
    assert_eq!(storm.evidence["processes"], N, "{storm:?}");
    assert_eq!(
        (storm.cost_ns, &storm.evidence["on_path_ns"]),
        (Some(of_others * MS), &json!(of_others * MS))
    );
    assert!(storm.summary.contains("waited for 1500 short processes"), "{}", storm.summary);
    assert!(storm.summary.contains("in pieces too short to be told apart"), "{}", storm.summary);
    // The others are all of one name.
    let of = |after: &str| -> u64 {
        let (_, rest) = storm.summary.split_once(after).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(of("apart (") + of("the others: "), u64::from(N), "{}", storm.summary);
    let waited = findings.iter().find(|finding| finding.id == "cpu-starved").unwrap();
    assert_eq!(waited.evidence["runnable_ns"], starved, "{waited:?}");
}

/// As a JVM does: the main thread makes a second one, and only waits for it.
#[test]
fn a_main_thread_that_only_waits_leads_to_the_thread_that_works() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.exec((10, 10), 3, 5, &["/usr/bin/java"]);
    s.thread(10, 12, 21);
    // 12 waits for 13, which it made; 13 for a timer.
    s.thread(10, 13, 41);
    s.wait((10, 13), WaitKind::Sleep, [50, 60, 60], Waker::Hardirq);
    s.wait((10, 12), WaitKind::Futex, [45, 70, 72], task(10, 13));
    s.mark((10, 13), 75, Moment::End);
    s.mark((10, 12), 80, Moment::End);
    s.wait((10, 10), WaitKind::Futex, [20, 79, 81], task(10, 12));
    s.exit(10, 82);
    let start = &s.starts(100)[&10];
    assert_eq!(
        path(start)[4..],
        [
            (10, "running", 5, 20),
            (12, "runnable", 20, 21),
            (12, "running", 21, 45),
            (13, "running", 45, 50),
            (13, "sleep", 50, 60),
            (13, "running", 60, 70),
            (12, "runnable", 70, 72),
            (12, "running", 72, 79),
            (10, "runnable", 79, 81),
            (10, "running", 81, 82),
        ]
    );
    let threads = start["timeline"]["threads"].as_array().unwrap();
    let threads: Vec<_> = threads
        .iter()
        .map(|t| (t["tid"].as_u64().unwrap(), t["running_ns"].as_u64().unwrap() / MS))
        .collect();
    assert_eq!(threads, [(12, 32), (13, 24)]);
    assert_eq!(start["timeline"]["threads"][0]["comm"], "c12");
}

#[test]
fn wakers_that_are_not_followed_leave_the_wait_itself() {
    for (waker, by) in [
        (Waker::Unknown, "unknown"),
        (task(99, 99), "task"),
        (Waker::Softirq { pid: 11, tid: 11, comm: "x".into() }, "softirq"),
        (Waker::Kernel { comm: "kworker/1:2".into() }, "kworker"),
        (task(10, 10), "task"),
    ] {
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.fork((10, 10), 11, [3, 4, 5]);
        s.exit(11, 50);
        s.wait((10, 10), WaitKind::Network, [10, 40, 41], waker.clone());
        s.exit(10, 60);
        let start = &s.starts(100)[&10];
        assert_eq!(path(start)[3..5], [(10, "network", 10, 40), (10, "runnable", 40, 41)], "{waker:?}");
        assert_eq!(start["timeline"]["waits"][0]["woken_by"]["kind"], by);
    }
}

/// There are kernels that trace neither the wake-up of a task nor its coming, where a task of theirs had the CPU. It
/// tells of its wait when it leaves, with a return that is later than what it did.
#[test]
fn a_waker_whose_own_return_nobody_saw_is_followed() {
    for (rival, followed) in [("c11", true), ("other", false)] {
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.fork((10, 10), 11, [4, 5, 6]);
        let spent = s.ran((11, 11), 8 * MS);
        s.told.insert((11, 11), 50 * MS);
        let unseen = Wait {
            kind: WaitKind::Sleep,
            spent,
            off_ns: 8 * MS,
            rival: Some((if followed { 11 } else { 99 }, rival.into())),
            ..Wait::default()
        };
        s.push(50 * MS, 11, 11, What::Wait(Box::new(unseen)));
        s.exit(11, 51);
        s.wait((10, 10), WaitKind::Pipe, [10, 40, 41], task(11, 11));
        s.exit(10, 60);
        let start = &s.starts(100)[&10];
        let by = if followed { (11, "sleep", 10, 40) } else { (10, "pipe", 10, 40) };
        assert_eq!(path(start)[3..5], [by, (10, "runnable", 40, 41)], "{rival}");
    }
}

/// Whoever gave the CPU up is not told to have had it all the time.
#[test]
fn who_had_the_cpu_is_told_for_as_long_as_it_was_measured() {
    const ALL: &str = "pid 77 (rcu_preempt) had the CPU all the while";
    for (held_ns, told, detail) in [
        (None, None, "pid 77 (rcu_preempt) had the CPU last"),
        (Some(12_000), Some(12_000), "pid 77 (rcu_preempt) had the CPU for the last 12 us"),
        (Some(71 * MS), Some(71 * MS), ALL),
        // It had it before, too.
        (Some(u64::MAX), Some(71 * MS), ALL),
    ] {
        let rival = Some((77, "rcu_preempt".to_owned()));
        let wait = |kind| Wait { kind, rival: rival.clone(), rival_ns: held_ns, ..Wait::default() };
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.wait_with((10, 10), [9, 9, 80], wait(WaitKind::Cpu));
        s.wait_with((10, 10), [90, 100, 171], wait(WaitKind::Sleep));
        // Nobody had the CPU.
        s.wait_with((10, 10), [180, 180, 190], Wait { kind: WaitKind::Cpu, ..Wait::default() });
        s.exit(10, 200);
        let timeline = &s.starts(300)[&10]["timeline"];
        let holder = json!({"pid": 77, "comm": "rcu_preempt", "held_ns": told});
        let (waits, path) = (&timeline["waits"], &timeline["critical_path"]);
        assert_eq!((&waits[0]["detail"], &waits[0]["holder"]), (&json!(detail), &holder));
        assert_eq!((&waits[1]["detail"], &waits[1]["holder"]), (&Value::Null, &holder));
        assert_eq!((&waits[2]["detail"], waits[2].get("holder")), (&Value::Null, None));
        let runnable = path.as_array().unwrap().iter().filter(|s| s["state"] == "runnable").skip(1);
        let found: Vec<_> = runnable.map(|s| (&s["detail"], s.get("holder"))).collect();
        let expected = json!(detail);
        assert_eq!(found, [(&expected, Some(&holder)), (&expected, Some(&holder)), (&Value::Null, None)]);
    }
}

/// Where a phase ends within the wait, each piece has what was had of it.
#[test]
fn who_had_the_cpu_is_told_of_each_piece_of_a_wait() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.fork((10, 10), 11, [4, 5, 6]);
    // Woken by one who waited for a CPU itself, for longer than its part on the path.
    let rival = Some((77, "cc1".to_owned()));
    s.wait_with(
        (11, 11),
        [10, 10, 50],
        Wait { kind: WaitKind::Cpu, rival, rival_ns: Some(15 * MS), ..Wait::default() },
    );
    s.wait((10, 10), WaitKind::Pipe, [8, 60, 60], task(11, 11));
    s.exit(11, 70);
    s.exit(10, 80);
    let starts = s.starts(100);
    let on_path = starts[&10]["timeline"]["critical_path"].as_array().unwrap().iter();
    let on_path: Vec<_> = on_path.filter(|s| !s["holder"].is_null()).collect();
    assert_eq!(on_path.len(), 1);
    assert_eq!((&on_path[0]["tid"], &on_path[0]["holder"]["held_ns"]), (&json!(11), &json!(15 * MS)));
    assert_eq!(on_path[0]["detail"], "pid 77 (cc1) had the CPU for the last 15 ms");
}

/// What is sent within the machine is delivered in a softirq, which may be put off: its sender can have lost
/// the CPU by then.
#[test]
fn a_sender_that_left_before_its_packet_arrived_is_followed_from_there() {
    let peer = |ip: &str| Some(format!("{ip}:53").parse().unwrap());
    let socket = Socket {
        family: 2,
        kind: 2,
        local: peer("127.0.0.1"),
        peer: peer("127.0.0.2"),
        ..Default::default()
    };
    for (off, expected) in [
        (30, vec![(11, "running", 10, 30), (10, "dns", 30, 40), (10, "runnable", 40, 41)]),
        // It was gone before anybody waited: that packet was not this one.
        (9, vec![(10, "dns", 10, 40), (10, "runnable", 40, 41)]),
    ] {
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.fork((10, 10), 11, [4, 5, 6]);
        s.wait((11, 11), WaitKind::Cpu, [off, 45, 45], Waker::Unknown);
        s.exit(11, 50);
        let waker = Waker::Softirq { pid: 11, tid: 11, comm: "c11".into() };
        let socket = Some(socket.clone());
        s.wait_with((10, 10), [10, 40, 41], Wait { kind: WaitKind::Dns, waker, socket, ..Wait::default() });
        s.exit(10, 60);
        let start = &s.starts(100)[&10];
        assert_eq!(path(start)[3..3 + expected.len()], expected, "{off}");
    }
}

#[test]
fn a_pipe_leads_through_both_ends_and_back() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.fork((10, 10), 11, [4, 5, 6]);
    // 11 waits for 10's answer, having kept it waiting.
    s.wait((10, 10), WaitKind::Pipe, [10, 30, 31], task(11, 11));
    s.wait((11, 11), WaitKind::Pipe, [32, 40, 41], task(10, 10));
    s.wait_with(
        (10, 10),
        [45, 60, 60],
        Wait {
            kind: WaitKind::Pipe,
            waker: task(11, 11),
            waker_exact: true,
            nr: Some(0),
            fd: Some(3),
            inode: Some(77),
            ..Wait::default()
        },
    );
    s.exit(11, 61);
    s.exit(10, 70);
    let start = &s.starts(100)[&10];
    assert_eq!(
        path(start)[3..],
        [
            (11, "running", 10, 30),
            (10, "runnable", 30, 31),
            (10, "running", 31, 45),
            (11, "running", 45, 60),
            (10, "running", 60, 70),
        ]
    );
    assert_eq!(start["timeline"]["waits"][1]["detail"], "pipe:[77] <- pid 11 (c11)");
}

/// What the waits of a process on something of another's are on; of that one only its number is known.
fn told(wait: Wait) -> String {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.fork((10, 10), 11, [4, 5, 6]);
    s.wait_with((10, 10), [10, 30, 31], Wait { waker_exact: true, ..wait });
    s.exit(11, 60);
    s.exit(10, 70);
    s.starts(100)[&10]["timeline"]["waits"][0]["detail"].as_str().unwrap_or("-").to_owned()
}

#[test]
fn who_is_at_the_other_end_is_told_where_it_is_known() {
    use startrace::event::task::Socket;
    let (open, openat, openat2, poll, connect) = (Some(2), Some(257), Some(437), Some(7), Some(42));
    let of = |kind, nr, waker| Wait { kind, nr, waker, fd: Some(3), inode: Some(77), ..Wait::default() };
    let fifo = |nr, args| Wait {
        fd: None,
        args,
        path: Some("/run/fifo".into()),
        ..of(WaitKind::Pipe, nr, task(11, 11))
    };
    let unix = |nr, waker, peer_pid, path: Option<&str>| Wait {
        socket: Some(Socket { family: 1, kind: 1, state: 1, peer_pid, ..Socket::default() }),
        path: path.map(str::to_owned),
        ..of(WaitKind::UnixSocket, nr, waker)
    };
    let (read, recvfrom) = (Some(0), Some(45));
    let signalled = |wait| Wait { signal: true, ..wait };
    let set = |members, wait| Wait { members, ..wait };
    for (wait, expected) in [
        // To read, to write, and where that is not known.
        (fifo(openat, [u64::MAX, 1, 0x80000]), "/run/fifo (open) <- pid 11 (c11)"),
        (fifo(openat, [u64::MAX, 1, 0x80001]), "/run/fifo (open) -> pid 11 (c11)"),
        (fifo(open, [1, 1, 0]), "/run/fifo (open) -> pid 11 (c11)"),
        (fifo(openat2, [1, 1, 24]), "/run/fifo (open) with pid 11 (c11)"),
        // Whoever sent a signal, a child that lives among them, need not have the pipe.
        (signalled(of(WaitKind::Pipe, read, task(99, 99))), "pipe:[77]"),
        (signalled(of(WaitKind::Pipe, read, task(11, 11))), "pipe:[77]"),
        (unix(recvfrom, task(11, 11), None, None), "unix socket:[77] (receive), peer pid 11 (c11)"),
        // Its credentials are those of who called listen().
        (unix(recvfrom, task(11, 11), Some(1), Some("/run/s")), "unix /run/s (receive), peer pid 11 (c11)"),
        (unix(connect, task(99, 99), None, Some("@s")), "unix @s (connect), peer pid 99"),
        (unix(recvfrom, Waker::Unknown, Some(11), None), "unix socket:[77] (receive), peer pid 11 (c11)"),
        (signalled(unix(recvfrom, task(99, 99), None, Some("/run/s"))), "unix /run/s (receive)"),
        // Another thread of the process itself has the other end.
        (unix(recvfrom, task(10, 12), Some(1), None), "unix socket:[77] (receive)"),
        (set(1, of(WaitKind::Pipe, poll, task(11, 11))), "pipe:[77] <- pid 11 (c11)"),
        (set(2, of(WaitKind::Pipe, poll, task(11, 11))), "fd 3 or 1 other: pipe:[77] <- pid 11 (c11)"),
        (
            Wait { is_pipe: true, ..set(3, of(WaitKind::Poll, poll, task(11, 11))) },
            "fd 3 or 2 others: pipe:[77]",
        ),
        (Wait { is_pipe: true, ..of(WaitKind::Poll, poll, task(11, 11)) }, "fd 3: pipe:[77]"),
        (set(3, of(WaitKind::Poll, poll, task(11, 11))), "fd 3 or 2 others"),
        (
            Wait { args: [5, 0, 0], fd: None, ..of(WaitKind::Other, Some(70), task(11, 11)) },
            "message queue 5",
        ),
        (
            Wait { args: [6, 0, 0], fd: None, ..of(WaitKind::Other, Some(65), task(11, 11)) },
            "semaphore set 6",
        ),
        (Wait { timeout_ns: Some(MS), ..of(WaitKind::Sleep, Some(230), Waker::Hardirq) }, "asked for 1 ms"),
        (
            Wait { timeout_ns: Some(MS), args: [1, 1, 9], ..of(WaitKind::Sleep, Some(230), Waker::Hardirq) },
            "until a set time, 1 ms later",
        ),
    ] {
        assert_eq!(told(wait.clone()), expected, "{wait:?}");
    }
}

#[test]
fn an_exec_by_another_thread_goes_on_as_the_main_thread() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.thread(10, 12, 10);
    s.wait((10, 12), WaitKind::Sleep, [20, 40, 40], Waker::Hardirq);
    // The leader is killed in its wait, by the exec that begins at 50.
    s.wait((10, 10), WaitKind::Futex, [15, 51, 52], task(10, 12));
    s.mark((10, 10), 53, Moment::End);
    s.told.remove(&(10, 10));
    s.exec((10, 12), 50, 60, &["/bin/true"]);
    s.exit(10, 70);
    let start = &s.starts(100)[&10];
    assert_eq!(
        *states(start),
        json!({"creating_ns": MS, "running_ns": 31 * MS, "runnable_ns": 2 * MS, "exited_ns": 0,
            "unknown_ns": 0, "blocked": {"futex": 36 * MS}})
    );
    assert_eq!(
        path(start),
        [
            (10, "creating", 0, 1),
            (10, "runnable", 1, 2),
            (10, "running", 2, 10),
            (12, "running", 10, 20),
            (12, "sleep", 20, 40),
            (12, "running", 40, 50),
            (12, "running", 50, 53),
            (10, "running", 53, 60),
            (10, "running", 60, 70),
        ]
    );
}

/// It has the leader's number already when it is switched away from, and is not told to have executed yet.
#[test]
fn an_exec_by_another_thread_may_lose_the_cpu_on_its_way() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.thread(10, 12, 10);
    s.wait((10, 10), WaitKind::Futex, [15, 51, 52], task(10, 12));
    s.mark((10, 10), 53, Moment::End);
    s.wait((10, 12), WaitKind::Other, [50, 54, 55], task(10, 10));
    s.told.insert((10, 10), 55 * MS);
    s.wait((10, 10), WaitKind::Cpu, [60, 60, 63], Waker::Unknown);
    s.exec((10, 10), 45, 70, &["/bin/true"]);
    if let What::Exec(exec) = &mut s.events.last_mut().unwrap().what {
        exec.old_tid = 12;
    }
    s.exit(10, 80);
    let start = &s.starts(100)[&10];
    assert_eq!(
        *states(start),
        json!({"creating_ns": MS, "running_ns": 36 * MS, "runnable_ns": 6 * MS, "exited_ns": 0,
            "unknown_ns": 0, "blocked": {"futex": 36 * MS, "other:kernel": MS}})
    );
    assert_eq!(
        path(start),
        [
            (10, "creating", 0, 1),
            (10, "runnable", 1, 2),
            (10, "running", 2, 10),
            (12, "running", 10, 45),
            (12, "running", 45, 50),
            (12, "other:kernel", 50, 53),
            (10, "other:kernel", 53, 54),
            (10, "runnable", 54, 55),
            (10, "running", 55, 60),
            (10, "runnable", 60, 63),
            (10, "running", 63, 70),
            (10, "running", 70, 80),
        ]
    );
}

/// A server forks for somebody who has ended since it asked; another process with the same number, born later, is not meant.
#[test]
fn who_asked_may_have_gone_by_the_time_of_the_fork() {
    let main = "from multiprocessing.forkserver import main; main(3, 4, ['__main__'], **{})";
    for again in [false, true] {
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.exec((10, 10), 3, 4, &["/usr/bin/python3", "-c", main]);
        s.fork((1, 1), 11, [10, 11, 12]);
        s.exec((11, 11), 13, 14, &["/bin/asks"]);
        s.exit(11, 30);
        if again {
            let reused = s.events.len();
            s.fork((1, 1), 11, [33, 34, 35]);
            for event in &mut s.events[reused..] {
                event.id = Id { pid: 11, birth_ns: 33 * MS };
            }
        }
        s.fork((10, 10), 12, [40, 41, 42]);
        for event in &mut s.events {
            if let What::Fork(fork) = &mut event.what
                && event.id.pid == 12
            {
                fork.peer = Some((11, 25 * MS));
            }
        }
        s.exit(12, 60);
        let start = &s.starts(3_000)[&12];
        assert_eq!(start["method"]["name"], "multiprocessing.forkserver");
        assert_eq!(start["requested_by"]["start_id"], "11@11/0", "{}", start["requested_by"]);
    }
}

#[test]
fn a_leader_that_ends_early_has_exited() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.thread(10, 12, 10);
    s.mark((10, 10), 20, Moment::End);
    s.wait((10, 12), WaitKind::Sleep, [30, 80, 80], Waker::Hardirq);
    s.mark((10, 12), 90, Moment::End);
    s.gone(10, 90);
    let start = &s.starts(100)[&10];
    assert_eq!(states(start)["exited_ns"].as_u64(), Some(70 * MS));
    assert_eq!(
        path(start)[2..],
        [(10, "running", 2, 10), (12, "running", 10, 30), (12, "sleep", 30, 80), (12, "running", 80, 90)]
    );
}

#[test]
fn a_vfork_child_borrows_its_parents_time() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.fork((10, 10), 11, [10, 12, 14]);
    s.wait((10, 10), WaitKind::Vfork, [13, 20, 21], task(11, 11));
    s.exec((11, 11), 16, 20, &["/bin/true"]);
    s.exit(11, 90);
    s.exit(10, 30);
    let start = &s.starts(100)[&10];
    assert_eq!(
        path(start)[2..],
        [
            (10, "running", 2, 13),
            (11, "runnable", 13, 14),
            (11, "running", 14, 16),
            (11, "running", 16, 20),
            (10, "runnable", 20, 21),
            (10, "running", 21, 30),
        ]
    );
    assert_eq!(start["timeline"]["waits"][0]["detail"], "pid 11 (true)");
}

/// Another thread makes it ready while the main thread waits: that wait is told when it is over, a moment later.
#[test]
fn what_the_main_thread_tells_after_it_was_ready_is_accounted_for() {
    for told_later in [true, false] {
        let mut s = Stream::default();
        s.fork((1, 1), 10, [0, 1, 2]);
        s.exec((10, 10), 3, 5, &["/usr/bin/server"]);
        s.thread(10, 12, 21);
        s.mark((10, 12), 40, Moment::Listen);
        s.mark((10, 12), 50, Moment::AcceptWait);
        if told_later {
            s.wait((10, 10), WaitKind::Futex, [20, 51, 52], task(10, 12));
        }
        let start = &s.starts(1000)[&10];
        let ready = &start["timeline"]["ready"];
        assert_eq!((&ready["kind"], ready["at_ns"].as_u64()), (&json!("accept"), Some(50 * MS)));
        let futex = states(start)["blocked"]["futex"].as_u64();
        let unknown = states(start)["unknown_ns"].as_u64();
        let expected = if told_later { (Some(30 * MS), Some(0)) } else { (None, Some(45 * MS)) };
        assert_eq!((futex, unknown), expected, "{}", states(start));
    }
}

#[test]
fn an_exec_in_place_begins_anew() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.exec((10, 10), 3, 4, &["/bin/first"]);
    s.mark((10, 10), 5, Moment::Sums);
    let mut first = std::mem::take(&mut s.events);
    // Its start is over (the window was); then it executes, and waits for the disk meanwhile.
    s.told.insert((10, 10), 1000 * MS);
    s.wait((10, 10), WaitKind::Disk, [1001, 1005, 1005], Waker::Hardirq);
    s.exec((10, 10), 1000, 1010, &["/bin/second"]);
    s.exit(10, 1020);
    first.append(&mut s.events);
    let mut builder =
        Builder::new(Options { level: Level::Timeline, window_ns: Some(100 * MS), ..Options::default() });
    let mut world = Replay::default();
    for event in first {
        builder.tick(event.time_ns, &mut world);
        builder.event(event, &mut world);
    }
    builder.end(2000 * MS, &mut world);
    let starts: Vec<Value> = builder
        .drain()
        .filter_map(|out| match out {
            Output::Start(start) => Some(serde_json::to_value(*start).unwrap()),
            _ => None,
        })
        .collect();
    check::timelines(&json!({"starts": starts, "session": {"starts": 2}})).unwrap();
    assert_eq!(states(&starts[0])["unknown_ns"].as_u64(), Some(95 * MS), "the window ended in silence");
    assert_eq!(
        *states(&starts[1]),
        json!({"creating_ns": 0, "running_ns": 16 * MS, "runnable_ns": 0, "exited_ns": 0, "unknown_ns": 0,
            "blocked": {"disk": 4 * MS}})
    );
    // Only one reading more than the first: the difference.
    let counters = &starts[1]["timeline"]["counters"];
    assert_eq!(counters["minor_faults"].as_u64(), Some(10));
    // What was measured, whatever the clock's ticks found.
    assert_eq!(counters["user_ns"].as_u64(), Some(16 * MS));
}

/// A start that the recording's end cuts short, with what its one task is found doing then.
fn cut_short_with(now: startrace::timeline::world::TaskNow) -> Value {
    cut_short_with_all(&[now])
}

fn cut_short_with_all(now: &[startrace::timeline::world::TaskNow]) -> Value {
    use startrace::timeline::world::Answer;
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.mark((10, 10), 5, Moment::Sums);
    let mut builder = Builder::new(Options { level: Level::Timeline, ..Options::default() });
    let mut world = Replay::default();
    for _ in 0..2 {
        world.answers.push_back(Answer::Tasks(id(10), Some(now.to_vec())));
    }
    for event in s.events {
        builder.event(event, &mut world);
    }
    builder.end(100 * MS, &mut world);
    let Some(Output::Start(start)) = builder.drain().next() else { panic!() };
    serde_json::to_value(*start).unwrap()
}

#[test]
fn a_task_that_sleeps_at_the_end_is_asked_for() {
    use startrace::timeline::world::{Doing, TaskNow};
    for (running_ms, expected) in [
        (Some(9), json!({"running_ns": 9 * MS, "unknown_ns": 0, "blocked": {"futex": 89 * MS}})),
        (None, json!({"running_ns": 3 * MS, "unknown_ns": 20 * MS, "blocked": {"futex": 75 * MS}})),
    ] {
        let now = TaskNow {
            tid: 10,
            doing: Doing::Idle,
            call: Some("futex".into()),
            object: None,
            running_ns: running_ms.map(|ms: u64| ms * MS),
            ..TaskNow::default()
        };
        let start = cut_short_with(now);
        check::timelines(&json!({"starts": [start], "session": {"starts": 1}})).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(states(&start)[name], *value, "{name} {running_ms:?}");
        }
        let wait = &start["timeline"]["waits"][0];
        assert_eq!((&wait["syscall"], &wait["woken_by"]), (&json!("futex"), &Value::Null));
        assert_eq!(path(&start).last().unwrap().1, "futex");
    }
}

/// Who waits has not told what it used before, and a thread that did nothing else has told nothing at all.
#[test]
fn what_waiting_tasks_used_is_asked_for() {
    use startrace::timeline::world::{Doing, TaskNow};
    let used = |user_ms: u64, minor_faults: u64| Usage {
        user_ns: user_ms * MS,
        system_ns: 3 * user_ms * MS,
        minor_faults,
        voluntary: 2,
        read_bytes: 4096,
        rss_bytes: 1 << 20,
        threads: 3,
        ..Usage::default()
    };
    let task = |tid: u32, born_ms: u64, used: Usage| TaskNow {
        tid,
        doing: Doing::Idle,
        call: Some("futex".into()),
        running_ns: Some(9 * MS),
        born_ns: Some(born_ms * MS),
        used: Some(used),
        ..TaskNow::default()
    };
    let tasks = [task(10, 0, used(10, 40)), task(11, 50, used(0, 7)), task(12, 101, used(0, 100_000))];
    let start = cut_short_with_all(&tasks);
    check::timelines(&json!({"starts": [start], "session": {"starts": 1}})).unwrap();
    // The one that was created later has no part in it.
    assert_eq!(
        start["timeline"]["counters"],
        json!({"user_ns": 9 * MS / 4, "system_ns": 27 * MS / 4, "minor_faults": 47, "major_faults": 0,
            "voluntary_switches": 4, "involuntary_switches": 0, "read_bytes": 8192, "rss_bytes": 1 << 20, "threads": 3})
    );
    // One that has told nothing at all, as the copy of a process may.
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    let mut world = Replay::default();
    for _ in 0..2 {
        let tasks = Some(vec![task(10, 1, used(10, 40))]);
        world.answers.push_back(startrace::timeline::world::Answer::Tasks(id(10), tasks));
    }
    let mut builder = Builder::new(Options { level: Level::Timeline, ..Options::default() });
    s.events.into_iter().for_each(|event| builder.event(event, &mut world));
    builder.end(100 * MS, &mut world);
    let Some(Output::Start(start)) = builder.drain().next() else { panic!() };
    assert_eq!(start.timeline.counters.map(|counters| counters.minor_faults), Some(40));
    let unknown = Usage { read_bytes: Usage::NOT_KNOWN, rss_bytes: 0, ..used(10, 40) };
    let start = cut_short_with_all(&[task(10, 0, unknown)]);
    let counters = &start["timeline"]["counters"];
    assert_eq!((&counters["read_bytes"], &counters["rss_bytes"]), (&Value::Null, &Value::Null));
}

#[test]
fn who_waits_on_a_socket_at_the_end_is_told_as_if_the_wait_were_over() {
    use startrace::timeline::world::{Doing, TaskNow};
    for (doing, call, object, expected) in [
        (Doing::Clients, "accept4", "tcp 127.0.0.1:80", ("network", "tcp 127.0.0.1:80 (accept)")),
        (Doing::Clients, "accept", "tcp 127.0.0.1:53", ("network", "tcp 127.0.0.1:53 (accept)")),
        (Doing::Clients, "poll", "tcp 127.0.0.1:80", ("network", "tcp 127.0.0.1:80 (accept)")),
        (Doing::Clients, "epoll_wait", "tcp 127.0.0.1:80", ("poll", "tcp 127.0.0.1:80 (accept)")),
        (Doing::Clients, "accept4", "unix /run/a", ("unix_socket", "unix /run/a (accept)")),
        (Doing::Peer, "connect", "tcp 10.0.0.9:80", ("network", "tcp 10.0.0.9:80 (connect)")),
        (Doing::Peer, "recvfrom", "tcp 10.0.0.9:80", ("network", "tcp 10.0.0.9:80 (receive)")),
        (Doing::Peer, "recvfrom", "udp 10.0.0.2:53", ("dns", "udp 10.0.0.2:53 (receive)")),
        (Doing::Idle, "read", "pipe:[7]", ("pipe", "pipe:[7]")),
        (Doing::Idle, "openat", "/run/fifo", ("pipe", "/run/fifo (open)")),
    ] {
        let now = TaskNow {
            tid: 10,
            doing: doing.clone(),
            call: Some(call.into()),
            object: Some(object.into()),
            ..TaskNow::default()
        };
        let start = cut_short_with(now);
        let wait = &start["timeline"]["waits"][0];
        assert_eq!(
            (&wait["kind"], &wait["detail"]),
            (&json!(expected.0), &json!(expected.1)),
            "{doing:?} {call}"
        );
    }
}

#[test]
fn at_lifecycle_nothing_is_said() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.exit(10, 9);
    let mut builder = Builder::new(Options { level: Level::Lifecycle, ..Options::default() });
    for event in s.events {
        builder.event(event, &mut Replay::default());
    }
    builder.end(10 * MS, &mut Replay::default());
    let Some(Output::Start(start)) = builder.drain().next() else { panic!() };
    assert_eq!((start.timeline.states, start.timeline.critical_path.len()), (None, 0));
}

#[test]
fn of_very_many_waits_the_longest_stay_and_the_sums_are_whole() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 0, 0]);
    for n in 0..30_000u64 {
        s.wait((10, 10), WaitKind::Pipe, [n * 4, n * 4 + 1 + n % 3, n * 4 + 1 + n % 3], Waker::Unknown);
    }
    s.exit(10, 120_000);
    let start = &s.starts(200_000)[&10];
    let timeline = &start["timeline"];
    let waits = timeline["waits"].as_array().unwrap();
    assert_eq!(timeline["states"]["blocked"]["pipe"].as_u64(), Some(60_000 * MS));
    assert!(
        waits.len() <= 10_000 && waits.len() as u64 + timeline["waits_left_out"].as_u64().unwrap() == 30_000
    );
    assert!(waits.iter().all(|w| w["duration_ns"].as_u64().unwrap() == 3 * MS));
    let path = timeline["critical_path"].as_array().unwrap();
    assert!(path.len() <= 2_000 && timeline["path_ns"]["pipe"].as_u64() == Some(60_000 * MS));
}

#[test]
fn records_that_contradict_each_other_still_add_up() {
    let mut s = Stream::default();
    s.fork((1, 1), 10, [0, 1, 2]);
    s.fork((10, 10), 11, [3, 3, 3]);
    // Each says that the other woke it at the same moment; times run backwards; sums lie.
    s.wait((10, 10), WaitKind::Pipe, [10, 20, 20], task(11, 11));
    s.wait((11, 11), WaitKind::Pipe, [5, 20, 20], task(10, 10));
    for (since_ns, until_ns, running_ns) in [(0, u64::MAX, 7), (9, 3, u64::MAX), (30 * MS, 31 * MS, u64::MAX)]
    {
        let spent = Spent {
            since_ns,
            until_ns,
            running_ns,
            blocked: vec![(WaitKind::Disk, u64::MAX), (WaitKind::Other, 5)],
            runnable_ns: u64::MAX,
        };
        let wait = Wait { spent, off_ns: u64::MAX, wake_ns: Some(3), ..Wait::default() };
        s.push(30 * MS, 10, 10, What::Wait(Box::new(wait)));
    }
    s.exit(11, 41);
    s.exit(10, 50);
    s.starts(100);
}

/// What a process does next.
#[derive(Debug, Clone)]
enum Act {
    Fork,
    Exec(bool),
    Wait(u8, u8, u8, u8),
    Mark(u8),
    Thread,
    Exit,
}

fn acts() -> impl Strategy<Value = Vec<(u8, u8, Act)>> {
    let act = prop_oneof![
        2 => Just(Act::Fork),
        1 => any::<bool>().prop_map(Act::Exec),
        8 => any::<(u8, u8, u8, u8)>().prop_map(|(a, b, c, d)| Act::Wait(a, b, c, d)),
        3 => any::<u8>().prop_map(Act::Mark),
        2 => Just(Act::Thread),
        1 => Just(Act::Exit),
    ];
    prop::collection::vec((any::<u8>(), any::<u8>(), act), 1..80)
}

/// Plays it: one thing after the other, on tasks chosen by number.
#[allow(clippy::explicit_counter_loop, reason = "not every step takes a new number")]
fn play(acts: &[(u8, u8, Act)]) -> Vec<Event> {
    let mut s = Stream::default();
    let mut tasks: Vec<(u32, u32)> = vec![(10, 10)];
    let mut all = tasks.clone();
    let mut now = 5;
    s.fork((1, 1), 10, [0, 2, 4]);
    for (next, (which, pause, act)) in (11..).zip(acts) {
        let Some(&task) = tasks.get(usize::from(*which) % tasks.len().max(1)) else { break };
        now += 1 + u64::from(pause % 32);
        let at = now.max(s.told.get(&task).map_or(0, |told| told.div_ceil(MS)));
        match act {
            Act::Fork => {
                s.fork(task, next, [at, at + 1, at + 2]);
                tasks.push((next, next));
            }
            Act::Thread => {
                s.thread(task.0, next, at);
                tasks.push((task.0, next));
            }
            Act::Exec(fast) => {
                tasks.retain(|other| other.0 != task.0);
                s.exec(task, at, at + if *fast { 0 } else { 3 }, &["/bin/x", "y"]);
                tasks.push((task.0, task.0));
            }
            Act::Wait(kind, length, late, waker) => {
                let wake = at + u64::from(length % 16);
                let waker = match all.get(usize::from(*waker) % (all.len() + 3)) {
                    Some(by) => Waker::Task { pid: by.0, tid: by.1, comm: "w".into() },
                    None => Waker::Hardirq,
                };
                let kind = WaitKind::ALL[usize::from(*kind) % WaitKind::ALL.len()];
                s.wait(task, kind, [at, wake, wake + u64::from(late % 3)], waker);
            }
            Act::Mark(moment) => {
                let moments = [Moment::Sums, Moment::LdState, Moment::Name, Moment::End, Moment::Exec];
                s.mark(task, at, moments[usize::from(*moment) % moments.len()]);
            }
            Act::Exit => {
                let mut last = at;
                for task in tasks.extract_if(.., |other| other.0 == task.0) {
                    last = last.max(s.told.get(&task).map_or(0, |told| told.div_ceil(MS)));
                    s.mark(task, last, Moment::End);
                }
                s.gone(task.0, last);
            }
        }
        all.clone_from(&tasks);
    }
    s.events.sort_by_key(|event| event.time_ns);
    s.events
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is lost, and in whatever order the rest comes, what is made of it adds up.
    #[test]
    fn any_loss_leaves_starts_whose_times_add_up(
        acts in acts(),
        lost in prop::collection::hash_set(0usize..300, 0..30),
        swaps in prop::collection::vec(any::<(u16, u16)>(), 0..4),
        begin in prop_oneof![Just(0u64), 0..200u64],
    ) {
        let mut events = play(&acts);
        let mut n = 0;
        events.retain(|_| { n += 1; !lost.contains(&n) });
        for (a, b) in swaps {
            if !events.is_empty() {
                let (a, b) = (usize::from(a) % events.len(), usize::from(b) % events.len());
                let tells = |at: usize| matches!(events[at].what, What::Wait(_) | What::Mark(_));
                if tells(a) && tells(b) {
                    events.swap(a, b);
                }
            }
        }
        let options = Options { level: Level::Timeline, began_ns: begin * MS, ..Options::default() };
        let mut builder = Builder::new(options);
        let mut world = Replay::default();
        for event in events {
            builder.event(event, &mut world);
        }
        builder.end(10_000 * MS, &mut world);
        for out in builder.drain() {
            if let Output::Start(start) = out {
                let starts = [serde_json::to_value(*start).unwrap()];
                let checked = check::timelines(&json!({"starts": starts, "session": {"starts": 1}}));
                prop_assert!(checked.is_ok(), "{checked:?}");
            }
        }
    }
}
