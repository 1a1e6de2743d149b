//! One controller at a time: what concerns one business alone.

use serde_json::{Value, json};

use super::{ask, counts, export, open};
use crate::harness::{Backend, KEY, Reply, TestApp, event, on_every_backend};

on_every_backend! {
    one_business_is_searched_and_erased_alone,
    a_key_of_one_business_sees_and_touches_that_business_only,
    a_key_of_one_business_notes_consents_to_that_business_only,
    messages_of_which_nothing_tells_the_business_are_not_those_of_one,
    messages_of_a_session_are_told_apart,
}

async fn one_business_is_searched_and_erased_alone(backend: Backend) {
    let backend = backend.with_app_tables().await;
    backend
        .execute(
            "insert into businesses values ('other', 'Other');
             insert into conversations (id, business_id, customer_email) values
                ('c-acme', 'acme', 'ana@example.com'), ('c-other', 'other', 'ana@example.com');
             insert into messages (id, conversation_id, sender, content) values
                ('m-1', 'c-acme', 'user', 'a'), ('m-2', 'c-other', 'user', 'b')",
        )
        .await;
    let app = open(&backend).await;
    for business in ["acme", "other"] {
        for conversation in [format!("c-{business}"), "c-acme".to_owned()] {
            let told =
                json!({"business_id": business, "conversation_id": conversation, "session_id": "browser"});
            assert_eq!(app.track(&event(told)).await.status, 200);
        }
    }
    let everything = export(&app, json!({"email": "ana@example.com"})).await;
    assert_eq!(everything["businesses"], json!(["acme", "other"]));
    let acme = export(&app, json!({"email": "ana@example.com", "business_id": "acme"})).await;
    assert_eq!(acme["businesses"], json!(["acme"]));
    assert_eq!(counts(&acme), json!({"conversations": 1, "messages": 1, "ai_metrics": 2}));
    assert!(!acme.to_string().contains("c-other"), "{acme}");
    let erased =
        ask(&app, "/privacy/erase", json!({"email": "ana@example.com", "business_id": "acme"})).await.ok();
    assert_eq!(erased["businesses"], json!(["acme"]));
    assert_eq!(backend.texts("select id from conversations").await, ["c-other"]);
    assert_eq!(
        backend.texts("select distinct business_id from ai_metrics").await,
        ["other"],
        "named alike, another one"
    );
    assert_eq!(backend.rows().await, 2);
    let none = json!({"email": "ana@example.com", "business_id": "acme"});
    ask(&app, "/privacy/erase", none).await.refused(404, "Not Found");
    for (wrong, error) in [
        (json!({"email": "ana@example.com", "business_id": null}), "Invalid value for field: business_id"),
        (json!({"email": "ana@example.com", "business_id": ""}), "Invalid value for field: business_id"),
        (json!({"email": "ana@example.com", "business_id": 7}), "Invalid value for field: business_id"),
    ] {
        ask(&app, "/privacy/erase", wrong).await.refused(400, error);
    }
}

/// A customer of two businesses, and a key of one of them.
async fn with_a_key_of_one(backend: Backend) -> (Backend, TestApp, String) {
    let backend = backend.with_app_tables().await;
    backend
        .execute(
            "insert into businesses values ('other', 'Other');
             insert into conversations (id, business_id, customer_email) values
                ('c-acme', 'acme', 'ana@example.com'), ('c-other', 'other', 'ana@example.com')",
        )
        .await;
    let app = TestApp::guarded(&backend).await;
    let wish = json!({"name": "salon", "scopes": ["privacy"], "business_id": "acme"});
    let made = call(&app, KEY, "/admin/keys", wish).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    (backend, app, key)
}

async fn call(app: &TestApp, key: &str, path: &str, body: Value) -> Reply {
    app.post(path).header("x-api-key", key).json(&body).send().await
}

