//! The JSON Schema of a trace (draft 2020-12), generated from the types that write and read it.
//!
//! What generates it is part of the tests alone, being a twentieth of the program: the program carries the schemas as
//! they were generated, and a test fails where the types say something else.

use crate::packed;

/// The schema of a JSON document, as JSON.
pub fn document() -> String {
    packed::text!("trace/schema/document.json")
}

/// The schema of one line of an NDJSON trace, as JSON.
pub fn line() -> String {
    packed::text!("trace/schema/line.json")
}

#[cfg(test)]
mod tests {
    use crate::trace::schema::{Line, SCHEMA, Trace};
    use schemars::{JsonSchema, generate::SchemaSettings};
    use serde_json::{Value, json};
    use std::path::Path;

    fn generate<T: JsonSchema>(title: &str) -> Value {
        let mut schema =
            SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
        pin_version(&mut schema);
        schema.as_object_mut().unwrap().insert("title".into(), json!(title));
        schema
    }

    /// The types hold the schema's name as a plain string; only this version's is valid here.
    fn pin_version(schema: &mut Value) {
        match schema {
            Value::Object(object) => {
                if let Some(name) = object
                    .get_mut("properties")
                    .and_then(|p| p.get_mut("schema"))
                    .and_then(Value::as_object_mut)
                {
                    name.insert("const".into(), json!(SCHEMA));
                }
                object.values_mut().for_each(pin_version);
            }
            Value::Array(items) => items.iter_mut().for_each(pin_version),
            _ => {}
        }
    }

    fn check(name: &str, carried: &str, schema: &Value) {
        let schema = format!("{schema:#}\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/trace/schema").join(name);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, schema).unwrap();
        } else {
            let hint = "run: UPDATE_SNAPSHOTS=1 cargo test --lib json_schema";
            assert!(carried == schema, "{} is not what the types say; {hint}", path.display());
        }
    }

    #[test]
    fn the_schemas_are_those_of_the_types() {
        check(
            "document.json",
            &super::document(),
            &generate::<Trace>("A trace of startrace, as one JSON document"),
        );
        check("line.json", &super::line(), &generate::<Line>("One line of an NDJSON trace of startrace"));
    }
}
