//! The pieces of one task's time, in order. A process that starts others all day has tens of thousands of them, of which
//! only the last change: the others are written down (`dense.rs`), a block at a time, and read where they are asked for.
//! The older blocks leave memory where there is room elsewhere (`spill.rs`).

use super::spill::{Spill, Spilled};
use super::tasks::{Piece, Sums, Waited};
use super::waited::{state, write_state};
use crate::dense::{Reader, Writer};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// Pieces of a block.
const BLOCK: usize = 64;
/// Blocks of a row that stay in memory.
const IN_MEMORY: usize = 4;
/// Stands where else the number of states is.
const WAIT: u64 = 1 << 20;

/// Pieces that are written down.
#[derive(Clone)]
struct Block {
    since_ns: u64,
    until_ns: u64,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Here(Box<[u8]>),
    Elsewhere(Rc<Spilled>),
}

impl Block {
    fn new(pieces: &[Piece]) -> Option<Self> {
        let (since_ns, until_ns) = (pieces.first()?.since_ns(), pieces.last()?.until_ns());
        let mut out = Writer(Vec::with_capacity(4 << 10));
        let mut last = since_ns;
        for piece in pieces {
            write(&mut out, last, piece);
            last = piece.until_ns();
        }
        // Copied: to give back the rest of what was reserved is dearer.
        Some(Self { since_ns, until_ns, bytes: Bytes::Here(out.0.as_slice().into()) })
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let bytes = match &self.bytes {
            Bytes::Here(bytes) => Cow::Borrowed(&**bytes),
            // What cannot be read is unknown time.
            Bytes::Elsewhere(spilled) => spilled.bytes().unwrap_or_default().into(),
        };
        let (mut at, mut last) = (0, self.since_ns);
        std::iter::from_fn(move || {
            let mut from = Reader(bytes.get(at..)?);
            let piece = read(&mut from, last)?;
            at = bytes.len() - from.0.len();
            last = piece.until_ns();
            Some(piece)
        })
    }

    fn leave(&mut self, spill: &Rc<Spill>) {
        if let Bytes::Here(bytes) = &self.bytes
            && let Some(spilled) = spill.put(bytes)
        {
            self.bytes = Bytes::Elsewhere(spilled.into());
        }
    }
}

/// Blocks, and the one that was asked for last.
#[derive(Clone, Default)]
struct Old {
    blocks: Vec<Block>,
    read: RefCell<Option<(usize, Rc<[Piece]>)>>,
}

impl Old {
    fn read(&self, at: usize) -> Option<Rc<[Piece]>> {
        let mut last = self.read.borrow_mut();
        if let Some((_, pieces)) = last.as_ref().filter(|(known, _)| *known == at) {
            return Some(pieces.clone());
        }
        let pieces: Rc<[Piece]> = self.blocks.get(at)?.pieces().collect();
        *last = Some((at, pieces.clone()));
        Some(pieces)
    }
}

/// Pieces, each beginning where the one before ends.
#[derive(Clone, Default)]
pub(super) struct Row {
    old: Option<Box<Old>>,
    /// The last ones, which are all that can change; none only where there are none at all.
    open: Vec<Piece>,
    len: usize,
    waits: usize,
    spill: Option<Rc<Spill>>,
}

/// A piece of a row.
pub(super) enum Found<'a> {
    Open(&'a Piece),
    Read(Rc<[Piece]>, usize),
}

impl Deref for Found<'_> {
    type Target = Piece;

    fn deref(&self) -> &Piece {
        match self {
            Self::Open(piece) => piece,
            Self::Read(pieces, at) => &pieces[*at],
        }
    }
}

