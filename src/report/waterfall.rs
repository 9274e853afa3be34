//! Phases drawn to scale.

use super::digest::{Digest, Row};
use super::phase;
use super::style::{Ink, Style};

/// The scale: which time each cell stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) cells: usize,
}

/// What a cell shows: a phase's class, or a folded line's time in which none of its starts was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Blank,
    Between,
    Phase(u8),
}

impl Scale {
    fn length(&self) -> u128 {
        u128::from(self.end.saturating_sub(self.begin)).max(1)
    }

    /// The cell whose time holds this moment, rounded to the nearest border.
    fn border(&self, at: u64) -> usize {
        let at = u128::from(at.saturating_sub(self.begin));
        let cells = self.cells as u128;
        ((at * cells + self.length() / 2) / self.length()).min(cells) as usize
    }

    /// From first to one past the last cell; at least one, wherever it lies.
    fn range(&self, from: u64, to: u64) -> (usize, usize) {
        let first = self.border(from).min(self.cells.saturating_sub(1));
        (first, self.border(to).max(first + 1).min(self.cells))
    }

    /// The cells of one start, or of several in one line: each shows the phase that takes most of it.
    pub(crate) fn draw(&self, digest: &Digest, rows: &[&Row]) -> Vec<Cell> {
        let mut cells = vec![Cell::Blank; self.cells];
        let from = rows.iter().map(|r| r.origin).min().unwrap_or(0);
        let to = rows.iter().map(|r| r.finish()).max().unwrap_or(0);
        let (first, last) = self.range(from, to);
        let Some(part) = cells.get_mut(first..last) else {
            return cells;
        };
        let mut time = vec![[0u128; phase::COUNT]; part.len()];
        for row in rows {
            for span in digest.spans(row) {
                let from = row.origin.saturating_add(span.at());
                let to = from.saturating_add(span.length()).min(row.finish());
                self.share(from, to, first, span.class(), &mut time);
            }
        }
        for (cell, time) in part.iter_mut().zip(&time) {
            // Of equal shares the earlier phase; a cell between borders can hold none at all.
            let most = (0..phase::COUNT as u8).zip(time).rev().max_by_key(|(_, time)| **time);
            *cell = match most {
                Some((class, time)) if *time > 0 => Cell::Phase(class),
                _ => Cell::Between,
            };
        }
        // A start that is too short for its cell, or has no phases, still shows.
        if part.iter().all(|cell| *cell == Cell::Between) {
            let longest = rows.iter().flat_map(|row| digest.spans(row)).max_by_key(|span| span.length());
            if let (Some(cell), Some(span)) = (part.first_mut(), longest) {
                *cell = Cell::Phase(span.class());
            }
        }
        cells
    }

    /// Adds the time from `from` to `to` to the cells that it touches, in units of 1/cells ns.
    fn share(&self, from: u64, to: u64, first: usize, class: u8, time: &mut [[u128; phase::COUNT]]) {
        let (cells, length) = (self.cells as u128, self.length());
        let from = u128::from(from.saturating_sub(self.begin)) * cells;
        let to = u128::from(to.saturating_sub(self.begin)) * cells;
        let mut cell = (from / length) as usize;
        // What rounding put outside the start's own cells counts for its nearest one.
        while (cell as u128) * length < to && cell < self.cells {
            let begin = (cell as u128 * length).max(from);
            let end = ((cell as u128 + 1) * length).min(to);
            let index = cell.saturating_sub(first).min(time.len().saturating_sub(1));
            if let Some(sum) = time.get_mut(index).and_then(|classes| classes.get_mut(usize::from(class))) {
                *sum += end.saturating_sub(begin);
            }
            cell += 1;
        }
    }
}

/// The mark of [`Cell::Between`].
pub(crate) fn gap(style: &Style) -> char {
    if style.unicode { '·' } else { '.' }
}

/// Cells as text, without blanks at the end.
pub(crate) fn paint(cells: &[Cell], style: &Style) -> String {
    let mut out = String::new();
    let shown = cells.iter().rposition(|cell| *cell != Cell::Blank);
    let mut rest = cells.get(..shown.map_or(0, |last| last + 1)).unwrap_or(&[]);
    while let Some(&cell) = rest.first() {
        let run = rest.iter().take_while(|next| **next == cell).count();
        let (mark, ink) = match cell {
            Cell::Blank => (' ', Ink::Plain),
            Cell::Between => (gap(style), Ink::Dim),
            Cell::Phase(class) => {
                let class = phase::get(class);
                (class.mark(style), class.ink)
            }
        };
        out.push_str(&style.paint(ink, &String::from(mark).repeat(run)));
        rest = rest.get(run..).unwrap_or(&[]);
    }
    out
}
