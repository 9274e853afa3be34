//! Shells and their jobs.

use super::facts::FdKind;
use super::kernel::Mechanism;
use super::program::Shell;
use super::rule::{Fit, Rule};
use super::view::{View, has, mask, signal};
use crate::trace::schema::Confidence::{self, Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "shells.pipeline",
        doc: "an element of a pipeline",
        library: None,
        pattern: Some("shell.pipeline"),
        confidence: Likely,
        weight: 64,
        evidence: "made by the shell {parent}; {pipes01} not the shell's own{mates}",
        when: |v| job(v, Job::Pipeline),
    },
    Rule {
        name: "shells.substitution",
        doc: "a command or process substitution: its output goes to the shell through a pipe",
        library: None,
        pattern: Some("shell.substitution"),
        confidence: Likely,
        weight: 63,
        evidence: "made by the shell {parent}; stdout is a pipe that no sibling shares, stdin is as the shell's",
        when: |v| job(v, Job::Substitution),
    },
    Rule {
        name: "shells.background",
        doc: "a job in the background",
        library: None,
        pattern: Some("shell.background"),
        confidence: Likely,
        weight: 62,
        evidence: "made by the shell {parent}; {background}",
        when: |v| job(v, Job::Background),
    },
    Rule {
        name: "shells.command",
        doc: "a program that a shell runs",
        library: None,
        pattern: Some("shell.command"),
        confidence: Likely,
        weight: 60,
        evidence: "made by the shell {parent} to run a program, its pipes as the shell's",
        when: |v| job(v, Job::Command),
    },
    Rule {
        name: "shells.subshell",
        doc: "a copy of a shell that runs part of the script",
        library: None,
        pattern: Some("shell.subshell"),
        confidence: Likely,
        weight: 60,
        evidence: "a copy of the shell {parent} that goes on as a shell",
        when: |v| job(v, Job::Subshell),
    },
    Rule {
        name: "shells.any",
        doc: "made by a shell, in the way of that shell",
        library: None,
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is a shell: {parent}, signal mask {mask}",
        when: |v| {
            let (library, cap) = shell(v)?;
            library.map(|l| Fit::at_most(cap).by(Some(l)))
        },
    },
    Rule {
        name: "shells.exec",
        doc: "the shell's exec, or the last command of sh -c",
        library: None,
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the image that was replaced is a shell: {parent}",
        when: |v| {
            let shell = v.parent.shell()?;
            v.made_by(Mechanism::Exec).then(|| Fit::FULL.by(shell.library()))
        },
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Pipeline,
    Substitution,
    Background,
    Command,
    Subshell,
}

fn job<'a>(v: &View<'a>, wanted: Job) -> Option<Fit<'a>> {
    let (library, cap) = shell(v)?;
    let (job, sure) = what(v);
    (job == wanted).then_some(Fit::at_most(cap.min(sure)).by(library))
}

/// The shell that made it, where the way it was made is that shell's: a program that only bears a
/// shell's name rarely forks as one.
fn shell(v: &View<'_>) -> Option<(Option<&'static str>, Confidence)> {
    let shell = v.parent.shell()?;
    let blocked = v.blocked()?;
    let (fork, vfork) = (v.made_by(Mechanism::Fork), v.made_by(Mechanism::Vfork));
    let dash = vfork && blocked == mask::LIBC;
    let fits = match shell {
        Shell::Bash | Shell::Zsh | Shell::Mksh => fork,
        Shell::Dash => fork || dash,
        Shell::Busybox | Shell::Tcsh | Shell::Sh => fork || vfork,
        Shell::Ksh | Shell::Fish => fork || vfork || v.made_by(Mechanism::PosixSpawn),
    };
    if !fits {
        return None;
    }
    // bash and zsh hold CHLD back around every fork.
    let cap = match shell {
        Shell::Bash | Shell::Zsh if !has(blocked, signal::CHLD) => Guess,
        _ => Likely,
    };
    let library = match shell {
        Shell::Sh if dash => Some("dash"),
        Shell::Sh if blocked == mask::BASH => Some("bash"),
        other => other.library(),
    };
    Some((library, cap))
}

