//! One finished start, from what the builder remembers of its process.

use super::account::{Account, Span};
use super::path::Subject;
use super::phases::{self, Mark};
use super::process::{ExecMark, Finished, OpenStart, Process};
use super::ready::State;
use super::tasks::Tasks;
use super::{Builder, place};
use crate::event::Id;
use crate::method::facts::{Call, ExitFact, Facts, ParentMethod, Peer};
use crate::method::{self, Request};
use crate::sort::SortSmall;
use crate::trace::schema::{Exec, Exit, Milestone, Phase, ProcessRef, Ready, Start, States, Timeline};

/// What ends a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process ended, with this status.
    Exit(u32),
    /// The window is over.
    Window,
    /// The recording is over.
    Recording,
    /// The process ended, but that was not seen.
    Lost,
    /// It is ready; why, its process's record says.
    Ready,
}

/// A start, with what the builder keeps of it.
pub(super) struct Built {
    pub start: Start,
    pub finished: Finished,
    pub method: ParentMethod,
    /// What it was named from.
    pub facts: Facts,
    /// Who asked for it.
    pub owner: Option<Id>,
    /// Whose record this start keeps alive: the creator's, for the first start of a process.
    pub creator: Option<Id>,
    /// Execs that the creator had made at that time: another image has other children.
    pub creator_execs: u32,
    /// Its critical path leads into starts that had to be forgotten.
    pub path_cut: bool,
    /// Execs that the process itself had made.
    pub execs: u32,
    /// Its readiness was looked for.
    pub timeline: bool,
    /// Its waits and its path, while they are written down.
    pub shelf: Option<super::shelf::Shelf>,
    /// What its main thread did last was not told yet: see [`Dark`].
    pub dark: Option<Box<Dark>>,
}

/// What it takes to account for a start once more. It was ready while its main thread waited or was about to end,
/// of which the record comes later: where nothing better is known by then, `/proc` is asked, but what has just
/// woken cannot be asked what it did.
pub(super) struct Dark {
    tasks: Tasks,
    run_ns: Option<u64>,
    reached: Option<(Id, u32)>,
    later: bool,
}

/// Of larger starts no copy is kept.
const DARK_PIECES: usize = 5_000;

/// A child's own creation decides only up to this many ancestors; each asks for its creator's method.
const MAX_DEPTH: u32 = 6;

/// A socket read longer ago than this did not bring the request for a fork.
pub(super) const REQUEST_NS: u64 = 1_000_000_000;

pub(super) fn call_name(call: Call) -> Option<&'static str> {
    match call {
        Call::Fork => Some("fork"),
        Call::Vfork => Some("vfork"),
        Call::Clone => Some("clone"),
        Call::Clone3 => Some("clone3"),
        Call::Kernel => Some("kernel"),
        Call::Unknown => None,
    }
}

/// The seq of the start that a process is in, or was in last.
pub(super) fn current_start_id(process: &Process) -> Option<u32> {
    match (&process.start, &process.last) {
        (Some(start), _) => Some(start.seq),
        (None, Some(last)) => last.start_id.rsplit_once('/').and_then(|(_, seq)| seq.parse().ok()),
        (None, None) => None,
    }
}

pub(super) fn exit(status: u32, at_ns: u64, killed_by: Option<ProcessRef>) -> Exit {
    let signal = status & 0x7f;
    Exit {
        code: (signal == 0).then_some(((status >> 8) & 0xff) as i32),
        signal: (signal != 0).then(|| method::signal_name(signal).unwrap_or_else(|| signal.to_string())),
        core: status & 0x80 != 0,
        killed_by,
        at_ns,
        missing_libraries: None,
    }
}

fn exit_fact(status: u32) -> ExitFact {
    let signal = status & 0x7f;
    ExitFact {
        code: (signal == 0).then_some(((status >> 8) & 0xff) as i32),
        signal: (signal != 0).then_some(signal),
    }
}

/// The same of an exit as the trace has it.
pub(super) fn exit_fact_of(exit: &Exit) -> ExitFact {
    let number = |name: &String| {
        (1..65).find(|&n| method::signal_name(n).as_ref() == Some(name)).or_else(|| name.parse().ok())
    };
    ExitFact { code: exit.code, signal: exit.signal.as_ref().and_then(number) }
}

