//! What went on inside a language runtime: the parts of `app` as a lane, its threads by what they are for.

use crate::trace::schema::{Runtime, RuntimeStage, RuntimeThreads, Start};

/// Name of the lane.
pub(super) const LANE: &str = "runtime";

/// Parts and roles of one start that are shown; a recording has three and six.
const MAX_PARTS: usize = 16;

fn bounded<T>(start: &Start, list: impl Fn(&Runtime) -> &[T]) -> &[T] {
    let list = start.timeline.runtime.as_ref().map_or(&[][..], list);
    list.get(..MAX_PARTS).unwrap_or(list)
}

/// The parts of `app`, as far as files told them.
pub(super) fn stages(start: &Start) -> &[RuntimeStage] {
    bounded(start, |runtime| &runtime.stages)
}

/// The other threads, by role.
pub(super) fn threads(start: &Start) -> &[RuntimeThreads] {
    bounded(start, |runtime| &runtime.threads)
}
