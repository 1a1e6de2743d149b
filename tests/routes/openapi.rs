//! `GET /openapi.json`: the API document, and that it says what the service does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use mlops_service::config::{Config, Source};
use mlops_service::http::openapi::document;
use mlops_service::http::routes::{Access, table};
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Contract, KEY, TestApp};

const SNAPSHOT: &str = "tests/routes/openapi.json";

/// The document with the default settings.
fn of_the_defaults() -> Value {
    document(table().rows(), &Config::read(&Source::default()).unwrap())
}

/// The operations, by method and path.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let paths = document["paths"].as_object().unwrap().iter();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| ((method.to_uppercase(), path.clone()), operation))
    };
    paths.flat_map(of_path).collect()
}

#[test]
fn every_change_of_the_document_is_seen() {
    let now = format!("{:#}\n", of_the_defaults());
    let kept = fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        now == kept,
        "the API has changed. Look at the change, and keep it with: env -i PATH=\"$PATH\" HOME=\"$HOME\" \
         cargo run -q -- openapi > {SNAPSHOT}"
    );
}

#[test]
fn the_document_has_the_rows_of_the_table_and_nothing_else() {
    let document = of_the_defaults();
    let listed: BTreeSet<_> = operations(&document).into_keys().collect();
    let rows: BTreeSet<_> =
        table().rows().iter().map(|row| (row.method.to_string(), row.path.to_owned())).collect();
    assert_eq!(listed, rows);
    let config = Config::read(&Source::default()).unwrap();
    for row in table().rows() {
        let operation = &document["paths"][row.path][row.method.as_str().to_lowercase()];
        let quota = row.quota.quota(&config).map(ToString::to_string);
        assert_eq!(operation["x-quota"], json!(quota), "{row:?}");
        let security = match row.access {
            Access::Public => json!([]),
            Access::Page => json!([{"Session": []}]),
            Access::Scope(scope) | Access::Personal(scope) => {
                json!([{"ApiKey": [scope.name()]}, {"Token": [scope.name()]}])
            }
        };
        assert_eq!(operation["security"], security, "{row:?}");
        let segments = row.path.split('/').filter(|segment| segment.starts_with('{')).count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), segments, "{row:?}");
    }
}

#[test]
fn names_are_unique_and_everything_is_described() {
    let document = of_the_defaults();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations.values().map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for ((method, path), operation) in &operations {
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert_ne!(parameter["description"], "", "{method} {path}: {parameter}");
        }
        for link in
            operation["responses"].as_object().unwrap().values().filter_map(|one| one["links"].as_object())
        {
            for target in link.values() {
                assert!(ids.contains(target["operationId"].as_str().unwrap()), "{method} {path}: {target}");
            }
        }
    }
}

#[test]
fn every_example_has_the_form_that_it_is_an_example_of() {
    let document = of_the_defaults();
    let mut checked = 0;
    let mut faults = Vec::new();
    for ((method, path), operation) in operations(&document) {
        let responses =
            operation["responses"].as_object().unwrap().values().map(|one| match one["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => one,
            });
        let bodies = responses.chain([&operation["requestBody"]]);
        for (media_type, form) in bodies.filter_map(|body| body["content"].as_object()).flatten() {
            let single = form.get("example").into_iter();
            let named = form["examples"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.values().map(|one| &one["value"]));
            for example in single.chain(named) {
                let mut schema = form["schema"].clone();
                schema["components"] = document["components"].clone();
                let options = jsonschema::options().should_validate_formats(true);
                if let Err(fault) = options.build(&schema).unwrap().validate(example) {
                    faults.push(format!("{method} {path} {media_type}: {fault} in {example}"));
                }
                checked += 1;
            }
        }
    }
    assert_eq!(faults, [""; 0], "{checked} examples");
    assert!(checked > 200, "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_shows_it_with_its_own_quotas_and_address() {
    let backend = Backend::sqlite();
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("RATE_LIMIT_TRACK", "7/hour"),
        ("PUBLIC_URL", "https://metrics.example.com"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    let reply = app.get("/openapi.json").send().await;
    let document = reply.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["servers"][0]["url"], "https://metrics.example.com");
    assert_eq!(document["paths"]["/track"]["post"]["x-quota"], "7 per 1 hour");
    let tag = reply.header("etag");
    let again = app.get("/openapi.json").header("if-none-match", tag).send().await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let compressed = app.get("/openapi.json").header("accept-encoding", "gzip").send().await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
}

/// What is wrong with an answer of `POST /track` with this status and body.
fn fault(status: u16, body: &Value, headers: &[(&'static str, &'static str)]) -> Option<String> {
    let mut all = HeaderMap::new();
    all.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        all.insert(*name, HeaderValue::from_static(value));
    }
    let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from(body.to_string()));
    let answer = Answer { method: &Method::POST, path: "/track", status, headers: &all, body: &body };
    Contract::of_the_table().fault(answer, true)
}

