//! From marks to phases: contiguous, and adding up to the duration.

use crate::trace::schema::Phase;
use crate::trace::vocabulary::PHASES;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where a phase begins: all that a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The phase.
    pub name: &'static str,
    /// From the start's origin.
    pub at_ns: u64,
}

/// The beginnings of these phases.
pub fn begun(phases: &[Phase]) -> Rc<[Begun]> {
    let name = |phase: &Phase| PHASES.into_iter().find(|name| *name == phase.name).unwrap_or("app");
    phases.iter().map(|phase| Begun { name: name(phase), at_ns: phase.at_ns }).collect()
}

/// A moment at which a phase begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The phase.
    pub name: &'static str,
    /// When it begins; `None` where that was not observed: it is then part of the phase before.
    pub at_ns: Option<u64>,
    /// The exec whose image it belongs to.
    pub exec: Option<u32>,
}

/// The phases between `origin_ns` and `end_ns` (boottime). `marks` are in the order in which the
/// phases follow; the first begins at the origin whatever it says. Times that run backwards (events
/// of two CPUs a few nanoseconds apart) are held to the order. Empty phases are kept if they were
/// observed, so that a phase's presence tells that it happened.
pub fn phases(origin_ns: u64, end_ns: u64, marks: &[Mark]) -> Vec<Phase> {
    let mut begun: Vec<(u64, Mark)> = Vec::with_capacity(marks.len());
    let mut last = origin_ns;
    for (i, mark) in marks.iter().enumerate() {
        let at = if i == 0 { Some(origin_ns) } else { mark.at_ns };
        if let Some(at) = at {
            last = at.clamp(last, end_ns.max(last));
            begun.push((last, *mark));
        }
    }
    let ends = begun.iter().skip(1).map(|(at, _)| *at).chain([end_ns.max(last)]).collect::<Vec<_>>();
    begun
        .iter()
        .zip(ends)
        .map(|((at, mark), end)| Phase {
            name: mark.name.to_owned(),
            at_ns: at - origin_ns,
            duration_ns: end - at,
            exec: mark.exec,
        })
        .collect()
}

/// Sums by name.
pub fn by_name(phases: &[Phase]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for phase in phases {
        *sums.entry(phase.name.clone()).or_insert(0) += phase.duration_ns;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &'static str, at_ns: Option<u64>) -> Mark {
        Mark { name, at_ns, exec: None }
    }

    fn spans(phases: &[Phase]) -> Vec<(&str, u64, u64)> {
        phases.iter().map(|p| (p.name.as_str(), p.at_ns, p.duration_ns)).collect()
    }

    #[test]
    fn phases_are_contiguous_and_add_up() {
        let marks = [
            mark("fork", None),
            mark("schedule", Some(140)),
            mark("setup", Some(150)),
            mark("exec", None),
            mark("app", Some(190)),
        ];
        let phases = phases(100, 200, &marks);
        assert_eq!(
            spans(&phases),
            [("fork", 0, 40), ("schedule", 40, 10), ("setup", 50, 40), ("app", 90, 10)]
        );
        assert_eq!(by_name(&phases).values().sum::<u64>(), 100);
    }

    #[test]
    fn times_that_run_backwards_are_held_to_the_order() {
        let marks =
            [mark("fork", None), mark("schedule", Some(90)), mark("setup", Some(500)), mark("app", Some(3))];
        assert_eq!(
            spans(&phases(100, 200, &marks)),
            [("fork", 0, 0), ("schedule", 0, 100), ("setup", 100, 0), ("app", 100, 0)]
        );
        assert_eq!(spans(&phases(100, 50, &marks[..1])), [("fork", 0, 0)]);
    }
}
