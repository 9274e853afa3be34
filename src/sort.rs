//! Sorting lists that are short, or sorted once, in little code.
//!
//! The standard library's sort is made anew for each type and each key, at 6 KB a time: with a hundred calls it was an
//! eighth of the program. Here one copy serves all, for it sorts positions, and asks about the items through a pointer.
//! Use the standard library's where a list may have a million items, or numbers to sort (`sort_unstable`, shared).

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Up to so many items are put in place one by one, without memory of their own.
const FEW: usize = 16;

/// Stable sorting of slices, as by the standard library's methods without `small`.
pub(crate) trait SortSmall<T> {
    /// Sorts by comparing; what is equal keeps its order.
    fn sort_small_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering);

    /// Sorts by a key that is made anew for each comparison; what is equal keeps its order.
    fn sort_small_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) {
        self.sort_small_by(|a, b| key(a).cmp(&key(b)));
    }
}

impl<T> SortSmall<T> for [T] {
    fn sort_small_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        if self.len() <= FEW {
            for end in 1..self.len() {
                let mut at = end;
                while at > 0 && compare(&self[at - 1], &self[at]).is_gt() {
                    self.swap(at - 1, at);
                    at -= 1;
                }
            }
            return;
        }
        let order = sorted_positions(self.len(), &mut |a, b| compare(&self[a], &self[b]));
        put_in_order(order, &mut |a, b| self.swap(a, b));
    }
}

/// What `collect` makes of them, but put in one by one: a map that is collected sorts first.
pub(crate) fn by_name(items: &mut dyn Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut map = BTreeMap::new();
    items.for_each(|(name, n)| {
        map.insert(name, n);
    });
    map
}

/// The positions of the items, sorted as the items are to be.
fn sorted_positions(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&a, &b| compare(a, b));
    order
}

/// Moves each item to its place: follows the circles that the moves make.
fn put_in_order(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for first in 0..order.len() {
        let mut at = first;
        loop {
            let from = std::mem::replace(&mut order[at], at);
            if from == first {
                break;
            }
            swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(items in prop::collection::vec((0u8..20, any::<u16>()), 0..200)) {
            let mut wanted = items.clone();
            wanted.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
            let mut got = items;
            got.sort_small_by_key(|(key, _)| std::cmp::Reverse(*key));
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn what_is_equal_keeps_its_order_on_both_sides_of_the_limit() {
        for len in [0, 1, 2, FEW, FEW + 1, 1000] {
            let mut items: Vec<_> = (0..len).map(|at| (at % 3, at)).collect();
            items.sort_small_by(|a, b| b.0.cmp(&a.0));
            let mut wanted: Vec<_> = (0..len).map(|at| (at % 3, at)).collect();
            wanted.sort_by_key(|item| std::cmp::Reverse(item.0));
            assert_eq!(items, wanted, "{len} items");
        }
    }
}
