//! What the builder remembers of a process.

use super::connects::Connects;
use super::files::Files;
use super::imports::Imports;
use super::linking::Linking;
use super::profile::Profile;
use super::tasks::Tasks;
use crate::event::{CgroupId, Entry, Id};
use crate::method::facts::{Child, Creation, ExecFact, ExitFact, Fd, FdKind, Image, ParentMethod, Siblings};
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

/// The children that one process made in its present image, as far as their siblings need to know.
#[derive(Debug, Default)]
pub(super) struct Kids {
    all: u32,
    /// Children that were there when the image began.
    before: u32,
    /// Of all, and of those, how many have ended.
    gone: u32,
    /// Children without an exec so far, the living and the last that ended.
    execless: Vec<Kid>,
    /// Of those that ended, how many are no longer in `execless`.
    forgotten: u32,
    forgotten_long_lived: u32,
    /// The most that lived at one time, as far as counted.
    peak: u32,
    /// Something changed since `peak` was counted.
    stale: bool,
    /// When that was.
    counted_ns: u64,
    /// The latest children, for pipelines: creation, and pipes on descriptors 0 and 1.
    recent: VecDeque<(Id, u64, [Option<u64>; 2])>,
}

#[derive(Debug, Clone, Copy)]
struct Kid {
    id: Id,
    created_ns: u64,
    ended_ns: Option<u64>,
}

/// A living child may still be on its way to its exec; it counts as exec-less when it is older.
const ON_ITS_WAY_NS: u64 = 5_000_000;
/// What long-lived means for a worker.
const LONG_LIVED_NS: u64 = 1_000_000_000;
/// How close in time the elements of a pipeline are started. They share a pipe, whose number the
/// kernel does not give again for long; a busy machine takes its time between two forks.
const PIPELINE_NS: u64 = 1_000_000_000;
const RECENT: usize = 32;
/// Ended children without exec that are kept.
const ENDED: usize = 64;

fn pipes(stdio: &[Fd; 3]) -> [Option<u64>; 2] {
    let pipe = |fd: Fd| (fd.kind == FdKind::Pipe).then_some(fd.inode);
    [pipe(stdio[0]), pipe(stdio[1])]
}

impl Kids {
    /// A new child, with the descriptors that it inherits: some shells put a pipeline's pipe onto their own
    /// before they fork, and a sibling may end before this one has exec'd.
    pub(super) fn forked(&mut self, id: Id, now: u64, stdio: &[Fd; 3]) {
        self.all += 1;
        self.stale = true;
        self.execless.push(Kid { id, created_ns: now, ended_ns: None });
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((id, now, pipes(stdio)));
    }

    /// A child that was there before anything was seen. It may be met twice, first with its birth to the tick.
    pub(super) fn was_there(&mut self, id: Id, is_copy: bool) {
        self.stale = true;
        let known = self.execless.iter().position(|kid| kid.id.pid == id.pid && kid.ended_ns.is_none());
        if known.is_none() {
            self.all += 1;
        }
        if let Some(at) = known {
            self.execless.remove(at);
        }
        if is_copy {
            self.execless.push(Kid { id, created_ns: id.birth_ns, ended_ns: None });
        }
    }

    /// What the next image begins with: the children are its own, but no siblings of those that it makes.
    pub(super) fn of_next_image(&self) -> Self {
        Self { before: (self.before + self.all).saturating_sub(self.gone), ..Self::default() }
    }

    pub(super) fn stdio(&mut self, id: Id, stdio: &[Fd; 3]) {
        if let Some(kid) = self.recent.iter_mut().find(|kid| kid.0 == id) {
            kid.2 = pipes(stdio);
        }
    }

    pub(super) fn execed(&mut self, id: Id) {
        self.execless.retain(|kid| kid.id != id);
        self.stale = true;
    }

