//! The facts of one start, looked up once, as the rules ask for them.

use super::facts::{Call, Creation, ExecFact, Facts, Fd, FdKind};
use super::kernel::{self, Axis, Mechanism, axis};
use super::program::{Kind, Program};
use crate::trace::schema::Confidence;

/// Signal numbers that rules ask for (the same on every Linux but MIPS and Alpha).
pub(super) mod signal {
    pub(in crate::method) const INT: u32 = 2;
    pub(in crate::method) const QUIT: u32 = 3;
    pub(in crate::method) const PIPE: u32 = 13;
    pub(in crate::method) const CHLD: u32 = 17;
}

/// Signal masks by which callers of fork are known, as the kernel holds them (it never blocks KILL
/// and STOP), measured on kernel 6.18 with the versions named.
pub(super) mod mask {
    /// Everything: glibc's posix_spawn, Go, and any fork of glibc 2.41 and up and of musl.
    pub(in crate::method) const ALL: u64 = 0xffff_ffff_fffb_feff;
    /// `sigfillset` in a libc, which keeps two real-time signals to itself: dash, CPython, Ruby.
    pub(in crate::method) const LIBC: u64 = 0xffff_fffe_7ffb_feff;
    /// libuv up to 1.52: everything but the signals that a fault or a profiler raises.
    pub(in crate::method) const UV: u64 = 0xffff_fffe_3ffb_fa87;
    /// bash: INT, TERM and CHLD.
    pub(in crate::method) const BASH: u64 = 0x1_4002;
    /// CHLD alone: Perl's system, mksh, bubblewrap, the old libc system().
    pub(in crate::method) const CHLD: u64 = 0x1_0000;
    /// zsh: CHLD and WINCH.
    pub(in crate::method) const ZSH: u64 = 0x801_0000;
    /// A JVM's threads block QUIT.
    pub(in crate::method) const JVM: u64 = 0x4;

    /// What a known mask says, in words.
    pub(in crate::method) fn words(blocked: u64) -> Option<&'static str> {
        Some(match blocked {
            ALL => "every signal",
            LIBC => "all but the two that a libc keeps for itself",
            UV => "libuv's",
            BASH => "INT, TERM and CHLD, which bash blocks",
            CHLD => "CHLD",
            ZSH => "CHLD and WINCH, which zsh blocks",
            JVM => "QUIT, which a JVM blocks",
            0 => "none",
            _ => return None,
        })
    }
}

/// One start, as rules see it.
pub(super) struct View<'a> {
    /// Everything.
    pub(super) facts: &'a Facts,
    /// What the kernel decided.
    pub(super) axis: Axis,
    /// Who created it; for an exec in place, the image that was replaced.
    pub(super) parent: Program<'a>,
    /// What runs at the end.
    pub(super) image: Program<'a>,
    /// The first exec that succeeded.
    pub(super) first: Option<&'a ExecFact>,
    /// Its image.
    pub(super) first_image: Program<'a>,
}

impl<'a> View<'a> {
    /// Looks everything up.
    pub(super) fn new(facts: &'a Facts) -> Self {
        let first = facts.execs.iter().find(|e| e.error.is_none());
        Self {
            facts,
            axis: axis(facts),
            parent: Program::of(facts.parent.as_ref()),
            image: Program::of(Some(&facts.image)),
            first,
            first_image: Program::of(first.and_then(|e| e.image.as_ref())),
        }
    }

