//! Node and libuv.

use super::facts::FdKind;
use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule, fits};
use super::view::{SECOND, View, mask};
use crate::trace::schema::Confidence::{self, Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "node.cluster",
        doc: "a worker of Node's cluster module",
        library: Some("libuv"),
        pattern: Some("node.cluster"),
        confidence: Guess,
        weight: 70,
        evidence: "Node runs the script that its parent runs{fd3}: cluster, or child_process.fork of itself (only the environment tells)",
        when: |v| {
            ipc_child(v)?;
            fits(same_script(v))
        },
    },
    Rule {
        name: "node.fork",
        doc: "child_process.fork: Node started by Node with a channel between them",
        library: Some("libuv"),
        pattern: Some("node.fork"),
        confidence: Likely,
        weight: 70,
        evidence: "Node runs Node on another script{fd3}: child_process.fork",
        when: |v| {
            let sure = ipc_child(v)?;
            (!same_script(v)).then_some(Fit::at_most(sure))
        },
    },
    Rule {
        name: "node.probe",
        doc: "the vfork by which libuv 1.53 and up tries the kernel out, once per process",
        library: Some("libuv"),
        pattern: Some("probe"),
        confidence: Likely,
        weight: 70,
        evidence: "vfork by Node whose child only exits: libuv's one trial of vfork",
        when: |v| {
            let trust = v.parent_is(Kind::Node)?;
            let trial = v.is_vfork() && !v.meant_to_exec() && v.facts.child.lived_ns < SECOND;
            trial.then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "node.libuv.fork",
        doc: "uv_spawn up to libuv 1.52, by its signal mask",
        library: Some("libuv"),
        pattern: None,
        confidence: Likely,
        weight: 30,
        evidence: "signal mask {mask}: only libuv's uv_spawn (up to 1.52) blocks these",
        when: |v| fits(v.made_by(Mechanism::Fork) && v.masked(mask::UV)),
    },
    Rule {
        name: "node.libuv",
        doc: "any creation by Node",
        library: Some("libuv"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is Node: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Node)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];

/// Node made by Node. Likely where descriptor 3 is a socket, the place of the IPC channel.
fn ipc_child(v: &View<'_>) -> Option<Confidence> {
    v.parent_is(Kind::Node)?;
    if !v.image.is(Kind::Node) || !v.execed() || script(v.image.argv()).is_none() {
        return None;
    }
    v.creation()?;
    match v.first?.fd3.kind {
        FdKind::Socket => Some(v.parent.trust.min(v.image.trust).min(Likely)),
        FdKind::Unknown => Some(Guess),
        _ => None,
    }
}

fn same_script(v: &View<'_>) -> bool {
    script(v.image.argv()).is_some_and(|s| Some(s) == script(v.parent.argv()))
}

fn script(argv: &[String]) -> Option<&str> {
    super::argv::first_word(argv, &["-r", "--require", "-C", "--import", "--loader"])
}
