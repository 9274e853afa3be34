//! From events to starts: one timeline per process start.
//!
//! [`Builder`] takes events in order of time and gives out finished starts. It is pure: what it has
//! to ask about the machine goes through [`world::World`]. Memory grows with the processes that are
//! alive, not with those that were.

mod account;
mod apply;
mod connects;
mod files;
mod finish;
pub mod groups;
mod imports;
mod kids;
pub mod left;
mod linking;
pub mod live;
mod past;
mod path;
pub mod phases;
mod picked;
pub mod place;
mod process;
mod profile;
pub mod ready;
pub mod replay;
mod row;
mod runtime;
pub mod select;
mod shelf;
mod spill;
mod standing;
mod start;
pub(crate) mod syscall;
mod tasks;
mod waited;
mod words;
pub mod world;

pub use crate::aside::Scratch;

use crate::event::{CgroupId, Event, Id, What};
use crate::hash::{HashMap, HashSet};
use crate::method::arch::Arch;
use crate::method::facts::Facts;
use crate::redact::Redactor;
use crate::sort::SortSmall;
use crate::trace::schema::{self, FailedFork, ProcessRef, Start};
use apply::YOUNG_NS;
use process::{ExecMark, OpenStart, Process};
use select::Selectors;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use world::World;

/// So many windows are kept before those of starts that are over are looked for: most are over long before.
const MANY_DEADLINES: usize = 1024;

/// How the recording is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The machine's architecture.
    pub arch: Arch,
    /// When the probes were live, boottime nanoseconds.
    pub began_ns: u64,
    /// What to add to boottime to get the wall clock.
    pub realtime_offset_ns: u64,
    /// The longest start; `None`: until exit or the end of the recording.
    pub window_ns: Option<u64>,
    /// Which processes the recording is about.
    pub selectors: Selectors,
    /// How closely it looks.
    pub level: crate::level::Level,
    /// What makes a start finished.
    pub ready: ready::rule::Rules,
    /// How long a tree has to be quiet; 0: [`ready::QUIET_NS`].
    pub quiet_ns: u64,
    /// How long a copy that is ready is held back for a sibling to show that it is one of a master's workers; see
    /// [`finish`].
    pub patience_ns: u64,
    /// Samples a second of what is on a CPU; 0: none.
    pub profile_hz: u32,
    /// Replaces credentials in arguments; `None`: they are kept.
    pub redactor: Option<Rc<Redactor>>,
    /// Variables of the environment that are kept.
    pub env: Vec<String>,
}

/// What the builder gives out.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A start is finished.
    Start(Box<Start>),
    /// A process ended whose start was given out before.
    Exit {
        /// That start.
        start_id: String,
        /// How it ended.
        exit: schema::Exit,
    },
    /// A fork failed.
    FailedFork(FailedFork),
}

/// Where the start of the command stands that the recording began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CommandStart {
    /// Under way, or not begun.
    #[default]
    Open,
    /// It is ready.
    Ready,
    /// It ended.
    Ended,
    /// Its window ended first.
    TimedOut,
}

/// Ways in which the builder itself can miss something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// Processes whose exit was not seen (their pid came back as another process).
    pub exits: u64,
    /// Processes whose creation falls into the recording but was not seen.
    pub forks: u64,
    /// Execs beyond the number that one start keeps.
    pub execs: u64,
    /// Critical paths that lead into starts which had to be forgotten to save memory.
    pub paths: u64,
}

