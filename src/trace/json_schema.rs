//! The JSON Schema of a trace (draft 2020-12), generated from the types that write and read it.

use super::schema::{Line, SCHEMA, Trace};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// The schema of a JSON document.
pub fn document() -> Value {
    generate::<Trace>("A trace of startrace, as one JSON document")
}

/// The schema of one line of an NDJSON trace.
pub fn line() -> Value {
    generate::<Line>("One line of an NDJSON trace of startrace")
}

fn generate<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    pin_version(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), json!(title));
    }
    schema
}

/// The types hold the schema's name as a plain string; only this version's is valid here.
fn pin_version(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(name) =
                object.get_mut("properties").and_then(|p| p.get_mut("schema")).and_then(Value::as_object_mut)
            {
                name.insert("const".into(), json!(SCHEMA));
            }
            object.values_mut().for_each(pin_version);
        }
        Value::Array(items) => items.iter_mut().for_each(pin_version),
        _ => {}
    }
}
