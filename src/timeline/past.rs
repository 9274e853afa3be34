//! What is kept of starts that are finished, while others still go on that may have waited for them: the
//! critical path of those leads through them.
//!
//! A command that starts others for hours may ask at its end for any of them. So each is written into few bytes
//! (`code.rs`), which leave memory for a nameless file where there is one, as does where they are.

mod code;
#[cfg(test)]
mod tests;

use super::phases::Begun;
use super::spill::Spill;
use super::tasks::Tasks;
use crate::aside::{Scratch, Store, Table};
use crate::event::Id;
use std::rc::Rc;

/// Past starts that are known: 10 MB of where they are, where that has to be in memory.
const MAX_STORIES: u64 = 250_000;
/// Numbers of a slot.
const SLOT: u64 = 4;

/// One start, as a path needs it.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub id: Id,
    pub seq: u32,
    pub origin_ns: u64,
    /// Its end: nothing of it is known from then on ...
    pub end_ns: u64,
    /// ... and nothing was to come, because the process ended.
    pub exited: bool,
    /// The process began here, made by this task.
    pub creator: Option<(Id, u32)>,
    pub run_ns: Option<u64>,
    pub phases: Rc<[Begun]>,
    pub command: String,
    pub tasks: Rc<Tasks>,
}

/// Where a story is, and whose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) origin_ns: u64,
    end_ns: u64,
    /// Its place; the lowest bit says whether the process ended.
    at: u64,
    pid: u32,
    /// How many slots before this one another start of a process with this number is; 0: there is none.
    back: u32,
}

impl Slot {
    fn exited(&self) -> bool {
        self.at & 1 == 1
    }
}

/// Finished starts.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// In the order in which they finished, each as four numbers.
    slots: Table,
    /// The number of the first slot: how many went before.
    gone: u64,
    /// The number of the next one.
    next: u64,
    /// The number behind the one of the last slot of each process number.
    by_pid: Table,
    store: Store,
    /// Where the pieces of those go that are read again, where they are many.
    spill: Option<Rc<Spill>>,
    sweep_at: u64,
    /// The end of the latest start that had to go before its time.
    pub evicted_ns: u64,
}

impl Past {
    /// Puts what is seldom asked for there, from now on: the starts, where each is, and where the last of each process
    /// number is.
    pub(super) fn keep_in(&mut self, [starts, slots, by_pid]: [Box<dyn Scratch>; 3]) {
        self.store.keep_in(starts);
        self.slots.keep_in(slots);
        self.by_pid.keep_in(by_pid);
    }

    /// Puts there what is read again of starts that went on for long.
    pub(super) fn keep_rows_in(&mut self, spill: Option<&Rc<Spill>>) {
        self.spill = spill.cloned();
    }

    /// Keeps a start. `oldest_ns` says when the oldest start in progress began: what ended before that
    /// is of no more use.
    pub(super) fn add(&mut self, story: &Story, oldest_ns: impl FnOnce() -> Option<u64>) {
        if self.len() >= self.sweep_at {
            self.sweep(oldest_ns());
        }
        let at = self.store.put(&code::write(story));
        while self.len() >= MAX_STORIES || self.store.is_over() && self.len() > 0 {
            self.evict();
        }
        self.insert(&Slot {
            origin_ns: story.origin_ns,
            end_ns: story.end_ns,
            at: at << 1 | u64::from(story.exited),
            pid: story.id.pid,
            back: 0,
        });
    }

    fn len(&self) -> u64 {
        self.next - self.gone
    }

    fn insert(&mut self, slot: &Slot) {
        let last = self.by_pid.get(slot.pid.into()).checked_sub(1).filter(|last| *last >= self.gone);
        let back = last.map_or(0, |last| self.next - last);
        let back = u32::try_from(back).unwrap_or(0);
        let numbers = [slot.origin_ns, slot.end_ns, slot.at, u64::from(back) << 32 | u64::from(slot.pid)];
        for (place, number) in (self.next * SLOT..).zip(numbers) {
            self.slots.put(place, number);
        }
        self.next += 1;
        self.by_pid.put(slot.pid.into(), self.next);
    }

    /// The slot with this number.
    fn numbered(&self, number: u64) -> Option<Slot> {
        if !(self.gone..self.next).contains(&number) {
            return None;
        }
        let [origin_ns, end_ns, at, who] = [0, 1, 2, 3].map(|n| self.slots.get(number * SLOT + n));
        Some(Slot { origin_ns, end_ns, at, pid: who as u32, back: (who >> 32) as u32 })
    }

    /// Lets those go that nobody asks for any more. They finished in the order of their ends, but for what is found to
    /// be ready a moment later: those go with the ones before them.
    fn sweep(&mut self, oldest_ns: Option<u64>) {
        let needed = |slot: Slot| oldest_ns.is_some_and(|oldest| slot.end_ns >= oldest);
        let gone = self.gone;
        while self.gone < self.next && !self.numbered(self.gone).is_some_and(needed) {
            self.gone += 1;
        }
        if self.gone > gone {
            self.forget();
        }
        self.sweep_at = (2 * self.len()).max(64);
    }

    /// Lets the oldest go.
    fn evict(&mut self) {
        if let Some(slot) = self.numbered(self.gone) {
            self.gone += 1;
            self.evicted_ns = self.evicted_ns.max(slot.end_ns);
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.store.forget(self.numbered(self.gone).map_or(u64::MAX, |slot| slot.at >> 1));
        self.slots.forget(self.gone * SLOT);
    }

    /// The slots of a process number, the newest first.
    fn slots(&self, pid: u32) -> impl Iterator<Item = (u64, Slot)> {
        let mut next = self.by_pid.get(pid.into()).checked_sub(1);
        std::iter::from_fn(move || {
            let number = next?;
            // What has another number could not be read, or was not written.
            let slot = self.numbered(number).filter(|slot| slot.pid == pid)?;
            next = (slot.back > 0).then(|| number.checked_sub(slot.back.into())).flatten();
            Some((number, slot))
        })
    }

    /// Where the start is that a process with this number was in then, with the number of its slot.
    pub(super) fn slot(&self, pid: u32, time_ns: u64) -> Option<(u64, Slot)> {
        self.slots(pid)
            .filter(|(_, slot)| slot.origin_ns < time_ns && (slot.exited() || time_ns <= slot.end_ns))
            .max_by_key(|(_, slot)| slot.origin_ns)
    }

    /// The start that a process with this number was in then.
    pub(super) fn at(&self, pid: u32, time_ns: u64) -> Option<Story> {
        self.read(&self.slot(pid, time_ns)?.1)
    }

    /// The start of the slot with this number.
    pub(super) fn again(&self, number: u64) -> Option<Story> {
        self.read(&self.numbered(number)?)
    }

    /// The start that is there.
    pub(super) fn read(&self, slot: &Slot) -> Option<Story> {
        let bytes = self.store.get(slot.at >> 1)?;
        code::read(&bytes, slot.pid, slot.origin_ns, slot.end_ns, slot.exited(), self.spill.as_ref())
    }

    fn head(&self, slot: &Slot) -> Option<code::Head> {
        code::head(&self.store.get(slot.at >> 1)?, slot.origin_ns)
    }

    /// Who made the process with this number whose start is over, and which ended.
    pub(super) fn creator(&self, pid: u32) -> Option<Id> {
        Some(self.head(&self.slot(pid, u64::MAX)?.1)?.creator?.0)
    }

    /// The command of the last process with this number.
    pub(super) fn command(&self, pid: u32) -> Option<String> {
        Some(self.head(&self.slots(pid).next()?.1)?.command)
    }
}
