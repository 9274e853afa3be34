//! What the builder remembers of a process.

use super::connects::Connects;
use super::files::Files;
use super::imports::Imports;
use super::kids::Kids;
use super::linking::Linking;
use super::profile::Profile;
use super::tasks::Tasks;
use crate::event::{CgroupId, Entry, Id};
use crate::method::facts::{Child, Creation, ExecFact, ExitFact, Fd, Image, ParentMethod};
use crate::trace::schema::{Binary, Origin, ProcessRef};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Execs kept of one start, and failed ones of a process between its starts.
pub(super) const MAX_EXECS: usize = 1000;

/// A program in memory, shared between a process and the copies that it makes.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub image: Image,
    pub binary: Option<Binary>,
    pub argv_bytes: Option<u64>,
    pub argv_truncated: bool,
}

/// One process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub comm: String,
    pub ns_pid: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub cwd: Option<String>,
    /// Of the variables that are asked for.
    pub env: Option<BTreeMap<String, String>>,
    pub cgroup: Option<CgroupId>,
    /// Where the id is not known: the path itself.
    pub cgroup_path: Option<String>,
    pub program: Rc<Program>,
    /// Who called fork, where known.
    pub creator: Option<Id>,
    pub creation: Option<Rc<Creation>>,
    /// Who created the process in which its image began: a copy has its creator's.
    pub image_by: Option<Id>,
    /// When it was created, if that was within the recording.
    pub created_ns: Option<u64>,
    /// Successful execs since its creation, as far as seen.
    pub execs: u32,
    /// Processes that it created.
    pub forks: u32,
    pub forks_before_exec: u32,
    pub session_leader: Option<bool>,
    pub has_tty: Option<bool>,
    /// Process group that it was created into.
    pub first_group: Option<u32>,
    pub group: Option<u32>,
    pub foreground: Option<bool>,
    pub stdio: [Fd; 3],
    pub ignored: Option<u64>,
    pub written: Option<u64>,
    pub first_pipe_fd: Option<u32>,
    pub null_on_pipe: Option<bool>,
    /// The last signal that it did not handle, and who sent it.
    pub signalled: Option<(u32, ProcessRef)>,
    pub start: Option<OpenStart>,
    pub next_seq: u32,
    pub last: Option<Finished>,
    /// Failed execs outside of a start: the beginning of an exec in place, if one follows.
    pub loose_execs: VecDeque<ExecMark>,
    pub kids: Kids,
    pub ended: Option<Ended>,
    /// Children whose start is not written yet: while there are any, the record is kept.
    pub open_children: u32,
    /// A selector picked it, or one of its ancestors.
    pub selected: bool,
    /// The command that the recording began.
    pub is_command: bool,
    /// It descends from such a command, or is it: which one.
    pub of_command: Option<u32>,
    /// Towards the readiness of its open start.
    pub ready: Option<Box<super::ready::State>>,
    /// NOTIFY_SOCKET is in the environment of its image; `None`: not asked.
    pub has_notify_socket: Option<bool>,
    /// It was made ready by READY=1.
    pub has_notified: bool,
    /// A start of it is held back.
    pub held: bool,
    /// Its own start's method as far as known, made when a child asks; dropped when it may change.
    pub method: Option<ParentMethod>,
    /// What its tasks do, in its start.
    pub tasks: Tasks,
    /// What its language runtime imports, in its start.
    pub imports: Option<Box<Imports>>,
    /// The files that it opens and looks for, in its start.
    pub files: Option<Box<Files>>,
    /// Its attempts to connect, in its start.
    pub connects: Option<Box<Connects>>,
    /// Where its tasks were on their CPUs, in its start.
    pub profile: Option<Box<Profile>>,
}

/// A start that was written.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub start_id: String,
    pub origin_ns: u64,
    pub end_ns: u64,
    pub end: super::CommandStart,
}

/// The end of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub at_ns: u64,
    pub ok: bool,
    /// A child of its was there.
    pub outlived: bool,
}

/// A start in progress.
#[derive(Debug, Clone)]
pub(super) struct OpenStart {
    pub seq: u32,
    pub origin_ns: u64,
    pub origin: Origin,
    pub partial: bool,
    pub in_place: bool,
    /// The creator waited so long for a CPU while it forked.
    pub fork_waited_ns: u64,
    /// ... and its page tables were copied, for so much resident memory.
    pub fork_copied_bytes: Option<u64>,
    pub wakeup_ns: Option<u64>,
    pub run_ns: Option<u64>,
    /// A partial start's first observed event.
    pub observed_ns: Option<u64>,
    pub execs: Vec<ExecMark>,
    /// The image of the creator, or the one that an exec in place replaced.
    pub parent: Option<Rc<Program>>,
    /// At the other end of the creator's last socket.
    pub peer: Option<Box<Asker>>,
    /// The task that made it ready, where one did.
    pub reached: Option<(Id, u32)>,
}

