//! What the service keeps about conversations besides events: facts, posted outcomes, and what was read of appointments.

use serde_json::{Value, json};

use super::{ask, erase, export, open, rows, track_of, with_ana_and_ben};
use crate::harness::{Backend, Customer, event, on_every_backend};

on_every_backend! {
    facts_are_given_out_and_erased_whatever_stays_of_events,
    facts_are_found_where_nothing_else_is_left,
    facts_of_a_session_are_those_of_its_conversations,
    a_booking_in_the_conversation_of_another_counts_on_without_the_person,
    what_others_booked_in_an_erased_conversation_is_not_read_again,
}

const FACTS: [&str; 3] = ["mlops_conversations", "mlops_outcomes", "mlops_book"];

/// Inserts sums.
async fn plant_sums(backend: &Backend) {
    let zeros = ", 0".repeat(11);
    backend
        .execute(&format!(
            "insert into mlops_conversation_daily values ('sums', '2026-11-01', 2, 4, 2, 2, 2, 0, 0, 0, 2{zeros});
             insert into mlops_outcome_daily values ('sums', '2026-11-01', 'kept', 1);
             insert into mlops_fact_totals values ('sums', 'conversations', '', 2)"
        ))
        .await;
}

/// All rows of the sums, as text.
async fn sums(backend: &Backend) -> Vec<String> {
    let tables = [
        "mlops_conversation_daily",
        "mlops_hourly",
        "mlops_intent_daily",
        "mlops_cost_daily",
        "mlops_first_latency_daily",
        "mlops_outcome_daily",
        "mlops_fact_totals",
    ];
    let mut all = Vec::new();
    for table in tables {
        let row = if backend.is_postgres() {
            "cast(to_json(t) as text)".to_owned()
        } else {
            let columns = backend.texts(&format!("select name from pragma_table_info('{table}')")).await;
            format!("concat_ws('|', {})", columns.join(", "))
        };
        let rows = backend.texts(&format!("select {row} from {table} t order by 1")).await;
        all.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    all
}

/// The conversations that the three tables name.
async fn named(backend: &Backend) -> Vec<String> {
    let of = FACTS.map(|table| format!("select '{table} ' || conversation_id from {table}"));
    backend.texts(&format!("{} order by 1", of.join(" union all "))).await
}

fn each(count: u64) -> Vec<(&'static str, u64)> {
    FACTS.iter().map(|table| (*table, count)).collect()
}

async fn facts_are_given_out_and_erased_whatever_stays_of_events(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    plant_sums(&backend).await;
    app.app.store.digest_all().await.unwrap();
    let before = sums(&backend).await;
    assert!(before.len() >= 3, "{before:?}");
    let found = export(&app, json!({"email": "ana.zqana@example.com"})).await;
    for (table, column, value) in [
        ("mlops_conversations", "first_intent", json!("appointment")),
        ("mlops_outcomes", "outcome", json!("kept")),
        ("mlops_book", "appointment_id", json!("a-1-zqana")),
    ] {
        let rows = rows(&found, table);
        assert_eq!(rows.len(), 1, "{table}: {rows:?}");
        assert_eq!(rows[0]["conversation_id"], "conversation-zqana");
        assert_eq!(rows[0][column], value);
    }
    let mut left = named(&backend).await;
    for (email, word, mode) in
        [("ana.zqana@example.com", "zqana", "delete"), ("ben@example.com", "zqben", "anonymise")]
    {
        let body = json!({"email": email, "mode": mode});
        let dry = ask(&app, "/privacy/erase?dry_run=true", body.clone()).await.ok();
        let erased = erase(&app, body).await;
        for (table, rows) in each(1) {
            assert_eq!(
                (&dry["counts"][table], &erased["counts"][table]),
                (&json!(rows), &json!(rows)),
                "{table}"
            );
        }
        left.retain(|name| !name.contains(word));
        assert_eq!(named(&backend).await, left, "{mode}");
        assert_eq!(sums(&backend).await, before, "{mode}");
    }
    assert!(left.is_empty(), "{left:?}");
    app.app.store.digest_all().await.unwrap();
    assert_eq!((named(&backend).await, sums(&backend).await), (left, before), "nothing is made anew");
}

async fn facts_are_found_where_nothing_else_is_left(backend: Backend) {
    let backend = backend.with_app_tables().await;
    for business in ["acme", "other"] {
        backend.plant_facts(business, "lone").await;
        backend.plant_booking(&format!("a-{business}"), business, "lone").await;
    }
    // Otherwise the first reading of the book finds that the app has no such appointments.
    backend.execute("update mlops_book set settled = true").await;
    let app = open(&backend).await;
    let (lone, of_acme) =
        (json!({"conversation_id": "lone"}), json!({"conversation_id": "lone", "business_id": "acme"}));
    for (body, count, businesses) in [(&lone, 2, json!(["acme", "other"])), (&of_acme, 1, json!(["acme"]))] {
        let found = export(&app, body.clone()).await;
        assert_eq!(found["businesses"], businesses);
        for (table, count) in each(count) {
            assert_eq!(rows(&found, table).len() as u64, count, "{table}: {found}");
        }
    }
    assert_eq!(erase(&app, of_acme.clone()).await["counts"]["mlops_outcomes"], 1);
    ask(&app, "/privacy/export", of_acme).await.refused(404, "Not Found");
    assert_eq!(backend.texts("select business_id from mlops_conversations").await, ["other"]);
    assert_eq!(backend.texts("select appointment_id from mlops_book").await, ["a-other"]);
    assert_eq!(
        erase(&app, json!({"conversation_id": "lone", "mode": "anonymise"})).await["status"],
        "success"
    );
    assert!(named(&backend).await.is_empty());
    ask(&app, "/privacy/erase", lone).await.refused(404, "Not Found");
}

async fn facts_of_a_session_are_those_of_its_conversations(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let app = open(&backend).await;
    for (conversation, session) in [("own", "browser"), ("shared", "browser"), ("shared", "another")] {
        let told = event(json!({"conversation_id": conversation, "session_id": session}));
        assert_eq!(app.track(&told).await.status, 200);
        backend.plant_facts("acme", conversation).await;
    }
    app.app.store.digest_all().await.unwrap();
    let found = export(&app, json!({"session_id": "browser"})).await;
    let facts = rows(&found, "mlops_conversations");
    assert_eq!(facts.iter().map(|row| &row["conversation_id"]).collect::<Vec<_>>(), ["own"]);
    erase(&app, json!({"session_id": "browser"})).await;
    let left = "select conversation_id from mlops_conversations";
    assert_eq!(backend.texts(left).await, ["shared"], "others take part in it too");
}

async fn a_booking_in_the_conversation_of_another_counts_on_without_the_person(backend: Backend) {
    for mode in ["delete", "anonymise"] {
        let backend = match backend.is_postgres() {
            true => Backend::postgres().await,
            false => Backend::sqlite(),
        };
        let (backend, app) = with_ana_and_ben(backend).await;
        backend
            .execute(
                "insert into appointments (id, business_id, conversation_id, customer_name, customer_email)
                 values ('for-zqana', 'acme', 'conversation-zqben', 'zqana', 'ana.zqana@example.com')",
            )
            .await;
        backend.plant_booking("for-zqana", "acme", "conversation-zqben").await;
        let body = json!({"email": "ana.zqana@example.com", "mode": mode});
        let found = export(&app, json!({"email": "ana.zqana@example.com"})).await;
        assert_eq!(rows(&found, "mlops_book").len(), 2, "{found}");
        assert_eq!(erase(&app, body).await["counts"]["mlops_book"], 2, "{mode}");
        let kept =
            "select appointment_id from mlops_book where settled and conversation_id = 'conversation-zqben'";
        let kept = backend.texts(kept).await;
        assert!(kept.len() == 1 && !kept[0].contains("zqana"), "{kept:?}");
        let untouched = "select appointment_id from mlops_book where not settled";
        assert_eq!(backend.texts(untouched).await, ["a-1-zqben"]);
        assert_eq!(
            backend.texts("select conversation_id from mlops_conversations").await,
            ["conversation-zqben"]
        );
    }
}

/// The app's appointments, in an installation where nothing keeps their conversation valid.
const UNLINKED: &str = "drop table appointments;
    create table appointments (id text primary key, business_id text not null, conversation_id text,
        customer_name text not null, customer_email text, customer_phone text, appointment_date date,
        appointment_time time, status text, notes text, calendar_link text, created_at timestamp)";

async fn what_others_booked_in_an_erased_conversation_is_not_read_again(backend: Backend) {
    let backend = backend.with_app_tables().await;
    backend.execute(UNLINKED).await;
    let ana = Customer { word: "zqana", email: "ana@example.com", phone: "+49 151 2345678" };
    ana.plant(&backend).await;
    backend
        .execute(
            "insert into appointments (id, business_id, conversation_id, customer_name, customer_email) values
                ('for-carl', 'acme', 'conversation-zqana', 'Carl', 'carl@example.com'),
                ('for-dora', 'acme', 'conversation-of-dora', 'Dora', 'dora@example.com')",
        )
        .await;
    backend.plant_booking("for-carl", "acme", "conversation-zqana").await;
    let app = open(&backend).await;
    track_of(&app, &ana).await;
    erase(&app, json!({"email": "ana@example.com"})).await;
    let links = "select id || ' ' || coalesce(conversation_id, '-') from appointments order by id";
    assert_eq!(backend.texts(links).await, ["for-carl -", "for-dora conversation-of-dora"]);
    let names_her = named(&backend).await.into_iter().filter(|name| name.contains("zqana"));
    assert_eq!(names_her.count(), 0);
    let carl = export(&app, json!({"email": "carl@example.com"})).await;
    assert_eq!(rows(&carl, "appointments")[0]["conversation_id"], Value::Null);
}
