//! CPython: multiprocessing, subprocess, os.fork; joblib's loky.
//!
//! The argument lists are those of the library's own sources, CPython 3.4 to 3.14 (`spawn.py`,
//! `forkserver.py`, `resource_tracker.py`, `semaphore_tracker.py`) and loky 2 and 3.

use super::argv::{
    Match, PythonLine, Target, is_fork_server, is_frozen_spawn, is_libc_shell, is_loky_tracker,
    is_loky_worker, is_resource_tracker, is_spawn_main, python_line,
};
use super::facts::{Fd, FdKind};
use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule, fits};
use super::view::{View, mask, signal};
use crate::trace::schema::Confidence::{self, Certain, Guess, Likely};

const SERVER: &str = "multiprocessing.forkserver.server";
const WORKER: &str = "multiprocessing.forkserver";
/// A fork server reads its client's socket and forks at once (0.4 ms later with CPython 3.11).
const ASKED_JUST_NOW: u64 = 100_000_000;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "python.multiprocessing.spawn",
        doc: "a worker of multiprocessing's spawn method: the interpreter run on spawn_main",
        library: Some("cpython"),
        pattern: Some("multiprocessing.spawn"),
        confidence: Certain,
        weight: 95,
        evidence: "argv is what multiprocessing.spawn writes: {subject} --multiprocessing-fork; run by {image}",
        when: |v| owned(v, |l| code(l).filter(|c| is_spawn_main(c, l.rest)).map(|_| Match::Whole)),
    },
    Rule {
        name: "python.multiprocessing.spawn.frozen",
        doc: "the same of a frozen program, which runs itself with --multiprocessing-fork",
        library: Some("cpython"),
        pattern: Some("multiprocessing.spawn"),
        confidence: Likely,
        weight: 94,
        evidence: "the program runs itself with --multiprocessing-fork and a pipe_handle, as frozen Python programs do",
        when: |v| {
            let frozen = v.image.is(Kind::Other) || v.image.is_frozen();
            let itself = v.execed() && frozen && v.image.same_file(&v.parent);
            fits(itself && is_frozen_spawn(v.image.argv()))
        },
    },
    Rule {
        name: "python.multiprocessing.forkserver.server",
        doc: "the server that multiprocessing's forkserver method forks its workers from",
        library: Some("cpython"),
        pattern: Some(SERVER),
        confidence: Certain,
        weight: 95,
        evidence: "argv is what multiprocessing.forkserver writes: {subject}; run by {image}",
        when: |v| {
            if seeded_worker(v) {
                return None;
            }
            owned(v, |l| code(l).and_then(|c| is_fork_server(c, l.rest)))
        },
    },
    Rule {
        name: "python.multiprocessing.forkserver",
        doc: "a worker that the fork server made on a client's request",
        library: Some("cpython"),
        pattern: Some(WORKER),
        confidence: Certain,
        weight: 96,
        evidence: "a copy, without exec, of a multiprocessing fork server{peer}",
        when: fork_server_worker,
    },
    Rule {
        name: "python.multiprocessing.resource_tracker",
        doc: "multiprocessing's helper that removes semaphores and shared memory left behind",
        library: Some("cpython"),
        pattern: Some("multiprocessing.resource_tracker"),
        confidence: Certain,
        weight: 95,
        evidence: "argv is what multiprocessing's tracker is started with: {subject}; run by {image}",
        when: |v| owned(v, |l| code(l).filter(|c| is_resource_tracker(c, l.rest)).map(|_| Match::Whole)),
    },
    Rule {
        name: "python.loky.worker",
        doc: "a worker of joblib's loky",
        library: Some("cpython"),
        pattern: Some("loky.worker"),
        confidence: Certain,
        weight: 95,
        evidence: "argv is what loky writes: -m {subject} with --process-name and --pipe; run by {image}",
        when: |v| {
            owned(v, |l| match l.target {
                Target::Module(m) if is_loky_worker(m, l.rest) => Some(Match::Whole),
                _ => None,
            })
        },
    },
    Rule {
        name: "python.loky.resource_tracker",
        doc: "loky's own resource tracker",
        library: Some("cpython"),
        pattern: Some("loky.resource_tracker"),
        confidence: Certain,
        weight: 95,
        evidence: "argv is what loky's tracker is started with: {subject}; run by {image}",
        when: |v| owned(v, |l| code(l).filter(|c| is_loky_tracker(c, l.rest)).map(|_| Match::Whole)),
    },
    Rule {
        name: "python.multiprocessing.fork",
        doc: "a worker of multiprocessing, Pool or ProcessPoolExecutor by the fork method",
        library: Some("cpython"),
        pattern: Some("multiprocessing.fork"),
        confidence: Likely,
        weight: 80,
        evidence: "a copy of a Python process without exec; {pipes} at hand at the fork{stdin}",
        when: multiprocessing_fork,
    },
    Rule {
        name: "python.subprocess.vfork",
        doc: "subprocess by vfork (CPython 3.10 and up)",
        library: Some("cpython.subprocess"),
        pattern: Some("subprocess"),
        confidence: Likely,
        weight: 66,
        evidence: "vfork by Python with signal mask {mask}: only subprocess does so",
        when: |v| {
            let trust = v.parent_is(Kind::Python)?;
            (v.is_vfork() && v.masked(mask::LIBC)).then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "python.subprocess.fork",
        doc: "subprocess by fork: CPython up to 3.9, and with preexec_fn, user or group",
        library: Some("cpython.subprocess"),
        pattern: Some("subprocess"),
        confidence: Likely,
        weight: 66,
        evidence: "fork and exec by Python, with a close-on-exec pipe made just before: subprocess's error pipe",
        when: |v| {
            let trust = v.parent_is(Kind::Python)?;
            let c = v.creation()?;
            if !v.made_by(Mechanism::Fork) || !v.meant_to_exec() {
                return None;
            }
            match c.fresh_pipes {
                Some(n) if n > 0 && c.fresh_pipes_cloexec => Some(Fit::at_most(trust)),
                // os.fork and an exec of one's own look the same without the pipe.
                None => Some(Fit::at_most(Guess)),
                Some(_) => None,
            }
        },
    },
    Rule {
        name: "python.subprocess.posix_spawn",
        doc: "subprocess by posix_spawn (CPython 3.13 and up; 3.8 and up with close_fds=False)",
        library: Some("cpython.subprocess"),
        pattern: Some("subprocess"),
        confidence: Likely,
        weight: 66,
        evidence: "posix_spawn by Python, {sigpipe}",
        when: subprocess_by_posix_spawn,
    },
    Rule {
        name: "python.fork",
        doc: "os.fork, os.posix_spawn or an exec by CPython itself",
        library: Some("cpython"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is Python: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Python)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];

fn code<'a>(line: &PythonLine<'a>) -> Option<&'a str> {
    match line.target {
        Target::Code(text) => Some(text),
        _ => None,
    }
}

