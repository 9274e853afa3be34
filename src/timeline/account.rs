//! Where the time of a start went: states of the main thread, waits, threads, counters, critical path.

use super::Builder;
use super::path::Subject;
use super::tasks::{self, Lane, MAX_WAITS, SINGLE_NS, State, Sums, Tasks, Waited};
use super::words;
use crate::event::Id;
use crate::event::task::Usage;
use crate::level::Level;
use crate::sort::SortSmall;
use crate::trace::schema::{Counters, Phase, Segment, States, ThreadTime, Wait};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub states: Option<States>,
    pub waits: Vec<Wait>,
    pub waits_left_out: u64,
    pub critical_path: Vec<Segment>,
    pub path_ns: BTreeMap<String, u64>,
    pub threads: Vec<ThreadTime>,
    pub threads_left_out: u64,
    pub counters: Option<Counters>,
    /// The path leads through starts that had to be forgotten.
    pub path_cut: bool,
}

/// The start to account for.
pub(super) struct Span<'a> {
    pub subject: Subject<'a>,
    /// It did not begin with the process.
    pub later: bool,
}

impl Builder {
    /// Accounts for a start, as far as its tasks have told.
    pub(super) fn account(&self, span: &Span<'_>) -> Account {
        let Subject { id, origin_ns, end_ns, phases, .. } = span.subject;
        let Some(process) = self.processes.get(&id) else { return Account::default() };
        let tasks = &process.tasks;
        if self.options.level == Level::Lifecycle || tasks.is_empty() {
            return Account::default();
        }
        let sums = main_thread(tasks, id, phases, origin_ns, end_ns);
        // The path before the waits: each takes megabytes on its way, of a start that went on for hours.
        let path = self.path(&span.subject);
        let (waits, left_out) = self.waits(tasks, origin_ns, end_ns);
        let (threads, threads_left_out) = threads(tasks, id, origin_ns, end_ns);
        Account {
            states: Some(self.states(&sums)),
            waits,
            waits_left_out: left_out + tasks.waits_left_out,
            critical_path: path.segments,
            path_ns: path.path_ns,
            threads,
            threads_left_out: threads_left_out + tasks.lanes_left_out,
            counters: counters(tasks, origin_ns, end_ns, span.later),
            path_cut: path.cut,
        }
    }

    fn states(&self, sums: &Sums) -> States {
        let mut states = States::default();
        for (state, ns) in sums.iter() {
            match state {
                State::Creating => states.creating_ns += ns,
                State::Running => states.running_ns += ns,
                State::Runnable => states.runnable_ns += ns,
                State::Exited => states.exited_ns += ns,
                State::Unknown => states.unknown_ns += ns,
                State::Blocked(_) | State::Other(_) => {
                    *states.blocked.entry(self.state_name(state).into_owned()).or_default() += ns;
                }
            }
        }
        states
    }

    /// The waits of all tasks that began within the start, and how many are left out.
    fn waits(&self, tasks: &Tasks, origin_ns: u64, end_ns: u64) -> (Vec<Wait>, u64) {
        let within = |wait: &Waited| wait.off_ns < end_ns && wait.back_ns > origin_ns;
        let length = |wait: &Waited| wait.back_ns.min(end_ns) - wait.off_ns.max(origin_ns);
        // Twice through all of them, for they are not all in memory as they are given.
        let long = || {
            let is_long = |wait: &Cow<'_, Waited>| within(wait) && length(wait) >= SINGLE_NS;
            tasks.lanes.iter().flat_map(move |lane| lane.waits().filter(is_long).map(|w| (lane.tid, w)))
        };
        let lengths: Vec<u64> = long().map(|(_, wait)| length(&wait)).collect();
        let mut kept: Vec<usize> = (0..lengths.len()).collect();
        let left_out = kept.len().saturating_sub(MAX_WAITS) as u64;
        if left_out > 0 {
            kept.sort_small_by_key(|at| std::cmp::Reverse(lengths.get(*at).copied()));
            kept.truncate(MAX_WAITS);
            kept.sort_unstable();
        }
        // Each is large, and a list that grows has the old one beside the new one.
        let mut waits: Vec<(u64, Wait)> = Vec::with_capacity(kept.len());
        let mut kept = kept.into_iter().peekable();
        let shown = long().enumerate().filter(|(at, _)| kept.next_if_eq(at).is_some());
        waits.extend(shown.map(|(_, (tid, wait))| {
            let off = wait.off_ns.max(origin_ns);
            let wake = wait.wake_ns.clamp(off, end_ns.max(off));
            let told = wait.told();
            let back = wait.back_ns.clamp(wake, end_ns.max(wake));
            let holder = told.rival.as_ref().filter(|_| back > wake && !told.back_unseen);
            let holder = holder.map(|rival| rival.within(wake, back, wait.back_ns));
            let had = || holder.as_ref().map(|holder| words::had(holder, back - wake));
            let detail = if told.state == State::Runnable { had() } else { None };
            let shown = Wait {
                at_ns: off - origin_ns,
                duration_ns: wake - off,
                runnable_ns: back - wake,
                tid,
                kind: self.state_name(told.state).into_owned(),
                syscall: told.call.map(|call| self.call_name(call).into_owned()),
                detail: detail.or_else(|| told.detail.as_deref().map(str::to_owned)),
                holder,
                // What went on at the end was ended later.
                woken_by: told.woken_by.filter(|_| wait.wake_ns <= end_ns),
            };
            (wait.off_ns, shown)
        }));
        waits.sort_small_by_key(|(off_ns, wait)| (*off_ns, wait.tid));
        (waits.into_iter().map(|(_, wait)| wait).collect(), left_out)
    }
}