impl Row {
    /// An empty one, which leaves memory for there.
    pub(super) fn kept_in(spill: Option<Rc<Spill>>) -> Self {
        Self { spill, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many of them are waits.
    pub(super) fn waits(&self) -> usize {
        self.waits
    }

    fn blocks(&self) -> &[Block] {
        self.old.as_ref().map_or(&[], |old| &old.blocks)
    }

    pub(super) fn begin_ns(&self) -> Option<u64> {
        self.blocks().first().map(|block| block.since_ns).or(self.open.first().map(Piece::since_ns))
    }

    pub(super) fn until_ns(&self) -> Option<u64> {
        self.open.last().map(Piece::until_ns)
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.len += 1;
        self.waits += usize::from(matches!(piece, Piece::Wait(_)));
        self.open.push(piece);
        if self.open.len() >= 2 * BLOCK
            && let Some(block) = self.open.get(..BLOCK).and_then(Block::new)
        {
            self.open.drain(..BLOCK);
            let blocks = &mut self.old.get_or_insert_default().blocks;
            blocks.push(block);
            if let Some(spill) = &self.spill
                && let Some(at) = blocks.len().checked_sub(IN_MEMORY + 1)
                && let Some(block) = blocks.get_mut(at)
            {
                block.leave(spill);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Piece> {
        let piece = self.open.pop()?;
        self.len -= 1;
        self.waits -= usize::from(matches!(piece, Piece::Wait(_)));
        if self.open.is_empty()
            && let Some(old) = &mut self.old
            && let Some(block) = old.blocks.pop()
        {
            self.open.extend(block.pieces());
            old.read.take();
        }
        Some(piece)
    }

    /// The last one, if it is as is asked for.
    pub(super) fn pop_if(&mut self, is_wanted: impl FnOnce(&Piece) -> bool) -> Option<Piece> {
        if self.open.last().is_some_and(is_wanted) { self.pop() } else { None }
    }

    /// The piece in which a time lies; a border belongs to the piece before it.
    pub(super) fn at(&self, time_ns: u64) -> Option<Found<'_>> {
        let place =
            |pieces: &[Piece]| pieces.partition_point(|piece| piece.since_ns() < time_ns).checked_sub(1);
        let found = match place(&self.open) {
            Some(at) => Found::Open(self.open.get(at)?),
            None => {
                let block = self.blocks().partition_point(|block| block.since_ns < time_ns).checked_sub(1)?;
                let pieces = self.old.as_ref()?.read(block)?;
                let at = place(&pieces)?;
                Found::Read(pieces, at)
            }
        };
        (time_ns <= found.until_ns()).then_some(found)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Cow<'_, Piece>> {
        self.after(0)
    }

    /// Those that are not over at a time.
    pub(super) fn after(&self, time_ns: u64) -> impl Iterator<Item = Cow<'_, Piece>> {
        let over = self.blocks().partition_point(|block| block.until_ns <= time_ns);
        let blocks = self.blocks().get(over..).unwrap_or_default().iter();
        let all = blocks.flat_map(Block::pieces).map(Cow::Owned).chain(self.open.iter().map(Cow::Borrowed));
        all.skip_while(move |piece| piece.until_ns() <= time_ns)
    }

    /// All of them, each block going as it is read: what is made of them needs room as well.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Piece> + use<> {
        let empty = Self::kept_in(self.spill.clone());
        let Self { old, open, .. } = std::mem::replace(self, empty);
        let blocks = old.map_or_else(Vec::new, |old| old.blocks).into_iter();
        blocks.flat_map(|block| block.pieces().collect::<Vec<_>>()).chain(open)
    }
}

impl FromIterator<Piece> for Row {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut row = Self::default();
        pieces.into_iter().for_each(|piece| row.push(piece));
        row
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Writes a piece; `last` is the end of the one before it.
pub(super) fn write(out: &mut Writer, last: u64, piece: &Piece) {
    match piece {
        Piece::Sums { since_ns, until_ns, sums } => {
            out.number(sums.iter().count() as u64);
            out.after(last, *since_ns);
            out.after(*since_ns, *until_ns);
            for (state, ns) in sums.iter() {
                write_state(out, state);
                out.number(ns);
            }
        }
        Piece::Wait(wait) => {
            out.number(WAIT);
            out.after(last, wait.off_ns);
            out.after(wait.off_ns, wait.wake_ns);
            out.after(wait.wake_ns, wait.back_ns);
            out.bytes(wait.bytes());
        }
    }
}

/// Reads what [`write`] wrote.
pub(super) fn read(from: &mut Reader<'_>, last: u64) -> Option<Piece> {
    let states = from.number()?;
    let since_ns = from.after(last)?;
    let next_ns = from.after(since_ns)?;
    if states == WAIT {
        let back_ns = from.after(next_ns)?;
        return Some(Piece::Wait(Waited::of(since_ns, next_ns, back_ns, from.bytes()?)));
    }
    let mut sums = Sums::with_room(usize::try_from(states).ok()?.min(from.0.len()));
    for _ in 0..states {
        let state = state(from)?;
        sums.add(state, from.number()?);
    }
    Some(Piece::Sums { since_ns, until_ns: next_ns, sums })
}

#[cfg(test)]
mod tests {
    use super::super::spill::PLACE;
    use super::super::tasks::{State, Told};
    use super::*;
    use crate::aside::tests::Disk;
    use crate::event::task::WaitKind;
    use proptest::prelude::*;

    fn piece(since_ns: u64, kind: u8) -> Piece {
        let until_ns = since_ns + 1 + u64::from(kind % 7);
        if kind.is_multiple_of(2) {
            let mut sums = Sums::default();
            sums.add(State::Running, 1);
            sums.add(State::Blocked(WaitKind::Child), u64::from(kind % 7));
            Piece::Sums { since_ns, until_ns, sums }
        } else {
            let told =
                Told { waker: Some((kind.into(), 7)), detail: Some("größe".into()), ..Told::default() };
            Piece::Wait(Waited::new(since_ns, until_ns - 1, until_ns, &told))
        }
    }

    /// Whatever is asked of a row is as of a list of its pieces.
    fn is(row: &Row, list: &[Piece]) {
        assert_eq!(row.iter().map(Cow::into_owned).collect::<Vec<_>>(), list);
        assert_eq!(row.clone().take().collect::<Vec<_>>(), list);
        let waits = list.iter().filter(|piece| matches!(piece, Piece::Wait(_))).count();
        let (first, last) = (list.first().map(Piece::since_ns), list.last().map(Piece::until_ns));
        assert_eq!(
            (row.len(), row.waits(), row.begin_ns(), row.until_ns()),
            (list.len(), waits, first, last)
        );
        for time in (0..last.unwrap_or(0) + 3).step_by(1 + list.len() / 50) {
            let at = list.iter().rfind(|piece| piece.since_ns() < time && time <= piece.until_ns());
            assert_eq!(row.at(time).as_deref(), at, "{time}");
            let after: Vec<_> = list.iter().filter(|piece| piece.until_ns() > time).collect();
            assert_eq!(row.after(time).count(), after.len());
            assert_eq!(row.after(time).next().as_deref(), after.first().copied());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_row_is_as_a_list(
            steps in prop::collection::vec((any::<u8>(), 0..600usize, 0..400usize), 1..6),
            room in prop::sample::select(vec![None, Some(0), Some(3 * PLACE), Some(usize::MAX)]),
        ) {
            let spill = room.map(|room| Spill::new(Box::new(Disk(Rc::default(), room))));
            let (mut row, mut list) = (Row::kept_in(spill), Vec::new());
            for (kind, more, less) in steps {
                for at in 0..more {
                    let next = piece(row.until_ns().unwrap_or(5), kind.wrapping_add(at as u8));
                    list.push(next.clone());
                    row.push(next);
                }
                is(&row, &list);
                for _ in 0..less {
                    prop_assert_eq!(row.pop(), list.pop());
                }
                is(&row, &list);
                prop_assert_eq!(row.pop_if(|_| false), None);
                // As when it is thinned.
                let all = row.take();
                all.for_each(|piece| row.push(piece));
                is(&row, &list);
            }
        }
    }

    #[test]
    fn a_long_row_is_small() {
        let mut row = Row::default();
        (0..40_000).for_each(|n| row.push(piece(row.until_ns().unwrap_or(n), n as u8)));
        assert!(in_memory(&row) < 40_000 * 20 && row.open.len() < 2 * BLOCK, "{}", in_memory(&row));
        // And where there is a file, it is smaller still, and the file as small as what is not forgotten.
        let disk = Disk(Rc::default(), usize::MAX);
        let mut spilled = Row::kept_in(Some(Spill::new(Box::new(disk.clone()))));
        for _ in 0..3 {
            spilled.take().for_each(drop);
            row.iter().for_each(|piece| spilled.push(piece.into_owned()));
        }
        assert!(in_memory(&spilled) < 40_000, "{}", in_memory(&spilled));
        assert!(disk.0.borrow().len() < 4 << 20, "{}", disk.0.borrow().len());
        // A file that is gone: what was in it is not known, and what is in memory is.
        disk.0.borrow_mut().clear();
        let left = spilled.iter().count();
        assert!((IN_MEMORY * BLOCK..(IN_MEMORY + 2) * BLOCK).contains(&left), "{left}");
        assert!(spilled.at(7).is_none() && spilled.after(7).next().is_some());
    }

    fn in_memory(row: &Row) -> usize {
        let len = |block: &Block| match &block.bytes {
            Bytes::Here(bytes) => bytes.len(),
            Bytes::Elsewhere(_) => size_of::<Spilled>(),
        };
        row.blocks().iter().map(|block| len(block) + size_of::<Block>()).sum()
    }
}
