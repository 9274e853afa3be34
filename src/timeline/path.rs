//! The critical path: what everything else waited for, from the end of a start back to its origin.
//!
//! The walk begins at the task that reached the end. Where it ran, it was the path. Where it waited and
//! a task of the recording woke it, what that task did in the meantime was: the walk goes on there, back
//! to the moment at which the wait began, and then returns. Before its own birth a task could not do
//! anything: its creator did. Everything else (a disk, a timer, a peer on another machine, a task that
//! is not recorded) is a wait on the path, with its name.
//!
//! Two things are not measured but follow from how the kernel side tells: a task that woke another and
//! has no record since has run (a wait of its own would have been told); and where the path crosses a
//! part of a stretch that is known by its sums only, that part has its share of them.

mod folds;
mod steps;

use super::Builder;
use super::past::Story;
use super::phases::{self, Begun};
use super::row::Found;
use super::tasks::{Piece, Rival, State, Tasks, Waited};
use super::waited;
use super::words;
use crate::event::Id;
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::schema::{Phase, Segment};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;
use steps::{Step, Steps, Words};

/// Steps of one walk.
const MAX_STEPS: usize = 100_000;
/// Waits within waits.
const MAX_DEPTH: usize = 200;
/// Past starts that are in memory at once; a path comes back to few of them.
const MAX_READ: usize = 256;
/// One start on the path.
#[derive(Clone, Copy)]
struct View {
    id: Id,
    seq: u32,
    origin_ns: u64,
    /// Nothing is known of it from then on.
    end_ns: u64,
    creator: Option<(Id, u32)>,
    run_ns: Option<u64>,
}

/// The same as it stays in memory: a path may come through tens of thousands.
struct Seen<'a> {
    which: Which<'a>,
    /// What the path has of it.
    share: folds::Share,
}

enum Which<'a> {
    Living(Box<Told<'a>>),
    /// It is over, and has to be read; the number of its slot.
    Past(u64),
}

/// What was read of starts that are over, by their views: few of the thousands that a path may come through.
#[derive(Default)]
struct Read<'a> {
    told: HashMap<usize, Told<'a>>,
    /// In the order in which they were read.
    order: VecDeque<usize>,
}

/// What is known of a start and of its time.
#[derive(Clone)]
struct Told<'a> {
    view: View,
    tasks: Held<'a>,
    phases: Rc<[Begun]>,
}

/// Tasks of a start under way, or of one that is over.
#[derive(Clone)]
enum Held<'a> {
    Living(&'a Tasks),
    Past(Rc<Tasks>),
}

impl Deref for Held<'_> {
    type Target = Tasks;

    fn deref(&self) -> &Tasks {
        match self {
            Self::Living(tasks) => tasks,
            Self::Past(tasks) => tasks,
        }
    }
}

impl View {
    /// The phase at a time, and when it began.
    fn phase(&self, phases: &[Begun], before_ns: u64) -> Option<(&'static str, u64)> {
        let at = before_ns.saturating_sub(self.origin_ns);
        let after = phases.partition_point(|phase| phase.at_ns < at);
        let phase = phases.get(after.checked_sub(1)?)?;
        Some((phase.name, self.origin_ns.saturating_add(phase.at_ns)))
    }
}

/// A task on the way, and how far back it is followed.
#[derive(Clone, Copy)]
struct Frame {
    view: usize,
    lane: usize,
    floor: u64,
}

/// The wait that a frame explains.
struct Within {
    view: usize,
    tid: u32,
    state: State,
    words: Words,
}

/// Where a time lies in a lane.
enum Spot<'a> {
    /// Before its first record.
    Before,
    Inside(Found<'a>),
    /// After its last record.
    After(u64),
}

struct Walk<'a> {
    builder: &'a Builder,
    views: Vec<Seen<'a>>,
    /// Those under way, by number of the process and origin.
    living: HashMap<(u32, u64), usize>,
    /// Those that are over, by their slots; without the room that keeps numbers aligned.
    past: HashMap<[u32; 2], u32>,
    own: View,
    read: RefCell<Read<'a>>,
    frames: Vec<(Frame, Option<Within>)>,
    /// The path so far, each step in one phase.
    steps: Steps,
    path_ns: BTreeMap<State, u64>,
    /// How far back it has come.
    now: u64,
    /// A start that had to be forgotten was looked for.
    missed: Cell<bool>,
}

