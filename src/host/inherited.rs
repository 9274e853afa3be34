//! What this process was given at its start, before anything in it could change it.
//!
//! CMD is to start as if the user's shell had started it. Two things stand in the way: Rust's
//! runtime ignores SIGPIPE before `main`, and `record` blocks signals for a signalfd. So the signal
//! mask, the ignored signals and the resource limits are noted in an `.init_array` function, which
//! the C library calls before the runtime begins, and whether standard output is closed: the runtime opens /dev/null in its
//! place. (`/proc/self/status` cannot tell afterwards.)

use super::limits::{self, Limit, RESOURCES};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static CAPTURED: AtomicBool = AtomicBool::new(false);
static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);
static NO_STDOUT: AtomicBool = AtomicBool::new(false);
static SOFT: [AtomicU64; RESOURCES] = [const { AtomicU64::new(u64::MAX) }; RESOURCES];
static HARD: [AtomicU64; RESOURCES] = [const { AtomicU64::new(u64::MAX) }; RESOURCES];

/// Highest signal number of Linux (`_NSIG`).
pub(crate) const SIGNALS: i32 = 64;

/// Is there a standard output to write to? Where it is closed, all would go to the runtime's /dev/null unseen.
///
/// # Errors
/// It is closed.
pub fn has_stdout() -> io::Result<()> {
    if inherited().stdout_closed {
        return Err(io::Error::other("cannot write to the standard output, which is closed"));
    }
    Ok(())
}

/// Signal dispositions, mask and limits as they were at our start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// Ignored signals; bit `n - 1` stands for signal `n`.
    pub ignored: u64,
    /// Blocked signals, likewise.
    pub blocked: u64,
    /// Resource limits.
    pub limits: [Limit; RESOURCES],
    /// There was no descriptor 1.
    pub stdout_closed: bool,
}

/// The place of a signal in the sets of [`Inherited`].
pub(crate) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What was noted at the start of the process.
pub fn inherited() -> Inherited {
    if !CAPTURED.load(Relaxed) {
        // Only where the loader runs no initialisers, which no supported C library does: then the
        // state of now is the best there is.
        capture();
    }
    Inherited {
        ignored: IGNORED.load(Relaxed),
        blocked: BLOCKED.load(Relaxed),
        limits: std::array::from_fn(|i| Limit { soft: SOFT[i].load(Relaxed), hard: HARD[i].load(Relaxed) }),
        stdout_closed: NO_STDOUT.load(Relaxed),
    }
}

#[used]
// SAFETY: the section holds pointers to functions that take up to three integer or pointer
// arguments and return nothing; `capture` ignores them, calls only system calls that need no
// initialised runtime, and does not unwind.
#[unsafe(link_section = ".init_array")]
static CAPTURE: extern "C" fn() = capture;

extern "C" fn capture() {
    let mut ignored = 0;
    for signal in 1..=SIGNALS {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a null new action only asks; `action` is writable and of the right type. Signals
        // that the C library keeps for itself give an error and are left alone.
        let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeroed, and all-zero is a valid `sigaction`.
        if asked == 0 && unsafe { action.assume_init_ref() }.sa_sigaction == libc::SIG_IGN {
            ignored |= bit(signal);
        }
    }
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    let mut blocked = 0;
    // SAFETY: a null new mask only asks; `set` is writable and zeroed, thus valid in any case.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr());
        for signal in 1..=SIGNALS {
            if libc::sigismember(set.as_ptr(), signal) == 1 {
                blocked |= bit(signal);
            }
        }
    }
    // SAFETY: asks for the flags of a descriptor, which need not be open.
    NO_STDOUT.store(unsafe { libc::fcntl(1, libc::F_GETFD) } < 0, Relaxed);
    IGNORED.store(ignored, Relaxed);
    BLOCKED.store(blocked, Relaxed);
    for resource in 0..RESOURCES {
        if let Some(limit) = limits::own(resource) {
            SOFT[resource].store(limit.soft, Relaxed);
            HARD[resource].store(limit.hard, Relaxed);
        }
    }
    CAPTURED.store(true, Relaxed);
}
