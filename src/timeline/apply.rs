//! What each event does to the processes that the builder remembers.

use super::linking::Linking;
use super::process::{Asker, Ended, ExecMark, MAX_EXECS, OpenStart, Process, Program, tried};
use super::tasks::Tasks;
use super::world::{ImageKey, Known, World};
use super::{Builder, MANY_DEADLINES, Output, start, tasks};
use crate::event::task::Waker;
use crate::event::{Exec, Fork, Id, What};
use crate::method::facts::{Creation, Fd, Image};
use crate::trace::schema::{self, Origin, ProcessRef};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A process that was created less than this before the recording began is taken to be in the
/// middle of its start. (Without having seen it, nothing tells for sure.)
pub(super) const YOUNG_NS: u64 = 1_000_000_000;

/// A failed exec outside of a start belongs to the exec in place that follows within this time.
const SAME_WALK_NS: u64 = 20_000_000;

/// What a birth in `/proc` may be too early by: a clock tick.
const TICK_NS: u64 = 10_000_000;
/// Pieces of time kept of a process that is in no start.
const LOOSE: usize = 256;
/// Pieces kept of one start when memory is short.
const FEW: usize = 1_000;

impl Builder {
    /// Remembers a process whose creation was not seen.
    pub(super) fn adopt(&mut self, id: Id, world: &mut dyn World) {
        let met = self.met.remove(&id.pid);
        let known = world.process(id).unwrap_or_default();
        let Known { comm, exe, argv, cwd, dev, inode, uid, gid, ns_pid, cgroup, ppid, is_copy } = known;
        let binary = exe.as_ref().and_then(|exe| {
            world.image(&ImageKey { pid: id.pid, exe: exe.clone(), within: None, dev, inode })
        });
        let redacted = self.redact(argv.as_deref());
        let image = Image { redacted, ..image(exe, argv, &comm, None, binary.as_ref(), dev, inode) };
        let env = self.environment(id, world);
        let process = Process {
            comm,
            env,
            ns_pid,
            uid,
            gid,
            cwd,
            cgroup_path: cgroup,
            program: Rc::new(Program { image, binary, argv_bytes: None, argv_truncated: false }),
            creator: met.or_else(|| ppid.and_then(|pid| self.by_pid.get(&pid).copied())),
            next_seq: 1,
            ..Process::default()
        };
        let (creator, file) = (process.creator, process.program.image.file);
        self.insert(id, process, world);
        // The kernel's parent may be another than the creator: whose copy it is, its file tells.
        if let Some(parent) = creator.and_then(|creator| self.processes.get_mut(&creator)) {
            let same = file.is_some() && parent.program.image.file == file;
            // Of one that has just ended `/proc` has no file any more, or nothing.
            let copy = if met.is_some() { is_copy != Some(false) } else { same && is_copy == Some(true) };
            parent.kids.was_there(id, copy);
        }
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

    /// The copies of itself that a process had before its first fork was seen: siblings of `new` and those that come.
    fn meet_copies(&mut self, creator: Id, thread: u32, new: Id, world: &mut dyn World) {
        for copy in world.copies(creator, thread) {
            // Those that are as young will be told of.
            if copy.birth_ns.saturating_add(TICK_NS) > new.birth_ns || copy.pid == new.pid {
                continue;
            }
            let known = self.by_pid.get(&copy.pid).copied();
            // Another had that pid before, or has it since.
            if known.is_some_and(|known| known.birth_ns.abs_diff(copy.birth_ns) > TICK_NS) {
                continue;
            }
            if let Some(process) = known.and_then(|id| self.processes.get_mut(&id)) {
                process.creator.get_or_insert(creator);
            } else {
                self.met.insert(copy.pid, creator);
            }
            if let Some(creator) = self.processes.get_mut(&creator) {
                creator.kids.was_there(known.unwrap_or(copy), true);
            }
        }
    }

    /// What may be shown of arguments, where that is not all. How a start was made is told from all of them.
    fn redact(&mut self, argv: Option<&[String]>) -> Option<Vec<String>> {
        let redacted = self.options.redactor.as_ref()?.argv(argv?)?;
        self.redacted += redacted.values;
        Some(redacted.argv)
    }

    pub(super) fn insert(&mut self, id: Id, process: Process, world: &mut dyn World) {
        let now = process.created_ns.unwrap_or(id.birth_ns);
        self.met.remove(&id.pid);
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
    pub(super) fn open_partial(&mut self, id: Id) {
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
            fork_waited_ns: 0,
            fork_copied_bytes: None,
            wakeup_ns: None,
            run_ns: None,
            observed_ns: None,
            execs: Vec::new(),
            parent: None,
            peer: None,
            reached: None,
        });
        self.opened(id, began_ns.max(id.birth_ns), 0);
    }

