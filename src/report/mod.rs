//! The answer for people: a trace as text for a terminal.
//!
//! Pure: from a [`Digest`] (what a report needs of a trace, small enough for a million starts) to text.
//! Everything that comes from the file is hostile: shown without control characters, cut visibly,
//! computed with saturating arithmetic, and walked without recursion.

pub(crate) mod digest;
pub(crate) mod human;
pub(crate) mod intern;
pub(crate) mod label;
mod line;
mod link;
mod path;
pub(crate) mod phase;
mod sections;
mod style;
mod table;
mod tree;
mod waterfall;

pub use digest::Digest;
pub(crate) use human::counted;
pub use human::{count, duration};
pub use line::Layout;
pub use style::{ColorWhen, MAX_WIDTH, MIN_WIDTH, Style};

use std::io::{self, Write};

/// Lines of the tree, unless all are asked for.
const TREE_LINES: usize = 40;

/// The first sentences of a report, as one text.
pub(crate) fn headline(digest: &Digest) -> String {
    let style = Style { width: MAX_WIDTH, color: false, unicode: true };
    let mut out = Vec::new();
    // A vector takes everything.
    let _ = sections::headline(digest, &style, &mut out);
    String::from_utf8_lossy(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes the report of a trace. With `all`, nothing is left out for brevity; equal siblings are one
/// line even then.
///
/// # Errors
/// `out` cannot be written.
pub fn render(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    sections::headline(digest, style, out)?;
    sections::findings(digest, all, style, out)?;
    if !digest.rows.is_empty() {
        writeln!(out)?;
        let lines = tree::plan(digest, (!all).then_some(TREE_LINES));
        table::write(digest, &lines, style, out)?;
        sections::totals(digest, all, style, out)?;
        sections::slowest(digest, all, style, out)?;
    }
    sections::pools(digest, all, style, out)?;
    sections::lost(digest, all, style, out)
}
