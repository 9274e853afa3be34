//! JSON as a trace has it: the bytes that `serde_json` makes, at half of its time.
//!
//! A start has some three hundred fields, and most of them are short. For each of them `serde_json` writes a comma, a quote, the
//! name, of which it looks at each byte, a quote and a colon one by one. Names of fields are ours and need no look,
//! and texts hardly ever have anything to be escaped.

use serde::ser::{self, Serialize};
use serde_json::Error;

/// Appends a value.
///
/// # Errors
/// A key of a map is neither text nor a number.
pub(super) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    value.serialize(Json(out))
}

struct Json<'a>(&'a mut Vec<u8>);

/// The inside of an object or an array.
struct Inside<'a> {
    out: &'a mut Vec<u8>,
    /// What comes before the next member: a comma, from the second on.
    comma: bool,
    /// What ends it.
    end: &'static [u8],
}

/// The eight bytes of a word, each this one.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Has one of eight bytes to be escaped? Tells of some others too, which are looked at one by one then.
fn is_special(eight: [u8; 8]) -> bool {
    let word = u64::from_ne_bytes(eight);
    let zero = |word: u64| word.wrapping_sub(each(1)) & !word;
    let control = word.wrapping_sub(each(0x20)) & !word;
    (control | zero(word ^ each(b'"')) | zero(word ^ each(b'\\'))) & each(0x80) != 0
}

fn is_plain(text: &str) -> bool {
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    !eights.iter().any(|eight| is_special(*eight)) && !is_special(last)
}

#[inline(never)]
fn text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(out, text);
    }
    out.push(b'"');
}

#[cold]
fn escaped(out: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        let sign = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', sign]);
    }
}

#[inline(never)]
fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline(never)]
fn negative(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The name of a field.
#[inline(never)]
fn name(out: &mut Vec<u8>, comma: bool, name: &'static str) {
    out.reserve(name.len() + 4);
    if comma {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    out.push(b':');
}

#[inline(never)]
fn word(out: &mut Vec<u8>, word: &'static str) {
    out.extend_from_slice(word.as_bytes());
}

impl<'a> Json<'a> {
    fn open(self, begin: u8, end: &'static [u8]) -> Inside<'a> {
        self.0.push(begin);
        Inside { out: self.0, comma: false, end }
    }

    /// `{"variant":`
    fn variant(&mut self, variant: &'static str) {
        self.0.push(b'{');
        name(self.0, false, variant);
    }
}

impl Inside<'_> {
    fn next(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next();
        value.serialize(Json(self.out))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        name(self.out, self.comma, key);
        self.comma = true;
        value.serialize(Json(self.out))
    }

    fn close(self) {
        self.out.extend_from_slice(self.end);
    }
}

impl<'a> ser::Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        word(self.0, if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        negative(self.0, value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        number(self.0, value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        serde_json::to_writer(self.0, &value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        serde_json::to_writer(self.0, &value)
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        text(self.0, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        word(self.0, "null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant);
        value.serialize(Json(self.0))?;
        self.0.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, Error> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a>, Error> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Error> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Error> {
        self.variant(variant);
        Ok(self.open(b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>, Error> {
        Ok(self.open(b'{', b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Error> {
        Ok(self.open(b'{', b"}"))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Error> {
        self.variant(variant);
        Ok(self.open(b'{', b"}}"))
    }
}

impl ser::SerializeSeq for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let at = self.out.len();
        key.serialize(Json(self.out))?;
        match self.out.get(at) {
            Some(b'"') => {}
            Some(b'0'..=b'9' | b'-' | b't' | b'f') => {
                self.out.insert(at, b'"');
                self.out.push(b'"');
            }
            _ => return Err(ser::Error::custom("key must be a string")),
        }
        self.out.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Json(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema::Line;
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn is_the_same<T: Serialize + ?Sized>(value: &T) {
        let mut out = b"before".to_vec();
        append(&mut out, value).unwrap();
        let made = String::from_utf8(out).unwrap();
        assert_eq!(made.strip_prefix("before").unwrap(), serde_json::to_string(value).unwrap());
    }

    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Unit,
        Newtype(u8),
        Pair(i8, char),
        Named { a: bool, b: Option<u16> },
    }

    #[derive(Serialize)]
    struct Nothing;

    #[derive(Serialize)]
    struct Inner(i64);

    #[derive(Serialize)]
    struct Two(u32, f32);

    #[derive(Serialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged<'a> {
        First {
            #[serde(flatten)]
            rest: BTreeMap<&'a str, u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            left_out: Option<u8>,
        },
    }

    #[test]
    fn every_kind_of_value_is_as_serde_json_has_it() {
        is_the_same(&(Nothing, Inner(i64::MIN), Two(7, 0.1), (), [0u8; 0], 'x', '"', None::<u8>));
        is_the_same(&[Kind::Unit, Kind::Newtype(1), Kind::Pair(-1, '\n'), Kind::Named { a: true, b: None }]);
        is_the_same(&[f64::NAN, f64::INFINITY, 0.0, -0.0, 1e300, 1.5, 100.0]);
        is_the_same(&(u64::MAX, i32::MIN, i16::MIN, i8::MAX, u16::MAX, false));
        is_the_same(&Tagged::First { rest: BTreeMap::from([("a", 1), ("b\"", 2)]), left_out: None });
        is_the_same(&BTreeMap::from([(1u64, "a"), (20, "b")]));
        is_the_same(&BTreeMap::from([(-1i8, ()), (1, ())]));
        is_the_same(&BTreeMap::from([(true, 1), (false, 2)]));
        is_the_same(&BTreeMap::from([('c', BTreeMap::from([("", Vec::<u8>::new())]))]));
        is_the_same(&BTreeMap::from([(Kind::Unit, 1)]));
        is_the_same(b"bytes".as_slice());
        for bad in [Kind::Newtype(1), Kind::Named { a: true, b: None }] {
            assert!(append(&mut Vec::new(), &BTreeMap::from([(bad, 1)])).is_err());
        }
        assert!(append(&mut Vec::new(), &BTreeMap::from([(None::<u8>, 1)])).is_err());
        assert!(append(&mut Vec::new(), &BTreeMap::from([([1], 1)])).is_err());
    }

    #[test]
    fn every_sign_is_escaped_at_every_place() {
        for code in (0..0x100).chain([0x2028, 0xfeff, 0x1_f600]) {
            let Some(sign) = char::from_u32(code) else { continue };
            for before in 0..9 {
                let text = format!("{}{sign}{}", "x".repeat(before), "é".repeat(before % 3));
                is_the_same(text.as_str());
            }
        }
    }

    #[test]
    fn recorded_starts_are_the_same() {
        let mut n = 0;
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_string_lossy().ends_with(".expected.json") {
                continue;
            }
            let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            is_the_same(&value);
            for start in value["starts"].as_array().unwrap() {
                is_the_same(&Line::Start(Box::new(serde_json::from_value(start.clone()).unwrap())));
                n += 1;
            }
        }
        assert!(n > 20, "{n}");
    }

    proptest! {
        #[test]
        fn texts_are_the_same(text in any::<String>()) {
            is_the_same(&text);
        }

        #[test]
        fn numbers_are_the_same(a in any::<u64>(), b in any::<i64>(), c in any::<f64>()) {
            is_the_same(&(a, b, c));
        }
    }
}
