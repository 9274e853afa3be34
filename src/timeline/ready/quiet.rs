//! Quiet: for so long, a start's tree has hardly run.
//!
//! A window of the settable length is quiet when the tree runs less than 1 % of it, forks and execs
//! nothing, and no thread waits for a disk, a page or a CPU for 5 ms. What some waits mean depends on
//! whether they are work ([`work`]): that is for the caller to say, by [`Quiet::active`].

use crate::event::task::{Spent, Wait, WaitKind};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use std::collections::VecDeque;

/// A wait for a disk, a page or a CPU that is no rest.
pub(super) const DELAY_NS: u64 = 5_000_000;
/// Stretches that are closer than this are one, up to [`MERGED_NS`].
const NEAR_NS: u64 = 2_000_000;
const MERGED_NS: u64 = 20_000_000;
/// What ran within this time after the window's beginning, without a pause of [`PAUSE_NS`], is still the
/// end of the work.
const EBB_NS: u64 = 50_000_000;
const PAUSE_NS: u64 = 5_000_000;
/// From this consecutive sleep on at one place, with no failed attempt to connect between, a sleep is a period
/// and no work.
const PERIOD_AT: u32 = 3;

/// One stretch in which something ran.
#[derive(Debug, Clone, Copy)]
struct Ran {
    from_ns: u64,
    until_ns: u64,
    running_ns: u64,
}

/// The latest window that may be quiet.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    since_ns: u64,
    sum_ns: u64,
    ran: VecDeque<Ran>,
}

impl Quiet {
    pub(crate) fn new(since_ns: u64) -> Self {
        Self { since_ns, ..Self::default() }
    }

    /// Where the window begins.
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Something happened that is no rest: the window begins after it.
    pub(crate) fn active(&mut self, at_ns: u64) {
        if at_ns <= self.since_ns {
            return;
        }
        self.since_ns = at_ns;
        while let Some(first) = self.ran.front().filter(|ran| ran.until_ns <= at_ns) {
            self.sum_ns = self.sum_ns.saturating_sub(first.running_ns);
            self.ran.pop_front();
        }
    }

    /// A thread of the tree ran. `budget_ns`: the running time that a quiet window may hold.
    /// Stretches may come late, and so out of order.
    pub(crate) fn ran(&mut self, spent: &Spent, budget_ns: u64) {
        if spent.until_ns <= self.since_ns || spent.running_ns == 0 {
            return;
        }
        let new = Ran {
            from_ns: spent.since_ns.max(self.since_ns),
            until_ns: spent.until_ns,
            // Records that contradict themselves come from nowhere but a broken stream.
            running_ns: spent.running_ns.min(spent.until_ns.saturating_sub(spent.since_ns)),
        };
        self.sum_ns = self.sum_ns.saturating_add(new.running_ns);
        let at = self.ran.iter().rposition(|ran| ran.until_ns <= new.until_ns).map_or(0, |at| at + 1);
        match at.checked_sub(1).and_then(|before| self.ran.get_mut(before)) {
            Some(last)
                if new.from_ns <= last.until_ns.saturating_add(NEAR_NS)
                    && new.until_ns.saturating_sub(last.from_ns) <= MERGED_NS =>
            {
                last.until_ns = new.until_ns;
                last.running_ns = last.running_ns.saturating_add(new.running_ns);
            }
            _ => self.ran.insert(at, new),
        }
        while self.sum_ns > budget_ns
            && let Some(first) = self.ran.pop_front()
        {
            self.sum_ns = self.sum_ns.saturating_sub(first.running_ns);
            self.since_ns = self.since_ns.max(first.until_ns);
        }
    }

    /// Where the rest begins: the window's beginning, less the end of the work that is still in it.
    /// `untold`: stretches of which no record told yet. `Err`: with those it is no quiet; up to where.
    pub(crate) fn begin_ns(&self, untold: &[Spent], budget_ns: u64) -> Result<u64, u64> {
        let untold = untold.iter().filter(|ran| ran.until_ns > self.since_ns).map(|ran| Ran {
            from_ns: ran.since_ns,
            until_ns: ran.until_ns,
            running_ns: ran.running_ns,
        });
        let mut all: Vec<Ran> = self.ran.iter().copied().chain(untold).collect();
        all.sort_small_by_key(|ran| ran.until_ns);
        let sum_ns: u64 = all.iter().fold(0, |sum, ran| sum.saturating_add(ran.running_ns));
        if sum_ns > budget_ns {
            return Err(all.last().map_or(self.since_ns, |ran| ran.until_ns));
        }
        let mut begin = self.since_ns;
        for ran in &all {
            if ran.from_ns > begin.saturating_add(PAUSE_NS)
                || ran.until_ns > self.since_ns.saturating_add(EBB_NS)
            {
                break;
            }
            begin = begin.max(ran.until_ns);
        }
        Ok(begin)
    }
}

