//! Where a start is in the tree of starts, as frames of a stack, and its time as leaves below them.

use super::Outline;
use crate::trace::schema::Start;

/// Deepest path that is written out; what is above it becomes one frame.
const MAX_DEPTH: usize = 64;

/// Names of the starts above and of the start itself, outermost first.
pub(super) fn path(trace: &Outline, row: u32) -> Vec<&str> {
    let digest = &trace.digest;
    let mut frames = Vec::new();
    let mut at = digest.row(row);
    while let Some(found) = at {
        if frames.len() == MAX_DEPTH {
            frames.push("(more above)");
            break;
        }
        frames.push(digest.text(found.label));
        if let Some(outside) = found.outside.and_then(|i| digest.outside.get(i as usize)) {
            frames.push(digest.text(outside.comm));
        }
        at = found.parent.and_then(|parent| digest.row(parent));
    }
    frames.reverse();
    frames
}

/// A part of a start's time: its phase, and what its main thread waited for in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf<'a> {
    pub(super) phase: &'a str,
    pub(super) at_ns: u64,
    pub(super) duration_ns: u64,
}

impl<'a> Leaf<'a> {
    /// Its frames, outermost first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &'a str> {
        [self.phase].into_iter()
    }
}

/// The parts of a start, contiguous, in order of time; they add up to its duration as phases do.
pub(super) fn leaves(start: &Start) -> Vec<Leaf<'_>> {
    let phases = start.timeline.phases.iter();
    phases
        .filter(|phase| phase.duration_ns > 0)
        .map(|phase| Leaf { phase: &phase.name, at_ns: phase.at_ns, duration_ns: phase.duration_ns })
        .collect()
}
