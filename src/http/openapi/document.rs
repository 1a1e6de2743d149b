//! The document as a whole.

use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::call::Call;
use super::inline::{Schemas, inline};
use super::operation::{ERROR, operation, own_headers};
use super::parts::Group;
use super::shared::share;
use crate::config::{Config, PublicUrl};
use crate::http::routes::Row;
use crate::shape::Shape;

const ABOUT: &str = "Metrics and analytics of an AI receptionist. Bodies are JSON in UTF-8. Times are RFC 3339 in UTC with \
    microseconds. `HEAD` works wherever `GET` does, and `OPTIONS` answers CORS preflights. Every error is an `Error`, and every response \
    has an `X-Request-Id`: the caller's own, if it sent one. A path that is not listed here is a 404, a method that is not listed a 405 \
    whose `Allow` lists those there are. Callers should accept fields that are not listed: later versions may have more.";

/// Returns the document of these rows. Quotas and the address are those of the settings.
#[must_use]
pub fn document(rows: &[Row], config: &Config) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = Schemas::from_iter([(ERROR.to_owned(), error())]);
    for row in rows {
        let call = Call::of(row, config);
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.as_str().to_ascii_lowercase()] = operation(&call);
        schemas.extend(call.doc.components);
    }
    let responses = share(&mut paths);
    let schemas = used(
        [&paths, &responses],
        &schemas.iter().map(|(name, schema)| (name.clone(), inline(schema, &schemas))).collect(),
    );
    let url = config.public_url.as_ref().map_or_else(|| "/".to_owned(), PublicUrl::origin);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mlops-service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": Group::VARIANTS.iter().map(|group| json!({"name": group.title(), "description": group.about()})).collect::<Value>(),
        "paths": paths,
        "components": {"schemas": schemas, "responses": responses, "headers": own_headers(), "securitySchemes": security_schemes()},
    })
}

/// Returns the schemas that the paths refer to, themselves or by others.
fn used(parts: [&Map<String, Value>; 2], schemas: &Schemas) -> Schemas {
    let mut found = Schemas::new();
    let mut texts: Vec<Value> = parts.into_iter().cloned().map(Value::Object).collect();
    while let Some(value) = texts.pop() {
        match value {
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str);
                let name = name.and_then(|path| path.strip_prefix("#/components/schemas/"));
                if let Some((name, schema)) = name.and_then(|name| schemas.get_key_value(name))
                    && found.insert(name.clone(), schema.clone()).is_none()
                {
                    texts.push(schema.clone());
                }
                texts.extend(fields.into_iter().map(|(_, value)| value));
            }
            Value::Array(items) => texts.extend(items),
            _ => {}
        }
    }
    found
}

fn error() -> Value {
    let error = Shape::string().about("What is wrong, in a few words that do not change");
    let message = Shape::string().about("What is wrong and what to do");
    Shape::object().required("error", error).required("message", message).about("An error").into()
}

fn security_schemes() -> Value {
    json!({
        "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key; the scopes that it must have are listed"},
        "Token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of the configured issuer, with these scopes"},
        "Session": {"type": "apiKey", "in": "cookie", "name": "mlops_session",
            "description": "The cookie that `POST /session` sets; over HTTPS its name is `__Host-mlops_session`"},
    })
}
