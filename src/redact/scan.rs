//! One pass over an argument.

use super::names::{Class, Place};
use super::{MARK, Program, Redactor};
use crate::sort::SortSmall;
use std::ops::Range;

/// What the next word is.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Value(Class),
    /// Of user:password only the password.
    UserInfo,
}

/// What was seen of a program that takes a credential as a word.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    with: bool,
    fewer: bool,
    after: bool,
    skip: bool,
    words: u8,
}

/// Schemes of the header Authorization.
const SCHEMES: [&str; 7] = ["bearer", "basic", "token", "digest", "negotiate", "apikey", "key"];
/// Ends of paths that hold a key or a certificate.
const FILES: [&str; 9] = [".pem", ".key", ".crt", ".pub", ".json", ".txt", ".yml", ".yaml", ".p12"];
/// A user without a password in a URL that is as long as this is a token.
const TOKEN: usize = 20;

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

/// Kinds of bytes, looked up: this is asked for each byte of each argument of the machine.
const NAME: u8 = 1;
const SPACE: u8 = 2;
const QUOTE: u8 = 4;
/// Before a word, beside these.
const BEFORE: u8 = 8;
static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        table[at] = match byte {
            b'_' | b'.' | b'-' => NAME,
            b'"' | b'\'' | b'`' => QUOTE,
            b'(' | b'{' | b',' | b';' | b'|' | b'&' => BEFORE,
            _ if byte.is_ascii_alphanumeric() => NAME,
            _ if byte.is_ascii_whitespace() => SPACE,
            _ => 0,
        };
        at += 1;
    }
    table
}

#[inline]
fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

fn is_space(byte: u8) -> bool {
    kind(byte) == SPACE
}

fn is_quote(byte: u8) -> bool {
    kind(byte) == QUOTE
}

fn is_name(byte: u8) -> bool {
    kind(byte) == NAME
}

