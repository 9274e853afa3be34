//! What the tasks of one start did, as the kernel told it: for each task a row of pieces without gap or
//! overlap. Long waits are kept singly, what lies between them as sums.
//!
//! Whatever was lost, or came in whatever order, a row stays whole: what no record covers is a piece of
//! unknown time, and of two records that overlap the second is cut.

mod lane;
mod sums;

use self::lane::cut;
pub(super) use self::lane::{Lane, Piece, SINGLE_NS};
pub(super) use self::sums::{Call, State, Sums};
use super::row::Row;
use super::spill::Spill;
pub(super) use super::waited::{Rival, Told, Waited};
use crate::event::task::{Mark, Moment, Spent, Usage};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use std::rc::Rc;

/// Waits that a start keeps singly: the longest.
pub(super) const MAX_WAITS: usize = 10_000;
/// Pieces of one start; more than that, and neighbouring sums are added up.
const MAX_PIECES: usize = 40_000;
/// Pieces of time that are kept, of all starts in progress together: some 15 MB, where they do not leave memory.
pub(super) const MAX_ALL_PIECES: usize = 400_000;
/// Of a mark of a task's end: its process was told to end, by one of its tasks or a signal.
const END_OF_ALL: u64 = 1;
/// Tasks of one start that are kept; of more, those that have ended and ran least are left out.
pub(super) const MAX_LANES: usize = 2_000;

/// What the tasks of one start did.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    pub lanes: Vec<Lane>,
    /// The last lane of each task's number.
    by_tid: HashMap<u32, usize>,
    /// Waits that are no longer kept singly.
    pub waits_left_out: u64,
    /// Tasks that are no longer kept.
    pub lanes_left_out: u64,
    /// What tasks had used that are no longer kept, and how long they had run.
    gone: Usage,
    gone_running_ns: u64,
    /// What `/proc` said at the end of tasks that never told of themselves, and of the process as a whole.
    silent: Usage,
    asked: Option<Usage>,
    /// The process was told to end: when the first of its tasks did, and how many there were then.
    ending: Option<(u64, u32)>,
    /// An exec's mark, until the exec tells which thread made it.
    exec: Option<(u64, Spent, Usage)>,
    waits: usize,
    pieces: usize,
    /// The process; its first task has the same number.
    pid: u32,
    /// At so many lanes some are dropped.
    drop_at: usize,
    /// Where what was long ago goes.
    spill: Option<Rc<Spill>>,
}

impl Tasks {
    /// Has what is long ago leave memory for there.
    pub(super) fn keep_in(&mut self, spill: Option<&Rc<Spill>>) {
        if self.spill.is_none() {
            self.spill = spill.cloned();
        }
    }

