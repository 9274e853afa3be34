//! Small JSON texts, one after the other.

use crate::trace::json;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// Items of one list, with commas between them.
#[derive(Debug, Default)]
pub(super) struct List {
    begun: bool,
    /// The text of an item: it is written at once, as the parts that serde makes of it are tiny.
    text: Vec<u8>,
}

impl List {
    pub(super) fn push(&mut self, value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
        self.text.clear();
        self.text.extend_from_slice(if self.begun { b",\n" } else { b"\n" });
        self.begun = true;
        json::append(&mut self.text, value)?;
        out.write_all(&self.text)
    }
}

pub(super) fn write(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&json::text(value)?)
}

/// An object without its empty fields: `null`, `""`, `[]`, `{}`.
pub(super) fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, v)| !is_empty(v)).collect()),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
