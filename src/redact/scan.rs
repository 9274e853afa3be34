//! One pass over an argument.

mod bytes;
mod disguise;
mod flags;
mod value;

use super::names::{Class, Place};
use super::{MARK, Program, Redactor};
use crate::sort::SortSmall;
use bytes::{BEFORE, NAME, QUOTE, SPACE, is_name, is_quote, is_space, kind};
use disguise::{is_disguised, undisguised};
use flags::Counted;
use std::ops::Range;

/// What the next word is.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Value(Class),
    /// Of user:password only the password.
    UserInfo,
}

/// Schemes of the header Authorization.
const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "digest", "negotiate", "apikey", "key"];

/// Goes over the arguments of one command line.
pub(super) struct Scan<'r> {
    rules: &'r Redactor,
    program: Option<&'r Program>,
    /// The word came after which the program's flags count.
    after: bool,
    counted: Counted,
    expected: Option<Expected>,
    /// This argument is a script: `sh -c`.
    script: bool,
    /// All is text.
    text: bool,
    cuts: Vec<Range<usize>>,
}

impl<'r> Scan<'r> {
    pub(super) fn new(rules: &'r Redactor, text: bool) -> Self {
        Self {
            rules,
            program: None,
            after: false,
            counted: Counted::default(),
            expected: None,
            script: text,
            text,
            cuts: Vec::new(),
        }
    }

    /// Looks for credentials in the next argument.
    pub(super) fn argument(&mut self, argument: &str) {
        if !is_disguised(argument) {
            return self.plain(argument);
        }
        // A terminal, a log and a reader see the name without them.
        let (plain, mut places) = undisguised(argument);
        places.push(argument.len());
        self.plain(&plain);
        let place = |at: usize| places.get(at).copied().unwrap_or(argument.len());
        for cut in &mut self.cuts {
            *cut = place(cut.start)..place(cut.end);
        }
    }

    fn plain(&mut self, argument: &str) {
        let bytes = argument.as_bytes();
        if let Some(expected) = self.expected.take()
            && self.take(expected, argument, 0..bytes.len())
        {
            self.script = self.text;
            return;
        }
        if self.script && !self.text {
            // The words of a script are not the program's.
            self.counted.words = u8::MAX;
        }
        if !self.script && self.is_word_of_credential(argument) {
            self.cut(argument, 0..bytes.len(), Class::Secret);
            return;
        }
        let mut at = 0;
        while at < bytes.len() {
            at = self.word(argument, at);
        }
        self.script = self.text || (bytes.len() <= 5 && bytes.starts_with(b"-") && bytes.ends_with(b"c"));
        if !self.rules.patterns.is_empty() {
            for pattern in &self.rules.patterns {
                for found in pattern.captures_iter(argument) {
                    let range = found.get(1).or_else(|| found.get(0)).map(|group| group.range());
                    self.cuts.extend(range.filter(|range| !range.is_empty()));
                }
            }
        }
    }

    /// The argument with what was found replaced, and how often that was.
    pub(super) fn replaced(&mut self, argument: &str) -> Option<(String, u64)> {
        if self.cuts.is_empty() {
            return None;
        }
        self.cuts.sort_small_by_key(|cut| cut.start);
        let mut out = String::with_capacity(argument.len());
        let (mut done, mut values) = (0, 0);
        for cut in self.cuts.drain(..) {
            if cut.start >= done {
                out.push_str(argument.get(done..cut.start).unwrap_or_default());
                out.push_str(MARK);
                values += 1;
            }
            done = done.max(cut.end);
        }
        out.push_str(argument.get(done..).unwrap_or_default());
        Some((out, values))
    }

