//! Starts as their facts would be recorded, and the methods that they must get.

mod arm64;
mod kernel_axis;
mod lookalikes;
mod property;
mod python;
mod runtimes;
mod servers;
mod shells;

use super::facts::{Call, Child, Creation, ExecFact, ExitFact, Facts, Fd, FdKind, Image, ParentMethod, Peer};
use super::kernel::flag;
use super::view::{SECOND, mask};
use super::{catalogue, classify};
use crate::trace::schema::Confidence::{self, Certain, Guess, Likely};
use crate::trace::schema::Method;
use std::collections::BTreeSet;

pub(super) const GLIBC_LD: &str = "/lib64/ld-linux-x86-64.so.2";
pub(super) const MUSL_LD: &str = "/lib/ld-musl-x86_64.so.1";
pub(super) const FAR: i64 = 0x7f00_0000_0000;
pub(super) const INT_QUIT: u64 = 0b110;
pub(super) const SIGPIPE: u64 = 1 << 12;

/// An image; the inode is a hash of the path, so that equal paths are one file.
pub(super) fn image(exe: &str, argv: &[&str]) -> Image {
    let inode = exe.bytes().fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    let name = exe.rsplit('/').next().unwrap();
    let known = ["bash", "zsh", "make", "nginx", "postgres", "sudo"].contains(&name);
    Image {
        program: known.then(|| name.to_owned()),
        exe: Some(exe.into()),
        argv: Some(argv.iter().map(|s| (*s).into()).collect()),
        comm: "any".into(),
        linkage: Some("dynamic".into()),
        interpreter: Some(GLIBC_LD.into()),
        file: Some((1, inode)),
        ..Image::default()
    }
}

pub(super) fn with_runtime(exe: &str, runtime: &str, argv: &[&str]) -> Image {
    Image { runtime: Some(runtime.into()), ..image(exe, argv) }
}

pub(super) fn python(version: &str, argv: &[&str]) -> Image {
    with_runtime(&format!("/usr/bin/python{version}"), &format!("cpython {version}"), argv)
}

pub(super) fn c_program() -> Image {
    image("/usr/local/bin/app", &["app"])
}

pub(super) fn shell(name: &str) -> Image {
    image(&format!("/usr/bin/{name}"), &[name, "script.sh"])
}

pub(super) fn fd(kind: FdKind, inode: u64) -> Fd {
    Fd { kind, inode }
}

pub(super) const TTY: Fd = Fd { kind: FdKind::Tty, inode: 3 };
pub(super) const NULL: Fd = Fd { kind: FdKind::Null, inode: 4 };
pub(super) const FILE: Fd = Fd { kind: FdKind::File, inode: 9 };

/// A start under construction.
#[derive(Clone)]
pub(super) struct Start(pub(super) Facts);

fn create(call: Call, flags: u64, delta: i64, blocked: u64, parent: Image) -> Start {
    Start(Facts {
        creation: Some(Creation {
            call,
            flags,
            exit_signal: 17,
            stack_delta: Some(delta),
            blocked,
            parent_threads: 1,
            fresh_pipes: (flags & flag::VM == 0).then_some(0),
            stdio: [TTY; 3],
            ..Creation::default()
        }),
        image: parent.clone(),
        parent: Some(parent),
        child: Child {
            lived_ns: 5 * SECOND,
            session_leader: Some(false),
            has_tty: Some(true),
            stdio: [TTY; 3],
            ..Child::default()
        },
        ..Facts::default()
    })
}

/// glibc's fork.
pub(super) fn fork(parent: Image) -> Start {
    create(Call::Clone, flag::GLIBC_FORK, 0, 0, parent)
}

/// vfork(2) on x86-64.
pub(super) fn vfork(blocked: u64, parent: Image) -> Start {
    create(Call::Vfork, flag::VM | flag::VFORK, 0, blocked, parent)
}

/// posix_spawn of glibc 2.34 to 2.37.
pub(super) fn spawn(parent: Image) -> Start {
    create(Call::Clone3, flag::VM | flag::VFORK, FAR, mask::ALL, parent)
}

/// Go's os/exec.
pub(super) fn go_clone(parent: Image) -> Start {
    create(Call::Clone, flag::VM | flag::VFORK, 0, mask::ALL, parent)
}

pub(super) fn in_place(before: Image, after: Image) -> Start {
    let mut s = Start(Facts { exec_in_place: true, parent: Some(before), ..Facts::default() });
    s = s.exec(after);
    s
}

pub(super) fn unobserved(image: Image) -> Start {
    Start(Facts { image, ..Facts::default() })
}

