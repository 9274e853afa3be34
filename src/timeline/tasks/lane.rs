//! What one task did: a row of pieces without gap or overlap.

use super::{State, Sums, Waited};
use crate::event::task::{Spent, Usage};
use crate::timeline::row::{Found, Row};
use std::borrow::Cow;

/// Waits that are shorter only count in the sums. The kernel side has the same limit, but tells some
/// kinds singly.
pub(in crate::timeline) const SINGLE_NS: u64 = 100_000;
/// Readings of the counters that are kept of a task.
const MAX_READINGS: usize = 32;

/// A piece of a task's time.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::timeline) enum Piece {
    /// Known by its sums, which add up to its length.
    Sums {
        since_ns: u64,
        until_ns: u64,
        sums: Sums,
    },
    Wait(Waited),
}

impl Piece {
    pub(in crate::timeline) fn since_ns(&self) -> u64 {
        match self {
            Self::Sums { since_ns, .. } => *since_ns,
            Self::Wait(wait) => wait.off_ns,
        }
    }

    pub(in crate::timeline) fn until_ns(&self) -> u64 {
        match self {
            Self::Sums { until_ns, .. } => *until_ns,
            Self::Wait(wait) => wait.back_ns,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.until_ns().saturating_sub(self.since_ns())
    }

    /// Nothing is known of it: it stands where a record is missing.
    pub(super) fn is_gap(&self) -> bool {
        matches!(self, Self::Sums { sums, .. } if sums.iter().all(|(state, _)| state == State::Unknown))
    }

    /// What it adds to the sums between two times.
    pub(in crate::timeline) fn within(&self, from_ns: u64, to_ns: u64) -> Sums {
        let (from, to) = (from_ns.max(self.since_ns()), to_ns.min(self.until_ns()));
        let mut out = Sums::default();
        if to <= from {
            return out;
        }
        match self {
            Self::Sums { sums, .. } if to - from == self.length() => out = sums.clone(),
            Self::Sums { sums, .. } => out = sums.certain(to - from, self.length()),
            Self::Wait(wait) => {
                let wake = wait.wake_ns.clamp(from, to);
                out.add(wait.state(), wake - from);
                out.add(State::Runnable, to - wake);
            }
        }
        out
    }

    /// Joins the one that follows; both become sums.
    fn join(&mut self, next: &Self) {
        let mut sums = self.within(0, u64::MAX);
        sums.add_all(&next.within(0, u64::MAX));
        *self = Self::Sums { since_ns: self.since_ns(), until_ns: next.until_ns(), sums };
    }
}

/// What one task did.
#[derive(Debug, Clone, Default)]
pub(in crate::timeline) struct Lane {
    pub tid: u32,
    pub comm: Option<String>,
    /// In order, each beginning where the one before ends.
    pub pieces: Row,
    /// Its end was told.
    pub ended_ns: Option<u64>,
    /// From then on it is what another lane (by its place) had been: a thread that executed, and took
    /// the leader's place.
    pub taken_over: Vec<(u64, usize)>,
    /// What it had used, when that was told; the first always.
    pub(super) readings: Vec<(u64, Usage)>,
    /// What it had used at the end of the start, as far as `/proc` was asked.
    pub(super) asked: Option<Usage>,
    /// The last piece is made of short things that have no record of their own to keep apart.
    loose_end: bool,
}

impl Lane {
    /// As it was, of a task from which nothing more comes.
    pub(in crate::timeline) fn of(
        tid: u32,
        pieces: Row,
        ended_ns: Option<u64>,
        taken_over: Vec<(u64, usize)>,
    ) -> Self {
        Self { tid, pieces, ended_ns, taken_over, ..Self::default() }
    }

    pub(in crate::timeline) fn begin_ns(&self) -> Option<u64> {
        self.pieces.begin_ns()
    }

    pub(in crate::timeline) fn until_ns(&self) -> Option<u64> {
        self.pieces.until_ns()
    }

    /// The piece in which a time lies; a border belongs to the piece before it.
    pub(in crate::timeline) fn at(&self, time_ns: u64) -> Option<Found<'_>> {
        self.pieces.at(time_ns)
    }

    /// Its time between two times. What no record covers is left out.
    pub(in crate::timeline) fn within(&self, from_ns: u64, to_ns: u64) -> Sums {
        let mut out = Sums::default();
        for piece in self.pieces.after(from_ns) {
            if piece.since_ns() >= to_ns {
                break;
            }
            out.add_all(&piece.within(from_ns, to_ns));
        }
        out
    }

