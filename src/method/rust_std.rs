//! Rust: std::process::Command.

use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule};
use super::view::signal;
use crate::trace::schema::Confidence::{Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "rust.command",
        doc: "std::process::Command by posix_spawn or by fork and exec",
        library: Some("rust"),
        pattern: None,
        confidence: Likely,
        weight: 22,
        evidence: "the caller is a Rust program that ignores SIGPIPE, as its runtime does: std::process::Command ({parent})",
        when: |v| {
            let trust = v.parent_is(Kind::Rust)?;
            let command =
                v.made_by(Mechanism::PosixSpawn) || (v.made_by(Mechanism::Fork) && v.meant_to_exec());
            let restored = v.child_ignores(signal::PIPE) != Some(true);
            (command && v.parent_ignores(signal::PIPE) && restored).then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "rust.other",
        doc: "another creation by a Rust program",
        library: Some("rust"),
        pattern: None,
        confidence: Guess,
        weight: 20,
        evidence: "the caller is a Rust program: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Rust)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];
