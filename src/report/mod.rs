//! The answer for people: a trace as text for a terminal.
//!
//! Pure: from a [`Digest`] (what a report needs of a trace, small enough for a million starts) to text.
//! Everything that comes from the file is hostile: shown without control characters, cut visibly,
//! computed with saturating arithmetic, and walked without recursion.

pub(crate) mod digest;
mod files;
mod imports;
mod json;
mod line;
mod link;
pub(crate) mod markup;
mod path;
pub(crate) mod phase;
mod profile;
mod runtime;
mod sections;
pub(crate) mod style;
mod table;
mod tree;
mod waterfall;

pub use digest::{Digest, Missed, Pick};
pub use json::write as write_json;
pub use line::Layout;
pub use style::{ColorWhen, MAX_WIDTH, MIN_WIDTH, Style};
pub(crate) use style::{Ink, wrap};

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

/// The same in two: what to read first, and the rest.
pub(crate) fn headline_and_rest(digest: &Digest) -> (String, String) {
    let all = headline(digest);
    let first = digest.verdict.first().map(|first| sections::sentence(first)).unwrap_or_default();
    if first.is_empty() || !all.contains(&first) {
        return (all, String::new());
    }
    let rest = all.replacen(&first, "", 1);
    (first, rest.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How much of a report is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Nothing is left out for brevity; equal siblings are one line even then.
    pub all: bool,
    /// So many findings, lines of the tree and slowest starts.
    pub top: Option<usize>,
}

/// Writes the report of a trace, as [`render_view`].
///
/// # Errors
/// `out` cannot be written.
pub fn render(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    render_view(digest, View { all, top: None }, style, out)
}

/// Writes the report of a trace: the verdict, what would help, the tree, totals, the slowest, pools, and what
/// is missing.
///
/// # Errors
/// `out` cannot be written.
pub fn render_view(digest: &Digest, view: View, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let View { all, top } = view;
    sections::headline(digest, style, out)?;
    sections::findings(digest, view, style, out)?;
    if !digest.rows.is_empty() {
        writeln!(out)?;
        let lines = tree::plan(digest, top.or((!all).then_some(TREE_LINES)));
        table::write(digest, &lines, style, out)?;
        sections::totals(digest, all, style, out)?;
        sections::slowest(digest, view, style, out)?;
    }
    sections::pools(digest, all, style, out)?;
    sections::lost(digest, all, style, out)
}
