//! Running processes that are followed, and the end of those that were started.

use super::{Error, GRACE_NS};
use crate::event::Id;
use crate::host;
use crate::host::clock::boottime_ns;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What tells of the end of a process.
pub(super) fn pidfd(pid: u32) -> Result<OwnedFd, Error> {
    // SAFETY: takes numbers, gives a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd >= 0 {
        // SAFETY: new, and nobody else's.
        return Ok(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
    }
    // A pidfd is for a process; a thread's id is refused.
    let tgid = std::fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse::<u32>().ok()
    });
    Err(Error::Target(match tgid {
        Some(tgid) if tgid != pid => format!("-p {pid}: that is a thread of process {tgid}; use -p {tgid}"),
        Some(_) => format!("-p {pid}: cannot follow it: {}", nix::Error::last()),
        None => format!("-p {pid}: no such process"),
    }))
}

/// A process has ended.
pub(super) fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}

/// A signal to a process that may be gone.
pub(super) fn send(pid: u32, signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
}

/// Ends CMD and what it started: asks CMD, then what it left, and then does not ask.
pub(super) fn kill_tree(child: &mut host::spawn::Spawned, tree: &[Id]) {
    let alive = || tree.iter().filter(|id| host::world::is_alive(**id));
    let begun_ns = boottime_ns();
    send(child.pid, Signal::SIGTERM);
    let mut asked_all = false;
    loop {
        let gone = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if gone && alive().next().is_none() {
            return;
        }
        let late = boottime_ns().saturating_sub(begun_ns) > GRACE_NS;
        if !asked_all && (gone || late) {
            asked_all = true;
            alive().for_each(|id| send(id.pid, Signal::SIGTERM));
        }
        if boottime_ns().saturating_sub(begun_ns) > 2 * GRACE_NS {
            alive().for_each(|id| send(id.pid, Signal::SIGKILL));
            if !gone {
                send(child.pid, Signal::SIGKILL);
                let _ = child.wait();
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
