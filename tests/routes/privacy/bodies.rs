//! What a body and a query string may say.

use serde_json::{Value, json};

use super::{ask, open, with_ana_and_ben};
use crate::harness::{Backend, on_every_backend};

on_every_backend! {
    what_is_asked_for_must_name_one_person,
    what_a_route_does_not_know_is_refused,
    what_another_route_knows_or_has_a_wrong_type_is_refused,
}

async fn what_is_asked_for_must_name_one_person(backend: Backend) {
    let app = open(&backend).await;
    for path in ["/privacy/export", "/privacy/erase", "/privacy/requests"] {
        for none in
            [json!({}), json!({"email": null}), json!({"e-mail": "a@b.example"}), json!([]), json!("x")]
        {
            ask(&app, path, none).await.refused(400, "Invalid request body");
        }
        let two = json!({"email": "a@b.example", "phone": "+491512345678"});
        ask(&app, path, two).await.refused(400, "Invalid request body");
        let twice = r#"{"email": "a@b.example", "email": "c@d.example"}"#;
        let twice = app.post(path).header("content-type", "application/json").body(twice).send().await;
        twice.refused(400, "Invalid request body");
        app.post(path)
            .header("content-type", "application/json")
            .body("{")
            .send()
            .await
            .refused(400, "Invalid JSON");
        for (field, wrong) in [
            ("email", json!("a")),
            ("email", json!(7)),
            ("phone", json!("call me")),
            ("phone", json!("12")),
            ("conversation_id", json!("")),
            ("session_id", json!("a\nb")),
        ] {
            let reply = ask(&app, path, json!({field: wrong})).await;
            reply.refused(400, &format!("Invalid value for field: {field}"));
        }
    }
    let null = json!({"email": "a@b.example", "phone": null});
    ask(&app, "/privacy/export", null).await.refused(404, "Not Found");
}

/// A body that names Ana, with another field.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"email": "ana.zqana@example.com"});
    body[name] = value;
    body
}

async fn what_a_route_does_not_know_is_refused(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    for path in ["/privacy/export", "/privacy/erase", "/privacy/requests"] {
        for (name, value) in [
            ("dryRun", json!(true)),
            ("dry-run", json!(true)),
            ("Mode", json!("anonymise")),
            ("Email", json!("a@b.example")),
        ] {
            let refused = ask(&app, path, with(name, value)).await;
            refused.refused(400, "Invalid request body");
            assert_eq!(refused.json()["message"], format!("unknown field: {name}"));
        }
        let personal = ask(&app, path, with("ben@example.com", json!(1))).await;
        personal.refused(400, "Invalid request body");
        assert!(!personal.text().contains("ben@"), "{}", personal.text());
        ask(&app, path, json!(["ana.zqana@example.com"])).await.refused(400, "Invalid request body");
        let in_url = format!("{path}?email=ana.zqana@example.com");
        let refused = ask(&app, &in_url, with("session_id", json!(null))).await;
        refused.refused(400, "Bad Request");
        assert!(!refused.text().contains("zqana"), "{}", refused.text());
    }
}

async fn what_another_route_knows_or_has_a_wrong_type_is_refused(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    for (path, name, value) in [
        ("/privacy/export", "mode", json!("delete")),
        ("/privacy/export", "dry_run", json!(true)),
        ("/privacy/erase", "kind", json!("erase")),
        ("/privacy/requests", "confirm", json!("x")),
    ] {
        ask(&app, path, with(name, value)).await.refused(400, "Invalid request body");
    }
    for (name, value) in [
        ("dry_run", json!("true")),
        ("dry_run", json!(null)),
        ("dry_run", json!(1)),
        ("mode", json!(null)),
        ("confirm", json!(7)),
        ("nothing_held", json!("yes")),
    ] {
        ask(&app, "/privacy/erase", with(name, value))
            .await
            .refused(400, &format!("Invalid value for field: {name}"));
    }
    for query in ["?dryRun=true", "?dry_run=true&mode=anonymise", "?DRY_RUN=true"] {
        ask(&app, &format!("/privacy/erase{query}"), with("phone", json!(null)))
            .await
            .refused(400, "Bad Request");
    }
    app.get("/privacy/requests?email=ana.zqana@example.com").send().await.refused(400, "Bad Request");
    ask(&app, "/privacy/consents/search?limit=1", json!({"subject": "x"})).await.refused(400, "Bad Request");
    assert_eq!(backend.number("select count(*) from conversations").await, 2, "nobody was erased");
}
