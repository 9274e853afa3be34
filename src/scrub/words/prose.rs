//! Sentences and arguments: paths and names of tasks within them are replaced as they are where they stand alone.

use super::{EXTENSIONS, Pseudonyms, RUNTIMES, is_program};

/// Between the one who had a CPU and how long.
const HELD: &str = " had the CPU for the last ";

/// What stands in a text and is more than its words.
enum Whole<'a> {
    /// A path.
    Path(&'a str),
    /// `pid 17 (`, and the first word or all of what follows.
    Task(&'a str, &'a str),
}

impl Pseudonyms {
    /// A sentence of ours, with names of others in it.
    pub(in crate::scrub) fn text(&self, text: &str) -> String {
        // A time that was asked for is a time, and those stay.
        if text.strip_prefix("asked for ").is_some_and(is_length) {
            return text.to_owned();
        }
        // ... and so is one that was measured.
        match text.rsplit_once(HELD).filter(|(_, length)| is_length(length)) {
            Some((before, length)) => format!("{}{HELD}{length}", self.sentence(before)),
            None => self.sentence(text),
        }
    }

    fn sentence(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut begin, mut at) = (0, 0);
        while let Some(c) = text[at..].chars().next() {
            let Some(whole) = whole(text, at) else {
                at += c.len_utf8();
                continue;
            };
            self.plain(&text[begin..at], &mut out);
            match whole {
                Whole::Path(path) => {
                    out.push_str(&self.path(path));
                    at += path.len();
                }
                Whole::Task(head, name) => {
                    out.push_str(head);
                    out.push_str(&self.program(name));
                    at += head.len() + name.len();
                }
            }
            begin = at;
        }
        self.plain(&text[begin..], &mut out);
        out
    }

    /// A piece of a sentence without paths.
    fn plain(&self, text: &str, out: &mut String) {
        let stays = |word: &str| self.is_own(word) || is_program(word) || EXTENSIONS.contains(&word);
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '/');
        // Addresses first: their parts are short numbers, which alone would tell.
        for piece in text.split_inclusive(ends) {
            let (head, tail) = piece.split_at(piece.trim_end_matches(ends).len());
            let number = head.bytes().all(|byte| byte.is_ascii_digit());
            match self.address(head) {
                Some(address) => out.push_str(&address),
                // A pid stands after its word, which is another piece; so does a runtime's version.
                None if number && out.ends_with("pid ") => out.push_str(head),
                // What a server answered is no number of theirs.
                None if number && head.len() == 3 && out.ends_with("HTTP ") => out.push_str(head),
                None if is_release(head) && follows_runtime(out) => out.push_str(head),
                None => out.push_str(&self.tokens(head, stays)),
            }
            out.push_str(tail);
        }
    }

    /// An argument: its dashes, and what parts its words.
    pub(in crate::scrub) fn argument(&self, text: &str) -> String {
        if text.starts_with('/')
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, ':' | '=' | ','))
        {
            return self.path(text);
        }
        if let Some(address) = self.address(text) {
            return address;
        }
        let stays = |word: &str| is_program(word) || EXTENSIONS.contains(&word);
        let mut out = String::with_capacity(text.len());
        let (mut begin, mut at) = (0, 0);
        while let Some(c) = text[at..].chars().next() {
            if let Some(path) = path_at(text, at) {
                out.push_str(&self.tokens(&text[begin..at], stays));
                out.push_str(&self.path(path));
                at += path.len();
                begin = at;
            } else {
                at += c.len_utf8();
            }
        }
        out.push_str(&self.tokens(&text[begin..], stays));
        out
    }
}

fn whole(text: &str, at: usize) -> Option<Whole<'_>> {
    if let Some(path) = path_at(text, at) {
        return Some(Whole::Path(path));
    }
    let rest = &text[at..];
    let number = rest.strip_prefix("pid ").filter(|_| !text[..at].ends_with(char::is_alphanumeric))?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let name = number[digits..].strip_prefix(" (").filter(|_| (1..=10).contains(&digits))?;
    let head = &rest[..rest.len() - name.len()];
    let all = &name[..name.find(')')?];
    // A kernel thread has no arguments; a path is one of its own.
    let word = &all[..all.find(char::is_whitespace).unwrap_or(all.len())];
    (!word.is_empty() && (!word.contains('/') || word.starts_with('k'))).then_some(Whole::Task(head, word))
}

/// A path that begins here, where no word goes on and no address stands before it.
fn path_at(text: &str, at: usize) -> Option<&str> {
    let (before, rest) = text.split_at(at);
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~' | ']');
    if !rest.starts_with('/') || before.ends_with(goes_on) || before.ends_with(':') && rest.starts_with("//")
    {
        return None;
    }
    let quote = before.chars().next_back().filter(|c| matches!(c, '\'' | '"'));
    if let Some(end) = quote.and_then(|quote| rest.find(quote)) {
        return Some(&rest[..end]);
    }
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ',' | ';'
                    | ':'
                    | '='
                    | '('
                    | ')'
                    | '\''
                    | '"'
                    | '`'
                    | '<'
                    | '>'
                    | '|'
                    | '&'
                    | '['
                    | ']'
                    | '{'
                    | '}'
            )
    };
    let path = &rest[..rest.find(ends).unwrap_or(rest.len())];
    // The end of a sentence.
    Some(match path.strip_suffix('.') {
        Some(less) if less.ends_with(char::is_alphanumeric) => less,
        _ => path,
    })
}

/// `20 ms`, `1.05 s`.
fn is_length(text: &str) -> bool {
    let Some((number, "ns" | "us" | "ms" | "s")) = text.split_once(' ') else { return false };
    let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
    let short = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    short(whole, 7) && short(rest, 3)
}

/// `3.11`, `22.4.1`: shorter than an address or anything secret.
fn is_release(text: &str) -> bool {
    let parts = text.split('.').count();
    (2..=3).contains(&parts)
        && text
            .split('.')
            .all(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn follows_runtime(out: &str) -> bool {
    out.strip_suffix(' ').is_some_and(|out| {
        let word = out.rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
        word.is_some_and(|word| RUNTIMES.contains(&word))
    })
}
