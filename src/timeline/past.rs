//! What is kept of starts that are finished, while others still go on that may have waited for them: the
//! critical path of those leads through them.

use super::phases::Begun;
use super::tasks::Tasks;
use crate::event::Id;
use crate::hash::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

/// Pieces of time in memory, of all starts together: some 70 MB. Past starts go first.
pub(super) const MAX_PIECES: usize = 400_000;
/// Those of past starts, with what else is kept of each: 60 MB, which are some 25,000 starts of small programs.
const MAX_PAST_PIECES: usize = 330_000;
/// What a past start takes besides its pieces, in pieces.
const STORY_PIECES: usize = 8;

/// One start, as a path needs it.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub id: Id,
    pub start_id: Rc<str>,
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

impl Story {
    fn pieces(&self) -> usize {
        self.tasks.len() + STORY_PIECES
    }
}

/// Finished starts.
#[derive(Debug, Default)]
pub(super) struct Past {
    stories: HashMap<u64, Rc<Story>>,
    by_pid: HashMap<u32, Vec<u64>>,
    order: VecDeque<u64>,
    next: u64,
    pieces: usize,
    sweep_at: usize,
    /// The end of the latest start that had to go before its time.
    pub evicted_ns: u64,
}

impl Past {
    /// Pieces in memory.
    pub(super) fn pieces(&self) -> usize {
        self.pieces
    }

    /// Keeps a start. `oldest_ns` says when the oldest start in progress began: what ended before that
    /// is of no more use.
    pub(super) fn add(&mut self, story: Story, oldest_ns: impl FnOnce() -> Option<u64>) {
        if self.stories.len() >= self.sweep_at {
            let oldest_ns = oldest_ns();
            let stories = &self.stories;
            let over = stories
                .iter()
                .filter(|(_, story)| oldest_ns.is_none_or(|oldest| story.end_ns < oldest))
                .map(|(key, _)| *key)
                .collect::<Vec<_>>();
            over.into_iter().for_each(|key| self.remove(key));
            self.order.retain(|key| self.stories.contains_key(key));
            self.sweep_at = (2 * self.stories.len()).max(64);
        }
        self.pieces += story.pieces();
        while self.pieces > MAX_PAST_PIECES && self.evict() {}
        self.by_pid.entry(story.id.pid).or_default().push(self.next);
        self.order.push_back(self.next);
        self.stories.insert(self.next, Rc::new(story));
        self.next += 1;
    }

    fn remove(&mut self, key: u64) {
        let Some(story) = self.stories.remove(&key) else { return };
        self.pieces = self.pieces.saturating_sub(story.pieces());
        if let Some(keys) = self.by_pid.get_mut(&story.id.pid) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_pid.remove(&story.id.pid);
            }
        }
    }

    /// Lets the oldest go; false where there is none.
    pub(super) fn evict(&mut self) -> bool {
        while let Some(key) = self.order.pop_front() {
            if let Some(story) = self.stories.get(&key) {
                self.evicted_ns = self.evicted_ns.max(story.end_ns);
                self.remove(key);
                return true;
            }
        }
        false
    }

    /// The start that a process with this number was in then.
    pub(super) fn at(&self, pid: u32, time_ns: u64) -> Option<&Rc<Story>> {
        let keys = self.by_pid.get(&pid)?;
        keys.iter()
            .rev()
            .filter_map(|key| self.stories.get(key))
            .filter(|story| story.origin_ns < time_ns && (story.exited || time_ns <= story.end_ns))
            .max_by_key(|story| story.origin_ns)
    }

    /// The command of the last process with this number.
    pub(super) fn command(&self, pid: u32) -> Option<&str> {
        let key = self.by_pid.get(&pid)?.last()?;
        self.stories.get(key).map(|story| &*story.command)
    }
}
