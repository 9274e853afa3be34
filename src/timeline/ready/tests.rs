//! Readiness from streams of events made by hand.

use super::super::world::{Ancestor, Doing, ImageKey, Known, Status, TaskNow, World};
use super::super::{Builder, CommandStart, Options, Output};
use super::Outside;
use super::rule::{Rule, Rules};
use crate::event::task::{Connect, Mark, Moment, Socket, Spent, Usage, Wait, WaitKind, Waker};
use crate::event::{Event, Exec, Fork, Id, What};
use crate::level::Level;
use crate::trace::schema::{Binary, Start};
use std::collections::HashMap;

const MS: u64 = 1_000_000;

/// A machine on which everybody rests, unless said otherwise.
#[derive(Default)]
struct Fake {
    tasks: HashMap<u32, Vec<TaskNow>>,
    notify: Vec<u32>,
    shares: bool,
    asked: u32,
}

impl World for Fake {
    fn process(&mut self, _: Id) -> Option<Known> {
        None
    }
    fn ancestors(&mut self, _: Id) -> Vec<Ancestor> {
        Vec::new()
    }
    fn image(&mut self, _: &ImageKey) -> Option<Binary> {
        None
    }
    fn status(&mut self, _: Id, _: Option<u32>) -> Option<Status> {
        None
    }
    fn tasks(&mut self, id: Id) -> Option<Vec<TaskNow>> {
        self.asked += 1;
        let idle = || vec![TaskNow { tid: id.pid, ..TaskNow::default() }];
        Some(self.tasks.get(&id.pid).cloned().unwrap_or_else(idle))
    }
    fn notify_socket(&mut self, id: Id) -> Option<bool> {
        Some(self.notify.contains(&id.pid))
    }
    fn shares_socket(&mut self, _: Id, _: u32, _: Id) -> Option<bool> {
        Some(self.shares)
    }
}

struct Stage {
    builder: Builder,
    world: Fake,
    now_ms: u64,
}

fn id(pid: u32) -> Id {
    Id { pid, birth_ns: u64::from(pid) }
}

fn patient_stage(patience_ms: u64) -> Stage {
    let patience_ns = patience_ms * MS;
    let options = Options { level: Level::Timeline, patience_ns, ..Options::default() };
    Stage { builder: Builder::new(options), world: Fake::default(), now_ms: 0 }
}

fn stage(ready: &[&str]) -> Stage {
    let list = ready.iter().map(|text| Rule::parse(text).unwrap()).collect();
    let options = Options {
        level: Level::Timeline,
        ready: Rules { list, command: true },
        window_ns: Some(20_000 * MS),
        ..Options::default()
    };
    Stage { builder: Builder::new(options), world: Fake::default(), now_ms: 0 }
}

fn spent(from_ms: u64, until_ms: u64, running_us: u64) -> Spent {
    let (since_ns, until_ns) = (from_ms * MS, until_ms * MS);
    Spent { since_ns, until_ns, running_ns: running_us * 1000, ..Spent::default() }
}

impl Stage {
    /// Ticks come every 20 ms, as in a recording.
    fn until(&mut self, ms: u64) {
        while self.now_ms < ms {
            self.now_ms = (self.now_ms + 20).min(ms);
            if self.builder.is_due(self.now_ms * MS) {
                self.builder.tick(self.now_ms * MS, &mut self.world);
            }
        }
    }

    fn at(&mut self, ms: u64, pid: u32, what: What) -> &mut Self {
        self.until(ms);
        self.builder.event(Event { time_ns: ms * MS, id: id(pid), tid: pid, what }, &mut self.world);
        self
    }

    fn fork(&mut self, ms: u64, parent: u32, pid: u32) -> &mut Self {
        let entry = Some(crate::event::Entry::Exact(ms * MS));
        let fork = Fork { creator: id(parent), entry, root: parent == 1, ..Fork::default() };
        self.at(ms, pid, What::Fork(Box::new(fork)));
        self.at(ms, pid, What::Run { wakeup_ns: Some(ms * MS), run_ns: Some(ms * MS) })
    }

    fn exec(&mut self, ms: u64, pid: u32, exe: &str) -> &mut Self {
        let exec = Exec { old_tid: pid, exe: Some(exe.into()), ..Exec::default() };
        self.at(ms, pid, What::Exec(Box::new(exec)))
    }

    fn wait(&mut self, from_ms: u64, to_ms: u64, pid: u32, wait: Wait) -> &mut Self {
        let wait = Wait { off_ns: from_ms * MS, wake_ns: Some(to_ms * MS), ..wait };
        self.at(to_ms, pid, What::Wait(Box::new(wait)))
    }

