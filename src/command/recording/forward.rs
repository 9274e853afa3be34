//! Signals that came to us and may be for the command.

use super::PERIOD;
use crate::probe::Probe;
use nix::sys::signal::Signal;

/// What is sent to the command and to us by one and the same call, or by one loop over many, comes within this time.
const SAME_NS: u64 = 100_000_000;

/// A signal that was sent to us and may be for the command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward {
    signal: i32,
    came_ns: u64,
}

impl Forward {
    /// What is to be passed on of what has come: the terminal gives Ctrl-C to the command by itself, and so does a
    /// full screen, which takes the key.
    pub(super) fn of(info: &nix::sys::signalfd::siginfo, now_ns: u64) -> Option<Self> {
        let from_kernel = info.ssi_code > 0 || info.ssi_pid == std::process::id();
        (!from_kernel).then_some(Self { signal: info.ssi_signo.cast_signed(), came_ns: now_ns })
    }

    /// Not at once: a sender who goes through a list may come to the command after us.
    pub(super) fn is_due(self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.came_ns) >= PERIOD.as_nanos() as u64
    }

    /// Passes it on, unless the command has got it as we did: sent to our process group, say.
    pub(super) fn pass_on(self, probe: &mut Probe, pid: u32) {
        if !probe.was_signalled(self.signal, self.came_ns.saturating_sub(SAME_NS)) {
            let signal = Signal::try_from(self.signal).unwrap_or(Signal::SIGTERM);
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
        }
    }
}
