//! From events to starts: one timeline per process start.
//!
//! [`Builder`] takes events in order of time and gives out finished starts. It is pure: what it has
//! to ask about the machine goes through [`world::World`]. Memory grows with the processes that are
//! alive, not with those that were.

pub mod groups;
pub mod phases;
pub mod place;
mod process;
pub mod replay;
pub mod select;
mod start;
pub mod world;

use crate::event::{CgroupId, Event, Exec, Fork, Id, What};
use crate::method::facts::{Creation, Fd, Image};
use crate::trace::schema::{self, FailedFork, Origin, ProcessRef, Start};
use process::{Ended, ExecMark, MAX_EXECS, OpenStart, Process, Program};
use select::Selectors;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use world::{ImageKey, Known, World};

/// A process that was created less than this before the recording began is taken to be in the
/// middle of its start. (Without having seen it, nothing tells for sure.)
const YOUNG_NS: u64 = 1_000_000_000;

/// A failed exec outside of a start belongs to the exec in place that follows within this time.
const SAME_WALK_NS: u64 = 20_000_000;

/// A copy that ended without an exec, or a start with a pipe, is held back for so long: its siblings may
/// still show that it was one of a pool or of a pipeline.
const HOLD_NS: u64 = 100_000_000;

/// How the recording is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When the probes were live, boottime nanoseconds.
    pub began_ns: u64,
    /// What to add to boottime to get the wall clock.
    pub realtime_offset_ns: u64,
    /// The longest start; `None`: until exit or the end of the recording.
    pub window_ns: Option<u64>,
    /// Which processes the recording is about.
    pub selectors: Selectors,
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

/// Ways in which the builder itself can miss something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// Processes whose exit was not seen (their pid came back as another process).
    pub exits: u64,
    /// Processes whose creation falls into the recording but was not seen.
    pub forks: u64,
    /// Execs beyond the number that one start keeps.
    pub execs: u64,
}

/// Builds starts from events.
pub struct Builder {
    options: Options,
    processes: HashMap<Id, Process>,
    /// The living, by pid.
    by_pid: HashMap<u32, Id>,
    cgroups: HashMap<CgroupId, Rc<str>>,
    /// Starts by the end of their window; stale entries are passed over.
    deadlines: VecDeque<(u64, Id, u32)>,
    /// Finished starts whose siblings are not all known, by the time at which they are given out.
    held: VecDeque<(u64, Id, start::Built)>,
    groups: groups::Groups,
    out: Vec<Output>,
    /// What was missed so far.
    pub missed: Missed,
}

