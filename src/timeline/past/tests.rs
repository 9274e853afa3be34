use super::super::phases;
use super::super::row::Row;
use super::super::tasks::{Lane, Piece, Sums, Told, Waited};
use super::*;
use crate::event::task::WaitKind;
use crate::timeline::tasks::{Call, State};
use crate::trace::vocabulary::PHASES;
use std::cell::RefCell;
use std::io;

/// What a file holds, and what of it was forgotten.
type Held = (Vec<u8>, Vec<(u64, u64)>);

/// A file that takes so many bytes.
#[derive(Debug, Clone, Default)]
struct Disk(Rc<RefCell<Held>>, usize);

impl Scratch for Disk {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (disk, end) = (&mut self.0.borrow_mut().0, at as usize + bytes.len());
        if end > self.1 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        disk.resize(end.max(disk.len()), 0);
        disk[at as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.borrow().0.get(at as usize..).unwrap_or_default().to_vec();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn forget(&mut self, from: u64, to: u64) {
        self.0.borrow_mut().1.push((from, to));
    }
}

/// The starts there, and where they are in others of that size.
fn on(disk: &Disk) -> [Box<dyn Scratch>; 3] {
    let other = || Box::new(Disk(Rc::default(), disk.1));
    [Box::new(disk.clone()), other(), other()]
}

fn id(pid: u32) -> Id {
    Id { pid, birth_ns: 1_000 + u64::from(pid) }
}

/// With everything that a path can ask for, and lanes that no two stories share.
fn story(pid: u32, origin_ns: u64, end_ns: u64, exited: bool) -> Story {
    let mut sums = Sums::default();
    for (at, kind) in WaitKind::ALL.into_iter().enumerate() {
        sums.add(State::of(kind, None), at as u64 + 1);
    }
    for state in [State::Creating, State::Running, State::Exited, State::Unknown] {
        sums.add(state, u64::MAX >> 20);
    }
    let told = |full: bool| Told {
        back_unseen: full,
        state: State::Other(full.then_some(Call { nr: -1, compat: true })),
        detail: full.then(|| "pid 7 (größe)".into()),
        waker: full.then_some((7, 8)),
        ..Told::default()
    };
    let wait = |off_ns, full| Waited::new(off_ns, off_ns + 5, off_ns + 9, &told(full));
    // The first record began before the origin, as one does that crosses it.
    let pieces = [
        Piece::Sums { since_ns: origin_ns - 3, until_ns: origin_ns + 4, sums },
        Piece::Wait(wait(origin_ns + 4, true)),
        Piece::Wait(wait(origin_ns + 13, false)),
    ];
    let mut tasks = Tasks::of(pid);
    let row = || pieces.iter().cloned().collect();
    tasks.put(Lane::of(pid, row(), Some(end_ns), vec![(origin_ns + 1, 1)]), true);
    // A number that came twice: the second task of that number is the last.
    tasks.put(Lane::of(pid + 1, row(), None, Vec::new()), false);
    tasks.put(Lane::of(pid + 1, Row::default(), None, Vec::new()), true);
    Story {
        id: id(pid),
        seq: pid % 3,
        origin_ns,
        end_ns,
        exited,
        creator: pid.is_multiple_of(2).then(|| (id(pid / 2), pid / 2 + 1)),
        run_ns: exited.then_some(origin_ns + 2),
        phases: phases::begun(&phases::phases(
            origin_ns,
            end_ns,
            &PHASES.map(|name| phases::Mark { name, at_ns: Some(origin_ns + 1), exec: None }),
        )),
        command: format!("command {pid}"),
        tasks: tasks.into(),
    }
}

fn is_whole(past: &Past, pid: u32, time_ns: u64, want: &Story) {
    let read = past.at(pid, time_ns).unwrap();
    let all = |story: &Story| {
        let Story { id, seq, origin_ns, end_ns, exited, creator, run_ns, phases, command, tasks } = story;
        let lanes = [pid, pid + 1, pid + 2].map(|tid| tasks.lane(tid));
        let numbers = (*id, *seq, *origin_ns, *end_ns, *exited, *creator, *run_ns);
        format!("{numbers:?} {phases:?} {command} {:?} {lanes:?}", tasks.lanes)
    };
    assert_eq!(all(&read), all(want));
}

#[test]
fn a_start_is_read_as_it_was_written() {
    for (pid, exited) in [(1, false), (2, true), (4_194_303, true)] {
        let want = story(pid, 1 << 40, (1 << 40) + 1_000_000, exited);
        let mut past = Past::default();
        past.add(&want, || Some(0));
        is_whole(&past, pid, (1 << 40) + 5, &want);
        assert_eq!(past.creator(pid), want.creator.filter(|_| exited).map(|(id, _)| id));
        assert_eq!(past.command(pid).as_deref(), Some(&*want.command));
        assert_eq!(past.again(0).unwrap().seq, want.seq);
        // Bytes that are cut off give nothing, and do not panic.
        let bytes = code::write(&want);
        for len in 0..bytes.len() - 1 {
            assert!(code::read(&bytes[..len], pid, 1 << 40, 0, false, None).is_none(), "{len}");
        }
    }
}

#[test]
fn the_start_at_a_time_is_found_among_others_with_the_same_number() {
    let mut past = Past::default();
    let first = story(5, 100_000, 200_000, false);
    let second = story(5, 200_000, 300_000, true);
    let third = story(5, 400_000, 500_000, true);
    for story in [&first, &second, &third] {
        past.add(story, || Some(0));
    }
    is_whole(&past, 5, 150_000, &first);
    is_whole(&past, 5, 250_000, &second);
    // It ended, and nothing else had its number then.
    is_whole(&past, 5, 350_000, &second);
    is_whole(&past, 5, u64::MAX, &third);
    assert!(past.at(5, 100_000).is_none() && past.at(6, 150_000).is_none());
}

#[test]
fn many_starts_leave_memory_and_come_back() {
    let disk = Disk(Rc::default(), usize::MAX);
    let mut past = Past::default();
    past.keep_in(on(&disk));
    let all: Vec<Story> = (1..=12_000u32)
        .map(|n| story(n % 3_000 + 1, u64::from(n) << 20, (u64::from(n) << 20) + 999_999, true))
        .collect();
    for story in &all {
        past.add(story, || Some(0));
    }
    assert!(disk.0.borrow().0.len() > 2 << 20, "{}", disk.0.borrow().0.len());
    assert!(past.store.in_memory() < 2 << 20, "{}", past.store.in_memory());
    for story in &all {
        is_whole(&past, story.id.pid, story.origin_ns + 5, story);
    }
    assert_eq!(past.evicted_ns, 0);
    // Only what was before the oldest start in progress goes, and its room with it.
    let oldest = all[7_000].origin_ns;
    past.sweep(Some(oldest));
    assert!(past.at(all[6_999].id.pid, all[6_999].origin_ns + 5).is_none());
    for story in &all[7_000..] {
        is_whole(&past, story.id.pid, story.origin_ns + 5, story);
    }
    let holes = disk.0.borrow().1.clone();
    assert!(matches!(&*holes, [(0, until)] if *until > 1 << 20), "{holes:?}");
    past.sweep(None);
    assert!(past.len() == 0 && past.slot(all[0].id.pid, u64::MAX).is_none() && past.evicted_ns == 0);
}

#[test]
fn the_pieces_of_one_that_went_on_for_long_are_not_in_memory_when_it_is_read() {
    let disk = Disk(Rc::default(), usize::MAX);
    let mut past = Past::default();
    past.keep_rows_in(Some(&Spill::new(Box::new(disk.clone()))));
    let origin = 1 << 40;
    let piece = |n: u64| Piece::Wait(Waited::new(origin + n, origin + n, origin + n + 1, &Told::default()));
    let mut tasks = Tasks::of(3);
    tasks.put(Lane::of(3, (0..5_000).map(piece).collect(), None, Vec::new()), true);
    let want = Story { tasks: tasks.into(), ..story(3, origin, origin + 1_000_000, true) };
    past.add(&want, || Some(0));
    assert!(disk.0.borrow().0.is_empty());
    is_whole(&past, 3, origin + 5, &want);
    assert!(disk.0.borrow().0.len() > 200 << 10, "{}", disk.0.borrow().0.len());
}

#[test]
fn a_full_disk_is_memory_within_a_bound() {
    for mut past in [Past::default(), {
        let mut past = Past::default();
        past.keep_in(on(&Disk(Rc::default(), 1 << 20)));
        past
    }] {
        let last = 10_000u32;
        let long = |n: u32| {
            let origin_ns = u64::from(n) << 20;
            Story { command: "x".repeat(5_000), ..story(n, origin_ns, origin_ns + 999_999, true) }
        };
        for n in 1..=last {
            past.add(&long(n), || Some(0));
        }
        assert!(past.store.in_memory() <= 33 << 20, "{}", past.store.in_memory());
        // The oldest went, which is known; the newest are there.
        assert!(past.evicted_ns > 0 && past.at(1, u64::MAX).is_none());
        is_whole(&past, last, u64::MAX, &long(last));
        assert!(past.len() > 6_000, "{}", past.len());
    }
}
