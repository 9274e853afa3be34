//! systemd's service manager.

use super::argv::is_systemd_executor;
use super::kernel::Mechanism;
use super::rule::{Fit, Rule};
use super::view::View;
use crate::trace::schema::Confidence::{Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "systemd.executor",
        doc: "a unit's process by way of systemd-executor (255 and up)",
        library: Some("systemd"),
        pattern: Some("systemd.executor"),
        confidence: Likely,
        weight: 90,
        evidence: "first image {first} with argv `{argv}`, systemd's executor, run by {parent}; then the unit's program",
        when: |v| {
            let executor = v.first_image.name == "systemd-executor" && is_systemd_executor(v.first_argv());
            let manager = is_manager(v) && v.made_by(Mechanism::PosixSpawn);
            match (executor, manager) {
                (true, true) => Some(Fit::at_most(v.parent.name_trust())),
                (true, false) => Some(Fit::at_most(Guess)),
                _ => None,
            }
        },
    },
    Rule {
        name: "systemd.fork",
        doc: "made by the service manager itself (up to 254, and its generators)",
        library: Some("systemd"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "made by the service manager {parent}",
        when: |v| {
            let made = is_manager(v) && v.creation().is_some();
            made.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
];

fn is_manager(v: &View<'_>) -> bool {
    v.parent.name == "systemd"
}
