//! Compares replies with the API document: the status must be listed for the route, the body must have the form that is listed for
//! it, with no other field, and the headers that it always has must be there.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use jsonschema::Validator;
use mlops_service::config::{Config, Source};
use mlops_service::http::openapi::document;
use mlops_service::http::routes::{Routes, table};
use serde_json::{Value, json};

/// The document of some routes.
#[derive(Debug)]
pub(crate) struct Contract {
    document: Value,
    /// How many rows the table has.
    pub(crate) rows: usize,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// What is compared with the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) method: &'a Method,
    /// The path of the request.
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
}

impl Contract {
    /// Returns the document of the route table.
    pub(crate) fn of_the_table() -> &'static Arc<Self> {
        static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| Arc::new(Contract::of(&table())));
        &CONTRACT
    }

    /// Returns the document of a table, with the default settings.
    pub(crate) fn of(routes: &Routes) -> Self {
        let config = Config::read(&Source::default()).unwrap();
        let mut document = document(routes.rows(), &config);
        close(&mut document["components"]["schemas"]);
        Self { document, rows: routes.rows().len(), validators: Mutex::default() }
    }

    /// Returns what is wrong with an answer; `None` if nothing is. Quota headers are only wanted where quotas are on.
    pub(crate) fn fault(&self, answer: Answer<'_>, has_quotas: bool) -> Option<String> {
        let method = if answer.method == Method::HEAD { &Method::GET } else { answer.method };
        let path = format!("/{}", answer.path.trim_start_matches('/'));
        let template = self.template(&path);
        let operation = template.and_then(|template| {
            self.document["paths"][template]
                .get(method.as_str().to_ascii_lowercase())
                .map(|found| (template, found))
        });
        let Some((template, operation)) = operation else {
            return fault_of_no_operation(answer, template.is_some());
        };
        let status = answer.status.as_str();
        let call = format!("{method} {template}: {status}");
        let Some(response) = operation["responses"].get(status) else {
            return Some(format!("{call} is not in the API document"));
        };
        let response = self.resolved(response);
        self.fault_of_headers(answer, response, has_quotas)
            .or_else(|| self.fault_of_body(answer, response, &call))
            .map(|fault| format!("{call}: {fault}"))
    }

    /// Returns what a reference stands for.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                self.document.pointer(&reference[1..]).unwrap_or_else(|| panic!("there is no {reference}"))
            }
            None => value,
        }
    }

    fn fault_of_headers(&self, answer: Answer<'_>, response: &Value, has_quotas: bool) -> Option<String> {
        let headers = response["headers"].as_object().unwrap();
        let wanted = headers.iter().filter(|(name, header)| {
            self.resolved(header)["required"] == json!(true)
                && (has_quotas || !name.starts_with("X-RateLimit"))
        });
        let missing: Vec<&String> =
            wanted.map(|(name, _)| name).filter(|name| !answer.headers.contains_key(name.as_str())).collect();
        (!missing.is_empty()).then(|| format!("without the headers {missing:?}"))
    }

    /// Returns the path of the document that a path fits; one without parameters first.
    fn template(&self, path: &str) -> Option<&str> {
        let paths = self.document["paths"].as_object().unwrap();
        let fits = |template: &&String| {
            let (wanted, found) = (template.split('/'), path.split('/'));
            wanted.clone().count() == found.clone().count()
                && wanted.zip(found).all(|(wanted, found)| match wanted.starts_with('{') {
                    true => !found.is_empty(),
                    false => wanted == found,
                })
        };
        paths.keys().filter(fits).min_by_key(|template| template.matches('{').count()).map(String::as_str)
    }

    fn fault_of_body(&self, answer: Answer<'_>, response: &Value, call: &str) -> Option<String> {
        if *answer.method == Method::HEAD {
            return (!answer.body.is_empty()).then(|| "it has a body".to_owned());
        }
        let content = response.get("content").and_then(Value::as_object);
        let Some(content) = content else {
            return (!answer.body.is_empty())
                .then(|| "it has a body, and none is in the API document".to_owned());
        };
        let media_type = answer.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
        let media_type = media_type.split(';').next().unwrap();
        let Some(form) = content.get(media_type) else {
            return Some(format!("the content type {media_type:?} is not in the API document"));
        };
        if media_type != "application/json" || answer.headers.contains_key("content-encoding") {
            return None;
        }
        let Ok(body) = serde_json::from_slice::<Value>(answer.body) else {
            return Some("it is not JSON".to_owned());
        };
        let validator = self.validator(call, &form["schema"]);
        let faults: Vec<String> = validator
            .iter_errors(&body)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        (!faults.is_empty()).then(|| format!("{} in {body}", faults.join("; ")))
    }

    fn validator(&self, call: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(call.to_owned()).or_insert_with(|| {
            let mut schema = schema.clone();
            close(&mut schema);
            schema["components"] = self.document["components"].clone();
            let options = jsonschema::options().should_validate_formats(true);
            Arc::new(options.build(&schema).unwrap_or_else(|error| panic!("{call}: {error}")))
        });
        made.clone()
    }
}

/// Returns what is wrong with the answer to a request that the document does not list.
fn fault_of_no_operation(answer: Answer<'_>, is_path: bool) -> Option<String> {
    let status = answer.status.as_u16();
    let is_preflight = *answer.method == Method::OPTIONS;
    let is_error = match is_path {
        // Errors of the layers around the routes come first.
        true => matches!(status, 400 | 403 | 405 | 408 | 429 | 431 | 500 | 503),
        false => matches!(status, 400 | 403 | 404 | 408 | 429 | 431 | 500 | 503),
    };
    let told = format!("{} {}: {status}", answer.method, answer.path);
    if !is_preflight && !is_error {
        return Some(format!("{told} is an answer of a route that is not in the API document"));
    }
    (status == 405 && !answer.headers.contains_key("allow")).then(|| format!("{told} has no Allow"))
}

/// Lets each object have no other fields than those that are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") && object.get("type") == Some(&json!("object")) {
                object.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