    fn refused(&mut self, ms: u64, pid: u32) -> &mut Self {
        let error = Some(libc::ECONNREFUSED);
        let connect = Connect { since_ns: Some(ms * MS), failed: true, error, ..Connect::default() };
        self.at(ms, pid, What::Connect(Box::new(connect)))
    }

    fn mark(&mut self, ms: u64, pid: u32, moment: Moment, text: &str, socket: Option<Socket>) -> &mut Self {
        let mark = Mark {
            moment,
            spent: spent(ms, ms, 0),
            usage: Usage::default(),
            value: 0,
            fd: Some(3),
            socket,
            text: (!text.is_empty()).then(|| text.to_owned()),
            inferred: false,
        };
        self.at(ms, pid, What::Mark(Box::new(mark)))
    }

    fn doing(&mut self, pid: u32, doing: Doing) {
        let task = TaskNow { tid: pid, doing, call: Some("call".into()), ..TaskNow::default() };
        self.world.tasks.insert(pid, vec![task]);
    }

    fn exit(&mut self, ms: u64, pid: u32) -> &mut Self {
        self.at(ms, pid, What::exit_of("x"))
    }

    /// All starts that were given out by then, ended there.
    fn end(&mut self, ms: u64) -> Vec<Start> {
        self.until(ms);
        self.builder.end(ms * MS, &mut self.world);
        let starts = self.builder.drain().filter_map(|output| match output {
            Output::Start(start) => Some(*start),
            _ => None,
        });
        let mut starts: Vec<Start> = starts.collect();
        starts.sort_by_key(|start| start.pid);
        for start in &starts {
            let timeline = &start.timeline;
            assert_eq!(timeline.ready.at_ns, timeline.duration_ns);
            assert_eq!(timeline.phase_ns.values().sum::<u64>(), timeline.duration_ns);
            assert!(timeline.milestones.iter().all(|milestone| milestone.at_ns <= timeline.duration_ns));
        }
        starts
    }
}

/// Kind and milliseconds since the origin.
fn ready(start: &Start) -> (&str, u64) {
    (start.timeline.ready.kind.as_str(), start.timeline.ready.at_ns / MS)
}

fn milestones(start: &Start) -> Vec<(&str, u64, bool)> {
    let all = start.timeline.milestones.iter();
    all.map(|milestone| (milestone.name.as_str(), milestone.at_ns / MS, milestone.inferred)).collect()
}

fn tcp(port: u16) -> Option<Socket> {
    let local = format!("0.0.0.0:{port}").parse().ok();
    Some(Socket { family: 2, kind: 1, state: 10, local, ..Socket::default() })
}

fn unix() -> Option<Socket> {
    Some(Socket { family: 1, kind: 1, state: 10, ..Socket::default() })
}

#[test]
fn a_server_is_ready_when_it_waits_for_clients() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).exec(110, 5, "/bin/server");
    stage.mark(120, 5, Moment::LibcStart, "", None);
    stage.mark(200, 5, Moment::Listen, "", tcp(80)).mark(350, 5, Moment::AcceptWait, "", tcp(80));
    assert_eq!(stage.builder.settled().collect::<Vec<_>>(), [(id(5), 350 * MS)]);
    assert_eq!(stage.builder.command(), CommandStart::Ready);
    // Held back for a little: what its creator does may still matter.
    stage.until(360);
    assert!(stage.builder.drain().next().is_none());
    // What it does then is not the start's.
    stage.mark(400, 5, Moment::Accepted, "", tcp(80)).exit(410, 5);
    let starts = stage.end(1000);
    assert_eq!(ready(&starts[0]), ("accept", 250));
    assert_eq!(starts[0].timeline.ready.detail.as_deref(), Some("tcp 0.0.0.0:80"));
    assert_eq!(starts[0].exit.as_ref().map(|exit| (exit.code, exit.at_ns)), Some((Some(0), 310 * MS)));
    assert_eq!(
        milestones(&starts[0]),
        [
            ("exec", 10, false),
            ("libc_start", 20, false),
            ("first_listen", 100, false),
            ("first_accept_wait", 250, false)
        ]
    );
}

/// It is looked at from the entry into an exec on: no longer, where that comes to nothing.
#[test]
fn what_fails_to_execute_another_image_after_its_start_is_left_alone_again() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).exec(110, 5, "/bin/server").mark(350, 5, Moment::AcceptWait, "", tcp(80));
    assert_eq!(stage.builder.settled().count(), 1);
    let failed = |at: u64| What::ExecFail { entry_ns: Some(at * MS), errno: Some(2), path: None };
    stage.at(420, 5, failed(419)).at(421, 5, failed(420));
    assert_eq!(stage.builder.settled().collect::<Vec<_>>(), [(id(5), 420 * MS), (id(5), 421 * MS)]);
    // Within a start it goes on.
    stage.fork(500, 1, 6).at(510, 6, failed(509));
    assert_eq!(stage.builder.settled().count(), 0);
}