/// A critical path.
#[derive(Debug, Default)]
pub(super) struct Path {
    pub segments: Vec<Segment>,
    pub path_ns: BTreeMap<String, u64>,
    /// It could not be followed into starts that had to be forgotten.
    pub cut: bool,
}

/// The start that the path belongs to.
pub(super) struct Subject<'a> {
    pub id: Id,
    pub seq: u32,
    pub origin_ns: u64,
    pub end_ns: u64,
    pub phases: &'a [Phase],
    pub run_ns: Option<u64>,
    /// The task that reached the end, where that is known.
    pub reached: Option<(Id, u32)>,
    /// It ended with the process.
    pub exited: bool,
}

/// What is known of one that is over.
fn told_of<'a>(story: Story) -> Told<'a> {
    let view = View {
        id: story.id,
        seq: story.seq,
        origin_ns: story.origin_ns,
        end_ns: if story.exited { u64::MAX } else { story.end_ns },
        creator: story.creator,
        run_ns: story.run_ns,
    };
    Told { view, tasks: Held::Past(story.tasks), phases: story.phases }
}

impl Builder {
    /// The critical path of a start.
    pub(super) fn path(&self, subject: &Subject<'_>) -> Path {
        let Some(process) = self.processes.get(&subject.id) else { return Path::default() };
        let own = View {
            id: subject.id,
            seq: subject.seq,
            origin_ns: subject.origin_ns,
            end_ns: subject.end_ns,
            creator: None,
            run_ns: subject.run_ns,
        };
        let mut walk = Walk {
            builder: self,
            views: Vec::new(),
            living: HashMap::default(),
            past: HashMap::default(),
            own,
            read: RefCell::default(),
            frames: Vec::new(),
            steps: Steps::default(),
            path_ns: BTreeMap::new(),
            now: subject.end_ns,
            missed: Cell::new(false),
        };
        walk.keep_living(Told {
            view: own,
            tasks: Held::Living(&process.tasks),
            phases: phases::begun(subject.phases),
        });
        let base = walk.base(subject);
        walk.walk(base, subject.origin_ns);
        walk.finish(subject)
    }
}

impl<'a> Walk<'a> {
    fn base(&mut self, subject: &Subject<'_>) -> Frame {
        let floor = subject.origin_ns;
        if let Some((id, tid)) = subject.reached
            && let Some(view) = self.find(id.pid, subject.end_ns)
            && let Some(lane) = self.tasks(view).lane(tid)
        {
            return Frame { view, lane, floor };
        }
        let tasks = self.tasks(0);
        let leader = tasks.lane(subject.id.pid);
        let gone = |lane: usize| {
            let lane = tasks.lanes.get(lane);
            lane.is_some_and(|lane| lane.ended_ns.is_some_and(|ended| ended < subject.end_ns))
        };
        let lane = match leader {
            // The last thread is what the end waited for.
            Some(leader) if subject.exited || gone(leader) => tasks.last(subject.end_ns).unwrap_or(leader),
            Some(leader) => leader,
            None => tasks.last(subject.end_ns).unwrap_or(usize::MAX),
        };
        Frame { view: 0, lane, floor }
    }

