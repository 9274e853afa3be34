//! The C library: posix_spawn, system, popen, fork and vfork as glibc and musl make them.

use super::argv::is_libc_shell;
use super::facts::Call;
use super::kernel::{Mechanism, NEAR, flag};
use super::program::{Libc, base};
use super::rule::{Fit, Rule, fits};
use super::view::{View, mask, signal};
use crate::trace::schema::Confidence::{Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "libc.system",
        doc: "system(): the shell, while the caller ignores INT and QUIT",
        library: None,
        pattern: Some("system"),
        confidence: Likely,
        weight: 75,
        evidence: "argv `{argv}` by posix_spawn, INT and QUIT ignored in the caller, no new pipe on 0 or 1: system()",
        when: |v| {
            let library = spawned(v)?;
            let quiet = v.parent_ignores(signal::INT) && v.parent_ignores(signal::QUIT);
            let piped = v.new_pipe(0) == Some(true) || v.new_pipe(1) == Some(true);
            // system() leaves SIGPIPE alone; who puts it back is Rust's Command or Python's subprocess.
            let other = v.parent_ignores(signal::PIPE) && v.child_ignores(signal::PIPE) == Some(false);
            // It puts INT and QUIT back in the shell. A shell that ignores them too has a caller that did
            // so before (it runs in a script's background), and any posix_spawn of such a one looks so.
            let inherited =
                v.child_ignores(signal::INT) == Some(true) && v.child_ignores(signal::QUIT) == Some(true);
            let cap = if inherited { Guess } else { Likely };
            (quiet && !piped && !other && is_libc_command(v)).then_some(Fit::at_most(cap).by(Some(library)))
        },
    },
    Rule {
        name: "libc.system.by_fork",
        doc: "system() before glibc 2.29, which forks",
        library: Some("glibc"),
        pattern: Some("system"),
        confidence: Likely,
        weight: 75,
        evidence: "argv `{argv}` by clone with CLONE_PARENT_SETTID, INT and QUIT ignored and CHLD blocked in the caller: system() of an old glibc",
        when: |v| {
            let old = v.creation().is_some_and(|c| c.flags == flag::PARENT_SETTID);
            let quiet = v.parent_ignores(signal::INT) && v.parent_ignores(signal::QUIT);
            fits(old && quiet && v.masked(mask::CHLD) && is_libc_command(v))
        },
    },
    Rule {
        name: "libc.popen",
        doc: "popen(): the shell with a new pipe on stdin or stdout",
        library: None,
        pattern: Some("popen"),
        confidence: Likely,
        weight: 75,
        evidence: "argv `{argv}` by posix_spawn, {popen}: popen()",
        when: |v| {
            let library = spawned(v)?;
            if !is_libc_command(v) {
                return None;
            }
            // popen gives its shell one pipe; proc_open and its like give up to three.
            let cap = match (v.new_pipe(0), v.new_pipe(1)) {
                (Some(true), Some(true)) => return None,
                _ if v.new_pipe(2) == Some(true) => return None,
                (Some(true), _) | (_, Some(true)) => Likely,
                (Some(false), Some(false)) => return None,
                // INT and QUIT settle it where the descriptors were not seen.
                _ if v.parent_ignores(signal::INT) && v.parent_ignores(signal::QUIT) => {
                    return None;
                }
                _ => Guess,
            };
            Some(Fit::at_most(cap).by(Some(library)))
        },
    },
    Rule {
        name: "libc.posix_spawn.glibc",
        doc: "glibc's posix_spawn: every signal blocked, a mapped stack",
        library: Some("glibc"),
        pattern: None,
        confidence: Likely,
        weight: 10,
        evidence: "signal mask {mask} and a stack of the child's own: posix_spawn of {subject}",
        when: |v| (spawned(v)? == "glibc").then(|| Fit::FULL.about(glibc_band(v))),
    },
    Rule {
        name: "libc.posix_spawn.musl",
        doc: "musl's posix_spawn: every signal blocked, a stack in the caller's frame",
        library: Some("musl"),
        pattern: None,
        confidence: Likely,
        weight: 10,
        evidence: "signal mask {mask} and the child's stack in the caller's frame: posix_spawn of musl",
        when: |v| fits(spawned(v)? == "musl"),
    },
    Rule {
        name: "libc.fork.glibc",
        doc: "glibc's fork",
        library: Some("glibc"),
        pattern: None,
        confidence: Likely,
        weight: 10,
        evidence: "clone with CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID: glibc's fork",
        when: |v| {
            let c = v.creation()?;
            let fork = v.made_by(Mechanism::Fork)
                && c.flags == flag::GLIBC_FORK
                && c.call == Call::Clone
                && c.exit_signal == signal::CHLD;
            fits(fork && v.parent.libc() != Libc::Musl)
        },
    },
    Rule {
        name: "libc.fork.musl",
        doc: "musl's fork: no flags, every signal blocked",
        library: Some("musl"),
        pattern: None,
        confidence: Likely,
        weight: 10,
        evidence: "no clone flags and signal mask {mask}: musl's fork",
        when: |v| {
            let c = v.creation()?;
            let fork = v.made_by(Mechanism::Fork)
                && c.flags == 0
                // Where there is no such call it is a clone (musl's `src/process/_Fork.c`).
                && (c.call == Call::Fork || c.call == Call::Clone && !v.facts.arch.has_fork_and_vfork())
                && c.blocked == mask::ALL
                && c.exit_signal == signal::CHLD;
            match v.parent.libc() {
                _ if !fork => None,
                Libc::Musl => Some(Fit::FULL),
                Libc::Unknown => Some(Fit::at_most(Guess)),
                _ => None,
            }
        },
    },
    Rule {
        name: "libc.vfork",
        doc: "vfork(2) through the program's C library",
        library: None,
        pattern: None,
        confidence: Likely,
        weight: 9,
        evidence: "vfork, which a program calls through its C library ({parent})",
        when: |v| {
            let library = match v.parent.libc() {
                Libc::Glibc => "glibc",
                Libc::Musl => "musl",
                Libc::Unknown => return None,
            };
            v.is_vfork().then_some(Fit::FULL.by(Some(library)))
        },
    },
];

