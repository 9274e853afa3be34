//! The page on a word of a trace by its name alone: a phase, a state, a method, a library that calls, or a finding.

use super::details::{self, Details};
use super::{Entry, Topic, topics};
use crate::diagnose;
use crate::method::names::{Axis, Name, named, names};
use crate::report::{Ink, Style, wrap};
use crate::words::near;
use std::io::{self, Write};

/// As a topic: every name that a method can have.
pub const ALL: &str = "method-names";
/// As a name: all of a topic.
const EACH: &str = "all";
/// Names that are offered instead of one that there is not.
const OFFERED: usize = 3;

/// What a name is the name of.
fn part(axis: Axis) -> &'static str {
    match axis {
        Axis::Primitive => "the system call, method.primitive",
        Axis::Mechanism => "the kind of child, method.mechanism",
        Axis::Library => "who made the call, method.library",
        Axis::Pattern => "what for, method.pattern",
    }
}

/// Writes all pages on a name, of one topic or of any; `false` where there is none. `all` is every name of the topic.
///
/// # Errors
/// `out` cannot be written.
pub fn show(topic: Option<&str>, name: &str, style: &Style, out: &mut dyn Write) -> io::Result<bool> {
    let (topic, name) = if name == ALL { (Some("methods"), EACH) } else { (topic, name) };
    let every = topic.is_some() && name == EACH;
    let details = details::all();
    let mut pages = Vec::new();
    for of in topics().into_iter().filter(|of| topic.is_none_or(|wanted| of.name == wanted)) {
        match of.name {
            "methods" => {
                let asked: Vec<&Name> = if every { names().collect() } else { named(name).collect() };
                pages.extend(asked.into_iter().map(|page| method(page, &details)));
            }
            "findings" => pages.extend(
                diagnose::pages().filter(|(id, _)| every || *id == name).map(|one| finding(one, &details)),
            ),
            _ => {
                let wanted = |entry: &&Entry| every || entry.name == name || is_other(entry.name, name);
                pages.extend(of.entries.iter().filter(wanted).map(|entry| word(&of, entry, &details)));
            }
        }
    }
    write(&pages, style, out)?;
    Ok(!pages.is_empty())
}

/// Writes pages on findings, all or one; `false` where there is none of that id.
///
/// # Errors
/// `out` cannot be written.
pub fn explain(id: &str, style: &Style, out: &mut dyn Write) -> io::Result<bool> {
    show(Some("findings"), id, style, out)
}

/// Names most like one that there is not, of one topic or of any.
pub fn like(topic: Option<&str>, name: &str) -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for of in topics().into_iter().filter(|of| topic.is_none_or(|wanted| of.name == wanted)) {
        all.extend((topic.is_none()).then_some(of.name));
        all.extend(of.entries.iter().map(|entry| entry.name));
        all.extend(names().map(|page| page.name).filter(|_| of.name == "methods"));
    }
    near::nearest(name, all, OFFERED)
}

/// States of any other system call share a page.
fn is_other(entry: &str, name: &str) -> bool {
    entry.strip_suffix(":SYSCALL").is_some_and(|kind| name.split(':').next() == Some(kind))
}

