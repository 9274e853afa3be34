//! Pages on findings and on the words of a trace, out of what the program says of them at a terminal.

use anyhow::{Context, Result, bail};
use std::fmt::Write as _;

/// What the program says of one name at a terminal: a heading, and each part's name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub heading: String,
    pub parts: Vec<(String, String)>,
}

/// Headings for the parts that a page has; the first is without one.
const HEADINGS: [(&str, &str); 11] = [
    ("What", ""),
    ("Why", "Why it takes time"),
    ("Price", "What the price is made of"),
    ("Fix", "How to mend it, from the cheapest to the dearest"),
    ("Mistakes", "When it is mistaken, and what it misses"),
    ("Measured", "How it is measured"),
    ("Look at", "What to look at"),
    ("Seen as", "How it is told from others"),
    ("Cost", "What it costs, and when to use it"),
    ("From", "What typically makes it"),
    (SEE_ALSO, "See also"),
];
const SEE_ALSO: &str = "See also";

/// Parts that the pages of a kind have, but for those that the names of some do without.
pub const OF_FINDINGS: &[&str] = &["What", "Why", "Price", "Fix", "Mistakes"];
pub const OF_METHODS: &[&str] = &["What", "Seen as", "Cost", "From"];
pub const OF_WORDS: &[&str] = &["What", "Measured", "Look at"];

/// Reads pages at a terminal: a name at the margin, then parts as `  Name      text`, going on below the text. Each has
/// `parts`, and perhaps what to see besides.
pub fn pages(text: &str, parts: &[&str]) -> Result<Vec<Page>> {
    let mut all: Vec<Page> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            all.push(Page { heading: line.to_owned(), parts: Vec::new() });
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
        let names = page.parts.iter().map(|(name, _)| &**name);
        let names: Vec<&str> = names.filter(|name| *name != SEE_ALSO).collect();
        if names != parts {
            bail!("{} has the parts {names:?}", page.heading);
        }
    }
    if all.is_empty() {
        bail!("there are no pages");
    }
    Ok(all)
}

impl Page {
    /// Its name alone: the heading may say what it is the name of.
    pub fn name(&self) -> &str {
        self.heading.split_once(" (").map_or(&*self.heading, |(name, _)| name)
    }

    /// What its name is the name of.
    fn kind(&self) -> &str {
        self.heading.split_once(" (").map_or("", |(_, of)| of.trim_end_matches(')'))
    }

    /// The file's name without its ending.
    pub fn file(&self) -> String {
        self.name().split(':').next().unwrap_or_default().to_owned()
    }

    /// The first sentence of all.
    fn what(&self) -> &str {
        self.parts.first().map_or("", |(_, text)| text)
    }

    /// What is said of it, with a heading each; `level` is that of these.
    fn body(&self, level: &str) -> Result<String> {
        let mut text = String::new();
        for (part, words) in &self.parts {
            let heading = HEADINGS.iter().find(|(name, _)| name == part).map(|(_, heading)| *heading);
            match heading.with_context(|| format!("{}: {part} has no heading", self.heading))? {
                "" => {}
                heading => {
                    let _ = write!(text, "\n{level} {heading}\n");
                }
            }
            let words = if part == SEE_ALSO { links(words)? } else { plain(words) };
            let _ = write!(text, "\n{words}\n");
        }
        Ok(text)
    }
}

/// `states sleep, dns; findings fixed-sleep` with a link to the page on each.
fn links(text: &str) -> Result<String> {
    let mut lists = Vec::new();
    for list in text.split("; ") {
        let (kind, names) = list.split_once(' ').with_context(|| format!("no names in {list:?}"))?;
        let links: Vec<String> =
            names.split(", ").map(|name| format!("[`{name}`](../{kind}/{name}.md)")).collect();
        lists.push(format!("{kind} {}", links.join(", ")));
    }
    Ok(lists.join("; "))
}

/// One page of a folder: all that the program says of one name, which may be the name of several things.
pub fn page(of: &[&Page], asked: &str, index: &str) -> Result<String> {
    let first = of.first().context("a page of nothing")?;
    let title = if of.len() == 1 { &*first.heading } else { first.name() };
    let mut text = format!(
        "# {}\n\n*Written by `cargo xtask docs` from `startrace {asked}`; do not edit. [All of them]({index})*\n",
        plain(title)
    );
    match of {
        [one] => text.push_str(&one.body("##")?),
        several => {
            for one in several {
                let _ = write!(text, "\n## {}\n", plain(&capital(one.kind())));
                text.push_str(&one.body("###")?);
            }
        }
    }
    Ok(text)
}

