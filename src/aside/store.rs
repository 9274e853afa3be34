//! Records that are written once, read seldom, by their places or one after the other, and forgotten in the order in
//! which they came: the newest in memory, the others in a file, as long as there is one.

use super::Scratch;
use std::collections::VecDeque;

/// What is taken out of memory at once.
const BLOCK: usize = 64 << 10;
/// Blocks in memory.
const IN_MEMORY: usize = 4;
/// The same where there is no file (or it took no more): 32 MB.
const WITHOUT_FILE: usize = 512;
/// Bytes in the file.
const IN_FILE: u64 = 512 << 20;
/// What is read at once: most starts are shorter. Allocators have it at hand, unlike a kilobyte.
const READ: usize = 1000;
/// Before each record is its length.
const HEAD: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Store {
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
    pub(crate) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.scratch = Some(scratch);
    }

    /// Keeps a record; its place.
    pub(crate) fn put(&mut self, record: &[u8]) -> u64 {
        let at = self.next;
        let size = HEAD + record.len();
        self.next = at.saturating_add(size as u64);
        if self.blocks.back().is_none_or(|(_, block)| block.len() + size > BLOCK) {
            let mut block = std::mem::take(&mut self.spare);
            block.clear();
            block.reserve_exact(BLOCK.max(size));
            self.blocks.push_back((at, block));
        }
        if let Some((_, block)) = self.blocks.back_mut() {
            block.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_ne_bytes());
            block.extend_from_slice(record);
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
            tracing::warn!(%error, "what paths and findings may need of earlier starts stays in memory, within a bound");
            self.full = true;
            return false;
        }
        if let Some((_, block)) = self.blocks.pop_front() {
            self.keep(block);
        }
        true
    }

    /// Is it more than there is room for? Then the oldest bytes have to be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        let in_memory = self.blocks.front().map_or(self.next, |(at, _)| *at);
        in_memory.saturating_sub(self.first.min(in_memory)) > IN_FILE
            || self.blocks.len() > WITHOUT_FILE
            || self.blocks.len() > 1 && self.bytes_in_memory() > (WITHOUT_FILE * BLOCK) as u64
    }

    /// Nothing before this place is asked for any more.
    pub(crate) fn forget(&mut self, until: u64) {
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
    pub(crate) fn in_memory(&self) -> usize {
        self.blocks.iter().map(|(_, block)| block.capacity()).sum()
    }

    /// The record at a place.
    pub(crate) fn get(&self, at: u64) -> Option<Vec<u8>> {
        let in_memory = self.blocks.iter().rev().find(|(from, _)| *from <= at);
        if let Some((from, block)) = in_memory {
            let (len, rest) = block.get(usize::try_from(at - from).ok()?..)?.split_first_chunk::<4>()?;
            return rest.get(..u32::from_ne_bytes(*len) as usize).map(<[u8]>::to_vec);
        }
        let scratch = self.scratch.as_ref()?;
        let mut bytes = vec![0; READ];
        let came = scratch.read(at, &mut bytes).ok()?;
        bytes.truncate(came);
        let size = HEAD + u32::from_ne_bytes(*bytes.first_chunk::<HEAD>()?) as usize;
        if bytes.len() < size {
            bytes.resize(size, 0);
            let rest = bytes.get_mut(came..)?;
            let more = scratch.read(at + came as u64, rest).ok()?;
            (more == size - came).then_some(())?;
        }
        bytes.truncate(size);
        bytes.drain(..HEAD);
        Some(bytes)
    }

    /// All records with their places, in their order, where none was forgotten. From one on that cannot be read, none.
    pub(crate) fn each(&self, mut look: impl FnMut(u64, &[u8])) {
        let (mut place, mut bytes) = (0, Vec::new());
        let in_memory = self.blocks.front().map_or(self.next, |(at, _)| *at);
        while place < in_memory {
            bytes.resize(usize::try_from(in_memory - place).unwrap_or(BLOCK).min(BLOCK), 0);
            let came = self.scratch.as_ref().and_then(|scratch| scratch.read(place, &mut bytes).ok());
            place += match records(bytes.get(..came.unwrap_or(0)).unwrap_or_default(), place, &mut look) {
                // It is longer than what is read at once.
                0 => {
                    let Some(record) = self.get(place) else { return };
                    look(place, &record);
                    HEAD + record.len()
                }
                read => read,
            } as u64;
        }
        for (at, block) in &self.blocks {
            records(block, *at, &mut look);
        }
    }
}

/// Looks at those that are whole; how many bytes they are.
fn records(bytes: &[u8], place: u64, look: &mut impl FnMut(u64, &[u8])) -> usize {
    let mut left = bytes;
    while let Some((len, rest)) = left.split_first_chunk::<HEAD>()
        && let Some((record, rest)) = rest.split_at_checked(u32::from_ne_bytes(*len) as usize)
    {
        look(place + (bytes.len() - left.len()) as u64, record);
        left = rest;
    }
    bytes.len() - left.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Disk;
    use super::*;
    use std::rc::Rc;

    /// Some are longer than what is read at once.
    fn record(n: u64) -> Vec<u8> {
        vec![n as u8; if n % 500 == 7 { 200_000 } else { (n % 90) as usize }]
    }

    #[test]
    fn records_come_back_wherever_they_are() {
        for room in [0, 300_000, usize::MAX] {
            let disk = Disk(Rc::default(), room);
            let mut store = Store::default();
            if room > 0 {
                store.keep_in(Box::new(disk.clone()));
            }
            let places: Vec<u64> = (0..20_000).map(|n| store.put(&record(n))).collect();
            let mut read = Vec::new();
            store.each(|place, bytes| {
                assert_eq!(bytes, record(read.len() as u64));
                read.push(place);
            });
            assert_eq!(read, places);
            for (n, place) in (0..).zip(&places) {
                assert_eq!(store.get(*place), Some(record(n)));
            }
            let has_left = store.in_memory() <= IN_MEMORY * BLOCK + record(7).len();
            assert_eq!(has_left, room == usize::MAX, "{}", store.in_memory());
            if room == usize::MAX {
                // What cannot be read is missing, and nothing else happens.
                disk.0.borrow_mut().truncate(400_000);
                let mut n = 0;
                store.each(|_, _| n += 1);
                assert!(n > 0 && n < 20_000, "{n}");
                assert_eq!(store.get(places[10_000]), None);
            }
        }
    }
}
