//! Characters that are not seen, and would hide a name from the rules.

/// Are there such in it? Asked of each argument of the machine: hardly any is.
pub(super) fn is_disguised(argument: &str) -> bool {
    let hidden = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f;
    argument.bytes().any(|byte| hidden(byte) || byte >= 0x80) && argument.chars().any(is_unseen)
}

/// Without them, and without the sequences that begin with an escape; and where each byte was.
pub(super) fn undisguised(argument: &str) -> (String, Vec<usize>) {
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