/// What is remembered of one thread of a start.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    /// On a CPU, as far as told.
    pub(crate) running_ns: u64,
    /// That is all since its creation.
    pub(crate) whole: bool,
    /// Up to where it was told.
    pub(crate) told_ns: u64,
    /// Where looks alone tell of it, and find it on a CPU or waiting for one: since when, and its running time then.
    runnable: Option<(u64, Option<u64>)>,
    /// The last sleep that it chose: system call and arguments, and how often in a row.
    sleep: Option<(i32, [u64; 3])>,
    sleeps: u32,
}

impl Thread {
    pub(crate) fn new(whole: bool) -> Self {
        Self { whole, ..Self::default() }
    }

    pub(crate) fn told(&mut self, spent: &Spent, at_ns: u64) {
        self.running_ns = self.running_ns.saturating_add(spent.running_ns);
        self.told_ns = self.told_ns.max(at_ns);
        self.runnable = None;
    }

    /// A look found it running, or fit to: has it waited for a CPU meanwhile, with no record of that yet? One look
    /// cannot say, as the kernel tells of such a wait only when it is over; whoever is throttled may wait for long.
    pub(crate) fn seen_runnable(&mut self, now_ns: u64, running_ns: Option<u64>) -> bool {
        let (since_ns, before) = *self.runnable.get_or_insert((now_ns, running_ns));
        let ran_ns = running_ns.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
        let waited = now_ns.saturating_sub(since_ns).saturating_sub(ran_ns) >= DELAY_NS;
        if waited {
            self.runnable = None;
        }
        waited
    }

    /// A look found it waiting for something else.
    pub(crate) fn seen_waiting(&mut self) {
        self.runnable = None;
    }

    /// Is that sleep one of a row?
    pub(crate) fn is_period(&self, nr: i32, args: [u64; 3]) -> bool {
        self.sleep == Some((nr, args)) && self.sleeps + 1 >= PERIOD_AT
    }

    /// It tried something in vain: what it sleeps now is the pause before the next try.
    pub(crate) fn failed(&mut self) {
        self.sleeps = 0;
    }

    /// A wait is over: did the thread itself work by it (with whoever it waited for)?
    pub(crate) fn waited(&mut self, wait: &Wait, back_ns: u64) -> bool {
        let blocked = wait.blocked_ns(back_ns);
        let work = match wait.kind {
            WaitKind::Disk | WaitKind::PageFault => blocked >= DELAY_NS,
            WaitKind::Child
            | WaitKind::Vfork
            | WaitKind::Lock
            | WaitKind::Stopped
            | WaitKind::Throttled
            | WaitKind::Memory
            | WaitKind::Random
            | WaitKind::Dns => true,
            WaitKind::Sleep => {
                let place = (wait.nr.unwrap_or(-1), wait.args);
                let same = self.sleep == Some(place);
                self.sleep = Some(place);
                self.sleeps = if same { self.sleeps.saturating_add(1) } else { 1 };
                self.sleeps < PERIOD_AT
            }
            _ => false,
        };
        // A wait for somebody else ends a row of sleeps.
        if matches!(
            wait.kind,
            WaitKind::Child
                | WaitKind::Vfork
                | WaitKind::Lock
                | WaitKind::Dns
                | WaitKind::Network
                | WaitKind::UnixSocket
                | WaitKind::Pipe
        ) {
            self.sleeps = 0;
        }
        work || wait.runnable_ns(back_ns) >= DELAY_NS
    }
}