    /// Pieces that are kept.
    pub(super) fn len(&self) -> usize {
        self.pieces
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Has the main one, which is alone, told what it had used at a time?
    pub(super) fn told_usage(&self, at_ns: u64) -> bool {
        let lane = self.lane(self.pid).and_then(|lane| self.lanes.get(lane));
        let told = lane.and_then(|lane| lane.readings.last());
        let lives = |lane: &&Lane| lane.ended_ns.is_none();
        told.is_some_and(|(at, used)| *at == at_ns && used.threads == 1)
            && self.lanes.iter().filter(lives).count() == 1
    }

    /// None yet, of this process.
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// Puts a task in as it was, behind the others; `is_last`: its number is not another's since.
    pub(super) fn put(&mut self, lane: Lane, is_last: bool) {
        if is_last {
            self.by_tid.insert(lane.tid, self.lanes.len());
        }
        self.lanes.push(lane);
    }

    pub(super) fn lane(&self, tid: u32) -> Option<usize> {
        self.by_tid.get(&tid).copied()
    }

    /// The lane that a record of a task belongs to.
    fn lane_mut(&mut self, tid: u32, since_ns: u64) -> Option<&mut Lane> {
        let known = self.by_tid.get(&tid).copied();
        // A number that comes again is another task's.
        let over = |lane: &Lane| tid != self.pid && lane.ended_ns.is_some_and(|ended| since_ns >= ended);
        let at = match known {
            Some(at) if !self.lanes.get(at).is_some_and(over) => at,
            _ => {
                if self.lanes.len() >= self.drop_at.max(MAX_LANES) {
                    self.drop_lanes();
                    self.drop_at = self.lanes.len() + MAX_LANES / 2;
                }
                let pieces = Row::kept_in(self.spill.clone());
                self.lanes.push(Lane::of(tid, pieces, None, Vec::new()));
                self.by_tid.insert(tid, self.lanes.len() - 1);
                self.lanes.len() - 1
            }
        };
        self.lanes.get_mut(at)
    }

    /// Forgets tasks that have ended, those that ran least first.
    fn drop_lanes(&mut self) {
        let linked: Vec<usize> =
            self.lanes.iter().flat_map(|lane| lane.taken_over.iter().map(|t| t.1)).collect();
        let mut ended: Vec<(u64, usize)> = self
            .lanes
            .iter()
            .enumerate()
            .filter(|(at, lane)| lane.ended_ns.is_some() && lane.tid != self.pid && !linked.contains(at))
            .map(|(at, lane)| (lane.within(0, u64::MAX).get(State::Running), at))
            .collect();
        ended.sort_unstable();
        ended.truncate(MAX_LANES / 2);
        self.gone_running_ns += ended.iter().map(|(running_ns, _)| running_ns).sum::<u64>();
        let mut gone = vec![false; self.lanes.len()];
        ended.iter().for_each(|(_, at)| gone[*at] = true);
        self.lanes_left_out += ended.len() as u64;
        let mut places = Vec::with_capacity(self.lanes.len());
        let mut kept = Vec::with_capacity(self.lanes.len());
        for (lane, gone) in std::mem::take(&mut self.lanes).into_iter().zip(&gone) {
            places.push(kept.len());
            if *gone {
                self.waits_left_out += lane.pieces.waits() as u64;
                if let Some((_, used)) = lane.readings.last() {
                    add_usage(&mut self.gone, used);
                }
            } else {
                kept.push(lane);
            }
        }
        self.by_tid.retain(|_, at| !gone.get(*at).copied().unwrap_or(true));
        self.by_tid.values_mut().for_each(|at| *at = places.get(*at).copied().unwrap_or(0));
        for lane in &mut kept {
            lane.taken_over.iter_mut().for_each(|t| t.1 = places.get(t.1).copied().unwrap_or(0));
        }
        self.lanes = kept;
        self.count();
    }

    fn count(&mut self) {
        self.pieces = self.lanes.iter().map(|lane| lane.pieces.len()).sum();
        self.waits = self.lanes.iter().map(|lane| lane.pieces.waits()).sum();
    }

    /// Takes a wait in.
    pub(super) fn wait(&mut self, pid: u32, tid: u32, spent: &Spent, wait: Waited) {
        self.pid = pid;
        self.flush(tid);
        let since = first(spent, wait.off_ns);
        let Some(lane) = self.lane_mut(tid, since) else { return };
        let before = (lane.pieces.len(), wait.back_ns.saturating_sub(wait.off_ns) >= SINGLE_NS);
        lane.waited(spent, wait);
        let now = lane.pieces.len();
        self.pieces = (self.pieces + now).saturating_sub(before.0);
        self.waits += usize::from(before.1);
        self.bound(2 * MAX_WAITS, MAX_WAITS, MAX_PIECES);
    }

    /// Takes in what a task has done since its last record, as found elsewhere.
    pub(super) fn stood(&mut self, pid: u32, tid: u32, spent: &Spent, wait: Option<Waited>) {
        self.pid = pid;
        self.flush(tid);
        let Some(lane) = self.lane_mut(tid, spent.since_ns) else { return };
        lane.spent(spent);
        if let Some(wait) = wait.filter(|wait| wait.back_ns > wait.off_ns) {
            lane.push(Piece::Wait(wait));
        }
        self.count();
    }

    /// Takes in what `/proc` says that a task has used, at the end of a start.
    pub(super) fn asked(&mut self, tid: u32, used: &Usage) {
        self.asked = self.asked.filter(|_| tid != self.pid).or(Some(*used));
        match self.by_tid.get(&tid).and_then(|at| self.lanes.get_mut(*at)) {
            Some(lane) => lane.asked = Some(*used),
            None => add_usage(&mut self.silent, used),
        }
    }

    /// Takes in what the same tasks have told later.
    pub(super) fn follow(&mut self, later: &Self) {
        for lane in &later.lanes {
            let Some(own) = self.by_tid.get(&lane.tid).and_then(|at| self.lanes.get_mut(*at)) else {
                continue;
            };
            if own.ended_ns.is_some() {
                continue;
            }
            lane.pieces.iter().for_each(|piece| own.push(piece.into_owned()));
            own.ended_ns = lane.ended_ns;
        }
        self.count();
    }

    /// Takes a moment in.
    pub(super) fn mark(&mut self, pid: u32, tid: u32, time_ns: u64, mark: &Mark) {
        self.pid = pid;
        self.flush(tid);
        if mark.moment == Moment::Exec {
            // Told by the new leader, who may have been another thread: the exec itself tells.
            self.exec = Some((time_ns, mark.spent.clone(), mark.usage));
            return;
        }
        let Some(lane) = self.lane_mut(tid, first(&mark.spent, time_ns)) else { return };
        let before = lane.pieces.len();
        lane.spent(&mark.spent);
        lane.used(time_ns, mark.usage);
        if mark.moment == Moment::End {
            lane.ended_ns = Some(time_ns);
        }
        let now = lane.pieces.len();
        self.pieces = (self.pieces + now).saturating_sub(before);
        if mark.moment == Moment::End && mark.value == END_OF_ALL {
            self.ending.get_or_insert((time_ns, mark.usage.threads));
        }
        if mark.moment == Moment::ThreadName
            && let Some(text) = &mark.text
            && let Some(at) = u32::try_from(mark.value).ok().and_then(|tid| self.lane(tid))
            && let Some(lane) = self.lanes.get_mut(at)
        {
            lane.comm = Some(text.clone());
        }
        self.bound(2 * MAX_WAITS, MAX_WAITS, MAX_PIECES);
    }

    fn flush(&mut self, tid: u32) {
        if tid != self.pid {
            return;
        }
        if let Some((time_ns, spent, usage)) = self.exec.take()
            && let Some(lane) = self.lane_mut(tid, spent.since_ns)
        {
            let before = lane.pieces.len();
            lane.spent(&spent);
            lane.used(time_ns, usage);
            let now = lane.pieces.len();
            self.pieces = (self.pieces + now).saturating_sub(before);
        }
    }

    /// The process `pid` executed, by its thread `old_tid`, whose entry into the call was then.
    pub(super) fn exec(&mut self, pid: u32, old_tid: u32, entry_ns: Option<u64>, time_ns: u64) {
        self.pid = pid;
        if old_tid == pid || old_tid == 0 {
            self.flush(pid);
            return;
        }
        let mark = self.exec.take();
        let entry = entry_ns.or(mark.as_ref().map(|(_, spent, _)| spent.since_ns)).unwrap_or(time_ns);
        if let Some((at, spent, usage)) = &mark
            && let Some(lane) = self.lane_mut(old_tid, spent.since_ns)
        {
            lane.spent(spent);
            lane.used(*at, *usage);
        }
        let Some(thread) = self.lane(old_tid) else { return };
        let leader = match self.lane(pid) {
            Some(leader) => leader,
            None => {
                let pieces = Row::kept_in(self.spill.clone());
                self.lanes.push(Lane::of(pid, pieces, None, Vec::new()));
                self.by_tid.insert(pid, self.lanes.len() - 1);
                self.lanes.len() - 1
            }
        };
        let Some(lane) = self.lanes.get_mut(leader) else { return };
        let alone = lane.ended_ns.or(lane.until_ns()).unwrap_or(0);
        let from = alone.max(entry).min(time_ns);
        let mut moved = Vec::new();
        // What came under the leader's number after its end, before the exec was told, is the thread's as well.
        while let Some(piece) = lane.pieces.pop_if(|piece| piece.since_ns() >= from) {
            moved.push(piece);
        }
        let Some(old) = self.lanes.get_mut(thread) else { return };
        // What the thread did from then on is the main thread's.
        while let Some(piece) = old.pieces.pop_if(|piece| piece.until_ns() > from) {
            if piece.since_ns() >= from {
                moved.push(piece);
            } else {
                let sums = piece.within(0, from);
                moved.push(cut(piece.clone(), from));
                old.push(match piece {
                    Piece::Sums { since_ns, .. } => Piece::Sums { since_ns, until_ns: from, sums },
                    Piece::Wait(mut wait) => {
                        wait.back_ns = from;
                        wait.wake_ns = wait.wake_ns.min(from);
                        Piece::Wait(wait)
                    }
                });
            }
        }
        old.ended_ns = Some(from);
        let readings = std::mem::take(&mut old.readings);
        if let Some(lane) = self.lanes.get_mut(leader) {
            // The task is the thread's, also in what it used.
            if let Some((_, used)) = std::mem::replace(&mut lane.readings, readings).last() {
                add_usage(&mut self.gone, used);
            }
            let ended = lane.ended_ns.take();
            if let (Some(until), Some(_)) = (lane.until_ns(), ended)
                && until < from
            {
                let mut sums = Sums::default();
                sums.add(State::Exited, from - until);
                lane.push(Piece::Sums { since_ns: until, until_ns: from, sums });
            }
            moved.retain(|piece| !piece.is_gap());
            moved.sort_small_by_key(Piece::since_ns);
            moved.into_iter().for_each(|piece| lane.push(piece));
            lane.taken_over.push((from, thread));
        }
        self.count();
    }

    /// A start of the same process begins: what was before is not its own.
    pub(super) fn begin(&mut self, origin_ns: u64) {
        for lane in &mut self.lanes {
            let all = lane.pieces.take();
            all.filter(|piece| piece.until_ns() > origin_ns).for_each(|piece| lane.pieces.push(piece));
        }
        for lane in &mut self.lanes {
            lane.readings.retain(|(at, _)| *at >= origin_ns);
            lane.asked = None;
        }
        self.lanes_left_out = 0;
        self.waits_left_out = 0;
        self.gone = Usage::default();
        self.gone_running_ns = 0;
        (self.silent, self.asked, self.ending) = (Usage::default(), None, None);
        self.count();
    }

    /// Keeps it small: when there are more than `trigger` single waits, the longest `keep` stay.
    pub(super) fn bound(&mut self, trigger: usize, keep: usize, pieces: usize) {
        if self.waits > trigger {
            let mut lengths: Vec<u64> = self
                .lanes
                .iter()
                .flat_map(Lane::waits)
                .map(|wait| wait.back_ns.saturating_sub(wait.off_ns))
                .collect();
            let nth = lengths.len().saturating_sub(keep);
            if nth < lengths.len() {
                let (shorter, limit, _) = lengths.select_nth_unstable(nth);
                // Of equal ones only so many go that the others stay.
                let equal = shorter.iter().filter(|ns| *ns == limit).count();
                let limit = *limit;
                self.thin(limit, equal, 0);
            }
        }
        let mut join_ns = 1_000_000;
        while self.pieces > pieces.max(2 * self.waits + self.lanes.len() + 1) && join_ns < u64::MAX / 8 {
            self.thin(0, 0, join_ns);
            join_ns *= 4;
        }
    }

    fn thin(&mut self, wait_ns: u64, mut equal: usize, join_ns: u64) {
        for lane in &mut self.lanes {
            self.waits_left_out += lane.thin(wait_ns, &mut equal, join_ns);
        }
        self.count();
    }

    /// A task's name, as another task's record tells it.
    pub(super) fn named(&mut self, tid: u32, comm: &str) {
        if let Some(lane) = self.by_tid.get(&tid).and_then(|at| self.lanes.get_mut(*at))
            && lane.comm.is_none()
        {
            lane.comm = Some(comm.to_owned());
        }
    }

    /// What all tasks have used in a start; `later`: it did not begin with the process. `None` where nothing was told.
    pub(super) fn usage(&self, origin_ns: u64, to_ns: u64, later: bool) -> Option<Usage> {
        let mut sum = self.gone;
        add_usage(&mut sum, &self.silent);
        let mut latest: Option<(u64, Usage)> = None;
        let mut running_ns = self.gone_running_ns;
        for lane in &self.lanes {
            running_ns = running_ns.saturating_add(lane.within(origin_ns, to_ns).get(State::Running));
            let told = lane.readings.iter().rev().find(|(at, _)| *at <= to_ns);
            if let Some((at, told)) = told.filter(|(at, _)| latest.is_none_or(|(other, _)| other <= *at)) {
                latest = Some((*at, *told));
            }
            // What it had used when it was first seen, if it was there before the start, is not the start's.
            let there = lane.tid == self.pid || lane.begin_ns().is_none_or(|begin| begin <= origin_ns);
            let before = lane.readings.first().filter(|_| later && there);
            let asked = lane.asked.filter(|_| told.is_none_or(|(at, _)| *at != to_ns));
            let asked = asked.filter(|_| !(later && there) || before.is_some());
            let Some(mut used) = asked.or(told.map(|(_, told)| *told)) else { continue };
            if let Some((_, told)) = told {
                // Of what has a tick as its unit there, it may have told more.
                each(&mut used, told, u64::max);
            }
            add_usage(&mut sum, &used);
            if let Some((_, before)) = before {
                take_usage(&mut sum, before);
            }
        }
        // Of the process as a whole whoever made it ready tells best.
        let exact = latest.filter(|(at, _)| *at == to_ns).map(|(_, told)| told);
        let whole = exact.or(self.asked).or(latest.map(|(_, told)| told))?;
        let threads =
            self.ending.filter(|(at, _)| *at <= to_ns).map_or(whole.threads, |(_, threads)| threads);
        if whole.read_bytes == Usage::NOT_KNOWN {
            sum.read_bytes = Usage::NOT_KNOWN;
        }
        // As the kernel does it for getrusage(2): what is measured is divided by what its ticks found.
        let ticks = u128::from(sum.user_ns) + u128::from(sum.system_ns);
        let system_ns = u128::from(running_ns) * u128::from(sum.system_ns) / ticks.max(1);
        sum.system_ns = u64::try_from(system_ns).unwrap_or(running_ns);
        sum.user_ns = running_ns - sum.system_ns;
        Some(Usage { rss_bytes: whole.rss_bytes, threads, ..sum })
    }

    /// The lane of the task that was the last to tell of itself, until then.
    pub(super) fn last(&self, to_ns: u64) -> Option<usize> {
        let lanes = self.lanes.iter().enumerate();
        let until = |lane: &Lane| Some((lane.until_ns()?.min(to_ns), lane.tid == self.pid));
        lanes.filter_map(|(at, lane)| Some((until(lane)?, at))).max().map(|(_, at)| at)
    }
}

fn first(spent: &Spent, else_ns: u64) -> u64 {
    if spent.until_ns > spent.since_ns { spent.since_ns } else { else_ns }
}

fn add_usage(sum: &mut Usage, more: &Usage) {
    each(sum, more, u64::saturating_add);
}

fn take_usage(sum: &mut Usage, less: &Usage) {
    each(sum, less, u64::saturating_sub);
}

/// The sums, not what is told of the process as a whole.
fn each(sum: &mut Usage, other: &Usage, with: fn(u64, u64) -> u64) {
    sum.user_ns = with(sum.user_ns, other.user_ns);
    sum.system_ns = with(sum.system_ns, other.system_ns);
    sum.minor_faults = with(sum.minor_faults, other.minor_faults);
    sum.major_faults = with(sum.major_faults, other.major_faults);
    sum.voluntary = with(sum.voluntary, other.voluntary);
    sum.involuntary = with(sum.involuntary, other.involuntary);
    sum.read_bytes = with(sum.read_bytes, other.read_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_waits_of_one_length_as_many_stay_as_of_others() {
        for step in [0, 1] {
            let mut tasks = Tasks::of(7);
            for n in 0..41 {
                let off_ns = n * 2_000_000;
                let back_ns = off_ns + 1_000_000 + n * step;
                let spent = Spent { since_ns: off_ns, until_ns: off_ns, ..Spent::default() };
                tasks.wait(7, 7, &spent, Waited::new(off_ns, back_ns, back_ns, &Told::default()));
            }
            tasks.bound(40, 20, usize::MAX);
            assert_eq!((tasks.waits, tasks.waits_left_out), (20, 21), "{step}");
        }
    }
}