/// The process that stays when its creator has ended: from then on it is a daemon.
pub(super) fn note_daemonised(built: &mut Built) {
    let daemon = matches!(built.start.method.pattern.as_deref(), Some("daemon" | "double_fork"));
    let timeline = &mut built.start.timeline;
    if let Some(at_ns) = built.facts.child.creator_exited_after_ns
        && daemon
        && built.timeline
        && at_ns <= timeline.duration_ns
    {
        let milestone = Milestone { name: "daemonised".to_owned(), at_ns, detail: None, inferred: true };
        let at = timeline.milestones.partition_point(|other| other.at_ns <= at_ns);
        timeline.milestones.insert(at, milestone);
    }
}

impl Timeline {
    fn take_account(&mut self, account: Account) {
        self.states = account.states;
        self.waits = account.waits;
        self.waits_left_out = account.waits_left_out;
        self.critical_path = account.critical_path;
        self.path_ns = account.path_ns;
        self.threads = account.threads;
        self.threads_left_out = account.threads_left_out;
        self.counters = account.counters;
    }
}

impl Builder {
    /// The facts of a start, as they are now.
    fn facts(&mut self, id: Id, start: &OpenStart, end_ns: u64, end: End, depth: u32) -> Facts {
        let Some(process) = self.processes.get(&id) else { return Facts::default() };
        let status = if let End::Exit(status) = end { Some(exit_fact(status)) } else { None };
        let mut child = process.child_facts(start.origin_ns, end_ns, status);
        let creation = (!start.in_place).then(|| process.creation.clone()).flatten();
        let image = process.program.image.clone();
        let creator_id = process.creator.filter(|_| creation.is_some());
        let mut siblings = Default::default();
        if let Some(creator) = creator_id.and_then(|id| self.processes.get_mut(&id)) {
            siblings = creator.kids.siblings(id, end_ns);
            if let Some(ended) = creator.ended {
                child.creator_exited_after_ns = Some(ended.at_ns.saturating_sub(start.origin_ns));
                child.creator_exit_ok = Some(ended.ok);
            }
            child.creator_is_plain_fork = creator.creation.is_some() && creator.execs == 0;
        }
        let parent_method = creator_id
            .filter(|_| depth < MAX_DEPTH)
            .and_then(|creator| self.method_of(creator, end_ns, depth + 1));
        Facts {
            arch: self.options.arch,
            creation: creation.map(|creation| (*creation).clone()),
            exec_in_place: start.in_place,
            parent: start.parent.as_ref().map(|program| program.image.clone()),
            parent_method,
            execs: start.execs.iter().map(|exec| exec.fact(start.origin_ns)).collect(),
            image,
            child,
            siblings,
            peer: start
                .peer
                .as_ref()
                .map(|peer| Peer { pid: peer.pid, age_ns: start.origin_ns.saturating_sub(peer.read_ns) }),
        }
    }

    /// The method of a process's own start, as far as it is known now.
    fn method_of(&mut self, id: Id, now_ns: u64, depth: u32) -> Option<ParentMethod> {
        let process = self.processes.get(&id)?;
        if let Some(method) = &process.method {
            return Some(method.clone());
        }
        let method = if let Some(start) = process.start.clone() {
            let facts = self.facts(id, &start, now_ns, End::Recording, depth);
            parent_method(&method::classify(&facts))
        } else if process.last.is_none() {
            // It ran before: its arguments may still tell what it is.
            let facts = Facts { image: process.program.image.clone(), ..Facts::default() };
            parent_method(&method::classify(&facts))
        } else {
            return None;
        };
        // An exec makes it anew; until then the answer serves all the children.
        if let Some(process) = self.processes.get_mut(&id) {
            process.method = Some(method.clone());
        }
        Some(method)
    }