impl Builder {
    /// An empty one.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            processes: HashMap::new(),
            by_pid: HashMap::new(),
            cgroups: HashMap::new(),
            deadlines: VecDeque::new(),
            held: VecDeque::new(),
            groups: groups::Groups::default(),
            out: Vec::new(),
            missed: Missed::default(),
        }
    }

    /// Takes out what is finished.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Output> {
        self.out.drain(..)
    }

    /// Starts in progress.
    pub fn in_progress(&self) -> usize {
        self.processes.values().filter(|process| process.start.is_some()).count()
    }

    /// Processes that are remembered.
    pub fn remembered(&self) -> usize {
        self.processes.len()
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
        match what {
            What::Cgroup { cgroup, path } => {
                self.cgroups.insert(cgroup, path.into());
            }
            What::Fork(fork) => self.fork(time_ns, id, &fork, world),
            What::Run { wakeup_ns } => {
                if let Some(start) = self.start_of(id) {
                    start.wakeup_ns = wakeup_ns;
                    start.run_ns = Some(time_ns);
                    start.observed_ns.get_or_insert(wakeup_ns.unwrap_or(time_ns));
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
            What::ForkFail { entry_ns, errno, call } => {
                if !self.processes.contains_key(&id) {
                    self.adopt(id, world);
                }
                if self.is_selected(id) {
                    let by = self.reference(id);
                    self.out.push(Output::FailedFork(FailedFork {
                        boottime_ns: entry_ns.unwrap_or(time_ns),
                        duration_ns: entry_ns.map(|entry| time_ns.saturating_sub(entry)),
                        by,
                        primitive: start::call_name(call).map(str::to_owned),
                        error: errno_name(errno),
                    }));
                }
            }
            What::Exit {
                status,
                uid,
                gid,
                comm,
                session_leader,
                has_tty,
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
        held || self.deadlines.front().is_some_and(|(deadline, ..)| *deadline <= now_ns)
    }

    /// Lets time pass: ends the starts whose window is over.
    pub fn tick(&mut self, now_ns: u64, world: &mut dyn World) {
        while self.held.front().is_some_and(|(until, ..)| *until <= now_ns) {
            let Some((until, id, built)) = self.held.pop_front() else { break };
            self.release(id, built, until);
        }
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
        let mut open: Vec<(u64, Id)> = self
            .processes
            .iter()
            .filter_map(|(id, process)| Some((process.start.as_ref()?.origin_ns, *id)))
            .collect();
        open.sort_unstable();
        for (_, id) in open {
            self.finish(id, now_ns, start::End::Recording, world);
        }
        while let Some((_, id, built)) = self.held.pop_front() {
            self.release(id, built, now_ns);
        }
        std::mem::take(&mut self.groups).finish()
    }

    /// Does a selector pick a running process, or one above it?
    fn picks(&self, id: Id, world: &mut dyn World) -> bool {
        let selectors = &self.options.selectors;
        let Some(known) = world.process(id) else { return false };
        let subject = select::Subject {
            uid: known.uid,
            comm: &known.comm,
            exe: known.exe.as_deref(),
            cgroup: known.cgroup.as_deref(),
        };
        selectors.matches(&subject) || world.ancestors(id).iter().any(|kin| selectors.matches(&kin.into()))
    }

    fn start_of(&mut self, id: Id) -> Option<&mut OpenStart> {
        self.processes.get_mut(&id)?.start.as_mut()
    }

    /// Remembers a process whose creation was not seen.
    fn adopt(&mut self, id: Id, world: &mut dyn World) {
        let known = world.process(id).unwrap_or_default();
        let Known { comm, exe, argv, cwd, dev, inode, uid, gid, ns_pid, cgroup, ppid } = known;
        let binary =
            exe.as_ref().and_then(|exe| world.image(&ImageKey { pid: id.pid, exe: exe.clone(), dev, inode }));
        let image = image(exe, argv, &comm, None, binary.as_ref(), dev, inode);
        let process = Process {
            comm,
            ns_pid,
            uid,
            gid,
            cwd,
            cgroup_path: cgroup,
            program: Rc::new(Program { image, binary, argv_bytes: None, argv_truncated: false }),
            creator: ppid.and_then(|pid| self.by_pid.get(&pid).copied()),
            next_seq: 1,
            ..Process::default()
        };
        self.insert(id, process, world);
        self.note_selected(id);
        // What descends from a root that ran before is as much of it, whether that root has shown
        // itself by now or not.
        if !self.is_selected(id)
            && world.ancestors(id).iter().any(|kin| self.options.selectors.matches(&kin.into()))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.selected = true;
        }
    }

    fn insert(&mut self, id: Id, process: Process, world: &mut dyn World) {
        let now = process.created_ns.unwrap_or(id.birth_ns);
        if let Some(old) = self.by_pid.insert(id.pid, id)
            && old != id
            && self.processes.get(&old).is_some_and(|old| old.ended.is_none())
        {
            // Its exit was not seen, but a pid is given anew only after it.
            self.missed.exits += 1;
            if self.start_of(old).is_some() {
                self.finish(old, now, start::End::Lost, world);
            }
            self.bury(old, now, false);
        }
        self.processes.insert(id, process);
    }

    /// Opens the start of a process that was in the middle of it when the recording began.
    fn open_partial(&mut self, id: Id) {
        let began_ns = self.options.began_ns;
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.start.is_some() || process.created_ns.is_some() || process.last.is_some() {
            return;
        }
        process.start = Some(OpenStart {
            seq: 0,
            origin_ns: began_ns.max(id.birth_ns),
            origin: Origin::RecordingBegan,
            partial: true,
            in_place: false,
            wakeup_ns: None,
            run_ns: None,
            observed_ns: None,
            execs: Vec::new(),
            parent: None,
            peer: None,
        });
        self.set_deadline(id, began_ns.max(id.birth_ns), 0);
    }

    fn set_deadline(&mut self, id: Id, origin_ns: u64, seq: u32) {
        if let Some(window) = self.options.window_ns {
            self.deadlines.push_back((origin_ns.saturating_add(window), id, seq));
        }
    }

    fn fork(&mut self, time_ns: u64, id: Id, fork: &Fork, world: &mut dyn World) {
        if !self.processes.contains_key(&fork.creator) {
            self.adopt(fork.creator, world);
        }
        let (origin_ns, origin) = match fork.entry {
            Some(crate::event::Entry::Exact(ns)) => (ns, Origin::Entry),
            Some(crate::event::Entry::MmAlloc(ns)) => (ns, Origin::MmAlloc),
            None => (id.birth_ns.min(time_ns), Origin::TaskCreated),
        };
        let origin_ns = origin_ns.min(time_ns);
        let peer = fork.peer.map(|(pid, ns)| (pid, ns, self.by_pid.get(&pid).copied()));
        let Some(creator) = self.processes.get_mut(&fork.creator) else { return };
        creator.forks += 1;
        if creator.execs == 0 {
            creator.forks_before_exec += 1;
        }
        creator.open_children += 1;
        creator.kids.forked(id, time_ns);
        let program = creator.program.clone();
        let creation = Rc::new(creation(fork, creator.stdio));
        let process = Process {
            comm: fork.comm.clone(),
            ns_pid: Some(fork.ns_pid),
            uid: Some(fork.uid),
            gid: Some(fork.gid),
            cwd: creator.cwd.clone(),
            cgroup: Some(fork.cgroup),
            creator: Some(fork.creator),
            creation: Some(creation),
            created_ns: Some(time_ns),
            stdio: fork.stdio,
            first_pipe_fd: fork.first_pipe_fd,
            selected: creator.selected || fork.root,
            program: program.clone(),
            next_seq: 1,
            start: Some(OpenStart {
                seq: 0,
                origin_ns,
                origin,
                partial: false,
                in_place: false,
                wakeup_ns: None,
                run_ns: None,
                observed_ns: None,
                execs: Vec::new(),
                parent: Some(program),
                peer,
            }),
            ..Process::default()
        };
        self.insert(id, process, world);
        self.set_deadline(id, origin_ns, 0);
    }

    fn exec(&mut self, time_ns: u64, id: Id, exec: Exec, world: &mut dyn World) {
        if !self.processes.contains_key(&id) {
            self.adopt(id, world);
            // Created within the recording, or just before: its start was under way.
            if id.birth_ns >= self.options.began_ns {
                self.missed.forks += 1;
                self.open_partial(id);
            } else if self.options.began_ns - id.birth_ns < YOUNG_NS {
                self.open_partial(id);
            }
        }
        let binary = exec.exe.as_ref().and_then(|exe| {
            let (dev, inode) = (exec.dev, exec.inode);
            world.image(&ImageKey { pid: id.pid, exe: exe.clone(), dev, inode })
        });
        let Some(process) = self.processes.get_mut(&id) else { return };
        let script = if exec.interpreter.is_some() { exec.path.clone() } else { None };
        let image = image(exec.exe, exec.argv, &exec.comm, script, binary.as_ref(), exec.dev, exec.inode);
        let program = Rc::new(Program {
            image,
            binary,
            argv_bytes: Some(exec.argv_bytes),
            argv_truncated: exec.argv_truncated,
        });
        let mark = ExecMark {
            entry: exec.entry,
            prepare_ns: exec.prepare_ns,
            done_ns: time_ns,
            path: exec.path,
            interpreter: exec.interpreter,
            error: None,
            program: Some(program.clone()),
            by_thread: exec.old_tid != id.pid,
            tid: Some(exec.old_tid),
            stdio: exec.stdio,
            session_leader: Some(exec.session_leader),
            has_tty: Some(exec.has_tty),
            fd3: exec.fd3,
            ignored: Some(exec.ignored),
        };
        let replaced = std::mem::replace(&mut process.program, program);
        process.comm = exec.comm;
        process.cwd = exec.cwd.or(process.cwd.take());
        process.uid = Some(exec.uid);
        process.gid = Some(exec.gid);
        process.ns_pid = Some(exec.ns_pid);
        process.cgroup = Some(exec.cgroup);
        process.execs += 1;
        process.kids = process::Kids::default();
        process.method = None;
        process.session_leader = Some(exec.session_leader);
        process.has_tty = Some(exec.has_tty);
        process.stdio = exec.stdio;
        process.ignored = Some(exec.ignored);
        process.null_on_pipe = None;
        let creator = process.creator;
        let stdio = process.stdio;
        let first = process.execs == 1;

        let mut opened = None;
        match &mut process.start {
            Some(start) if start.execs.len() >= MAX_EXECS => self.missed.execs += 1,
            Some(start) => {
                start.observed_ns.get_or_insert(mark.entry_ns().unwrap_or(mark.done_ns));
                start.execs.push(mark);
            }
            None => {
                // The failed tries of the same walk belong to it.
                let mut execs: Vec<ExecMark> = Vec::new();
                let mut since = mark.entry_ns().unwrap_or(mark.done_ns);
                while let Some(loose) = process.loose_execs.pop_back() {
                    if since.saturating_sub(loose.done_ns) > SAME_WALK_NS {
                        break;
                    }
                    since = loose.entry_ns().unwrap_or(loose.done_ns);
                    execs.push(loose);
                }
                process.loose_execs.clear();
                execs.reverse();
                let origin = match (execs.first().unwrap_or(&mark).entry, mark.prepare_ns) {
                    (Some(crate::event::Entry::Exact(_)), _) => Origin::Entry,
                    (Some(crate::event::Entry::MmAlloc(_)), _) => Origin::MmAlloc,
                    (None, _) => Origin::ImageInPlace,
                };
                execs.push(mark);
                let seq = process.next_seq;
                process.next_seq += 1;
                process.start = Some(OpenStart {
                    seq,
                    origin_ns: since,
                    origin,
                    partial: false,
                    in_place: true,
                    wakeup_ns: None,
                    run_ns: None,
                    observed_ns: None,
                    execs,
                    parent: Some(replaced),
                    peer: None,
                });
                opened = Some((since, seq));
            }
        }
        if let Some((since, seq)) = opened {
            self.set_deadline(id, since, seq);
        }
        if let Some(creator) = creator.and_then(|creator| self.processes.get_mut(&creator)) {
            if first {
                creator.kids.execed(id);
            }
            creator.kids.stdio(id, &stdio);
        }
        self.note_selected(id);
    }

    fn exec_failed(&mut self, id: Id, mark: ExecMark, world: &mut dyn World) {
        if !self.processes.contains_key(&id) {
            self.adopt(id, world);
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        match &mut process.start {
            Some(start) if start.execs.len() >= MAX_EXECS => self.missed.execs += 1,
            Some(start) => {
                start.observed_ns.get_or_insert(mark.entry_ns().unwrap_or(mark.done_ns));
                start.execs.push(mark);
            }
            None => {
                if process.loose_execs.len() >= MAX_EXECS {
                    process.loose_execs.pop_front();
                }
                process.loose_execs.push_back(mark);
            }
        }
    }

    fn exit(&mut self, time_ns: u64, id: Id, status: u32, world: &mut dyn World) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let creator = process.creator;
        let execless = process.execs == 0;
        let stdio = process.stdio;
        if let Some(creator) = creator.and_then(|creator| self.processes.get_mut(&creator)) {
            if execless {
                creator.kids.stdio(id, &stdio);
            }
            creator.kids.ended(id, time_ns);
        }
        if self.start_of(id).is_some() {
            self.finish(id, time_ns, start::End::Exit(status), world);
        } else if self.is_selected(id)
            && let Some(last) = self.processes.get(&id).and_then(|process| process.last.clone())
        {
            let exit = start::exit(status, time_ns.saturating_sub(last.origin_ns));
            self.out.push(Output::Exit { start_id: last.start_id, exit });
        }
        self.bury(id, time_ns, status == 0);
    }

    /// Forgets a process that has ended, unless a child's start still needs it.
    fn bury(&mut self, id: Id, at_ns: u64, ok: bool) {
        if self.by_pid.get(&id.pid) == Some(&id) {
            self.by_pid.remove(&id.pid);
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.ended = Some(Ended { at_ns, ok });
        }
        self.forget_if_done(id);
    }

    fn forget_if_done(&mut self, id: Id) {
        let done = |process: &Process| {
            process.ended.is_some() && process.start.is_none() && process.open_children == 0
        };
        if self.processes.get(&id).is_some_and(done) {
            self.processes.remove(&id);
        }
    }

    /// Gives a start out.
    fn finish(&mut self, id: Id, end_ns: u64, end: start::End, world: &mut dyn World) {
        let live = !matches!(end, start::End::Exit(_) | start::End::Lost);
        if live
            && let Some(status) = world.status(id, self.processes.get(&id).and_then(|p| p.first_pipe_fd))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.ignored = Some(status.ignored);
            process.null_on_pipe = status.null_on_pipe;
            process.comm = status.comm;
            process.uid = status.uid.or(process.uid);
            process.gid = status.gid.or(process.gid);
            process.session_leader = Some(status.session_leader);
            process.has_tty = Some(status.has_tty);
            process.stdio = status.stdio;
        }
        self.note_selected(id);
        let selected = self.is_selected(id);
        let Some(built) = self.build(id, end_ns, end) else { return };
        if let Some(process) = self.processes.get_mut(&id) {
            process.method = Some(built.method.clone());
            process.last = Some(built.finished.clone());
            process.start = None;
        }
        // A copy without an exec may turn out to be one of many, and one with a pipe part of a pipeline.
        let copy = built.start.execs.is_empty() && built.start.parent.is_some();
        if (copy || crate::method::may_be_piped(&built.facts)) && !live && selected {
            self.held.push_back((end_ns.saturating_add(HOLD_NS), id, built));
        } else {
            self.give_out(id, built, selected);
        }
    }

    /// Gives out what was held back, with the siblings as they are known now.
    fn release(&mut self, id: Id, mut built: start::Built, now_ns: u64) {
        if let Some(creator) = built.creator.and_then(|creator| self.processes.get_mut(&creator)) {
            let siblings = creator.kids.siblings(id, now_ns);
            if siblings != built.facts.siblings && creator.execs == built.creator_execs {
                built.facts.siblings = siblings;
                built.start.method = crate::method::classify(&built.facts);
            }
        }
        self.give_out(id, built, true);
    }

    fn give_out(&mut self, id: Id, built: start::Built, selected: bool) {
        if selected {
            let owner = built.owner.unwrap_or_default();
            let owner_start = self.processes.get(&owner).and_then(start::current_start_id);
            let owner_start = owner_start.map(|seq| format!("{owner}/{seq}"));
            self.groups.add(owner, owner_start.as_deref(), &built.start);
            self.out.push(Output::Start(Box::new(built.start)));
        }
        if let Some(creator) = built.creator {
            if let Some(process) = self.processes.get_mut(&creator) {
                process.open_children = process.open_children.saturating_sub(1);
            }
            self.forget_if_done(creator);
        }
        self.forget_if_done(id);
    }

    /// Does a selector pick the process as it is now?
    fn note_selected(&mut self, id: Id) {
        if self.options.selectors.is_empty() {
            return;
        }
        let Some(process) = self.processes.get(&id) else { return };
        let inherited = process
            .creator
            .and_then(|creator| self.processes.get(&creator))
            .is_some_and(|creator| creator.selected);
        let cgroup = self.cgroup_path(process);
        let subject = select::Subject {
            uid: process.uid,
            comm: &process.comm,
            exe: process.program.image.exe.as_deref(),
            cgroup: cgroup.as_deref(),
        };
        if (inherited || self.options.selectors.matches(&subject))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.selected = true;
        }
    }

    fn is_selected(&self, id: Id) -> bool {
        self.options.selectors.is_empty() || self.processes.get(&id).is_some_and(|process| process.selected)
    }

    fn cgroup_path(&self, process: &Process) -> Option<String> {
        match process.cgroup {
            Some(cgroup) => self.cgroups.get(&cgroup).map(|path| path.to_string()),
            None => process.cgroup_path.clone(),
        }
    }

    fn reference(&self, id: Id) -> ProcessRef {
        let process = self.processes.get(&id);
        ProcessRef {
            start_id: process.and_then(start::current_start_id).map(|seq| format!("{id}/{seq}")),
            id: Some(id.to_string()),
            pid: id.pid,
            comm: process.map(|process| process.comm.clone()),
        }
    }
}

