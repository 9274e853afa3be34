//! Credentials in command lines, and their replacement by [`MARK`].
//!
//! What is taken for one is a table that people can read and add to (`rules.toml`, `--print-redact-rules`,
//! `--redact-rules`). The scanner (`scan.rs`) goes once over the bytes of an argument. It runs for every program
//! that is started, so an ordinary command line costs well under a microsecond, and nothing is allocated for it.

mod file;
mod names;
mod scan;
mod start;
#[cfg(test)]
mod tests;

use crate::hash::{HashMap, HashSet};
use crate::packed;
use names::Names;
use std::cell::RefCell;
use std::sync::LazyLock;

/// What stands in the place of a credential.
pub const MARK: &str = "[redacted]";

/// The usual rules, as a file for `--redact-rules`.
pub static RULES: LazyLock<String> = LazyLock::new(|| packed::text!("redact/rules.toml"));

/// Most of a file of rules that is read; the usual ones have 7 KB.
pub const MAX_RULES: u64 = 1 << 20;

/// A file of rules.
#[derive(Debug, Default)]
struct Table {
    patterns: Vec<String>,
    headers: Vec<String>,
    names: Names,
    programs: HashMap<String, Program>,
    shapes: Vec<Shape>,
}

/// The flags of one program.
#[derive(Debug, Default, Clone)]
struct Program {
    value: Vec<String>,
    userinfo: Vec<String>,
    after: Option<String>,
    except: Vec<String>,
    words: Option<Words>,
}

/// A credential without a flag: the word of that number among those that are none.
#[derive(Debug, Default, Clone)]
struct Words {
    place: u8,
    /// Only behind a flag with this letter.
    with: Option<char>,
    /// One less behind a flag with this letter.
    fewer: Option<char>,
    /// Only behind one of these words.
    after: Vec<String>,
    /// Flags whose value is the next word.
    skip: Vec<String>,
}

/// A value that tells by itself what it is.
#[derive(Debug, Clone)]
struct Shape {
    begin: String,
    least: usize,
    dots: usize,
    capitals: bool,
}

/// Replaces what looks like a credential.
#[derive(Debug)]
pub struct Redactor {
    names: Names,
    headers: Vec<String>,
    programs: HashMap<String, Program>,
    /// By first byte, a bit for each length of a program's name: most words are none.
    lengths: [u64; 256],
    shapes: Vec<Shape>,
    /// Bytes that a shape begins with.
    begins: [bool; 256],
    patterns: Vec<regex_lite::Regex>,
    /// Texts without credentials: what is told of one start is told of the next in the same words.
    clean: RefCell<HashSet<Box<str>>>,
}

/// Texts that are remembered, and the longest of them: half a megabyte at most.
const MAX_CLEAN: usize = 2048;
const LONGEST_CLEAN: usize = 256;

/// A command line with replacements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// All of it.
    pub argv: Vec<String>,
    /// How many values were replaced.
    pub values: u64,
}

impl Redactor {
    /// The usual rules, and those of a file.
    ///
    /// # Errors
    /// What is wrong with the file, with line and column but without its text.
    pub fn new(more: Option<&str>) -> Result<Self, String> {
        let mut table = file::parse(&RULES)?;
        if let Some(text) = more {
            let more = file::parse(text)?;
            table.patterns.extend(more.patterns);
            table.headers.extend(more.headers);
            table.names.add(more.names);
            for (name, program) in more.programs {
                let known = table.programs.entry(name).or_default();
                known.value.extend(program.value);
                known.userinfo.extend(program.userinfo);
                known.except.extend(program.except);
                known.after = program.after.or(known.after.take());
                known.words = program.words.or(known.words.take());
            }
            table.shapes.extend(more.shapes);
        }
        let placeless =
            |(_, program): &(&String, &Program)| program.words.as_ref().is_some_and(|words| words.place == 0);
        if let Some((name, _)) = table.programs.iter().find(placeless) {
            return Err(format!("programs: {name}: words: place: from 1 on"));
        }
        let compile = |pattern: &String| {
            regex_lite::Regex::new(pattern).map_err(|error| format!("patterns: {pattern}: {error}"))
        };
        let mut begins = [false; 256];
        begins[usize::from(b'-')] = true;
        for shape in &table.shapes {
            match shape.begin.as_bytes() {
                [first, _, ..] => begins[usize::from(*first)] = true,
                _ => return Err("shapes: begin: two characters at least".to_owned()),
            }
        }
        let mut lengths = [0; 256];
        for name in table.programs.keys() {
            lengths[usize::from(name.bytes().next().unwrap_or(0))] |= 1 << name.len().min(63);
        }
        table.names.prepare();
        Ok(Self {
            lengths,
            patterns: table.patterns.iter().map(compile).collect::<Result<_, _>>()?,
            headers: table.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            names: table.names,
            programs: table.programs,
            shapes: table.shapes,
            begins,
            clean: RefCell::default(),
        })
    }

    fn may_be_program(&self, name: &str) -> bool {
        let lengths = name.bytes().next().map_or(0, |first| self.lengths[usize::from(first)]);
        lengths >> name.len().min(63) & 1 != 0
    }

    /// The command line with its credentials replaced; `None`: there is none.
    pub fn argv(&self, argv: &[String]) -> Option<Redacted> {
        let mut scan = scan::Scan::new(self, false);
        let mut out: Option<Redacted> = None;
        for (at, argument) in argv.iter().enumerate() {
            scan.argument(argument);
            if let Some((text, values)) = scan.replaced(argument) {
                let out = out.get_or_insert_with(|| Redacted { argv: argv.to_vec(), values: 0 });
                out.values += values;
                if let Some(place) = out.argv.get_mut(at) {
                    *place = text;
                }
            }
        }
        out
    }

    /// The same for text that quotes a command line; `None`: there is none.
    pub fn text(&self, text: &str) -> Option<String> {
        let short = text.len() <= LONGEST_CLEAN;
        if short && self.clean.borrow().contains(text) {
            return None;
        }
        let mut scan = scan::Scan::new(self, true);
        scan.argument(text);
        let replaced = scan.replaced(text).map(|(text, _)| text);
        if short && replaced.is_none() {
            let mut clean = self.clean.borrow_mut();
            if clean.len() >= MAX_CLEAN {
                clean.clear();
            }
            clean.insert(text.into());
        }
        replaced
    }
}
