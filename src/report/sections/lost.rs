//! What was lost, and what this version cannot read.

use super::super::digest::Digest;
use super::super::style::{Ink, Style};
use super::{MAX_ROWS, more, say};
use crate::trace::schema::Session;
use crate::words::human::{self, counted};
use crate::words::label;
use std::io::{self, Write};

/// Nothing if nothing was lost.
pub(crate) fn lost(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if let Some(session) = &digest.session
        && (!session.complete || session.lost.values().any(|&n| n > 0))
    {
        lost_of(session, all, style, out)?;
    }
    if digest.unknown_lines > 0 {
        writeln!(out)?;
        let text = format!(
            "{} of a type that this version does not know: passed over.",
            counted(digest.unknown_lines, "line")
        );
        say(style, Ink::Plain, &text, out)?;
    }
    Ok(())
}

fn lost_of(session: &Session, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    let counters: Vec<_> = session.lost.iter().filter(|(_, n)| **n > 0).collect();
    let ended = label::harmless(&session.ended_by, 60);
    let text = if counters.is_empty() {
        format!("This trace is incomplete: cut short (ended by {ended}).")
    } else {
        "This trace is incomplete. Lost:".into()
    };
    say(style, Ink::Red, &text, out)?;
    let shown = if all { counters.len() } else { counters.len().min(MAX_ROWS) };
    for (name, n) in counters.iter().take(shown) {
        let text = format!("{:>9}  {}", human::count(**n), label::harmless(name, 60));
        writeln!(out, "{}", style.fit(&text, style.width))?;
    }
    more(counters.len() - shown, style, out)
}