    pub(super) fn build(&mut self, id: Id, end_ns: u64, end: End) -> Option<Built> {
        let open = self.processes.get(&id)?.start.clone()?;
        let end_ns = end_ns.max(open.origin_ns);
        let facts = self.facts(id, &open, end_ns, end, 0);
        let method = method::classify(&facts);
        let process = self.processes.get(&id)?;

        let origin_ns = open.origin_ns;
        let phases = phases_of(&open, end_ns);
        let duration_ns = end_ns - origin_ns;
        let start_id = id.start(open.seq);
        let verdict = process.ready.as_ref().and_then(|state| state.verdict.clone());
        let (kind, inferred, detail) = match end {
            End::Exit(_) => ("exit", false, None),
            End::Window => ("timeout", false, Some("the window ended")),
            End::Recording => ("timeout", false, Some("the recording ended")),
            End::Lost => {
                ("exit", true, Some("its exit was not observed; its pid was given to another process"))
            }
            End::Ready => ("quiet", true, None),
        };
        let account = self.account(&Span {
            subject: Subject {
                id,
                seq: open.seq,
                origin_ns,
                end_ns,
                phases: &phases,
                run_ns: open.run_ns,
                reached: open.reached,
                exited: matches!(end, End::Exit(_) | End::Lost),
            },
            later: open.in_place || open.partial,
        });
        let mut ready =
            Ready { kind: kind.to_owned(), at_ns: duration_ns, inferred, detail: detail.map(str::to_owned) };
        if let Some(verdict) = verdict.filter(|_| !matches!(end, End::Exit(_) | End::Lost)) {
            (ready.kind, ready.inferred) = (verdict.kind.to_owned(), verdict.inferred);
            ready.detail = verdict.detail;
        }
        let parent = process.creator.map(|creator| self.reference(creator));
        let (owner, requested_by) = match self.asker(process, &open, &method) {
            Some((id, reference)) => (id.or(process.creator), Some(reference)),
            None => (process.creator, None),
        };
        let cgroup = self.cgroup_path(process);
        let imports = process.imports.as_ref();
        let imports_site = |exec: u32| {
            let exec = open.execs.get(exec as usize).and_then(|exec| exec.program.as_ref());
            exec.is_none_or(|program| method::imports_site(&program.image))
        };
        let imports = imports.and_then(|imports| imports.account(id.pid, origin_ns, &phases, &imports_site));
        let files = process.files.as_ref();
        let files = files.and_then(|files| files.account(origin_ns, end_ns, &phases));
        let code = process.files.as_ref().and_then(|files| files.code.as_ref());
        let image = process.program.image.runtime.as_deref();
        let runtime = super::runtime::account(image, code, &account.threads, origin_ns, &phases);
        let profile = process.profile.as_ref();
        let hz = self.options.profile_hz;
        let profile = profile.and_then(|profile| profile.account(hz, origin_ns, end_ns, &phases));
        let connects = process.connects.as_ref();
        let (connects, connects_left_out) =
            connects.map(|connects| connects.account(origin_ns, end_ns)).unwrap_or_default();
        let program = &process.program;
        let start = Start {
            start_id: start_id.clone(),
            id: id.text(),
            seq: open.seq,
            partial: open.partial,
            pid: id.pid,
            ns_pid: process.ns_pid,
            comm: process.comm.clone(),
            parent,
            requested_by,
            uid: process.uid,
            gid: process.gid,
            cwd: process.cwd.clone(),
            unit: cgroup.as_deref().and_then(place::unit),
            container: cgroup.as_deref().and_then(place::container),
            cgroup,
            exe: program.image.exe.clone(),
            argv: program.image.shown().map(<[String]>::to_vec),
            argv_bytes: program.argv_bytes,
            argv_truncated: program.argv_truncated,
            env: process.env.clone(),
            execs: schema_execs(&open.execs, origin_ns),
            binary: program.binary.clone(),
            timeline: Timeline {
                started_at: self.wall_clock(origin_ns),
                origin_boottime_ns: origin_ns,
                origin: open.origin,
                duration_ns,
                ready,
                phase_ns: phases::by_name(&phases),
                phases,
                fork_waited_ns: open.fork_waited_ns,
                fork_copied_bytes: open.fork_copied_bytes,
                states: account.states,
                waits: account.waits,
                waits_left_out: account.waits_left_out,
                critical_path: account.critical_path,
                path_ns: account.path_ns,
                connects,
                connects_left_out,
                threads: account.threads,
                threads_left_out: account.threads_left_out,
                counters: account.counters,
                imports,
                files,
                runtime,
                profile,
                milestones: milestones(&open, process.ready.as_deref(), end_ns, end),
            },
            exit: if let End::Exit(status) = end {
                Some(exit(status, duration_ns, self.killer(id, status)))
            } else {
                None
            },
            findings: Vec::new(),
            method,
        };
        let kept = parent_method(&start.method);
        let creator = process.creator.filter(|_| open.seq == 0 && !open.partial);
        let creator_execs = creator.and_then(|id| self.processes.get(&id)).map_or(0, |creator| creator.execs);
        Some(Built {
            start,
            finished: Finished { start_id, origin_ns, end_ns, end: end.into() },
            method: kept,
            facts,
            owner,
            creator,
            creator_execs,
            path_cut: account.path_cut,
            timeline: process.ready.is_some(),
            shelf: None,
            dark: None,
            execs: self.processes.get(&id).map_or(0, |process| process.execs),
        })
    }