#[test]
fn an_answer_that_is_not_documented_is_a_fault() {
    const QUOTA: [(&str, &str); 4] = [
        ("x-request-id", "1"),
        ("x-ratelimit-limit", "100"),
        ("x-ratelimit-remaining", "99"),
        ("x-ratelimit-reset", "1704567890"),
    ];
    let stored = json!({
        "status": "success", "message": "Metrics tracked successfully", "prometheus_updated": true,
        "database_stored": true, "timestamp": "2026-11-23T11:33:30.625757+00:00",
    });
    assert_eq!(fault(200, &stored, &QUOTA), None);
    let told = |found: Option<String>, expected: &str| {
        let found = found.unwrap_or_else(|| panic!("{expected}"));
        assert!(found.contains(expected), "{found}");
    };
    told(fault(418, &stored, &QUOTA), "418 is not in the API document");
    let with = |name: &str, value: Value| {
        let mut body = stored.clone();
        body[name] = value;
        body
    };
    told(fault(200, &with("new", json!(1)), &QUOTA), "'new' was unexpected");
    told(fault(200, &with("prometheus_updated", json!("yes")), &QUOTA), "boolean");
    told(fault(200, &with("timestamp", json!("yesterday")), &QUOTA), "date-time");
    let mut without = stored.clone();
    without.as_object_mut().unwrap().remove("status");
    told(fault(200, &without, &QUOTA), "\"status\" is a required property");
    told(fault(200, &stored, &QUOTA[..1]), "X-RateLimit-Limit");
    told(fault(200, &stored, &QUOTA[1..]), "X-Request-Id");
    told(
        fault(400, &json!({"error": "Bad Request", "message": "…", "trace": "…"}), &QUOTA),
        "'trace' was unexpected",
    );
    told(
        fault(200, &stored, &[("content-type", "text/plain"), QUOTA[0], QUOTA[1], QUOTA[2], QUOTA[3]]),
        "text/plain",
    );
}

