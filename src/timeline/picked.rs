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

#[cfg(test)]
mod tests {
    use super::super::select::Selectors;
    use super::super::world::{Ancestor, ImageKey, Known, Status, TaskNow};
    use super::super::{Options, Output};
    use super::*;
    use crate::event::{Entry, Event, Exec, Fork, What};
    use crate::trace::schema::Binary;
    use std::collections::HashMap;

    const MS: u64 = 1_000_000;

    /// Who ran before: its executable, and those above it.
    #[derive(Default)]
    struct Ran(HashMap<u32, (&'static str, Vec<&'static str>)>);

    impl World for Ran {
        fn process(&mut self, id: Id) -> Option<Known> {
            let (exe, _) = self.0.get(&id.pid)?;
            let comm = exe.rsplit('/').next().unwrap_or_default().to_owned();
            Some(Known { comm, exe: Some((*exe).to_owned()), uid: Some(7), ..Known::default() })
        }
        fn ancestors(&mut self, id: Id) -> Vec<Ancestor> {
            let above = self.0.get(&id.pid).map(|(_, above)| above.as_slice()).unwrap_or_default();
            above.iter().map(|exe| Ancestor { exe: Some((*exe).to_owned()), ..Ancestor::default() }).collect()
        }
        fn image(&mut self, _: &ImageKey) -> Option<Binary> {
            None
        }
        fn status(&mut self, _: Id, _: Option<u32>) -> Option<Status> {
            None
        }
        fn tasks(&mut self, _: Id) -> Option<Vec<TaskNow>> {
            None
        }
        fn notify_socket(&mut self, _: Id) -> Option<bool> {
            None
        }
        fn shares_socket(&mut self, _: Id, _: u32, _: Id) -> Option<bool> {
            None
        }
    }

    fn id(pid: u32) -> Id {
        Id { pid, birth_ns: u64::from(pid) * MS }
    }

    /// The pids whose starts are given out: of what ran before (seeded), and of (child, parent, executable of the
    /// child, if it becomes another program).
    fn picked(selectors: Selectors, mut ran: Ran, made: &[(u32, u32, Option<&str>)]) -> Vec<u32> {
        // Long after what ran before was made.
        let mut builder = Builder::new(Options { selectors, began_ns: 999_000 * MS, ..Options::default() });
        let mut seeds: Vec<u32> = ran.0.keys().copied().collect();
        seeds.sort_unstable();
        for pid in seeds {
            builder.seed(id(pid), &mut ran);
        }
        let mut send = |builder: &mut Builder, at: u64, pid: u32, what: What| {
            builder.event(Event { time_ns: at * MS, id: id(pid), tid: pid, what }, &mut ran);
        };
        for (at, (pid, parent, exe)) in (1_000_000..).step_by(10).zip(made) {
            let entry = Some(Entry::Exact(at * MS));
            let fork =
                Fork { creator: id(*parent), real_parent: id(*parent), uid: 7, entry, ..Fork::default() };
            send(&mut builder, at, *pid, What::Fork(Box::new(fork)));
            send(&mut builder, at + 1, *pid, What::Run { wakeup_ns: None, run_ns: Some((at + 1) * MS) });
            if let Some(exe) = exe {
                let exec = Exec { old_tid: *pid, exe: Some((*exe).into()), uid: 7, ..Exec::default() };
                send(&mut builder, at + 2, *pid, What::Exec(Box::new(exec)));
            }
        }
        builder.end(1_001_000 * MS, &mut ran);
        let starts = builder.drain().filter_map(|output| match output {
            Output::Start(start) => Some(start.pid),
            _ => None,
        });
        let mut pids: Vec<u32> = starts.collect();
        pids.sort_unstable();
        pids
    }

    fn of_exe(exe: &str) -> Selectors {
        Selectors { exes: vec![exe.to_owned()], ..Selectors::default() }
    }

    #[test]
    fn a_root_is_picked_with_all_that_it_starts() {
        let made = [
            (10, 1, Some("/usr/bin/app")),
            (11, 10, None),
            (12, 11, Some("/bin/true")),
            (20, 1, Some("/bin/sh")),
            (21, 20, None),
        ];
        assert_eq!(picked(of_exe("app"), Ran::default(), &made), [10, 11, 12]);
        assert_eq!(picked(of_exe("/usr/bin/a*"), Ran::default(), &made), [10, 11, 12]);
        // Who makes it is none of it.
        assert_eq!(picked(of_exe("true"), Ran::default(), &made), [12]);
        assert_eq!(picked(of_exe("none"), Ran::default(), &made), [0; 0]);
        assert_eq!(picked(Selectors::default(), Ran::default(), &made), [10, 11, 12, 20, 21]);
        let uids = |uid| Selectors { uids: vec![uid], ..Selectors::default() };
        assert_eq!(picked(uids(7), Ran::default(), &made).len(), 5);
        assert_eq!(picked(uids(8), Ran::default(), &made), [0; 0]);
    }

    #[test]
    fn what_ran_before_is_picked_by_itself_or_by_what_is_above_it() {
        let ran = || {
            Ran([
                (10, ("/usr/bin/app", vec![])),
                (20, ("/bin/sh", vec!["/usr/bin/app"])),
                (30, ("/bin/sh", vec![])),
            ]
            .into())
        };
        let made = [(11, 10, None), (21, 20, Some("/bin/true")), (31, 30, Some("/bin/true"))];
        assert_eq!(picked(of_exe("app"), ran(), &made), [11, 21]);
        assert_eq!(picked(of_exe("sh"), ran(), &made), [21, 31]);
    }
}
