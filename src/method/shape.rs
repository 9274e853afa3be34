//! What a start is for, by what happens alone: for masters, daemons and tools that no family knows.

use super::argv::python_line;
use super::facts::FdKind;
use super::kernel::Mechanism;
use super::program::{Kind, base};
use super::rule::{Fit, Rule, fits};
use super::view::{SECOND, View};
use crate::trace::schema::Confidence::{self, Guess, Likely};

/// Less than this written is a message, not a parent's state.
const A_SNAPSHOT: u64 = 4096;
/// A trial of the kernel takes no longer.
const A_TRIAL_NS: u64 = 10_000_000;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "shape.double_fork",
        doc: "the process that stays after two forks: its creator was a copy that has ended",
        library: None,
        pattern: Some("double_fork"),
        confidence: Likely,
        weight: 82,
        evidence: "its creator, itself a copy that never exec'd{leader}, ended with status 0 {exit_after} after making it",
        when: |v| {
            if !v.made_by(Mechanism::Fork) || !v.facts.child.creator_is_plain_fork || !v.left_behind() {
                return None;
            }
            match (v.creation()?.parent_session_leader, v.parent.shell()) {
                (true, _) => Some(Fit::FULL),
                // It made the session itself: what began as a copy has daemonised by one fork.
                _ if v.leads_session() => None,
                // A shell's `( cmd & )`.
                (false, Some(_)) => None,
                (false, None) => Some(Fit::at_most(Guess)),
            }
        },
    },
    Rule {
        name: "shape.daemon",
        doc: "the process that stays after one fork: in a session of its own, its creator gone",
        library: None,
        pattern: Some("daemon"),
        confidence: Likely,
        weight: 81,
        evidence: "leads a session of its own; its creator ended with status 0 {exit_after} after making it",
        when: |v| {
            let stays = !v.only_passes_on() && v.left_behind() && v.leads_session();
            // A waiting wrapper by name is one even when it does not wait.
            fits(v.made_by(Mechanism::Fork) && stays && v.parent.name != "setsid")
        },
    },
    Rule {
        name: "shape.pty_session",
        doc: "on a terminal of its own, in a session of its own",
        library: None,
        pattern: Some("pty_session"),
        confidence: Likely,
        weight: 77,
        evidence: "leads a session of its own with a controlling terminal on its descriptors",
        when: |v| {
            let on_tty = v.stdio().iter().any(|f| f.kind == FdKind::Tty)
                || v.facts.child.stdio.iter().any(|f| f.kind == FdKind::Tty);
            let unread = v.stdio().iter().all(|f| f.kind == FdKind::Unknown);
            let tty = v.leads_session() && v.has_tty() && (on_tty || unread);
            // sudo and su give a terminal too, and are wrappers all the same.
            let wrapper = matches!(
                v.parent.name,
                "sudo" | "sudo-rs" | "su" | "su-rs" | "runuser" | "dumb-init" | "tini"
            );
            fits(tty && v.execed() && !wrapper)
        },
    },
    Rule {
        name: "shape.reexec",
        doc: "a program that starts its own executable again",
        library: None,
        pattern: Some("reexec"),
        confidence: Likely,
        weight: 68,
        evidence: "{parent} runs its own executable again{self}",
        when: reexec,
    },
    Rule {
        name: "shape.prefork",
        doc: "one of several long-lived copies that a master keeps",
        library: None,
        pattern: Some("prefork_worker"),
        confidence: Likely,
        weight: 50,
        evidence: "a copy without exec, one of {siblings} of the same creator, {peak} of them alive at once and {long} for a second or more",
        when: |v| {
            let (s, c) = (&v.facts.siblings, &v.facts.child);
            let shell = v.parent.shell().is_some();
            if !v.plain_copy() || shell || s.execless_peak < 2 || v.left_behind() || v.only_passes_on() {
                return None;
            }
            let ended_early = c.exit.is_some() && c.lived_ns < SECOND;
            let cap = if s.execless_long_lived >= 2 && !ended_early { Likely } else { Guess };
            Some(Fit::at_most(cap))
        },
    },
    Rule {
        name: "shape.snapshot",
        doc: "a single copy that writes and ends",
        library: None,
        pattern: Some("snapshot"),
        confidence: Guess,
        weight: 40,
        evidence: "a copy without exec, alone of its kind, that wrote {written} bytes and ended with status 0",
        when: |v| {
            let c = &v.facts.child;
            let ended = c.exit.as_ref().is_some_and(|e| e.code == Some(0));
            let wrote = c.written_bytes.is_some_and(|n| n >= A_SNAPSHOT);
            let alone = v.facts.siblings.execless_peak <= 1 && c.forks == 0 && !c.creator_is_plain_fork;
            let lone = v.plain_copy() && alone && v.parent.shell().is_none();
            fits(lone && ended && wrote && !v.leads_session() && c.creator_exited_after_ns.is_none())
        },
    },
    Rule {
        name: "shape.probe",
        doc: "a child that only exits",
        library: None,
        pattern: Some("probe"),
        confidence: Guess,
        weight: 30,
        evidence: "a vfork whose child only exits: it tries the kernel out",
        when: |v| {
            let c = &v.facts.child;
            let exits = c.exit.as_ref().is_some_and(|e| e.code == Some(0));
            let brief = c.lived_ns <= A_TRIAL_NS && c.forks == 0 && !v.meant_to_exec();
            fits(v.made_by(Mechanism::Vfork) && exits && brief)
        },
    },
];

/// The same file as the creator's. An interpreter or shell runs itself for every script, so there
/// the arguments must be the same too.
fn reexec<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    if !v.execed() || !v.image.same_file(&v.parent) {
        return None;
    }
    // A shell's applets, and Node's children with a channel to it, are what those families say.
    if v.parent.shell().is_some() || (v.image.is(Kind::Node) && v.has_channel()) {
        return None;
    }
    let (ours, theirs) = (v.image.argv(), v.parent.argv());
    let same_arguments = !ours.is_empty() && ours.get(1..) == theirs.get(1..) && ours.len() > 1;
    let through_proc = v.facts.execs.iter().any(|e| e.path.as_deref() == Some("/proc/self/exe"));
    let sure: Confidence = match v.image.kind {
        Kind::Shell(_) => return None,
        Kind::Python if v.image.is_frozen() => Likely,
        Kind::Python if python_line(ours).is_none() => return None,
        Kind::Python | Kind::Node | Kind::Jvm | Kind::Ruby | Kind::Perl | Kind::Php => {
            if same_arguments {
                Likely
            } else {
                return None;
            }
        }
        Kind::Go | Kind::Rust | Kind::Other => {
            let file = v.image.image?.exe.as_deref().map_or("", base);
            let multi_call =
                matches!(file, "busybox" | "toybox" | "coreutils" | "git" | "env" | "xargs" | "find");
            if multi_call && !through_proc {
                return None;
            }
            Likely
        }
    };
    Some(Fit::at_most(sure))
}
