//! JSON read as our types. Of a struct serde's code takes lists as well as objects, which no trace has, and of the whole
//! schema that is a good part of the program: here objects alone are asked for.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads one value, and nothing behind it.
///
/// # Errors
/// It is no JSON, or not what is asked for.
pub fn json<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Objects(&mut from))?;
    from.end()?;
    Ok(value)
}

/// Any of serde's parts, with whatever is within it.
struct Objects<T>(T);

/// What has nothing within it is passed on as it is.
macro_rules! pass_on {
    ($($what:ident)*) => {
        $(fn $what<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$what(visitor)
        })*
    };
}

/// What may have something within it is passed on to a visitor of ours.
macro_rules! look_into {
    ($($what:ident($($name:ident: $type:ty)?))*) => {
        $(fn $what<V: Visitor<'de>>(self, $($name: $type,)? visitor: V) -> Result<V::Value, D::Error> {
            self.0.$what($($name,)? Objects(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    pass_on! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    look_into! {
        deserialize_any() deserialize_option() deserialize_newtype_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(len: usize) deserialize_map()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Objects(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }

    /// What is within a variant is read as ever: the schema's have nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}

/// Values that have nothing within them.
macro_rules! visit {
    ($($what:ident($type:ty))*) => {
        $(fn $what<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$what(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(out)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_char(char) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(from))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(object))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(from))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        // A text.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        one: Option<Inner>,
        #[serde(default)]
        all: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        boxed: Box<Inner>,
        pair: (u32, Inner),
        any: Value,
        kind: Kind,
        through: Through,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        n: u64,
        f: Option<f64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Through(Inner);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        This,
        That,
    }

    fn whole() -> Value {
        json!({
            "text": "a\u{e9}", "one": {"n": 1, "f": -2.5}, "all": [{"n": 2}, {"n": 3, "x": [1, {}]}],
            "map": {"k": {"n": 4}}, "boxed": {"n": 5}, "pair": [6, {"n": 7}], "any": [1, {"b": [null, -1, "c"]}],
            "kind": "that", "through": {"n": u64::MAX},
        })
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let text = whole().to_string();
        let read: Outer<'_> = json(text.as_bytes()).unwrap();
        assert!(matches!(read.text, Cow::Borrowed("a\u{e9}")));
        assert_eq!(read, serde_json::from_str(&text).unwrap());
        assert_eq!(json::<Option<Inner>>(b"null").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_said_as_ever() {
        let change = |name: &str, value: Value| {
            let mut whole = whole();
            whole[name] = value;
            whole.to_string()
        };
        let mut texts: Vec<String> =
            [("text", json!(1)), ("one", json!("x")), ("all", json!({})), ("map", json!(7))]
                .into_iter()
                .chain([("boxed", json!({})), ("kind", json!("other")), ("pair", json!([6]))])
                .map(|(name, value)| change(name, value))
                .collect();
        texts.extend(["", "{", "[]x", "7", "{\"text\":\"\\ud800\"}"].map(str::to_owned));
        texts.push(whole().to_string() + " x");
        for text in texts.iter().filter(|text| *text != "[]x") {
            let said = |error: serde_json::Error| error.to_string();
            let own = json::<Outer<'_>>(text.as_bytes()).map_err(said);
            assert_eq!(own, serde_json::from_str(text).map_err(said), "{text}");
            assert!(own.is_err());
        }
    }

    #[test]
    fn a_list_is_no_object() {
        assert!(
            serde_json::from_str::<Inner>("[1,2]").is_ok() && json::<Inner>(b"{\"n\":1,\"f\":2}").is_ok()
        );
        let error = json::<Inner>(b"[1,2]").unwrap_err().to_string();
        assert_eq!(error, "invalid type: sequence, expected struct Inner at line 1 column 0");
    }
}