fn image(
    exe: Option<String>,
    argv: Option<Vec<String>>,
    comm: &str,
    script: Option<String>,
    binary: Option<&schema::Binary>,
    dev: u32,
    inode: u64,
) -> Image {
    Image {
        exe,
        argv,
        comm: comm.to_owned(),
        script,
        runtime: binary.and_then(|b| b.runtime.clone()),
        linkage: binary.and_then(|b| b.linkage.clone()),
        interpreter: binary.and_then(|b| b.interpreter.clone()),
        build_id: binary.and_then(|b| b.build_id.clone()),
        file: (inode != 0).then_some((dev.into(), inode)),
    }
}

fn creation(fork: &Fork, image_stdio: [Fd; 3]) -> Creation {
    Creation {
        call: fork.call,
        flags: fork.flags,
        exit_signal: fork.exit_signal,
        stack_delta: fork.stack_delta,
        blocked: fork.blocked,
        ignored: fork.ignored,
        handled: fork.handled,
        by_thread: fork.creator_tid != fork.creator.pid,
        tid: Some(fork.creator_tid),
        parent_threads: fork.threads,
        kernel_parent: fork.kernel_parent,
        parent_session_leader: fork.session_leader,
        parent_is_other: fork.real_parent != fork.creator,
        new_pid_namespace: fork.new_pid_ns,
        fresh_pipes: fork.fresh_pipes,
        fresh_pipes_cloexec: fork.fresh_pipes_cloexec,
        stdio: fork.stdio,
        image_stdio,
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
    use super::world::Replay;
    use super::*;

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
