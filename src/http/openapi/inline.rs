//! Writes objects that are composed of several as one, so that their fields stand together, and adapts descriptions that were
//! written for readers of the code.

use serde_json::{Map, Value};

/// The schemas of the document, by name.
pub(super) type Schemas = Map<String, Value>;

/// Returns a schema with each `allOf` of objects replaced by one object.
pub(super) fn inline(schema: &Value, schemas: &Schemas) -> Value {
    match schema {
        Value::Object(object) => {
            let object: Map<String, Value> = object
                .iter()
                .map(|(keyword, value)| {
                    let value = match (keyword.as_str(), value) {
                        ("description", Value::String(text)) => adapted(text).into(),
                        _ => inline(value, schemas),
                    };
                    (keyword.clone(), value)
                })
                .collect();
            match object.get("allOf").and_then(Value::as_array) {
                Some(parts) => composed(&object, parts, schemas),
                None => Value::Object(object),
            }
        }
        Value::Array(items) => items.iter().map(|item| inline(item, schemas)).collect(),
        other => other.clone(),
    }
}

/// Returns the object that has the fields of all `parts`; for each of several alternatives in one of them, one object.
fn composed(whole: &Map<String, Value>, parts: &[Value], schemas: &Schemas) -> Value {
    let mut merged: Vec<Map<String, Value>> = vec![Map::from_iter([("type".to_owned(), "object".into())])];
    for part in parts {
        let part = resolved(part, schemas);
        let alternatives =
            part.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![part.clone()]);
        let alternatives: Vec<Value> = alternatives.iter().map(|one| resolved(one, schemas)).collect();
        merged = merged
            .iter()
            .flat_map(|before| alternatives.iter().map(|after| with_fields_of(before.clone(), after)))
            .collect();
    }
    let mut schema = match merged.len() {
        1 => merged.swap_remove(0),
        _ => Map::from_iter([("anyOf".to_owned(), merged.into_iter().map(Value::Object).collect())]),
    };
    if let Some(description) = whole.get("description") {
        schema.insert("description".to_owned(), description.clone());
    }
    Value::Object(schema)
}

/// Returns the schema that a reference stands for, without references to objects that it is composed of.
fn resolved(schema: &Value, schemas: &Schemas) -> Value {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
    match name.and_then(|name| schemas.get(name)) {
        Some(named) => inline(named, schemas),
        None => schema.clone(),
    }
}

fn with_fields_of(mut object: Map<String, Value>, other: &Value) -> Map<String, Value> {
    if let Some(fields) = other["properties"].as_object() {
        let properties = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        properties.as_object_mut().expect("it was made here").extend(fields.clone());
    }
    if let Some(names) = other["required"].as_array() {
        let required = object.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        required.as_array_mut().expect("it was made here").extend(names.iter().cloned());
    }
    object
}

/// Returns a description in the words of JSON, without links into the code.
fn adapted(text: &str) -> String {
    text.replace("`None`", "null").replace("[`", "`").replace("`]", "`")
}
