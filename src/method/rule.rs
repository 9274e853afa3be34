//! What a rule is, and what it finds.

use super::view::View;
use crate::trace::schema::Confidence;

/// One way to recognise who made a start, what for, or both.
pub(super) struct Rule {
    /// Unique; begins with the family.
    pub(super) name: &'static str,
    /// What it recognises, in one line.
    pub(super) doc: &'static str,
    /// Who made the call, where the rule tells.
    pub(super) library: Option<&'static str>,
    /// What for, where the rule tells.
    pub(super) pattern: Option<&'static str>,
    /// The most that the rule may say of itself.
    pub(super) confidence: Confidence,
    /// Among rules that are at least likely, the heavier wins: it looks at more of the start.
    pub(super) weight: u8,
    /// The reason, for a user to check; `{...}` are filled in by `engine::render`.
    pub(super) evidence: &'static str,
    /// Does it apply?
    pub(super) when: for<'a> fn(&View<'a>) -> Option<Fit<'a>>,
}

/// A rule that applies, and how well.
#[derive(Clone, Copy)]
pub(super) struct Fit<'a> {
    /// Lowers the rule's confidence.
    pub(super) cap: Confidence,
    /// Replaces the rule's library.
    pub(super) library: Option<&'static str>,
    /// Fills `{subject}`.
    pub(super) subject: &'a str,
}

impl<'a> Fit<'a> {
    /// Applies as the table says.
    pub(super) const FULL: Self = Self { cap: Confidence::Certain, library: None, subject: "" };

    /// Applies, but is at most so sure.
    pub(super) fn at_most(cap: Confidence) -> Self {
        Self { cap, ..Self::FULL }
    }

    /// Lowers the confidence further.
    pub(super) fn and_at_most(self, cap: Confidence) -> Self {
        Self { cap: self.cap.min(cap), ..self }
    }

    /// Names the library.
    pub(super) fn by(self, library: Option<&'static str>) -> Self {
        Self { library, ..self }
    }

    /// Names what the evidence is about.
    pub(super) fn about(self, subject: &'a str) -> Self {
        Self { subject, ..self }
    }
}

/// Applies as the table says, or not at all.
pub(super) fn fits<'a>(condition: bool) -> Option<Fit<'a>> {
    condition.then_some(Fit::FULL)
}
