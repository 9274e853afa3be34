//! The kernel's side of a start: which system call, and what kind of child. Always decided, from the
//! call, the clone flags, the stack and the execs alone.

use super::arch::Arch;
use super::facts::{Call, Creation, Facts};
use super::rule::{Rule, fits};
use super::view::mask;
use crate::trace::schema::Confidence;
use std::fmt::Write as _;

/// Clone flags, as in the kernel's `uapi/linux/sched.h`.
pub(super) mod flag {
    pub(in crate::method) const VM: u64 = 0x100;
    pub(in crate::method) const PIDFD: u64 = 0x1000;
    pub(in crate::method) const VFORK: u64 = 0x4000;
    pub(in crate::method) const PARENT: u64 = 0x8000;
    pub(in crate::method) const PARENT_SETTID: u64 = 0x10_0000;
    pub(in crate::method) const CHILD_CLEARTID: u64 = 0x20_0000;
    pub(in crate::method) const CHILD_SETTID: u64 = 0x100_0000;
    pub(in crate::method) const CLEAR_SIGHAND: u64 = 1 << 32;
    pub(in crate::method) const INTO_CGROUP: u64 = 1 << 33;
    /// NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (NEWTIME shares its bit with the
    /// exit signal's byte and reaches a clone only through clone3).
    pub(in crate::method) const NAMESPACES: u64 = 0x7e02_0000 | NEWTIME;
    pub(in crate::method) const NEWTIME: u64 = 0x80;
    /// What glibc's fork sets and no other known caller does.
    pub(in crate::method) const GLIBC_FORK: u64 = CHILD_CLEARTID | CHILD_SETTID;
}

