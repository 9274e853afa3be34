//! Files of settings: TOML, in which nothing unknown is passed over. Read without serde, whose code for values of seven
//! kinds in each of our fields was more than the parser is.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a file, and from which byte on.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// In words, without the file's own text unless it is a key.
    pub what: String,
    at: usize,
}

impl Wrong {
    /// Line and column of the text that was read, from 1 on.
    pub(crate) fn place(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.rfind('\n').map_or(before, |end| before.get(end + 1..).unwrap_or_default());
        (before.bytes().filter(|&byte| byte == b'\n').count() + 1, line.chars().count() + 1)
    }
}

/// Reads a file: its top, which has the sections within it.
///
/// # Errors
/// It is no TOML, or `read` does not take what is in it.
pub(crate) fn read<T>(text: &str, read: impl FnOnce(Section<'_>) -> Result<T, Wrong>) -> Result<T, Wrong> {
    let table = DeTable::parse(text).map_err(|error| Wrong {
        what: error.message().to_owned(),
        at: error.span().map_or(0, |span| span.start),
    })?;
    read(Section { entries: table.get_ref(), at: table.span().start })
}

/// Keys with their values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'t> {
    entries: &'t DeTable<'t>,
    at: usize,
}

impl<'t> Section<'t> {
    /// The top of a parsed file.
    pub(crate) fn top(entries: &'t DeTable<'t>) -> Self {
        Self { entries, at: 0 }
    }

    /// All of them, by key.
    pub(crate) fn entries(self) -> impl Iterator<Item = (&'t str, Value<'t>)> {
        self.entries.iter().map(|(key, value)| (&**key.get_ref(), Value(value)))
    }

    /// Hands each to `take`, which says whether it knows the key.
    ///
    /// # Errors
    /// It does not (`known` are all that it knows), or not take the value.
    pub(crate) fn each(
        self,
        known: &[&str],
        take: &mut dyn FnMut(&str, Value<'t>) -> Result<bool, Wrong>,
    ) -> Result<(), Wrong> {
        for (key, value) in self.entries {
            if !take(key.get_ref(), Value(value))? {
                let key_at = key.span().start;
                let what = format!("unknown field `{}`, expected {}", key.get_ref(), one_of(known));
                return Err(Wrong { what, at: key_at });
            }
        }
        Ok(())
    }

    /// What is wrong with all of it.
    pub(crate) fn wrong(self, what: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), at: self.at }
    }
}

/// A value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'t>(&'t Spanned<DeValue<'t>>);

impl<'t> Value<'t> {
    /// What is wrong with it.
    pub(crate) fn wrong(self, what: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), at: self.0.span().start }
    }

    fn is_no(self, expected: &str) -> Wrong {
        self.wrong(format!("invalid type: {}, expected {expected}", self.0.get_ref().type_str()))
    }

    /// As the file has it, near enough.
    pub(crate) fn shown(self) -> String {
        match self.0.get_ref() {
            DeValue::Integer(n) => n.to_string(),
            DeValue::Float(n) => n.to_string(),
            DeValue::String(text) => format!("{text:?}"),
            other => format!("a {}", other.type_str()),
        }
    }

    /// A text.
    pub(crate) fn as_str(self) -> Option<&'t str> {
        self.0.get_ref().as_str()
    }

    /// A whole number.
    pub(crate) fn as_integer(self) -> Option<i64> {
        let number = self.0.get_ref().as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// Any number.
    pub(crate) fn as_float(self) -> Option<f64> {
        match self.0.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => self.as_integer().map(|n| n as f64),
        }
    }

    /// A section.
    pub(crate) fn as_section(self) -> Option<Section<'t>> {
        Some(Section { entries: self.0.get_ref().as_table()?, at: self.0.span().start })
    }

    /// A section, or what is wrong.
    pub(crate) fn section(self) -> Result<Section<'t>, Wrong> {
        self.as_section().ok_or_else(|| self.is_no("a section"))
    }

    /// A list's values, or what is wrong.
    pub(crate) fn list(self) -> Result<impl Iterator<Item = Value<'t>>, Wrong> {
        let list = self.0.get_ref().as_array().ok_or_else(|| self.is_no("a list"))?;
        Ok(list.iter().map(Value))
    }

    /// A text, or what is wrong.
    pub(crate) fn text(self) -> Result<String, Wrong> {
        self.as_str().map(str::to_owned).ok_or_else(|| self.is_no("a string"))
    }

    /// A list of texts, or what is wrong.
    pub(crate) fn texts(self) -> Result<Vec<String>, Wrong> {
        self.list()?.map(Value::text).collect()
    }

    /// A single character, or what is wrong.
    pub(crate) fn letter(self) -> Result<char, Wrong> {
        let mut letters = self.as_str().unwrap_or_default().chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(letter),
            _ => Err(self.is_no("a single character")),
        }
    }

    /// Yes or no, or what is wrong.
    pub(crate) fn flag(self) -> Result<bool, Wrong> {
        self.0.get_ref().as_bool().ok_or_else(|| self.is_no("true or false"))
    }

    /// A whole number that fits, or what is wrong.
    pub(crate) fn number<T: TryFrom<i64>>(self) -> Result<T, Wrong> {
        let number = self.as_integer().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.is_no("a whole number that fits"))
    }
}

