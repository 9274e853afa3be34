//! The ring's consumer: takes records out of the kernel's buffer and keeps them until they are asked
//! for.
//!
//! Two parties take records out. The recording loop does every 20 ms, between building one batch of
//! starts and the next. While it is busy with a batch, or has no CPU, the [`Drainer`] steps in: a thread
//! that sleeps until the programs say that the ring is a quarter full, and only copies. What waits in our
//! memory is bounded as well; beyond that, records stay in the ring, and what then finds no room is
//! counted by the programs.

use super::ring::Ring;
use super::waking::Waking;
use crate::event::{Event, decode};
use crate::host::clock::boottime_ns;
use libbpf_rs::MapHandle;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Records that may wait in our memory, in bytes.
const CAP: usize = 64 << 20;
/// Records are kept in blocks of about this size.
const BLOCK: usize = 256 << 10;
/// How many records are taken before looking whether there is room for more.
const STEP: usize = 64;

/// Records as they came, each behind its length, and when the ring was looked at.
struct Block {
    drained_ns: u64,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    blocks: VecDeque<Block>,
    bytes: usize,
    now_ns: u64,
    /// A block's memory, to be used again: else the allocator would get it from the kernel every 20 ms.
    spare: Vec<u8>,
}

impl Queue {
    /// Takes a record in, which is in two parts.
    fn push(&mut self, record: &[u8], rest: &[u8]) {
        let len = record.len() + rest.len();
        let now_ns = self.now_ns;
        let open = |block: &Block| block.drained_ns == now_ns && block.bytes.len() < BLOCK;
        if !self.blocks.back().is_some_and(open) {
            self.blocks.push_back(Block { drained_ns: now_ns, bytes: std::mem::take(&mut self.spare) });
        }
        if let Some(block) = self.blocks.back_mut() {
            block.bytes.extend_from_slice(&(len as u32).to_ne_bytes());
            block.bytes.extend_from_slice(record);
            block.bytes.extend_from_slice(rest);
            self.bytes += len + 4;
        }
    }
}

/// The ring and what was taken out of it.
pub(super) struct Inbox {
    ring: Mutex<Ring>,
    queue: Mutex<Queue>,
    /// The programs force one wake-up and then none until this is reset.
    wake_sent: &'static AtomicBool,
}

/// Nobody panics while holding one of these locks with half of a change made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events of records that were in the ring at one time.
pub struct Batch {
    /// In the order of arrival.
    pub events: Vec<Event>,
    /// When the ring was looked at (boottime).
    pub drained_ns: u64,
    /// Records that were not understood.
    pub undecodable: u64,
}

impl Inbox {
    /// `wake_sent` must stay valid for as long as this lives.
    pub(super) fn new(ring: &MapHandle, wake_sent: &'static AtomicBool) -> Result<Self, libbpf_rs::Error> {
        Ok(Self { ring: Mutex::new(Ring::new(ring)?), queue: Mutex::default(), wake_sent })
    }

    /// Takes out what is in the ring, as far as there is room for it. If there was room for all: the
    /// time at which it began.
    pub(super) fn drain(&self) -> Option<u64> {
        let mut ring = lock(&self.ring);
        let now_ns = boottime_ns();
        lock(&self.queue).now_ns = now_ns;
        loop {
            let mut queue = lock(&self.queue);
            if queue.bytes >= CAP {
                return None;
            }
            // Not before: a wake-up that is sent while this runs finds the ring empty, so that the drainer sleeps on,
            // and with the flag still set nobody would send it another.
            if ring.take(STEP, |record, rest| queue.push(record, rest)) == 0 {
                self.wake_sent.store(false, Ordering::Release);
                return Some(now_ns);
            }
        }
    }

    /// The next batch that was taken out.
    pub(super) fn batch(&self) -> Option<Batch> {
        let block = {
            let mut queue = lock(&self.queue);
            let block = queue.blocks.pop_front()?;
            queue.bytes -= block.bytes.len();
            block
        };
        let mut batch = Batch { events: Vec::new(), drained_ns: block.drained_ns, undecodable: 0 };
        let mut rest = block.bytes.as_slice();
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (record, tail) = tail.split_at((u32::from_ne_bytes(*len) as usize).min(tail.len()));
            rest = tail;
            match decode::record(record) {
                Ok(event) => batch.events.push(event),
                Err(error) => {
                    tracing::warn!(%error, "a record was not understood");
                    batch.undecodable += 1;
                }
            }
        }
        let mut spare = block.bytes;
        if spare.capacity() <= 2 * BLOCK {
            spare.clear();
            lock(&self.queue).spare = spare;
        }
        Some(batch)
    }
}

/// The thread that empties the ring while nobody else does, and attaches the program on wake-ups.
pub(super) struct Drainer {
    thread: Option<JoinHandle<()>>,
    stop: Arc<EventFd>,
}

impl Drainer {
    /// Starts it. Its priority is that of the calling thread.
    pub(super) fn start(
        inbox: Arc<Inbox>,
        waking: Option<Arc<Waking>>,
        ring: &MapHandle,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(ring.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        epoll.add(stop.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
        let thread = std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
            loop {
                let mut ready = [EpollEvent::empty(); 2];
                match epoll.wait(&mut ready, EpollTimeout::NONE) {
                    Ok(n) if ready.iter().take(n).any(|event| event.data() == 1) => return,
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(_) => return,
                }
                // At once, as the ring may be somebody else's who has no CPU ...
                let look = || waking.iter().for_each(|waking| waking.look());
                look();
                inbox.drain();
                // ... and afterwards: whose record was among those that were taken out has not woken anybody.
                look();
            }
        })?;
        Ok(Self { thread: Some(thread), stop })
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_the_order_and_the_time_at_which_they_were_drained() {
        let mut queue = Queue { now_ns: 5, ..Queue::default() };
        for _ in 0..3 {
            queue.push(&[7; 60_000], &[7; 40_000]);
        }
        queue.now_ns = 6;
        queue.push(&[8; 3], &[]);
        let shape: Vec<_> = queue.blocks.iter().map(|block| (block.drained_ns, block.bytes.len())).collect();
        assert_eq!(shape, [(5, 300_012), (6, 7)]);
        assert_eq!(queue.bytes, 300_019);
    }
}