/// A page: a heading, and parts with their names.
struct Page {
    heading: String,
    parts: Vec<(&'static str, String)>,
}

impl Page {
    fn new(heading: String, parts: &[(&'static str, &str)]) -> Self {
        let parts = parts.iter().filter(|(_, text)| !text.is_empty());
        Self { heading, parts: parts.map(|&(name, text)| (name, text.to_owned())).collect() }
    }
}

fn findings(details: Option<&Details>) -> String {
    match details {
        Some(details) if !details.findings.is_empty() => format!("findings {}", details.findings.join(", ")),
        _ => String::new(),
    }
}

fn word(topic: &Topic, entry: &Entry, details: &[Details]) -> Page {
    let kind = match topic.name {
        "phases" => "phase",
        "states" => "state",
        "levels" => "level",
        "exit-codes" => "exit status",
        other => other,
    };
    let name = entry.name.trim_end_matches(":SYSCALL");
    let details = details.iter().find(|details| details.kind == kind && details.name == name);
    let field = if details.is_some() { format!(", timeline.{}", topic.name) } else { String::new() };
    let (measured, look) = details.map_or(("", ""), |details| (&*details.measured, &*details.look));
    Page::new(
        format!("{} ({kind}{field})", entry.name),
        &[("What", entry.text), ("Measured", measured), ("Look at", look), ("See also", &findings(details))],
    )
}

fn method(page: &Name, details: &[Details]) -> Page {
    let details = details.iter().find(|details| details.kind == "method" && details.name == page.name);
    Page::new(
        format!("{} ({})", page.name, part(page.axis)),
        &[
            ("What", &format!("{}.", page.meaning)),
            ("Seen as", page.looks),
            ("Cost", page.cost),
            ("From", page.sources),
            ("See also", &findings(details)),
        ],
    )
}

fn finding((id, page): (&'static str, &diagnose::Page), details: &[Details]) -> Page {
    let of = |kind: &str| {
        let of = details.iter().filter(|one| one.kind == kind && one.findings.iter().any(|name| name == id));
        let names: Vec<&str> = of.map(|one| &*one.name).collect();
        (!names.is_empty()).then(|| format!("{kind}s {}", names.join(", ")))
    };
    let see: Vec<String> = ["phase", "state", "method"].into_iter().filter_map(of).collect();
    Page::new(
        id.to_owned(),
        &[
            ("What", page.what),
            ("Why", page.why),
            ("Price", page.measured),
            ("Fix", page.fix),
            ("Mistakes", page.mistaken),
            ("See also", &see.join("; ")),
        ],
    )
}

fn write(pages: &[Page], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for (n, page) in pages.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", style.paint(Ink::Bold, &page.heading))?;
        for (name, text) in &page.parts {
            for line in wrap(style, text, &format!("  {name:<10}"), "            ") {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ColorWhen;

    fn of(topic: Option<&str>, name: &str) -> (bool, String) {
        let style = Style::choose(Some(80), ColorWhen::Never, None, &|_| None);
        let mut out = Vec::new();
        let known = show(topic, name, &style, &mut out).unwrap();
        (known, String::from_utf8(out).unwrap())
    }

    fn headings(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect()
    }

    #[test]
    fn every_word_of_a_trace_has_a_page_and_nothing_else_has() {
        let (known, text) = of(None, "fork");
        assert!(known);
        assert_eq!(
            headings(&text),
            [
                "fork (phase, timeline.phases)",
                "fork (the system call, method.primitive)",
                "fork (the kind of child, method.mechanism)"
            ]
        );
        let (known, text) = of(Some("phases"), "link");
        assert!(known && text.contains("\n  Measured  ") && text.contains("\n  Look at   "), "{text}");
        assert!(text.contains("\n  See also  findings ld-search, "), "{text}");
        let (known, text) = of(None, "fixed-sleep");
        assert!(known && text.starts_with("fixed-sleep\n") && text.contains("  Mistakes  "), "{text}");
        assert!(text.contains("\n  See also  states sleep\n"), "{text}");
        let (known, text) = of(Some("states"), "other:accept4");
        assert!(known && text.starts_with("other:SYSCALL (state, timeline.states)\n"), "{text}");
        let (known, text) = of(Some("methods"), "multiprocessing.spawn");
        assert!(known && text.contains("\n  See also  findings spawn-reimport, "), "{text}");
        assert_eq!(headings(&of(Some("readiness"), "quiet").1), ["quiet (readiness)"]);
        assert_eq!(of(None, "nonsense"), (false, String::new()));
        assert_eq!(of(Some("phases"), "sleep"), (false, String::new()));
    }

    #[test]
    fn all_pages_of_a_topic_are_one_after_the_other() {
        for topic in topics() {
            let (known, text) = of(Some(topic.name), EACH);
            let wanted = if topic.name == "methods" { names().count() } else { topic.entries.len() };
            assert!(known);
            assert_eq!(headings(&text).len(), wanted, "{}", topic.name);
            for line in text.lines() {
                assert!(line.len() <= 80 && line.is_ascii(), "{line}");
            }
        }
        assert_eq!(of(None, ALL), of(Some("methods"), EACH));
    }

    #[test]
    fn a_name_with_a_slip_is_offered_as_it_should_be() {
        assert_eq!(like(None, "shedule"), ["schedule"]);
        assert_eq!(like(Some("methods"), "posix-spawn"), ["posix_spawn"]);
        assert_eq!(like(None, "fixed_sleep"), ["fixed-sleep"]);
        assert!(like(Some("methods"), "forkserver").contains(&"multiprocessing.forkserver"));
        assert!(like(None, "phase").contains(&"phases"));
        assert_eq!(like(None, "zzzzzzzz"), [""; 0]);
        assert_eq!(like(None, &"é".repeat(100_000)), [""; 0]);
    }
}
