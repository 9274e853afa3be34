//! The commands of starts by their keys: the latest in memory, the others in a file.

use super::known::Key;
use crate::aside::{Scratch, Table};
use crate::hash::HashMap;
use crate::sort::SortSmall;

/// What goes to the file at once, in the order of its places: a hash table of that many has no room to spare.
const PART: usize = 7 << 10;
/// Places in the file, some more than keys ever come (`MAX_NAMES`, twice).
const PLACES: u64 = 1 << 19;

/// Numbers by keys.
#[derive(Debug, Default)]
pub(super) struct Names {
    latest: HashMap<Key, u32>,
    /// At each place a half of a key and its number: at the first free one from where the other half says.
    table: Option<Table>,
}

/// The places of a key, in the order in which they are tried, and what stands there above its number.
fn places(key: Key) -> (impl Iterator<Item = u64>, u64) {
    let [first, half] = key.0.map(u64::from);
    ((0..PLACES).map(move |n| (first + n) % PLACES), half | 1)
}

impl Names {
    pub(super) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.table.get_or_insert_default().keep_in(scratch);
    }

    pub(super) fn insert(&mut self, key: Key, number: u32) {
        self.latest.insert(key, number);
        if let Some(table) = self.table.as_mut().filter(|_| self.latest.len() >= PART) {
            let mut part: Vec<(Key, u32)> = self.latest.drain().collect();
            part.sort_small_by_key(|(key, _)| u64::from(key.0[0]) % PLACES);
            for (key, number) in part {
                let (mut places, half) = places(key);
                let is_free = |there: u64| there == 0 || there >> 32 == half;
                if let Some(place) = places.find(|place| is_free(table.get(*place))) {
                    table.put(place, half << 32 | u64::from(number));
                }
            }
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: Key) -> Option<u32> {
        if let Some(number) = self.latest.get(&key) {
            return Some(*number);
        }
        let table = self.table.as_ref()?;
        let (places, half) = places(key);
        let mut there = places.map(|place| table.get(place)).take_while(|it| *it > 0);
        there.find(|it| it >> 32 == half).map(|it| it as u32)
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
            // The later number counts, wherever the other one is.
            let changed = |n: u32| n.is_multiple_of(7);
            (0..60_000).filter(|n| changed(*n)).for_each(|n| names.insert(key(n), n + 7));
            for n in 0..60_000 {
                assert_eq!(names.get(key(n)), Some(if changed(n) { n + 7 } else { n }), "{n}");
            }
            (60_000..70_000).for_each(|n| assert!(!names.contains(key(n)), "{n}"));
            assert_eq!(names.latest.capacity() < 2 * PART, room > 0);
        }
    }
}
