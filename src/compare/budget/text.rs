//! What became of a budget: for a CI log, and for a comment.

use super::{Checked, Line, Result as Outcome, over_by};
use crate::compare::gate::percent_text;
use crate::compare::markdown::{code, plain};
use crate::report::{Ink, Style, wrap};
use crate::words::{count, duration};
use std::io::{self, Write};

fn word(result: Outcome) -> &'static str {
    match result {
        Outcome::Ok => "ok",
        Outcome::Unknown => "?",
        Outcome::Over => "OVER",
    }
}

fn number(line: &Line, value: u64) -> String {
    if line.time { duration(value) } else { count(value) }
}

/// `1.62 s of 1.50 s (+8.0 %)`.
fn numbers(line: &Line) -> String {
    match (line.actual, line.limit) {
        (Some(actual), Some(limit)) => {
            let mut text = format!("{} of {}", number(line, actual), number(line, limit));
            if line.result == Outcome::Over
                && actual > limit
                && let Some(percent) = over_by(actual, limit)
            {
                text.push_str(&format!(" ({})", percent_text(percent)));
            }
            text
        }
        (None, Some(limit)) => format!("- of {}", number(line, limit)),
        _ => "-".to_owned(),
    }
}

fn summary(checked: &Checked) -> String {
    let of = |result| checked.lines.iter().filter(|line| line.result == result).count();
    let (over, unknown, all) = (of(Outcome::Over), of(Outcome::Unknown), checked.lines.len());
    let limits = if all == 1 { "limit" } else { "limits" };
    match (over, unknown) {
        (0, 0) => format!("within budget: {all} {limits}"),
        (0, _) => format!("{unknown} of {all} {limits} cannot be told from this trace"),
        (_, 0) => format!("OVER BUDGET: {over} of {all} {limits}"),
        _ => format!("OVER BUDGET: {over} of {all} {limits}; {unknown} cannot be told from this trace"),
    }
}

/// Writes it: the worst first, a line for each limit, and what it amounts to last, as a log is read.
///
/// # Errors
/// `out` cannot be written.
pub fn text(checked: &Checked, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let widest =
        |of: &dyn Fn(&Line) -> usize, most: usize| checked.lines.iter().map(of).max().unwrap_or(0).min(most);
    let what = widest(&|line| line.what.chars().count(), 28);
    let scope = widest(&|line| line.scope.chars().count(), 20);
    if let Some(why) = &checked.incomplete {
        for line in wrap(style, &format!("the trace is INCOMPLETE ({why})"), "", "  ") {
            writeln!(out, "{}", style.paint(Ink::Yellow, &line))?;
        }
    }
    for line in &checked.lines {
        let ink = match line.result {
            Outcome::Ok => Ink::Plain,
            Outcome::Unknown => Ink::Yellow,
            Outcome::Over => Ink::Red,
        };
        let mut text = format!(
            "{:<4}  {:<scope$}  {:<what$}  {}",
            word(line.result),
            style.fit(&crate::words::label::harmless(&line.scope, 100), scope),
            style.fit(&crate::words::label::harmless(&line.what, 100), what),
            numbers(line)
        );
        if let Some(detail) = &line.detail {
            text.push_str(&format!(": {detail}"));
        }
        // Columns are held by blanks that a line does not break at.
        let text = text.replace("  ", "\u{a0}\u{a0}");
        for line in wrap(style, &text, "", "      ") {
            writeln!(out, "{}", style.paint(ink, &line))?;
        }
    }
    let ink = match checked.result {
        Outcome::Ok => Ink::Green,
        Outcome::Unknown => Ink::Yellow,
        Outcome::Over => Ink::Red,
    };
    writeln!(out, "{}", style.paint(ink, &style.fit(&summary(checked), style.width)))
}

/// Writes it as Markdown.
///
/// # Errors
/// `out` cannot be written.
pub fn markdown(checked: &Checked, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "### Start budget: {}\n", plain(&summary(checked)))?;
    if let Some(why) = &checked.incomplete {
        writeln!(out, "The trace is incomplete: {}\n", plain(why))?;
    }
    writeln!(out, "| | of | limit | actual | |\n|---|---|---|---:|---|")?;
    for line in &checked.lines {
        let detail = line.detail.as_deref().map(code).unwrap_or_default();
        writeln!(
            out,
            "| {} | {} | {} | {} | {detail} |",
            word(line.result),
            code(&crate::words::label::harmless(&line.scope, 100)),
            code(&crate::words::label::harmless(&line.what, 100)),
            numbers(line)
        )?;
    }
    Ok(())
}