    /// The creation, if there was one.
    pub(super) fn creation(&self) -> Option<&'a Creation> {
        self.facts.creation.as_ref()
    }

    /// The mechanism is that.
    pub(super) fn made_by(&self, mechanism: Mechanism) -> bool {
        self.axis.mechanism == Some(mechanism)
    }

    /// A copy of its parent that runs on as such: nothing exec'd, nothing tried.
    pub(super) fn plain_copy(&self) -> bool {
        self.made_by(Mechanism::Fork) && self.facts.execs.is_empty()
    }

    /// Something was exec'd.
    pub(super) fn execed(&self) -> bool {
        self.axis.execed
    }

    /// Something was exec'd, or at least tried.
    pub(super) fn meant_to_exec(&self) -> bool {
        !self.facts.execs.is_empty()
    }

    /// Signals blocked at the fork.
    pub(super) fn blocked(&self) -> Option<u64> {
        self.creation().map(|c| c.blocked)
    }

    /// Signals blocked at the fork are exactly these.
    pub(super) fn masked(&self, mask: u64) -> bool {
        self.blocked() == Some(mask)
    }

    /// These clone flags are all set.
    pub(super) fn flags(&self, flags: u64) -> bool {
        self.creation().is_some_and(|c| c.flags & flags == flags)
    }

    /// One of these clone flags is set.
    pub(super) fn any_flag(&self, flags: u64) -> bool {
        self.creation().is_some_and(|c| c.flags & flags != 0)
    }

    /// It was this system call.
    pub(super) fn call(&self, call: Call) -> bool {
        self.creation().is_some_and(|c| c.call == call)
    }

    /// It was vfork(2), however this architecture makes it.
    pub(super) fn is_vfork(&self) -> bool {
        self.creation().is_some_and(|c| kernel::is_vfork(self.facts.arch, c))
    }

    /// The creator ignored the signal.
    pub(super) fn parent_ignores(&self, signal: u32) -> bool {
        self.creation().is_some_and(|c| has(c.ignored, signal))
    }

    /// The child ignores the signal (in its first image, or as a copy).
    pub(super) fn child_ignores(&self, signal: u32) -> Option<bool> {
        let set = match self.first {
            Some(e) => e.ignored,
            None => self.facts.child.ignored,
        };
        set.map(|s| has(s, signal))
    }

    /// The child has a process group of its own, and that is its terminal's foreground one; in its
    /// first image, or as a copy.
    pub(super) fn job_group(&self) -> (Option<bool>, Option<bool>) {
        match self.first {
            Some(e) => (e.new_group, e.foreground),
            None => (self.facts.child.new_group, self.facts.child.foreground),
        }
    }

    /// The child's descriptors 0, 1 and 2: in its first image, or as a copy.
    pub(super) fn stdio(&self) -> [Fd; 3] {
        self.first.map_or(self.facts.child.stdio, |e| e.stdio)
    }

    /// The child's descriptor is a pipe that the creator did not have there.
    pub(super) fn new_pipe(&self, fd: usize) -> Option<bool> {
        let (now, before) = (*self.stdio().get(fd)?, *self.creation()?.stdio.get(fd)?);
        match (now.kind, before.kind) {
            (FdKind::Unknown, _) => None,
            (FdKind::Pipe, FdKind::Unknown) => None,
            (FdKind::Pipe, FdKind::Pipe) => Some(now.inode != before.inode),
            (FdKind::Pipe, _) => Some(true),
            _ => Some(false),
        }
    }

    /// The same, by what the creator had there when its image began: some shells put a pipeline's pipe
    /// onto their own descriptor before they fork. ksh93's pipes are sockets.
    pub(super) fn pipe_since_its_image(&self, fd: usize) -> Option<bool> {
        let (now, before) = (*self.stdio().get(fd)?, *self.creation()?.image_stdio.get(fd)?);
        match (now.kind, before.kind) {
            (FdKind::Unknown, _) | (_, FdKind::Unknown) => None,
            (FdKind::Pipe | FdKind::Socket, _) => Some(now != before),
            _ => Some(false),
        }
    }

    /// Descriptor 3 of the first image is a socket: where Node's children have their IPC channel.
    pub(super) fn has_channel(&self) -> bool {
        self.first.is_some_and(|e| e.fd3.kind == FdKind::Socket)
    }

    /// The creator is of that kind; how sure that is.
    pub(super) fn parent_is(&self, kind: Kind) -> Option<Confidence> {
        let it_is = self.parent.is(kind) && !self.is_boot_loaders();
        it_is.then_some(self.parent.trust)
    }

    /// The creator is the boot loader of a frozen program, which unpacks it and runs it again with the same
    /// arguments before there is any interpreter.
    fn is_boot_loaders(&self) -> bool {
        self.parent.is_frozen() && self.execed() && self.first_argv() == self.parent.argv()
    }

    /// The pattern of the creator's own start.
    pub(super) fn parent_pattern(&self) -> Option<&'a str> {
        self.facts.parent_method.as_ref()?.pattern.as_deref()
    }

    /// Arguments of the first image.
    pub(super) fn first_argv(&self) -> &'a [String] {
        self.first_image.argv()
    }

    /// The same, for people.
    pub(super) fn first_shown(&self) -> &'a [String] {
        self.first_image.shown()
    }

    /// Images that exec'd another in this start, in order.
    pub(super) fn passed_through(&self) -> impl Iterator<Item = Program<'a>> + use<'a> {
        let execs = self.facts.execs.as_slice();
        let last = execs.iter().rposition(|e| e.error.is_none()).unwrap_or(0);
        execs
            .get(..last)
            .unwrap_or_default()
            .iter()
            .filter(|e| e.error.is_none())
            .map(|e| Program::of(e.image.as_ref()))
    }

    /// The child is the leader of a session that it made.
    pub(super) fn leads_session(&self) -> bool {
        let seen = self.facts.execs.iter().any(|e| e.session_leader == Some(true));
        self.creation().is_some() && (seen || self.facts.child.session_leader == Some(true))
    }

    /// The child has a controlling terminal.
    pub(super) fn has_tty(&self) -> bool {
        let seen = self.facts.execs.iter().any(|e| e.has_tty == Some(true));
        seen || self.facts.child.has_tty == Some(true)
    }

    /// The creator ended with status 0 within a second of creating it, and it lived on, as an orphan:
    /// with `CLONE_PARENT` it has another parent from the beginning.
    pub(super) fn left_behind(&self) -> bool {
        let c = &self.facts.child;
        let own_child = self.creation().is_some_and(|c| !c.parent_is_other);
        own_child
            && c.creator_exit_ok == Some(true)
            && c.creator_exited_after_ns.is_some_and(|t| t <= SECOND && c.lived_ns > t)
    }

    /// It did nothing but make another process and end: the middle of a double fork.
    pub(super) fn only_passes_on(&self) -> bool {
        let c = &self.facts.child;
        !self.execed() && c.forks > 0 && c.lived_ns <= SECOND && c.exit.is_some() && c.outlived != Some(false)
    }
}

/// One second in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// The set has the signal.
pub(super) fn has(set: u64, signal: u32) -> bool {
    set >> (signal - 1) & 1 == 1
}