    /// The start that a process with that number was in just before then.
    fn find(&mut self, pid: u32, time_ns: u64) -> Option<usize> {
        let living = self.builder.by_pid.get(&pid).and_then(|id| {
            let process = self.builder.processes.get(id)?;
            process.start.as_ref().filter(|start| start.origin_ns < time_ns).map(|start| (*id, start))
        });
        if let Some((id, start)) = living {
            if let Some(&known) = self.living.get(&(id.pid, start.origin_ns)) {
                return Some(known);
            }
            let process = self.builder.processes.get(&id)?;
            let view = View {
                id,
                seq: start.seq,
                origin_ns: start.origin_ns,
                end_ns: u64::MAX,
                creator: super::start::creator_of(process, start),
                run_ns: start.run_ns,
            };
            let end_ns = self.own.end_ns.max(time_ns);
            return Some(self.keep_living(Told {
                view,
                tasks: Held::Living(&process.tasks),
                phases: phases::begun(&super::start::phases_of(start, end_ns)),
            }));
        }
        let builder = self.builder;
        let Some((number, slot)) = builder.past.slot(pid, time_ns) else {
            let is_cut = builder.past.evicted_ns > self.own.origin_ns && !builder.by_pid.contains_key(&pid);
            self.missed.set(self.missed.get() || is_cut);
            return None;
        };
        let key = [number as u32, (number >> 32) as u32];
        if let Some(&known) = self.past.get(&key) {
            return Some(known as usize);
        }
        let Some(told) = builder.past.read(&slot).map(told_of) else {
            self.missed.set(true);
            return None;
        };
        let at = self.keep(Which::Past(number), told.view.id);
        self.past.insert(key, u32::try_from(at).ok()?);
        self.remember(at, told);
        Some(at)
    }

    fn keep(&mut self, which: Which<'a>, id: Id) -> usize {
        let share = folds::Share::of(id.birth_ns < self.own.origin_ns);
        self.views.push(Seen { which, share });
        self.views.len() - 1
    }

    fn keep_living(&mut self, told: Told<'a>) -> usize {
        let View { id, origin_ns, .. } = told.view;
        let at = self.keep(Which::Living(Box::new(told)), id);
        self.living.insert((id.pid, origin_ns), at);
        at
    }

    /// Keeps a past start in memory, and lets the one go that came first.
    fn remember(&self, view: usize, told: Told<'a>) {
        let mut read = self.read.borrow_mut();
        if read.order.len() >= MAX_READ
            && let Some(first) = read.order.pop_front()
        {
            read.told.remove(&first);
        }
        read.order.push_back(view);
        read.told.insert(view, told);
    }

