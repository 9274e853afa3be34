//! What a start is called in a report: the program's name and as much of its arguments as helps.

use crate::trace::schema::Start;
use crate::trace::text::sanitize;
use std::hash::{Hash, Hasher};
use unicode_width::UnicodeWidthChar;

/// Longest label, in characters of the original text.
const MAX: usize = 200;

/// One binary that is many programs: the name that it was called by says which.
const MULTI_CALL: [&str; 3] = ["busybox", "toybox", "coreutils"];

/// Hostile text made harmless, at most `max` characters of the original; a cut shows.
pub(crate) fn harmless(text: &str, max: usize) -> String {
    let end = text.char_indices().nth(max).map(|(i, _)| i);
    let shown = sanitize(end.and_then(|end| text.get(..end)).unwrap_or(text));
    // What takes no column (combining marks, fillers) could pile up or hide.
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        if c.width().unwrap_or(0) == 0 {
            out.push_str(&format!("\\u{{{:04x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    if end.is_some() {
        out.push('…');
    }
    out
}

fn basename(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => path,
    }
}

/// The short command of a start.
pub(crate) fn of_start(start: &Start) -> String {
    let exe = start.exe.as_deref().map(basename).filter(|s| !s.is_empty());
    match &start.argv {
        Some(argv) => command(exe, argv),
        // A copy of its parent: only its own name tells it apart.
        None if !start.comm.is_empty() => harmless(&start.comm, MAX),
        None => harmless(exe.unwrap_or("(unnamed)"), MAX),
    }
}

/// The program that a label begins with, in its quotes if it has any.
pub(crate) fn program(label: &str) -> &str {
    let end = match label.chars().next() {
        Some(quote @ ('\'' | '"')) => label.match_indices(quote).nth(1).map(|(at, _)| at + 1),
        _ => label.find(' '),
    };
    end.and_then(|end| label.get(..end)).unwrap_or(label)
}

/// A short command from an argument list, with the executable's name where that is known.
pub(crate) fn command(exe: Option<&str>, argv: &[String]) -> String {
    let called = argv.first().map(|arg| basename(arg)).filter(|s| !s.is_empty());
    let mut text = String::new();
    match (exe, called) {
        (Some(exe), Some(called)) if MULTI_CALL.contains(&exe) && called != exe => {
            text.push_str(exe);
            text.push(' ');
            text.push_str(called);
        }
        (Some(name), _) | (None, Some(name)) => push_word(&mut text, "", name),
        (None, None) => text.push_str("(no name)"),
    }
    if argv.is_empty() {
        text.push_str(" (no arguments at all)");
    }
    for arg in argv.iter().skip(1) {
        if text.len() > MAX * 4 {
            break;
        }
        text.push(' ');
        match arg.strip_prefix('/').map(|_| basename(arg)) {
            // Where a file lies says less than its name; the mark says that something is missing.
            Some(name) if !has_blanks(arg) && name.len() + 1 < arg.len() && !name.starts_with('/') => {
                push_word(&mut text, "…/", name);
            }
            _ => push_word(&mut text, "", arg),
        }
    }
    harmless(&text, MAX)
}

fn has_blanks(word: &str) -> bool {
    memchr::memchr3(b' ', b'\t', b'\n', word.as_bytes()).is_some()
}

/// A word, in a shell's quotes where it would be several otherwise, or none. It can be megabytes: no more of it than a
/// label can show.
fn push_word(text: &mut String, mark: &str, word: &str) {
    let shown = word.chars().take(MAX + 1);
    if !word.is_empty() && !has_blanks(word) && memchr::memchr2(b'\'', b'"', word.as_bytes()).is_none() {
        text.push_str(mark);
        return text.extend(shown);
    }
    // Double quotes where they say it shorter, and nothing in them means something to a shell.
    let double = word.contains('\'') && !word.contains(['"', '$', '`', '\\', '!']);
    let quote = if double { '"' } else { '\'' };
    text.push(quote);
    text.push_str(mark);
    for c in shown {
        if c == quote { text.push_str(r"'\''") } else { text.push(c) }
    }
    text.push(quote);
}

/// One label for starts of one shape: the numbers that differ become `#`. Each may be a label that this made before.
pub(crate) fn common<'l>(first: &str, others: impl Iterator<Item = &'l str>) -> String {
    let pieces: Vec<&str> = number_pieces(first).collect();
    let mut differs = vec![false; pieces.len()];
    for other in others {
        for ((piece, other), differs) in pieces.iter().zip(number_pieces(other)).zip(&mut differs) {
            *differs |= *piece != other;
        }
    }
    let shown = pieces.iter().zip(differs).map(|(piece, differs)| {
        let number = piece.bytes().next().is_some_and(is_of_number);
        if differs && number { "#" } else { piece }
    });
    shown.collect()
}

/// A digit, or what stands for a run of them in a label that was joined.
fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'#'
}

/// A text as numbers and what lies between them.
fn number_pieces(text: &str) -> impl Iterator<Item = &str> {
    text.as_bytes().chunk_by(|a, b| is_of_number(*a) == is_of_number(*b)).scan(0, move |at, piece| {
        let begin = *at;
        *at += piece.len();
        text.get(begin..*at)
    })
}

