//! Records of any length, written one after the other, and read in that order or by their places.

use super::Scratch;
use crate::dense::{Reader, Writer};

/// What is written, and read, at once.
const BLOCK: usize = 64 << 10;
/// What is read of one record at first.
const GLANCE: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Log {
    scratch: Option<Box<dyn Scratch>>,
    /// The newest records, and where the first of them is: the others are in the file.
    tail: Vec<u8>,
    tail_at: u64,
    /// The file took no more.
    full: bool,
}

impl Log {
    pub(crate) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.scratch = Some(scratch);
    }

    /// Its length in bytes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u64 {
        self.tail_at + self.tail.len() as u64
    }

    pub(crate) fn push(&mut self, record: &[u8]) {
        if self.tail.capacity() == 0 && self.scratch.is_some() {
            self.tail.reserve_exact(BLOCK);
        }
        let head = length(record);
        if self.tail.len() + head.len() + record.len() > BLOCK && !self.tail.is_empty() {
            self.move_out();
        }
        self.tail.extend_from_slice(&head);
        self.tail.extend_from_slice(record);
    }

    fn move_out(&mut self) {
        let (Some(scratch), false) = (&mut self.scratch, self.full) else { return };
        if let Err(error) = scratch.write(self.tail_at, &self.tail) {
            tracing::warn!(%error, "what findings need of earlier starts stays in memory");
            self.full = true;
            return;
        }
        self.tail_at += self.tail.len() as u64;
        self.tail.clear();
        self.tail.shrink_to(BLOCK);
    }

    /// All records with their places, in their order. Not all of them where the file cannot be read, which is said.
    pub(crate) fn each(&self, mut look: impl FnMut(u64, &[u8])) {
        let (mut place, mut block) = (0, Vec::new());
        let mut want = BLOCK;
        while place < self.tail_at {
            let left = self.tail_at - place;
            block.resize(usize::try_from(left).unwrap_or(usize::MAX).min(want), 0);
            let came = self.scratch.as_ref().and_then(|scratch| scratch.read(place, &mut block).ok());
            let used = records(block.get(..came.unwrap_or(0)).unwrap_or_default(), place, &mut look);
            match used {
                0 if came.is_some_and(|came| came == block.len()) && (block.len() as u64) < left => want *= 2,
                0 => {
                    tracing::warn!("what findings need of earlier starts cannot be read");
                    return;
                }
                _ => (place, want) = (place + used as u64, BLOCK),
            }
        }
        records(&self.tail, self.tail_at, &mut look);
    }

    /// What is made of the bytes from a place within a record on. `look` gives `None` where it needs more of them.
    pub(crate) fn look<R>(&self, place: u64, look: impl Fn(&mut Reader<'_>) -> Option<R>) -> Option<R> {
        if let Some(at) = place.checked_sub(self.tail_at) {
            return look(&mut Reader(self.tail.get(usize::try_from(at).ok()?..)?));
        }
        let (scratch, left) = (self.scratch.as_ref()?, usize::try_from(self.tail_at - place).ok()?);
        let mut want = GLANCE;
        loop {
            let mut bytes = vec![0; want.min(left)];
            let came = scratch.read(place, &mut bytes).ok()?;
            let found = look(&mut Reader(bytes.get(..came)?));
            if found.is_some() || want >= left || came < bytes.len() {
                return found;
            }
            want *= 16;
        }
    }
}

fn length(record: &[u8]) -> Vec<u8> {
    let mut head = Writer(Vec::with_capacity(4));
    head.number(record.len() as u64);
    head.0
}

/// Looks at those that are whole; how many bytes they are.
fn records(bytes: &[u8], place: u64, look: &mut impl FnMut(u64, &[u8])) -> usize {
    let mut from = Reader(bytes);
    let mut used = 0;
    while let Some(record) = from.bytes() {
        let end = bytes.len() - from.0.len();
        look(place + (end - record.len()) as u64, record);
        used = end;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::super::tests::Disk;
    use super::*;
    use std::rc::Rc;

    /// Some are longer than what is read at once.
    fn size(n: u64) -> usize {
        if n % 500 == 7 { 200_000 } else { (n % 90) as usize }
    }

    fn record(n: u64) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(n);
        out.bytes(&vec![n as u8; size(n)]);
        out.0
    }

    #[test]
    fn records_come_back_wherever_they_are() {
        for room in [0, 100_000, usize::MAX] {
            let disk = Disk(Rc::default(), room);
            let mut log = Log::default();
            if room > 0 {
                log.keep_in(Box::new(disk.clone()));
            }
            (0..3_000).for_each(|n| log.push(&record(n)));
            let mut places = Vec::new();
            log.each(|place, bytes| {
                assert_eq!(bytes, record(places.len() as u64));
                places.push(place);
            });
            assert_eq!(places.len(), 3_000);
            for (n, place) in places.iter().enumerate() {
                let found = log.look(*place, |from| Some((from.number()?, from.bytes()?.len())));
                assert_eq!(found, Some((n as u64, size(n as u64))));
            }
            if room == usize::MAX {
                assert!(log.tail.capacity() <= 210_000 && log.len() > 1_000_000, "{}", log.tail.capacity());
                assert_eq!(log.tail_at, disk.0.borrow().len() as u64);
                // What cannot be read is missing, and nothing else happens.
                disk.0.borrow_mut().truncate(70_000);
                let mut n = 0;
                log.each(|_, _| n += 1);
                assert!(n > 0 && n < 3_000, "{n}");
                assert_eq!(log.look(places[2_000], |from| from.number()), None);
            }
        }
    }
}