    /// What a start's tasks have told, where its main thread has not told all.
    pub(super) fn dark(&self, id: Id, end_ns: u64, end: End) -> Option<Box<Dark>> {
        let process = self.processes.get(&id).filter(|_| end == End::Ready && self.is_dark(id, end_ns))?;
        let open = process.start.as_ref()?;
        (process.tasks.len() <= DARK_PIECES).then(|| {
            Box::new(Dark {
                tasks: process.tasks.clone(),
                run_ns: open.run_ns,
                reached: open.reached,
                later: open.in_place || open.partial,
            })
        })
    }

    /// Accounts for a start once more, with what its tasks have told since.
    pub(super) fn lighten(&mut self, id: Id, built: &mut Built) {
        let Some(mut dark) = built.dark.take() else { return };
        let unknown = |states: &Option<States>| states.as_ref().map_or(u64::MAX, |states| states.unknown_ns);
        let before = unknown(&built.start.timeline.states);
        let Some(process) = self.processes.get_mut(&id) else { return };
        dark.tasks.follow(&process.tasks);
        // By the time it was asked what the main thread waits for that may have been the next wait.
        let lane = dark.tasks.lane(id.pid).and_then(|lane| dark.tasks.lanes.get(lane));
        let told_all = lane.and_then(|lane| lane.until_ns()) >= Some(built.finished.end_ns);
        if before == 0 && !told_all {
            return;
        }
        let kept = std::mem::replace(&mut process.tasks, dark.tasks);
        let origin_ns = built.finished.origin_ns;
        let phases = built.start.timeline.phases.clone();
        let mut account = self.account(&Span {
            subject: Subject {
                id,
                seq: built.start.seq,
                origin_ns,
                end_ns: origin_ns.saturating_add(built.start.timeline.duration_ns),
                phases: &phases,
                run_ns: dark.run_ns,
                reached: dark.reached,
                exited: false,
            },
            later: dark.later,
        });
        if let Some(process) = self.processes.get_mut(&id) {
            process.tasks = kept;
        }
        // Where still nothing was told, what was asked is better.
        if told_all || unknown(&account.states) < before {
            // They were asked for.
            account.counters = built.start.timeline.counters.take().or(account.counters);
            built.start.timeline.take_account(account);
            built.shelf = None;
        }
    }

    /// Who asked, for a start that another process makes on request.
    fn asker(
        &self,
        process: &Process,
        open: &OpenStart,
        method: &crate::trace::schema::Method,
    ) -> Option<(Option<Id>, ProcessRef)> {
        let request = method::request(method.pattern.as_deref()?)?;
        if request == Request::Start {
            let maker = self.processes.get(&process.creator?)?;
            let id = maker.image_by?;
            let asker = self.processes.get(&id)?;
            let there = asker.ended.is_none_or(|ended| ended.at_ns > open.origin_ns);
            // When its container is over, it calls that program again on its own account.
            let again = asker.program.image.file == process.program.image.file;
            return (there && !again).then(|| (Some(id), self.reference(id)));
        }
        let peer = open.peer.as_ref()?;
        if open.origin_ns.saturating_sub(peer.read_ns) > REQUEST_NS {
            return None;
        }
        let asker = match &peer.known {
            Some((id, _)) if self.processes.contains_key(id) => (Some(*id), self.reference(*id)),
            Some((id, then)) => (Some(*id), then.clone()),
            None => (None, ProcessRef { start_id: None, id: None, pid: peer.pid, comm: None }),
        };
        let bus = asker.1.comm.as_deref().is_some_and(|comm| comm.starts_with("dbus-"));
        (request == Request::Socket || !bus).then_some(asker)
    }

    fn wall_clock(&self, boottime_ns: u64) -> String {
        let ns = boottime_ns.saturating_add(self.options.realtime_offset_ns);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
        humantime::format_rfc3339_nanos(time).to_string()
    }
}

fn parent_method(method: &crate::trace::schema::Method) -> ParentMethod {
    ParentMethod {
        mechanism: method.mechanism.clone(),
        library: method.library.clone(),
        pattern: method.pattern.clone(),
    }
}

/// The phases of a start until then.
pub(super) fn phases_of(open: &OpenStart, end_ns: u64) -> Vec<Phase> {
    phases::phases(open.origin_ns, end_ns, &marks(open, end_ns))
}