/// Builds starts from events.
pub struct Builder {
    options: Options,
    processes: HashMap<Id, Process>,
    /// Those with a start in progress: few of many.
    open: HashSet<Id>,
    /// The living, by pid.
    by_pid: HashMap<u32, Id>,
    /// Of copies that were there before and of which nothing else was seen: who made them, by pid.
    met: HashMap<u32, Id>,
    cgroups: HashMap<CgroupId, Rc<str>>,
    /// Starts by the end of their window; stale entries are passed over, and go when there are `prune_at` of them.
    deadlines: VecDeque<(u64, Id, u32)>,
    prune_at: usize,
    /// Finished starts whose siblings are not all known, by the time at which they are given out.
    held: VecDeque<(u64, Id, start::Built)>,
    groups: groups::Groups,
    /// Finished starts that critical paths may lead through.
    past: past::Past,
    /// Pieces of time that are kept, of starts in progress.
    pieces: usize,
    /// Where those go that are long ago.
    spill: Option<Rc<spill::Spill>>,
    /// Processes that were asked at the end of the recording what they do.
    asked_standing: u32,
    /// What is finished; a start with many waits, or a long path, has them written down.
    out: Vec<(Output, Option<shelf::Shelf>)>,
    /// Starts by the time at which they may have come to rest; stale entries are passed over.
    due: BinaryHeap<Reverse<(u64, Id, u32)>>,
    /// Of the rules that have one.
    patterns: Vec<Option<regex_lite::Regex>>,
    /// Processes whose start is finished and that go on.
    settled: Vec<(Id, u64)>,
    /// Which of the rules for readiness have held for some start.
    rules_met: Vec<usize>,
    /// Starts that were asked at the end of the recording what they do.
    asked_at_end: u32,
    command: CommandStart,
    /// Which one that is.
    command_number: u32,
    /// The last mark: when, and whose.
    marking: Option<(u64, Id, u32)>,
    /// Up to where events and ticks have come.
    now_ns: u64,
    /// What the starts were named from, where that is asked for.
    facts: Option<Vec<Facts>>,
    /// What was missed so far.
    pub missed: Missed,
    /// Values in arguments that were replaced so far.
    pub redacted: u64,
}

impl Builder {
    /// An empty one.
    pub fn new(options: Options) -> Self {
        let pattern = |rule: &ready::rule::Rule| match &rule.kind {
            ready::rule::Kind::Output(Some(pattern)) => regex_lite::Regex::new(pattern).ok(),
            _ => None,
        };
        Self {
            due: BinaryHeap::new(),
            patterns: options.ready.list.iter().map(pattern).collect(),
            settled: Vec::new(),
            rules_met: Vec::new(),
            asked_at_end: 0,
            marking: None,
            command: CommandStart::default(),
            command_number: 0,
            now_ns: 0,
            options,
            processes: HashMap::default(),
            open: HashSet::default(),
            by_pid: HashMap::default(),
            met: HashMap::default(),
            cgroups: HashMap::default(),
            deadlines: VecDeque::new(),
            prune_at: MANY_DEADLINES,
            held: VecDeque::new(),
            groups: groups::Groups::default(),
            past: past::Past::default(),
            pieces: 0,
            spill: None,
            asked_standing: 0,
            out: Vec::new(),
            facts: None,
            missed: Missed::default(),
            redacted: 0,
        }
    }

    /// Puts what paths may need of starts that are over there as soon as it is much: a recording then has all of
    /// it, where without such room the oldest of it is forgotten. Three files of their own.
    pub fn keep_past_in(&mut self, scratch: [Box<dyn Scratch>; 3]) {
        self.past.keep_in(scratch);
    }

    /// Puts there what processes that go on did long ago.
    pub fn keep_rows_in(&mut self, scratch: Box<dyn Scratch>) {
        self.spill = Some(spill::Spill::new(scratch));
        self.past.keep_rows_in(self.spill.as_ref());
    }

    /// Keeps the facts of every start that is given out, for [`Self::take_facts`]: tests and benchmarks.
    pub(crate) fn keeping_facts(self) -> Self {
        Self { facts: Some(Vec::new()), ..self }
    }

    /// What the starts so far were named from, in the order in which they were given out.
    pub(crate) fn take_facts(&mut self) -> Vec<Facts> {
        self.facts.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes out what is finished.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.out.drain(..).map(|(mut output, shelf)| {
            if let (Output::Start(start), Some(shelf)) = (&mut output, shelf) {
                shelf.put_back(&mut start.timeline);
            }
            output
        })
    }

