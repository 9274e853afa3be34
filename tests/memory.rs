//! What stays in memory of starts that are over, while those that started them go on: counted, and not timed.
//!
//! Four processes start programs one after the other, as a storm does, and end together. All goes through what is live
//! in a recording: from events to starts, findings and their joining at the end.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use startrace::diagnose::{Diagnoser, Thresholds};
use startrace::event::task::{Mark, Moment, Spent, Usage, Wait, WaitKind, Waker};
use startrace::event::{Entry, Event, Exec, Fork, Id, What};
use startrace::host::scratch::{Nameless, nameless};
use startrace::level::Level;
use startrace::method::facts::Call;
use startrace::timeline::world::Replay;
use startrace::timeline::{Builder, Options, Output};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that are allocated now, and at most since that was asked for.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counted;

// SAFETY: the system's allocator, whose answers are counted.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(piece, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

const PARENTS: u32 = 4;
/// From one start of a parent to its next.
const STEP_NS: u64 = 2_000_000;
const BEGAN_NS: u64 = 1 << 44;

/// The live part of a recording.
struct Live {
    builder: Builder,
    diagnoser: Diagnoser,
    world: Replay,
    starts: usize,
    found: std::collections::BTreeMap<String, u32>,
}

impl Live {
    fn new() -> Self {
        let options = Options { began_ns: BEGAN_NS, level: Level::Timeline, ..Options::default() };
        let mut builder = Builder::new(options);
        builder.keep_past_in(nameless());
        builder.keep_rows_in(Box::<Nameless>::default());
        let mut diagnoser = Diagnoser::new(Thresholds::default());
        diagnoser.keep_in(nameless());
        Self { builder, diagnoser, world: Replay::default(), starts: 0, found: Default::default() }
    }

    fn event(&mut self, time_ns: u64, id: Id, what: What) {
        let world = &mut self.world;
        self.builder.event(Event { time_ns, id, tid: id.pid, what }, world);
        self.builder.tick(time_ns, world);
        self.deliver();
    }

    fn deliver(&mut self) {
        for output in self.builder.drain() {
            if let Output::Start(start) = output {
                for f in self.diagnoser.start(&start) { *self.found.entry(f.id).or_insert(0) += 1; }
                self.starts += 1;
            }
        }
    }

    fn fork(&mut self, at: u64, id: Id, creator: Id, root: bool) {
        let fork = Fork {
            entry: Some(Entry::Exact(at - 30_000)),
            creator,
            creator_tid: creator.pid,
            real_parent: creator,
            call: Call::Fork,
            ns_pid: id.pid,
            threads: 1,
            root,
            comm: "storm".to_owned(),
            ..Fork::default()
        };
        self.event(at, id, What::Fork(Box::new(fork)));
        self.event(at + 20_000, id, What::Run { wakeup_ns: Some(at + 10_000), run_ns: Some(at + 20_000) });
    }

    fn exec(&mut self, at: u64, id: Id, program: &str, argument: &str) {
        let exec = Exec {
            entry: Some(Entry::Exact(at - 10_000)),
            old_tid: id.pid,
            path: Some(format!("/usr/bin/{program}")),
            exe: Some(format!("/usr/bin/{program}")),
            argv: Some(vec![program.to_owned(), argument.to_owned()]),
            argc: 2,
            dev: 1,
            inode: 7,
            ns_pid: id.pid,
            comm: program.to_owned(),
            ..Exec::default()
        };
        self.event(at, id, What::Exec(Box::new(exec)));
    }

    fn exit(&mut self, since_ns: u64, at: u64, id: Id, comm: &str) {
        let spent =
            Spent { since_ns, until_ns: at, running_ns: at - since_ns, runnable_ns: 0, blocked: Vec::new() };
        let mark = Mark {
            moment: Moment::End,
            spent,
            usage: Usage::default(),
            value: 0,
            fd: None,
            socket: None,
            text: None,
            inferred: false,
        };
        self.event(at, id, What::Mark(Box::new(mark)));
        let exit = What::Exit {
            status: 0,
            uid: 0,
            gid: 0,
            comm: comm.to_owned(),
            session_leader: false,
            has_tty: false,
            group: Some(1),
            foreground: None,
            stdio: Default::default(),
            ignored: 0,
            written: None,
            null_on_pipe: None,
        };
        self.event(at, id, exit);
    }

    /// A start of one of the parents, which waits for it.
    fn child(&mut self, parent: Id, pid: u32, at: u64) {
        let id = Id { pid, birth_ns: at };
        self.fork(at, id, parent, false);
        self.exec(at + 200_000, id, "true", "mark");
        self.exit(at + 200_000, at + 700_000, id, "true");
        let wait = Wait {
            spent: Spent {
                since_ns: at - STEP_NS + 800_000,
                until_ns: at + 100_000,
                running_ns: STEP_NS - 700_000,
                runnable_ns: 0,
                blocked: Vec::new(),
            },
            off_ns: at + 100_000,
            wake_ns: Some(at + 700_000),
            kind: WaitKind::Child,
            nr: Some(61),
            waker: Waker::Task { pid, tid: pid, comm: "true".to_owned() },
            waker_exact: true,
            ..Wait::default()
        };
        self.event(at + 800_000, parent, What::Wait(Box::new(wait)));
    }
}

/// What is allocated when so many starts are over, and at most until all of it has been said.
fn storm(starts: u32) -> (usize, usize) {
    let before = NOW.load(Relaxed);
    let mut live = Live::new();
    let root = Id { pid: 100, birth_ns: BEGAN_NS + 1_000_000 };
    live.fork(root.birth_ns, root, Id { pid: 99, birth_ns: 1 }, true);
    live.exec(root.birth_ns + 200_000, root, "storm", "4");
    let parents: Vec<Id> = (0..PARENTS)
        .map(|n| Id { pid: 101 + n, birth_ns: BEGAN_NS + 2_000_000 + u64::from(n) * 100_000 })
        .collect();
    for parent in &parents {
        live.fork(parent.birth_ns, *parent, root, false);
    }
    let mut at = BEGAN_NS + 5_000_000;
    for n in 0..starts / PARENTS {
        for (k, parent) in (0u32..).zip(&parents) {
            live.child(*parent, 1000 + n * PARENTS + k, at + u64::from(k));
        }
        at += STEP_NS;
    }
    let kept = NOW.load(Relaxed) - before;
    MOST.store(NOW.load(Relaxed), Relaxed);
    for parent in &parents {
        live.exit(at, at + 100_000, *parent, "storm");
    }
    live.exit(root.birth_ns + 200_000, at + 200_000, root, "storm");
    let groups = live.builder.end(at + 10_000_000_000, &mut live.world);
    live.deliver();
    eprintln!("{:?}", live.found);
    eprintln!("ends {}", MOST.load(Relaxed) - before);
    let Live { builder, diagnoser, starts: seen, .. } = live;
    let a=NOW.load(Relaxed);
    drop(builder);
    let b=NOW.load(Relaxed);
    eprintln!("builder at end {} diagnoser {}", a-b, b-before);
    MOST.store(b, Relaxed);
    assert_eq!(seen as u32, starts + PARENTS + 1);
    let said = diagnoser.finish(&groups, None, None);
    eprintln!("finish {}", MOST.load(Relaxed) - before);
    assert!(!said.verdict.is_empty());
    (kept, MOST.load(Relaxed) - before)
}

#[test]
fn what_stays() {
    for n in [10_000, 30_000] {
        let t = std::time::Instant::now();
        eprintln!("{n}: {:?} {:?}", storm(n), t.elapsed());
    }
}
