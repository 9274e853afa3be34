//! `cargo xtask docs`: the pages that say what the program says itself, so that they cannot differ.

mod pictures;
mod words;

use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const TRACE_INTRO: &str = include_str!("docs/trace.md");
const CLI_INTRO: &str = "\
# The command line

*Written by `cargo xtask docs` from the program's own help; do not edit.*
";

/// Topics of which each name has a page in the folder of that name in `docs/`; nothing else is there.
const FOLDERS: [&str; 4] = ["findings", "phases", "states", "methods"];

/// A page and what it has to hold.
struct Page {
    path: String,
    text: String,
}

pub fn command(args: &[String]) -> Result<()> {
    match args {
        [] => write(),
        [flag] if flag == "--check" => check(),
        [flag] if flag == "--pictures" => pictures::take(),
        _ => bail!("usage: cargo xtask docs [--check | --pictures]"),
    }
}

fn write() -> Result<()> {
    let pages = pages()?;
    for page in &pages {
        if fs::read_to_string(&page.path).is_ok_and(|old| old == page.text) {
            continue;
        }
        if let Some(folder) = Path::new(&page.path).parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&page.path, &page.text).with_context(|| page.path.clone())?;
        println!("{} is new", page.path);
    }
    for path in left_over(&pages)? {
        fs::remove_file(&path).with_context(|| path.clone())?;
        println!("{path} is gone");
    }
    Ok(())
}

/// Pages on names that there are no longer.
fn left_over(pages: &[Page]) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(format!("docs/{folder}")).into_iter().flatten() {
            let path = format!("docs/{folder}/{}", entry?.file_name().to_string_lossy());
            if !pages.iter().any(|page| page.path == path) {
                gone.push(path);
            }
        }
    }
    Ok(gone)
}

/// Fails where a page is not what the program says.
pub fn check() -> Result<()> {
    let pages = pages()?;
    let mut stale: Vec<String> = pages
        .iter()
        .filter(|page| fs::read_to_string(&page.path).ok().as_ref() != Some(&page.text))
        .map(|page| page.path.clone())
        .collect();
    stale.extend(left_over(&pages)?);
    if !stale.is_empty() {
        bail!("{} is not what the program says itself: run `cargo xtask docs`", stale.join(" and "));
    }
    println!("docs: {} pages are as the program says", pages.len());
    Ok(())
}

fn pages() -> Result<Vec<Page>> {
    shell::run(shell::cargo().args(["build", "--package", "startrace"]))?;
    let document = serde_json::from_str(&said(&["schema"])?).context("startrace schema")?;
    let line = serde_json::from_str(&said(&["schema", "--ndjson"])?).context("startrace schema --ndjson")?;
    let page = |path: &str, text| Page { path: path.to_owned(), text };
    let mut pages = vec![page("docs/cli.md", cli()?), page("docs/trace.md", trace(&document, &line)?)];
    for topic in FOLDERS {
        let parts = match topic {
            "findings" => words::OF_FINDINGS,
            "methods" => words::OF_METHODS,
            _ => words::OF_WORDS,
        };
        let all = words::pages(&said(&["help", topic, "all"])?, parts)?;
        let mut index = format!("../{topic}.md");
        if topic == "findings" {
            "README.md".clone_into(&mut index);
            pages.push(page("docs/findings/README.md", words::findings_index(&all)));
        } else {
            let said = words::topic(&said(&["help", topic])?)?;
            pages.push(page(&format!("docs/{topic}.md"), words::topic_index(&said, topic, &all)));
        }
        for (file, of) in words::by_file(&all) {
            let asked = match topic {
                "findings" => format!("report --explain {file}"),
                topic => format!("help {topic} {file}"),
            };
            pages.push(page(&format!("docs/{topic}/{file}.md"), words::page(&of, &asked, &index)?));
        }
    }
    let readiness = words::topic(&said(&["help", "readiness"])?)?;
    pages.push(page("docs/readiness.md", readiness.page("readiness")));
    broken_links(&pages)?;
    Ok(pages)
}

