//! Numbers by their places, as in a list, with a few pages of it in memory.

use super::Scratch;
use crate::hash::HashMap;
use std::cell::RefCell;

/// Numbers of a page.
const PAGE: usize = 512;
/// Pages in memory.
const MOST: usize = 32;

/// Eight bytes at each place; 0 where nothing was put.
#[derive(Debug, Default)]
pub(crate) struct Table(RefCell<Pages>);

#[derive(Debug, Default)]
struct Pages {
    scratch: Option<Box<dyn Scratch>>,
    pages: HashMap<u64, Page>,
    clock: u64,
    /// The file took no more.
    full: bool,
    /// All before this place is forgotten.
    first: u64,
}

#[derive(Debug)]
struct Page {
    numbers: Box<[u64; PAGE]>,
    used: u64,
    changed: bool,
}

impl Pages {
    /// The page, from wherever it is. Where it cannot be read, nothing was put there.
    fn page(&mut self, number: u64) -> &mut Page {
        self.clock += 1;
        if !self.pages.contains_key(&number) {
            while self.pages.len() >= MOST && self.let_go() {}
            let mut bytes = [0; PAGE * 8];
            if let Some(scratch) = &self.scratch
                && scratch.read(number * bytes.len() as u64, &mut bytes).is_err()
            {
                bytes.fill(0);
            }
            let mut numbers = Box::new([0; PAGE]);
            for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *number = u64::from_ne_bytes(*bytes);
            }
            self.pages.insert(number, Page { numbers, used: 0, changed: false });
        }
        let clock = self.clock;
        let page = self.pages.entry(number).or_insert_with(|| Page {
            numbers: Box::new([0; PAGE]),
            used: 0,
            changed: false,
        });
        page.used = clock;
        page
    }

    /// Lets the page go that was used longest ago.
    fn let_go(&mut self) -> bool {
        let (Some(scratch), false) = (&mut self.scratch, self.full) else { return false };
        let Some((&number, page)) = self.pages.iter().min_by_key(|(_, page)| page.used) else { return false };
        let is_needed = (number + 1) * PAGE as u64 > self.first;
        if page.changed && is_needed {
            let bytes = page.numbers.map(u64::to_ne_bytes);
            if let Err(error) = scratch.write(number * (PAGE * 8) as u64, bytes.as_flattened()) {
                tracing::warn!(%error, "where something of earlier starts is stays in memory");
                self.full = true;
                return false;
            }
        }
        self.pages.remove(&number);
        true
    }
}

impl Table {
    pub(crate) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.0.get_mut().scratch = Some(scratch);
    }

    pub(crate) fn get(&self, place: u64) -> u64 {
        let mut pages = self.0.borrow_mut();
        let page = pages.page(place / PAGE as u64);
        page.numbers.get(place as usize % PAGE).copied().unwrap_or(0)
    }

    pub(crate) fn put(&mut self, place: u64, number: u64) {
        let page = self.0.get_mut().page(place / PAGE as u64);
        if let Some(slot) = page.numbers.get_mut(place as usize % PAGE) {
            *slot = number;
            page.changed = true;
        }
    }

    /// Nothing before this place is asked for any more.
    pub(crate) fn forget(&mut self, first: u64) {
        let pages = self.0.get_mut();
        // Not for every start.
        const MANY: u64 = 16 * PAGE as u64;
        if first / MANY <= pages.first / MANY {
            return;
        }
        let end = first / PAGE as u64;
        pages.pages.retain(|number, _| *number >= end);
        if let Some(scratch) = &mut pages.scratch {
            let size = (PAGE * 8) as u64;
            scratch.forget(pages.first / PAGE as u64 * size, end * size);
        }
        pages.first = first;
    }

    #[cfg(test)]
    pub(crate) fn pages(&self) -> usize {
        self.0.borrow().pages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Disk;
    use super::*;
    use std::rc::Rc;

    #[test]
    fn numbers_are_where_they_were_put() {
        for room in [0, 100_000, usize::MAX] {
            let mut table = Table::default();
            if room > 0 {
                table.keep_in(Box::new(Disk(Rc::default(), room)));
            }
            let place = |n: u64| n * 7 % 50_021;
            for n in 0..50_021 {
                table.put(place(n), n + 1);
            }
            assert_eq!(table.pages() > MOST, room < usize::MAX);
            // And the other way round, some of them anew.
            for n in (0..50_021).rev() {
                assert_eq!(table.get(place(n)), n + 1, "{room}");
                if n % 3 == 0 {
                    table.put(place(n), n + 2);
                }
            }
            for n in 0..50_021 {
                assert_eq!(table.get(place(n)), if n % 3 == 0 { n + 2 } else { n + 1 });
            }
            assert_eq!((table.get(50_021), table.get(1 << 40)), (0, 0));
            table.forget(40_000);
            assert!((40_000..50_021).all(|place| table.get(place) > 0));
            assert!(table.pages() < 200);
        }
    }
}