    /// Takes out the processes whose start is finished and that go on: nothing more has to be known of what their tasks do.
    /// With the time of the last event that had come by then: what they executed later is another start.
    pub fn settled(&mut self) -> std::vec::Drain<'_, (Id, u64)> {
        self.settled.drain(..)
    }

    /// Starts in progress.
    pub fn in_progress(&self) -> usize {
        self.open.len()
    }

    /// The same with their processes, in no order.
    fn open_starts(&self) -> impl Iterator<Item = (Id, &Process, &OpenStart)> {
        self.open.iter().filter_map(|id| {
            let process = self.processes.get(id)?;
            Some((*id, process, process.start.as_ref()?))
        })
    }

    /// A process that runs already when the recording begins and, if a selector picks it (or there is
    /// none), belongs to it.
    pub fn seed(&mut self, id: Id, world: &mut dyn World) {
        if !self.options.selectors.is_empty() && !self.picks(id, world) {
            return;
        }
        if !self.processes.contains_key(&id) {
            self.adopt(id, world);
        }
        let began_ns = self.options.began_ns;
        if began_ns.saturating_sub(id.birth_ns) < YOUNG_NS {
            self.open_partial(id);
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.selected = true;
        }
    }

    /// Takes the next event in.
    pub fn event(&mut self, event: Event, world: &mut dyn World) {
        let Event { time_ns, id, tid, what } = event;
        // While the probes were being attached, some saw what others missed.
        if time_ns < self.options.began_ns && !matches!(what, What::Cgroup { .. }) {
            return;
        }
        self.now_ns = self.now_ns.max(time_ns);
        match what {
            What::Cgroup { cgroup, path } => {
                self.cgroups.insert(cgroup, path.into());
            }
            What::Fork(fork) => self.fork(time_ns, id, &fork, world),
            What::Run { wakeup_ns, run_ns } => {
                if let Some(start) = self.start_of(id) {
                    start.wakeup_ns = wakeup_ns;
                    start.run_ns = run_ns;
                    start.observed_ns.get_or_insert(wakeup_ns.or(run_ns).unwrap_or(time_ns));
                }
            }
            What::Exec(exec) => self.exec(time_ns, id, *exec, world),
            What::ExecFail { entry_ns, errno, path } => {
                let mark = ExecMark {
                    entry: entry_ns.map(crate::event::Entry::Exact),
                    done_ns: time_ns,
                    path,
                    error: Some(errno.map_or_else(|| "unknown".to_owned(), errno_name)),
                    by_thread: tid != id.pid,
                    tid: Some(tid),
                    ..ExecMark::default()
                };
                self.exec_failed(id, mark, world);
            }
            What::Wait(_) | What::Mark(_) => {
                // How time was spent comes first: what follows may end the start.
                self.task(time_ns, id, tid, &what);
                match what {
                    What::Wait(wait) => self.wait_ended(time_ns, id, tid, &wait),
                    What::Mark(mark) => {
                        self.linking_mark(time_ns, id, &mark);
                        self.marked(time_ns, id, tid, &mark, world);
                    }
                    _ => {}
                }
            }
            What::Connect(connect) => self.connected(time_ns, id, tid, &connect),
            What::Sample(sample) => self.sample(time_ns, id, &sample, world),
            What::File(call) => self.file_call(time_ns, id, tid, &call),
            What::Files(sums) => self.file_sums(time_ns, id, &sums),
            What::Import(import) => self.import(time_ns, id, tid, &import),
            What::ForkFail { entry_ns, errno, call } => {
                if !self.processes.contains_key(&id) {
                    self.adopt(id, world);
                }
                if self.is_selected(id) {
                    let by = self.reference(id);
                    let failed = FailedFork {
                        boottime_ns: entry_ns.unwrap_or(time_ns),
                        duration_ns: entry_ns.map(|entry| time_ns.saturating_sub(entry)),
                        by,
                        primitive: start::call_name(call).map(str::to_owned),
                        error: errno_name(errno),
                    };
                    self.out.push((Output::FailedFork(failed), None));
                }
            }
            What::Signal { signal, by, comm } => {
                let by = ProcessRef { comm: Some(comm), ..self.reference(by) };
                if let Some(process) = self.processes.get_mut(&id) {
                    process.signalled = Some((signal, by));
                }
            }
            What::Exit {
                status,
                uid,
                gid,
                comm,
                session_leader,
                has_tty,
                group,
                foreground,
                stdio,
                ignored,
                written,
                null_on_pipe,
            } => {
                if !self.processes.contains_key(&id) {
                    self.adopt(id, world);
                }
                if let Some(process) = self.processes.get_mut(&id) {
                    process.comm = comm;
                    (process.uid, process.gid) = (Some(uid), Some(gid));
                    process.session_leader = Some(session_leader);
                    process.has_tty = Some(has_tty);
                    process.group = group;
                    process.foreground = foreground;
                    process.ignored = Some(ignored);
                    process.written = written;
                    process.null_on_pipe = null_on_pipe;
                    if stdio != [crate::method::facts::Fd::default(); 3] {
                        process.stdio = stdio;
                    }
                }
                self.exit(time_ns, id, status, world);
            }
        }
    }

    /// Would [`Self::tick`] do anything at that time?
    pub fn is_due(&self, now_ns: u64) -> bool {
        let held = self.held.front().is_some_and(|(until, ..)| *until <= now_ns);
        let quiet = self.look_due().is_some_and(|due| due <= now_ns);
        held || quiet || self.deadlines.front().is_some_and(|(deadline, ..)| *deadline <= now_ns)
    }

    /// Lets time pass: ends the starts whose window is over.
    pub fn tick(&mut self, now_ns: u64, world: &mut dyn World) {
        self.now_ns = self.now_ns.max(now_ns);
        while self.held.front().is_some_and(|(until, ..)| *until <= now_ns) {
            let Some((until, id, built)) = self.held.pop_front() else { break };
            match self.look_again(id, &built, until) {
                Some(later) => self.keep(later, id, built),
                None => self.release(id, built, until),
            }
        }
        self.look(now_ns, world);
        while let Some(&(deadline, id, seq)) = self.deadlines.front() {
            if deadline > now_ns {
                break;
            }
            self.deadlines.pop_front();
            let open = self.processes.get(&id).and_then(|process| process.start.as_ref());
            if open.is_some_and(|start| start.seq == seq) {
                self.finish(id, deadline, start::End::Window, world);
            }
        }
    }

    /// Ends all starts in progress and gives the pools.
    pub fn end(&mut self, now_ns: u64, world: &mut dyn World) -> Vec<schema::Group> {
        self.tick(now_ns, world);
        let mut open: Vec<(u64, Id)> =
            self.open_starts().map(|(id, _, start)| (start.origin_ns, id)).collect();
        open.sort_small_by(Ord::cmp);
        for (_, id) in open {
            self.finish(id, now_ns, start::End::Recording, world);
        }
        debug_assert!(self.open.is_empty() && self.processes.values().all(|process| process.start.is_none()));
        while let Some((_, id, built)) = self.held.pop_front() {
            self.release(id, built, now_ns);
        }
        // No path is asked for any more, and those who join findings need room.
        self.past = past::Past::default();
        std::mem::take(&mut self.groups).finish()
    }

    fn start_of(&mut self, id: Id) -> Option<&mut OpenStart> {
        self.processes.get_mut(&id)?.start.as_mut()
    }

    fn cgroup_path(&self, process: &Process) -> Option<String> {
        match process.cgroup {
            Some(cgroup) => self.cgroups.get(&cgroup).map(|path| path.to_string()),
            None => process.cgroup_path.clone(),
        }
    }

    /// Who sent the signal by which a process has ended.
    fn killer(&self, id: Id, status: u32) -> Option<ProcessRef> {
        let (signal, by) = self.processes.get(&id)?.signalled.as_ref()?;
        (status & 0x7f == *signal).then(|| by.clone())
    }

    fn reference(&self, id: Id) -> ProcessRef {
        let process = self.processes.get(&id);
        ProcessRef {
            start_id: process.and_then(start::current_start_id).map(|seq| id.start(seq)),
            id: Some(id.text()),
            pid: id.pid,
            comm: process.map(|process| process.comm.clone()),
        }
    }
}