/// A thread makes it ready while the main thread waits, and by the time that this is looked at the main thread
/// has come back, and may be in its next wait: nobody can say any more what it did, but its record is on the way.
#[test]
fn what_is_told_after_readiness_still_counts() {
    let next = || Doing::Sleep { nr: 230, args: [0; 3] };
    for (late, now) in [(true, Doing::Running), (false, Doing::Running), (true, next())] {
        let mut stage = stage(&[]);
        stage.fork(100, 1, 5).exec(110, 5, "/bin/server");
        stage.mark(150, 5, Moment::Sums, "", None);
        let mark = |stage: &mut Stage, ms: u64, moment| {
            let mark = Mark { spent: spent(ms, ms, 0), socket: tcp(80), ..Mark::of(moment) };
            let what = What::Mark(Box::new(mark));
            stage.until(ms);
            stage.builder.event(Event { time_ns: ms * MS, id: id(5), tid: 6, what }, &mut stage.world);
        };
        mark(&mut stage, 200, Moment::Listen);
        stage.doing(5, now);
        mark(&mut stage, 350, Moment::AcceptWait);
        if late {
            let futex = Wait { kind: WaitKind::Futex, spent: spent(150, 160, 10_000), ..Wait::default() };
            stage.wait(160, 355, 5, futex);
        }
        let starts = stage.end(1000);
        assert_eq!(ready(&starts[0]), ("accept", 250));
        let states = starts[0].timeline.states.as_ref().unwrap();
        let futex = states.blocked.get("futex").copied().unwrap_or(0);
        if late {
            assert_eq!((futex, states.running_ns, states.unknown_ns), (190 * MS, 10 * MS, 50 * MS));
        } else {
            assert_eq!((futex, states.unknown_ns), (0, 250 * MS), "{states:?}");
        }
        assert_eq!(starts[0].timeline.path_ns.values().sum::<u64>(), 250 * MS);
    }
}

/// What `/proc` says of the main thread's time on a CPU is then what the thread has had, and not what the one before it had.
#[test]
fn what_a_thread_that_executed_does_at_the_end_is_found_by_its_own_time() {
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).exec(0, 5, "/bin/first");
    let mark = |stage: &mut Stage, tid: u32, moment, spent: Spent| {
        let (time_ns, socket) = (spent.until_ns, tcp(80));
        stage.until(time_ns / MS);
        let what = What::Mark(Box::new(Mark { spent, socket, ..Mark::of(moment) }));
        stage.builder.event(Event { time_ns, id: id(5), tid, what }, &mut stage.world);
    };
    mark(&mut stage, 5, Moment::Sums, spent(0, 610, 600_000));
    mark(&mut stage, 6, Moment::Sums, spent(600, 615, 2_000));
    mark(&mut stage, 5, Moment::Exec, spent(615, 620, 5_000));
    let exec = Exec { old_tid: 6, exe: Some("/bin/second".into()), ..Exec::default() };
    stage.at(620, 5, What::Exec(Box::new(exec)));
    mark(&mut stage, 5, Moment::Sums, spent(620, 700, 80_000));
    // It ran for 40 ms more, and waits since.
    let (running_ns, doing) = (Some(127 * MS), Doing::Sleep { nr: 230, args: [0; 3] });
    stage.world.tasks.insert(5, vec![TaskNow { tid: 5, doing, running_ns, ..TaskNow::default() }]);
    mark(&mut stage, 7, Moment::Listen, spent(750, 750, 0));
    mark(&mut stage, 7, Moment::AcceptWait, spent(1000, 1000, 0));
    let starts = stage.end(2000);
    assert_eq!(ready(&starts[0]), ("accept", 1000));
    let slept = starts[0].timeline.states.as_ref().unwrap().blocked.get("sleep").copied();
    assert_eq!(slept, Some(260 * MS), "{:?}", starts[0].timeline.states);
}

#[test]
fn clients_from_the_first_moment_on_make_it_ready_too() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).mark(200, 5, Moment::Listen, "", tcp(80));
    stage.mark(230, 5, Moment::Accepted, "", tcp(80));
    let starts = stage.end(400);
    assert_eq!(ready(&starts[0]), ("accept", 130));
    assert!(starts[0].timeline.ready.inferred);
}