    /// A start was opened: how long it may take, and what will make it ready.
    pub(super) fn opened(&mut self, id: Id, origin_ns: u64, seq: u32) {
        self.open.insert(id);
        if let Some(window) = self.options.window_ns {
            if self.deadlines.len() >= self.prune_at {
                let processes = &self.processes;
                let open = |id: &Id| processes.get(id).and_then(|process| process.start.as_ref());
                self.deadlines.retain(|(_, id, seq)| open(id).is_some_and(|start| start.seq == *seq));
                self.prune_at = (2 * self.deadlines.len()).max(MANY_DEADLINES);
            }
            self.deadlines.push_back((origin_ns.saturating_add(window), id, seq));
        }
        self.begin_ready(id, origin_ns, seq);
    }

    pub(super) fn fork(&mut self, time_ns: u64, id: Id, fork: &Fork, world: &mut dyn World) {
        if !self.processes.contains_key(&fork.creator) {
            self.adopt(fork.creator, world);
            self.meet_copies(fork.creator, fork.creator_tid, id, world);
        }
        let (origin_ns, origin) = match fork.entry {
            Some(crate::event::Entry::Exact(ns)) => (ns, Origin::Entry),
            Some(crate::event::Entry::MmAlloc(ns)) => (ns, Origin::MmAlloc),
            None => (id.birth_ns.min(time_ns), Origin::TaskCreated),
        };
        let origin_ns = origin_ns.min(time_ns);
        let peer = fork.peer.map(|(pid, read_ns)| {
            Box::new(Asker { pid, read_ns, known: self.who_asked(pid, read_ns, time_ns) })
        });
        let Some(creator) = self.processes.get_mut(&fork.creator) else { return };
        creator.forks += 1;
        if creator.execs == 0 {
            creator.forks_before_exec += 1;
        }
        creator.open_children += 1;
        creator.kids.forked(id, time_ns, &fork.stdio);
        let program = creator.program.clone();
        let creation = Rc::new(creation(fork, creator.stdio));
        let process = Process {
            comm: fork.comm.clone(),
            ns_pid: Some(fork.ns_pid),
            uid: Some(fork.uid),
            gid: Some(fork.gid),
            cwd: creator.cwd.clone(),
            env: creator.env.clone(),
            cgroup: Some(fork.cgroup),
            creator: Some(fork.creator),
            creation: Some(creation),
            image_by: creator.image_by,
            created_ns: Some(time_ns),
            stdio: fork.stdio,
            first_pipe_fd: fork.first_pipe_fd,
            first_group: fork.group,
            group: fork.group,
            selected: creator.selected || fork.root,
            is_command: fork.root,
            of_command: if fork.root { Some(self.command_number) } else { creator.of_command },
            program: program.clone(),
            next_seq: 1,
            start: Some(OpenStart {
                seq: 0,
                origin_ns,
                origin,
                partial: false,
                in_place: false,
                fork_waited_ns: fork.waited_ns.unwrap_or(0).min(time_ns - origin_ns),
                fork_copied_bytes: fork.copied_bytes,
                wakeup_ns: None,
                run_ns: None,
                observed_ns: None,
                execs: Vec::new(),
                parent: Some(program),
                peer,
                reached: None,
            }),
            ..Process::default()
        };
        self.insert(id, process, world);
        self.tree_grows(fork.creator, time_ns);
        self.opened(id, origin_ns, 0);
    }

    /// What was asked for of its environment.
    fn environment(&mut self, id: Id, world: &mut dyn World) -> Option<BTreeMap<String, String>> {
        let names = &self.options.env;
        let mut env = if names.is_empty() { None } else { world.environment(id, names) }?;
        if let Some(redactor) = &self.options.redactor {
            self.redacted += redactor.env(&mut env);
        }
        Some(env)
    }

