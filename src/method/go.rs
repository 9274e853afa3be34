//! Go: os/exec and syscall.ForkExec.

use super::facts::Call;
use super::kernel::{Mechanism, flag};
use super::program::Kind;
use super::rule::{Fit, Rule};
use super::view::{SECOND, View, mask};
use crate::trace::schema::Confidence::{Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "go.probe",
        doc: "the child by which Go 1.23 and up tries pidfds out, once per process",
        library: Some("go"),
        pattern: Some("probe"),
        confidence: Likely,
        weight: 70,
        evidence: "CLONE_PIDFD, no signal at its end, and no exec: Go's one trial of pidfds",
        when: |v| {
            let c = v.creation()?;
            // os/exec blocks every signal around its clone; the trial leaves the thread's mask.
            let trial = v.made_by(Mechanism::Vfork) && v.flags(flag::PIDFD) && c.exit_signal == 0;
            let only_exits = !v.meant_to_exec() && v.facts.child.lived_ns < SECOND;
            (trial && only_exits).then(|| go_or_unread(v))?
        },
    },
    Rule {
        name: "go.exec",
        doc: "os/exec: clone as vfork, on the parent's stack, with every signal blocked",
        library: Some("go"),
        pattern: None,
        confidence: Likely,
        weight: 21,
        evidence: "clone (not vfork) on the parent's stack with signal mask {mask}: Go's os/exec{pidfd}",
        when: like_go,
    },
    Rule {
        name: "go.clone",
        doc: "any other creation by a Go program, such as one into new namespaces",
        library: Some("go"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is a Go program: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Go)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];

fn like_go<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    let shape =
        v.made_by(Mechanism::Vfork) && (v.call(Call::Clone) || v.call(Call::Clone3)) && v.masked(mask::ALL);
    shape.then(|| go_or_unread(v))?
}

fn go_or_unread<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    match v.parent.kind {
        Kind::Go => Some(Fit::FULL),
        // The ELF reader knows Go where it could read the file.
        Kind::Other if v.parent.image.is_some_and(|i| i.linkage.is_some()) => Some(Fit::at_most(Guess)),
        // Elsewhere vfork is the same call, made by a program that blocks every signal.
        Kind::Other if !v.facts.arch.has_fork_and_vfork() => Some(Fit::at_most(Guess)),
        Kind::Other => Some(Fit::at_most(Likely)),
        _ => None,
    }
}
