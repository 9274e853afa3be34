//! The end of a start: when it is given out, and what is held back until its siblings are known.

use super::past::Story;
use super::shelf::Shelf;
use super::world::{ImageKey, World};
use super::{Builder, Output, phases, start, words};
use crate::event::Id;
use crate::level::Level;
use crate::method::facts::Facts;
use crate::trace::schema::Start;

/// A copy that ended without an exec, or a start with a pipe, is held back for so long: its siblings may
/// still show that it was one of a pool or of a pipeline. What is ready early is held back too: its
/// creator may end, which makes a daemon of it.
const HOLD_NS: u64 = 100_000_000;
/// A copy that is ready is held back until it is this old: whether it and its siblings live for long
/// tells workers from other copies.
const GROWN_NS: u64 = 1_100_000_000;
/// A copy that is alone so far is looked at again after this time: a master may make its workers one by one.
const AGAIN_NS: u64 = 1_000_000_000;
/// With more starts held back than these, those that are alone are let go.
const MANY_HELD: usize = 1_000;

/// Which libraries it lacks that its dynamic loader gave up: only the files tell, as long as they are as they were.
fn ask_for_libraries(start: &mut Start, facts: &Facts, world: &mut dyn World) {
    let Some((dev, inode)) = facts.image.file.filter(|_| start.is_given_up_by_loader()) else { return };
    let (Some(exit), Some(exe), Ok(dev)) = (&mut start.exit, &start.exe, u32::try_from(dev)) else { return };
    let image = ImageKey { pid: start.pid, exe: exe.clone(), within: None, dev, inode };
    exit.missing_libraries = world.missing_libraries(&image);
}

