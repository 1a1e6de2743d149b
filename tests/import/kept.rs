//! What may not be kept is not kept, wherever it comes from: consent, tombstones and retention hold for what is imported.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{HEAD, counted, expect, import_text, migrate, minutes_ago, row, summary, written};
use crate::harness::{Backend, TestApp, event, on_every_backend, real_now};

on_every_backend! {
    rows_beyond_retention_keep_only_their_sums,
    rows_without_consent_are_only_counted,
    rows_of_erased_conversations_are_only_counted,
    contacts_in_labels_are_replaced,
}

const OPEN: [(&str, &str); 3] = [
    ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
    ("RATE_LIMIT_DEFAULT", "off"),
    ("RATE_LIMIT_ANALYTICS", "off"),
];

/// The whole content of the database. An open connection keeps the files of SQLite in their places.
async fn dump(backend: &Backend) -> String {
    let store = backend.store(&[]).await;
    let dump = backend.dump();
    store.close().await;
    dump
}

fn line(changes: Value) -> String {
    event(changes).to_string() + "\n"
}

async fn rows_beyond_retention_keep_only_their_sums(backend: Backend) {
    migrate(&backend).await;
    let old = |minutes: i64| written(real_now() - TimeDelta::days(31) - TimeDelta::minutes(minutes));
    // Two answers of one conversation, one of another one, and one that is kept.
    let rows =
        [row(1, "acme", &old(3)), row(2, "acme", &old(2)).replace("c-2", "c-1"), row(3, "acme", &old(1))];
    let csv = format!("{HEAD}\n{}\n{}\n", rows.join("\n"), row(4, "acme", &minutes_ago(20)));
    let settings = [("RETENTION_DAYS", "30")];
    let output = import_text(&backend, &settings, csv.as_bytes());
    expect(&output, [4, 1, 0, 0]);
    assert_eq!(summary(&output)["counted"], 3);
    assert!(String::from_utf8_lossy(&output.stdout).contains("would count twice"));
    let again = import_text(&backend, &settings, csv.as_bytes());
    expect(&again, [4, 0, 4, 0]);
    assert_eq!((backend.rows().await, counted(&backend).await), (1, 4));
    let retention = crate::harness::command(&backend, &settings).args(["retention", "run"]).output().unwrap();
    assert!(retention.status.success());
    expect(&import_text(&backend, &settings, csv.as_bytes()), [4, 0, 4, 0]);
    assert_eq!(backend.number("select count(*) from mlops_conversations").await, 1, "facts go with the rows");
    let app = TestApp::with(&backend, &OPEN).await;
    let answer =
        app.get("/analytics/acme?days=60&include=conversations,quality,funnel,percentiles").send().await.ok();
    let (conversations, quality) = (&answer["conversations"], &answer["quality"]);
    assert_eq!(
        (&conversations["answers"], &conversations["conversations"]),
        (&json!(4), &json!(3)),
        "{answer}"
    );
    assert_eq!(quality["answers_without_facts"], 0, "{answer}");
    assert_eq!(app.metric("ai_response_time_seconds_count").await, Some(4.0));
}

async fn rows_without_consent_are_only_counted(backend: Backend) {
    let settings = [OPEN[0], OPEN[1], ("CONSENT_REQUIRED", "true")];
    let app = TestApp::with(&backend, &settings).await;
    let consent = json!({"subject": {"conversation_id": "c-yes"}, "purpose": "chat_storage", "policy_version": "1",
                         "granted": true, "source": "test", "business_id": "acme"});
    let said = app.post("/privacy/consents").json(&consent).send().await;
    assert_eq!(said.status, 201, "{}", said.text());
    app.stop().await;
    let of =
        |conversation: &str| line(json!({"conversation_id": conversation, "created_at": minutes_ago(30)}));
    let text = of("c-yes") + &of("c-no");
    let output = import_text(&backend, &settings, text.as_bytes());
    expect(&output, [2, 1, 0, 0]);
    assert_eq!(summary(&output)["counted"], 1);
    assert_eq!(backend.texts("select conversation_id from ai_metrics").await, ["c-yes"]);
    assert_eq!(counted(&backend).await, 2);
    assert!(!dump(&backend).await.contains("c-no"), "nothing of it is kept");
    expect(&import_text(&backend, &settings, text.as_bytes()), [2, 0, 2, 0]);
    expect(&import_text(&backend, &[], text.as_bytes()), [2, 0, 2, 0]);
    assert_eq!(counted(&backend).await, 2);
}

async fn rows_of_erased_conversations_are_only_counted(backend: Backend) {
    let app = TestApp::with(&backend, &OPEN).await;
    app.track(&event(json!({"conversation_id": "c-buried"}))).await.ok();
    app.post("/privacy/erase").json(&json!({"conversation_id": "c-buried"})).send().await.ok();
    app.stop().await;
    let text = line(json!({"conversation_id": "c-buried", "created_at": minutes_ago(30)}))
        + &line(
            json!({"conversation_id": "c-buried", "created_at": written(real_now() - TimeDelta::days(400))}),
        )
        + &line(json!({"conversation_id": "c-next", "created_at": minutes_ago(30)}));
    let output = import_text(&backend, &[], text.as_bytes());
    expect(&output, [3, 1, 0, 0]);
    assert_eq!(summary(&output)["counted"], 2);
    assert_eq!(backend.texts("select conversation_id from ai_metrics").await, ["c-next"]);
    assert_eq!(counted(&backend).await, 4);
    assert!(!dump(&backend).await.contains("c-buried"), "nothing of it is kept, not even a fact");
    expect(&import_text(&backend, &[], text.as_bytes()), [3, 0, 3, 0]);
}

async fn contacts_in_labels_are_replaced(backend: Backend) {
    let text = line(json!({"intent_detected": "call ana@example.com", "created_at": minutes_ago(30)}));
    let output = import_text(&backend, &[], text.as_bytes());
    expect(&output, [1, 1, 0, 0]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("labels with an e-mail address"));
    assert_eq!(backend.texts("select intent_detected from ai_metrics").await, ["unknown"]);
    expect(&import_text(&backend, &[], text.as_bytes()), [1, 0, 1, 0]);
}