/// Fails where a page leads to another that is not written.
fn broken_links(pages: &[Page]) -> Result<()> {
    for page in
        pages.iter().filter(|page| FOLDERS.iter().any(|of| page.path.starts_with(&format!("docs/{of}"))))
    {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = match link.strip_prefix("../") {
                Some(link) => Path::new("docs").join(link),
                None => folder.join(link),
            };
            if !pages.iter().any(|page| Path::new(&page.path) == target) {
                bail!("{}: there is no {}", page.path, target.display());
            }
        }
    }
    Ok(())
}

/// Standard output of the program that was just built, as at a terminal of 80 columns.
fn said(args: &[&str]) -> Result<String> {
    let mut command = Command::new(shell::target().join("debug/startrace"));
    // `output` takes stdout and stderr; none of the three may be a terminal, whose width would count.
    command.args(args).env("COLUMNS", "80").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", shell::show(&command)))?;
    if !output.status.success() {
        bail!("{}: {}", shell::show(&command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn cli() -> Result<String> {
    let top = said(&["--help"])?;
    let mut text = CLI_INTRO.to_owned();
    section(&mut text, "startrace", &top);
    let names = commands(&top);
    if names.is_empty() {
        bail!("startrace --help names no commands");
    }
    for name in names {
        section(&mut text, &format!("startrace {name}"), &said(&[name, "--help"])?);
    }
    Ok(text)
}

fn section(text: &mut String, title: &str, help: &str) {
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {title}\n\n```text\n{}\n```\n", help.join("\n"));
}

/// The commands that a help text lists, but for `help`.
fn commands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect()
}

/// A table for each type: of the document, then of the lines, each after the one that names it first.
fn trace(document: &Value, line: &Value) -> Result<String> {
    let mut text = TRACE_INTRO.to_owned();
    let mut pages = Types { schema: document, seen: HashSet::new(), waiting: VecDeque::new() };
    let root = document.as_object().context("the schema is no object")?;
    pages.object(&mut text, "Trace", root)?;
    pages.rest(&mut text)?;
    pages.schema = line;
    pages.lines(&mut text)?;
    pages.rest(&mut text)?;
    Ok(text)
}

struct Types<'s> {
    schema: &'s Value,
    seen: HashSet<&'s str>,
    waiting: VecDeque<&'s str>,
}

impl<'s> Types<'s> {
    /// Types that were named and have no table yet.
    fn rest(&mut self, text: &mut String) -> Result<()> {
        while let Some(name) = self.waiting.pop_front() {
            let definition = self.schema["$defs"].get(name).and_then(Value::as_object);
            let definition = definition.with_context(|| format!("the schema does not define {name}"))?;
            match definition.get("oneOf").and_then(Value::as_array) {
                Some(values) => choices(text, name, definition, values),
                None => self.object(text, name, definition)?,
            }
        }
        Ok(())
    }

    fn object(&mut self, text: &mut String, name: &str, object: &'s Map<String, Value>) -> Result<()> {
        heading(text, name, object);
        let fields = object.get("properties").and_then(Value::as_object);
        let fields = fields.with_context(|| format!("{name} has no fields"))?;
        self.table(text, fields);
        Ok(())
    }

    fn table(&mut self, text: &mut String, fields: &'s Map<String, Value>) {
        text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
        for (name, field) in fields {
            let kind = self.kind(field);
            let _ = writeln!(text, "| `{name}` | {kind} | {} |", meaning(field));
        }
    }

    /// The kinds of lines: those that are a type of their own by its name, the others by their fields.
    fn lines(&mut self, text: &mut String) -> Result<()> {
        let root = self.schema.as_object().context("the schema is no object")?;
        heading(text, "Line", root);
        text.push_str(
            "\nEvery line has a field `type`:\n\n| `type` | other fields | meaning |\n|---|---|---|\n",
        );
        for kind in root.get("oneOf").and_then(Value::as_array).context("no kinds of lines")? {
            let name = kind["properties"]["type"]["const"].as_str().context("a line without type")?;
            let fields = match kind.get("$ref") {
                Some(_) => format!("those of {}", self.kind(kind)),
                None => {
                    let fields = kind["properties"].as_object().context("a line without fields")?;
                    let fields = fields.iter().filter(|(name, _)| *name != "type");
                    let fields: Vec<String> = fields
                        .map(|(name, field)| {
                            let kind = self.kind(field);
                            format!("`{name}` ({kind}): {}", meaning(field))
                        })
                        .collect();
                    fields.join("<br>")
                }
            };
            let _ = writeln!(text, "| `{name}` | {fields} | {} |", meaning(kind));
        }
        Ok(())
    }

    fn kind(&mut self, field: &'s Value) -> String {
        if let Some(name) = field["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            if self.seen.insert(name) {
                self.waiting.push_back(name);
            }
            return format!("[{name}](#{})", name.to_lowercase());
        }
        if let Some(any) = field["anyOf"].as_array() {
            let kinds: Vec<String> = any.iter().map(|one| self.kind(one)).collect();
            return kinds.join(" or ");
        }
        if let Some(fixed) = field.get("const") {
            return format!("`{fixed}`");
        }
        match &field["type"] {
            Value::String(kind) => self.named(kind, field),
            Value::Array(kinds) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                let kinds: Vec<String> = kinds.map(|kind| self.named(kind, field)).collect();
                kinds.join(" or ")
            }
            _ => "any".to_owned(),
        }
    }

    fn named(&mut self, kind: &str, field: &'s Value) -> String {
        match kind {
            "array" => format!("array of {}", self.kind(&field["items"])),
            "object" if field["additionalProperties"].is_object() => {
                format!("object of {}", self.kind(&field["additionalProperties"]))
            }
            "null" => "`null`".to_owned(),
            kind => kind.to_owned(),
        }
    }
}