/// An argument list of a library's own, in its place, and how far the rest of the start bears it out.
fn owned<'a>(v: &View<'a>, matches: impl Fn(&PythonLine<'a>) -> Option<Match>) -> Option<Fit<'a>> {
    let observed = v.axis.mechanism.is_some();
    if observed && !v.execed() {
        return None;
    }
    let line = python_line(v.image.argv())?;
    let cap = match matches(&line)? {
        Match::Whole if line.as_library => Certain,
        Match::Whole | Match::Cut => Likely,
    };
    let image = match v.image.kind {
        Kind::Python => v.image.trust,
        // A frozen program runs itself as its interpreter, by the same vfork.
        Kind::Other if v.image.same_file(&v.parent) && v.masked(mask::LIBC) => Likely,
        _ => return None,
    };
    // The library forks or vforks from Python and execs Python at once.
    let direct =
        (v.made_by(Mechanism::Fork) || v.made_by(Mechanism::Vfork)) && v.passed_through().next().is_none();
    let parent = match v.parent_is(Kind::Python) {
        Some(trust) if direct => trust.max(Likely),
        // No shell runs multiprocessing: these arguments were typed.
        None if v.parent.shell().is_some() => Guess,
        _ => Likely,
    };
    let subject = match line.target {
        Target::Code(t) | Target::Module(t) | Target::Script(t) => t,
    };
    Some(Fit::at_most(cap).and_at_most(image).and_at_most(parent).about(subject))
}

/// Some process whose creation was not seen and whose arguments are a fork server's: the server, or
/// one of its workers, which keep them. A worker's parent has the same.
fn seeded_worker(v: &View<'_>) -> bool {
    v.axis.mechanism.is_none()
        && (matches!(v.parent_pattern(), Some(SERVER | WORKER))
            || (!v.image.argv().is_empty() && v.image.argv() == v.parent.argv()))
}

fn serves_forks(v: &View<'_>) -> Option<Match> {
    let line = python_line(v.parent.argv())?;
    is_fork_server(code(&line)?, line.rest)
}

fn fork_server_worker<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    if seeded_worker(v) {
        return serves_forks(v).map(|_| Fit::at_most(Likely));
    }
    if !v.plain_copy() {
        return None;
    }
    let asked = v.facts.peer.as_ref().is_some_and(|p| p.age_ns <= ASKED_JUST_NOW);
    match v.parent_pattern() {
        Some(SERVER) => {
            let argv = match serves_forks(v) {
                Some(Match::Whole) => Certain,
                _ => Likely,
            };
            let cap = if asked { argv } else { Likely };
            let trust = v.parent_is(Kind::Python).unwrap_or(Likely).max(Likely);
            Some(Fit::at_most(cap).and_at_most(trust))
        }
        // The worker of a server has the server's arguments too, and may fork on its own account.
        Some(_) => None,
        None => {
            serves_forks(v)?;
            v.parent_is(Kind::Python)?;
            Some(Fit::at_most(if asked { Likely } else { Guess }))
        }
    }
}

