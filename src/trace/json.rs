//! JSON texts, all of them by one kind of writer: what is written is code of its own for every kind, and of the whole
//! schema that is a good part of the program.

use serde::Serialize;
use serde_json::Result;
use std::io::{self, Write};

/// JSON as it is written: a thousand times a start some sign alone, for which the usual way is a long one.
struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    /// Called, for there are hundreds of places.
    #[inline(never)]
    fn sign(&mut self, sign: u8) {
        self.0.push(sign);
    }
}

impl Write for Text<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes {
            [sign] => self.sign(*sign),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts a value's text behind what is there.
///
/// # Errors
/// The value cannot be written as JSON. Of its text some may be there.
pub fn append(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    serde_json::to_writer(Text(out), value)
}

/// A value's text.
///
/// # Errors
/// It cannot be written as JSON.
pub fn text(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, value)?;
    Ok(out)
}

/// The same for people, with an end of line.
///
/// # Errors
/// It cannot be written as JSON.
pub fn pretty(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    serde_json::to_writer_pretty(Text(&mut out), value)?;
    out.push(b'\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_as_serde_json_has_them() {
        let value =
            json!({"a": [1, -2.5, null, true, "gr\u{f6}\u{df}e \u{1}\"\\\n"], "b": {}, "": [[], {"x": "y"}]});
        assert_eq!(text(&value).unwrap(), serde_json::to_vec(&value).unwrap());
        let mut out = b"x".to_vec();
        append(&mut out, "y").unwrap();
        assert_eq!(out, b"x\"y\"");
        assert_eq!(
            pretty(&value).unwrap(),
            [&serde_json::to_vec_pretty(&value).unwrap()[..], b"\n"].concat()
        );
    }
}