    pub(super) fn ended(&mut self, id: Id, now: u64) {
        self.stale = true;
        self.gone += 1;
        if let Some(kid) = self.execless.iter_mut().find(|kid| kid.id == id) {
            kid.ended_ns = Some(now);
        }
        let ended = self.execless.iter().filter(|kid| kid.ended_ns.is_some()).count();
        if ended > ENDED
            && let Some(at) = self.execless.iter().position(|kid| kid.ended_ns.is_some())
        {
            self.count_peak(now);
            let kid = self.execless.remove(at);
            self.forgotten += 1;
            self.forgotten_long_lived += u32::from(kid.lived(now) >= LONG_LIVED_NS);
        }
    }

    /// Some of the children are there.
    pub(super) fn any_left(&self) -> bool {
        self.before + self.all > self.gone
    }

    fn count_peak(&mut self, now: u64) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.counted_ns = now;
        let mut edges: Vec<(u64, i32)> = Vec::with_capacity(2 * self.execless.len());
        for kid in self.execless.iter().filter(|kid| kid.stays(now)) {
            edges.push((kid.created_ns, 1));
            edges.push((kid.ended_ns.unwrap_or(u64::MAX), -1));
        }
        // At equal times, ends come first.
        edges.sort_unstable();
        let mut alive = 0;
        for (_, step) in edges {
            alive += step;
            self.peak = self.peak.max(alive.unsigned_abs());
        }
    }

    pub(super) fn siblings(&mut self, id: Id, now: u64) -> Siblings {
        // The living grow older without an event: some were too young when they were last counted, however long ago.
        self.stale |= self.execless.iter().any(|kid| kid.ended_ns.is_none() && !kid.stays(self.counted_ns));
        self.count_peak(now);
        let mates = self.recent.iter().find(|kid| kid.0 == id).map_or(0, |me| {
            let near = |kid: &&(Id, u64, [Option<u64>; 2])| {
                kid.0 != id
                    && kid.1.abs_diff(me.1) <= PIPELINE_NS
                    && (me.2[0].is_some() && kid.2[1] == me.2[0] || me.2[1].is_some() && kid.2[0] == me.2[1])
            };
            self.recent.iter().filter(near).count() as u32
        });
        let staying = || self.execless.iter().filter(|kid| kid.id == id || kid.stays(now));
        Siblings {
            execless: self.forgotten + staying().count() as u32,
            execless_peak: self.peak,
            execless_long_lived: self.forgotten_long_lived
                + staying().filter(|kid| kid.lived(now) >= LONG_LIVED_NS).count() as u32,
            all: self.all,
            pipe_mates: mates,
        }
    }
}

impl Kid {
    fn lived(&self, now: u64) -> u64 {
        self.ended_ns.unwrap_or(now).saturating_sub(self.created_ns)
    }