const FLAGS: [(u64, &str); 26] = [
    (flag::NEWTIME, "CLONE_NEWTIME"),
    (flag::VM, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (flag::PIDFD, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (flag::VFORK, "CLONE_VFORK"),
    (flag::PARENT, "CLONE_PARENT"),
    (0x1_0000, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"),
    (flag::PARENT_SETTID, "CLONE_PARENT_SETTID"),
    (flag::CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"),
    (0x40_0000, "CLONE_DETACHED"),
    (0x80_0000, "CLONE_UNTRACED"),
    (flag::CHILD_SETTID, "CLONE_CHILD_SETTID"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (flag::CLEAR_SIGHAND, "CLONE_CLEAR_SIGHAND"),
    (flag::INTO_CGROUP, "CLONE_INTO_CGROUP"),
];

const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Up to here a child's stack is a buffer in the caller's own frame (musl's posix_spawn); beyond,
/// memory mapped for it (glibc's).
pub(super) const NEAR: u64 = 1 << 20;

/// What kind of child the kernel made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// A copy.
    Fork,
    /// Shares the memory on the parent's stack, which waits.
    Vfork,
    /// Shares the memory on a stack of its own; the parent waits.
    PosixSpawn,
    /// Any other clone.
    Clone,
    /// No new process.
    Exec,
    /// Made by the kernel for itself.
    KernelHelper,
}

/// The kernel's axis of a method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Name of the system call.
    pub(super) primitive: Option<&'static str>,
    /// Kind of child.
    pub(super) mechanism: Option<Mechanism>,
    /// An exec succeeded.
    pub(super) execed: bool,
    /// Certain, but where the stack of a CLONE_VM child was not read.
    pub(super) sure: Confidence,
}

impl Axis {
    /// The mechanism's name in a trace.
    pub(super) fn mechanism_name(&self) -> Option<&'static str> {
        Some(self.mechanism?.name(self.execed))
    }
}

impl Mechanism {
    /// All.
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] =
        [Self::Fork, Self::Vfork, Self::PosixSpawn, Self::Clone, Self::Exec, Self::KernelHelper];

    /// Its name in a trace, with an exec after it or without.
    pub(super) fn name(self, execed: bool) -> &'static str {
        match (self, execed) {
            (Self::Fork, false) => "fork",
            (Self::Fork, true) => "fork_exec",
            (Self::Vfork, false) => "vfork",
            (Self::Vfork, true) => "vfork_exec",
            (Self::PosixSpawn, _) => "posix_spawn",
            (Self::Clone, false) => "clone",
            (Self::Clone, true) => "clone_exec",
            (Self::Exec, _) => "exec",
            (Self::KernelHelper, _) => "kernel_helper",
        }
    }
}

/// Decides the kernel's axis.
pub(super) fn axis(facts: &Facts) -> Axis {
    let execed = facts.execs.iter().any(|e| e.error.is_none());
    let Some(c) = &facts.creation else {
        let (primitive, mechanism) =
            if facts.exec_in_place { (Some("exec"), Some(Mechanism::Exec)) } else { (None, None) };
        return Axis { primitive, mechanism, execed, sure: Confidence::Certain };
    };
    if c.kernel_parent || c.call == Call::Kernel {
        return Axis {
            primitive: Some("kernel"),
            mechanism: Some(Mechanism::KernelHelper),
            execed,
            sure: Confidence::Certain,
        };
    }
    let (mechanism, sure) = kind(c);
    Axis {
        primitive: match c.call {
            Call::Fork => Some("fork"),
            Call::Vfork => Some("vfork"),
            Call::Clone => Some("clone"),
            Call::Clone3 => Some("clone3"),
            Call::Kernel | Call::Unknown => None,
        },
        mechanism: Some(mechanism),
        execed,
        sure,
    }
}

fn kind(c: &Creation) -> (Mechanism, Confidence) {
    let (vm, vfork) = (c.flags & flag::VM != 0, c.flags & flag::VFORK != 0);
    match (vm, vfork) {
        (true, true) => match c.stack_delta {
            _ if c.call == Call::Vfork => (Mechanism::Vfork, Confidence::Certain),
            Some(0) => (Mechanism::Vfork, Confidence::Certain),
            Some(_) => (Mechanism::PosixSpawn, Confidence::Certain),
            // Only posix_spawn is known to clear the handlers or to use clone3 without a cgroup.
            None if c.flags & flag::CLEAR_SIGHAND != 0 => (Mechanism::PosixSpawn, Confidence::Likely),
            None => (Mechanism::PosixSpawn, Confidence::Guess),
        },
        (true, false) | (false, true) => (Mechanism::Clone, Confidence::Certain),
        (false, false) => {
            let own_stack = c.stack_delta.is_some_and(|d| d != 0);
            if c.flags & flag::NAMESPACES != 0 && own_stack {
                (Mechanism::Clone, Confidence::Certain)
            } else {
                (Mechanism::Fork, Confidence::Certain)
            }
        }
    }
}

/// vfork(2): the system call; on an architecture that has none (arm64, riscv), the clone that the C
/// library makes it of (glibc: `sysdeps/unix/sysv/linux/aarch64/vfork.S`), on the same stack, with
/// SIGCHLD. Go makes the very same call, there and on x86-64: the caller's signal mask tells them apart
/// (Go blocks every signal, vfork leaves the caller's).
pub(super) fn is_vfork(arch: Arch, c: &Creation) -> bool {
    if c.call == Call::Vfork {
        return true;
    }
    !arch.has_fork_and_vfork()
        && c.call == Call::Clone
        && c.flags == flag::VM | flag::VFORK
        && c.stack_delta == Some(0)
        && c.exit_signal == super::view::signal::CHLD
        && c.blocked != mask::ALL
}

/// Names of the flags that are set; bits without a name as one number.
pub(super) fn flag_names(flags: u64) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = flags;
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            names.push(name.to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names
}

/// A signal's name; `None` for 0.
pub(crate) fn signal_name(signal: u32) -> Option<String> {
    let index = signal.checked_sub(1)?;
    Some(match SIGNALS.get(index as usize) {
        Some(name) => (*name).to_owned(),
        None => format!("SIG{signal}"),
    })
}

/// The kernel's facts in words.
pub(super) fn evidence(facts: &Facts, axis: &Axis, flags: &[String], out: &mut Vec<String>) {
    creation_evidence(facts, axis, flags, out);
    for exec in facts.execs.iter().filter(|e| e.by_thread && e.error.is_none()).take(1) {
        if let Some(tid) = exec.tid {
            out.push(format!("exec called by thread {tid}, which took its process's id over"));
        }
    }
}

fn creation_evidence(facts: &Facts, axis: &Axis, flags: &[String], out: &mut Vec<String>) {
    let Some(c) = &facts.creation else {
        out.push(if facts.exec_in_place {
            "no new process: an exec in place, after the process's earlier start was over".to_owned()
        } else {
            "the creation was not observed: the process was there before the recording".to_owned()
        });
        return;
    };
    if axis.mechanism == Some(Mechanism::KernelHelper) {
        out.push("created by a kernel thread, with no system call".to_owned());
        return;
    }
    let mut line = String::with_capacity(160);
    line.push_str("system call ");
    line.push_str(axis.primitive.unwrap_or("of an unknown number"));
    if flags.is_empty() {
        line.push_str(", no clone flags");
    } else {
        line.push_str(", clone flags ");
        for (i, f) in flags.iter().enumerate() {
            line.push_str(if i == 0 { "" } else { "|" });
            line.push_str(f);
        }
    }
    let shared = c.flags & flag::VM != 0;
    match c.stack_delta {
        Some(0) if shared => line.push_str(", child on the parent's stack"),
        Some(d) if d != 0 && d.unsigned_abs() < NEAR => {
            let _ = write!(line, ", child's stack in the caller's frame ({d:+} bytes)");
        }
        Some(d) if d != 0 => line.push_str(", child on a stack of its own"),
        None if shared => line.push_str(", stack not read"),
        _ => {}
    }
    line.push_str(match (axis.mechanism, axis.execed) {
        (Some(Mechanism::Fork), false) => ": a copy of the parent, no exec",
        (Some(Mechanism::Fork), true) => ": a copy of the parent, then an exec",
        (Some(Mechanism::Vfork), false) => ": vfork, no exec",
        (Some(Mechanism::Vfork), true) => ": vfork, then an exec",
        (Some(Mechanism::PosixSpawn), _) => ": posix_spawn",
        _ => ": a clone of its own kind",
    });
    out.push(line);
    if let (true, Some(tid)) = (c.by_thread, c.tid) {
        out.push(format!("called by thread {tid}, which is not its process's leader"));
    }
}

/// The family's rules.
pub(super) const RULES: &[Rule] = &[Rule {
    name: "kernel.namespace",
    doc: "created into new namespaces, as the clone flags or the child's PID namespace say",
    library: None,
    pattern: Some("namespace"),
    confidence: Confidence::Certain,
    weight: 78,
    evidence: "in namespaces other than its creator's: {namespaces}",
    when: |v| fits(v.creation().is_some_and(|c| c.flags & flag::NAMESPACES != 0 || c.new_pid_namespace)),
}];