#[test]
fn who_speaks_first_has_accepted_by_then() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).mark(200, 5, Moment::Listen, "", tcp(80));
    stage.mark(230, 5, Moment::Answer, "", tcp(80)).mark(240, 5, Moment::Accepted, "", tcp(80));
    let starts = stage.end(400);
    let reached = milestones(&starts[0]);
    assert_eq!(
        reached,
        [("first_listen", 100, false), ("first_accept", 130, true), ("first_answer", 130, false)]
    );
}

#[test]
fn listening_and_then_nothing_is_listen() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).mark(200, 5, Moment::Listen, "", tcp(80));
    let starts = stage.end(3000);
    assert_eq!((ready(&starts[0]), starts[0].timeline.ready.inferred), (("listen", 100), true));
}

#[test]
fn quiet_is_dated_back_to_the_end_of_the_work() {
    let mut stage = stage(&[]);
    stage.fork(100, 1, 5).exec(110, 5, "/bin/idle");
    let wait =
        |from, until, run| Wait { spent: spent(from, until, run), kind: WaitKind::Poll, ..Wait::default() };
    stage.wait(400, 410, 5, wait(110, 400, 290_000));
    // It wakes twenty times a second.
    for n in 1..60 {
        let from = 410 + 50 * (n - 1);
        stage.wait(from, from + 50, 5, wait(from, from, 100));
    }
    let starts = stage.end(5000);
    assert_eq!((ready(&starts[0]), starts[0].timeline.ready.inferred), (("quiet", 300), true));
    assert_eq!(milestones(&starts[0]).last(), Some(&("quiet", 300, true)));
    assert!(stage.world.asked < 4, "asked {} times", stage.world.asked);
}

#[test]
fn what_runs_unseen_is_not_quiet() {
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5);
    // Nothing comes from a task that keeps its CPU.
    let task = TaskNow { tid: 5, doing: Doing::Running, running_ns: Some(2_000 * MS), ..TaskNow::default() };
    stage.world.tasks.insert(5, vec![task]);
    stage.until(2500);
    let sums = Mark {
        moment: Moment::Sums,
        spent: spent(0, 2600, 2_600_000),
        usage: Usage::default(),
        value: 0,
        fd: None,
        socket: None,
        text: None,
        inferred: false,
    };
    stage.at(2600, 5, What::Mark(Box::new(sums)));
    // It ran for two more ms and then stopped.
    let task = TaskNow { tid: 5, running_ns: Some(2_602 * MS), ..TaskNow::default() };
    stage.world.tasks.insert(5, vec![task]);
    let starts = stage.end(6000);
    assert_eq!(ready(&starts[0]), ("quiet", 2602));
}

/// Of a task that was throttled, or preempted by somebody who keeps the CPU, no record comes until it is back.
#[test]
fn what_waits_for_a_cpu_is_not_quiet() {
    for running_ns in [Some(5 * MS), None] {
        let mut stage = stage(&[]);
        stage.fork(0, 1, 5);
        let task = TaskNow { tid: 5, doing: Doing::Running, running_ns, ..TaskNow::default() };
        stage.world.tasks.insert(5, vec![task]);
        stage.until(3500);
        // Two looks for each time that would have been quiet.
        assert!(stage.world.asked <= 7, "asked {} times", stage.world.asked);
        stage.world.tasks.remove(&5);
        // It was off from the fifth ms on.
        stage.wait(5, 3500, 5, Wait { kind: WaitKind::Cpu, spent: spent(0, 5, 5_000), ..Wait::default() });
        let starts = stage.end(6000);
        assert_eq!(ready(&starts[0]), ("quiet", 3500));
    }
}

/// One look may find an idle program in the middle of a short awakening.
#[test]
fn who_happens_to_run_at_the_look_is_quiet() {
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5);
    let running_ns = Some(2 * MS);
    let task = TaskNow { tid: 5, doing: Doing::Running, running_ns, ..TaskNow::default() };
    stage.world.tasks.insert(5, vec![task.clone()]);
    stage.until(1000);
    stage.world.tasks.insert(5, vec![TaskNow { doing: Doing::Idle, ..task }]);
    stage.until(1100);
    // A second look, and one for what it does at the end.
    assert!(stage.world.asked <= 3, "asked {} times", stage.world.asked);
    assert_eq!(ready(&stage.end(3000)[0]), ("quiet", 2));
}

