//! Pages on findings and on the words of a trace, out of what the program says of them at a terminal.

use anyhow::{Context, Result, bail};
use std::fmt::Write as _;

/// What `report --explain` says of one finding: each part's name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub id: String,
    pub parts: Vec<(String, String)>,
}

/// Headings for the parts that `--explain` has.
const HEADINGS: [(&str, &str); 5] = [
    ("What", ""),
    ("Why", "Why it takes time"),
    ("Price", "What the price is made of"),
    ("Fix", "How to mend it, from the cheapest to the dearest"),
    ("Mistakes", "When it is mistaken, and what it misses"),
];

/// Reads `report --explain all`.
pub fn explained(text: &str) -> Result<Vec<Finding>> {
    pages(text, &HEADINGS.map(|(name, _)| name))
}

/// Reads pages at a terminal: a name at the margin, then parts as `  Name      text`, going on below the text.
fn pages(text: &str, parts: &[&str]) -> Result<Vec<Finding>> {
    let mut all: Vec<Finding> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            all.push(Finding { id: line.to_owned(), parts: Vec::new() });
            continue;
        }
        let of = all.last_mut().with_context(|| format!("no page before {line:?}"))?;
        let (name, words) = line.split_at_checked(12).with_context(|| format!("{line:?} is too short"))?;
        match name.trim() {
            "" => {
                let (_, before) = of.parts.last_mut().with_context(|| format!("nothing before {line:?}"))?;
                let _ = write!(before, " {}", words.trim());
            }
            name => of.parts.push((name.to_owned(), words.trim().to_owned())),
        }
    }
    for page in &all {
        let names: Vec<&str> = page.parts.iter().map(|(name, _)| &**name).collect();
        if names != parts {
            bail!("{} has the parts {names:?}", page.id);
        }
    }
    if all.is_empty() {
        bail!("there are no pages");
    }
    Ok(all)
}

/// The page on methods: what `startrace help methods` says of them all, and a section on every name.
pub fn methods(topic: &Topic, names: &str) -> Result<String> {
    let mut text = format!(
        "# {}\n\n*Written by `cargo xtask docs` from `startrace help methods` and `startrace help method-names`; do \
         not edit.*\n",
        plain(&topic.title)
    );
    // The list of names follows in sections.
    for paragraph in topic.before.iter().filter(|paragraph| !paragraph.ends_with(':')) {
        let _ = write!(text, "\n{}\n", plain(paragraph));
    }
    let mut part = String::new();
    for page in pages(names, &["What", "Seen as", "Cost", "From"])? {
        let (name, of) =
            page.id.split_once(" (").with_context(|| format!("{} is part of nothing", page.id))?;
        let of = of.trim_end_matches(')');
        if of != part {
            let mut capital = of.chars();
            let first = capital.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default();
            let _ = write!(text, "\n## {first}{}\n", plain(capital.as_str()));
            of.clone_into(&mut part);
        }
        let _ = write!(text, "\n### `{name}`\n\n");
        for (heading, words) in &page.parts {
            match heading.as_str() {
                "What" => {
                    let _ = writeln!(text, "{}\n", plain(words));
                }
                heading => {
                    let _ = writeln!(text, "- *{heading}*: {}", plain(words));
                }
            }
        }
    }
    Ok(text)
}

impl Finding {
    /// Its page.
    pub fn page(&self) -> String {
        let mut text = format!(
            "# {0}\n\n*Written by `cargo xtask docs` from `startrace report --explain {0}`; do not edit. \
             [All findings](README.md)*\n",
            self.id
        );
        for ((_, heading), (_, words)) in HEADINGS.iter().zip(&self.parts) {
            if !heading.is_empty() {
                let _ = write!(text, "\n## {heading}\n");
            }
            let _ = write!(text, "\n{}\n", plain(words));
        }
        text
    }
}

/// The page that lists them.
pub fn index(all: &[Finding]) -> String {
    let mut text = String::from(
        "# Findings\n\n\
         *Written by `cargo xtask docs` from `startrace report --explain all`; do not edit.*\n\n\
         What `startrace report` looks for in every start, and what of it would help. The price that it tells is\n\
         measured in that very trace, or calculated from other times of it; findings that share time must not be\n\
         added up.\n\n| finding | what it is |\n|---|---|\n",
    );
    for finding in all {
        let what = finding.parts.first().map_or("", |(_, text)| text);
        let _ = writeln!(text, "| [{0}]({0}.md) | {1} |", finding.id, plain(what).replace('|', "\\|"));
    }
    text
}

/// A topic of `startrace help`: its heading, its paragraphs, and its names with their meanings.
#[derive(Debug, PartialEq, Eq)]
pub struct Topic {
    title: String,
    before: Vec<String>,
    entries: Vec<(String, String)>,
    after: Vec<String>,
}