/// Feeds a text with its digit runs levelled.
fn hash_shape(text: &str, hasher: &mut impl Hasher) {
    for (i, piece) in text.as_bytes().split(u8::is_ascii_digit).enumerate() {
        // Of a run of digits only its being there counts.
        if i == 0 || !piece.is_empty() {
            hasher.write(piece);
            hasher.write_u8(0xff);
        }
    }
    hasher.write_u8(u8::from(text.ends_with(|c: char| c.is_ascii_digit())));
    hasher.write_u8(0xfe);
}

/// Starts of one shape and one method are equal for a reader: the same executable and the same
/// arguments, numbers aside.
pub(crate) fn shape(start: &Start, hasher: &mut impl Hasher) {
    start.exe.hash(hasher);
    match &start.argv {
        Some(argv) => argv.iter().for_each(|arg| hash_shape(arg, hasher)),
        None => hash_shape(&start.comm, hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(exe: Option<&str>, argv: &[&str]) -> String {
        let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
        command(exe, &argv)
    }

    #[test]
    fn a_joined_label_is_joined_on() {
        let labels = ["worker-1 --port 5", "worker-22 --port 5", "worker-3 --port 5"];
        let by_twos = labels
            .iter()
            .skip(1)
            .fold(labels[0].to_owned(), |known, label| common(&known, std::iter::once(*label)));
        assert_eq!(by_twos, "worker-# --port 5");
        assert_eq!(by_twos, common(labels[0], labels.iter().copied().skip(1)));
        assert_eq!(common(&by_twos, std::iter::once("worker-4 --port 6")), "worker-# --port #");
    }

    #[test]
    fn commands_are_short_and_say_what_was_left_out() {
        assert_eq!(
            short(Some("python3.11"), &["python3", "/srv/app/serve.py", "-p", "80"]),
            "python3.11 …/serve.py -p 80"
        );
        assert_eq!(short(Some("dash"), &["sh", "-c", "a | b"]), "dash -c 'a | b'");
        assert_eq!(short(Some("busybox"), &["/bin/ls", "-l"]), "busybox ls -l");
        assert_eq!(short(Some("My App"), &["/opt/My App", "x"]), "'My App' x");
        assert_eq!(short(None, &["/opt/My App"]), "'My App'");
        assert_eq!(short(Some("a"), &["a", "it's", "a\"b"]), r#"a "it's" 'a"b'"#);
        assert_eq!(short(Some("a"), &["a", "it's $1"]), r"a 'it'\''s $1'");
        assert_eq!(short(Some("a"), &["a", "/tmp/it's"]), r#"a "…/it's""#);
        assert_eq!(short(None, &["/usr/bin/env", "", "/", "/tmp"]), "env '' / /tmp");
        assert_eq!(short(Some("a"), &[]), "a (no arguments at all)");
        assert_eq!(short(None, &[]), "(no name) (no arguments at all)");
        assert_eq!(short(None, &[""]), "(no name)");
        assert_eq!(short(None, &["/"]), "/");
    }

    #[test]
    fn a_label_begins_with_its_program() {
        for (exe, want) in [("app", "app"), ("My App", "'My App'"), ("it's mine", "\"it's mine\"")] {
            assert_eq!(program(&short(Some(exe), &[exe, "-c", "a b"])), want);
            assert_eq!(program(&short(Some(exe), &[exe])), want);
        }
        assert_eq!((program(""), program("'cut of…")), ("", "'cut of…"));
    }

    #[test]
    fn hostile_text_is_bounded_and_harmless() {
        let long = "x".repeat(100_000);
        let shown = short(Some("a"), &["a", &long]);
        assert!(shown.chars().count() <= MAX + 1 && shown.ends_with('…'));
        let many = vec!["y"; 100_000];
        assert!(short(Some("a"), &many).chars().count() <= MAX + 1);
        let shown = short(Some("a\n"), &["a", "\x1b[31m\u{202e}evil", "e\u{301}\u{3164}"]);
        assert_eq!(shown, "'a\\n' \\x1b[31m\\u{202e}evil e\\u{0301}\\u{3164}");
    }

    #[test]
    fn shapes_ignore_numbers_only() {
        let hash = |text: &str| {
            let mut hasher = std::hash::DefaultHasher::new();
            hash_shape(text, &mut hasher);
            hasher.finish()
        };
        assert_eq!(hash("--id=1"), hash("--id=4711"));
        assert_eq!(hash("a1b22c"), hash("a333b4c"));
        for (a, b) in [("a1", "a"), ("1a", "a"), ("ab", "a1b"), ("", "1"), ("a1b", "b1a")] {
            assert_ne!(hash(a), hash(b), "{a} {b}");
        }
        let others = ["w 13 of 300é", "w 2 of 300é"];
        assert_eq!(common("w 12 of 300é", others.into_iter()), "w # of 300é");
        assert_eq!(common("w 12", [].into_iter()), "w 12");
        assert_eq!(common("", ["1"].into_iter()), "");
    }
}