    pub(super) fn exec(&mut self, time_ns: u64, id: Id, exec: Exec, world: &mut dyn World) {
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
            let (dev, inode, within) = (exec.dev, exec.inode, exec.within.clone());
            world.image(&ImageKey { pid: id.pid, exe: exe.clone(), within, dev, inode })
        });
        let redacted = self.redact(exec.argv.as_deref());
        let env = self.environment(id, world);
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.env = env;
        let old_tid = exec.old_tid;
        let script = if exec.interpreter.is_some() { exec.path.clone() } else { None };
        let image = image(exec.exe, exec.argv, &exec.comm, script, binary.as_ref(), exec.dev, exec.inode);
        let image = Image { redacted, ..image };
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
            new_group: process.first_group.zip(exec.group).map(|(first, now)| first != now),
            foreground: exec.foreground,
            fd3: exec.fd3,
            ignored: Some(exec.ignored),
            linking: Linking::of(exec.loader_tells),
        };
        let entry_ns = mark.entry_ns();
        let replaced = std::mem::replace(&mut process.program, program);
        process.comm = exec.comm;
        process.cwd = exec.cwd.or(process.cwd.take());
        process.uid = Some(exec.uid);
        process.gid = Some(exec.gid);
        process.ns_pid = Some(exec.ns_pid);
        process.cgroup = Some(exec.cgroup);
        process.execs += 1;
        process.image_by = process.creator;
        process.kids = process.kids.of_next_image();
        process.method = None;
        process.session_leader = Some(exec.session_leader);
        process.has_tty = Some(exec.has_tty);
        process.group = exec.group;
        process.foreground = exec.foreground;
        process.stdio = exec.stdio;
        process.ignored = Some(exec.ignored);
        process.null_on_pipe = None;
        if let Some(imports) = &mut process.imports {
            imports.exec(time_ns);
        }
        if let Some(profile) = &mut process.profile {
            profile.exec();
        }
        let creator = process.creator;
        let stdio = process.stdio;
        let first = process.execs == 1;

        let mut opened = None;
        match &mut process.start {
            Some(start) if start.execs.len() >= MAX_EXECS => self.missed.execs += 1,
            Some(start) => {
                start.observed_ns.get_or_insert(mark.entry_ns().unwrap_or(mark.done_ns));
                tried(&mut start.execs, mark);
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
                let origin = match execs.first().unwrap_or(&mark).entry {
                    Some(crate::event::Entry::Exact(_)) => Origin::Entry,
                    Some(crate::event::Entry::MmAlloc(_)) => Origin::MmAlloc,
                    None => Origin::ImageInPlace,
                };
                let mut whole = Vec::with_capacity(execs.len() + 1);
                execs.into_iter().chain([mark]).for_each(|exec| tried(&mut whole, exec));
                let seq = process.next_seq;
                process.next_seq += 1;
                process.start = Some(OpenStart {
                    seq,
                    origin_ns: since,
                    origin,
                    partial: false,
                    in_place: true,
                    fork_waited_ns: 0,
                    fork_copied_bytes: None,
                    wakeup_ns: None,
                    run_ns: None,
                    observed_ns: None,
                    execs: whole,
                    parent: Some(replaced),
                    peer: None,
                    reached: None,
                });
                opened = Some((since, seq));
            }
        }
        if opened.is_some() {
            process.tasks.begin(opened.map_or(0, |(since, _)| since));
        }
        let before = process.tasks.len();
        process.tasks.exec(id.pid, exec.old_tid, entry_ns, time_ns);
        self.pieces = (self.pieces + process.tasks.len()).saturating_sub(before);
        if let Some((since, seq)) = opened {
            self.opened(id, since, seq);
        }
        if let Some(creator) = creator.and_then(|creator| self.processes.get_mut(&creator)) {
            if first {
                creator.kids.execed(id);
            }
            creator.kids.stdio(id, &stdio);
        }
        self.note_selected(id);
        self.image_is_new(time_ns, id, old_tid, world);
    }

    /// What a task of a start did.
    pub(super) fn task(&mut self, time_ns: u64, id: Id, tid: u32, what: &What) {
        let waited = match what {
            What::Wait(wait) => Some(self.told_wait(id, tid, time_ns, wait)),
            _ => None,
        };
        // Of a process that is not known, or whose start is over, only an exec under way matters: it is
        // told after what belongs to it.
        let Some(process) = self.processes.get_mut(&id) else { return };
        let before = process.tasks.len();
        if process.start.is_none() && before > LOOSE {
            process.tasks = Tasks::default();
        }
        process.tasks.keep_in(self.spill.as_ref());
        match (what, waited) {
            (What::Wait(wait), Some(waited)) => process.tasks.wait(id.pid, tid, &wait.spent, waited),
            (What::Mark(mark), _) => process.tasks.mark(id.pid, tid, time_ns, mark),
            _ => {}
        }
        let now = process.tasks.len();
        self.pieces = (self.pieces + now).saturating_sub(before);
        if let What::Wait(wait) = what
            && let Waker::Task { pid, tid, comm } = &wait.waker
            && let Some(waker) = self.by_pid.get(pid).and_then(|id| self.processes.get_mut(id))
        {
            waker.tasks.named(*tid, comm);
        }
        // Memory is for all starts together; this one then says less.
        if self.pieces > tasks::MAX_ALL_PIECES
            && now > FEW
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.tasks.bound(FEW / 2, FEW / 4, FEW / 2);
            self.pieces = (self.pieces + process.tasks.len()).saturating_sub(now);
        }
    }

    pub(super) fn exec_failed(&mut self, id: Id, mark: ExecMark, world: &mut dyn World) {
        if !self.processes.contains_key(&id) {
            self.adopt(id, world);
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        match &mut process.start {
            Some(start) if start.execs.len() >= MAX_EXECS => self.missed.execs += 1,
            Some(start) => {
                start.observed_ns.get_or_insert(mark.entry_ns().unwrap_or(mark.done_ns));
                tried(&mut start.execs, mark);
            }
            None => {
                if process.loose_execs.len() >= MAX_EXECS {
                    process.loose_execs.pop_front();
                }
                process.loose_execs.push_back(mark);
                // It is looked at since it tried.
                self.settled.push((id, self.now_ns));
            }
        }
    }

    pub(super) fn exit(&mut self, time_ns: u64, id: Id, status: u32, world: &mut dyn World) {
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
        } else if !self.exit_of_held(id, status, time_ns)
            && self.is_selected(id)
            && let Some(last) = self.processes.get(&id).and_then(|process| process.last.clone())
        {
            let killed_by = self.killer(id, status);
            let exit = start::exit(status, time_ns.saturating_sub(last.origin_ns), killed_by);
            self.out.push((Output::Exit { start_id: last.start_id, exit }, None));
        }
        self.bury(id, time_ns, status == 0);
    }

    /// The process with this number that the creator heard of when it read from a socket. It may have gone since: `systemctl
    /// start --no-block` waits for nothing.
    fn who_asked(&self, pid: u32, read_ns: u64, now_ns: u64) -> Option<(Id, ProcessRef)> {
        let there = self.by_pid.get(&pid).copied().filter(|id| id.birth_ns <= read_ns);
        if there.is_some() || now_ns.saturating_sub(read_ns) > start::REQUEST_NS {
            return there.map(|id| (id, self.reference(id)));
        }
        let mut gone = self.processes.iter().filter(|(id, process)| {
            let ended = process.ended.as_ref();
            id.pid == pid && id.birth_ns <= read_ns && ended.is_some_and(|ended| ended.at_ns >= read_ns)
        });
        if let Some((id, _)) = gone.next() {
            return Some((*id, self.reference(*id)));
        }
        let story = self.past.at(pid, read_ns)?;
        let Id { pid, .. } = story.id;
        let start_id = Some(story.id.start(story.seq));
        Some((story.id, ProcessRef { start_id, id: Some(story.id.text()), pid, comm: None }))
    }

    /// Forgets a process that has ended, unless a child's start still needs it.
    pub(super) fn bury(&mut self, id: Id, at_ns: u64, ok: bool) {
        if self.by_pid.get(&id.pid) == Some(&id) {
            self.by_pid.remove(&id.pid);
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.ended = Some(Ended { at_ns, ok, outlived: process.kids.any_left() });
        }
        self.forget_if_done(id);
    }

    pub(super) fn forget_if_done(&mut self, id: Id) {
        let done = |process: &Process| {
            let open = process.start.is_some() || process.held || process.open_children > 0;
            process.ended.is_some() && !open
        };
        if self.processes.get(&id).is_some_and(done)
            && let Some(process) = self.processes.remove(&id)
        {
            self.pieces = self.pieces.saturating_sub(process.tasks.len());
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
        redacted: None,
        comm: comm.to_owned(),
        script,
        runtime: binary.and_then(|b| b.runtime.clone()),
        program: binary.and_then(|b| b.program.clone()),
        misnamed: binary.and_then(|b| b.misnamed),
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
