//! Perl: system, backticks, open, fork. All of them fork in the interpreter itself: Perl's `system`
//! is not libc's.

use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule};
use super::view::mask;
use crate::trace::schema::Confidence::Likely;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "perl.system",
        doc: "Perl's system: a fork with CHLD blocked",
        library: Some("perl"),
        pattern: None,
        confidence: Likely,
        weight: 21,
        evidence: "fork by Perl with CHLD blocked: Perl's system ({parent})",
        when: |v| {
            let trust = v.parent_is(Kind::Perl)?;
            let shape = v.made_by(Mechanism::Fork) && v.masked(mask::CHLD) && v.meant_to_exec();
            shape.then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "perl.other",
        doc: "fork, backticks, open and any other creation by Perl",
        library: Some("perl"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is Perl: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Perl)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];
