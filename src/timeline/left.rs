//! The command that the recording began, and what it has started and left.

use super::{Builder, CommandStart, start};
use crate::event::Id;
use crate::sort::SortSmall;

/// A living process of the command, all of whose creators in it are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub id: Id,
    /// Its name.
    pub comm: String,
    /// Where its start stands.
    pub start: CommandStart,
    /// Since when that is finished.
    pub end_ns: Option<u64>,
    /// That start, once it is finished.
    pub start_id: Option<String>,
}

impl From<start::End> for CommandStart {
    fn from(end: start::End) -> Self {
        match end {
            start::End::Exit(_) | start::End::Lost => Self::Ended,
            start::End::Ready => Self::Ready,
            start::End::Window | start::End::Recording => Self::TimedOut,
        }
    }
}

impl Builder {
    /// Where the start of the command stands that the recording began.
    pub fn command(&self) -> CommandStart {
        self.command
    }

    /// Another command is about to be started: the one before is no longer asked about.
    pub fn next_command(&mut self) {
        self.command = CommandStart::Open;
        self.command_number += 1;
    }

    /// The processes that are in the middle of a start.
    pub fn starting(&self) -> impl Iterator<Item = Id> + '_ {
        self.open_starts().map(|(id, ..)| id)
    }

    /// Is a start under way of which waits are told? Those of a process that was not seen from its creation on are told
    /// from its next exec on.
    pub fn tells_waits(&self) -> bool {
        self.open_starts().any(|(.., start)| !start.partial || !start.execs.is_empty())
    }

    /// The living processes that descend from the command that the recording began, itself first. Those between may be
    /// gone and forgotten: a daemon's are.
    pub fn command_tree(&self) -> Vec<Id> {
        let is_below = |id: &Id| {
            let process = self.processes.get(id);
            process.is_some_and(|process| process.of_command == Some(self.command_number))
        };
        let mut tree: Vec<Id> = self.by_pid.values().copied().filter(is_below).collect();
        tree.sort_small_by_key(|id| (id.birth_ns, id.pid));
        tree
    }

    /// What the command has left, where it is over itself: of a daemon the process that stays, and not its workers.
    pub fn left(&self) -> Vec<Left> {
        let is_ours = |id: Id| {
            let process = self.processes.get(&id);
            process.is_some_and(|process| process.of_command == Some(self.command_number))
        };
        let lives = |id: Id| self.by_pid.get(&id.pid) == Some(&id) && is_ours(id);
        let tops = self.command_tree().into_iter().filter_map(|id| {
            let process = self.processes.get(&id)?;
            let last = process.last.as_ref().filter(|_| process.start.is_none());
            (!process.creator.is_some_and(lives)).then(|| Left {
                id,
                comm: process.comm.clone(),
                start: last.map_or(CommandStart::Open, |last| last.end),
                end_ns: last.map(|last| last.end_ns),
                start_id: last.map(|last| last.start_id.clone()),
            })
        });
        tops.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Replay;
    use super::super::{Options, Output};
    use super::*;
    use crate::event::{Event, Fork, What};

    #[test]
    fn a_daemon_is_of_its_command_when_all_between_are_forgotten() {
        let [launcher, shell, middle, daemon, worker] =
            [6, 7, 8, 9, 10].map(|pid| Id { pid, birth_ns: pid.into() });
        let mut builder = Builder::new(Options::default());
        let mut world = Replay::default();
        let exit = || What::exit_of("sh");
        let mut at = |builder: &mut Builder, ms: u64, id: Id, what| {
            builder.event(Event { time_ns: ms * 1_000_000, id, tid: id.pid, what }, &mut world);
        };
        let fork = |creator: Id, root| {
            What::Fork(Box::new(Fork { creator, real_parent: creator, root, ..Fork::default() }))
        };
        at(&mut builder, 10, shell, fork(launcher, true));
        at(&mut builder, 20, middle, fork(shell, false));
        at(&mut builder, 30, shell, exit());
        at(&mut builder, 40, daemon, fork(middle, false));
        at(&mut builder, 50, middle, exit());
        let left = builder.left();
        assert_eq!(
            left.iter().map(|left| (left.id, left.start)).collect::<Vec<_>>(),
            [(daemon, CommandStart::Open)]
        );
        // Its start is finished, so that nobody is kept for it.
        builder.finish(daemon, 60_000_000, start::End::Ready, &mut Replay::default());
        builder.tick(5_000_000_000, &mut Replay::default());
        assert!(builder.drain().filter(|output| matches!(output, Output::Start(_))).count() >= 3);
        assert!(!builder.processes.contains_key(&middle) && !builder.processes.contains_key(&shell));
        at(&mut builder, 6_000, worker, fork(daemon, false));
        assert_eq!(builder.command_tree(), [daemon, worker]);
        let left = builder.left();
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].id, left[0].start, left[0].end_ns),
            (daemon, CommandStart::Ready, Some(60_000_000))
        );
        // Of the next command neither is.
        builder.next_command();
        assert_eq!(builder.command_tree(), []);
    }
}
