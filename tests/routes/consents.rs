//! `/privacy/consents`: what customers agreed to and took back.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Reply, TestApp, on_every_backend};

on_every_backend! {
    a_consent_is_noted_withdrawn_and_remembered,
    of_two_at_the_same_time_the_later_one_holds,
    one_customer_is_found_however_they_are_written,
    each_part_has_its_bounds,
    the_list_is_filtered_and_paged,
    an_address_names_no_customer_and_nothing_odd,
    the_audit_trail_tells_ids_only,
}

const OPEN: [(&str, &str); 2] = [("MLOPS_API_KEY", KEY), ("RATE_LIMIT_DEFAULT", "off")];

async fn post(app: &TestApp, path: &str, body: &Value) -> Reply {
    app.post(path).header("x-api-key", KEY).json(body).send().await
}

async fn list(app: &TestApp, query: &str) -> Reply {
    app.get(&format!("/privacy/consents{query}")).header("x-api-key", KEY).send().await
}

fn statement(changes: Value) -> Value {
    let mut statement = json!({"subject": "ana@example.com", "purpose": "chat_storage", "policy_version": "2026-01",
                               "granted": true, "source": "chat widget"});
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    statement.as_object_mut().unwrap().extend(changes);
    statement
}

async fn note(app: &TestApp, changes: Value) -> Value {
    let reply = post(app, "/privacy/consents", &statement(changes)).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    reply.json()
}

async fn search(app: &TestApp, subject: Value) -> Value {
    post(app, "/privacy/consents/search", &json!({ "subject": subject })).await.ok()
}

async fn a_consent_is_noted_withdrawn_and_remembered(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    let granted = note(&app, json!({})).await;
    let at = mlops_service::clock::timestamp(app.now());
    let (id, subject) = (granted["id"].as_str().unwrap(), granted["subject"].as_str().unwrap());
    assert!(id.parse::<uuid::Uuid>().is_ok() && subject.len() == 64, "{granted}");
    let shown = json!({"id": id, "subject": subject, "business_id": null, "purpose": "chat_storage", "policy_version": "2026-01",
                       "granted": true, "source": "chat widget", "at": at});
    let mut told = shown.clone();
    told["state"] = json!("granted");
    told["named_by"] = json!("email");
    assert_eq!(granted, told);

    app.pass(TimeDelta::hours(1));
    let withdrawn =
        note(&app, json!({"granted": false, "policy_version": "2026-02", "source": "letter"})).await;
    assert_eq!((&withdrawn["state"], &withdrawn["subject"]), (&json!("withdrawn"), &json!(subject)));
    note(&app, json!({"purpose": "newsletter"})).await;
    let found = search(&app, json!("ana@example.com")).await;
    assert_eq!(found["subject"], subject);
    let since = mlops_service::clock::timestamp(app.now());
    let in_force = json!([
        {"purpose": "chat_storage", "business_id": null, "state": "withdrawn", "policy_version": "2026-02", "since": since},
        {"purpose": "newsletter", "business_id": null, "state": "granted", "policy_version": "2026-01", "since": since}
    ]);
    assert_eq!(found["in_force"], in_force);
    let history = found["consents"].as_array().unwrap();
    assert_eq!(history.len(), 3, "nothing is forgotten");
    assert_eq!((&history[1]["id"], &history[2]), (&withdrawn["id"], &shown), "the newest first");
    assert_eq!(found["next"], Value::Null);
    let first = json!({"subject": "ana@example.com", "purpose": "chat_storage", "limit": 1});
    let one = post(&app, "/privacy/consents/search", &first).await.ok();
    assert_eq!(one["consents"].as_array().unwrap().len(), 1);
    assert_eq!((&one["consents"][0]["id"], one["in_force"].as_array().unwrap().len()), (&withdrawn["id"], 1));
    let rest =
        json!({"subject": "ana@example.com", "purpose": "chat_storage", "limit": 1, "before": one["next"]});
    let rest = post(&app, "/privacy/consents/search", &rest).await.ok();
    assert_eq!((&rest["consents"][0]["id"], &rest["next"]), (&json!(id), &Value::Null));
    let nobody = search(&app, json!("bob@example.com")).await;
    assert_eq!((&nobody["consents"], &nobody["in_force"]), (&json!([]), &json!([])));
}

async fn of_two_at_the_same_time_the_later_one_holds(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    for granted in [true, false, true, false] {
        note(&app, json!({ "granted": granted })).await;
        let found = search(&app, json!("ana@example.com")).await;
        let state = if granted { "granted" } else { "withdrawn" };
        assert_eq!(found["in_force"][0]["state"], state);
        assert_eq!(found["consents"][0]["granted"], granted);
    }
    // Should the clock be set back, what is noted later holds all the same.
    app.pass(TimeDelta::hours(-1));
    note(&app, json!({"granted": true})).await;
    assert_eq!(search(&app, json!("ana@example.com")).await["in_force"][0]["state"], "granted");
}

