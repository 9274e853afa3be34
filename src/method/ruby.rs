//! Ruby: spawn, system, backticks, fork.

use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule};
use super::view::mask;
use crate::trace::schema::Confidence::Likely;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "ruby.spawn",
        doc: "spawn, system, backticks and popen: vfork, or fork for a privileged process",
        library: Some("ruby"),
        pattern: None,
        confidence: Likely,
        weight: 21,
        evidence: "by Ruby with signal mask {mask}: its process functions ({parent})",
        when: |v| {
            let trust = v.parent_is(Kind::Ruby)?;
            let shape = v.made_by(Mechanism::Vfork) || v.made_by(Mechanism::Fork);
            (shape && v.masked(mask::LIBC)).then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "ruby.other",
        doc: "any creation by Ruby",
        library: Some("ruby"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is Ruby: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Ruby)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];
