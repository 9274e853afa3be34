//! The commands of starts by their keys: the latest in memory, the others sorted, a part after the other, in a file.

use super::known::Key;
use crate::aside::Scratch;
use crate::hash::HashMap;
use crate::sort::SortSmall;
use std::cell::RefCell;

/// What is sorted and written at once.
const PART: usize = 7 << 10;
/// A key and its value.
const SIZE: usize = 12;
/// A key is looked for so far around where it should be: keys are spread evenly.
const AROUND: u64 = 150;
/// Bits that say which keys are not there: a quarter of a megabyte, whatever the number of keys.
const BITS: usize = 1 << 21;
/// Keys that were found lately.
const LATELY: usize = 64;

/// Numbers by keys.
#[derive(Debug, Default)]
pub(super) struct Names {
    latest: HashMap<Key, u32>,
    scratch: Option<Box<dyn Scratch>>,
    /// How many keys each part has; one lies behind the other.
    parts: Vec<u32>,
    /// Where the next part goes.
    end: u64,
    /// The file took no more.
    full: bool,
    /// What is in the file is marked here.
    marks: Vec<u64>,
    found: RefCell<HashMap<Key, u32>>,
}

impl Key {
    fn number(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }
}

fn marks(key: Key) -> [usize; 3] {
    let number = key.number() as usize;
    [number % BITS, (number >> 21) % BITS, (number >> 42) % BITS]
}

impl Names {
    pub(super) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.scratch = Some(scratch);
    }

    pub(super) fn insert(&mut self, key: Key, value: u32) {
        self.found.get_mut().remove(&key);
        self.latest.insert(key, value);
        if self.latest.len() >= PART && self.scratch.is_some() && !self.full {
            self.move_out();
        }
    }

    fn move_out(&mut self) {
        let mut part: Vec<(u64, u32)> =
            self.latest.iter().map(|(key, value)| (key.number(), *value)).collect();
        part.sort_small_by(Ord::cmp);
        let mut bytes = Vec::with_capacity(part.len() * SIZE);
        for (key, value) in &part {
            bytes.extend_from_slice(&key.to_ne_bytes());
            bytes.extend_from_slice(&value.to_ne_bytes());
        }
        let Some(scratch) = &mut self.scratch else { return };
        if let Err(error) = scratch.write(self.end, &bytes) {
            tracing::warn!(%error, "the commands of earlier starts stay in memory");
            self.full = true;
            return;
        }
        self.end += bytes.len() as u64;
        self.parts.push(part.len() as u32);
        self.marks.resize(BITS / 64, 0);
        for bit in self.latest.keys().flat_map(|key| marks(*key)) {
            if let Some(word) = self.marks.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        self.latest.clear();
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: Key) -> Option<u32> {
        if let Some(value) = self.latest.get(&key) {
            return Some(*value);
        }
        let is_marked = |bit: usize| self.marks.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1);
        if !marks(key).into_iter().all(is_marked) {
            return None;
        }
        let mut found = self.found.borrow_mut();
        if let Some(value) = found.get(&key) {
            return Some(*value);
        }
        let value = self.in_file(key.number())?;
        if found.len() >= LATELY {
            found.clear();
        }
        found.insert(key, value);
        Some(value)
    }

    /// The latest, where a key came twice.
    fn in_file(&self, key: u64) -> Option<u32> {
        let scratch = self.scratch.as_ref()?;
        let mut end = self.end;
        let mut bytes = Vec::new();
        for len in self.parts.iter().rev().map(|len| u64::from(*len)) {
            let begin = end - len * SIZE as u64;
            end = begin;
            let near = (u128::from(key) * u128::from(len) >> 64) as u64;
            let (mut first, mut last) = (near.saturating_sub(AROUND), (near + AROUND).min(len));
            loop {
                bytes.resize((last - first) as usize * SIZE, 0);
                if scratch.read(begin + first * SIZE as u64, &mut bytes).ok() != Some(bytes.len()) {
                    tracing::warn!("the commands of earlier starts cannot be read");
                    return None;
                }
                let records = bytes.as_chunks::<SIZE>().0;
                let key_of = |record: &[u8; SIZE]| record.first_chunk().map_or(0, |key| u64::from_ne_bytes(*key));
                let at = records.partition_point(|record| key_of(record) < key);
                if let Some(record) = records.get(at).filter(|record| key_of(record) == key) {
                    return record.last_chunk().map(|value| u32::from_ne_bytes(*value));
                }
                // Not in here if there are smaller ones and larger ones.
                if (at > 0 || first == 0) && (at < records.len() || last == len) {
                    break;
                }
                (first, last) = (0, len);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.latest.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aside::tests::Disk;
    use crate::hash::RandomState;
    use std::hash::BuildHasher;
    use std::rc::Rc;

    #[test]
    fn names_are_found_wherever_they_are() {
        let state = RandomState::default();
        let key = |n: u32| Key::of(state.hash_one(n));
        for room in [0, 200_000, usize::MAX] {
            let mut names = Names::default();
            if room > 0 {
                names.keep_in(Box::new(Disk(Rc::default(), room)));
            }
            for n in 0..60_000 {
                names.insert(key(n), n);
                assert!(!names.contains(key(n + 1)), "{n}");
            }
            // The later value counts, in a part of its own or not.
            let changed = |n: u32| n % 1_000 == 0;
            (0..60_000).filter(|n| changed(*n)).for_each(|n| names.insert(key(n), n + 7));
            for n in 0..60_000 {
                assert_eq!(names.get(key(n)), Some(if changed(n) { n + 7 } else { n }), "{n}");
            }
            (60_000..70_000).for_each(|n| assert!(!names.contains(key(n)), "{n}"));
            assert_eq!(names.in_memory() < 2 * PART + 2_000, room == usize::MAX, "{}", names.in_memory());
        }
        // Keys that are not spread evenly are found as well.
        let mut names = Names::default();
        names.keep_in(Box::new(Disk(Rc::default(), usize::MAX)));
        (0..20_000).for_each(|n| names.insert(Key::of(n), n as u32));
        assert!((0..20_000).all(|n| names.get(Key::of(n)) == Some(n as u32)) && !names.contains(Key::of(20_000)));
    }
}
