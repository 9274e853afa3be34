//! What was found, what it would spare, and what could not be looked for.

use super::super::View;
use super::super::digest::Digest;
use super::super::style::{Ink, Style, unbroken, wrap};
use super::{MAX_SUMMARY, heading, more, say};
use crate::trace::schema::{Basis, Joined, Severity};
use crate::words::human::{counted, duration};
use crate::words::label;
use std::io::{self, Write};

/// Findings.
const FINDINGS: usize = 6;

/// What makes it slow, and what would help: the dearest first.
pub(crate) fn findings(digest: &Digest, view: View, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let all = view.all;
    let found = &digest.diagnosis.findings;
    let told: Vec<&Joined> = found.iter().filter(|joined| all || joined.is_told()).collect();
    if !told.is_empty() {
        let of = match (digest.picked_of, digest.found_of_picked) {
            (None, _) => "",
            (Some(_), true) => " those that were picked",
            (Some(_), false) => ": what was found of all starts, where it concerns those that were picked",
        };
        heading(style, &format!("What would help{of}"), out)?;
    }
    let most = view.top.unwrap_or(if all { usize::MAX } else { FINDINGS });
    let shown = told.len().min(most);
    for joined in told.iter().take(shown) {
        let (saves, basis) = match (joined.saves_ns, joined.basis) {
            (Some(0), _) => ("nothing".to_owned(), " (no one waits for it)"),
            (Some(ns), Some(Basis::Scaled)) => (duration(ns), " (calculated)"),
            (Some(ns), _) => (duration(ns), ""),
            (None, _) => ("-".to_owned(), ""),
        };
        let id = label::harmless(&joined.id, 40);
        let ink = match joined.severity {
            Severity::Critical => Ink::Red,
            Severity::Warning => Ink::Yellow,
            Severity::Info => Ink::Plain,
        };
        let first = format!("{saves:>9}  ");
        let summary = unbroken(&label::harmless(&joined.summary, MAX_SUMMARY));
        // What was cut ends in dots of its own.
        let dot = |text: &str| if text.ends_with('…') { "" } else { "." };
        let text = format!("{id}{basis}: {summary}{}", dot(&summary));
        let lines = wrap(style, &text, &first, "           ");
        for (n, line) in lines.iter().enumerate() {
            writeln!(out, "{}", if n == 0 { style.paint(ink, line) } else { line.clone() })?;
        }
        let advice = unbroken(&label::harmless(&joined.advice, MAX_SUMMARY));
        let mut advice = format!("-> {advice}{}", dot(&advice));
        let others: Vec<String> = joined.overlaps.iter().take(4).map(|id| label::harmless(id, 40)).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            advice.push_str(&match joined.explained {
                true => format!(" Shares time with {others}: most of it is explained there."),
                false => format!(" Shares time with {others}."),
            });
        }
        for line in wrap(style, &advice, "           ", "           ") {
            writeln!(out, "{line}")?;
        }
    }
    more(told.len() - shown, style, out)?;
    not_examined(digest, style, all, out)
}

/// What this recording cannot tell of, whatever happened.
fn not_examined(digest: &Digest, style: &Style, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let unseen = digest.session.iter().flat_map(|session| session.not_observed.iter().flatten());
    let unseen: Vec<&str> = unseen.map(|what| crate::words::not_observed(what)).collect();
    let missing = &digest.diagnosis.not_examined;
    if !unseen.is_empty() {
        // Of one alone: only `why execs fail` and `entry into fork and exec` are one thing.
        let one = unseen.len() == 1 && !unseen.iter().any(|what| what.ends_with("that fail"));
        let them = if one { "it" } else { "them" };
        let text = format!("Not observed: {}; record --syscall-hooks sees {them}.", unseen.join(", "));
        writeln!(out)?;
        say(style, Ink::Dim, &label::harmless(&text, 400), out)?;
    } else if !missing.is_empty() {
        writeln!(out)?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = missing.iter().map(|missing| label::harmless(&missing.finding, 40)).collect();
    let text = if all {
        let each = missing
            .iter()
            .zip(&ids)
            .map(|(missing, id)| format!("{id} (needs {})", label::harmless(&missing.needs, 100)));
        format!("Not examined: {}.", each.collect::<Vec<_>>().join("; "))
    } else {
        format!("Not examined: {}; --all says what they need.", counted(ids.len() as u64, "finding"))
    };
    say(style, Ink::Dim, &text, out)
}
