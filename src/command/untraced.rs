//! `--best-effort`: CMD runs although it cannot be traced, as if startrace were not there.

use super::Exit;
use crate::host::caller::Caller;
use crate::host::guard::Guard;
use crate::host::spawn::{Execution, Spawned, spawn};
use crate::stderr::tell;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::ffi::OsString;
use std::os::fd::AsFd;

/// Runs CMD to its end and gives its exit status. Signals that are sent to us are passed on.
pub(super) fn run(argv: &[OsString], caller: &Caller, stdout_to_stderr: bool) -> Exit {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        mask.add(signal);
    }
    let signals = mask
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .ok();
    // Without it, too, CMD is to run.
    let guard = Guard::fork(&caller.owner).ok();
    let post = guard.as_ref().map(|guard| guard.posts()[0]);
    let mut spawned = match spawn(argv, caller, stdout_to_stderr, post) {
        Ok(spawned) => spawned,
        Err(error) => return cannot(&error, error.exit_code()),
    };
    if let Execution::Failed(error) = spawned.execution(None) {
        return cannot(&error, error.exit_code());
    }
    if let Some(mut signals) = signals {
        pass_on(&mut signals, &spawned);
    }
    match spawned.wait() {
        Ok(ended) => Exit::Code(ended.exit_code()),
        Err(error) => cannot(&error, Exit::Own.code()),
    }
}

fn cannot(error: &dyn std::fmt::Display, code: u8) -> Exit {
    tell!("startrace: {}", crate::trace::text::sanitize(&error.to_string()));
    Exit::Code(code)
}

/// Until CMD ends.
fn pass_on(signals: &mut SignalFd, spawned: &Spawned) {
    loop {
        let mut fds = [
            PollFd::new(spawned.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return,
        }
        if fds[0].any() == Some(true) {
            return;
        }
        while let Ok(Some(info)) = signals.read_signal() {
            // The terminal has given Ctrl-C to CMD as well.
            if info.ssi_code <= 0
                && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
            {
                let _ = kill(nix::unistd::Pid::from_raw(spawned.pid as i32), signal);
            }
        }
    }
}