impl Builder {
    /// Gives a start out.
    pub(super) fn finish(&mut self, id: Id, end_ns: u64, end: start::End, world: &mut dyn World) {
        let (end_ns, end) = self.out_of_time(id, end_ns, end, world);
        let live = !matches!(end, start::End::Exit(_) | start::End::Lost);
        if live
            && let Some(status) = world.status(id, self.processes.get(&id).and_then(|p| p.first_pipe_fd))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.ignored = Some(status.ignored);
            process.null_on_pipe = status.null_on_pipe;
            // A mark is no name.
            if !status.comm.starts_with('@') {
                process.comm = status.comm;
            }
            process.uid = status.uid.or(process.uid);
            process.gid = status.gid.or(process.gid);
            process.session_leader = Some(status.session_leader);
            process.has_tty = Some(status.has_tty);
            process.group = status.group;
            process.foreground = status.foreground;
            process.stdio = status.stdio;
        }
        let dark = self.dark(id, end_ns, end);
        if live {
            self.ask_standing(id, end_ns, end, world);
        }
        self.note_selected(id);
        let selected = self.is_selected(id);
        let Some(mut built) = self.build(id, end_ns, end) else { return };
        built.dark = dark;
        ask_for_libraries(&mut built.start, &built.facts, world);
        self.missed.paths += u64::from(built.path_cut);
        if let Some(process) = self.processes.get_mut(&id) {
            process.method = Some(built.method.clone());
            process.last = Some(built.finished.clone());
            let open = process.start.take();
            self.open.remove(&id);
            process.imports = None;
            process.files = None;
            process.profile = None;
            process.connects = None;
            let tasks = std::mem::take(&mut process.tasks);
            self.pieces = self.pieces.saturating_sub(tasks.len());
            if process.is_command && process.of_command == Some(self.command_number) {
                self.command = end.into();
            }
            if self.options.level > Level::Lifecycle
                && let Some(open) = open
            {
                let story = Story {
                    id,
                    seq: open.seq,
                    origin_ns: open.origin_ns,
                    end_ns,
                    exited: matches!(end, start::End::Exit(_)),
                    creator: start::creator_of(process, &open),
                    run_ns: open.run_ns,
                    phases: phases::begun(&built.start.timeline.phases),
                    command: words::command(process.program.image.shown(), &process.comm),
                    tasks: tasks.into(),
                };
                let (open, processes) = (&self.open, &self.processes);
                let start_of = |id| processes.get(id).and_then(|process| process.start.as_ref());
                self.past.add(&story, || open.iter().filter_map(start_of).map(|start| start.origin_ns).min());
            }
        }
        self.end_ready(id, end_ns, live);
        // A copy without an exec may turn out to be one of many, and one with a pipe part of a pipeline.
        let copy = built.start.execs.is_empty() && built.start.parent.is_some();
        let may_be_piped = crate::method::may_be_piped(&built.facts);
        let until_ns = match end {
            _ if !selected => None,
            start::End::Ready if built.start.seq == 0 => {
                let grown = if copy { built.finished.origin_ns.saturating_add(GROWN_NS) } else { 0 };
                Some(self.now_ns.max(end_ns).saturating_add(HOLD_NS).max(grown))
            }
            _ if live => None,
            _ => {
                let own = (copy || may_be_piped).then_some(end_ns.saturating_add(HOLD_NS));
                own.or_else(|| self.held_below(id, end_ns.saturating_add(HOLD_NS)))
            }
        };
        match until_ns {
            Some(until_ns) => self.hold(until_ns, id, built),
            None => self.give_out(id, built, selected),
        }
    }

    /// Until when a child is held back that tried to connect and ended, up to a moment. Its creator's start comes
    /// after it: whether the child was connected belongs to what is found out about the creator.
    fn held_below(&self, id: Id, most_ns: u64) -> Option<u64> {
        if self.processes.get(&id)?.open_children == 0 {
            return None;
        }
        let is_child = |built: &start::Built| {
            let start = &built.start;
            built.creator == Some(id) && start.exit.is_some() && !start.timeline.connects.is_empty()
        };
        let held = self.held.iter().rev().find(|(until, _, built)| *until <= most_ns && is_child(built));
        held.map(|(until, ..)| *until)
    }

    fn hold(&mut self, until_ns: u64, id: Id, mut built: start::Built) {
        built.shelf = Shelf::take(&mut built.start.timeline);
        if let Some(process) = self.processes.get_mut(&id) {
            process.held = true;
        }
        self.keep(until_ns, id, built);
    }

    /// When a start that was held back long enough is to be looked at again: a copy that works, unnamed and so far alone,
    /// while its creator may still make another.
    pub(super) fn look_again(&mut self, id: Id, built: &start::Built, now_ns: u64) -> Option<u64> {
        let start = &built.start;
        let is_copy = start.seq == 0 && start.execs.is_empty() && built.creator.is_some();
        let goes_on = start.exit.is_none() && built.facts.child.exit.is_none();
        let too_late = built.finished.origin_ns.saturating_add(self.options.patience_ns) <= now_ns;
        if !is_copy || !goes_on || too_late || start.method.pattern.is_some() || self.held.len() >= MANY_HELD
        {
            return None;
        }
        self.processes.get(&id).filter(|process| process.ended.is_none() && process.execs == built.execs)?;
        let creator = self.processes.get_mut(&built.creator?)?;
        let may_make_more = creator.ended.is_none() && creator.execs == built.creator_execs;
        let alone = creator.kids.siblings(id, now_ns).execless_long_lived < 2;
        (may_make_more && alone).then_some(now_ns.saturating_add(AGAIN_NS))
    }

    /// Among those that are held back, in order of time.
    pub(super) fn keep(&mut self, until_ns: u64, id: Id, built: start::Built) {
        let at = self.held.iter().rposition(|(until, ..)| *until <= until_ns).map_or(0, |at| at + 1);
        self.held.insert(at, (until_ns, id, built));
    }

    /// A process ended: is its last start held back? It then gets its end with it.
    pub(super) fn exit_of_held(&mut self, id: Id, status: u32, at_ns: u64) -> bool {
        let killed_by = self.killer(id, status);
        let Some(process) = self.processes.get(&id).filter(|process| process.held) else { return false };
        let last = process.last.as_ref().map(|last| &last.start_id);
        let held = self.held.iter_mut().rev().find(|(.., built)| Some(&built.finished.start_id) == last);
        let Some((.., built)) = held else { return false };
        let lived_ns = at_ns.saturating_sub(built.finished.origin_ns);
        built.start.exit = Some(start::exit(status, lived_ns, killed_by));
        true
    }

    /// Gives out what was held back, with what is known now of it and its siblings.
    pub(super) fn release(&mut self, id: Id, mut built: start::Built, now_ns: u64) {
        self.lighten(id, &mut built);
        let before = (built.facts.siblings.clone(), built.facts.child.clone());
        // It was ready, and is a process still or was one for some time.
        let went_on = built.facts.child.exit.is_none();
        if let Some(creator) = built.creator.and_then(|creator| self.processes.get_mut(&creator)) {
            if creator.execs == built.creator_execs {
                built.facts.siblings = creator.kids.siblings(id, now_ns);
            }
            if let Some(ended) = creator.ended.filter(|_| went_on) {
                let child = &mut built.facts.child;
                let after = ended.at_ns.saturating_sub(built.finished.origin_ns);
                child.creator_exited_after_ns = Some(after);
                child.creator_exit_ok = Some(ended.ok);
            }
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.held = false;
            // Ready, and it went on as the same image: what it has done since tells more.
            if went_on && process.execs == built.execs && built.start.seq == 0 {
                let end_ns = process.ended.map_or(now_ns, |ended| ended.at_ns);
                let exit = built.start.exit.as_ref().map(start::exit_fact_of);
                let child = process.child_facts(built.finished.origin_ns, end_ns, exit);
                let creator = &built.facts.child;
                built.facts.child = crate::method::facts::Child {
                    creator_exited_after_ns: creator.creator_exited_after_ns,
                    creator_exit_ok: creator.creator_exit_ok,
                    creator_is_plain_fork: creator.creator_is_plain_fork,
                    ..child
                };
            }
        }
        if before != (built.facts.siblings.clone(), built.facts.child.clone()) {
            built.start.method = crate::method::classify(&built.facts);
        }
        self.give_out(id, built, true);
    }

    pub(super) fn give_out(&mut self, id: Id, mut built: start::Built, selected: bool) {
        if selected {
            start::note_daemonised(&mut built);
            let owner = built.owner.unwrap_or_default();
            let owner_start = self.processes.get(&owner).and_then(start::current_start_id);
            let owner_start = owner_start.map(|seq| owner.start(seq));
            self.groups.add(owner, owner_start.as_deref(), &built.start);
            // Several may be given out before any is taken, at the end all that was held back.
            let shelf = built.shelf.take().or_else(|| Shelf::take(&mut built.start.timeline));
            self.out.push((Output::Start(Box::new(built.start)), shelf));
            if let Some(kept) = &mut self.facts {
                kept.push(built.facts);
            }
        }
        if let Some(creator) = built.creator {
            if let Some(process) = self.processes.get_mut(&creator) {
                process.open_children = process.open_children.saturating_sub(1);
            }
            self.forget_if_done(creator);
        }
        self.forget_if_done(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::super::world::Replay;
    use super::*;
    use crate::event::{Event, Exec, Fork, What};

    #[test]
    fn a_copy_that_connected_comes_before_its_creator() {
        let mut builder = Builder::new(Options::default());
        let mut world = Replay::default();
        let [shell, copy] = [7, 8].map(|pid| Id { pid, birth_ns: 5 });
        let mut at = |ms: u64, id: Id, what| {
            builder.event(Event { time_ns: ms * 1_000_000, id, tid: id.pid, what }, &mut world);
        };
        let exit = || What::exit_of("sh");
        at(10, shell, What::Fork(Box::default()));
        at(11, shell, What::Exec(Box::new(Exec { old_tid: 7, ..Exec::default() })));
        at(20, copy, What::Fork(Box::new(Fork { creator: shell, real_parent: shell, ..Fork::default() })));
        at(25, copy, What::Connect(Box::default()));
        at(30, copy, exit());
        at(31, shell, exit());
        let mut given = Vec::new();
        for ms in [100, 129, 130, 131] {
            builder.tick(ms * 1_000_000, &mut world);
            let starts = builder.drain().filter_map(|output| match output {
                Output::Start(start) => Some(start.pid),
                _ => None,
            });
            given.extend(starts.map(|pid| (ms, pid)));
        }
        assert_eq!(given, [(130, 8), (130, 7)]);
    }
}
