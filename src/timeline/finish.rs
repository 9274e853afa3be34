//! The end of a start: when it is given out, and what is held back until its siblings are known.

use super::world::World;
use super::{Builder, Output, start};
use crate::event::Id;

/// A copy that ended without an exec, or a start with a pipe, is held back for so long: its siblings may
/// still show that it was one of a pool or of a pipeline.
const HOLD_NS: u64 = 100_000_000;

impl Builder {
    /// Gives a start out.
    pub(super) fn finish(&mut self, id: Id, end_ns: u64, end: start::End, world: &mut dyn World) {
        let live = !matches!(end, start::End::Exit(_) | start::End::Lost);
        if live
            && let Some(status) = world.status(id, self.processes.get(&id).and_then(|p| p.first_pipe_fd))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.ignored = Some(status.ignored);
            process.null_on_pipe = status.null_on_pipe;
            process.comm = status.comm;
            process.uid = status.uid.or(process.uid);
            process.gid = status.gid.or(process.gid);
            process.session_leader = Some(status.session_leader);
            process.has_tty = Some(status.has_tty);
            process.group = status.group;
            process.foreground = status.foreground;
            process.stdio = status.stdio;
        }
        self.note_selected(id);
        let selected = self.is_selected(id);
        let Some(built) = self.build(id, end_ns, end) else { return };
        if let Some(process) = self.processes.get_mut(&id) {
            process.method = Some(built.method.clone());
            process.last = Some(built.finished.clone());
            process.start = None;
        }
        // A copy without an exec may turn out to be one of many, and one with a pipe part of a pipeline.
        let copy = built.start.execs.is_empty() && built.start.parent.is_some();
        if (copy || crate::method::may_be_piped(&built.facts)) && !live && selected {
            self.held.push_back((end_ns.saturating_add(HOLD_NS), id, built));
        } else {
            self.give_out(id, built, selected);
        }
    }

    /// Gives out what was held back, with the siblings as they are known now.
    pub(super) fn release(&mut self, id: Id, mut built: start::Built, now_ns: u64) {
        if let Some(creator) = built.creator.and_then(|creator| self.processes.get_mut(&creator)) {
            let siblings = creator.kids.siblings(id, now_ns);
            if siblings != built.facts.siblings && creator.execs == built.creator_execs {
                built.facts.siblings = siblings;
                built.start.method = crate::method::classify(&built.facts);
            }
        }
        self.give_out(id, built, true);
    }

    pub(super) fn give_out(&mut self, id: Id, built: start::Built, selected: bool) {
        if selected {
            let owner = built.owner.unwrap_or_default();
            let owner_start = self.processes.get(&owner).and_then(start::current_start_id);
            let owner_start = owner_start.map(|seq| format!("{owner}/{seq}"));
            self.groups.add(owner, owner_start.as_deref(), &built.start);
            self.out.push(Output::Start(Box::new(built.start)));
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