#[test]
fn work_that_does_not_run_is_no_quiet() {
    let asked = |socket| Wait { kind: WaitKind::Network, socket: Some(socket), ..Wait::default() };
    let client = Socket {
        family: 2,
        kind: 1,
        state: 1,
        local: "10.0.0.1:40000".parse().ok(),
        peer: "10.0.0.2:80".parse().ok(),
        peer_pid: None,
    };
    for (name, wait) in [
        ("child", Wait { kind: WaitKind::Child, ..Wait::default() }),
        ("lock", Wait { kind: WaitKind::Lock, ..Wait::default() }),
        ("disk", Wait { kind: WaitKind::Disk, ..Wait::default() }),
        ("sleep", Wait { kind: WaitKind::Sleep, nr: Some(230), ..Wait::default() }),
        ("peer", asked(client.clone())),
        ("connect", asked(Socket { state: 2, ..client.clone() })),
    ] {
        let doing = match name {
            "child" => Doing::Child,
            "lock" => Doing::Lock,
            "disk" => Doing::Busy,
            "sleep" => Doing::Sleep { nr: 230, args: [0; 3] },
            _ => Doing::Peer,
        };
        let mut stage = stage(&[]);
        stage.fork(0, 1, 5).doing(5, doing);
        stage.until(3000);
        stage.wait(100, 3000, 5, wait).doing(5, Doing::Idle);
        let starts = stage.end(6000);
        assert_eq!(ready(&starts[0]), ("quiet", 3000), "{name}");
    }
    // Waiting on a connection that somebody made to it is rest.
    let mut stage = stage(&[]);
    let server = Socket { local: "0.0.0.0:80".parse().ok(), ..client };
    stage.fork(0, 1, 5).mark(10, 5, Moment::Listen, "", tcp(80)).wait(20, 500, 5, asked(server));
    let starts = stage.end(3000);
    assert_eq!(ready(&starts[0]), ("listen", 10));
}

#[test]
fn from_the_third_sleep_on_it_is_a_period() {
    let mut stage = stage(&[]);
    let nap = |place| Wait { kind: WaitKind::Sleep, nr: Some(230), args: [0, 0, place], ..Wait::default() };
    stage.fork(0, 1, 5).doing(5, Doing::Sleep { nr: 230, args: [0, 0, 7] });
    for n in 0..9 {
        stage.wait(100 + 700 * n, 800 + 700 * n, 5, nap(7));
    }
    let starts = stage.end(9000);
    assert_eq!(ready(&starts[0]), ("quiet", 1500), "the end of the second sleep");
}

#[test]
fn whoever_tries_again_and_again_to_connect_is_not_ready() {
    let nap = |place| Wait { kind: WaitKind::Sleep, nr: Some(230), args: [0, 0, place], ..Wait::default() };
    // However it passes the time between: by sleeps of any length, or in poll with a time-out.
    for (step, kind) in [(50, WaitKind::Sleep), (1_600, WaitKind::Sleep), (50, WaitKind::Poll)] {
        let mut stage = stage(&[]);
        stage.fork(0, 1, 5);
        if kind == WaitKind::Sleep {
            stage.doing(5, Doing::Sleep { nr: 230, args: [0, 0, 7] });
        }
        let tries = 8_000 / step;
        for n in 0..tries {
            let at = 100 + step * n;
            stage.refused(at, 5).wait(at, at + step - 1, 5, Wait { kind, ..nap(7) });
        }
        let served = 100 + step * tries;
        stage.mark(served, 5, Moment::AcceptWait, "", tcp(80));
        let starts = stage.end(served + 2_000);
        assert_eq!(ready(&starts[0]), ("accept", served), "{kind:?} of {step} ms");
    }
    // Once it is connected, the same sleeps are a period.
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).doing(5, Doing::Sleep { nr: 230, args: [0, 0, 7] });
    for n in 0..8 {
        stage.refused(100 + 500 * n, 5).wait(100 + 500 * n, 599 + 500 * n, 5, nap(7));
    }
    for n in 8..14 {
        stage.wait(100 + 500 * n, 599 + 500 * n, 5, nap(7));
    }
    assert_eq!(
        ready(&stage.end(9_000)[0]),
        ("quiet", 4_599),
        "the first sleep after the last refusal is its"
    );
}

#[test]
fn a_script_that_tries_by_helpers_is_not_ready() {
    let nap = Wait { kind: WaitKind::Sleep, nr: Some(230), args: [0, 0, 7], ..Wait::default() };
    for (step, clock) in [(200, 190), (2_500, 2_490)] {
        let mut stage = stage(&[]);
        stage.fork(0, 1, 5).exec(10, 5, "/bin/sh").doing(5, Doing::Child);
        let tries = 10_000 / step;
        for n in 0..tries {
            let (pid, at) = (100 + n as u32, 100 + step * n);
            stage.doing(pid, Doing::Sleep { nr: 230, args: [0, 0, 7] });
            stage.fork(at, 5, pid).exec(at + 1, pid, "/bin/sleep").wait(at + 2, at + clock, pid, nap.clone());
            stage.exit(at + clock + 1, pid);
            stage.wait(at + 1, at + clock + 2, 5, Wait { kind: WaitKind::Child, ..Wait::default() });
        }
        let served = 100 + step * tries;
        stage.mark(served, 5, Moment::AcceptWait, "", tcp(80));
        let starts = stage.end(served + 2_000);
        assert_eq!(ready(&starts[0]), ("accept", served), "every {step} ms");
    }
}