    pub(in crate::timeline) fn waits(&self) -> impl Iterator<Item = Cow<'_, Waited>> {
        self.pieces.iter().filter_map(|piece| match piece {
            Cow::Owned(Piece::Wait(wait)) => Some(Cow::Owned(wait)),
            Cow::Borrowed(Piece::Wait(wait)) => Some(Cow::Borrowed(wait)),
            Cow::Owned(Piece::Sums { .. }) | Cow::Borrowed(Piece::Sums { .. }) => None,
        })
    }

    /// Puts a piece at the end. What overlaps is cut off its front, and what is missing is unknown.
    pub(super) fn push(&mut self, piece: Piece) {
        self.loose_end = false;
        let since = self.until_ns().unwrap_or(piece.since_ns());
        if piece.since_ns() > since {
            let mut sums = Sums::default();
            sums.add(State::Unknown, piece.since_ns() - since);
            self.pieces.push(Piece::Sums { since_ns: since, until_ns: piece.since_ns(), sums });
        }
        if piece.until_ns() <= since {
            return;
        }
        self.pieces.push(if piece.since_ns() < since { cut(piece, since) } else { piece });
    }

    pub(super) fn spent(&mut self, spent: &Spent) {
        if spent.until_ns > spent.since_ns {
            let sums = sums(spent);
            self.push(Piece::Sums { since_ns: spent.since_ns, until_ns: spent.until_ns, sums });
        }
    }

    pub(super) fn used(&mut self, time_ns: u64, usage: Usage) {
        self.readings.push((time_ns, usage));
        if self.readings.len() > MAX_READINGS {
            // Every other one, but for the first and the last ones.
            let mut n = 0;
            self.readings.retain(|_| {
                n += 1;
                n % 2 == 1 || n > MAX_READINGS - 8
            });
        }
    }

    pub(super) fn waited(&mut self, spent: &Spent, wait: Waited) {
        if wait.back_ns.saturating_sub(wait.off_ns) >= SINGLE_NS {
            self.spent(spent);
            self.push(Piece::Wait(wait));
            return;
        }
        // Short: with the time before it and with other short ones it makes one piece.
        let loose = self.loose_end;
        let before = self.pieces.len();
        self.spent(spent);
        self.push(Piece::Wait(wait));
        let keep = if loose { before } else { before + 1 }.max(1);
        while self.pieces.len() > keep {
            let Some(last) = self.pieces.pop() else { break };
            if let Some(mut previous) = self.pieces.pop() {
                previous.join(&last);
                self.pieces.push(previous);
            }
        }
        if let Some(mut last) = self.pieces.pop() {
            if let Piece::Wait(_) = last {
                let sums = last.within(0, u64::MAX);
                last = Piece::Sums { since_ns: last.since_ns(), until_ns: last.until_ns(), sums };
            }
            self.loose_end = last.length() < SINGLE_NS * 10;
            self.pieces.push(last);
        }
    }

    /// Keeps only waits of some length, but not the first `equal` of just that one, and joins neighbouring sums that
    /// are together shorter than `join_ns`. Gives the number of waits that went.
    pub(super) fn thin(&mut self, wait_ns: u64, equal: &mut usize, join_ns: u64) -> u64 {
        let mut gone = 0;
        let all = self.pieces.take();
        // Empty now, and kept where it was.
        let mut out = std::mem::take(&mut self.pieces);
        for mut piece in all {
            let mut folded = false;
            let length = piece.length();
            if let Piece::Wait(_) = &piece
                && (length < wait_ns || length == wait_ns && *equal > 0)
            {
                *equal -= usize::from(length == wait_ns);
                gone += 1;
                folded = true;
                let sums = piece.within(0, u64::MAX);
                piece = Piece::Sums { since_ns: piece.since_ns(), until_ns: piece.until_ns(), sums };
            }
            let joins = |last: &Piece| {
                let both = matches!((last, &piece), (Piece::Sums { .. }, Piece::Sums { .. }));
                both && (folded || last.length().saturating_add(piece.length()) < join_ns)
            };
            match out.pop_if(joins) {
                Some(mut last) => {
                    last.join(&piece);
                    out.push(last);
                }
                None => out.push(piece),
            }
        }
        self.pieces = out;
        self.loose_end = false;
        gone
    }
}

/// The end of a piece, from a time on.
pub(super) fn cut(piece: Piece, from_ns: u64) -> Piece {
    match piece {
        Piece::Sums { until_ns, .. } => {
            Piece::Sums { since_ns: from_ns, until_ns, sums: piece.within(from_ns, until_ns) }
        }
        Piece::Wait(mut wait) => {
            wait.off_ns = from_ns;
            wait.wake_ns = wait.wake_ns.clamp(from_ns, wait.back_ns.max(from_ns));
            Piece::Wait(wait)
        }
    }
}

/// The sums of a record, made to add up to its length if they do not.
fn sums(spent: &Spent) -> Sums {
    let mut left = spent.until_ns.saturating_sub(spent.since_ns);
    let parts =
        [spent.runnable_ns, spent.running_ns].into_iter().chain(spent.blocked.iter().map(|(_, ns)| *ns));
    // A row has thousands of them, most with one state.
    let mut out = Sums::with_room(parts.filter(|ns| *ns > 0).count());
    let blocked = spent.blocked.iter().map(|&(kind, ns)| (State::of(kind, None), ns));
    let known = [(State::Runnable, spent.runnable_ns), (State::Running, spent.running_ns)];
    for (state, ns) in blocked.chain(known) {
        let ns = ns.min(left);
        left -= ns;
        out.add(state, ns);
    }
    out.add(State::Unknown, left);
    out
}
