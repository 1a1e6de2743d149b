//! The privacy desk.

mod erase;
mod export;
mod find;
mod requests;

use serde_json::{Value, json};

use crate::harness::{Backend, Customer, Reply, TestApp, event};

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
        let told = event(json!({"conversation_id": conversation, "session_id": session}));
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

/// How many rows an export has, by table; of those that have any, and are there whoever asks.
fn counts(export: &Value) -> Value {
    let categories = export["categories"].as_array().unwrap().iter();
    let asked = [json!("mlops_audit"), json!("mlops_privacy_requests")];
    let counts = categories
        .filter(|one| !asked.contains(&one["table"]))
        .map(|one| (one["table"].as_str().unwrap().to_owned(), one["count"].clone()));
    counts.filter(|(_, count)| *count != 0).collect::<serde_json::Map<_, _>>().into()
}

/// The rows of one table of an export.
fn rows<'e>(export: &'e Value, table: &str) -> &'e Vec<Value> {
    let categories = export["categories"].as_array().unwrap();
    categories.iter().find(|one| one["table"] == table).unwrap()["rows"].as_array().unwrap()
}
