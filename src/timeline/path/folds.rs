//! What a trace says of steps that were put together: whose time it is, and how many short starts are in it.

use super::steps::{Step, Whose};
use super::{State, Walk};
use crate::hash::HashSet;
use crate::trace::schema::{Folded, SHORT_START_NS};

/// Phases before a process has its own program. Whoever makes one by vfork or posix_spawn stands still until then, however
/// long it lives.
const BEFORE: [&str; 5] = ["unobserved", "fork", "schedule", "setup", "exec"];

/// What the path has of one start.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// A process is no longer because it has to wait for a CPU.
    busy_ns: u64,
    /// The path was in it when its own program ran.
    ran: bool,
}

impl Share {
    pub(super) fn add(&mut self, state: State, phase: Option<&str>, ns: u64) {
        self.busy_ns += if state == State::Runnable { 0 } else { ns };
        self.ran |= is_its_own(phase);
    }
}

fn is_its_own(phase: Option<&str>) -> bool {
    phase.is_none_or(|phase| !BEFORE.contains(&phase))
}

impl Walk<'_> {
    /// Of each step; `None` where it stands alone. The start of the path is the first view.
    pub(super) fn folds(&self, steps: &[Step], origin_ns: u64) -> Vec<Option<Box<Folded>>> {
        // Of nearly every start.
        if steps.iter().all(|step| step.all.is_none()) {
            return vec![None; steps.len()];
        }
        let alone = || steps.iter().filter(|step| step.all.is_none());
        let seen: HashSet<usize> = alone().map(|step| step.view).collect();
        let seen_running: HashSet<usize> =
            alone().filter(|step| is_its_own(step.phase)).map(|step| step.view).collect();
        let mut counted: HashSet<usize> = HashSet::default();
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
                let Some(view) = self.views.get(at) else { continue };
                let Share { busy_ns, ran } = view.share;
                if busy_ns >= SHORT_START_NS || !ran || view.id.birth_ns < origin_ns {
                    continue;
                }
                folded.short_ns += ns;
                if !counted.insert(at) || seen_running.contains(&at) {
                    continue;
                }
                match seen.contains(&at) {
                    true => folded.also.push(view.id.start(view.seq)),
                    false => folded.short_starts += 1,
                }
            }
            out.push(Some(Box::new(folded)));
        }
        out
    }
}
