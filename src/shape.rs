//! JSON schemas (draft 2020-12) of what callers send, for the API document. They stand beside the code that checks the same bounds.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// What the strings of callers consist of: everything but control characters. Also understood by engines without Unicode classes.
const WITHOUT_CONTROL_CHARACTERS: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// The schema of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(Map<String, Value>);

impl Shape {
    fn of(schema: Value) -> Self {
        let Value::Object(schema) = schema else { unreachable!("callers are below, and pass objects") };
        Self(schema)
    }

    fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0.insert(keyword.to_owned(), value.into());
        self
    }

    /// Returns the schema of any value.
    #[must_use]
    pub fn any() -> Self {
        Self(Map::new())
    }

    /// Returns that of null.
    #[must_use]
    pub fn null() -> Self {
        Self::of(json!({"type": "null"}))
    }

    /// Returns that of a string whose length in characters is in this range, without control characters.
    #[must_use]
    pub fn text(length: RangeInclusive<usize>) -> Self {
        let (min, max) = length.into_inner();
        Self::of(
            json!({"type": "string", "minLength": min, "maxLength": max, "pattern": WITHOUT_CONTROL_CHARACTERS}),
        )
    }

    /// Returns that of a text which consists not only of spaces.
    #[must_use]
    pub fn visible_text(length: RangeInclusive<usize>) -> Self {
        let visible = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
        Self::text(length).with("pattern", visible)
    }

    /// Returns that of any string.
    #[must_use]
    pub fn string() -> Self {
        Self::of(json!({"type": "string"}))
    }

    /// Returns that of a string which a regular expression (ECMA 262) matches.
    #[must_use]
    pub fn matching(pattern: &str) -> Self {
        Self::string().with("pattern", pattern)
    }

    /// Returns that of a string in a format, such as `uuid`, `date` or `date-time`.
    #[must_use]
    pub fn in_format(format: &str) -> Self {
        Self::string().with("format", format)
    }

    /// Returns that of a time (RFC 3339) from 1970 on.
    #[must_use]
    pub fn time_since_1970() -> Self {
        Self::in_format("date-time").with("pattern", "^(19[7-9]|[2-9][0-9]{2})")
    }

    /// Returns that of one of these names.
    #[must_use]
    pub fn one_of(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self::string().with("enum", names.into_iter().collect::<Vec<_>>())
    }

    /// Returns that of a whole number in this range.
    #[must_use]
    pub fn whole(range: RangeInclusive<i64>) -> Self {
        let (min, max) = range.into_inner();
        Self::of(json!({"type": "integer", "minimum": min, "maximum": max}))
    }

    /// Returns that of a number in this range.
    #[must_use]
    pub fn number(range: RangeInclusive<f64>) -> Self {
        let (min, max) = range.into_inner();
        Self::of(json!({"type": "number", "minimum": min, "maximum": max}))
    }

    /// Returns that of `true` or `false`.
    #[must_use]
    pub fn flag() -> Self {
        Self::of(json!({"type": "boolean"}))
    }

    /// Returns that of a list whose length is in this range.
    #[must_use]
    pub fn list(items: Self, length: RangeInclusive<usize>) -> Self {
        let (min, max) = length.into_inner();
        Self::of(json!({"type": "array", "minItems": min, "maxItems": max})).with("items", items)
    }

    /// Returns that of a value which fits at least one of these.
    #[must_use]
    pub fn any_of(shapes: impl IntoIterator<Item = Self>) -> Self {
        let shapes: Vec<Value> = shapes.into_iter().map(Value::from).collect();
        Self::of(json!({"anyOf": shapes}))
    }

    /// Returns that of a schema among the components of the document.
    #[must_use]
    pub fn component(name: &str) -> Self {
        Self::of(json!({"$ref": format!("#/components/schemas/{name}")}))
    }

    /// Returns that of an object with no other fields than those that are added.
    #[must_use]
    pub fn object() -> Self {
        Self::open().with("additionalProperties", false)
    }

    /// Returns that of an object that may have other fields too, which are ignored.
    #[must_use]
    pub fn open() -> Self {
        Self::of(json!({"type": "object", "properties": {}, "additionalProperties": true}))
    }

    /// Adds a field that must be there.
    #[must_use]
    pub fn required(self, name: &str, shape: Self) -> Self {
        let mut object = self.optional(name, shape);
        let required = object.0.entry("required").or_insert_with(|| json!([]));
        required.as_array_mut().expect("it is a list").push(name.into());
        object
    }

    /// Adds a field that may be absent.
    #[must_use]
    pub fn optional(mut self, name: &str, shape: Self) -> Self {
        let properties = self.0.get_mut("properties").and_then(Value::as_object_mut);
        properties.expect("only objects have fields").insert(name.to_owned(), shape.into());
        self
    }

    /// Takes null as well, which means the same as an absent field.
    #[must_use]
    pub fn or_null(mut self) -> Self {
        if let Some(kind) = self.0.get_mut("type") {
            *kind = json!([kind.take(), "null"]);
        } else if !self.0.is_empty() {
            return Self::any_of([self, Self::null()]);
        }
        if let Some(names) = self.0.get_mut("enum").and_then(Value::as_array_mut) {
            names.push(Value::Null);
        }
        self
    }

    /// Takes an empty string as well, which means the same as an absent value: forms send one for what nobody filled in.
    #[must_use]
    pub fn or_empty(mut self) -> Self {
        let outside = ["description", "default", "examples"].map(|keyword| self.0.remove_entry(keyword));
        let mut shape = Self::any_of([self, Self::one_of([""])]);
        shape.0.extend(outside.into_iter().flatten());
        shape
    }

    /// Says what the value means.
    #[must_use]
    pub fn about(self, description: &str) -> Self {
        self.with("description", description)
    }

    /// Says what an absent value stands for.
    #[must_use]
    pub fn by_default(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// Adds an example.
    #[must_use]
    pub fn such_as(self, value: impl Into<Value>) -> Self {
        self.with("examples", vec![value.into()])
    }
}

impl From<Shape> for Value {
    fn from(Shape(schema): Shape) -> Self {
        Self::Object(schema)
    }
}
