//! What is kept of starts that are finished, while others still go on that may have waited for them: the
//! critical path of those leads through them.
//!
//! A command that starts others for hours may ask at its end for any of them. So each is written into few bytes
//! (`code.rs`), which leave memory for a nameless file where there is one (`store.rs`), and what stays of it is where
//! they are.

mod code;
mod store;
#[cfg(test)]
mod tests;

use super::phases::Begun;
use super::spill::Spill;
use super::tasks::Tasks;
use crate::event::Id;
use crate::hash::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;
use store::Store;

/// Past starts that are known: 10 MB of where they are.
const MAX_STORIES: usize = 250_000;

/// Room for what is seldom asked for, out of memory.
pub trait Scratch: std::fmt::Debug {
    /// Writes all of it there.
    ///
    /// # Errors
    /// There is no room, or there never was.
    fn write(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()>;
    /// Reads what was written there, as far as it goes.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize>;
    /// What was written between these places is asked for no more.
    fn forget(&mut self, from: u64, to: u64);
}

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
    /// In the order in which they finished.
    slots: VecDeque<Slot>,
    /// The number of the first slot: how many went before.
    gone: u64,
    /// The last slot of each process number.
    by_pid: HashMap<u32, u64>,
    store: Store,
    /// Where the pieces of those go that are read again, where they are many.
    spill: Option<Rc<Spill>>,
    sweep_at: usize,
    /// The end of the latest start that had to go before its time.
    pub evicted_ns: u64,
}

impl Past {
    /// Puts what is seldom asked for there, from now on.
    pub(super) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.store.to(scratch);
    }

    /// Puts there what is read again of starts that went on for long.
    pub(super) fn keep_rows_in(&mut self, spill: Option<&Rc<Spill>>) {
        self.spill = spill.cloned();
    }

    /// Keeps a start. `oldest_ns` says when the oldest start in progress began: what ended before that
    /// is of no more use.
    pub(super) fn add(&mut self, story: &Story, oldest_ns: impl FnOnce() -> Option<u64>) {
        if self.slots.len() >= self.sweep_at {
            self.sweep(oldest_ns());
        }
        let at = self.store.put(code::write(story));
        while self.slots.len() >= MAX_STORIES || self.store.is_over() && !self.slots.is_empty() {
            self.evict();
        }
        self.insert(Slot {
            origin_ns: story.origin_ns,
            end_ns: story.end_ns,
            at: at << 1 | u64::from(story.exited),
            pid: story.id.pid,
            back: 0,
        });
    }

    fn insert(&mut self, slot: Slot) {
        let number = self.gone + self.slots.len() as u64;
        let before = self.by_pid.insert(slot.pid, number).map_or(0, |before| number - before);
        self.slots.push_back(Slot { back: u32::try_from(before).unwrap_or(0), ..slot });
    }

    fn sweep(&mut self, oldest_ns: Option<u64>) {
        let needed = |slot: &Slot| oldest_ns.is_some_and(|oldest| slot.end_ns >= oldest);
        if !self.slots.iter().all(needed) {
            let all = std::mem::take(&mut self.slots);
            self.by_pid.clear();
            self.gone = 0;
            all.into_iter().filter(needed).for_each(|slot| self.insert(slot));
            self.forget();
        }
        self.sweep_at = (2 * self.slots.len()).max(64);
    }

    /// Lets the oldest go.
    fn evict(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.gone += 1;
            self.evicted_ns = self.evicted_ns.max(slot.end_ns);
            if self.by_pid.get(&slot.pid).is_some_and(|last| *last < self.gone) {
                self.by_pid.remove(&slot.pid);
            }
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.store.forget(self.slots.front().map_or(u64::MAX, |slot| slot.at >> 1));
    }

    /// The slots of a process number, the newest first.
    fn slots(&self, pid: u32) -> impl Iterator<Item = &Slot> {
        let mut next = self.by_pid.get(&pid).copied();
        std::iter::from_fn(move || {
            let number = next?;
            let slot = self.slots.get(usize::try_from(number.checked_sub(self.gone)?).ok()?)?;
            next = (slot.back > 0).then(|| number.checked_sub(slot.back.into())).flatten();
            Some(slot)
        })
    }

    /// Where the start is that a process with this number was in then.
    pub(super) fn slot(&self, pid: u32, time_ns: u64) -> Option<&Slot> {
        self.slots(pid)
            .filter(|slot| slot.origin_ns < time_ns && (slot.exited() || time_ns <= slot.end_ns))
            .max_by_key(|slot| slot.origin_ns)
    }

    /// The start that a process with this number was in then.
    #[cfg(test)]
    fn at(&self, pid: u32, time_ns: u64) -> Option<Story> {
        self.read(self.slot(pid, time_ns)?)
    }

    /// The start of a process with this number that began then.
    pub(super) fn again(&self, pid: u32, origin_ns: u64) -> Option<Story> {
        self.read(self.slots(pid).filter(|slot| slot.origin_ns == origin_ns).last()?)
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
        Some(self.head(self.slot(pid, u64::MAX)?)?.creator?.0)
    }

    /// The command of the last process with this number.
    pub(super) fn command(&self, pid: u32) -> Option<String> {
        Some(self.head(self.slots(pid).next()?)?.command)
    }
}