/// A `Process` makes two pipes and forks (one pipe up to 3.7, none in 2.7), and its first act in the
/// child is to give `sys.stdin` a descriptor of its own, open on /dev/null; 0, 1 and 2 stay.
fn multiprocessing_fork<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    let trust = v.parent_is(Kind::Python)?;
    let c = v.creation()?;
    if !v.plain_copy() || v.parent_pattern() == Some(SERVER) || v.leads_session() {
        return None;
    }
    let turned_null = |now: &Fd, before: &Fd| {
        now.kind == FdKind::Null && !matches!(before.kind, FdKind::Null | FdKind::Unknown)
    };
    let mut standard = v.facts.child.stdio.iter().zip(&c.stdio);
    if standard.any(|(now, before)| turned_null(now, before)) {
        // A daemon turns the standard descriptors themselves.
        return None;
    }
    let needed = match v.parent.python_version() {
        Some((2, _)) => 0,
        Some((3, minor)) if minor < 8 => 1,
        _ => 2,
    };
    let piped = c.fresh_pipes.map(|n| n >= needed && (needed == 0 || c.fresh_pipes_cloexec));
    let stdin = v.facts.child.null_on_pipe;
    // Without a stdin at the start there is none to replace.
    let none_to_replace = matches!(c.stdio, [Fd { kind: FdKind::Closed, .. }, ..]);
    let cap = match (piped, stdin) {
        (Some(true), Some(true)) => Likely,
        (Some(true), Some(false)) if needed == 2 && none_to_replace => Likely,
        (Some(true), None) if needed == 2 => Likely,
        (Some(true), None) if needed == 1 => Guess,
        (Some(false) | None, Some(true)) => Guess,
        _ => return None,
    };
    Some(Fit::at_most(cap).and_at_most(trust))
}

/// The path on which Python's own fingerprint is one signal: it ignores SIGPIPE itself and
/// `subprocess` puts it back in the child, while os.posix_spawn and os.system leave it ignored.
fn subprocess_by_posix_spawn<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    let trust = v.parent_is(Kind::Python)?;
    if !v.made_by(Mechanism::PosixSpawn) || is_libc_shell(v.first_argv()) {
        return None;
    }
    let newer = v.parent.python_version().is_some_and(|n| n >= (3, 13));
    let cap: Confidence = match (v.parent_ignores(signal::PIPE), v.child_ignores(signal::PIPE)) {
        (true, Some(false)) => Likely,
        (true, Some(true)) => return None,
        _ if newer => Likely,
        _ => Guess,
    };
    Some(Fit::at_most(cap).and_at_most(trust))
}
