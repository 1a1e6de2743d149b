//! The privacy desk.

mod bodies;
mod business;
mod erase;
mod export;
mod facts;
mod find;
mod requests;
mod tombstones;

use serde_json::{Value, json};

use crate::harness::{Backend, Customer, KEY, Reply, TestApp, event};

/// Whoever asks.
const ANA: Customer<'static> =
    Customer { word: "zqana", email: " Ana.Zqana@Example.COM", phone: "+49 (151) 2345-678" };

/// Somebody else, who shares Ana's phone.
const BEN: Customer<'static> =
    Customer { word: "zqben", email: "ben@example.com", phone: "0049 151 2345678" };

/// A service that anybody may ask, without quotas, on a database with the app's tables and both persons in them and in
/// events.
async fn with_ana_and_ben(backend: Backend) -> (Backend, TestApp) {
    let backend = backend.with_app_tables().await;
    for person in [ANA, BEN] {
        person.plant(&backend).await;
    }
    let app = open(&backend).await;
    for person in [ANA, BEN] {
        track_of(&app, &person).await;
    }
    (backend, app)
}

/// A service that anybody may ask, without quotas.
async fn open(backend: &Backend) -> TestApp {
    let open = [
        ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
        ("RATE_LIMIT_DEFAULT", "off"),
        ("RATE_LIMIT_TRACK", "off"),
    ];
    TestApp::with(backend, &open).await
}

/// Reports two events of a person: of their conversation, and of their session before there was one.
async fn track_of(app: &TestApp, person: &Customer<'_>) {
    let (conversation, session) = (person.conversation(), person.session());
    for conversation in [Some(conversation), None] {
        let told = event(json!({"conversation_id": conversation, "session_id": session,
            "handoff_reason": format!("asked for {}", person.word), "user_satisfaction": 0.75}));
        assert_eq!(app.track(&told).await.status, 200);
    }
}

async fn ask(app: &TestApp, path: &str, body: Value) -> Reply {
    app.post(path).json(&body).send().await
}

async fn export(app: &TestApp, body: Value) -> Value {
    ask(app, "/privacy/export", body).await.ok()
}

async fn erase(app: &TestApp, body: Value) -> Value {
    ask(app, "/privacy/erase", body).await.ok()
}

/// Sends a request again with the confirmation that it means all the people behind its selector.
async fn confirmed(app: &TestApp, path: &str, mut body: Value) -> Value {
    let several = ask(app, path, body.clone()).await;
    several.told(409, "Several people");
    body["confirm"] = several.json()["confirm"].clone();
    ask(app, path, body).await.ok()
}

/// How many rows an export has, by table; of those that have any, and neither are there whoever asks nor follow from others.
fn counts(export: &Value) -> Value {
    let categories = export["categories"].as_array().unwrap().iter();
    let left_out =
        ["mlops_audit", "mlops_privacy_requests", "mlops_conversations", "mlops_outcomes", "mlops_book"];
    let counts = categories
        .filter(|one| !left_out.contains(&one["table"].as_str().unwrap()))
        .map(|one| (one["table"].as_str().unwrap().to_owned(), one["count"].clone()));
    counts.filter(|(_, count)| *count != 0).collect::<serde_json::Map<_, _>>().into()
}

/// The rows of one table of an export.
fn rows<'e>(export: &'e Value, table: &str) -> &'e Vec<Value> {
    let categories = export["categories"].as_array().unwrap();
    categories.iter().find(|one| one["table"] == table).unwrap()["rows"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn production_needs_a_key_for_the_hashes_of_persons() {
    let backend = Backend::sqlite();
    let settings = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let app = TestApp::with(&backend, &settings).await;
    let body = json!({"email": "ana@example.com", "kind": "export"});
    for path in ["/privacy/export", "/privacy/erase", "/privacy/requests"] {
        let refused = app.post(path).header("x-api-key", KEY).json(&body).send().await;
        refused.refused(503, "Service Unavailable");
        assert!(refused.json()["message"].as_str().unwrap().contains("PRIVACY_HASH_KEY"));
    }
    let hash_key = ("PRIVACY_HASH_KEY", "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a");
    let app = TestApp::with(&backend, &[settings[0], settings[1], hash_key]).await;
    let noted = app.post("/privacy/requests").header("x-api-key", KEY).json(&body).send().await;
    assert_eq!(noted.status, 201, "{}", noted.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_needs_the_scope() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let make = async |scope: &str| {
        let wish = json!({"name": scope, "scopes": [scope]});
        let made = app.post("/admin/keys").header("x-api-key", KEY).json(&wish).send().await;
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let (privacy, admin) = (make("privacy").await, make("admin").await);
    for path in ["/privacy/export", "/privacy/erase", "/privacy/requests"] {
        let call = |key: &str| app.post(path).header("x-api-key", key).json(&json!({})).send();
        call(&privacy).await.refused(400, "Invalid request body");
        call(&admin).await.refused(403, "Forbidden");
    }
    let list = app.get("/privacy/requests").header("x-api-key", &privacy).send().await;
    assert_eq!(list.ok()["requests"], json!([]));
}