/// The task that created the process, if that is how the start began.
pub(super) fn creator_of(process: &Process, open: &OpenStart) -> Option<(Id, u32)> {
    if open.in_place || open.partial {
        return None;
    }
    let creator = process.creator?;
    Some((creator, process.creation.as_ref()?.tid.unwrap_or(creator.pid)))
}

/// The moments at which the phases of a start begin.
fn marks(open: &OpenStart, end_ns: u64) -> Vec<Mark> {
    let mark = |name, at_ns, exec| Mark { name, at_ns, exec };
    let mut marks = Vec::with_capacity(4 + 2 * open.execs.len());
    let succeeded = || open.execs.iter().enumerate().filter(|(_, exec)| exec.error.is_none());
    if open.partial {
        marks.push(mark("unobserved", None, None));
        if open.run_ns.is_some() {
            marks.push(mark("schedule", open.wakeup_ns, None));
        }
    } else if !open.in_place {
        marks.push(mark("fork", None, None));
        marks.push(mark("schedule", open.wakeup_ns, None));
    }
    // Before the first exec: setup if there is one, else the copy's own work.
    let before = if succeeded().next().is_some() { "setup" } else { "app" };
    if open.in_place {
        if open.execs.first().is_some_and(|exec| exec.error.is_some()) {
            marks.push(mark("setup", None, None));
        }
    } else if !open.partial || open.run_ns.is_some() {
        marks.push(mark(before, open.run_ns, None));
    } else if open.execs.first().is_some_and(|exec| exec.error.is_some()) {
        marks.push(mark(before, open.observed_ns, None));
    }
    for (i, exec) in succeeded() {
        let index = u32::try_from(i).ok();
        // Without its entry, exec is part of the phase before it; at the very beginning of a start
        // there is none, and what can be said begins with the image.
        if exec.entry.is_some() {
            marks.push(mark("exec", exec.entry_ns(), index));
        }
        let runtime = exec.program.as_ref().and_then(|program| program.image.runtime.as_deref());
        for (name, at) in exec.linking.phases(exec.done_ns, end_ns, runtime) {
            marks.push(mark(name, Some(at), index));
        }
    }
    marks
}

fn milestones(open: &OpenStart, state: Option<&State>, end_ns: u64, end: End) -> Vec<Milestone> {
    let origin_ns = open.origin_ns;
    let mut out = Vec::new();
    let mut push = |name: &str, at: u64, detail: Option<String>| {
        if (origin_ns..=end_ns).contains(&at) {
            out.push(Milestone { name: name.to_owned(), at_ns: at - origin_ns, detail, inferred: false });
        }
    };
    for exec in open.execs.iter().filter(|exec| exec.error.is_none()) {
        if let Some(at) = exec.prepare_ns {
            push("exec_point_of_no_return", at, None);
        }
        push("exec", exec.done_ns, exec.program.as_ref().and_then(|program| program.image.exe.clone()));
        if let Some(at) = exec.linking.libc_start_ns() {
            push("libc_start", at, None);
        }
    }
    if let Some(state) = state {
        if let End::Exit(_) = end {
            push("exit", end_ns, None);
        }
        out.extend(
            state
                .milestones(end_ns)
                .into_iter()
                .map(|milestone| Milestone { at_ns: milestone.at_ns - origin_ns, ..milestone }),
        );
    }
    out.sort_small_by_key(|milestone| milestone.at_ns);
    out
}

/// Longer than any path.
const MAX_SCRIPT: usize = 4_096;

fn schema_execs(execs: &[ExecMark], origin_ns: u64) -> Vec<Exec> {
    let last = execs.iter().rposition(|exec| exec.error.is_none());
    let each = execs.iter().enumerate();
    each.map(|(at, exec)| schema_exec(exec, origin_ns, last.is_some_and(|last| at < last))).collect()
}

fn schema_exec(exec: &ExecMark, origin_ns: u64, is_earlier: bool) -> Exec {
    let program = exec.program.as_ref().filter(|_| is_earlier && exec.error.is_none());
    let script = program.and_then(|program| method::given_script(&program.image));
    let entry = exec.entry_ns().map(|at| at.max(origin_ns));
    Exec {
        at_ns: entry.unwrap_or(exec.done_ns).saturating_sub(origin_ns),
        duration_ns: entry.map(|entry| exec.done_ns.saturating_sub(entry)),
        path: exec.path.clone(),
        interpreter: exec.interpreter.clone(),
        script: script.filter(|script| script.len() <= MAX_SCRIPT).map(str::to_owned),
        error: exec.error.clone(),
    }
}
