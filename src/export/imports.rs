//! What the main thread of a start imported, as slices one in the other.

use crate::sort::SortSmall;
use crate::trace::schema::{Import, Start};

/// Imports of one start that are shown; a recording lists no more.
const MAX_IMPORTS: usize = 10_000;

/// Name of the lane.
pub(super) const LANE: &str = "imports";

/// A step along the lane, in order of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step<'a> {
    /// From the start's origin.
    Begin(u64, &'a Import),
    /// Ends the one that began last.
    End(u64, &'a Import),
}

/// The name of an import.
pub(super) fn name(import: &Import) -> &str {
    import.module.as_deref().unwrap_or("?")
}

/// Begins and ends that nest, whatever the file says.
pub(super) fn steps(start: &Start) -> Vec<Step<'_>> {
    let Some(imports) = &start.timeline.imports else { return Vec::new() };
    let own = imports.modules.iter().take(MAX_IMPORTS).filter(|import| import.tid == start.pid);
    let mut own: Vec<(u64, u64, &Import)> =
        own.map(|import| (import.at_ns, import.at_ns.saturating_add(import.duration_ns), import)).collect();
    own.sort_small_by_key(|(at, end, _)| (*at, std::cmp::Reverse(*end)));
    let mut steps = Vec::with_capacity(2 * own.len());
    let mut open: Vec<(u64, &Import)> = Vec::new();
    for (at, end, import) in own {
        while let Some((until, last)) = open.last().copied().filter(|(until, _)| *until <= at) {
            steps.push(Step::End(until, last));
            open.pop();
        }
        // One cannot last longer than the one that it is in.
        let end = open.last().map_or(end, |(until, _)| end.min(*until));
        steps.push(Step::Begin(at, import));
        open.push((end, import));
    }
    steps.extend(open.into_iter().rev().map(|(until, last)| Step::End(until, last)));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::replay::replay;

    fn start() -> Start {
        let events = include_bytes!("../../tests/fixtures/events/python_deep.ndjson");
        replay(&events[..]).unwrap().starts.remove(0)
    }

    /// Everything that began ends, the last first, and time does not go back.
    fn check(start: &Start) -> usize {
        let (mut open, mut last, mut n) = (Vec::new(), 0, 0);
        for step in steps(start) {
            let at = match step {
                Step::Begin(at, import) => {
                    open.push(import);
                    n += 1;
                    at
                }
                Step::End(at, import) => {
                    assert_eq!(open.pop(), Some(import));
                    at
                }
            };
            assert!(at >= last);
            last = at;
        }
        assert!(open.is_empty());
        n
    }

    #[test]
    fn imports_nest() {
        let mut start = start();
        assert_eq!(check(&start), 40);
        // A file may say anything.
        let modules = &mut start.timeline.imports.as_mut().unwrap().modules;
        for (n, import) in modules.iter_mut().enumerate() {
            import.at_ns = (n as u64 * 7919) % 1000;
            import.duration_ns = if n % 3 == 0 { u64::MAX } else { n as u64 * 31 };
        }
        assert_eq!(check(&start), 40);
        start.timeline.imports = None;
        assert_eq!(check(&start), 0);
    }
}