    fn told(&self, at: usize) -> Told<'a> {
        let nothing = || Told { view: self.own, tasks: Held::Past(Rc::default()), phases: Rc::default() };
        let number = match self.views.get(at).map(|seen| &seen.which) {
            Some(Which::Living(told)) => return Told::clone(told),
            Some(Which::Past(number)) => *number,
            None => return nothing(),
        };
        if let Some(told) = self.read.borrow().told.get(&at) {
            return told.clone();
        }
        // It was in memory before.
        let told = match self.builder.past.again(number) {
            Some(story) => told_of(story),
            None => {
                self.missed.set(true);
                nothing()
            }
        };
        self.remember(at, told.clone());
        told
    }

    fn view(&self, at: usize) -> View {
        self.look(at, |told| told.view)
    }

    fn tasks(&self, view: usize) -> Held<'a> {
        self.told(view).tasks
    }

    /// A look at what is known of a start. It must not lead to another one.
    fn look<R>(&self, at: usize, look: impl FnOnce(&Told<'a>) -> R) -> R {
        if let Some(Which::Living(told)) = self.views.get(at).map(|seen| &seen.which) {
            return look(told);
        }
        if let Some(told) = self.read.borrow().told.get(&at) {
            return look(told);
        }
        look(&self.told(at))
    }

    fn phase(&self, view: usize, before_ns: u64) -> Option<(&'static str, u64)> {
        self.look(view, |told| told.view.phase(&told.phases, before_ns))
    }

    fn tid(&self, frame: &Frame) -> u32 {
        let tid =
            |told: &Told<'_>| told.tasks.lanes.get(frame.lane).map_or(told.view.id.pid, |lane| lane.tid);
        self.look(frame.view, tid)
    }

    /// Where the walk is in a frame's lane, of these tasks of its start.
    fn spot<'t>(&self, tasks: &'t Tasks, frame: &Frame) -> Spot<'t> {
        let Some(lane) = tasks.lanes.get(frame.lane) else {
            // No record of it: it has run since its first turn, for what is known.
            let run = self.view(frame.view).run_ns;
            return match run.filter(|run| *run < self.now) {
                Some(run) => Spot::After(run),
                None => Spot::Before,
            };
        };
        match (lane.at(self.now), lane.until_ns()) {
            (Some(piece), _) => Spot::Inside(piece),
            (None, Some(until)) if until < self.now => Spot::After(until),
            _ => Spot::Before,
        }
    }

    /// Puts a piece in front, back to a time.
    fn emit(&mut self, frame: &Frame, lo: u64, state: State, words: Words) {
        let tid = self.tid(frame);
        self.emit_as(frame.view, tid, lo.max(frame.floor), state, words);
    }

    fn emit_as(&mut self, view: usize, tid: u32, lo: u64, state: State, words: Words) {
        if lo >= self.now {
            return;
        }
        *self.path_ns.entry(state).or_default() += self.now - lo;
        // Cut where phases change, and put together where nothing does; backwards, as the walk goes.
        let floor = lo;
        while self.now > floor {
            let (phase, since) = match self.phase(view, self.now) {
                Some((phase, since)) => (Some(phase), since.max(floor)),
                None => (None, floor),
            };
            let lo = since.min(self.now - 1);
            let (hi, words) = (self.now, words.clone());
            if let Some(seen) = self.views.get_mut(view) {
                seen.share.add(state, phase, hi - lo);
            }
            self.steps.push(Step { lo, hi, view, tid, state, words, phase, all: None });
            self.now = lo;
        }
    }

    fn walk(&mut self, base: Frame, origin_ns: u64) {
        self.frames.push((base, None));
        for _ in 0..MAX_STEPS {
            let Some((frame, _)) = self.frames.last() else { return };
            let frame = *frame;
            if self.now <= frame.floor {
                self.frames.pop();
                continue;
            }
            if let Some(lane) = self.was(&frame) {
                self.turn_to(Frame { lane, ..frame });
                continue;
            }
            let tasks = self.tasks(frame.view);
            match self.spot(&tasks, &frame) {
                Spot::Before => self.before(frame),
                Spot::After(until) => {
                    let ended = tasks.lanes.get(frame.lane).is_some_and(|lane| lane.ended_ns.is_some());
                    self.after(frame, until, ended);
                }
                Spot::Inside(piece) => match &*piece {
                    Piece::Sums { since_ns, until_ns, sums } => {
                        let lo = (*since_ns).max(frame.floor);
                        let part = sums.share(self.now - lo, until_ns - since_ns);
                        self.emit_sums(&frame, &part);
                    }
                    Piece::Wait(wait) => self.wait(frame, wait),
                },
            }
        }
        self.frames.truncate(1);
        if let Some((frame, _)) = self.frames.pop() {
            self.emit(
                &Frame { floor: origin_ns, ..frame },
                origin_ns,
                State::Unknown,
                Words::Fixed("too long to follow"),
            );
        }
    }

    /// The thread that the task was until just then.
    fn was(&self, frame: &Frame) -> Option<usize> {
        self.look(frame.view, |told| {
            let lanes = &told.tasks.lanes;
            let taken = lanes.get(frame.lane)?.taken_over.iter().find(|(from, _)| *from == self.now)?;
            let begin = lanes.get(taken.1)?.begin_ns()?;
            (begin < self.now && taken.1 != frame.lane).then_some(taken.1)
        })
    }

    /// The task of the top frame becomes another.
    fn turn_to(&mut self, frame: Frame) {
        if let Some((top, _)) = self.frames.last_mut() {
            *top = frame;
        }
    }

    /// What is known by its sums, the running part last.
    fn emit_sums(&mut self, frame: &Frame, sums: &super::tasks::Sums) {
        let mut parts: Vec<(State, u64)> = sums.iter().collect();
        parts.sort_small_by_key(|(state, _)| *state);
        for (state, ns) in parts {
            let words = match state {
                State::Blocked(_) | State::Other(_) => Words::Fixed("short waits"),
                _ => Words::None,
            };
            self.emit(frame, self.now.saturating_sub(ns), state, words);
        }
    }

    fn wait(&mut self, frame: Frame, wait: &Waited) {
        let told = wait.told();
        let rival = || match told.rival.as_ref().filter(|_| !told.back_unseen) {
            Some(Rival { pid, comm, held_ns }) => {
                let since_ns = held_ns.map(|ns| wait.back_ns.saturating_sub(ns));
                Words::Rival(*pid, comm.as_str().into(), since_ns)
            }
            None => Words::None,
        };
        if self.now > wait.wake_ns {
            return self.emit(&frame, wait.wake_ns, State::Runnable, rival());
        }
        if told.state == State::Runnable {
            return self.emit(&frame, wait.off_ns, State::Runnable, rival());
        }
        let words = || told.detail.clone().map_or(Words::None, Words::Said);
        if self.now == wait.wake_ns
            && self.frames.len() < MAX_DEPTH
            && let Some((next, acted_ns)) = self.waker(&frame, wait, &told)
        {
            self.emit(&frame, acted_ns, told.state, words());
            let tid = self.tid(&frame);
            let within = Within { view: frame.view, tid, state: told.state, words: words() };
            self.frames.push((next, Some(within)));
            return;
        }
        self.emit(&frame, wait.off_ns, told.state, words());
    }

    /// The task that ended a wait, if it can be followed, and when it did its part.
    fn waker(&mut self, frame: &Frame, wait: &Waited, told: &waited::Told) -> Option<(Frame, u64)> {
        let (pid, tid) = told.waker?;
        let view = self.find(pid, self.now)?;
        let next = Frame { view, lane: self.place(view, tid)?, floor: wait.off_ns.max(frame.floor) };
        let tasks = self.tasks(view);
        let piece = match self.spot(&tasks, &next) {
            Spot::Inside(piece) => Some(piece),
            Spot::Before | Spot::After(_) => None,
        };
        let Some(Piece::Wait(off)) = piece.as_deref().filter(|piece| self.now < piece.until_ns()) else {
            return Some((next, self.now));
        };
        // Nobody saw it get its CPU, but here is what it did there.
        if off.told().back_unseen {
            return Some((next, self.now));
        }
        // What it had sent before it left its CPU was still on the way: delivered by somebody else.
        let sent = told.woken_by.as_ref().is_some_and(|by| by.kind == "softirq");
        (sent && off.off_ns > next.floor).then_some((next, off.off_ns))
    }

    /// The lane of a task; of a process's first task also where it has no record yet.
    fn place(&self, view: usize, tid: u32) -> Option<usize> {
        let View { id, end_ns, .. } = self.view(view);
        if self.now > end_ns {
            return None;
        }
        match self.tasks(view).lane(tid) {
            None if tid == id.pid => Some(usize::MAX),
            lane => lane,
        }
    }

    /// Is it off its CPU at that time, by its own records?
    fn waits(&self, frame: &Frame) -> bool {
        let tasks = self.tasks(frame.view);
        let waits = |piece: &Piece| matches!(piece, Piece::Wait(wait) if self.now < wait.back_ns);
        matches!(self.spot(&tasks, frame), Spot::Inside(piece) if waits(&piece))
    }

    fn after(&mut self, frame: Frame, until: u64, ended: bool) {
        let base = self.frames.len() == 1 && frame.view == 0;
        let (state, words) = match (ended, base) {
            // Its memory and files are given back.
            (true, false) => (State::Running, Words::Fixed("ending")),
            (true, true) => (State::Exited, Words::None),
            (false, false) => (State::Running, Words::None),
            (false, true) => (State::Unknown, Words::None),
        };
        self.emit(&frame, until, state, words);
    }

    /// Before a task's first record.
    fn before(&mut self, frame: Frame) {
        let View { origin_ns: origin, creator, id: Id { pid, .. }, .. } = self.view(frame.view);
        let leader = frame.lane == usize::MAX || {
            self.tasks(frame.view).lanes.get(frame.lane).is_some_and(|lane| lane.tid == pid)
        };
        if !leader {
            return self.thread_born(frame);
        }
        if self.now > origin {
            let (name, since) = self.phase(frame.view, self.now).unwrap_or(("", origin));
            let state = match name {
                "fork" => State::Creating,
                "schedule" => State::Runnable,
                _ => State::Unknown,
            };
            return self.emit(&frame, since.max(origin).min(self.now - 1), state, Words::None);
        }
        // Its creator was at work on it.
        let Some((id, tid)) = creator else { return self.give_up(frame) };
        let next = self.find(id.pid, self.now).and_then(|view| {
            let next = Frame { view, lane: self.place(view, tid)?, ..frame };
            (self.view(view).id == id && !self.waits(&next)).then_some(next)
        });
        match next {
            Some(next) => self.turn_to(next),
            None => self.give_up(frame),
        }
    }

    /// A thread's creation is not told. Some thread of the process that was not waiting then made it; if
    /// all were, it had been made before, and waited for its first turn.
    fn thread_born(&mut self, frame: Frame) {
        let tasks = self.tasks(frame.view);
        let pid = self.view(frame.view).id.pid;
        let leader = tasks.lane(pid);
        let runs = |lane: &usize| {
            let next = Frame { lane: *lane, ..frame };
            *lane != frame.lane && matches!(self.spot(&tasks, &next), Spot::Inside(_)) && !self.waits(&next)
        };
        if let Some(lane) = leader.into_iter().chain(0..tasks.lanes.len()).find(runs) {
            return self.turn_to(Frame { lane, ..frame });
        }
        if self.frames.len() == 1 {
            return self.turn_to(Frame { lane: leader.unwrap_or(usize::MAX), ..frame });
        }
        self.emit(&frame, frame.floor, State::Runnable, Words::Fixed("waiting for its first turn"));
    }

    /// What woke the task cannot be followed further back: the rest of the wait is all that is known.
    fn give_up(&mut self, frame: Frame) {
        match self.frames.pop() {
            Some((_, Some(within))) => {
                self.emit_as(within.view, within.tid, frame.floor, within.state, within.words);
            }
            _ => self.emit(&frame, frame.floor, State::Unknown, Words::None),
        }
    }

    /// From steps to segments.
    fn finish(mut self, subject: &Subject<'_>) -> Path {
        let steps = std::mem::take(&mut self.steps).finish();
        let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
        for (&state, &ns) in &self.path_ns {
            *by_name.entry(self.builder.state_name(state).into_owned()).or_default() += ns;
        }
        let folds = self.folds(&steps);
        let segments = steps
            .iter()
            .zip(folds)
            .map(|(step, folded)| Segment { folded, ..self.segment(step, subject.origin_ns) })
            .collect();
        Path { segments, path_ns: by_name, cut: self.missed.get() }
    }

    fn segment(&self, step: &Step, origin_ns: u64) -> Segment {
        let holder = match (&step.all, &step.words) {
            (None, Words::Rival(pid, comm, since_ns)) => {
                Some(words::holder(*pid, comm, *since_ns, step.lo, step.hi))
            }
            _ => None,
        };
        let detail = match (&step.all, &step.words) {
            (None, Words::None) => None,
            (None, Words::Said(text)) => Some(text.to_string()),
            (None, Words::Rival(..)) => holder.as_ref().map(|holder| words::had(holder, step.hi - step.lo)),
            (None, Words::Fixed(text)) => Some((*text).to_owned()),
            (Some(all), _) => {
                let mut sums: BTreeMap<State, u64> = BTreeMap::new();
                all.states.iter().for_each(|((_, state), ns)| *sums.entry(*state).or_default() += ns);
                let mut sums: Vec<_> = sums.into_iter().collect();
                sums.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
                let parts: Vec<String> = sums
                    .iter()
                    .take(4)
                    .map(|(state, ns)| format!("{} ns {}", ns, self.builder.state_name(*state)))
                    .collect();
                Some(format!("{} short pieces: {}", all.n, parts.join(", ")))
            }
        };
        let view = self.view(step.view);
        Segment {
            at_ns: step.lo - origin_ns,
            duration_ns: step.hi - step.lo,
            start_id: view.id.start(view.seq),
            tid: step.tid,
            phase: step.phase.map(str::to_owned),
            state: self.builder.state_name(step.state).into_owned(),
            detail,
            holder,
            folded: None,
        }
    }
}