async fn one_customer_is_found_however_they_are_written(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    for (noted, asked) in [
        (json!("Ana@Example.com"), vec![json!({"email": " ana@example.COM"})]),
        (json!("+49 151 234567"), vec![json!("0049151234567"), json!({"phone": "+49 (151) 234-567"})]),
        (json!({"session_id": "s-1"}), vec![json!("s-1"), json!({"conversation_id": "s-1"})]),
        (json!({"phone": "0151 234567"}), vec![json!({"phone": "(0151) 234-567"})]),
    ] {
        let subject = note(&app, json!({"subject": noted})).await["subject"].clone();
        for asked in asked {
            let found = search(&app, asked).await;
            assert_eq!(found["subject"], subject);
            assert_eq!(found["consents"].as_array().unwrap().len(), 1);
        }
    }
    let kept = "select count(distinct subject) from mlops_consents";
    assert_eq!(backend.number(kept).await, 4);
}

/// Values that a field must not have.
fn wrong_values() -> Vec<(&'static str, Vec<Value>)> {
    let subjects = vec![
        json!(""),
        json!("@secret"),
        json!("secret@"),
        json!("+49 151 secret"),
        json!("+1234567890123456"),
        json!("0151 2345678"),
        json!("12345678"),
        json!("unknown"),
        json!({"session_id": "unknown"}),
        json!({"session_id": " "}),
        json!({"conversation_id": "undefined"}),
        json!({"email": "secret"}),
        json!({"phone": "secret"}),
        json!({"email": "ana@example.com", "phone": "+49151234567"}),
        json!({"name": "secret"}),
        json!({"email": 7}),
        json!({}),
        json!(7),
        json!(null),
        json!("x".repeat(256)),
    ];
    let texts = |texts: &[&str], longest: usize| {
        texts.iter().map(|text| json!(text)).chain([json!(""), json!("x".repeat(longest + 1))]).collect()
    };
    vec![
        ("subject", subjects),
        ("purpose", texts(&["Secret", "a-b"], 50)),
        ("policy_version", texts(&["a b", "secret@example.com"], 50)),
        ("source", texts(&["secret@example.com", "call 0151 234-567", "a\tb"], 100)),
    ]
}

async fn each_part_has_its_bounds(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    for (field, values) in wrong_values() {
        for value in values {
            let reply = post(&app, "/privacy/consents", &statement(json!({ field: value }))).await;
            reply.refused(400, &format!("Invalid value for field: {field}"));
            assert!(!reply.text().contains("secret"), "{}", reply.text());
        }
    }
    for wrong in [json!({"granted": "yes"}), json!({"more": 1}), json!({"purpose": null})] {
        post(&app, "/privacy/consents", &statement(wrong)).await.refused(400, "Invalid request body");
    }
    post(&app, "/privacy/consents", &json!({})).await.refused(400, "Invalid request body");
    assert_eq!(backend.number("select count(*) from mlops_consents").await, 0);
    let most = json!({"purpose": "x".repeat(50), "policy_version": "x".repeat(50), "source": "ü".repeat(100),
                      "subject": {"session_id": "🦀".repeat(255)}});
    note(&app, most).await;
    for (wrong, field) in [
        (json!({"subject": "s", "limit": 0}), "limit"),
        (json!({"subject": "s", "limit": 201}), "limit"),
        (json!({"subject": "s", "purpose": "A"}), "purpose"),
        (json!({"subject": {}}), "subject"),
    ] {
        let reply = post(&app, "/privacy/consents/search", &wrong).await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
    }
}

fn ids_of(page: &Value) -> Vec<Value> {
    page["consents"].as_array().unwrap().iter().map(|consent| consent["id"].clone()).collect()
}

