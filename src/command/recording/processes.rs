//! Running processes that are followed, and the end of those that were started.

use super::{Error, GRACE_NS};
use crate::event::Id;
use crate::host;
use crate::host::clock::boottime_ns;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// What was stopped has no children that are new; what cannot be stopped might have them for ever.
const MOST_LOOKS: usize = 8;
/// A process in the kernel stops when it comes back from there.
const STOP_NS: u64 = 50_000_000;

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

/// As a recording of them would begin: each of these is there, and is one that can be followed.
pub(in crate::command) fn check_pids(pids: &[u32]) -> Result<(), Error> {
    for &pid in pids {
        pidfd(pid)?;
        if host::world::is_kernel_thread(pid) {
            return Err(Error::Target(format!("-p {pid}: {}", host::world::why_unmarked(pid))));
        }
    }
    Ok(())
}

/// A process has ended.
pub(super) fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}

/// A signal to a process that may be gone, and its number a stranger's.
pub(super) fn send_to(id: Id, signal: Signal) {
    let Ok(fd) = pidfd(id.pid) else { return };
    // Asked only now: whatever has the number, the descriptor is this one's.
    if host::world::is_running(id) {
        // SAFETY: takes a descriptor of ours and numbers; no information comes with the signal.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                signal as i32,
                std::ptr::null::<u8>(),
                0,
            )
        };
    }
}

/// A signal to a child, which is there until it is waited for.
pub(super) fn send(pid: u32, signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
}

/// Adds what was started while the probes were taken away. All are stopped meanwhile: whatever one of them starts after
/// it was looked at, and before it is gone, would be nobody's.
fn hold(tree: &mut Vec<Id>) {
    let mut new = tree.clone();
    for _ in 0..MOST_LOOKS {
        new.iter().for_each(|id| send_to(*id, Signal::SIGSTOP));
        let begun_ns = boottime_ns();
        while !new.iter().all(|id| host::world::is_stopped(*id))
            && boottime_ns().saturating_sub(begun_ns) < STOP_NS
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        new = host::world::below(tree);
        if new.is_empty() {
            return;
        }
        tree.extend(&new);
    }
}

/// Ends CMD and what it started: asks CMD, then what it left, and then does not ask. Gives what is there all the same.
pub(super) fn kill_tree(child: &mut host::spawn::Spawned, mut tree: Vec<Id>) -> Vec<Id> {
    tree.retain(|id| host::world::is_running(*id));
    hold(&mut tree);
    let alive = || tree.iter().copied().filter(|id| host::world::is_running(*id));
    let begun_ns = boottime_ns();
    let is_gone = |child: &mut host::spawn::Spawned| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
    // Once it is waited for, its pid may be a stranger's.
    if !is_gone(child) {
        send(child.pid, Signal::SIGTERM);
    }
    alive().for_each(|id| send_to(id, Signal::SIGCONT));
    let (mut asked_all, mut forced) = (false, false);
    loop {
        let gone = is_gone(child);
        if gone && alive().next().is_none() {
            return Vec::new();
        }
        let took_ns = boottime_ns().saturating_sub(begun_ns);
        if !asked_all && (gone || took_ns > GRACE_NS) {
            asked_all = true;
            alive().for_each(|id| send_to(id, Signal::SIGTERM));
        }
        if !forced && took_ns > 2 * GRACE_NS {
            forced = true;
            alive().for_each(|id| send_to(id, Signal::SIGKILL));
            if !gone {
                send(child.pid, Signal::SIGKILL);
            }
        }
        // What cannot be killed is in the kernel, for who knows how long.
        if took_ns > 3 * GRACE_NS {
            return alive().collect();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `nginx (pid 42)`.
pub(super) fn shown_process(id: Id) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", id.pid)).unwrap_or_default();
    format!("{} (pid {})", comm.trim_end(), id.pid)
}
