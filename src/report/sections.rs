//! The parts of a report around the tree, one file each; here is what they have in common.

mod findings;
mod headline;
mod lost;
mod pools;
mod slowest;
mod totals;

pub(crate) use findings::findings;
pub(crate) use headline::{headline, sentence};
pub(crate) use lost::lost;
pub(crate) use pools::pools;
pub(crate) use slowest::slowest;
pub(crate) use totals::totals;

use super::digest::{Digest, Row};
use super::style::{Ink, NO_BREAK, Style, wrap};
use crate::words::human::{self, duration};
use std::io::{self, Write};

/// Rows of the totals, of the pools and of the counters.
const MAX_ROWS: usize = 20;
/// Characters of a finding's sentences.
const MAX_SUMMARY: usize = 400;

/// Lines in one colour, none wider than the output.
fn say(style: &Style, ink: Ink, text: &str, out: &mut dyn Write) -> io::Result<()> {
    for line in wrap(style, text, "", "  ") {
        writeln!(out, "{}", style.paint(ink, &line))?;
    }
    Ok(())
}

fn heading(style: &Style, text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "{}", style.paint(Ink::Bold, &style.fit(text, style.width)))
}

fn more(hidden: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if hidden > 0 {
        let text = format!("  … and {} more (use --all)", human::count(hidden as u64));
        writeln!(out, "{}", style.fit(&text, style.width))?;
    }
    Ok(())
}

/// A duration within a sentence.
fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
}

fn is_measured(digest: &Digest, row: &Row) -> bool {
    !row.partial && !digest.is_unfinished(row)
}

/// Helpers that last as long as what they help: no start that anybody waits for.
fn is_helper(digest: &Digest, row: &Row) -> bool {
    let method = digest.text(row.method);
    row.ready == digest.exit_kind
        && (method.ends_with(".resource_tracker") || method.ends_with(".forkserver.server"))
}
