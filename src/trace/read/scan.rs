//! A record of a trace, gone over without building what nobody has asked for.
//!
//! What is wanted is read strictly: whatever is not as this expects it gives `None`, and the record is then
//! parsed whole, by serde, which says what is wrong with it. What is not wanted is passed over by its quotation marks
//! and brackets alone.

mod blocks;

pub(super) use blocks::Unclosed;

use super::MAX_DEPTH;

/// A place in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => {
                self.space();
                self.bytes.get(self.at).copied()
            }
        }
    }

    /// Goes past that byte, if it is the next one.
    #[inline(always)]
    fn eat(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// A string's text as it stands there. Whoever wants one with escapes gets `None`.
    #[inline(always)]
    fn raw(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let end = blocks::plain(rest);
        let text = rest.get(..end)?;
        if rest.get(end) != Some(&b'"') {
            return None;
        }
        self.at += end + 1;
        Some(text)
    }

    /// The name of a field.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.raw()?;
        self.expect(b':')?;
        Some(key)
    }

    /// Calls `each` with the name of each field, which has to go past its value. `Some(false)` from it: nothing more
    /// of this object is wanted.
    #[inline(always)]
    pub(super) fn fields(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Option<bool>) -> Option<()> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            let key = self.key()?;
            if !each(self, key)? {
                return self.leave();
            }
            if self.eat(b'}') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// Calls `each` for each element, which has to go past it.
    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        if self.eat(b']') {
            return Some(());
        }
        loop {
            each(self)?;
            if self.eat(b']') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    pub(super) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word(b"null")
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let is_it = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if is_it { word.len() } else { 0 };
        is_it
    }

    pub(super) fn truth(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word(b"true").then_some(true),
            b'f' => self.word(b"false").then_some(false),
            _ => None,
        }
    }

    /// A number without sign, fraction or exponent.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let from = self.at;
        let mut value = 0u64;
        while let Some(digit) =
            self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|&n| n < 10)
        {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            self.at += 1;
        }
        let is_one = match self.at - from {
            0 => false,
            1 => true,
            _ => self.bytes.get(from) != Some(&b'0'),
        };
        let ends = !self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b'.' | b'e' | b'E'));
        (is_one && ends).then_some(value)
    }

    /// A text into a buffer that is used again and again.
    #[inline(always)]
    pub(super) fn text(&mut self, into: &mut String) -> Option<()> {
        let text = std::str::from_utf8(self.raw()?).ok()?;
        into.clear();
        into.push_str(text);
        Some(())
    }

    /// The same, where there need not be one.
    pub(super) fn optional(&mut self, into: &mut Option<String>) -> Option<()> {
        if self.null() {
            *into = None;
            return Some(());
        }
        self.text(into.get_or_insert_default())
    }

    /// Past a value that nobody wants.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.at += blocks::string_end(self.bytes.get(self.at..)?)?;
            }
            b'{' | b'[' => {
                self.at += 1;
                if self.eat(b'}') || self.eat(b']') {
                    return Some(());
                }
                self.leave()?;
            }
            _ => {
                let rest = self.bytes.get(self.at..)?;
                let end =
                    rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
                self.at += end;
                return (end > 0).then_some(());
            }
        }
        Some(())
    }

    /// Past the end of the object or list that it is in.
    fn leave(&mut self) -> Option<()> {
        self.at += blocks::close(self.bytes.get(self.at..)?, MAX_DEPTH as u32).ok()?;
        Some(())
    }
}

/// Past the value that begins there.
pub(super) fn value_end(bytes: &[u8]) -> Result<usize, Unclosed> {
    if let [b'{' | b'[', inner @ ..] = bytes {
        return blocks::close(inner, MAX_DEPTH as u32).map(|end| end + 1);
    }
    let mut scan = Scan::new(bytes);
    scan.skip().map(|()| scan.at).ok_or(Unclosed::Open)
}
