//! A call as an operation of the document.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::parts::{Body, Failure, Parameter, Place, Reply};
use super::policy;
use crate::http::routes::Access;

/// The name of the schema of most errors.
pub(super) const ERROR: &str = "Error";

/// Returns the operation of a call.
pub(super) fn operation(call: &Call) -> Value {
    let doc = &call.doc;
    let quota = call
        .quota
        .as_deref()
        .map_or_else(|| "No quota.".to_owned(), |quota| format!("Quota of each caller: {quota}."));
    let about = [doc.about, &call.access, &quota];
    let about: Vec<&str> = about.into_iter().filter(|text| !text.is_empty()).collect();
    let mut operation = json!({
        "operationId": doc.id,
        "tags": [doc.group.title()],
        "summary": doc.summary,
        "description": about.join("\n\n"),
        "security": security(call),
        "responses": call.answers.iter().map(|(status, answer)| (status.to_string(), response(call, *status, answer))).collect::<Map<_, _>>(),
    });
    let parameters: Vec<Value> = doc.parameters.iter().map(parameter).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !doc.bodies.is_empty() {
        operation["requestBody"] = json!({"required": doc.needs_body, "content": content(&doc.bodies)});
    }
    operation["x-quota"] = json!(call.quota);
    operation
}

/// Returns the credentials that a call takes: one of these.
fn security(call: &Call) -> Value {
    match call.row.access {
        Access::Public => json!([]),
        Access::Page => json!([{"Session": []}]),
        Access::Scope(scope) | Access::Personal(scope) => {
            json!([{"ApiKey": [scope.name()]}, {"Token": [scope.name()]}])
        }
    }
}

fn parameter(parameter: &Parameter) -> Value {
    let mut shape = parameter.shape.clone();
    let about = shape.as_object_mut().and_then(|shape| shape.remove("description"));
    let place: &str = parameter.place.into();
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": about.unwrap_or_else(|| "".into()),
        "schema": shape,
    })
}

/// Returns the forms of a body by their media types. Of several of one type, the body has any.
fn content(bodies: &[Body]) -> Value {
    let mut content = Map::new();
    for media_type in bodies.iter().map(|body| body.media_type) {
        let same: Vec<&Body> = bodies.iter().filter(|body| body.media_type == media_type).collect();
        let shapes: Vec<&Value> = same.iter().map(|body| &body.shape).collect();
        let mut form = if shapes.len() == 1 {
            json!({"schema": shapes[0]})
        } else {
            json!({"schema": {"anyOf": shapes}})
        };
        let examples: Vec<&Value> = same.iter().filter_map(|body| body.example.as_ref()).collect();
        match examples.as_slice() {
            [] => {}
            [only] => form["example"] = (*only).clone(),
            several => {
                let named = several.iter().enumerate();
                form["examples"] = named
                    .map(|(index, value)| (format!("form_{}", index + 1), json!({"value": value})))
                    .collect();
            }
        }
        content.insert(media_type.to_owned(), form);
    }
    content.into()
}

fn response(call: &Call, status: u16, answer: &Answer) -> Value {
    let mut content = content(answer.bodies());
    for (media_type, form) in errors(call, status, &answer.failures) {
        content[media_type] = form;
    }
    let mut response =
        json!({"description": description(answer), "headers": headers(call, status, answer.reply.as_ref())});
    if content.as_object().is_some_and(|content| !content.is_empty()) {
        response["content"] = content;
    }
    let links: Map<String, Value> = answer.reply.iter().flat_map(|reply| &reply.links).map(link).collect();
    if !links.is_empty() {
        response["links"] = links.into();
    }
    response
}

fn description(answer: &Answer) -> String {
    let errors = answer.failures.iter().map(|failure| {
        let error = failure.body["error"].as_str().unwrap_or_default();
        format!("`{error}`: {}", failure.when)
    });
    let reply = answer.reply.iter().map(|reply| reply.meaning.clone());
    reply.chain(errors).collect::<Vec<_>>().join("\n\n")
}

