//! How every recording begins, that of one command and that of many: signals, time, options, and rights that are given up.

use super::{Error, Request};
use crate::host::owner::Owner;
use crate::host::{self, priority, privilege, privilege::Capability};
use crate::method::arch::Arch;
use crate::probe::Probe;
use crate::timeline::Options;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of the thread that empties the ring when it fills.
const DRAIN_NICE: i32 = -20;

/// When a recording began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    /// On the boottime clock.
    pub(super) ns: u64,
    /// What that is behind the real time.
    realtime_offset_ns: u64,
}

impl Began {
    pub(super) fn at(ns: u64) -> Result<Self, Error> {
        let offset_ns = host::facts::boottime_to_realtime_ns().map_err(anyhow::Error::from)?;
        Ok(Self { ns, realtime_offset_ns: offset_ns.max(0).cast_unsigned() })
    }

    /// By the clock on the wall.
    pub(super) fn wall(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.ns.saturating_add(self.realtime_offset_ns))
    }
}

/// Signals as something to be read, and no end of us.
pub(super) fn catch(signals: &[Signal]) -> Result<SignalFd, Error> {
    let mask: SigSet = signals.iter().copied().collect();
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// One of the signals that end a recording, where it has come; it stays to be read.
pub(super) fn pending() -> Result<Option<Signal>, Error> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigpending writes one set, which `set` is, and zero bits are a valid one.
    let set = unsafe {
        nix::Error::result(libc::sigpending(set.as_mut_ptr()))?;
        SigSet::from_sigset_t_unchecked(set.assume_init())
    };
    Ok([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().find(|&signal| set.contains(signal)))
}

/// A time that was asked for; for ever, where it is longer than a clock of ours counts.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the builder is to know.
pub(super) fn options(request: &Request, began: Began) -> Options {
    Options {
        arch: Arch::HERE,
        began_ns: began.ns,
        realtime_offset_ns: began.realtime_offset_ns,
        window_ns: request.window.map(nanoseconds),
        selectors: request.selectors.clone(),
        level: request.wanted.level,
        ready: request.ready.clone(),
        quiet_ns: request.quiet_for.map_or(0, nanoseconds),
        patience_ns: nanoseconds(request.patience),
        profile_hz: request.wanted.profile_hz,
        redactor: request.redactor.clone(),
        env: request.env.clone(),
    }
}

/// What could have been started is started: from here on no more than watching is needed (and ending, with `kills`).
///
/// Emptying the ring must not wait for a CPU that those have whom we watch; the thread that does it inherits our
/// priority, which has to be raised while we may.
pub(super) fn give_up_rights(probe: &mut Probe, owner: &Owner, kills: bool) -> Result<(), Error> {
    let nice = priority::nice().and_then(|nice| priority::set_nice(DRAIN_NICE).map(|()| nice));
    let kept: &[Capability] = if kills { &[Capability::Kill] } else { &[] };
    privilege::drop_to(owner, kept).map_err(anyhow::Error::from)?;
    probe.start_drainer()?;
    if let Ok(nice) = nice {
        let _ = priority::set_nice(nice);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_years_are_no_short_time() {
        let years = humantime::parse_duration("1000years").unwrap();
        assert_eq!(nanoseconds(years), u64::MAX);
        assert_eq!(nanoseconds(Duration::from_millis(20)), 20_000_000);
    }
}
