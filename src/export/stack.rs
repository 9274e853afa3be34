//! Where a start is in the tree of starts, as frames of a stack, and its time as leaves below them.

use super::Outline;
use crate::sort::SortSmall;
use crate::trace::parts;
use crate::trace::schema::Start;

/// Deepest path that is written out; what is above it becomes one frame.
const MAX_DEPTH: usize = 64;

/// Whose the short pieces of a path are that were put together.
const MANY: &str = "(short pieces of other starts)";

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

/// A stretch of a start's time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch<'a> {
    pub(super) at_ns: u64,
    pub(super) end_ns: u64,
    pub(super) state: &'a str,
    /// In words.
    pub(super) detail: Option<&'a str>,
    /// The start whose task it is, where that is another one.
    pub(super) elsewhere: Option<&'a str>,
}

/// What the second lane of a start shows, as the trace has it: its critical path, else the single waits of
/// its main thread; in order of time, and none over another.
pub(super) fn stretches(start: &Start) -> Vec<Stretch<'_>> {
    let timeline = &start.timeline;
    let mut all: Vec<Stretch<'_>> = if timeline.critical_path.is_empty() {
        let own = timeline.waits.iter().filter(|wait| wait.tid == start.pid);
        own.flat_map(|wait| {
            let end_ns = wait.at_ns.saturating_add(wait.duration_ns);
            let detail = wait.detail.as_deref().or(wait.syscall.as_deref());
            let blocked = Stretch { at_ns: wait.at_ns, end_ns, state: &wait.kind, detail, elsewhere: None };
            let ran = end_ns.saturating_add(wait.runnable_ns);
            let runnable =
                Stretch { at_ns: end_ns, end_ns: ran, state: "runnable", detail: None, elsewhere: None };
            [blocked, runnable]
        })
        .collect()
    } else {
        parts::of(start)
            .map(|part| Stretch {
                at_ns: part.at_ns,
                end_ns: part.at_ns.saturating_add(part.duration_ns),
                state: part.state,
                detail: part.segment.detail.as_deref(),
                elsewhere: match part.of {
                    Some(id) => (id != start.start_id).then_some(id),
                    None => Some(MANY),
                },
            })
            .collect()
    };
    all.sort_small_by_key(|stretch| stretch.at_ns);
    let mut free = 0;
    all.retain_mut(|stretch| {
        stretch.at_ns = stretch.at_ns.max(free);
        stretch.end_ns = stretch.end_ns.min(timeline.duration_ns);
        let some = stretch.at_ns < stretch.end_ns;
        free = if some { stretch.end_ns } else { free };
        some
    });
    all
}

/// What [`stretches`] are of a start.
pub(super) fn lane_name(start: &Start) -> &'static str {
    if start.timeline.critical_path.is_empty() { "waits" } else { "critical path" }
}

/// A part of a start's time: its phase, and the state in it, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf<'a> {
    pub(super) at_ns: u64,
    pub(super) duration_ns: u64,
    phase: &'a str,
    /// The name of the start whose task was in the state, where that is another one.
    elsewhere: Option<&'a str>,
    state: Option<&'a str>,
}

impl<'a> Leaf<'a> {
    /// Its frames, outermost first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &'a str> {
        [Some(self.phase), self.elsewhere, self.state].into_iter().flatten()
    }
}

/// The parts of a start, in order of time; they add up to its duration as phases do.
pub(super) fn leaves<'a>(trace: &'a Outline, start: &'a Start) -> Vec<Leaf<'a>> {
    let stretches = stretches(start);
    let mut rest = stretches.as_slice();
    let mut leaves = Vec::new();
    for phase in &start.timeline.phases {
        let end = phase.at_ns.saturating_add(phase.duration_ns);
        let mut at = phase.at_ns;
        let mut push = |from: u64, to: u64, stretch: Option<&Stretch<'a>>| {
            if from < to {
                let elsewhere = stretch.and_then(|stretch| stretch.elsewhere).map(|id| {
                    if id == MANY {
                        return MANY;
                    }
                    let row = trace.row_of(id).and_then(|row| trace.digest.row(row));
                    row.map_or("(a start that is not here)", |row| trace.digest.text(row.label))
                });
                let state = stretch.map(|stretch| stretch.state);
                leaves.push(Leaf {
                    at_ns: from,
                    duration_ns: to - from,
                    phase: &phase.name,
                    elsewhere,
                    state,
                });
            }
        };
        while let Some((next, after)) = rest.split_first() {
            let (from, to) = (next.at_ns.clamp(at, end), next.end_ns.clamp(at, end));
            push(at, from, None);
            push(from, to, Some(next));
            at = to;
            if next.end_ns > end {
                // It goes on in the next phase.
                break;
            }
            rest = after;
        }
        push(at, end, None);
    }
    leaves
}