/// Every nanosecond of the main thread, by state.
fn main_thread(tasks: &Tasks, id: Id, phases: &[Phase], origin_ns: u64, end_ns: u64) -> Sums {
    let lane = tasks.lane(id.pid).and_then(|lane| tasks.lanes.get(lane));
    let mut sums = Sums::default();
    // What its own records tell is taken in one piece: they do not end where phases do.
    let mut since = origin_ns;
    for phase in phases {
        let from = origin_ns.saturating_add(phase.at_ns).min(end_ns);
        let to = from.saturating_add(phase.duration_ns).min(end_ns);
        let state = match &*phase.name {
            "fork" => State::Creating,
            "schedule" => State::Runnable,
            _ => continue,
        };
        sums.add_all(&observed(lane, since, from));
        sums.add(state, to - from);
        since = to;
    }
    sums.add_all(&observed(lane, since, end_ns));
    sums
}

/// A task's time between two times; what it did not tell is unknown, or after its end.
fn observed(lane: Option<&Lane>, from: u64, to: u64) -> Sums {
    let mut sums = lane.map(|lane| lane.within(from, to)).unwrap_or_default();
    let mut left = to.saturating_sub(from).saturating_sub(sums.iter().map(|(_, ns)| ns).sum());
    if let Some(lane) = lane
        && lane.ended_ns.is_some()
    {
        let ended = lane.until_ns().unwrap_or(to).clamp(from, to);
        let exited = (to - ended).min(left);
        sums.add(State::Exited, exited);
        left -= exited;
    }
    sums.add(State::Unknown, left);
    sums
}

/// The threads that ran within the start, but for the main one, and how many are left out.
fn threads(tasks: &Tasks, id: Id, origin_ns: u64, end_ns: u64) -> (Vec<ThreadTime>, u64) {
    let others = tasks.lanes.iter().filter(|lane| lane.tid != id.pid);
    let mut threads: Vec<ThreadTime> = others
        .filter(|lane| lane.begin_ns().is_some_and(|begin| begin < end_ns))
        .filter(|lane| lane.until_ns().is_some_and(|until| until > origin_ns))
        .map(|lane| {
            let sums = lane.within(origin_ns, end_ns);
            ThreadTime {
                tid: lane.tid,
                comm: lane.comm.clone(),
                running_ns: sums.get(State::Running),
                runnable_ns: sums.get(State::Runnable),
            }
        })
        .collect();
    threads.sort_small_by_key(|thread| (std::cmp::Reverse(thread.running_ns), thread.tid));
    let left_out = threads.len().saturating_sub(tasks::MAX_LANES);
    threads.truncate(tasks::MAX_LANES);
    (threads, left_out as u64)
}

/// What a process used. A start that did not begin with the process takes off what was used before.
fn counters(tasks: &Tasks, origin_ns: u64, end_ns: u64, later: bool) -> Option<Counters> {
    let used = tasks.usage(origin_ns, end_ns, later)?;
    Some(Counters {
        user_ns: used.user_ns,
        system_ns: used.system_ns,
        minor_faults: used.minor_faults,
        major_faults: used.major_faults,
        voluntary_switches: used.voluntary,
        involuntary_switches: used.involuntary,
        read_bytes: Some(used.read_bytes).filter(|bytes| *bytes != Usage::NOT_KNOWN),
        rss_bytes: Some(used.rss_bytes).filter(|bytes| *bytes != 0),
        threads: used.threads,
    })
}