/// "one of `a`, `b`".
pub(crate) fn one_of(known: &[&str]) -> String {
    format!("one of `{}`", known.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_its_place() {
        let of = |text: &str, take: &mut dyn FnMut(Value<'_>) -> Result<(), Wrong>| {
            let take = &mut |key: &str, value: Value<'_>| {
                if key != "a" {
                    return Ok(false);
                }
                take(value).map(|()| true)
            };
            let wrong = read(text, |section| section.each(&["a", "b"], take)).unwrap_err();
            (wrong.place(text), wrong.what)
        };
        let no = &mut |_: Value<'_>| Ok(());
        assert_eq!(of("a = 1\nc = 2", no), ((2, 1), "unknown field `c`, expected one of `a`, `b`".into()));
        assert_eq!(of("a = 1\n\u{e9} = 2", no).0, (2, 1));
        assert_eq!(of("# \u{e9}\na = [\"\u{e9}\", b]", no).0, (2, 11));
        assert_eq!(of("a = 1\na = 2", no).0, (2, 1));
        let text = &mut |value: Value<'_>| value.text().map(|_| ());
        assert_eq!(of("a = 5", text), ((1, 5), "invalid type: integer, expected a string".into()));
        let texts = &mut |value: Value<'_>| value.texts().map(|_| ());
        assert_eq!(of("a = [\"x\",\n5]", texts).0, (2, 1));
        assert!(of("a = \"x\"", texts).1.contains("a list"));
        let flag = &mut |value: Value<'_>| value.flag().map(|_| ());
        assert!(of("a = 1", flag).1.contains("true or false"));
        let section = &mut |value: Value<'_>| value.section().map(|_| ());
        assert!(of("a = 1", section).1.contains("a section"));
        let letter = &mut |value: Value<'_>| value.letter().map(|_| ());
        for text in ["a = \"xy\"", "a = \"\"", "a = 1"] {
            assert!(of(text, letter).1.contains("single character"), "{text}");
        }
        let number = &mut |value: Value<'_>| value.number::<u8>().map(|_| ());
        for text in ["256", "-1", "99999999999999999999", "\"5\"", "1.5", "1979-05-27"] {
            let what = of(&format!("a = {text}"), number).1;
            assert!(what.ends_with("expected a whole number that fits") && !what.contains(text), "{what}");
        }
    }

    #[test]
    fn values_are_read() {
        let text = "flag = true\nhex = 0x1_0\nletter = 'é'\nlist = ['a', \"\\u0062\"]\nnumber = -1_000\nshare = 1e-1\n[s]\nx = 1";
        read(text, |section| {
            let of = |wanted: &str| section.entries().find(|(key, _)| *key == wanted).unwrap().1;
            assert!(of("flag").flag()?);
            assert_eq!(of("hex").number::<u8>()?, 16);
            assert_eq!(of("letter").letter()?, '\u{e9}');
            assert_eq!(of("list").texts()?, ["a", "b"]);
            assert_eq!(of("number").as_integer(), Some(-1000));
            assert_eq!((of("share").as_float(), of("number").as_float()), (Some(0.1), Some(-1000.0)));
            assert_eq!(of("s").section()?.entries().count(), 1);
            Ok(())
        })
        .unwrap();
    }
}
