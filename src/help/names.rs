//! The page on a word of a trace by its name alone: a method, a library that calls, or a finding.

use crate::diagnose;
use crate::method::names::{Axis, Name, named, names};
use crate::report::{self, Ink, Style, wrap};
use std::io::{self, Write};

/// As a topic: every name that a method can have.
pub const ALL: &str = "method-names";

/// What a name is the name of.
fn part(axis: Axis) -> &'static str {
    match axis {
        Axis::Primitive => "the system call, method.primitive",
        Axis::Mechanism => "the kind of child, method.mechanism",
        Axis::Library => "who made the call, method.library",
        Axis::Pattern => "what for, method.pattern",
    }
}

/// Writes all pages on a name; `false` where there is none.
///
/// # Errors
/// `out` cannot be written.
pub fn show(name: &str, style: &Style, out: &mut dyn Write) -> io::Result<bool> {
    let mut pages: Vec<&Name> = named(name).collect();
    if name == ALL {
        pages = names().collect();
    }
    for (n, page) in pages.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        one(page, style, out)?;
    }
    let finding = diagnose::pages().find(|(id, _)| *id == name);
    if let Some(finding) = finding {
        report::explain(std::iter::once(finding), style, out)?;
    }
    Ok(finding.is_some() || !pages.is_empty())
}

fn one(page: &Name, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.paint(Ink::Bold, &format!("{} ({})", page.name, part(page.axis))))?;
    let meaning = format!("{}.", page.meaning);
    for (name, text) in
        [("What", &*meaning), ("Seen as", page.looks), ("Cost", page.cost), ("From", page.sources)]
    {
        for line in wrap(style, text, &format!("  {name:<10}"), "            ") {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ColorWhen;

    fn shown(name: &str) -> (bool, String) {
        let style = Style::choose(Some(80), ColorWhen::Never, None, &|_| None);
        let mut out = Vec::new();
        let known = show(name, &style, &mut out).unwrap();
        (known, String::from_utf8(out).unwrap())
    }

    #[test]
    fn methods_and_findings_have_pages_and_nothing_else_has() {
        let (known, text) = shown("fork");
        assert!(
            known && text.contains("fork (the system call") && text.contains("fork (the kind of child"),
            "{text}"
        );
        let (known, text) = shown("fixed-sleep");
        assert!(known && text.starts_with("fixed-sleep\n") && text.contains("  Mistakes  "), "{text}");
        assert_eq!(shown("nonsense"), (false, String::new()));
        let (known, text) = shown(ALL);
        assert!(known);
        assert_eq!(text.lines().filter(|line| line.starts_with(|c: char| c != ' ')).count(), names().count());
        for line in text.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
