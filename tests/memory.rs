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

/// Bytes that are allocated now, and at most since that was asked for. A list that grows is counted once: the large ones
/// are not copied.
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

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        NOW.fetch_sub(layout.size(), Relaxed);
        let now = NOW.fetch_add(size, Relaxed) + size;
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(piece, layout, size) }
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
    starts: u32,
}

impl Live {
    fn new() -> Self {
        let options = Options { began_ns: BEGAN_NS, level: Level::Timeline, ..Options::default() };
        let mut builder = Builder::new(options);
        builder.keep_past_in(nameless());
        builder.keep_rows_in(Box::<Nameless>::default());
        let mut diagnoser = Diagnoser::new(Thresholds::default());
        diagnoser.keep_in(nameless());
        Self { builder, diagnoser, world: Replay::default(), starts: 0 }
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
                self.diagnoser.start(&start);
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

/// Bytes above those that were there before.
#[derive(Debug)]
struct Taken {
    /// With each of so many starts over that the parents made.
    kept: Vec<usize>,
    /// At most, while the parents end, each with a path through all that it started.
    ending: usize,
    /// At most, while all that was found is joined.
    joining: usize,
}

fn storm(starts: &[u32]) -> Taken {
    let before = NOW.load(Relaxed);
    let above = |bytes: &AtomicUsize| bytes.load(Relaxed) - before;
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
    let (mut at, mut pid) = (BEGAN_NS + 5_000_000, 1_000);
    let mut kept = Vec::new();
    for starts in starts {
        while live.starts < *starts {
            for (k, parent) in (0..).zip(&parents) {
                live.child(*parent, pid, at + k);
                pid += 1;
            }
            at += STEP_NS;
        }
        kept.push(above(&NOW));
    }
    MOST.store(0, Relaxed);
    for parent in &parents {
        live.exit(at, at + 100_000, *parent, "storm");
    }
    live.exit(root.birth_ns + 200_000, at + 200_000, root, "storm");
    let groups = live.builder.end(at + 10_000_000_000, &mut live.world);
    live.deliver();
    let ending = above(&MOST);
    let Live { builder, diagnoser, starts, .. } = live;
    assert_eq!(starts, pid - 1_000 + PARENTS + 1);
    drop(builder);
    MOST.store(0, Relaxed);
    let said = diagnoser.finish(&groups, None, None);
    let has = |id: &str| said.diagnosis.findings.iter().any(|joined| joined.id == id);
    assert!(has("process-storm") && !said.verdict.is_empty(), "{:?}", said.diagnosis.findings);
    Taken { kept, ending, joining: above(&MOST) }
}

#[test]
fn memory_stays_flat_whatever_the_number_of_starts() {
    let taken = storm(&[8_000, 16_000, 24_000]);
    eprintln!("{taken:?}");
    let [first, second, third] = *taken.kept else { unreachable!() };
    assert!(first < 2 << 20 && third.abs_diff(second) < 64 << 10, "{taken:?}");
    assert!(taken.ending < 6 << 20 && taken.joining < 3 << 19, "{taken:?}");
}