#[test]
fn a_pipe_within_the_tree_is_work() {
    let pipe = |pid| Wait {
        kind: WaitKind::Pipe,
        waker: Waker::Task { pid, tid: pid, comm: String::new() },
        ..Wait::default()
    };
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).fork(10, 5, 6).exec(20, 6, "/bin/helper");
    stage.doing(6, Doing::Sleep { nr: 230, args: [0; 3] });
    stage.wait(30, 2500, 5, pipe(6)).exit(2510, 6);
    let starts = stage.end(5000);
    assert_eq!((ready(&starts[0]), ready(&starts[1])), (("quiet", 2500), ("exit", 2500)));
    // From outside, it is rest.
    let mut stage = self::stage(&[]);
    stage.fork(0, 1, 5).wait(30, 900, 5, pipe(99));
    assert_eq!(ready(&stage.end(3000)[0]), ("quiet", 0));
}

#[test]
fn a_parent_is_quiet_when_its_children_are() {
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).fork(100, 5, 6).fork(200, 5, 7);
    stage.doing(5, Doing::Child);
    let running_ns = Some(1_000 * MS);
    let runs = TaskNow { tid: 7, doing: Doing::Running, running_ns, ..TaskNow::default() };
    stage.world.tasks.insert(7, vec![runs]);
    stage.until(1490);
    stage.world.tasks.remove(&7);
    let busy = |run| Wait { spent: spent(200, 1500, run), kind: WaitKind::Poll, ..Wait::default() };
    stage.wait(1500, 1510, 7, busy(1_300_000));
    let starts = stage.end(5000);
    let kinds: Vec<_> = starts.iter().map(ready).collect();
    assert_eq!(kinds, [("quiet", 1500), ("quiet", 0), ("quiet", 1300)]);
    assert!(milestones(&starts[0]).contains(&("workers_ready", 1500, true)));
}

#[test]
fn notify_and_nothing_else() {
    let mut stage = stage(&[]);
    stage.world.notify = vec![5, 6];
    stage.fork(0, 1, 5).exec(10, 5, "/bin/service").mark(20, 5, Moment::Listen, "", tcp(80));
    stage.mark(30, 5, Moment::AcceptWait, "", tcp(80));
    // Its worker is a copy: nothing is asked of that.
    stage.fork(40, 5, 6).mark(50, 6, Moment::AcceptWait, "", tcp(80));
    stage.mark(2500, 5, Moment::Notify, "STATUS=warming\nEXTEND_TIMEOUT_USEC=5000\n", None);
    stage.mark(2600, 5, Moment::Notify, "READY=10\n", None);
    stage.mark(2700, 5, Moment::Notify, "MAINPID=5\nREADY=1", None);
    let starts = stage.end(4000);
    assert_eq!((ready(&starts[0]), ready(&starts[1])), (("notify", 2700), ("accept", 10)));
    let milestones = milestones(&starts[0]);
    for name in ["notify_status", "notify_extend_timeout", "notify_main_pid", "notify_ready", "quiet"] {
        assert!(milestones.iter().any(|milestone| milestone.0 == name), "{name} in {milestones:?}");
    }
    // Never said: at the end of the window, with what it does.
    let mut stage = self::stage(&[]);
    stage.world.notify = vec![5];
    stage.fork(0, 1, 5).exec(10, 5, "/bin/service").doing(5, Doing::Idle);
    let starts = stage.end(30_000);
    assert_eq!(ready(&starts[0]), ("timeout", 20_000));
    let detail = starts[0].timeline.ready.detail.as_deref();
    assert_eq!(detail, Some("the window ended; it waits in call"));
}