/// Reads what `startrace help TOPIC` prints: a heading, paragraphs at the margin, and names indented by two, with
/// their text beside or below.
pub fn topic(text: &str) -> Result<Topic> {
    let mut lines = text.lines();
    let title = lines.next().filter(|line| !line.is_empty()).context("no heading")?.to_owned();
    let mut topic = Topic { title, before: Vec::new(), entries: Vec::new(), after: Vec::new() };
    let mut fresh = true;
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim();
        match indent {
            _ if words.is_empty() => {}
            0 => {
                let list = if topic.entries.is_empty() { &mut topic.before } else { &mut topic.after };
                match list.last_mut() {
                    Some(last) if !fresh => {
                        let _ = write!(last, " {words}");
                    }
                    _ => list.push(words.to_owned()),
                }
            }
            2 => {
                let (name, meaning) = words.split_once("  ").unwrap_or((words, ""));
                topic.entries.push((name.to_owned(), meaning.trim().to_owned()));
            }
            _ => {
                let (_, meaning) =
                    topic.entries.last_mut().with_context(|| format!("no name before {line:?}"))?;
                if !meaning.is_empty() {
                    meaning.push(' ');
                }
                meaning.push_str(words);
            }
        }
        fresh = words.is_empty();
    }
    if topic.entries.is_empty() || topic.entries.iter().any(|(_, meaning)| meaning.is_empty()) {
        bail!("{}: a name without a meaning, or no names", topic.title);
    }
    Ok(topic)
}

impl Topic {
    /// Its page: a section for each name, so that each can be linked to.
    pub fn page(&self, name: &str) -> String {
        let mut text = format!(
            "# {}\n\n*Written by `cargo xtask docs` from `startrace help {name}`; do not edit.*\n",
            plain(&self.title)
        );
        for paragraph in &self.before {
            let _ = write!(text, "\n{}\n", plain(paragraph));
        }
        for (name, meaning) in &self.entries {
            let _ = write!(text, "\n## `{name}`\n\n{}\n", plain(meaning));
        }
        for paragraph in &self.after {
            let _ = write!(text, "\n{}\n", plain(paragraph));
        }
        text
    }
}

/// Words at a terminal as Markdown: nothing in them is markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAINED: &str = "\
wrapper-chain
  What      A start through
            several wrappers.
  Why       Each one execs.
  Price     The sum.
  Fix       Call <it> itself.
  Mistakes  None.

dns-wait
  What      a
  Why       b
  Price     c
  Fix       d
  Mistakes  e
";

    #[test]
    fn what_is_explained_becomes_a_page_each() {
        let all = explained(EXPLAINED).unwrap();
        assert_eq!(all.iter().map(|finding| &*finding.id).collect::<Vec<_>>(), ["wrapper-chain", "dns-wait"]);
        assert_eq!(all[0].parts[0], ("What".to_owned(), "A start through several wrappers.".to_owned()));
        let page = all[0].page();
        assert!(page.starts_with("# wrapper-chain\n"), "{page}");
        assert!(
            page.contains(
                "\n\nA start through several wrappers.\n\n## Why it takes time\n\nEach one execs.\n"
            )
        );
        assert!(page.contains("\nCall &lt;it&gt; itself.\n"), "{page}");
        assert!(index(&all).contains("| [dns-wait](dns-wait.md) | a |\n"));
        assert!(explained("").is_err());
        assert!(explained("x\n  What      a\n").is_err(), "a part is missing");
        assert!(explained("  What      a\n").is_err(), "no finding before");
    }

    #[test]
    fn a_topic_becomes_sections() {
        let text = "Phases\n\nThey add up\nto all.\n\nSecond.\n\n  fork          Until it is\n                there.\n  exec_name_that_is_long\n      Below it,\n      in two lines.\n\nAfter.\n";
        let topic = topic(text).unwrap();
        assert_eq!(topic.before, ["They add up to all.", "Second."]);
        assert_eq!(topic.after, ["After."]);
        let page = topic.page("phases");
        assert!(page.contains("\n## `fork`\n\nUntil it is there.\n"), "{page}");
        assert!(page.contains("\n## `exec_name_that_is_long`\n\nBelow it, in two lines.\n"), "{page}");
        assert!(super::topic("Phases\n\n  fork\n").is_err());
    }

    #[test]
    fn methods_are_sections_by_their_part() {
        let list = topic("Methods\n\nHow.\n\nThey are:\n\n  fork  a copy\n").unwrap();
        let names = "fork (the call)\n  What      A copy.\n  Seen as   clone.\n  Cost      Much.\n  From      C.\n\nfork (the kind)\n  What      A\n            child.\n  Seen as   x\n  Cost      y\n  From      z\n";
        let page = methods(&list, names).unwrap();
        assert!(
            page.contains(
                "\nHow.\n\n## The call\n\n### `fork`\n\nA copy.\n\n- *Seen as*: clone.\n- *Cost*: Much.\n"
            ),
            "{page}"
        );
        assert!(page.contains("\n## The kind\n\n### `fork`\n\nA child.\n"), "{page}");
        assert!(!page.contains("They are"), "{page}");
        assert!(methods(&list, "fork\n  What      a\n").is_err());
    }
}