/// Values at the edges of a schema: those that it just allows, and those that it just does not.
fn edges(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    let bounds = (&schema["minimum"], &schema["maximum"]);
    match kind {
        "string" if schema["enum"].is_array() => {
            let names = schema["enum"].as_array().unwrap().iter().filter(|name| !name.is_null());
            (names.take(8).cloned().collect(), vec![json!("nonsense"), json!("")])
        }
        "string" if schema["format"] == "date-time" && schema["pattern"].is_string() => {
            let (first, before) = (json!("1970-01-01T00:00:00Z"), json!("1969-12-31T23:59:59Z"));
            let documented = jsonschema::validator_for(schema).unwrap();
            assert!(documented.is_valid(&first) && !documented.is_valid(&before), "{schema}");
            (vec![first], vec![before])
        }
        "string" if schema["maxLength"].is_u64() => {
            let of = |length: u64| json!("x".repeat(usize::try_from(length).unwrap()));
            let (min, max) = (schema["minLength"].as_u64().unwrap(), schema["maxLength"].as_u64().unwrap());
            let mut bad = vec![of(max + 1), json!("a\u{7}b")];
            bad.extend((min > 0).then(|| of(min - 1)));
            (vec![of(min), of(max)], bad)
        }
        "integer" if bounds.1.as_i64() < Some(i64::MAX) => {
            let (min, max) = (bounds.0.as_i64().unwrap(), bounds.1.as_i64().unwrap());
            (vec![json!(min), json!(max)], vec![json!(min - 1), json!(max + 1), json!(0.5)])
        }
        "number" => {
            let (min, max) = (bounds.0.as_f64().unwrap(), bounds.1.as_f64().unwrap());
            (vec![json!(min), json!(max)], vec![json!(min - 0.01), json!(max + 1.0)])
        }
        "boolean" => (vec![json!(true), json!(false)], vec![json!("yes")]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Sends `body` with each field at the edges of its schema.
async fn send_edges(app: &TestApp, method: &Method, path: &str, schema: &Value, body: &Value) -> usize {
    let mut sent = 0;
    for (name, field) in schema["properties"].as_object().unwrap() {
        let (good, bad) = edges(field);
        for (value, is_good) in
            good.iter().map(|value| (value, true)).chain(bad.iter().map(|value| (value, false)))
        {
            let mut body = body.clone();
            body[name] = value.clone();
            let reply = app.call(method.clone(), path).header("x-api-key", KEY).json(&body).send().await;
            let status = if is_good { 200 } else { 400 };
            assert_eq!(reply.status, status, "{path} {name}: {value}: {}", reply.text());
            if !is_good {
                assert_eq!(reply.json()["error"], format!("Invalid value for field: {name}"), "{value}");
            }
            sent += 1;
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_fields_are_those_of_the_service() {
    let backend = Backend::sqlite();
    let settings = [("MLOPS_API_KEY", KEY), ("RATE_LIMIT_TRACK", "off"), ("RATE_LIMIT_DEFAULT", "off")];
    let app = TestApp::with(&backend, &settings).await;
    let document = of_the_defaults();
    let schemas = &document["components"]["schemas"];
    let event = json!({"business_id": "acme", "response_time_ms": 1, "tokens_used": 1});
    assert!(send_edges(&app, &Method::POST, "/track", &schemas["Event"], &event).await > 70);
    let outcome = json!({"business_id": "acme", "conversation_id": "c-1", "outcome": "kept"});
    assert!(send_edges(&app, &Method::POST, "/outcomes", &schemas["Outcome"], &outcome).await > 15);
    let path = "/admin/businesses/acme";
    assert!(send_edges(&app, &Method::PUT, path, &schemas["BusinessProfile"], &json!({})).await > 10);
    // Beside the other fields, an invalid rating is ignored.
    let mut event = event;
    event["user_satisfaction"] = json!(7);
    app.post("/track").header("x-api-key", KEY).json(&event).send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_parameters_are_those_of_the_service() {
    let backend = Backend::sqlite();
    let settings = [("MLOPS_API_KEY", KEY), ("RATE_LIMIT_ANALYTICS", "off"), ("RATE_LIMIT_DEFAULT", "off")];
    let app = TestApp::with(&backend, &settings).await;
    let mut sent = 0;
    for ((method, path), operation) in operations(&of_the_defaults()) {
        if method != "GET" || operation["security"][0]["ApiKey"].is_null() {
            continue;
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "query" {
                continue;
            }
            let (good, bad) = edges(&parameter["schema"]);
            let validator = jsonschema::options().should_validate_formats(true).build(&parameter["schema"]);
            let empty = json!("");
            let of_empty = if validator.unwrap().is_valid(&empty) { 200 } else { 400 };
            let of_edges = good.iter().map(|value| (value, 200)).chain(bad.iter().map(|value| (value, 400)));
            for (value, status) in of_edges.chain([(&empty, of_empty)]) {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                let name = parameter["name"].as_str().unwrap();
                let query =
                    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &text).finish();
                let path = format!("{}?{query}", path.replace("{business_id}", "acme"));
                let reply = app.get(&path).header("x-api-key", KEY).send().await;
                assert_eq!(reply.status, status, "{path}: {}", reply.text());
                sent += 1;
            }
        }
    }
    assert!(sent > 80, "{sent}");
}