    /// Looks at the word that begins there or later; gives the place after it.
    fn word(&mut self, argument: &str, mut at: usize) -> usize {
        let bytes = argument.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        while at < bytes.len() && kind(byte(at)) & (SPACE | QUOTE | BEFORE) != 0 {
            at += 1;
        }
        let start = at;
        if start == bytes.len() {
            return start;
        }
        let quote = start.checked_sub(1).map_or(0, byte);
        let quote = if is_quote(quote) { quote } else { 0 };
        if let Some(expected) = self.expected.take() {
            let end = self.value_end(bytes, start, quote);
            if self.take(expected, argument, start..end) {
                return end;
            }
        }
        if let Some(end) = self.shape(argument, start) {
            return end;
        }
        let mut name = start;
        let mut at = start;
        while let Some(&here) = bytes.get(at) {
            let kind = kind(here);
            if kind == NAME {
                let rest = bytes.get(at..).unwrap_or(&[]);
                at += rest.iter().position(|&byte| !is_name(byte)).unwrap_or(rest.len());
                continue;
            }
            if kind & (SPACE | QUOTE) != 0 {
                break;
            }
            if here == b'=' {
                if byte(at + 1) != b'='
                    && let Some(class) = self.class(bytes, name..at)
                {
                    let opening = byte(at + 1);
                    // A whole argument of NAME=VALUE has nothing after the value, not even after a space.
                    let before = name.checked_sub(1).map_or(b'=', byte);
                    let whole = !self.script && quote == 0 && before == b'=';
                    let value = if whole {
                        at + 1..bytes.len()
                    } else if is_quote(opening) {
                        at + 2..self.value_end(bytes, at + 2, opening)
                    } else {
                        at + 1..self.value_end(bytes, at + 1, quote)
                    };
                    if self.cut(argument, value.clone(), class) {
                        return value.end.max(at + 1);
                    }
                }
            } else if here == b':' {
                if bytes.get(at + 1..at + 3) == Some(b"//") {
                    at = self.authority(argument, at + 3);
                    name = at;
                    if let Some(end) = self.shape(argument, at) {
                        return end;
                    }
                    continue;
                }
                if let Some(end) = self.keyed(argument, name..at, at, quote) {
                    return end;
                }
            }
            at += 1;
            name = at;
            if let Some(end) = self.shape(argument, at) {
                return end;
            }
        }
        // "name": "value"
        if is_quote(byte(at)) && name < at {
            let colon = at + 1 + bytes.iter().skip(at + 1).take_while(|&&byte| is_space(byte)).count();
            if byte(colon) == b':'
                && let Some(end) = self.keyed(argument, name..at, colon, 0)
            {
                return end;
            }
        }
        self.bare(argument, start..at, name == start);
        at
    }

    fn class(&self, bytes: &[u8], name: Range<usize>) -> Option<Class> {
        // The last part of a path is a file's name.
        if name.start > 0 && bytes.get(name.start - 1) == Some(&b'/') {
            return None;
        }
        let name = bytes.get(name).filter(|name| name.len() >= 3)?;
        self.rules.names.class(name, Place::Assigned)
    }

    /// `NAME: VALUE`, a header, or a key of JSON or YAML.
    fn keyed(&mut self, argument: &str, name: Range<usize>, colon: usize, quote: u8) -> Option<usize> {
        let bytes = argument.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let text = argument.get(name.clone())?;
        // curl takes it glued.
        let text = text.strip_prefix("-H").unwrap_or(text);
        let mut at = colon + 1;
        if self.rules.headers.iter().any(|header| header.eq_ignore_ascii_case(text)) {
            while is_space(byte(at)) || is_quote(byte(at)) && quote == 0 {
                at += 1;
            }
            let opening = at.checked_sub(1).map_or(0, byte);
            let closing = if is_quote(opening) { opening } else { quote };
            let end =
                bytes.iter().skip(at).position(|&byte| byte == b'\n' || (closing != 0 && byte == closing));
            let end = end.map_or(bytes.len(), |length| at + length);
            let value = argument.get(at..end)?;
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
                at += scheme.len() + (value.len() - scheme.len() - rest.trim_start().len());
            }
            return self.cut(argument, at..end, Class::Secret).then_some(end);
        }
        if !is_space(byte(at)) && !is_quote(byte(at)) {
            return None;
        }
        let class = self.class(bytes, name)?;
        while is_space(byte(at)) {
            at += 1;
        }
        let opening = byte(at);
        let value = if is_quote(opening) && opening != quote {
            at + 1..self.value_end(bytes, at + 1, opening)
        } else {
            at..self.value_end(bytes, at, quote)
        };
        let end = value.end;
        self.cut(argument, value, class).then_some(end)
    }
}
