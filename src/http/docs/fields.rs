//! The fields of a schema, as rows of a table.

use serde_json::Value;

use super::page::default_of;

/// From how many names on a list of them is cut short.
const MANY_NAMES: usize = 12;

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name, after those of the objects that it is in: `metrics.human_handoffs`, `businesses[].name`.
    pub(super) name: String,
    /// What it may be, in words.
    pub(super) shape: String,
    /// Whether it must be there, or always is: `yes`, `no`, or `one of these`.
    pub(super) presence: &'static str,
    /// What an absent value stands for.
    pub(super) default: String,
    /// What it means.
    pub(super) about: String,
}

/// Returns the fields of a schema of `document` and of the objects in it: required ones first, then by name.
pub(super) fn fields(schema: &Value, document: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    collect(&mut found, "", schema, document);
    found
}

fn collect(found: &mut Vec<Field>, prefix: &str, schema: &Value, document: &Value) {
    let objects = objects(schema, document);
    let mut names: Vec<(&String, &Value, &'static str)> = Vec::new();
    for (name, field) in objects.iter().filter_map(|object| object["properties"].as_object()).flatten() {
        if names.iter().all(|(known, ..)| *known != name) {
            names.push((name, field, presence(name, &objects)));
        }
    }
    names.sort_by_key(|(name, _, presence)| (rank(presence), *name));
    for (name, field, presence) in names {
        let name = format!("{prefix}{name}");
        let target = resolved(field, document);
        let about = field["description"].as_str().or_else(|| target["description"].as_str());
        found.push(Field {
            name: name.clone(),
            shape: shape_in_words(target),
            presence,
            default: default_of(field),
            about: about.unwrap_or_default().to_owned(),
        });
        let (inner, suffix) = match target.get("items") {
            Some(items) => (items, "[]."),
            None => (target, "."),
        };
        collect(found, &format!("{name}{suffix}"), inner, document);
    }
}

/// Returns the objects that a schema is, or may be.
fn objects<'d>(schema: &'d Value, document: &'d Value) -> Vec<&'d Value> {
    let schema = resolved(schema, document);
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    match alternatives {
        Some(alternatives) => alternatives.iter().flat_map(|one| objects(one, document)).collect(),
        None if schema.get("properties").is_some() => vec![schema],
        None => Vec::new(),
    }
}

fn presence(name: &str, objects: &[&Value]) -> &'static str {
    let requires = |object: &&&Value| {
        object["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name))
    };
    match objects.iter().filter(requires).count() {
        0 => "no",
        all if all == objects.len() => "yes",
        _ => "one of these",
    }
}

fn rank(presence: &str) -> u8 {
    match presence {
        "one of these" => 0,
        "yes" => 1,
        _ => 2,
    }
}

/// Returns the schema that a reference, which may be null, stands for.
fn resolved<'d>(schema: &'d Value, document: &'d Value) -> &'d Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return document
            .pointer(reference.trim_start_matches('#'))
            .map_or(schema, |found| resolved(found, document));
    }
    let alternatives = schema.get("oneOf").and_then(Value::as_array);
    match alternatives
        .map(|all| all.iter().filter(|one| one["type"] != "null").collect::<Vec<_>>())
        .as_deref()
    {
        Some([only]) => resolved(only, document),
        _ => schema,
    }
}

/// Returns what a value may be, in words.
pub(super) fn shape_in_words(schema: &Value) -> String {
    if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
        let mut words: Vec<String> = alternatives.iter().map(shape_in_words).collect();
        words.dedup();
        return words.join(", or ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = kinds.iter().find(|kind| **kind != "null").copied().unwrap_or_default();
    let or_null = if kinds.len() > 1 { ", or null" } else { "" };
    let words = match kind {
        "string" => text(schema),
        "integer" => within("whole number", schema),
        "number" => within("number", schema),
        "boolean" => "true or false".to_owned(),
        "array" => match &schema["items"] {
            items if items.get("$ref").is_some() || items["type"] == "object" => "list of objects".to_owned(),
            items => format!("list: {}", shape_in_words(items)),
        },
        "object" => "object".to_owned(),
        _ if kinds == ["null"] => "null".to_owned(),
        _ if schema.get("$ref").is_some() => "object".to_owned(),
        _ => "any value".to_owned(),
    };
    format!("{words}{or_null}")
}

fn text(schema: &Value) -> String {
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        return match names.len() {
            1 if names == [""] => "empty".to_owned(),
            0..=MANY_NAMES => names.join(", "),
            many => format!("one of {many} names, such as {}", names[many / 2]),
        };
    }
    match (schema["format"].as_str(), schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
        (Some("date-time"), ..) => "time, RFC 3339".to_owned(),
        (Some("date"), ..) => "date".to_owned(),
        (Some("uuid"), ..) => "UUID".to_owned(),
        (Some(format), ..) => format.to_owned(),
        (_, Some(min), Some(max)) => format!("string of {min} to {max} characters"),
        _ => match schema["pattern"].as_str() {
            Some(pattern) => format!("string like {pattern}"),
            None => "string".to_owned(),
        },
    }
}

fn within(kind: &str, schema: &Value) -> String {
    let bound = |keyword: &str| schema[keyword].as_f64().map(|bound| bound.to_string());
    match (bound("minimum"), bound("maximum")) {
        (Some(min), Some(max)) if schema["maximum"].as_i64() != Some(i64::MAX) => {
            format!("{kind}, {min} to {max}")
        }
        (Some(min), _) => format!("{kind}, from {min}"),
        _ => kind.to_owned(),
    }
}