/// What may stand in a token.
fn is_token(byte: u8) -> bool {
    is_name(byte) || matches!(byte, b'/' | b'+' | b'=' | b'~')
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

    /// The end of a value in the middle of text.
    fn value_end(&self, bytes: &[u8], start: usize, quote: u8) -> usize {
        let rest = bytes.get(start..).unwrap_or(&[]);
        let ends = |(at, &byte): (usize, &u8)| {
            if quote != 0 && byte == quote {
                return true;
            }
            if is_space(byte) {
                return quote == 0;
            }
            // Another assignment follows: a query, a connection string.
            matches!(byte, b'&' | b';' | b',') && {
                let next = rest.get(at + 1..).unwrap_or(&[]);
                let name = next.iter().take_while(|&&byte| is_name(byte)).count();
                name > 0 && next.get(name) == Some(&b'=')
            } || (quote == 0 && is_quote(byte))
        };
        let end = rest.iter().enumerate().position(|(at, byte)| ends((at, byte)));
        let mut end = end.map_or(bytes.len(), |length| start + length);
        // What closes around the value is not part of it: `pid 1 (mysql -pX)`, `{"password":X}`.
        if quote == 0 && (self.script || end < bytes.len()) {
            let open = |byte: u8| bytes.get(start..end).is_some_and(|value| value.contains(&byte));
            let (round, curly) = (open(b'('), open(b'{'));
            while end > start
                && match bytes.get(end - 1) {
                    Some(b')') => !round,
                    Some(b'}') => !curly,
                    Some(b';' | b',') => true,
                    _ => false,
                }
            {
                end -= 1;
            }
        }
        end
    }

    /// The next word was announced. False: it is not what was expected.
    fn take(&mut self, expected: Expected, argument: &str, range: Range<usize>) -> bool {
        let value = argument.get(range.clone()).unwrap_or_default();
        // A flag. Tokens may begin with a dash, too.
        if value.starts_with("--") || value.starts_with('-') && value.len() < 12 {
            return false;
        }
        match expected {
            Expected::Value(class) => {
                // openssl says where it has the password from.
                let (kind, rest) = value.split_once(':').unwrap_or(("", value));
                match kind {
                    "env" | "file" | "fd" => {}
                    "pass" => {
                        self.cut(argument, range.end - rest.len()..range.end, class);
                    }
                    _ if value.contains("://") => return false,
                    _ => {
                        self.cut(argument, range, class);
                    }
                }
            }
            Expected::UserInfo => {
                if let Some(at) = value.find([':', '%', ',']) {
                    self.cut(argument, range.start + at + 1..range.end, Class::Key);
                }
            }
        }
        true
    }

    /// Notes a value, if it is one.
    fn cut(&mut self, argument: &str, range: Range<usize>, class: Class) -> bool {
        let value = argument.get(range.clone()).unwrap_or_default();
        let is_reference = value.starts_with("${")
            || value.starts_with("$(")
            || value.starts_with('$') && (self.script || argument.bytes().any(is_space));
        let is_path = ["/", "./", "../", "~/"].iter().any(|begin| value.starts_with(begin))
            || FILES.iter().any(|end| value.ends_with(end));
        let is_word = ["true", "false", "yes", "no", "on", "off", "null", "none", "stdin", "-", MARK]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(value));
        let is_small = value.len() <= 2 && value.bytes().all(|byte| byte.is_ascii_digit());
        let is_masked = value.bytes().all(|byte| matches!(byte, b'*' | b'.'));
        if is_reference
            || is_word
            || is_small
            || is_masked
            || value.starts_with(MARK)
            || (class == Class::Key && is_path)
            || (value.starts_with('<') && value.ends_with('>'))
        {
            return false;
        }
        self.cuts.push(range);
        true
    }

    /// After `://`: the password, if there is one; gives where the host begins.
    fn authority(&mut self, argument: &str, start: usize) -> usize {
        let bytes = argument.as_bytes();
        let rest = bytes.get(start..).unwrap_or(&[]);
        let word = rest.iter().position(|&byte| is_space(byte) || is_quote(byte)).unwrap_or(rest.len());
        let word = rest.get(..word).unwrap_or(&[]);
        let whole = word.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(word.len());
        let last_at = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'@');
        let authority = word.get(..whole).unwrap_or(&[]);
        let at = last_at(authority).or_else(|| {
            // A password with a slash that nobody has escaped: what follows the colon is no port.
            let colon = authority.iter().position(|&byte| byte == b':')?;
            let port = authority
                .get(colon + 1..)
                .is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
            if port { None } else { last_at(word) }
        });
        let Some(at) = at else { return start };
        let user = word.get(..at).unwrap_or(&[]);
        match user.iter().position(|&byte| byte == b':') {
            Some(colon) => {
                self.cut(argument, start + colon + 1..start + at, Class::Secret);
            }
            None if user.len() >= TOKEN => {
                self.cut(argument, start..start + at, Class::Secret);
            }
            None => {}
        }
        start + at + 1
    }

    /// A value that tells by itself what it is; gives its end.
    fn shape(&mut self, argument: &str, start: usize) -> Option<usize> {
        let rest = argument.as_bytes().get(start..)?;
        if !self.rules.begins[usize::from(*rest.first()?)] {
            return None;
        }
        if rest.starts_with(b"-----BEGIN ") {
            let text = argument.get(start..)?;
            let (head, _) = text.get(5..)?.split_once("-----")?;
            if !head.ends_with("PRIVATE KEY") {
                return None;
            }
            let end = text.find("-----END ").and_then(|end| {
                let tail = text.get(end + 9..)?.find("-----")?;
                Some(start + end + 9 + tail + 5)
            });
            let end = end.unwrap_or(argument.len());
            self.cuts.push(start..end);
            return Some(end);
        }
        let shape = self.rules.shapes.iter().find_map(|shape| {
            let value = rest.strip_prefix(shape.begin.as_bytes())?;
            let allowed = |&&byte: &&u8| {
                if shape.capitals {
                    byte.is_ascii_uppercase() || byte.is_ascii_digit()
                } else {
                    is_token(byte)
                }
            };
            let length = value.iter().take_while(allowed).count();
            let dots = value.get(..length)?.iter().filter(|&&byte| byte == b'.').count();
            (length >= shape.least && dots >= shape.dots).then_some(start + shape.begin.len() + length)
        })?;
        self.cuts.push(start..shape);
        Some(shape)
    }

    /// Counts a word of a program that takes a credential without a flag; is it that one?
    fn is_word_of_credential(&mut self, word: &str) -> bool {
        let Some(rule) = self.program.and_then(|program| program.words.as_ref()) else { return false };
        let counted = &mut self.counted;
        if std::mem::take(&mut counted.skip) {
            return false;
        }
        if word.len() > 1 && word.starts_with('-') {
            let letters = if word.starts_with("--") { "" } else { word };
            counted.with |= rule.with.is_some_and(|letter| letters.contains(letter));
            counted.fewer |= rule.fewer.is_some_and(|letter| letters.contains(letter));
            counted.skip = rule.skip.iter().any(|flag| announces(flag, word));
            return false;
        }
        if !rule.after.is_empty() && !counted.after {
            counted.after = rule.after.iter().any(|after| after == word);
            return false;
        }
        counted.words = counted.words.saturating_add(1);
        // In prose a program's name may stand by itself.
        let is_sure = !self.text || counted.with || counted.after;
        is_sure
            && (rule.with.is_none() || counted.with)
            && counted.words.saturating_add(u8::from(counted.fewer)) == rule.place
    }

    /// A word without a value of its own: a flag whose value may follow, or a program.
    fn bare(&mut self, argument: &str, range: Range<usize>, is_plain: bool) {
        let Some(word) = argument.get(range.clone()) else { return };
        if self.script && self.is_word_of_credential(word) {
            let bare = word.trim_end_matches([')', ',', ';', '"', '\'']);
            self.cut(argument, range.start..range.start + bare.len(), Class::Secret);
            return;
        }
        if let Some(program) = self.program {
            self.after |= program.after.as_deref() == Some(word);
            if program.except.iter().any(|flag| flag == word) {
                return;
            }
            if program.after.is_none() || self.after {
                for (flags, expected) in [
                    (&program.value, Expected::Value(Class::Secret)),
                    (&program.userinfo, Expected::UserInfo),
                ] {
                    for flag in flags {
                        if let Some(value) = glued(flag, word) {
                            let to = if self.script || range.start > 0 { range.end } else { argument.len() };
                            let to = to - usize::from(self.script && word.ends_with(')'));
                            self.take(expected, argument, range.start + value..to.max(range.start + value));
                            return;
                        }
                        if announces(flag, word) {
                            self.expected = Some(expected);
                            return;
                        }
                    }
                }
            }
        }
        if word.starts_with('-') {
            if is_plain && word.len() > 4 {
                let class = self.rules.names.class(word.as_bytes(), Place::Flag);
                self.expected = class.map(Expected::Value);
            }
            return;
        }
        // Wrappers come before it: sudo, env, sh -c.
        let slash = word.bytes().rposition(|byte| byte == b'/');
        let name = slash.and_then(|slash| word.get(slash + 1..)).unwrap_or(word);
        if self.rules.may_be_program(name)
            && let Some(program) = self.rules.programs.get(name)
        {
            // What is a word of the program before is not another one.
            if self.script || self.counted.words == 0 {
                (self.program, self.after, self.counted) = (Some(program), false, Counted::default());
            }
        }
    }
}