/// Returns the forms of the bodies of errors: JSON, or a page where people call.
fn errors(call: &Call, status: u16, failures: &[Failure]) -> Vec<(&'static str, Value)> {
    let mut forms = Vec::new();
    if failures.is_empty() {
        return forms;
    }
    if call.row.is_page() && !matches!(status, 414 | 431) {
        forms.push(("text/html", json!({"schema": {"type": "string"}})));
    }
    if !call.row.is_page() || policy::is_bare(status) {
        let mut schemas: Vec<Value> = Vec::new();
        for failure in failures {
            let name = failure.schema.as_deref().unwrap_or(ERROR);
            let schema = json!({"$ref": format!("#/components/schemas/{name}")});
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        let schema = if schemas.len() == 1 { schemas.swap_remove(0) } else { json!({"anyOf": schemas}) };
        forms.push(("application/json", json!({"schema": schema, "examples": examples(failures)})));
    }
    forms
}

/// Returns the bodies of errors, by their texts. Of those with the same text the first stands for all.
fn examples(failures: &[Failure]) -> Map<String, Value> {
    let mut examples = Map::new();
    for failure in failures {
        let text = failure.body["error"].as_str().unwrap_or_default();
        let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        examples.entry(name).or_insert_with(|| json!({"summary": failure.when, "value": failure.body}));
    }
    examples
}

/// The headers that the guard and the layers around the routes add: name, meaning, and schema.
const OWN_HEADERS: [(&str, &str, &str); 6] = [
    ("X-Request-Id", "The id of the request", r#"{"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}"#),
    (
        "X-RateLimit-Limit",
        "Requests that the quota allows in its window",
        r#"{"type": "integer", "minimum": 0}"#,
    ),
    ("X-RateLimit-Remaining", "Requests that are left", r#"{"type": "integer", "minimum": 0}"#),
    (
        "X-RateLimit-Reset",
        "When the window closes, in seconds since 1970",
        r#"{"type": "integer", "minimum": 0}"#,
    ),
    ("Retry-After", "How many seconds to wait", r#"{"type": "integer", "minimum": 1}"#),
    ("WWW-Authenticate", "What is wrong with the token", r#"{"type": "string"}"#),
];

/// What is added to the name of a header that a response need not have.
const PERHAPS: &str = ".perhaps";

/// Returns these headers as components, each as one that is always there and as one that may be.
pub(super) fn own_headers() -> Map<String, Value> {
    let header = |(name, about, schema): (&str, &str, &str), always: bool| {
        let schema: Value = serde_json::from_str(schema).expect("it is JSON");
        let name = if always { name.to_owned() } else { format!("{name}{PERHAPS}") };
        (name, json!({"description": about, "required": always, "schema": schema}))
    };
    OWN_HEADERS.into_iter().flat_map(|own| [header(own, true), header(own, false)]).collect()
}

fn headers(call: &Call, status: u16, reply: Option<&Reply>) -> Map<String, Value> {
    let mut headers = Map::new();
    let mut add = |name: &str, always: bool| {
        let suffix = if always { "" } else { PERHAPS };
        headers.insert(name.to_owned(), json!({"$ref": format!("#/components/headers/{name}{suffix}")}));
    };
    add("X-Request-Id", true);
    let is_limited = call.quota.is_some();
    if is_limited || status == 429 {
        // What comes before the guard has none.
        let always = is_limited && (status < 400 || matches!(status, 401 | 429));
        for name in ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"] {
            add(name, always);
        }
    }
    if matches!(status, 429 | 503) {
        add("Retry-After", status == 429);
    }
    if policy::scope(&call.row).is_some() && matches!(status, 401 | 403) {
        add("WWW-Authenticate", false);
    }
    for (name, about, always) in reply.iter().flat_map(|reply| &reply.headers) {
        let header = json!({"description": about, "required": always, "schema": {"type": "string"}});
        headers.insert((*name).to_owned(), header);
    }
    headers
}

fn link((id, parameter, value): &(&'static str, &'static str, &'static str)) -> (String, Value) {
    ((*id).to_owned(), json!({"operationId": id, "parameters": {*parameter: value}}))
}