/// Pages on the same name together, in the order of the first.
pub fn by_file(all: &[Page]) -> Vec<(String, Vec<&Page>)> {
    let mut files: Vec<(String, Vec<&Page>)> = Vec::new();
    for page in all {
        let file = page.file();
        match files.iter_mut().find(|(known, _)| *known == file) {
            Some((_, of)) => of.push(page),
            None => files.push((file, vec![page])),
        }
    }
    files
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

fn table(text: &mut String, kind: &str, pages: &[&Page], folder: &str) {
    let _ = write!(text, "\n| {kind} | what it is |\n|---|---|\n");
    for page in pages {
        let what = plain(page.what()).replace('|', "\\|");
        let _ = writeln!(text, "| [`{}`]({folder}{}.md) | {what} |", page.name(), page.file());
    }
}

/// The page on a topic whose names have pages in the folder of its name: what is said of all, and a list.
pub fn topic_index(topic: &Topic, name: &str, pages: &[Page]) -> String {
    let mut text = format!(
        "# {}\n\n*Written by `cargo xtask docs` from `startrace help {name}`; do not edit.*\n",
        plain(&topic.title)
    );
    // The list of names follows in tables.
    for paragraph in topic.before.iter().filter(|paragraph| !paragraph.ends_with(':')) {
        let _ = write!(text, "\n{}\n", plain(paragraph));
    }
    let folder = format!("{name}/");
    let mut kinds: Vec<&str> = pages.iter().map(Page::kind).collect();
    kinds.dedup();
    for kind in &kinds {
        if kinds.len() > 1 {
            let _ = write!(text, "\n## {}\n", plain(&capital(kind)));
        }
        let of: Vec<&Page> = pages.iter().filter(|page| page.kind() == *kind).collect();
        table(&mut text, name.trim_end_matches('s'), &of, &folder);
    }
    for paragraph in &topic.after {
        let _ = write!(text, "\n{}\n", plain(paragraph));
    }
    text
}

/// The page that lists the findings.
pub fn findings_index(all: &[Page]) -> String {
    let mut text = String::from(
        "# Findings\n\n\
         *Written by `cargo xtask docs` from `startrace report --explain all`; do not edit.*\n\n\
         What `startrace report` looks for in every start, and what of it would help. The price that it tells is\n\
         measured in that very trace, or calculated from other times of it; findings that share time must not be\n\
         added up.\n",
    );
    table(&mut text, "finding", &all.iter().collect::<Vec<_>>(), "");
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
  See also  phases exec; methods exec,
            wrapper

dns-wait
  What      a
  Why       b
  Price     c
  Fix       d
  Mistakes  e
";

    #[test]
    fn what_is_explained_becomes_a_page_each() {
        let all = pages(EXPLAINED, OF_FINDINGS).unwrap();
        assert_eq!(all.iter().map(Page::file).collect::<Vec<_>>(), ["wrapper-chain", "dns-wait"]);
        assert_eq!(all[0].parts[0], ("What".to_owned(), "A start through several wrappers.".to_owned()));
        let text = page(&[&all[0]], "report --explain wrapper-chain", "README.md").unwrap();
        assert!(text.starts_with("# wrapper-chain\n"), "{text}");
        assert!(
            text.contains(
                "\n\nA start through several wrappers.\n\n## Why it takes time\n\nEach one execs.\n"
            ),
            "{text}"
        );
        assert!(text.contains("\nCall &lt;it&gt; itself.\n"), "{text}");
        assert!(
            text.ends_with(
                "\n## See also\n\nphases [`exec`](../phases/exec.md); methods [`exec`](../methods/exec.md), \
                 [`wrapper`](../methods/wrapper.md)\n"
            ),
            "{text}"
        );
        assert!(findings_index(&all).contains("| [`dns-wait`](dns-wait.md) | a |\n"));
        assert!(pages("", OF_FINDINGS).is_err());
        assert!(pages("x\n  What      a\n", OF_FINDINGS).is_err(), "a part is missing");
        assert!(pages("  What      a\n", OF_FINDINGS).is_err(), "no finding before");
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
    fn a_name_of_several_things_has_one_page_and_the_index_a_table_for_each_kind() {
        let list = topic("Methods\n\nHow.\n\nThey are:\n\n  fork  a copy\n").unwrap();
        let names = "fork (the call)\n  What      A copy.\n  Seen as   clone.\n  Cost      Much.\n  From      C.\n\nfork (the kind)\n  What      A\n            child.\n  Seen as   x\n  Cost      y\n  From      z\n";
        let all = pages(names, OF_METHODS).unwrap();
        let files = by_file(&all);
        assert_eq!(files.len(), 1);
        let (file, of) = &files[0];
        let text = page(of, "help methods fork", "../methods.md").unwrap();
        assert_eq!(file, "fork");
        assert!(text.starts_with("# fork\n"), "{text}");
        assert!(
            text.contains("\n## The call\n\nA copy.\n\n### How it is told from others\n\nclone.\n"),
            "{text}"
        );
        assert!(text.contains("\n## The kind\n\nA child.\n"), "{text}");
        let index = topic_index(&list, "methods", &all);
        assert!(
            index.contains("\nHow.\n\n## The call\n\n| method | what it is |\n|---|---|\n| [`fork`](methods/fork.md) | A copy. |\n"),
            "{index}"
        );
        assert!(!index.contains("They are"), "{index}");
        assert!(pages("fork\n  What      a\n", OF_METHODS).is_err());
        let other = pages("other:SYSCALL (state)\n  What      a\n  Measured  b\n  Look at   c\n", OF_WORDS);
        assert_eq!(other.unwrap()[0].file(), "other");
    }
}