/// The process at the other end of the socket that a creator read last before.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub pid: u32,
    /// When it was read.
    pub read_ns: u64,
    /// As it was then: it may be gone when the start is written.
    pub known: Option<(Id, ProcessRef)>,
}

/// One exec.
#[derive(Debug, Clone, Default)]
pub(super) struct ExecMark {
    pub entry: Option<Entry>,
    pub prepare_ns: Option<u64>,
    /// In place, or failed.
    pub done_ns: u64,
    pub path: Option<String>,
    pub interpreter: Option<String>,
    /// `None`: success.
    pub error: Option<String>,
    pub program: Option<Rc<Program>>,
    pub by_thread: bool,
    /// The thread that called, before it took the leader's id over.
    pub tid: Option<u32>,
    pub stdio: [Fd; 3],
    pub session_leader: Option<bool>,
    pub has_tty: Option<bool>,
    pub new_group: Option<bool>,
    pub foreground: Option<bool>,
    pub fd3: Fd,
    pub ignored: Option<u64>,
    /// What the image told on its way to main().
    pub linking: Linking,
}

/// Adds what a process tried last to what it tried before: in order of their beginnings, as threads may try at once.
/// What begins before an image that it would have ended with is not to be believed; then only its end is known.
pub(super) fn tried(execs: &mut Vec<ExecMark>, mut mark: ExecMark) {
    let image = execs.iter().rposition(|exec| exec.error.is_none());
    let since_ns = image.and_then(|at| execs.get(at)).map_or(0, |exec| exec.done_ns);
    mark.done_ns = mark.done_ns.max(since_ns);
    mark.entry = mark.entry.filter(|entry| (since_ns..=mark.done_ns).contains(&entry.ns()));
    let begin = |exec: &ExecMark| exec.entry_ns().unwrap_or(exec.done_ns);
    let from = image.map_or(0, |at| at + 1);
    let later = execs.iter().skip(from).position(|exec| begin(exec) > begin(&mark));
    execs.insert(later.map_or(execs.len(), |n| from + n), mark);
}

impl ExecMark {
    pub(super) fn entry_ns(&self) -> Option<u64> {
        self.entry.map(Entry::ns)
    }

    pub(super) fn fact(&self, origin_ns: u64) -> ExecFact {
        ExecFact {
            at_ns: self.entry_ns().unwrap_or(self.done_ns).saturating_sub(origin_ns),
            path: self.path.clone(),
            error: self.error.clone(),
            image: self.program.as_ref().map(|program| program.image.clone()),
            by_thread: self.by_thread,
            tid: self.tid,
            stdio: self.stdio,
            session_leader: self.session_leader,
            has_tty: self.has_tty,
            ignored: self.ignored,
            new_group: self.new_group,
            foreground: self.foreground,
            fd3: self.fd3,
        }
    }
}

impl Process {
    pub(super) fn child_facts(&self, origin_ns: u64, end_ns: u64, exit: Option<ExitFact>) -> Child {
        Child {
            lived_ns: end_ns.saturating_sub(origin_ns),
            outlived: exit
                .is_some()
                .then(|| self.ended.map_or_else(|| self.kids.any_left(), |ended| ended.outlived)),
            exit,
            forks_before_exec: self.forks_before_exec,
            forks: self.forks,
            session_leader: self.session_leader,
            has_tty: self.has_tty,
            new_group: self.first_group.zip(self.group).map(|(first, now)| first != now),
            foreground: self.foreground,
            stdio: self.stdio,
            ignored: self.ignored,
            written_bytes: self.written,
            null_on_pipe: self.null_on_pipe,
            ..Child::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execs_stand_in_order_of_their_beginnings() {
        let mark = |from, to, error: bool| ExecMark {
            entry: Some(Entry::Exact(from)),
            done_ns: to,
            error: error.then(|| "ENOENT".to_owned()),
            ..ExecMark::default()
        };
        let mut execs = Vec::new();
        // Two threads at once, an image, and tries that contradict it.
        for (from, to, error) in
            [(20, 25, true), (10, 30, true), (15, 40, false), (39, 50, true), (70, 60, true), (5, 65, false)]
        {
            tried(&mut execs, mark(from, to, error));
        }
        let found: Vec<_> = execs.iter().map(|exec| (exec.entry_ns(), exec.done_ns)).collect();
        let expected = [(Some(10), 30), (Some(15), 40), (Some(20), 25), (None, 50), (None, 60), (None, 65)];
        assert_eq!(found, expected);
    }
}
