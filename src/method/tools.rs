//! Tools that run other programs: wrappers, build tools, batch runners.
//!
//! A start that passes through a wrapper on its way (`env python3 app.py`, also by a `#!/usr/bin/env`
//! line) is a `wrapper` start whoever began it; the evidence says who that was. Not so where a shell
//! that libc or a library chose came first: `system("env x")` is `system`.

use super::argv::first_word;
use super::kernel::Mechanism;
use super::program::{Kind, Program, base};
use super::rule::{Fit, Rule, fits};
use super::view::View;
use crate::trace::schema::Confidence::{self, Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "tools.wrapper.in_place",
        doc: "a program that sets something up and becomes another: env, nohup, nice, stdbuf ...",
        library: None,
        pattern: Some("wrapper"),
        confidence: Likely,
        weight: 76,
        evidence: "exec chain {chain}: {subject} runs the program in its own place",
        when: |v| {
            let mut images = v.passed_through();
            let first = images.next()?;
            let trust = trust(&first, images.next().unwrap_or(v.image).argv());
            is_in_place(first.name).then_some(Fit::at_most(trust).about(first.name))
        },
    },
    Rule {
        name: "tools.wrapper.within",
        doc: "a wrapper further on in the chain of execs",
        library: None,
        pattern: Some("wrapper"),
        confidence: Likely,
        weight: 46,
        evidence: "exec chain {chain}: {subject} runs the program in its own place",
        when: |v| {
            let mut later = v.passed_through().skip(1);
            let wrapper = later.find(|p| is_in_place(p.name))?;
            let trust = trust(&wrapper, later.next().unwrap_or(v.image).argv());
            Some(Fit::at_most(trust).about(wrapper.name))
        },
    },
    Rule {
        name: "tools.wrapper.script",
        doc: "a launcher script that ends in exec",
        library: None,
        pattern: Some("wrapper"),
        confidence: Likely,
        weight: 45,
        evidence: "exec chain {chain}: the script {subject} runs the program in its own place",
        when: |v| {
            let script = v.passed_through().find_map(launcher)?;
            Some(Fit::FULL.about(script))
        },
    },
    Rule {
        name: "tools.wrapper.later",
        doc: "an exec in place by a wrapper whose own start was over",
        library: None,
        pattern: Some("wrapper"),
        confidence: Likely,
        weight: 74,
        evidence: "the image that was replaced is {parent}, which runs programs in its own place",
        when: |v| {
            let wrapper = v.made_by(Mechanism::Exec) && is_in_place(v.parent.name);
            wrapper.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
    Rule {
        name: "tools.wrapper.waiting",
        doc: "a program that another runs and waits for: timeout, sudo, flock, tini ...",
        library: None,
        pattern: Some("wrapper"),
        confidence: Likely,
        weight: 74,
        evidence: "run by {parent}, which stays and waits",
        when: |v| {
            v.creation()?;
            let waits = v.meant_to_exec() && is_waiting(v.parent.name);
            waits.then_some(Fit::at_most(trust(&v.parent, v.first_argv())))
        },
    },
    Rule {
        name: "tools.build",
        doc: "a job of make and its kin",
        library: None,
        pattern: Some("build_job"),
        confidence: Likely,
        weight: 72,
        evidence: "run by the build tool {parent}",
        when: |v| {
            v.creation()?;
            let job = v.meant_to_exec() && is_build_tool(v.parent.name);
            job.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
    Rule {
        name: "tools.batch",
        doc: "a program that xargs, find and their kin run over many arguments",
        library: None,
        pattern: Some("batch"),
        confidence: Likely,
        weight: 72,
        evidence: "run by {subject}, which runs a program over many arguments",
        when: |v| {
            v.creation()?;
            let runner = batch_runner(&v.parent)?;
            // A script's name is all there is of it.
            let trust = if runner == v.parent.name { v.parent.name_trust() } else { Guess };
            v.meant_to_exec().then_some(Fit::at_most(trust).about(runner))
        },
    },
    Rule {
        name: "tools.pty",
        doc: "run by a program that gives terminals out",
        library: None,
        pattern: Some("pty_session"),
        confidence: Guess,
        weight: 60,
        evidence: "run by {parent}, which gives each program a terminal of its own",
        when: |v| {
            v.creation()?;
            let unseen = v.facts.child.session_leader.is_none() && v.first?.session_leader.is_none();
            fits(unseen && gives_terminals(v.parent.name))
        },
    },
];

/// How far a wrapper's name is to be believed. Where its file was out of reach, that it runs what its last
/// arguments name bears the name out.
fn trust(wrapper: &Program<'_>, run: &[String]) -> Confidence {
    let own = wrapper.argv();
    let handed_on = !run.is_empty() && run.len() < own.len() && own.ends_with(run);
    if wrapper.is_unread() && handed_on { Likely } else { wrapper.name_trust() }
}

fn is_in_place(name: &str) -> bool {
    matches!(
        name,
        "env"
            | "nohup"
            | "nice"
            | "setsid"
            | "stdbuf"
            | "chrt"
            | "setpriv"
            | "chroot"
            | "unshare"
            | "nsenter"
            | "ionice"
            | "taskset"
            | "time"
            | "prlimit"
            | "setarch"
            | "linux32"
            | "linux64"
            | "i386"
            | "x86_64"
            | "uname26"
            | "numactl"
            | "choom"
            | "uclampset"
            | "capsh"
            | "runcon"
            | "chpst"
            | "softlimit"
            | "envdir"
            | "envuidgid"
            | "setuidgid"
            | "su-exec"
            | "gosu"
            | "execlineb"
            | "proxychains4"
            | "valgrind"
            | "arch"
            | "doas"
            | "sudo"
            | "su"
            | "runuser"
            | "timeout"
            | "flock"
            | "tini"
            | "dumb-init"
            | "pkexec"
            | "s6-setuidgid"
            | "s6-softlimit"
            | "s6-envdir"
            | "s6-applyuidgid"
    )
}

fn is_waiting(name: &str) -> bool {
    matches!(
        name,
        "timeout"
            | "sudo"
            | "sudo-rs"
            | "su"
            | "su-rs"
            | "runuser"
            | "flock"
            | "tini"
            | "tini-static"
            | "dumb-init"
            | "docker-init"
            | "catatonit"
            | "setsid"
            | "unshare"
            | "nsenter"
            | "time"
            | "watch"
            | "chronic"
            | "strace"
            | "ltrace"
            | "gdb"
            | "perf"
            | "doas"
            | "pkexec"
            | "newgrp"
            | "sg"
            | "ssh-agent"
            | "dbus-run-session"
            | "dbus-launch"
            | "faked"
            | "firejail"
            | "systemd-inhibit"
            | "lckdo"
            | "eatmydata"
            | "hyperfine"
            | "entr"
            | "runsv"
            | "s6-supervise"
            | "supervise"
            | "rr"
            | "heaptrack"
    )
}

fn is_build_tool(name: &str) -> bool {
    matches!(
        name,
        "make"
            | "gmake"
            | "bmake"
            | "remake"
            | "pmake"
            | "ninja"
            | "ninja-build"
            | "samu"
            | "samurai"
            | "n2"
            | "cargo"
            | "tup"
            | "redo"
            | "just"
            | "jam"
            | "bjam"
            | "b2"
    )
}

fn batch_runner<'a>(parent: &Program<'a>) -> Option<&'a str> {
    match parent.name {
        "xargs" | "find" | "run-parts" | "fd" | "fdfind" | "rush" => Some(parent.name),
        // GNU parallel and moreutils' chronic kin are scripts: the interpreter's file is their program.
        // Where `#!/usr/bin/env perl` began it, the kernel knows env as the script's, and only perl's
        // arguments tell.
        _ => {
            let image = parent.image?;
            let named = || parent.is(Kind::Perl).then(|| first_word(parent.argv(), &[])).flatten();
            let script = image.script.as_deref().or_else(named)?;
            (base(script) == "parallel").then_some("parallel")
        }
    }
}

fn gives_terminals(name: &str) -> bool {
    matches!(
        name,
        "tmux"
            | "screen"
            | "script"
            | "sshd"
            | "sshd-session"
            | "login"
            | "expect"
            | "unbuffer"
            | "xterm"
            | "urxvt"
            | "konsole"
            | "kitty"
            | "alacritty"
            | "foot"
            | "ttyd"
            | "zellij"
            | "gnome-terminal-server"
            | "telnetd"
            | "dropbear"
    )
}

/// The script of a shell that ran another program in its place.
fn launcher(program: Program<'_>) -> Option<&str> {
    program.shell()?;
    let script = program.image?.script.as_deref();
    script.or_else(|| {
        let first = program.argv().get(1)?.as_str();
        (!first.starts_with('-')).then_some(first)
    })
}

/// The images of a start, one after the other, for people.
pub(super) fn chain(v: &View<'_>, out: &mut String) {
    let images = v.facts.execs.iter().filter(|e| e.error.is_none());
    for (i, exec) in images.enumerate().take(8) {
        if i > 0 {
            out.push_str(", then ");
        }
        let exe = exec.image.as_ref().and_then(|i| i.exe.as_deref());
        super::engine::clip(exe.or(exec.path.as_deref()).unwrap_or("?"), out);
    }
}
