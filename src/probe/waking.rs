//! The program on wake-ups: there while a start is under way, and not otherwise.
//!
//! It tells who woke a task that waited, and all tasks of the machine pay for that: calling any program at each wake-up
//! is as dear as calling one at each switch (docs/cost.md). Who only waits for a start to happen needs none of it. So it
//! goes a while after the recording has begun, or the last start has become ready. The program that sees the next one
//! begin (`want_waking()` in `bpf/record.bpf.h`) wakes the [`Drainer`](super::inbox), which attaches it again.
//!
//! The program on switches cannot come late, so it stays and returns at once meanwhile; the same word of shared memory
//! opens it.
//!
//! What is lost by that: until it is attached, a fraction of a millisecond after the entry into fork, nobody knows who
//! woke whom, and a wait that ends before has no waker. How long it was blocked is measured all the same.

use crate::bpf::types::waking_hook;
use crate::host::clock::boottime_ns;
use libbpf_rs::libbpf_sys;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As `session.hooks` names it.
pub(super) const HOOK: &str = "tp_btf/sched_waking";
/// For so long no start has to be under way: attaching and detaching change the kernel's code, on all CPUs.
const IDLE_NS: u64 = 1_000_000_000;

/// Attached so late, we have been kept from it: that is counted. (With a CPU at hand it takes less than a millisecond.)
const LATE_NS: u64 = 100_000_000;

const ON: u32 = waking_hook::WAKING_ON.0;
const OFF: u32 = waking_hook::WAKING_OFF.0;
const WANTED: u32 = waking_hook::WAKING_WANTED.0;

#[derive(Default)]
struct Held {
    link: Option<OwnedFd>,
    /// Nothing is attached any more.
    over: bool,
}

/// The program, and its link while there is one.
pub(super) struct Waking {
    program: OwnedFd,
    /// Shared with the programs.
    state: &'static AtomicU32,
    /// Shared as well: since when it is wanted (boottime).
    wanted_ns: &'static AtomicU64,
    /// And: how many starts have begun.
    begun: &'static AtomicU64,
    held: Mutex<Held>,
    /// It has been attached at least once ...
    was_attached: AtomicBool,
    /// ... and so often could not be when it was wanted, or was late.
    missed: AtomicU64,
}

impl Waking {
    /// Of a loaded program. What it shares with the programs must stay valid for as long as this lives.
    pub(super) fn new(
        program: OwnedFd,
        state: &'static AtomicU32,
        wanted_ns: &'static AtomicU64,
        begun: &'static AtomicU64,
    ) -> Self {
        state.store(OFF, Ordering::SeqCst);
        Self {
            program,
            state,
            wanted_ns,
            begun,
            held: Mutex::default(),
            was_attached: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nobody panics while holding it with half of a change made.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches it for the beginning: until the drainer runs, nobody could do so at once when a start begins. Where that
    /// fails, it is tried again when one does, and counted.
    pub(super) fn begin(&self) {
        if let Err(error) = self.attach() {
            tracing::debug!(%error, "who wakes whom is not seen from the beginning");
        }
    }

    /// Attaches it now, unless it is. Gives whether it was not.
    ///
    /// # Errors
    /// The kernel's.
    fn attach(&self) -> std::io::Result<bool> {
        // A fault that tests provoke.
        if cfg!(debug_assertions) && std::env::var_os("STARTRACE_TEST_NO_WAKING").is_some() {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let mut held = self.held();
        let absent = held.link.is_none() && !held.over;
        if absent {
            // SAFETY: no name, and a program's descriptor that is open. What comes back is a new descriptor, or an error.
            let fd =
                unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), self.program.as_raw_fd()) };
            if fd < 0 {
                return Err(std::io::Error::from_raw_os_error(-fd));
            }
            // SAFETY: as said, and nobody else knows of it.
            held.link = Some(unsafe { OwnedFd::from_raw_fd(fd) });
            self.was_attached.store(true, Ordering::Relaxed);
        }
        self.state.store(ON, Ordering::SeqCst);
        Ok(absent)
    }

