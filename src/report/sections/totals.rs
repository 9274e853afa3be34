//! The starts of each method, counted and timed.

use super::super::digest::Digest;
use super::super::style::{Ink, Style, columns};
use super::{MAX_ROWS, heading, more};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::words::human::{self, duration};
use crate::words::intern::Sym;
use std::io::{self, Write};

/// One line per method.
pub(crate) fn totals(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut by_method: HashMap<Sym, (Vec<u64>, u64)> = HashMap::default();
    for row in digest.rows.iter().filter(|row| !row.partial) {
        let (durations, running) = by_method.entry(row.method).or_default();
        // How long a start lasts that has not ended is not known.
        if digest.is_unfinished(row) {
            *running += 1;
        } else {
            durations.push(row.duration);
        }
    }
    let mut totals: Vec<_> = by_method
        .into_iter()
        .map(|(method, (mut durations, running))| {
            let sum = durations.iter().fold(0u64, |sum, &d| sum.saturating_add(d));
            let max = durations.iter().copied().max();
            let n = durations.len() as u64 + running;
            (sum, method, n, running, max.map(|max| (human::median(&mut durations), max)))
        })
        .collect();
    if totals.is_empty() {
        return Ok(());
    }
    totals.sort_small_by_key(|t| (std::cmp::Reverse((t.0, t.2)), t.1));
    let shown = if all { totals.len() } else { totals.len().min(MAX_ROWS) };
    let rows = totals.get(..shown).unwrap_or(&[]);
    let names = rows.iter().map(|t| columns(&style.text(digest.text(t.1))));
    let width = names.max().unwrap_or(0).clamp(6, style.width.saturating_sub(54).max(6));
    let any_running = rows.iter().any(|t| t.3 > 0);
    let column = |text: &str| {
        if any_running { format!(" {text:>9}") } else { String::new() }
    };
    heading(style, "By method", out)?;
    let head =
        format!("  {:width$} {:>9}{} {:>9} {:>9} {:>9}", "", "n", column("running"), "p50", "max", "sum");
    writeln!(out, "{}", style.paint(Ink::Dim, &style.fit(&head, style.width)))?;
    for (sum, method, n, running, ended) in rows {
        let name = style.fit_end(digest.text(*method), width);
        let blank = width.saturating_sub(columns(&name));
        let times = ended.map_or([const { String::new() }; 3], |(p50, max)| {
            [duration(p50), duration(max), duration(*sum)]
        });
        let [p50, max, sum] = &times;
        let numbers = format!(
            " {:>9}{} {p50:>9} {max:>9} {sum:>9}",
            human::count(*n),
            column(&human::count(*running)),
        );
        let numbers = numbers.trim_end();
        let numbers = style.fit(numbers, style.width.saturating_sub(width + 2));
        writeln!(out, "  {}{}{numbers}", style.paint(Ink::Cyan, &name), " ".repeat(blank))?;
    }
    more(totals.len() - shown, style, out)
}
