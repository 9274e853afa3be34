//! The words of a trace, explained: `startrace help TOPIC`, and the pages in `docs/` that are made of the same texts.
//!
//! Each topic is plain data, one file each. Names that are listed somewhere else already (methods, findings) come from
//! there; of the others a test checks that none is missing.

mod details;
mod exit_codes;
mod findings;
mod levels;
mod methods;
pub mod names;
mod phases;
mod readiness;
mod states;

use crate::report::{Ink, Style, wrap};
use std::io::{self, Write};

/// A topic of `startrace help`.
#[derive(Debug, Clone)]
pub struct Topic {
    /// As it is asked for.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Paragraphs, parted by an empty line.
    pub intro: &'static str,
    /// Its names with their meanings.
    pub entries: Vec<Entry>,
    /// Paragraphs after the names; may be empty.
    pub outro: &'static str,
}

/// One name and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As it stands in a trace, or on the command line.
    pub name: &'static str,
    /// In one paragraph.
    pub text: &'static str,
}

/// All topics, in the order in which they are listed.
pub fn topics() -> Vec<Topic> {
    vec![
        phases::topic(),
        states::topic(),
        methods::topic(),
        readiness::topic(),
        findings::topic(),
        levels::topic(),
        exit_codes::topic(),
    ]
}

/// The topic of that name.
pub fn topic(name: &str) -> Option<Topic> {
    topics().into_iter().find(|topic| topic.name == name)
}

fn entries(of: &[(&'static str, &'static str)]) -> Vec<Entry> {
    of.iter().map(|&(name, text)| Entry { name, text }).collect()
}

/// Longest name that has its text beside it.
const BESIDE: usize = 12;

impl Topic {
    /// Writes the topic, as for a terminal.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn show(&self, style: &Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Ink::Bold, self.title))?;
        paragraphs(self.intro, style, out)?;
        let beside = self.entries.iter().all(|entry| entry.name.len() <= BESIDE);
        if !self.entries.is_empty() {
            writeln!(out)?;
        }
        for Entry { name, text } in &self.entries {
            let lines = if beside {
                wrap(style, text, &format!("  {name:<BESIDE$}  "), &" ".repeat(BESIDE + 4))
            } else {
                writeln!(out, "  {name}")?;
                wrap(style, text, "      ", "      ")
            };
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        paragraphs(self.outro, style, out)
    }
}

fn paragraphs(text: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        writeln!(out)?;
        for line in wrap(style, paragraph, "", "") {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::task::WaitKind;
    use crate::report::ColorWhen;
    use std::collections::HashSet;

    fn names(topic: &str) -> Vec<&'static str> {
        super::topic(topic).unwrap().entries.iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn every_topic_is_whole_and_fits_80_columns() {
        let style = Style::choose(Some(80), ColorWhen::Never, None, &|_| None);
        let mut seen = HashSet::new();
        for topic in topics() {
            assert!(seen.insert(topic.name), "{} twice", topic.name);
            assert!(!topic.title.is_empty() && !topic.entries.is_empty());
            let mut names = HashSet::new();
            for Entry { name, text } in &topic.entries {
                assert!(names.insert(*name), "{}: {name} twice", topic.name);
                assert!(text.len() > 8 && !text.contains("  ") && !text.contains('\n'), "{name}: {text:?}");
            }
            for text in [topic.intro, topic.outro].iter().flat_map(|text| text.split("\n\n")) {
                assert!(!text.contains("  ") && !text.contains('\n'), "{}: {text:?}", topic.name);
            }
            let mut out = Vec::new();
            topic.show(&style, &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.is_ascii(), "{}: not for every terminal: {out}", topic.name);
            for line in out.lines() {
                assert!(line.len() <= 80, "{}: {line}", topic.name);
            }
            for Entry { name, .. } in &topic.entries {
                assert!(out.contains(name), "{}: {name}", topic.name);
            }
        }
        assert!(topic("nonsense").is_none());
    }

    #[test]
    fn no_phase_is_without_words() {
        let mut known: Vec<&str> = crate::report::phase::CLASSES.iter().map(|class| class.name).collect();
        assert_eq!(known.pop(), Some("other"));
        assert_eq!(names("phases"), known);
    }

    #[test]
    fn no_state_is_without_words() {
        let mut known = vec!["creating", "running", "runnable", "exited", "unknown"];
        let kinds = WaitKind::ALL.iter().map(|kind| kind.name());
        known.extend(kinds.filter(|name| *name != "runnable" && *name != "other"));
        known.push("other:SYSCALL");
        let told: HashSet<&str> = names("states").into_iter().collect();
        assert_eq!(told, known.into_iter().collect());
    }

    #[test]
    fn no_kind_of_readiness_is_without_words() {
        use crate::timeline::ready::rule::Kind;
        for told in names("readiness") {
            let given = match told {
                "timeout" => continue,
                "TIME" => "500ms",
                "tcp:PORT" => "tcp:80",
                "http://HOST:PORT/PATH" => "http://127.0.0.1:80/",
                told => told,
            };
            assert!(Kind::parse(given).is_ok(), "{told}");
        }
        assert_eq!(names("readiness").len(), 14);
    }
}
