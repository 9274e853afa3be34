//! Puts events into order of time, within a small window.
//!
//! The ring keeps the order in which records were reserved. A program takes its time stamp before it
//! reserves and can be preempted in between, so neighbours may come in the wrong order by a little;
//! the stages behind this one need not care.

use super::Event;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How long an event is held back for earlier ones to arrive.
const WINDOW_NS: u64 = 20_000_000;

/// The window.
#[derive(Default)]
pub struct Order {
    /// By time and then by arrival, with their places: an event is half a kilobyte, too much to be moved at each step of
    /// a heap.
    held: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    /// Places in there that are free.
    free: Vec<usize>,
    arrivals: u64,
    released_ns: u64,
    /// Events that came later than the window allows; they are passed on at once, out of order.
    pub late: u64,
}

impl Order {
    /// Takes an event in.
    pub fn push(&mut self, event: Event) {
        if event.time_ns < self.released_ns {
            self.late += 1;
        }
        self.arrivals += 1;
        let key = (event.time_ns, self.arrivals);
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.events.push(None);
                self.events.len() - 1
            }
        };
        if let Some(slot) = self.events.get_mut(place) {
            *slot = Some(event);
        }
        self.held.push(Reverse((key.0, key.1, place)));
    }

    /// Nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The next event that is old enough at `now_ns`; with `u64::MAX`, the next event at all.
    pub fn pop(&mut self, now_ns: u64) -> Option<Event> {
        let Reverse((oldest, _, place)) = *self.held.peek()?;
        if now_ns != u64::MAX && oldest.saturating_add(WINDOW_NS) > now_ns {
            return None;
        }
        self.held.pop();
        self.free.push(place);
        self.released_ns = self.released_ns.max(oldest);
        self.events.get_mut(place)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Id, What};
    use super::*;

    fn at(time_ns: u64) -> Event {
        Event { time_ns, id: Id::default(), tid: 0, what: What::Run { wakeup_ns: None, run_ns: None } }
    }

    #[test]
    fn neighbours_are_sorted_and_held_until_old_enough() {
        let mut order = Order::default();
        for t in [30, 10, 20, 10] {
            order.push(at(t));
        }
        assert!(order.pop(WINDOW_NS).is_none());
        assert_eq!(order.pop(WINDOW_NS + 10).map(|e| e.time_ns), Some(10));
        assert_eq!(order.pop(u64::MAX).map(|e| e.time_ns), Some(10));
        assert_eq!(order.pop(u64::MAX).map(|e| e.time_ns), Some(20));
        order.push(at(5));
        assert_eq!(order.late, 1);
        assert_eq!(order.pop(u64::MAX).map(|e| e.time_ns), Some(5));
        assert_eq!(order.pop(u64::MAX).map(|e| e.time_ns), Some(30));
        assert!(order.pop(u64::MAX).is_none());
    }

    #[test]
    fn equal_times_keep_the_order_of_arrival() {
        let mut order = Order::default();
        for tid in 0..50 {
            order.push(Event { tid, ..at(1) });
        }
        let tids: Vec<u32> = std::iter::from_fn(|| order.pop(u64::MAX)).map(|e| e.tid).collect();
        assert_eq!(tids, (0..50).collect::<Vec<_>>());
    }
}
