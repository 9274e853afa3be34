//! Bytes that are written once, read seldom, and forgotten in the order in which they came: the newest in memory, the
//! others in a file, as long as there is one.

use crate::aside::Scratch;
use std::collections::VecDeque;

/// What is taken out of memory at once.
const BLOCK: usize = 256 << 10;
/// Blocks in memory.
const IN_MEMORY: usize = 4;
/// The same where there is no file (or it took no more): 32 MB.
const WITHOUT_FILE: usize = 128;
/// Bytes in the file.
const IN_FILE: u64 = 512 << 20;
/// What is read at once: most starts are shorter. Allocators have it at hand, unlike a kilobyte.
const READ: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Store {
    scratch: Option<Box<dyn Scratch>>,
    /// Where the newest bytes begin, and those that are in memory, each block behind the one before.
    blocks: VecDeque<(u64, Vec<u8>)>,
    /// The place of the next byte.
    next: u64,
    /// From here on something may be asked for.
    first: u64,
    /// Until here the file's room was given back.
    given_back: u64,
    /// The file took no more.
    full: bool,
    spare: Vec<u8>,
}

impl Store {
    pub(super) fn to(&mut self, scratch: Box<dyn Scratch>) {
        self.scratch = Some(scratch);
    }

    /// Keeps bytes, which stay together; their place.
    pub(super) fn put(&mut self, bytes: Vec<u8>) -> u64 {
        let at = self.next;
        self.next = at.saturating_add(bytes.len() as u64);
        match self.blocks.back_mut() {
            Some((_, block)) if block.len() + bytes.len() <= BLOCK => block.extend_from_slice(&bytes),
            _ if bytes.len() >= BLOCK => self.blocks.push_back((at, bytes)),
            _ => {
                let mut block = std::mem::take(&mut self.spare);
                block.clear();
                block.reserve_exact(BLOCK);
                block.extend_from_slice(&bytes);
                self.blocks.push_back((at, block));
            }
        }
        // A start that went on for hours is a block of its own, and a large one.
        while self.blocks.len() > 1
            && (self.blocks.len() > IN_MEMORY || self.bytes_in_memory() > (IN_MEMORY * BLOCK) as u64)
            && self.move_out()
        {}
        at
    }

    fn bytes_in_memory(&self) -> u64 {
        self.blocks.front().map_or(0, |(at, _)| self.next.saturating_sub(*at))
    }

    /// A block's room, for the next one.
    fn keep(&mut self, block: Vec<u8>) {
        self.spare = if block.capacity() <= BLOCK { block } else { Vec::new() };
    }

    /// Moves the oldest block into the file.
    fn move_out(&mut self) -> bool {
        let (Some(scratch), false) = (&mut self.scratch, self.full) else { return false };
        let Some((at, block)) = self.blocks.front() else { return false };
        // Nobody asks for what is forgotten.
        let needed = at.saturating_add(block.len() as u64) > self.first;
        if needed && let Err(error) = scratch.write(*at, block) {
            tracing::warn!(%error, "what paths may need of earlier starts stays in memory, within a bound");
            self.full = true;
            return false;
        }
        if let Some((_, block)) = self.blocks.pop_front() {
            self.keep(block);
        }
        true
    }

    /// Is it more than there is room for? Then the oldest bytes have to be forgotten.
    pub(super) fn is_over(&self) -> bool {
        let in_memory = self.blocks.front().map_or(self.next, |(at, _)| *at);
        in_memory.saturating_sub(self.first.min(in_memory)) > IN_FILE
            || self.blocks.len() > WITHOUT_FILE
            || self.blocks.len() > 1 && self.bytes_in_memory() > (WITHOUT_FILE * BLOCK) as u64
    }

    /// Nothing before this place is asked for any more.
    pub(super) fn forget(&mut self, until: u64) {
        self.first = self.first.max(until.min(self.next));
        while self.blocks.len() > 1
            && self.blocks.front().is_some_and(|(at, block)| at + block.len() as u64 <= self.first)
            && let Some((_, block)) = self.blocks.pop_front()
        {
            self.keep(block);
        }
        // Not for every start.
        let in_file = self.blocks.front().map_or(self.next, |(at, _)| *at).min(self.first);
        if in_file.saturating_sub(self.given_back) >= BLOCK as u64
            && let Some(scratch) = &mut self.scratch
        {
            scratch.forget(self.given_back, in_file);
            self.given_back = in_file;
        }
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.blocks.iter().map(|(_, block)| block.capacity()).sum()
    }

    /// What [`Self::put`] was given, if its first four bytes say how many follow: those.
    pub(super) fn get(&self, at: u64) -> Option<Vec<u8>> {
        let in_memory = self.blocks.iter().rev().find(|(from, _)| *from <= at);
        if let Some((from, block)) = in_memory {
            let (len, rest) = block.get(usize::try_from(at - from).ok()?..)?.split_first_chunk::<4>()?;
            return rest.get(..u32::from_ne_bytes(*len) as usize).map(<[u8]>::to_vec);
        }
        let scratch = self.scratch.as_ref()?;
        let mut bytes = vec![0; READ];
        let came = scratch.read(at, &mut bytes).ok()?;
        bytes.truncate(came);
        let len = u32::from_ne_bytes(*bytes.first_chunk::<4>()?) as usize;
        if bytes.len() < len + 4 {
            bytes.resize(len + 4, 0);
            let rest = bytes.get_mut(came..)?;
            let more = scratch.read(at + came as u64, rest).ok()?;
            (more == len + 4 - came).then_some(())?;
        }
        bytes.truncate(len + 4);
        bytes.drain(..4);
        Some(bytes)
    }
}