/// `ENOENT` and the like; the number where it has no name.
fn errno_name(errno: i32) -> String {
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::process::MAX_EXECS;
    use super::world::{Answer, Known, Replay};
    use super::*;
    use crate::event::{Exec, Fork};
    use crate::method::facts::Call;
    use crate::trace::schema::Confidence;

    #[test]
    fn a_first_run_that_was_not_seen_is_not_invented() {
        let mut world = Replay::default();
        let id = Id { pid: 7, birth_ns: 5 };
        for (run_ns, want) in
            [(Some(30), &["fork", "schedule", "setup", "app"][..]), (None, &["fork", "schedule", "app"])]
        {
            let mut builder = Builder::new(Options::default());
            let mut at = |time_ns, what| builder.event(Event { time_ns, id, tid: 7, what }, &mut world);
            at(10, What::Fork(Box::default()));
            // Told as late as the exec.
            at(50, What::Run { wakeup_ns: Some(20), run_ns });
            at(50, What::Exec(Box::new(Exec { old_tid: 7, ..Exec::default() })));
            builder.end(90, &mut world);
            let Some(Output::Start(start)) = builder.drain().next() else { panic!("no start") };
            let phases = &start.timeline.phases;
            assert_eq!(phases.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), want);
            assert_eq!(phases[1].duration_ns, if run_ns.is_some() { 10 } else { 30 });
        }
    }

    /// The first copy that a master makes once it is followed.
    #[test]
    fn a_new_worker_is_known_by_those_that_ran_before() {
        const S: u64 = 1_000_000_000;
        let [master, first, second, new] =
            [(10, 1), (11, 2), (12, 3), (13, 11)].map(|(pid, born)| Id { pid, birth_ns: born * S });
        let confidence = |is_copy: Option<bool>, seeded: bool| {
            let known = |id: Id| Known {
                exe: Some("/usr/bin/served".to_owned()),
                argv: Some(vec!["served".to_owned()]),
                dev: 1,
                inode: 7,
                ppid: Some(if id == master { 1 } else { master.pid }),
                is_copy: if id == master { Some(false) } else { is_copy },
                ..Known::default()
            };
            let seeds = [master, first, second];
            let mut answers: VecDeque<_> = seeds.map(|id| Answer::Process(id, Some(known(id)))).into();
            answers.push_back(Answer::Copies(master, vec![first, second, new]));
            let mut world = Replay { answers };
            let mut builder = Builder::new(Options { began_ns: 10 * S, ..Options::default() });
            if seeded {
                seeds.into_iter().for_each(|id| builder.seed(id, &mut world));
            }
            let fork = Fork { creator: master, real_parent: master, call: Call::Fork, ..Fork::default() };
            let event = Event { time_ns: 11 * S, id: new, tid: 13, what: What::Fork(Box::new(fork)) };
            builder.event(event, &mut world);
            // One of those that were there, which is known to the tick if at all.
            let gone = Id { birth_ns: first.birth_ns + 7, ..first };
            if !seeded {
                builder.adopt(gone, &mut world);
            }
            builder.exit(12 * S, gone, 0, &mut world);
            builder.end(13 * S, &mut world);
            assert_eq!(builder.met.len(), if seeded { 0 } else { 1 });
            let found = builder.drain().find_map(|output| match output {
                Output::Start(start) if start.pid == new.pid => Some(start.method.clone()),
                _ => None,
            });
            let method = found.expect("a start of the new worker");
            (method.pattern.as_deref() == Some("prefork_worker")).then_some(method.confidence)
        };
        for seeded in [true, false] {
            assert_eq!(confidence(Some(true), seeded), Some(Confidence::Likely), "{seeded}");
        }
        // What has exec'd is another program, and what is not known is no evidence.
        assert_eq!((confidence(Some(false), true), confidence(None, true)), (None, None));
    }

    #[test]
    fn a_process_that_execs_for_ever_does_not_fill_the_memory() {
        let mut builder = Builder::new(Options::default());
        let mut world = Replay::default();
        let id = Id { pid: 7, birth_ns: 5 };
        let mut at = |time_ns, what| builder.event(Event { time_ns, id, tid: 7, what }, &mut world);
        at(10, What::Fork(Box::default()));
        for n in 0..MAX_EXECS as u64 + 100 {
            at(20 + n, What::Exec(Box::new(Exec { old_tid: 7, comm: format!("c{n}"), ..Exec::default() })));
        }
        builder.end(100_000, &mut world);
        assert_eq!(builder.missed.execs, 100);
        let Some(Output::Start(start)) = builder.drain().next() else { panic!("no start") };
        assert_eq!((start.execs.len(), start.comm.as_str()), (MAX_EXECS, "c1099"));
        assert_eq!(start.timeline.phase_ns.values().sum::<u64>(), start.timeline.duration_ns);
    }
}