/// The first of a master's workers is alone for two seconds: it is named when the second has shown itself.
#[test]
fn workers_that_are_made_far_apart_are_all_named() {
    let given = |stage: &mut Stage| {
        let starts = stage.builder.drain().filter_map(|output| match output {
            Output::Start(start) if start.pid > 5 => Some((start.pid, start.method.pattern)),
            _ => None,
        });
        let mut starts: Vec<_> = starts.collect();
        starts.sort();
        starts
    };
    let worker = || Some("prefork_worker".to_owned());
    let mut stage = patient_stage(10_000);
    stage.fork(0, 1, 5).exec(10, 5, "/opt/master").mark(20, 5, Moment::Listen, "", tcp(80));
    for (at, pid) in [(100, 6), (2100, 7), (4100, 8)] {
        stage.fork(at, 5, pid).mark(at + 5, pid, Moment::AcceptWait, "", tcp(80));
    }
    // Each as soon as two of them have lived for a second.
    assert_eq!(given(&mut stage), [(6, worker()), (7, worker())]);
    stage.until(5_300);
    assert_eq!(given(&mut stage), [(8, worker())]);

    // Who stays alone is let go when patience is over, or when nothing more can come.
    for (patience_ms, ends, by_ms) in [(10_000, None, 10_200), (10_000, Some(2000), 2_200), (0, None, 1_200)]
    {
        let mut stage = patient_stage(patience_ms);
        stage.fork(0, 1, 5).exec(10, 5, "/opt/master").mark(20, 5, Moment::Listen, "", tcp(80));
        stage.fork(100, 5, 6).mark(105, 6, Moment::AcceptWait, "", tcp(80));
        if let Some(ms) = ends {
            stage.exit(ms, 6);
        }
        stage.until(by_ms - 20);
        assert_eq!(given(&mut stage), []);
        stage.until(by_ms);
        assert_eq!(given(&mut stage), [(6, None)]);
    }
}

#[test]
fn where_the_window_ends_with_a_server_elsewhere_both_addresses_are_told() {
    for (rule, looks) in [
        ("tcp:127.0.0.1:80", "; --ready looks at tcp 127.0.0.1:80"),
        ("http://127.0.0.1:81/up", "; --ready looks at tcp 127.0.0.1:81"),
        ("mark:up", ""),
    ] {
        let mut stage = self::stage(&[rule]);
        stage.fork(0, 1, 5).exec(10, 5, "/bin/service").doing(5, Doing::Clients);
        let starts = stage.end(30_000);
        assert_eq!(ready(&starts[0]), ("timeout", 20_000));
        let detail = starts[0].timeline.ready.detail.clone().unwrap();
        assert_eq!(detail, format!("the window ended; it waits for clients in call{looks}"), "{rule}");
    }
}

#[test]
fn what_was_answered_instead_is_told_where_the_window_ends() {
    let mut stage = stage(&["http://127.0.0.1:81/bad"]);
    stage.fork(0, 1, 5).exec(10, 5, "/bin/service").doing(5, Doing::Clients);
    for (at, detail) in [(100, "HTTP 503 from http://x/bad"), (200, "HTTP 404 from http://x/bad")] {
        let seen = Outside { rule: 0, detail: detail.into(), refused: true };
        stage.until(at);
        stage.builder.outside(at * MS, &seen, &mut stage.world);
        assert!(stage.builder.waits_for(0));
    }
    let starts = stage.end(30_000);
    assert_eq!(ready(&starts[0]), ("timeout", 20_000));
    let detail = starts[0].timeline.ready.detail.as_deref().unwrap();
    let end = "; --ready looks at tcp 127.0.0.1:81; the last answer there was HTTP 404 from http://x/bad";
    assert!(detail.ends_with(end), "{detail}");
    assert!(starts[0].timeline.milestones.iter().all(|milestone| milestone.name != "http"));
}

#[test]
fn the_tree_counts_but_for_a_helpers_own_unix_socket() {
    // A shell that starts a server.
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).exec(10, 5, "/bin/sh").fork(20, 5, 6).exec(30, 6, "/bin/server");
    stage.mark(100, 6, Moment::AcceptWait, "", tcp(80));
    let starts = stage.end(3000);
    assert_eq!((ready(&starts[0]), ready(&starts[1])), (("accept", 100), ("accept", 80)));
    assert_eq!(starts[0].timeline.ready.detail.as_deref(), Some("tcp 0.0.0.0:80 in pid 6"));
    // An agent with a unix socket of its own is not what the shell is for; a worker's that is shared is.
    for (shares, expected) in [(true, ("accept", 100)), (false, ("accept", 900))] {
        let mut stage = self::stage(&[]);
        stage.world.shares = shares;
        stage.fork(0, 1, 5).exec(10, 5, "/bin/sh").fork(20, 5, 6);
        stage.mark(100, 6, Moment::AcceptWait, "/run/x", unix());
        let busy = Wait { spent: spent(10, 900, 800_000), kind: WaitKind::Poll, ..Wait::default() };
        stage.wait(900, 905, 5, busy);
        let starts = stage.end(4000);
        assert_eq!((ready(&starts[0]), ready(&starts[1])), (expected, ("accept", 80)));
    }
}

