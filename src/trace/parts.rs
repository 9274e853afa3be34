//! A critical path piece by piece, with what was put together taken apart as far as a trace says it.

use super::schema::{Segment, Start};

/// Stands in place of a start's id for short pieces of several starts, of which nobody knows which.
pub(crate) const OTHERS: &str = "";

/// A piece of a path that is one start's, or of several other starts of which nobody knows which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// From the start's origin. Of what was put together, the length is measured and the place is not: its own pieces
    /// come first.
    pub at_ns: u64,
    /// Length.
    pub duration_ns: u64,
    /// `None`: short pieces of other starts.
    pub of: Option<&'a str>,
    /// What it was in.
    pub state: &'a str,
    /// The segment that it is, or is a part of.
    pub segment: &'a Segment,
}

impl Part<'_> {
    /// It is not one of several that were put together.
    pub fn is_alone(&self) -> bool {
        self.segment.folded.is_none()
    }
}

/// The path of a start.
pub fn of(start: &Start) -> impl Iterator<Item = Part<'_>> {
    start.timeline.critical_path.iter().flat_map(|segment| Parts::of(segment, &start.start_id))
}

/// The parts of one segment; `own` is the start whose path it is.
pub fn of_segment<'a>(segment: &'a Segment, own: &'a str) -> impl Iterator<Item = Part<'a>> {
    Parts::of(segment, own)
}

/// How long a segment is the start's own, and how long it is of others. More than its length nobody has: a file can say
/// anything.
pub fn shares(segment: &Segment, own: &str) -> (u64, u64) {
    let Some(folded) = &segment.folded else {
        let is_own = segment.start_id == own;
        return if is_own { (segment.duration_ns, 0) } else { (0, segment.duration_ns) };
    };
    let sum = |of: &std::collections::BTreeMap<String, u64>| {
        of.values().fold(0u64, |sum, ns| sum.saturating_add(*ns))
    };
    let own_ns = sum(&folded.own_ns).min(segment.duration_ns);
    (own_ns, sum(&folded.others_ns).min(segment.duration_ns - own_ns))
}

enum Parts<I> {
    Alone(std::iter::Once<I>),
    Together(std::vec::IntoIter<I>),
}

impl<'a> Parts<Part<'a>> {
    fn of(segment: &'a Segment, own: &'a str) -> Self {
        let Some(folded) = &segment.folded else {
            return Self::Alone(std::iter::once(Part {
                at_ns: segment.at_ns,
                duration_ns: segment.duration_ns,
                of: Some(&segment.start_id),
                state: &segment.state,
                segment,
            }));
        };
        let end = segment.at_ns.saturating_add(segment.duration_ns);
        let mut at_ns = segment.at_ns;
        let mut parts = Vec::with_capacity(folded.own_ns.len() + folded.others_ns.len());
        for (sums, of) in [(&folded.own_ns, Some(own)), (&folded.others_ns, None)] {
            for (state, ns) in sums {
                let duration_ns = (*ns).min(end.saturating_sub(at_ns));
                if duration_ns > 0 {
                    parts.push(Part { at_ns, duration_ns, of, state, segment });
                    at_ns = at_ns.saturating_add(duration_ns);
                }
            }
        }
        Self::Together(parts.into_iter())
    }
}

impl<I> Iterator for Parts<I> {
    type Item = I;

    fn next(&mut self) -> Option<I> {
        match self {
            Self::Alone(one) => one.next(),
            Self::Together(list) => list.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema::Folded;

    fn segment(at_ns: u64, duration_ns: u64, of: &str, folded: Option<Folded>) -> Segment {
        let (start_id, state) = (of.to_owned(), "running".to_owned());
        Segment { at_ns, duration_ns, start_id, state, folded: folded.map(Box::new), ..Segment::default() }
    }

    #[test]
    fn what_was_put_together_is_whose_it_is_and_no_longer_than_it_is() {
        let sums = |list: &[(&str, u64)]| list.iter().map(|(state, ns)| ((*state).to_owned(), *ns)).collect();
        let folded = |own: &[(&str, u64)], others: &[(&str, u64)]| Folded {
            pieces: 9,
            own_ns: sums(own),
            others_ns: sums(others),
            ..Folded::default()
        };
        let mut start = Start { start_id: "a".to_owned(), ..Start::default() };
        start.timeline.critical_path = vec![
            segment(0, 10, "b", None),
            segment(10, 100, "b", Some(folded(&[("child", 20), ("running", 10)], &[("running", 70)]))),
            // More than there is, in all and of each.
            segment(110, 50, "a", Some(folded(&[("running", 40)], &[("disk", u64::MAX), ("running", 1)]))),
        ];
        let found: Vec<_> =
            of(&start).map(|part| (part.at_ns, part.duration_ns, part.of, part.state)).collect();
        assert_eq!(
            found,
            [
                (0, 10, Some("b"), "running"),
                (10, 20, Some("a"), "child"),
                (30, 10, Some("a"), "running"),
                (40, 70, None, "running"),
                (110, 40, Some("a"), "running"),
                (150, 10, None, "disk"),
            ]
        );
        let path = &start.timeline.critical_path;
        let shared: Vec<_> = path.iter().map(|segment| shares(segment, "a")).collect();
        assert_eq!(shared, [(0, 10), (30, 70), (40, 10)]);
    }
}