fn what(v: &View<'_>) -> (Job, Confidence) {
    let (stdin, stdout) = match v.parent.shell() {
        Some(Shell::Mksh | Shell::Ksh) => {
            let pipe = |fd| v.pipe_since_its_image(fd).or(v.new_pipe(fd));
            (pipe(0), pipe(1))
        }
        _ => (v.new_pipe(0), v.new_pipe(1)),
    };
    let mates = v.facts.siblings.pipe_mates > 0;
    let [now, ..] = v.stdio();
    // ksh93 makes sockets for its pipelines, and for nothing else but its coprocesses.
    let socket =
        |fd: usize, new| new == Some(true) && v.stdio().get(fd).is_some_and(|f| f.kind == FdKind::Socket);
    if socket(0, stdin) || socket(1, stdout) {
        return (Job::Pipeline, Likely);
    }
    match (stdin, stdout) {
        (Some(true), _) | (_, Some(true)) if mates => return (Job::Pipeline, Likely),
        (None, _) | (_, None) if mates => return (Job::Pipeline, Guess),
        (Some(true), Some(true)) => return (Job::Pipeline, Guess),
        (_, Some(true)) => return (Job::Substitution, Likely),
        _ => {}
    }
    // A pipe on stdin alone that nobody shares is a here-document, or the end of a pipeline whose
    // other elements were not seen.
    let mut sure = if stdin == Some(true) { Guess } else { Likely };
    match background(v, now.kind) {
        Behind::Yes(sure) => return (Job::Background, sure),
        Behind::Perhaps => sure = Guess,
        Behind::No => {}
    }
    let not_executable = v.facts.execs.iter().any(|e| e.error.as_deref() == Some("ENOEXEC"));
    if v.execed() || v.meant_to_exec() {
        // A last command takes its subshell's process over.
        let copied = v.facts.child.forks_before_exec > 0 && !not_executable;
        return (if copied { Job::Subshell } else { Job::Command }, sure);
    }
    let code = v.facts.child.exit.as_ref().and_then(|e| e.code);
    if v.facts.child.forks == 0 && matches!(code, Some(126 | 127)) {
        // Not found in PATH: the copy says so and ends without an attempt.
        return (Job::Command, Guess);
    }
    (Job::Subshell, sure)
}

/// Is it a job in the background?
enum Behind {
    Yes(Confidence),
    No,
    /// Nothing that was observed tells.
    Perhaps,
}

/// Without job control a background job ignores INT and QUIT, and its stdin is /dev/null; with it, it
/// has a group of its own, which is not the terminal's foreground one.
fn background(v: &View<'_>, stdin: FdKind) -> Behind {
    let both = |f: &dyn Fn(u32) -> bool| f(signal::INT) && f(signal::QUIT);
    let shell_too = both(&|s| v.parent_ignores(s));
    let before = v.creation().and_then(|c| c.stdio.first()).map_or(FdKind::Unknown, |f| f.kind);
    let known = !matches!(before, FdKind::Null | FdKind::Unknown);
    let turned_null = stdin == FdKind::Null && known;
    match (v.child_ignores(signal::INT), v.child_ignores(signal::QUIT)) {
        (Some(true), Some(true)) if !shell_too => return Behind::Yes(Likely),
        // The shell is itself in the background of another, so only stdin is left to tell; dash vforks
        // what runs in its foreground.
        (Some(true), Some(true)) if v.made_by(Mechanism::Vfork) => return Behind::No,
        (Some(true), Some(true)) if turned_null => return Behind::Yes(Likely),
        (Some(true), Some(true)) if !known => return Behind::Perhaps,
        (None, _) | (_, None) if turned_null => return Behind::Yes(Guess),
        _ => {}
    }
    match v.job_group() {
        (Some(true), Some(false)) => Behind::Yes(Likely),
        // Job control without a terminal: a job in the foreground looks the same.
        (Some(true), None) => Behind::Perhaps,
        // In the group of a shell that is itself behind, or in front.
        _ => Behind::No,
    }
}