/// The threads of a process, by number.
pub(crate) type Threads = HashMap<u32, Thread>;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn spent(from_ms: u64, until_ms: u64, running_us: u64) -> Spent {
        Spent {
            since_ns: from_ms * MS,
            until_ns: until_ms * MS,
            running_ns: running_us * 1000,
            ..Spent::default()
        }
    }

    #[test]
    fn the_end_of_work_is_where_quiet_begins() {
        let mut quiet = Quiet::new(0);
        quiet.ran(&spent(0, 300, 300_000), 10 * MS);
        assert_eq!((quiet.since_ns(), quiet.begin_ns(&[], 10 * MS).unwrap()), (300 * MS, 300 * MS));
        // What is left of it is not quiet's first part.
        quiet.ran(&spent(301, 304, 3_000), 10 * MS);
        assert_eq!((quiet.since_ns(), quiet.begin_ns(&[], 10 * MS).unwrap()), (300 * MS, 304 * MS));
        // A short awakening later is part of the quiet.
        quiet.ran(&spent(700, 702, 2_000), 10 * MS);
        assert_eq!(quiet.begin_ns(&[], 10 * MS).unwrap(), 304 * MS);
        // Together they are too much.
        quiet.ran(&spent(900, 906, 6_000), 10 * MS);
        assert_eq!((quiet.since_ns(), quiet.begin_ns(&[], 10 * MS).unwrap()), (304 * MS, 304 * MS));
        // What no record told yet counts, too.
        let untold = |from, until, us| quiet.begin_ns(&[spent(from, until, us)], 10 * MS);
        assert_eq!(untold(304, 305, 1_000), Ok(305 * MS));
        assert_eq!(untold(906, 907, 1_000), Ok(304 * MS));
        assert_eq!(untold(906, 910, 4_000), Err(910 * MS));
    }

    #[test]
    fn an_idle_program_that_wakes_twenty_times_a_second_is_quiet() {
        let mut quiet = Quiet::new(100 * MS);
        for n in 0..20 {
            quiet.ran(&spent(150 + 50 * n, 151 + 50 * n, 300), 10 * MS);
        }
        assert_eq!(quiet.since_ns(), 100 * MS);
        // Twice as much is work; the window follows it and memory does not grow.
        for n in 0..5000 {
            quiet.ran(&spent(2000 + 25 * n, 2001 + 25 * n, 600), 10 * MS);
        }
        assert!(quiet.since_ns() > 126_000 * MS && quiet.ran.len() < 40);
    }

    #[test]
    fn stretches_that_come_late_are_put_in_their_place() {
        let mut quiet = Quiet::new(0);
        quiet.ran(&spent(500, 501, 600), 10 * MS);
        quiet.ran(&spent(0, 100, 9_000), 10 * MS);
        assert_eq!(quiet.since_ns(), 0);
        quiet.ran(&spent(600, 601, 600), 10 * MS);
        assert_eq!((quiet.since_ns(), quiet.ran.len()), (100 * MS, 2));
    }

    #[test]
    fn sleeps_are_work_until_the_third_at_one_place() {
        let mut thread = Thread::default();
        let sleep = |place| Wait {
            kind: WaitKind::Sleep,
            nr: Some(230),
            args: [1, 0, place],
            wake_ns: Some(MS),
            ..Wait::default()
        };
        assert!(thread.waited(&sleep(7), MS));
        assert!(!thread.is_period(230, [1, 0, 7]));
        assert!(thread.waited(&sleep(7), MS));
        assert!(thread.is_period(230, [1, 0, 7]) && !thread.is_period(230, [1, 0, 8]));
        assert!(!thread.waited(&sleep(7), MS));
        assert!(thread.waited(&sleep(8), MS));
        // Waiting for somebody between two sleeps: it is polling for something.
        let child = Wait { kind: WaitKind::Child, ..sleep(0) };
        for _ in 0..4 {
            assert!(thread.waited(&sleep(7), MS) && thread.waited(&child, MS));
        }
        // Nor is it a period between two tries that fail.
        for _ in 0..4 {
            assert!(thread.waited(&sleep(7), MS));
            thread.failed();
            assert!(!thread.is_period(230, [1, 0, 7]));
        }
    }

    #[test]
    fn who_is_seen_runnable_for_long_and_ran_less_waits_for_a_cpu() {
        let mut thread = Thread::default();
        let mut seen =
            |at_ms, ran_ms: Option<u64>| thread.seen_runnable(at_ms * MS, ran_ms.map(|ms| ms * MS));
        assert!(!seen(100, Some(7)), "one look");
        assert!(!seen(104, Some(7)) && seen(105, Some(7)) && !seen(106, Some(7)));
        // It ran all the time, or nearly: its budget says how long it may.
        assert!(!seen(116, Some(17)) && !seen(126, Some(23)) && seen(127, Some(23)));
        // Where nobody counts that, it is no rest either way.
        assert!(!seen(200, None) && seen(205, None));
        // Nor is it one wait with a record, or another wait, between.
        assert!(!seen(300, Some(30)));
        thread.told(&Spent::default(), 310 * MS);
        assert!(!thread.seen_runnable(320 * MS, Some(30 * MS)));
        thread.seen_waiting();
        assert!(!thread.seen_runnable(340 * MS, Some(30 * MS)));
    }

    #[test]
    fn delays_are_no_rest() {
        let mut thread = Thread::default();
        let wait = |kind, wake_ms: u64| Wait { kind, wake_ns: Some(wake_ms * MS), ..Wait::default() };
        assert!(thread.waited(&wait(WaitKind::Disk, 6), 6 * MS));
        assert!(!thread.waited(&wait(WaitKind::Disk, 4), 4 * MS));
        assert!(!thread.waited(&wait(WaitKind::Poll, 900), 900 * MS));
        assert!(thread.waited(&wait(WaitKind::Poll, 900), 906 * MS), "six ms for a CPU");
        assert!(thread.waited(&wait(WaitKind::Lock, 1), MS));
    }
}
