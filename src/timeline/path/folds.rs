//! What a trace says of steps that were put together: whose time it is, and how many short starts are in it.

use super::steps::{Step, Whose};
use super::{State, Walk};
use crate::hash::HashSet;
use crate::trace::schema::{Folded, SHORT_START_NS};

/// Phases before a process has its own program. Whoever makes one by vfork or posix_spawn stands still until then, however
/// long it lives.
const BEFORE: [&str; 5] = ["unobserved", "fork", "schedule", "setup", "exec"];

/// What the path has of one start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// A process is no longer because it has to wait for a CPU. Some seconds are as good as more of them.
    busy_ns: u32,
    /// The path was in it when its own program ran.
    ran: bool,
    /// It was there before the start that the path belongs to.
    older: bool,
}

const _: () = assert!(SHORT_START_NS < u32::MAX as u64);

impl Share {
    pub(super) fn of(older: bool) -> Self {
        Self { busy_ns: 0, ran: false, older }
    }

    pub(super) fn add(&mut self, state: State, phase: Option<&str>, ns: u64) {
        let busy_ns = if state == State::Runnable { 0 } else { u32::try_from(ns).unwrap_or(u32::MAX) };
        self.busy_ns = self.busy_ns.saturating_add(busy_ns);
        self.ran |= is_its_own(phase);
    }

    /// A whole short start that is part of the path.
    fn is_short(self) -> bool {
        u64::from(self.busy_ns) < SHORT_START_NS && self.ran && !self.older
    }
}

fn is_its_own(phase: Option<&str>) -> bool {
    phase.is_none_or(|phase| !BEFORE.contains(&phase))
}

impl Walk<'_> {
    /// Of each step; `None` where it stands alone. The start of the path is the first view.
    pub(super) fn folds(&self, steps: &[Step]) -> Vec<Option<Box<Folded>>> {
        // Of nearly every start.
        if steps.iter().all(|step| step.all.is_none()) {
            return vec![None; steps.len()];
        }
        let alone = || steps.iter().filter(|step| step.all.is_none());
        let seen: HashSet<usize> = alone().map(|step| step.view).collect();
        let seen_running: HashSet<usize> =
            alone().filter(|step| is_its_own(step.phase)).map(|step| step.view).collect();
        let mut counted: HashSet<u32> = HashSet::default();
        let mut out = Vec::with_capacity(steps.len());
        for step in steps {
            let Some(all) = &step.all else {
                out.push(None);
                continue;
            };
            let mut folded = Folded { pieces: all.n as u64, ..Folded::default() };
            for (&(whose, state), &ns) in &all.states {
                let sums = match whose {
                    Whose::Own => &mut folded.own_ns,
                    Whose::Others => &mut folded.others_ns,
                };
                *sums.entry(self.builder.state_name(state).into_owned()).or_default() += ns;
            }
            for &(at, ns) in &all.of {
                let at = at as usize;
                if !self.views.get(at).is_some_and(|seen| seen.share.is_short()) {
                    continue;
                }
                folded.short_ns += ns;
                if !counted.insert(at as u32) || seen_running.contains(&at) {
                    continue;
                }
                match seen.contains(&at) {
                    true => {
                        let view = self.view(at);
                        folded.also.push(view.id.start(view.seq));
                    }
                    false => folded.short_starts += 1,
                }
            }
            out.push(Some(Box::new(folded)));
        }
        out
    }
}