#[test]
fn what_is_asked_for_decides() {
    for (rule, expected) in [
        ("listen", ("listen", 100)),
        ("accept", ("accept", 200)),
        ("mark:up", ("mark", 300)),
        ("output", ("output", 400)),
        ("output:^ready$", ("output", 450)),
        ("notify", ("notify", 500)),
        ("exec", ("exec", 10)),
        ("250ms", ("time", 250)),
        ("quiet", ("quiet", 500)),
        ("exit", ("exit", 5000)),
        ("tcp:80", ("tcp", 600)),
        ("idle=mark:up", ("mark", 300)),
        ("other=exec", ("accept", 200)),
        ("mark:down", ("exit", 5000)),
    ] {
        let mut stage = stage(&[rule]);
        stage.fork(0, 1, 5).exec(10, 5, "/bin/idle");
        stage.mark(100, 5, Moment::Listen, "", tcp(80)).mark(200, 5, Moment::AcceptWait, "", tcp(80));
        stage.mark(290, 5, Moment::Name, "up", None).mark(300, 5, Moment::Name, "@up", None);
        stage.mark(400, 5, Moment::Output, "not yet", None).mark(450, 5, Moment::Output, "ready", None);
        stage.mark(500, 5, Moment::Notify, "READY=1", None);
        let ran = Wait { spent: spent(10, 500, 480_000), kind: WaitKind::Poll, ..Wait::default() };
        stage.wait(500, 501, 5, ran);
        stage.until(600);
        let seen = Outside { rule: 0, detail: "tcp accepts".into(), refused: false };
        assert_eq!(
            stage.builder.waits_for(0),
            ["tcp:80", "quiet", "exit", "mark:down"].contains(&rule),
            "{rule}"
        );
        if rule == "tcp:80" {
            stage.builder.outside(600 * MS, &seen, &mut stage.world);
        }
        stage.exit(5000, 5);
        let starts = stage.end(6000);
        assert_eq!(ready(&starts[0]), expected, "{rule}");
    }
}

#[test]
fn a_rule_without_an_executable_is_for_the_command_alone() {
    let mut stage = stage(&["mark:up", "helper=2s"]);
    stage.fork(0, 1, 5).fork(10, 5, 6).mark(20, 6, Moment::AcceptWait, "", tcp(80));
    stage.fork(30, 5, 7).exec(40, 7, "/opt/helper").mark(50, 7, Moment::AcceptWait, "", tcp(81));
    // A mark of any of its tree is the command's.
    stage.mark(60, 7, Moment::Name, "@up\n", None);
    let starts = stage.end(4000);
    let kinds: Vec<_> = starts.iter().map(ready).collect();
    assert_eq!(kinds, [("mark", 60), ("accept", 10), ("time", 2000)]);
    assert_eq!(starts[0].timeline.ready.detail.as_deref(), Some("up in pid 7"));
}

#[test]
fn at_lifecycle_nothing_is_looked_for() {
    let mut stage = stage(&[]);
    stage.builder.options.level = Level::Lifecycle;
    stage.fork(0, 1, 5).exec(10, 5, "/bin/idle");
    assert!(!stage.builder.is_due(5000 * MS));
    stage.fork(6000, 5, 6).exit(6100, 6);
    let starts = stage.end(7000);
    assert_eq!((ready(&starts[0]), ready(&starts[1])), (("timeout", 7000), ("exit", 100)));
    assert_eq!(starts[0].timeline.ready.detail.as_deref(), Some("the recording ended"));
    assert_eq!((stage.world.asked, milestones(&starts[1]).len()), (0, 0));
}

#[test]
fn an_exec_after_readiness_is_the_next_start() {
    let mut stage = stage(&[]);
    stage.fork(0, 1, 5).exec(10, 5, "/bin/a").mark(100, 5, Moment::AcceptWait, "", tcp(80));
    stage.exec(150, 5, "/bin/b").mark(180, 5, Moment::AcceptWait, "", tcp(80)).exit(200, 5);
    let mut starts = stage.end(1000);
    starts.sort_by_key(|start| start.seq);
    assert_eq!((ready(&starts[0]), ready(&starts[1])), (("accept", 100), ("accept", 30)));
    assert!(starts[0].exit.is_none() && starts[1].method.primitive.as_deref() == Some("exec"));
}

#[test]
fn thousands_of_sleepers_are_not_looked_at_all_the_time() {
    let mut stage = stage(&[]);
    for pid in 5..2005 {
        stage.fork(0, 1, pid).doing(pid, Doing::Sleep { nr: 230, args: [0; 3] });
    }
    stage.until(15_000);
    assert_eq!(stage.world.asked, 2000, "once each: then a record has to come");
    let starts = stage.end(15_000);
    assert!(starts.iter().all(|start| ready(start) == ("timeout", 15_000)));
}