    /// It has ended without an exec, or is not likely to do one any more.
    fn stays(&self, now: u64) -> bool {
        self.ended_ns.is_some() || self.lived(now) >= ON_ITS_WAY_NS
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

    fn id(pid: u32) -> Id {
        Id { pid, birth_ns: 0 }
    }

    const S: u64 = 1_000_000_000;
    const NONE: [Fd; 3] = [Fd { kind: FdKind::Unknown, inode: 0 }; 3];

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

    #[test]
    fn children_on_their_way_to_exec_are_no_pool() {
        let mut kids = Kids::default();
        kids.forked(id(1), 0, &NONE);
        kids.forked(id(2), 1000, &NONE);
        kids.execed(id(1));
        kids.execed(id(2));
        kids.forked(id(3), S, &NONE);
        let siblings = kids.siblings(id(3), S + 5);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.all), (1, 0, 3));
    }

    #[test]
    fn workers_are_counted_alive_and_ended() {
        let mut kids = Kids::default();
        for pid in 1..=4 {
            kids.forked(id(pid), u64::from(pid), &NONE);
        }
        kids.ended(id(1), 2 * S);
        kids.ended(id(2), 3 * S);
        let siblings = kids.siblings(id(3), 4 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (4, 4, 4));
    }

    /// Workers that are ready at once are asked about when they are young, and then not before they are named.
    #[test]
    fn living_workers_are_counted_however_long_nothing_happened() {
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid), &NONE);
            assert_eq!(kids.siblings(id(pid), 10).execless_peak, 0);
        }
        let siblings = kids.siblings(id(1), 2 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (3, 3, 3));
    }

    #[test]
    fn workers_that_were_there_before_are_siblings_of_those_that_come() {
        let mut kids = Kids::default();
        kids.was_there(id(1), true);
        kids.was_there(id(2), true);
        kids.was_there(id(3), false);
        kids.forked(id(4), 5 * S, &NONE);
        let siblings = kids.siblings(id(4), 5 * S + 1);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (3, 2, 2));
        // Met again, with its exact birth.
        let exact = Id { pid: 2, birth_ns: 7 };
        kids.was_there(exact, true);
        assert_eq!(kids.siblings(id(4), 5 * S + 1), siblings);
        kids.ended(id(1), 6 * S);
        assert!(kids.any_left());
        [exact, id(3), id(4)].into_iter().for_each(|kid| kids.ended(kid, 7 * S));
        assert!(!kids.any_left());
        assert_eq!(kids.siblings(id(4), 8 * S).execless_peak, 3);
    }

    #[test]
    fn children_of_the_image_before_are_left_but_no_siblings() {
        let mut kids = Kids::default();
        [1, 2].into_iter().for_each(|pid| kids.forked(id(pid), 0, &NONE));
        kids.ended(id(2), S);
        let mut next = kids.of_next_image();
        assert!(next.any_left());
        next.forked(id(3), 2 * S, &NONE);
        next.ended(id(1), 3 * S);
        assert!(next.any_left(), "the new one is there");
        assert_eq!(next.siblings(id(3), 4 * S).all, 1);
        next.ended(id(3), 5 * S);
        assert!(!next.any_left());
    }

    #[test]
    fn short_lived_workers_that_overlap_are_counted_once_they_have_ended() {
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid) * 1000, &NONE);
        }
        assert_eq!(kids.siblings(id(1), 5000).execless_peak, 0);
        for pid in 1..=3 {
            kids.ended(id(pid), 10_000 + u64::from(pid));
        }
        assert_eq!(kids.siblings(id(1), 20_000).execless_peak, 3);
        // One after the other is no pool.
        let mut serial = Kids::default();
        for pid in 1..=200 {
            serial.forked(id(pid), u64::from(pid) * S, &NONE);
            serial.ended(id(pid), u64::from(pid) * S + 7);
        }
        let siblings = serial.siblings(id(200), 300 * S);
        assert_eq!((siblings.execless, siblings.execless_peak, siblings.execless_long_lived), (200, 1, 0));
    }

    #[test]
    fn pipeline_elements_share_a_pipe() {
        let fd = |kind, inode| Fd { kind, inode };
        let pipe = |inode| fd(FdKind::Pipe, inode);
        let tty = fd(FdKind::Tty, 1);
        let mut kids = Kids::default();
        for pid in 1..=3 {
            kids.forked(id(pid), u64::from(pid) * 1_000_000, &NONE);
        }
        kids.stdio(id(1), &[tty, pipe(7), tty]);
        kids.stdio(id(2), &[pipe(7), pipe(8), tty]);
        kids.stdio(id(3), &[tty, pipe(9), tty]);
        assert_eq!(kids.siblings(id(1), S).pipe_mates, 1);
        assert_eq!(kids.siblings(id(2), S).pipe_mates, 1);
        assert_eq!(kids.siblings(id(3), S).pipe_mates, 0);
    }

    #[test]
    fn a_pipe_on_the_shells_own_descriptor_is_known_from_the_fork_on() {
        let pipe = |inode| Fd { kind: FdKind::Pipe, inode };
        let mut kids = Kids::default();
        kids.forked(id(1), 1000, &[NONE[0], pipe(7), NONE[0]]);
        kids.ended(id(1), 2000);
        kids.forked(id(2), 3000, &[pipe(7), NONE[0], NONE[0]]);
        assert_eq!(kids.siblings(id(1), S).pipe_mates, 1);
        // A stdin or stdout that both have of the shell is no pipeline.
        kids.forked(id(3), 4000, &[pipe(8), pipe(9), NONE[0]]);
        kids.forked(id(4), 5000, &[pipe(8), pipe(9), NONE[0]]);
        assert_eq!(kids.siblings(id(3), S).pipe_mates, 0);
    }
}