async fn a_key_of_one_business_sees_and_touches_that_business_only(backend: Backend) {
    let (backend, app, key) = with_a_key_of_one(backend).await;
    let (ana, of_other) =
        (json!({"email": "ana@example.com"}), json!({"email": "ana@example.com", "business_id": "other"}));
    for path in ["/privacy/export", "/privacy/erase", "/privacy/requests"] {
        let mut body = of_other.clone();
        if path.ends_with("requests") {
            body["kind"] = json!("export");
        }
        call(&app, &key, path, body).await.refused(403, "Forbidden");
    }
    let found = call(&app, &key, "/privacy/export", ana.clone()).await.ok();
    assert_eq!((&found["businesses"], counts(&found)), (&json!(["acme"]), json!({"conversations": 1})));
    assert_eq!(call(&app, KEY, "/privacy/export", of_other.clone()).await.status, 200);
    let list = app.get("/privacy/requests").header("x-api-key", &key).send().await.ok();
    let listed = list["requests"].as_array().unwrap();
    assert!(listed.len() == 1 && listed[0]["business_id"] == "acme", "{list}");
    call(&app, &key, "/privacy/erase", ana).await.ok();
    assert_eq!(backend.texts("select id from conversations").await, ["c-other"]);
}

async fn a_key_of_one_business_notes_consents_to_that_business_only(backend: Backend) {
    let (backend, app, key) = with_a_key_of_one(backend).await;
    let statement = json!({"subject": "ana@example.com", "purpose": "chat_storage", "policy_version": "1", "granted": true,
                           "source": "test"});
    let noted = call(&app, &key, "/privacy/consents", statement.clone()).await;
    assert_eq!((noted.status.as_u16(), &noted.json()["business_id"]), (201, &json!("acme")));
    let mut foreign = statement;
    foreign["business_id"] = json!("other");
    call(&app, &key, "/privacy/consents", foreign.clone()).await.refused(403, "Forbidden");
    assert_eq!(call(&app, KEY, "/privacy/consents", foreign).await.status, 201);
    let consents = app.get("/privacy/consents").header("x-api-key", &key).send().await.ok();
    assert_eq!(consents["consents"].as_array().unwrap().len(), 1, "{consents}");
    let others = app.get("/privacy/consents?business_id=other").header("x-api-key", &key).send().await;
    others.refused(403, "Forbidden");
    let erased = call(&app, &key, "/privacy/erase", json!({"email": "ana@example.com"})).await.ok();
    assert_eq!(
        (&erased["counts"]["conversations"], &erased["counts"]["mlops_consents"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(backend.texts("select id from conversations").await, ["c-other"]);
    assert_eq!(backend.texts("select business_id from mlops_consents").await, ["other"]);
}

/// The chat messages of the app name no business, and events that do may be gone.
async fn messages_of_which_nothing_tells_the_business_are_not_those_of_one(backend: Backend) {
    let (backend, app, key) = with_a_key_of_one(backend).await;
    backend
        .execute(
            "insert into chat_messages (id, conversation_id, session_id, message) values
                ('k-1', 'c-other', 's-other', 'x'), ('k-2', null, 's-other', 'x'), ('k-3', 'nowhere', null, 'x')",
        )
        .await;
    for body in [
        json!({"session_id": "s-other"}),
        json!({"conversation_id": "nowhere"}),
        json!({"conversation_id": "c-other"}),
    ] {
        for path in ["/privacy/export", "/privacy/erase", "/privacy/erase?dry_run=true"] {
            call(&app, &key, path, body.clone()).await.told(404, "Not Found");
        }
    }
    assert_eq!(backend.number("select count(*) from chat_messages").await, 3);
    let all = call(&app, KEY, "/privacy/export", json!({"session_id": "s-other"})).await.ok();
    assert_eq!(counts(&all), json!({"chat_messages": 2, "conversations": 1}));
}

async fn messages_of_a_session_are_told_apart(backend: Backend) {
    let backend = backend.with_app_tables().await;
    backend
        .execute(
            "insert into conversations (id, business_id, customer_email) values
                ('c-1', 'acme', 'ana@example.com'), ('c-2', 'acme', 'ben@example.com');
             insert into chat_messages (id, conversation_id, session_id, message) values
                ('k-1', 'c-1', 'office', 'x'), ('k-2', 'c-2', 'office', 'x'), ('k-3', null, 'office', 'x')",
        )
        .await;
    let app = open(&backend).await;
    let told = event(json!({"conversation_id": "c-1", "session_id": "office"}));
    assert_eq!(app.track(&told).await.status, 200);
    let session = json!({"session_id": "office"});
    ask(&app, "/privacy/export", session.clone()).await.told(409, "Several people");
    let ana = export(&app, json!({"email": "ana@example.com"})).await;
    assert!(!ana["categories"].to_string().contains("k-2"), "{ana}");
}
