//! A comparison as Markdown, for a comment that CI writes.

use super::comparison::{Comparison, Kind, Pair};
use super::gate::{Outcome, change, p_text};
use super::text::{Shown, alone, left_out, parts, side, told, verdicts, word};
use crate::words::duration;
use std::io::{self, Write};

/// Rows of each table: a comment has a longest length.
const MAX_ROWS: usize = 30;

/// Text out of a trace as code: nothing in it is markup, a mention or a cell's end.
pub(crate) fn code(text: &str) -> String {
    // A run of backquotes longer than any in it; a table's cell ends at a bar even in code.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}

/// Text that is ours, or names out of a trace within it: no markup.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Else somebody of that name is told, or an issue of that number.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' | '$' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    // A bare address would become a link.
    out.replace("://", ":&#47;/").replace("www.", "www&#46;")
}

/// Writes a comparison as Markdown.
///
/// # Errors
/// `out` cannot be written.
pub fn markdown(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let title = match comparison.gate.as_ref().map(|gate| (gate.outcome, gate.limit)) {
        Some((Outcome::Passed, limit)) => format!("passed (limit {limit})"),
        Some((Outcome::TooFew, limit)) => format!("too few samples (limit {limit})"),
        Some((Outcome::Slower, limit)) => format!("**slower** by more than {limit}"),
        None => "comparison".to_owned(),
    };
    writeln!(out, "### Start times: {title}\n")?;
    for reason in comparison.gate.iter().flat_map(|gate| &gate.reasons) {
        writeln!(out, "- {}", plain(reason))?;
    }
    if comparison.gate.is_none() {
        for (_, text) in verdicts(comparison) {
            writeln!(out, "- {}", plain(&text))?;
        }
    }
    for warning in &comparison.warnings {
        writeln!(out, "- note: {}", plain(warning))?;
    }
    let Shown { pairs: shown, changed, .. } = Shown::of(comparison, false);
    if !shown.is_empty() {
        writeln!(
            out,
            "\n| | start | base (median) | new (median) | shift | p | samples |\n|---|---|---:|---:|---:|---:|---:|"
        )?;
    }
    for pair in shown.iter().take(MAX_ROWS) {
        let median = |kind: &Kind| kind.tally.duration.map_or("-".to_owned(), |d| duration(d.median_ns));
        let n = |kind: &Kind| kind.tally.duration.map_or(0, |d| d.n);
        let by = pair.shift.map_or("-".to_owned(), |s| change(s.estimate_ns, pair.shift_percent));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} + {} |",
            word(pair.verdict).to_ascii_lowercase(),
            code(&pair.new.label),
            median(&pair.base),
            median(&pair.new),
            by,
            pair.p_adjusted.or(pair.p).map_or("-".to_owned(), |p| p_text(p).replace('<', "&lt;")),
            n(&pair.base),
            n(&pair.new),
        )?;
    }
    if shown.len() > MAX_ROWS {
        writeln!(out, "\n{} more that changed", shown.len() - MAX_ROWS)?;
    }
    let mut first = true;
    for pair in shown.iter().take(MAX_ROWS) {
        let details = details(pair, comparison.alpha);
        if details.is_empty() {
            continue;
        }
        if std::mem::take(&mut first) {
            writeln!(out, "\n<details><summary>Where the difference lies</summary>\n")?;
        }
        writeln!(out, "- {}", code(&pair.new.label))?;
        for detail in details {
            writeln!(out, "  - {}", plain(&detail))?;
        }
    }
    if !first {
        writeln!(out, "\n</details>")?;
    }
    if !changed.is_empty() {
        writeln!(out, "\n**Also changed**\n")?;
        for pair in changed.iter().take(MAX_ROWS) {
            let changes: Vec<String> = pair.changes.iter().map(told).collect();
            writeln!(out, "- {}: {}", code(&pair.new.label), plain(&changes.join("; ")))?;
        }
        if changed.len() > MAX_ROWS {
            writeln!(out, "- and {} more", changed.len() - MAX_ROWS)?;
        }
    }
    for (heading, kinds) in
        [("New processes", &comparison.appeared), ("Vanished processes", &comparison.vanished)]
    {
        if kinds.is_empty() {
            continue;
        }
        writeln!(out, "\n**{heading}**\n")?;
        for kind in kinds.iter().take(MAX_ROWS) {
            writeln!(out, "- {}: {}", code(&kind.label), plain(&alone(kind)))?;
        }
        if kinds.len() > MAX_ROWS {
            writeln!(out, "- and {} more", kinds.len() - MAX_ROWS)?;
        }
    }
    writeln!(out, "\nBASE {}; NEW {}", plain(&side(&comparison.base)), plain(&side(&comparison.new)))
}

fn details(pair: &Pair, alpha: f64) -> Vec<String> {
    let mut out = Vec::new();
    for (name, list) in [("phases", &pair.phases), ("path", &pair.path)] {
        let text = parts(pair, list, alpha);
        if !text.is_empty() {
            out.push(format!("{name}: {text}"));
        }
    }
    out.extend(pair.changes.iter().map(|change| format!("changed {}", told(change))));
    for (called, kind) in [("BASE", &pair.base), ("NEW", &pair.new)] {
        out.extend(left_out(kind).map(|text| format!("left out of {called}: {text}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trace_says_is_no_markup() {
        assert_eq!(code("sh -c a|b"), "`sh -c a\\|b`");
        assert_eq!(code("a `b` ``c"), "```a `b` ``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(plain("<b>@all #1 **x** http://e"), "&lt;b&gt;&#64;all &#35;1 \\*\\*x\\*\\* http:&#47;/e");
    }
}