/// The C library whose posix_spawn the kernel's facts show; `None` for an imitation.
fn spawned(v: &View<'_>) -> Option<&'static str> {
    let c = v.creation()?;
    if !v.made_by(Mechanism::PosixSpawn)
        || c.blocked != mask::ALL
        || c.exit_signal != signal::CHLD
        || !matches!(c.call, Call::Clone | Call::Clone3)
    {
        return None;
    }
    let beyond = flag::VM | flag::VFORK | flag::CLEAR_SIGHAND | flag::PIDFD | flag::INTO_CGROUP;
    if c.flags & !beyond != 0 {
        return None;
    }
    let far = c.stack_delta?.unsigned_abs() >= NEAR;
    match (far, v.parent.libc()) {
        (true, Libc::Glibc | Libc::Unknown) => Some("glibc"),
        (false, Libc::Musl | Libc::Unknown) if c.call == Call::Clone => Some("musl"),
        _ => None,
    }
}

fn glibc_band(v: &View<'_>) -> &'static str {
    if v.any_flag(flag::PIDFD | flag::INTO_CGROUP) {
        "glibc 2.39 or later (pidfd_spawn or a cgroup)"
    } else if v.flags(flag::CLEAR_SIGHAND) {
        "glibc 2.38 or later"
    } else if v.call(Call::Clone3) {
        "glibc 2.34 to 2.37"
    } else {
        "glibc 2.24 to 2.33, or a later one that was refused clone3"
    }
}

/// The first image is the system's shell with the arguments that libc writes: from 2.38 on, the release
/// that clears the handlers, glibc puts `--` before the command; who does not is no libc (PHP's proc_open).
pub(super) fn is_libc_command(v: &View<'_>) -> bool {
    let path = v.first.and_then(|e| e.path.as_deref());
    let argv = v.first_argv();
    let dashes = argv.get(2).is_some_and(|word| word == "--");
    is_libc_shell(argv) && path.is_none_or(|p| base(p) == "sh") && (dashes || !v.flags(flag::CLEAR_SIGHAND))
}