/// What is not seen: control characters but those that are blanks, and fillers without a width.
fn is_unseen(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}' => true,
        c => c.is_control(),
    }
}

/// Are there such in it? Asked of each argument of the machine: hardly any is.
fn is_disguised(argument: &str) -> bool {
    let hidden = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f;
    argument.bytes().any(|byte| hidden(byte) || byte >= 0x80) && argument.chars().any(is_unseen)
}

/// Without them, and without the sequences that begin with an escape; and where each byte was.
fn undisguised(argument: &str) -> (String, Vec<usize>) {
    let mut out = String::with_capacity(argument.len());
    let mut places = Vec::with_capacity(argument.len() + 1);
    let mut chars = argument.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if matches!(c, '\u{1b}' | '\u{9b}') {
            // ESC [ parameters, and one letter that ends it.
            let begins = c == '\u{9b}' || chars.next_if(|(_, c)| *c == '[').is_some();
            if begins {
                while chars.next_if(|(_, c)| matches!(c, ' '..='?')).is_some() {}
                chars.next_if(|(_, c)| matches!(c, '@'..='~'));
            }
        } else if !is_unseen(c) {
            out.push(c);
            places.extend(at..at + c.len_utf8());
        }
    }
    (out, places)
}

/// `-p*`, `--flag=`: where the value begins in the word.
fn glued(flag: &str, word: &str) -> Option<usize> {
    match flag.strip_suffix('*') {
        Some(begin) if flag != "-*" => {
            (word.len() > begin.len() && word.starts_with(begin)).then_some(begin.len())
        }
        _ => {
            let value = word.strip_prefix(flag)?.strip_prefix('=')?;
            (flag.starts_with("--") && !value.is_empty()).then_some(flag.len() + 1)
        }
    }
}

/// Is the value the next word?
fn announces(flag: &str, word: &str) -> bool {
    match flag.strip_prefix("-*") {
        Some(letter) if !letter.is_empty() => {
            let letters = word.strip_prefix('-').unwrap_or_default();
            (2..=6).contains(&letters.len())
                && letters.ends_with(letter)
                && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        }
        _ => flag == word,
    }
}
