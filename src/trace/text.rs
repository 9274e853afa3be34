//! Strings from traced processes: lossless in JSON, harmless on a terminal.
//!
//! A Linux argument or path is any sequence of bytes without NUL; JSON holds Unicode. Valid UTF-8 is
//! kept as it is. A byte `0xNN` that is not part of valid UTF-8 becomes the private-use character
//! U+EFNN (U+EF80 to U+EFFF). Where the original text itself holds a character of that range, its
//! three bytes are written as three such characters, so that the mapping can be undone exactly.

/// First character of the range that stands for a raw byte: U+EF00 plus the byte, 0x80 and up.
const RAW: u32 = 0xEF00;

fn is_raw(c: char) -> bool {
    (RAW + 0x80..=RAW + 0xFF).contains(&(c as u32))
}

fn push_raw(out: &mut String, bytes: &[u8]) {
    out.extend(bytes.iter().filter_map(|&b| char::from_u32(RAW + u32::from(b))));
}

/// Any bytes as a string, losslessly (see the module's documentation).
pub fn encode(bytes: &[u8]) -> String {
    // Nearly all there is: UTF-8 without the first byte of that range's characters.
    if memchr::memchr(0xee, bytes).is_none()
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        if valid.chars().any(is_raw) {
            for c in valid.chars() {
                if is_raw(c) {
                    push_raw(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    out.push(c);
                }
            }
        } else {
            out.push_str(valid);
        }
        push_raw(&mut out, chunk.invalid());
    }
    out
}

/// The bytes that [`encode`] was given.
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        if is_raw(c) {
            out.push((c as u32 - RAW) as u8);
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// A word that a shell takes for these bytes: as it is where that is safe, else in single quotes, and as
/// `$'...'` (bash, zsh, ksh, busybox) where it holds what a terminal should not get.
pub fn shell_word(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(b);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        Ok(text) if sanitize(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut out = String::from("$'");
            for &b in bytes {
                match b {
                    b'\'' | b'\\' => out.extend(['\\', char::from(b)]),
                    b' '..=b'~' => out.push(char::from(b)),
                    // Three digits: nothing that follows can be taken for a part of it.
                    _ => out.push_str(&format!("\\{b:03o}")),
                }
            }
            out + "'"
        }
    }
}

/// Words as a line for a shell: each by [`shell_word`].
pub fn shell_line(words: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    words.into_iter().map(|word| shell_word(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// A path as an argument for a shell: [`shell_word`], and never to be taken for an option.
pub fn shell_path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"-") { shell_word(&[b"./", bytes].concat()) } else { shell_word(bytes) }
}

/// Text for a terminal: nothing in it moves the cursor, changes colours, reverses the direction of
/// writing or hides characters. Control characters and raw bytes become `\xNN`, others `\u{NNNN}`.
pub fn sanitize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let n = c as u32;
        match c {
            _ if is_raw(c) => out.push_str(&format!("\\x{:02x}", n - RAW)),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if n < 0x20 || (0x7f..0xa0).contains(&n) => out.push_str(&format!("\\x{n:02x}")),
            // Bidirectional controls, zero-width and line-separator characters, tags, BOM.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{061c}'
            | '\u{feff}'
            | '\u{00ad}'
            | '\u{e0000}'..='\u{e007f}' => {
                out.push_str(&format!("\\u{{{n:04x}}}"));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_back_what_it_was_given() {
        for (word, want) in [
            (&b"a/b-1.json"[..], "a/b-1.json"),
            (b"", "''"),
            (b"two words", "'two words'"),
            (b"it's $HOME", r"'it'\''s $HOME'"),
            ("na\u{ef}ve".as_bytes(), "'na\u{ef}ve'"),
            (b"\x1b[31m'1", r"$'\033[31m\'1'"),
            (b"\xff\\", r"$'\377\\'"),
        ] {
            assert_eq!(shell_word(word), want);
            let out = std::process::Command::new("bash").args(["-c", &format!("printf %s {want}")]).output();
            // Where there is a bash, it is the judge.
            if let Ok(out) = out {
                assert_eq!(out.stdout, word, "{want}");
            }
        }
        assert_eq!(shell_path(std::path::Path::new("-x.json")), "./-x.json");
        assert_eq!(shell_line(["a b", "c", ""]), "'a b' c ''");
    }

    #[test]
    fn encoding_is_lossless_and_leaves_valid_text_alone() {
        for text in ["", "plain", "naïve ☃ \u{10ffff}", "back\\slash \x1b[31m"] {
            assert_eq!(encode(text.as_bytes()), text);
        }
        let mut cases: Vec<Vec<u8>> = vec![
            b"\xff".to_vec(),
            b"a\x80b\xc3(".to_vec(),
            "own \u{ef80}\u{efff} private use".as_bytes().to_vec(),
            b"\xf0\x9f\x98 cut".to_vec(),
        ];
        cases.push((1..=255).collect());
        for bytes in cases {
            let text = encode(&bytes);
            assert_eq!(decode(&text), bytes, "{text:?}");
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn terminal_text_has_no_control_characters() {
        let hostile = encode(b"\x1b]0;title\x07\x9b31m\xff\r\n\t\x7f");
        let shown = sanitize(&format!("{hostile}\u{202e}\u{200b}\u{85}"));
        assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
        assert_eq!(shown, "\\x1b]0;title\\x07\\x9b31m\\xff\\r\\n\\t\\x7f\\u{202e}\\u{200b}\\x85");
    }
}
