//! The page on a finding, for `--explain`.

use super::style::{Ink, Style, wrap};
use crate::diagnose::Page;
use std::io::{self, Write};

/// Writes pages, each with the id of its finding.
///
/// # Errors
/// `out` cannot be written.
pub fn explain<'p>(
    pages: impl Iterator<Item = (&'static str, &'p Page)>,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (n, (id, page)) in pages.enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", style.paint(Ink::Bold, id))?;
        for (name, text) in [
            ("What", page.what),
            ("Why", page.why),
            ("Price", page.measured),
            ("Fix", page.fix),
            ("Mistakes", page.mistaken),
        ] {
            for line in wrap(style, text, &format!("  {name:<10}"), "            ") {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}
