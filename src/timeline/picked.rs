//! Which processes the recording is about: those that a selector picks, and what they start.

use super::world::World;
use super::{Builder, select};
use crate::event::Id;

impl Builder {
    /// Does a selector pick a running process, or one above it?
    pub(super) fn picks(&self, id: Id, world: &mut dyn World) -> bool {
        let selectors = &self.options.selectors;
        let Some(known) = world.process(id) else { return false };
        let subject = select::Subject {
            uid: known.uid,
            comm: &known.comm,
            exe: known.exe.as_deref(),
            cgroup: known.cgroup.as_deref(),
        };
        selectors.matches(&subject) || world.ancestors(id).iter().any(|kin| selectors.matches(&kin.into()))
    }

    /// Does a selector pick the process as it is now?
    pub(super) fn note_selected(&mut self, id: Id) {
        if self.options.selectors.is_empty() {
            return;
        }
        let Some(process) = self.processes.get(&id) else { return };
        let inherited = process
            .creator
            .and_then(|creator| self.processes.get(&creator))
            .is_some_and(|creator| creator.selected);
        let cgroup = self.cgroup_path(process);
        let subject = select::Subject {
            uid: process.uid,
            comm: &process.comm,
            exe: process.program.image.exe.as_deref(),
            cgroup: cgroup.as_deref(),
        };
        if (inherited || self.options.selectors.matches(&subject))
            && let Some(process) = self.processes.get_mut(&id)
        {
            process.selected = true;
        }
    }

    pub(super) fn is_selected(&self, id: Id) -> bool {
        self.options.selectors.is_empty() || self.processes.get(&id).is_some_and(|process| process.selected)
    }
}