async fn the_list_is_filtered_and_paged(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    let mut noted = Vec::new();
    for i in 0..7 {
        let changes = json!({"subject": format!("s-{}", i % 3), "granted": i % 2 == 0,
            "purpose": if i < 5 { "chat_storage" } else { "newsletter" }, "policy_version": format!("v{}", i / 4)});
        noted.push(note(&app, changes).await);
        app.pass(TimeDelta::minutes(1));
    }
    let expected = |chosen: &[usize]| chosen.iter().map(|i| noted[*i]["id"].clone()).collect::<Vec<_>>();
    let of = |i: usize, field: &str| noted[i][field].as_str().unwrap().to_owned();
    for (query, chosen) in [
        (String::new(), &[6, 5, 4, 3, 2, 1, 0][..]),
        ("?purpose=newsletter".to_owned(), &[6, 5]),
        ("?granted=false".to_owned(), &[5, 3, 1]),
        ("?granted=true&purpose=chat_storage".to_owned(), &[4, 2, 0]),
        ("?policy_version=v1".to_owned(), &[6, 5, 4]),
        // The + of the offset is not escaped, as people forget.
        (format!("?since={}", of(5, "at")), &[6, 5]),
        (format!("?subject={}", of(1, "subject")), &[4, 1]),
        (format!("?id={}", of(2, "id")), &[2]),
        (format!("?id={}&granted=false", of(2, "id")), &[]),
    ] {
        assert_eq!(ids_of(&list(&app, &query).await.ok()), expected(chosen), "{query}");
    }
    let (mut paged, mut next) = (Vec::new(), String::new());
    for size in [3, 3, 1] {
        let page = list(&app, &format!("?limit=3{next}")).await.ok();
        assert_eq!(ids_of(&page).len(), size);
        paged.extend(ids_of(&page));
        next = format!("&before={}", page["next"]);
    }
    assert_eq!(paged, expected(&[6, 5, 4, 3, 2, 1, 0]));
    assert_eq!(next, "&before=null", "the last page says so");
}

async fn an_address_names_no_customer_and_nothing_odd(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?before=x", "before"),
        ("?granted=1", "granted"),
        ("?purpose=A", "purpose"),
        ("?policy_version=a%20b", "policy_version"),
        ("?since=yesterday", "since"),
        ("?id=7", "id"),
        ("?subject=ana@example.com", "subject"),
        ("?subject=%2B49151234567", "subject"),
    ] {
        list(&app, query).await.refused(400, &format!("Invalid value for field: {field}"));
    }
    for query in ["?email=ana@example.com", "?phone=1", "?conversation_id=c-1", "?session_id=s-1"] {
        let reply = list(&app, query).await;
        reply.refused(400, "Bad Request");
        assert!(reply.text().contains("POST /privacy/consents/search"), "{}", reply.text());
    }
}

async fn the_audit_trail_tells_ids_only(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    let mut ids = Vec::new();
    for granted in [true, false] {
        let changes = json!({"subject": "ana@example.com", "granted": granted});
        ids.push(note(&app, changes).await);
    }
    let entries = app.app.store.audit(0, DateTime::UNIX_EPOCH, 100).await.unwrap();
    let entries: Vec<_> = entries
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.action.starts_with("consent."))
        .collect();
    assert_eq!(entries.len(), 2);
    for (entry, (action, noted)) in
        entries.iter().zip(["consent.granted", "consent.withdrawn"].iter().zip(&ids))
    {
        assert_eq!((entry.action.as_str(), entry.actor.as_str()), (*action, "service key"));
        assert!(entry.request_id.is_some());
        assert_eq!(hex::encode(entry.subject.as_ref().unwrap()), noted["subject"].as_str().unwrap());
        let details: Value = serde_json::from_str(&entry.details).unwrap();
        assert_eq!(details, json!({"consent_id": noted["id"]}));
    }
    let verified = app.app.store.verify_audit(None, app.now(), Duration::from_secs(5)).await.unwrap();
    assert!(verified.broken.is_none() && verified.complete, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_scope_nothing_is_noted_or_told() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &OPEN).await;
    let wish = json!({"name": "web", "scopes": ["track", "analytics", "refresh", "admin"]});
    let other = post(&app, "/admin/keys", &wish).await.json()["key"].as_str().unwrap().to_owned();
    for (method, path) in
        [("GET", "/privacy/consents"), ("POST", "/privacy/consents"), ("POST", "/privacy/consents/search")]
    {
        let call = || app.call(method.parse().unwrap(), path).json(&statement(json!({})));
        call().send().await.refused(401, "Unauthorized");
        call().header("x-api-key", &other).send().await.refused(403, "Forbidden");
    }
    let backend = Backend::sqlite();
    let open = TestApp::open(&backend).await;
    let call = || open.post("/privacy/consents").json(&statement(json!({})));
    call().send().await.refused(401, "Unauthorized");
    let off = [("ALLOW_UNAUTHENTICATED_PRIVACY", "true"), ("RATE_LIMIT_DEFAULT", "off")];
    let allowed = TestApp::with(&backend, &off).await;
    let noted = allowed.post("/privacy/consents").json(&statement(json!({}))).send().await;
    assert_eq!(noted.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn production_without_a_hash_key_notes_nothing_and_says_what_to_set() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("ENVIRONMENT", "production")]).await;
    for path in ["/privacy/consents", "/privacy/consents/search"] {
        let reply = post(&app, path, &statement(json!({}))).await;
        reply.refused(503, "Service Unavailable");
        assert!(reply.text().contains("PRIVACY_HASH_KEY"), "{}", reply.text());
    }
}
