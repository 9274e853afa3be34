//! The slowest starts, and where their time went.

use super::super::digest::{Digest, Row};
use super::super::style::{Ink, Style, columns, wrap};
use super::super::{View, phase, table};
use super::{heading, is_helper, is_measured};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::words::human::{self, counted, duration};
use crate::words::intern::Sym;
use std::io::{self, Write};

/// Slowest starts.
const SLOWEST: usize = 5;

/// The slowest start of each kind, with its phases.
pub(crate) fn slowest(digest: &Digest, view: View, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let all = view.all;
    let mut kinds: HashMap<(Sym, u64), (&Row, u64, usize)> = HashMap::default();
    let counts =
        |row: &Row| is_measured(digest, row) && (all || digest.rows.len() == 1 || !is_helper(digest, row));
    for (at, row) in digest.rows.iter().enumerate().filter(|(_, row)| counts(row)) {
        let (slowest, n, place) = kinds.entry((row.method, row.shape)).or_insert((row, 0, at));
        *n += 1;
        if row.duration > slowest.duration {
            (*slowest, *place) = (row, at);
        }
    }
    let mut kinds: Vec<(&Row, u64, usize)> = kinds.into_values().collect();
    kinds.sort_small_by_key(|(row, ..)| (std::cmp::Reverse(row.duration), row.origin, row.pid));
    let limit = view.top.unwrap_or(if all { 4 * SLOWEST } else { SLOWEST });
    if kinds.is_empty() {
        return Ok(());
    }
    heading(style, "Slowest", out)?;
    for (row, n, at) in kinds.iter().take(limit) {
        let time = format!("{:>9}  ", duration(row.duration));
        let mut after = format!("  {}  pid {}", digest.text(row.method), row.pid);
        if *n > 1 {
            after.push_str(&format!("  1 of {}", human::count(*n)));
        }
        let (end, _) = table::ending(digest, row);
        if !end.is_empty() {
            after.push_str(&format!("  {end}"));
        }
        let after = style.text(&after).into_owned();
        let room = style.width.saturating_sub(columns(&time) + columns(&after));
        let command = style.fit(digest.text(row.label), room.max(8));
        let line = style.fit(&format!("{time}{command}{after}"), style.width);
        writeln!(out, "{line}")?;
        let split = split(digest, row, style.width.saturating_sub(11));
        let split = format!("           {split}");
        writeln!(out, "{}", style.paint(Ink::Dim, &style.fit(split.trim_end(), style.width)))?;
        let Some((sentences, states)) = digest.told(*at, all) else { continue };
        for sentence in sentences {
            for line in wrap(style, &sentence, "           ", "             ") {
                writeln!(out, "{line}")?;
            }
        }
        for line in states.iter().flat_map(|text| wrap(style, text, "           ", "             ")) {
            writeln!(out, "{}", style.paint(Ink::Dim, &line))?;
        }
    }
    Ok(())
}

/// A start's phases by length, the shortest in one sum where the line is short: half a number is none.
fn split(digest: &Digest, row: &Row, width: usize) -> String {
    let mut sums = [0u64; phase::COUNT];
    for span in digest.spans(row) {
        if let Some(sum) = sums.get_mut(usize::from(span.class())) {
            *sum = sum.saturating_add(span.length());
        }
    }
    let mut parts: Vec<(u64, u8)> = sums.iter().copied().zip(0u8..).collect();
    let total = sums.iter().fold(0u64, |total, &sum| total.saturating_add(sum));
    // What is under a percent stands in one sum.
    parts.retain(|(sum, _)| *sum > 0 && u128::from(*sum) * 100 >= u128::from(total));
    parts.sort_small_by_key(|(sum, _)| std::cmp::Reverse(*sum));
    loop {
        let rest = parts.iter().fold(total, |rest, (sum, _)| rest.saturating_sub(*sum));
        let named = parts.iter().map(|&(sum, class)| {
            let share = human::percent(sum, row.duration);
            format!("{} {} ({share})", phase::get(class).name, duration(sum))
        });
        let mut told: Vec<String> = named.collect();
        if rest > 0 {
            told.push(format!("rest {}", duration(rest)));
        }
        if row.failed_execs > 0 {
            told.push(counted(u64::from(row.failed_execs), "failed exec"));
        }
        let told = told.join(", ");
        if columns(&told) <= width || parts.len() < 2 {
            return told;
        }
        parts.pop();
    }
}