impl Start {
    pub(super) fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.0);
        self
    }

    pub(super) fn creation(self, change: impl FnOnce(&mut Creation)) -> Self {
        self.with(|f| change(f.creation.as_mut().unwrap()))
    }

    pub(super) fn child(self, change: impl FnOnce(&mut Child)) -> Self {
        self.with(|f| change(&mut f.child))
    }

    pub(super) fn exec(self, image: Image) -> Self {
        let path = image.exe.clone();
        self.exec_as(path.as_deref(), image)
    }

    pub(super) fn exec_as(self, path: Option<&str>, image: Image) -> Self {
        self.with(|f| {
            f.image = image.clone();
            f.execs.push(ExecFact {
                path: path.map(Into::into),
                image: Some(image),
                stdio: f.child.stdio,
                session_leader: f.child.session_leader,
                has_tty: f.child.has_tty,
                ignored: f.creation.as_ref().map(|c| c.ignored),
                ..ExecFact::default()
            });
        })
    }

    pub(super) fn failed(self, path: &str, error: &str) -> Self {
        self.with(|f| {
            f.execs.push(ExecFact {
                path: Some(path.into()),
                error: Some(error.into()),
                ..ExecFact::default()
            });
        })
    }

    pub(super) fn last_exec(self, change: impl FnOnce(&mut ExecFact)) -> Self {
        self.with(|f| change(f.execs.last_mut().unwrap()))
    }

    pub(super) fn stdio(self, at: usize, fd: Fd) -> Self {
        self.child(|c| c.stdio[at] = fd)
    }

    pub(super) fn exited(self, code: i32, after_ns: u64) -> Self {
        self.child(|c| {
            c.exit = Some(ExitFact { code: Some(code), signal: None });
            c.lived_ns = after_ns;
        })
    }

    pub(super) fn creator_left(self) -> Self {
        self.child(|c| {
            c.creator_exited_after_ns = Some(300_000);
            c.creator_exit_ok = Some(true);
        })
    }

    pub(super) fn parent_pattern(self, pattern: &str) -> Self {
        self.with(|f| {
            f.parent_method =
                Some(ParentMethod { mechanism: None, library: None, pattern: Some(pattern.into()) });
        })
    }

    pub(super) fn peer(self, pid: u32, age_ns: u64) -> Self {
        self.with(|f| f.peer = Some(Peer { pid, age_ns }))
    }

    pub(super) fn method(&self) -> Method {
        classify(&self.0)
    }
}

/// What a start must be named.
pub(super) struct Want(
    pub(super) &'static str,
    pub(super) Option<&'static str>,
    pub(super) Option<&'static str>,
    pub(super) Confidence,
);

/// Mechanism, library, pattern and confidence, all as wanted.
#[track_caller]
pub(super) fn check(what: &str, start: &Start, want: Want) {
    let m = start.method();
    let got = (m.mechanism.as_deref(), m.library.as_deref(), m.pattern.as_deref(), m.confidence);
    let Want(mechanism, library, pattern, confidence) = want;
    assert_eq!(got, (Some(mechanism), library, pattern, confidence), "{what}: {:#?}", m.evidence);
    assert_eq!(m.name, pattern.unwrap_or(mechanism), "{what}");
    assert!(!m.evidence.is_empty(), "{what}");
    for line in &m.evidence {
        assert!(!line.contains('{') || line.contains("**{"), "{what}: {line}");
    }
}

#[test]
fn every_pattern_has_a_meaning_and_every_meaning_a_rule() {
    let names: Vec<_> = catalogue().into_iter().map(|(n, _)| n).collect();
    assert!(names.windows(2).all(|w| w[0] < w[1]), "sorted, each once");
    assert!(catalogue().iter().all(|(_, meaning)| !meaning.is_empty()));
    let ruled: BTreeSet<_> = super::engine::all().filter_map(|r| r.pattern).collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), ruled);
    let mut rules: Vec<_> = super::rules().collect();
    let all = rules.len();
    assert!(rules.iter().all(|(_, doc)| !doc.is_empty()));
    rules.sort_unstable();
    rules.dedup_by_key(|r| r.0);
    assert_eq!(rules.len(), all, "rule names are unique");
}

#[test]
fn evidence_says_values_that_a_user_can_check() {
    let m = vfork(mask::LIBC, python("3.11", &["python3", "app.py"]))
        .exec(image("/usr/bin/ls", &["ls"]))
        .method();
    let all = m.evidence.join("\n");
    for part in [
        "system call vfork, clone flags CLONE_VM|CLONE_VFORK, child on the parent's stack",
        "parent image /usr/bin/python3.11 (cpython 3.11)",
        "0xfffffffe7ffbfeff (all but the two that a libc keeps for itself)",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert_eq!(m.clone_flags, ["CLONE_VM", "CLONE_VFORK"]);
    assert_eq!(m.exit_signal.as_deref(), Some("SIGCHLD"));
}

#[test]
fn evidence_is_bounded_whatever_the_arguments() {
    let long = "x".repeat(1 << 20);
    let m = spawn(image(&format!("/{long}"), &["app"]))
        .exec(image("/usr/bin/dash", &["sh", "-c", &long]))
        .method();
    assert!(m.evidence.iter().all(|l| l.len() < 1000));
}
