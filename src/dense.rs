//! Many small records in few bytes: numbers as long as they have to be, times by their distance from one that is known.
//! For what a long recording has to remember of every start, read back in the order in which it was written.

/// Writes one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// A time after (or, where records overlap, before) another.
    pub(crate) fn after(&mut self, from: u64, to: u64) {
        let by = to.wrapping_sub(from).cast_signed();
        self.number((by.wrapping_shl(1) ^ (by >> 63)).cast_unsigned());
    }

    pub(crate) fn after_or_none(&mut self, from: u64, to: Option<u64>) {
        self.number(to.is_some().into());
        if let Some(to) = to {
            self.after(from, to);
        }
    }

    /// Eight bytes, for what is as good as random.
    pub(crate) fn hash(&mut self, hash: u64) {
        self.0.extend_from_slice(&hash.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// What a [`Writer`] wrote. All that it gives is `None` where bytes are missing.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// How many follow, each of at least one byte.
    pub(crate) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|n| *n <= self.0.len())
    }

    pub(crate) fn after(&mut self, from: u64) -> Option<u64> {
        let n = self.number()?;
        Some(from.wrapping_add(n >> 1 ^ (n & 1).wrapping_neg()))
    }

    pub(crate) fn after_or_none(&mut self, from: u64) -> Option<Option<u64>> {
        match self.number()? {
            0 => Some(None),
            _ => Some(Some(self.after(from)?)),
        }
    }

    pub(crate) fn hash(&mut self) -> Option<u64> {
        let (hash, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*hash))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let times = [0, 1, 127, 128, 1 << 35, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        let mut out = Writer::default();
        for time in times {
            out.number(time);
            times.iter().for_each(|from| out.after(*from, time));
            out.after_or_none(5, Some(time));
            out.hash(time);
        }
        out.after_or_none(5, None);
        out.text("größe");
        let mut reader = Reader(&out.0);
        for time in times {
            assert_eq!(reader.number(), Some(time));
            assert!(times.iter().all(|from| reader.after(*from) == Some(time)));
            assert_eq!((reader.after_or_none(5), reader.hash()), (Some(Some(time)), Some(time)));
        }
        assert_eq!((reader.after_or_none(5), reader.text()), (Some(None), Some("größe")));
        assert_eq!((reader.number(), reader.hash(), reader.text(), reader.count()), (None, None, None, None));
    }

    #[test]
    fn nothing_is_made_of_bytes_that_are_wrong() {
        assert_eq!(Reader(&[0x80; 20]).number(), None);
        assert_eq!((Reader(&[5, 1]).count(), Reader(&[2, 0xff, 0xff]).text()), (None, None));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x7f]).small(), None);
    }
}
