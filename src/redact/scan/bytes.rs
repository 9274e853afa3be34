//! Kinds of bytes, looked up: this is asked for each byte of each argument of the machine.

pub(super) const NAME: u8 = 1;
pub(super) const SPACE: u8 = 2;
pub(super) const QUOTE: u8 = 4;
/// Before a word, beside these.
pub(super) const BEFORE: u8 = 8;
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
pub(super) fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

pub(super) fn is_space(byte: u8) -> bool {
    kind(byte) == SPACE
}

pub(super) fn is_quote(byte: u8) -> bool {
    kind(byte) == QUOTE
}

pub(super) fn is_name(byte: u8) -> bool {
    kind(byte) == NAME
}

/// What may stand in a token.
pub(super) fn is_token(byte: u8) -> bool {
    is_name(byte) || matches!(byte, b'/' | b'+' | b'=' | b'~')
}