    /// Attaches it if a start has begun since it went. To be called whenever the ring is looked at.
    pub(super) fn look(&self) {
        if self.state.load(Ordering::SeqCst) != WANTED {
            return;
        }
        let since_ns = self.wanted_ns.load(Ordering::SeqCst);
        match self.attach() {
            Ok(absent) => {
                let late_ns = boottime_ns().saturating_sub(since_ns);
                tracing::debug!(absent, late_ns, "looking at wake-ups again");
                if absent && late_ns > LATE_NS {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                // Not again before the next one that begins after a pause.
                self.state.store(ON, Ordering::SeqCst);
                if self.missed.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "who wakes whom is not seen");
                }
            }
        }
    }

    /// Lets it go, unless a start has begun meanwhile. That may take a grace period of the kernel's, some 40 ms, in which
    /// the drainer attaches it again if it is wanted.
    pub(super) fn leave(&self) {
        let link = {
            let mut held = self.held();
            // With the lock held nobody attaches it, and whoever wants it from here on finds that it is gone.
            if self.state.load(Ordering::SeqCst) == OFF { held.link.take() } else { None }
        };
        drop(link);
    }

    /// The link, if there is one: it is not attached any more.
    pub(super) fn end(&self) -> Option<OwnedFd> {
        let mut held = self.held();
        held.over = true;
        held.link.take()
    }

    pub(super) fn was_attached(&self) -> bool {
        self.was_attached.load(Ordering::Relaxed)
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// When it is to go.
#[derive(Default)]
pub(super) struct Rest {
    /// How many starts had begun when this was last asked.
    begun: u64,
    /// Since when no start is under way.
    idle_ns: Option<u64>,
    /// Since when the programs know that it may be gone.
    off_ns: Option<u64>,
}

impl Rest {
    /// All events up to `until_ns` have been looked at. `idle`: none of those since the last call began a start (the
    /// shortest are over when they are looked at), and none is under way whose waits are told. True: it is to go now, by
    /// [`Waking::leave`].
    pub(super) fn at(&mut self, waking: &Waking, idle: bool, until_ns: u64) -> bool {
        let idle_ns = *self.idle_ns.get_or_insert(until_ns);
        if idle
            && until_ns.saturating_sub(idle_ns) >= IDLE_NS
            && waking.begun.load(Ordering::SeqCst) == self.begun
            && waking.state.compare_exchange(ON, OFF, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            self.off_ns = Some(boottime_ns());
        }
        // After the programs know: who began before that has been counted, and who begins from here on wants it. What is
        // counted has not been looked at yet, or will never be a start: a fork that fails.
        let begun = waking.begun.load(Ordering::SeqCst);
        if !idle || begun != self.begun {
            if waking.state.load(Ordering::SeqCst) == OFF {
                // It may be gone since then. (First: whoever finds it wanted reads this.)
                waking.wanted_ns.store(self.off_ns.unwrap_or_else(boottime_ns), Ordering::SeqCst);
                let _ = waking.state.compare_exchange(OFF, WANTED, Ordering::SeqCst, Ordering::SeqCst);
                waking.look();
            }
            *self = Self { begun, ..Self::default() };
            return false;
        }
        // What began before the programs knew has been looked at by now: nothing.
        self.off_ns.take_if(|off_ns| *off_ns < until_ns).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// Whose program is none: what tries to attach it fails.
    fn waking(state: u32) -> Waking {
        let shared: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let wanted_ns: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(boottime_ns())));
        let begun: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let waking = Waking::new(File::open("/dev/null").unwrap().into(), shared, wanted_ns, begun);
        shared.store(state, Ordering::SeqCst);
        waking.held().link = (state != OFF).then(|| File::open("/dev/null").unwrap().into());
        waking
    }

    fn is_attached(waking: &Waking) -> bool {
        waking.held().link.is_some()
    }

    #[test]
    fn it_goes_when_no_start_has_been_under_way_for_a_while() {
        let (waking, mut rest) = (waking(ON), Rest::default());
        let now = boottime_ns();
        assert!(!rest.at(&waking, true, now));
        assert!(!rest.at(&waking, true, now + IDLE_NS - 1));
        assert!(!rest.at(&waking, false, now + IDLE_NS));
        let begin = now + 2 * IDLE_NS;
        assert!(!rest.at(&waking, true, begin));
        assert_eq!(waking.state.load(Ordering::SeqCst), ON);
        // The programs are told, but what they saw until then has not been looked at.
        rest.idle_ns = Some(now.saturating_sub(2 * IDLE_NS));
        assert!(!rest.at(&waking, true, now));
        assert_eq!((waking.state.load(Ordering::SeqCst), is_attached(&waking)), (OFF, true));
        assert!(rest.at(&waking, true, boottime_ns() + 1));
        assert!(!rest.at(&waking, true, boottime_ns() + 1));
        waking.leave();
        assert!(!is_attached(&waking));
    }

    #[test]
    fn it_stays_when_a_start_begins_meanwhile() {
        let (waking, mut rest) = (waking(OFF), Rest::default());
        waking.held().link = Some(File::open("/dev/null").unwrap().into());
        // Seen by the programs between the decision and the deed ...
        waking.state.store(WANTED, Ordering::SeqCst);
        waking.leave();
        assert!(is_attached(&waking));
        waking.look();
        assert_eq!((waking.state.load(Ordering::SeqCst), is_attached(&waking)), (ON, true));
        // ... or before, and told late: it may be gone since the programs knew, not since they wanted it last.
        for off_ns in [Some(7), None] {
            let before = boottime_ns();
            waking.state.store(OFF, Ordering::SeqCst);
            waking.wanted_ns.store(3, Ordering::SeqCst);
            rest.off_ns = off_ns;
            assert!(!rest.at(&waking, false, boottime_ns()));
            assert_eq!((waking.state.load(Ordering::SeqCst), waking.missed()), (ON, 0));
            let since_ns = waking.wanted_ns.load(Ordering::SeqCst);
            assert!(off_ns.map_or(since_ns >= before, |off_ns| since_ns == off_ns), "{since_ns}");
        }
    }

    #[test]
    fn whatever_wants_it_keeps_it_for_a_while() {
        let (waking, mut rest) = (waking(ON), Rest::default());
        let now = boottime_ns();
        assert!(!rest.at(&waking, true, now));
        // Longer ago than it takes, but it was wanted since.
        waking.begun.fetch_add(1, Ordering::SeqCst);
        waking.state.store(WANTED, Ordering::SeqCst);
        waking.look();
        assert!(!rest.at(&waking, true, now + 2 * IDLE_NS));
        assert!(!rest.at(&waking, true, now + 2 * IDLE_NS));
        assert!(!rest.at(&waking, true, now + 3 * IDLE_NS - 1));
        assert_eq!(waking.state.load(Ordering::SeqCst), ON);
        // A start that was over by the time it was looked at.
        assert!(!rest.at(&waking, false, now + 3 * IDLE_NS));
        assert!(!rest.at(&waking, true, now + 3 * IDLE_NS + 1));
        assert!(!rest.at(&waking, true, now + 4 * IDLE_NS));
        assert_eq!(waking.state.load(Ordering::SeqCst), ON);
        assert!(rest.at(&waking, true, now + 4 * IDLE_NS + 1));
        assert_eq!(waking.state.load(Ordering::SeqCst), OFF);
    }

    #[test]
    fn a_start_that_begins_is_not_taken_for_none() {
        let (waking, mut rest) = (waking(ON), Rest::default());
        let now = boottime_ns();
        assert!(!rest.at(&waking, true, now));
        // It has not been looked at, and may be over by then. The programs had no reason to want anything.
        waking.begun.fetch_add(1, Ordering::SeqCst);
        assert!(!rest.at(&waking, true, now + IDLE_NS));
        assert!(!rest.at(&waking, true, now + IDLE_NS + 1));
        assert!(!rest.at(&waking, true, now + 2 * IDLE_NS));
        assert_eq!(waking.state.load(Ordering::SeqCst), ON);
        rest.at(&waking, true, now + 2 * IDLE_NS + 1);
        assert_eq!(waking.state.load(Ordering::SeqCst), OFF);
    }

    #[test]
    fn what_cannot_be_attached_is_told_and_not_tried_again() {
        let waking = waking(OFF);
        waking.look();
        assert_eq!(waking.missed(), 0);
        waking.state.store(WANTED, Ordering::SeqCst);
        waking.look();
        assert_eq!((waking.state.load(Ordering::SeqCst), waking.missed()), (ON, 1));
        assert!(!waking.was_attached());
    }

    #[test]
    fn after_the_end_nothing_is_attached() {
        let waking = waking(ON);
        assert!(waking.end().is_some());
        waking.state.store(WANTED, Ordering::SeqCst);
        waking.look();
        assert_eq!((is_attached(&waking), waking.missed()), (false, 0));
    }
}
