//! The rhythm of a recording: it sleeps until something happens, looks from outside meanwhile, and goes round.

use super::{Error, Live, PERIOD};
use crate::command::outside::{self, Lookout};
use crate::host::clock::boottime_ns;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::AsFd;

/// What ends a recording's sleep.
pub(super) struct Rounds {
    epoll: Epoll,
    lookout: Lookout,
    /// When the last round began (boottime clock).
    last_ns: u64,
}

impl Rounds {
    pub(super) fn new(lookout: Lookout) -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, lookout, last_ns: 0 })
    }

    /// A round begins as long as there is something to read.
    pub(super) fn wake_by(&self, fd: impl AsFd) -> Result<(), Error> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0))?)
    }

    /// A round begins once when there is something to read: of a process that has ended there always is.
    pub(super) fn wake_once_by(&self, fd: impl AsFd) -> Result<(), Error> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?)
    }

    /// From now on, with nothing of what was seen before.
    pub(super) fn look_for(&mut self, lookout: Lookout) {
        self.lookout = lookout;
    }

    /// Until something happens, and for [`PERIOD`] at most. Gives the time.
    ///
    /// # Errors
    /// The system call's.
    pub(super) fn wait(&mut self, live: &mut Live) -> Result<u64, Error> {
        let now = loop {
            let mut ready = [EpollEvent::empty(); 8];
            let period = if self.lookout.is_active() { outside::PERIOD } else { PERIOD };
            let timeout = EpollTimeout::try_from(period).unwrap_or(EpollTimeout::ZERO);
            let came = match self.epoll.wait(&mut ready, timeout) {
                Ok(came) => came,
                Err(nix::Error::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            let now = boottime_ns();
            live.outside.extend(self.lookout.look(boottime_ns));
            // A look from outside is due every millisecond: no reason to empty the ring as often.
            if came > 0 || now.saturating_sub(self.last_ns) >= PERIOD.as_nanos() as u64 {
                break now;
            }
        };
        self.lookout.want(|rule| live.builder.waits_for(rule));
        self.last_ns = now;
        Ok(now)
    }
}