fn heading(text: &mut String, name: &str, object: &Map<String, Value>) {
    let meaning = object.get("description").and_then(Value::as_str).map(flat).unwrap_or_default();
    let _ = write!(text, "\n## {name}\n\n{meaning}\n");
}

fn choices(text: &mut String, name: &str, definition: &Map<String, Value>, values: &[Value]) {
    heading(text, name, definition);
    text.push_str("\n| value | meaning |\n|---|---|\n");
    for value in values {
        let _ = writeln!(text, "| `{}` | {} |", value["const"], meaning(value));
    }
}

fn meaning(field: &Value) -> String {
    field["description"].as_str().map(flat).unwrap_or_default()
}

/// On one line, fit for a table.
fn flat(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_becomes_tables_each_type_once() {
        let document = json!({"properties": {
                "list": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "description": "All\nof a|b."},
                "one": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}]},
                "fixed": {"const": "x", "type": "string"},
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}}},
            "$defs": {"Item": {"description": "An item.", "properties": {
                    "size": {"type": ["integer", "null"]}, "of": {"$ref": "#/$defs/Kind"}}},
                "Kind": {"oneOf": [{"const": "big", "description": "Large."}]}}});
        let line = json!({"description": "A line.", "$defs": {"Item": {"properties": {}}}, "oneOf": [
            {"$ref": "#/$defs/Item", "properties": {"type": {"const": "item"}}, "description": "One."},
            {"properties": {"type": {"const": "end"}, "n": {"type": "integer", "description": "How many."}}}]});
        let text = trace(&document, &line).unwrap();
        let text = text.strip_prefix(TRACE_INTRO).unwrap();
        for wanted in [
            "| `list` | array of [Item](#item) | All of a\\|b. |",
            "| `one` | [Item](#item) or `null` |  |",
            "| `fixed` | `\"x\"` |  |",
            "| `counts` | object of integer |  |",
            "## Item\n\nAn item.\n\n| field |",
            "| `size` | integer or `null` |  |",
            "| `\"big\"` | Large. |",
            "| `item` | those of [Item](#item) | One. |",
            "| `end` | `n` (integer): How many. |  |",
        ] {
            assert_eq!(text.matches(wanted).count(), 1, "{wanted} in {text}");
        }
        assert!(trace(&json!({"properties": {"a": {"$ref": "#/$defs/Gone"}}}), &line).is_err());
    }

    #[test]
    fn commands_are_read_from_the_help() {
        let help = "Says.\n\nCommands:\n  record   Record\n  doctor   Say what\n           is missing\n  help     x\n\nOptions:\n  -v\n";
        assert_eq!(commands(help), ["record", "doctor"]);
        assert!(commands("nothing").is_empty());
    }
}
