//! Bytes from a terminal to keys.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// To the first line.
    Home,
    /// To the last line.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
}

/// Longest escape sequence that is waited for.
const LONGEST: usize = 16;

/// Makes keys of bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Keys {
    rest: Vec<u8>,
}

impl Keys {
    /// Takes bytes in. With `whole` nothing more comes for now: an escape that stands alone is the key.
    pub fn feed(&mut self, bytes: &[u8], whole: bool) -> Vec<Key> {
        self.rest.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut at = 0;
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            match one(rest, whole) {
                Some((key, used)) => {
                    keys.extend(key);
                    at += used.max(1);
                }
                None => break,
            }
        }
        self.rest.drain(..at.min(self.rest.len()));
        keys
    }

    /// Something has begun and is not whole.
    pub fn is_waiting(&self) -> bool {
        !self.rest.is_empty()
    }
}

/// The first key, if it means anything, and how many bytes it takes; `None` where more bytes have to come.
fn one(bytes: &[u8], whole: bool) -> Option<(Option<Key>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let key = match first {
        0x1b => return escape(rest, whole),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        0x03 => Key::Interrupt,
        0x1a => Key::Suspend,
        0x0c => Key::Redraw,
        0..0x20 => return Some((None, 1)),
        _ => return character(bytes, whole),
    };
    Some((Some(key), 1))
}

fn character(bytes: &[u8], whole: bool) -> Option<(Option<Key>, usize)> {
    let need = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let Some(taken) = bytes.get(..need) else { return whole.then_some((None, bytes.len())) };
    match std::str::from_utf8(taken) {
        Ok(text) => Some((text.chars().next().filter(|c| !c.is_control()).map(Key::Char), need)),
        Err(_) => Some((None, 1)),
    }
}

/// What follows an escape.
fn escape(rest: &[u8], whole: bool) -> Option<(Option<Key>, usize)> {
    match rest {
        [] => whole.then_some((Some(Key::Escape), 1)),
        [b'[' | b'O', body @ ..] => {
            let Some(end) = body.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
                return (whole || body.len() > LONGEST).then_some((None, rest.len() + 1));
            };
            let parameter = body.get(..end).unwrap_or_default();
            let key = match (body.get(end)?, parameter) {
                (b'A', _) => Some(Key::Up),
                (b'B', _) => Some(Key::Down),
                (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
                (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
                (b'~', b"5") => Some(Key::PageUp),
                (b'~', b"6") => Some(Key::PageDown),
                (b'M', _) if rest.first() == Some(&b'O') => Some(Key::Enter),
                _ => None,
            };
            Some((key, end + 3))
        }
        // Two escapes, or Alt and a key: the escape alone.
        _ => Some((Some(Key::Escape), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_whole_from_bytes_in_pieces() {
        let mut keys = Keys::default();
        assert_eq!(
            keys.feed(b"a/\r\x1b[A\x1bOB", true),
            [Key::Char('a'), Key::Char('/'), Key::Enter, Key::Up, Key::Down]
        );
        assert_eq!(keys.feed(b"\x1b", false), []);
        assert!(keys.is_waiting());
        assert_eq!(keys.feed(b"[5~\x1b[6~", false), [Key::PageUp, Key::PageDown]);
        assert_eq!(keys.feed(b"\x1b", false), []);
        assert_eq!(keys.feed(b"", true), [Key::Escape]);
        assert_eq!(keys.feed("é".as_bytes().get(..1).unwrap(), false), []);
        assert_eq!(keys.feed("é".as_bytes().get(1..).unwrap(), false), [Key::Char('é')]);
        assert_eq!(
            keys.feed(b"\x7f\t\x03\x1a\x0c\x01", true),
            [Key::Backspace, Key::Tab, Key::Interrupt, Key::Suspend, Key::Redraw]
        );
        assert_eq!(keys.feed(b"\x1b[H\x1b[4~\x1b[1;5A\x1b[200~", true), [Key::Home, Key::End, Key::Up]);
    }

    #[test]
    fn no_bytes_make_it_stop() {
        let mut keys = Keys::default();
        for byte in 0..=255u8 {
            keys.feed(&[byte], false);
            keys.feed(&[0x1b, byte], false);
            keys.feed(&[0x1b, b'[', byte], true);
            keys.feed(&[0xf0, byte], true);
        }
        keys.feed(&[b"\x1b[".as_slice(), &[b'1'; 1000]].concat(), false);
        keys.feed(b"", true);
        assert!(!keys.is_waiting());
        assert_eq!(keys.feed(b"q", true), [Key::Char('q')]);
    }
}
