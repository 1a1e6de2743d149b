//! `POST /privacy/erase`.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{ANA, BEN, ask, erase, open, with_ana_and_ben};
use crate::harness::{Backend, Customer, TestApp, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    nothing_of_the_person_remains,
    a_dry_run_counts_and_changes_nothing,
    erasing_twice_finds_nobody,
    appointments_and_events_may_stay_without_the_person,
    columns_that_nobody_knows_are_emptied_too,
    totals_and_analytics_stay_what_they_were,
    rows_of_the_app_are_counted_before_they_go,
    an_event_that_is_sent_again_does_not_come_back,
    consents_of_the_person_are_given_out_and_erased,
    an_erasure_leaves_its_entry_and_its_receipt,
    a_wrong_mode_or_dry_run_is_told_and_erases_nobody,
}

const EMAIL: &str = "ana.zqana@example.com";

/// What must not be found anywhere afterwards, in lower case: forms of the contact, and the word that is in every text.
const TRACES: [&str; 6] =
    ["zqana", "+49 (151) 2345-678", "491512345678", "0049 151", "1512345678", "(151) 2345"];

/// Checks that nothing of Ana is in the database, the spool or the metrics.
async fn assert_gone(backend: &Backend, app: &TestApp) {
    let places = [("database", backend.dump()), ("metrics", app.metrics().await)];
    for (place, text) in places {
        let text = text.to_lowercase();
        for trace in TRACES {
            let at = text.find(trace);
            let around = at.map(|at| text[at.saturating_sub(120)..].chars().take(240).collect::<String>());
            assert_eq!(around, None, "{trace} in the {place}");
        }
    }
}

/// Changes Ben's phone, which is Ana's, so that only her rows have it.
async fn part_from_ben(backend: &Backend) {
    for table in ["conversations", "appointments"] {
        backend
            .execute(&format!("update {table} set customer_phone = '+4420' where customer_email like 'ben%'"))
            .await;
    }
    backend.execute("update messages set content = 'x' where id = 'm-2-zqben'").await;
}

async fn nothing_of_the_person_remains(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    part_from_ben(&backend).await;
    insert_event_of_the_app(&backend, &ANA).await;
    // Filler, so that pages of the file are split and merged.
    let filler = Customer { word: "filler", email: "filler@example.com", phone: "+33123456789" };
    for number in 0..30 {
        let word = format!("filler{number}");
        Customer { word: &word, ..filler.clone() }.plant(&backend).await;
    }
    assert!(backend.dump().to_lowercase().contains("zqana"), "the search finds what is there");
    let erased = erase(&app, json!({"email": EMAIL})).await;
    let counts =
        json!({"messages": 2, "chat_messages": 2, "appointments": 2, "ai_metrics": 3, "conversations": 1});
    for (table, rows) in counts.as_object().unwrap() {
        assert_eq!(&erased["counts"][table], rows, "{table}: {erased}");
    }
    assert_gone(&backend, &app).await;
    let ben = super::export(&app, json!({"email": "ben@example.com"})).await;
    let all =
        json!({"conversations": 1, "messages": 2, "chat_messages": 2, "appointments": 2, "ai_metrics": 2});
    assert_eq!(super::counts(&ben), all, "nobody else is touched");
    assert_eq!(backend.number("select count(*) from conversations").await, 31);
    app.stop().await;
    drop(app);
    assert_gone(&backend, &open(&backend).await).await;
}

/// The row that the app inserts of an event of this person, which is not counted yet.
async fn insert_event_of_the_app(backend: &Backend, person: &Customer<'_>) {
    insert_as_the_app(backend, &person.session(), 30).await;
    let move_over = format!(
        "update ai_metrics set conversation_id = '{}' where event_id is null and session_id = '{}'",
        person.conversation(),
        person.session()
    );
    backend.execute(&move_over).await;
}

async fn a_dry_run_counts_and_changes_nothing(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let all = async || {
        let sum = ["conversations", "messages", "chat_messages", "appointments", "ai_metrics"]
            .map(|table| format!("(select count(*) from {table})"));
        backend.number(&format!("select {}", sum.join(" + "))).await
    };
    let before = all().await;
    let in_url = ask(&app, "/privacy/erase?dry_run=true", json!({"email": EMAIL})).await.ok();
    let in_body = erase(&app, json!({"email": EMAIL, "dry_run": true})).await;
    for dry in [&in_url, &in_body] {
        assert_eq!((&dry["dry_run"], &dry["mode"]), (&json!(true), &json!("delete")));
        assert!(dry["receipt_id"].is_string());
    }
    assert_eq!(all().await, before);
    assert_eq!(
        backend.number("select count(*) from mlops_audit where action = 'privacy.erase_dry_run'").await,
        2
    );
    assert_eq!(backend.number("select count(*) from mlops_privacy_requests").await, 0, "it is no request");
    let erased = erase(&app, json!({"email": EMAIL})).await;
    assert_eq!(erased["counts"], in_url["counts"], "it is what is erased then");
    assert_eq!(erased["dry_run"], false);
    assert!(all().await < before);
    ask(&app, "/privacy/erase?dry_run=true", json!({"email": EMAIL})).await.refused(404, "Not Found");
}

async fn erasing_twice_finds_nobody(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    for mode in ["anonymise", "delete"] {
        let email = if mode == "delete" { "ben@example.com" } else { EMAIL };
        assert_eq!(erase(&app, json!({"email": email, "mode": mode})).await["status"], "success");
        for path in ["/privacy/erase", "/privacy/export"] {
            let refused = ask(&app, path, json!({"email": email})).await;
            refused.refused(404, "Not Found");
            assert_eq!(refused.json()["message"], "No data is stored about this person");
        }
    }
    ask(&app, "/privacy/erase", json!({"email": "nobody@example.com"})).await.refused(404, "Not Found");
}

async fn appointments_and_events_may_stay_without_the_person(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    part_from_ben(&backend).await;
    backend.execute("delete from messages where id = 'm-2-zqben'").await;
    // Their ids are the app's, and here hold a name.
    backend.execute("update appointments set id = 'first' where id = 'a-1-zqana'").await;
    backend.execute("update appointments set id = 'second' where id = 'a-2-zqana'").await;
    let erased = erase(&app, json!({"email": EMAIL, "mode": "anonymise"})).await;
    assert_eq!(erased["anonymised"], json!({"appointments": 2, "ai_metrics": 2}));
    let deleted = json!({"messages": 2, "chat_messages": 2, "conversations": 1});
    for (table, rows) in deleted.as_object().unwrap() {
        assert_eq!(&erased["counts"][table], rows, "{erased}");
    }
    assert_eq!(erased["counts"]["appointments"], Value::Null);
    assert_gone(&backend, &app).await;
    let kept =
        "select count(*) from appointments where id in ('first', 'second') and customer_name = 'anonymised'
        and customer_email is null and customer_phone is null and notes is null and conversation_id is null
        and status = 'booked' and business_id = 'acme' and appointment_date is not null";
    assert_eq!(backend.number(kept).await, 2);
    let events = "select count(*) from ai_metrics where session_id = 'unknown' and conversation_id is null
        and tokens_used = 75 and user_message_length = 42 and event_id is not null and user_satisfaction = 0.75
        and handoff_reason is null";
    assert_eq!(backend.number(events).await, 2);
}

async fn columns_that_nobody_knows_are_emptied_too(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    part_from_ben(&backend).await;
    for column in
        ["attendee text", "short varchar(4) not null default 'x'", "extra jsonb", "customer_number integer"]
    {
        backend.execute(&format!("alter table appointments add column {column}")).await;
    }
    backend.execute("alter table ai_metrics add column remark text").await;
    backend
        .execute("update appointments set attendee = 'zqana', short = 'zq', extra = '{\"who\": \"zqana\"}', customer_number = 7")
        .await;
    backend.execute("update ai_metrics set remark = 'zqana' where session_id = 'session-zqana'").await;
    backend
        .execute("update appointments set id = 'kept-' || appointment_time where customer_name = 'zqana'")
        .await;
    backend
        .execute("update appointments set attendee = null, extra = null where customer_name = 'zqben'")
        .await;
    erase(&app, json!({"email": EMAIL, "mode": "anonymise"})).await;
    let kept = "select count(*) from appointments where id like 'kept-%' and customer_number is null and short in ('anon', 'anonymised')";
    assert_eq!(backend.number(kept).await, 2);
    assert_gone(&backend, &app).await;
}

/// Everything that the totals and the analytics say.
async fn told(app: &TestApp) -> (Vec<String>, Value) {
    let metrics = app.metrics().await;
    let ai = metrics
        .lines()
        .filter(|line| ["ai_", "appointments_", "human_"].iter().any(|family| line.starts_with(family)));
    let ai = ai.map(str::to_owned).collect();
    (ai, app.get("/analytics/acme").send().await.ok()["metrics"].take())
}

async fn totals_and_analytics_stay_what_they_were(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let before = told(&app).await;
    assert_eq!(before.1["total_conversations"], 4);
    erase(&app, json!({"email": EMAIL})).await;
    erase(&app, json!({"email": "ben@example.com", "mode": "anonymise"})).await;
    assert_eq!(told(&app).await, before);
    assert!(app.app.ingest.refresh().await);
    assert_eq!(told(&app).await, before, "read anew");
    assert_eq!(told(&open(&backend).await).await, before, "after a start");
}

async fn rows_of_the_app_are_counted_before_they_go(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    insert_event_of_the_app(&backend, &ANA).await;
    let requests = r#"ai_requests_total{business_id="acme",response_type="booking",intent="appointment"}"#;
    assert_eq!(app.metric(requests).await, Some(4.0));
    erase(&app, json!({"email": EMAIL})).await;
    assert_eq!(app.metric(requests).await, Some(5.0), "the row that nobody had counted is counted");
    assert!(app.app.ingest.refresh().await);
    assert_eq!(app.metric(requests).await, Some(5.0));
    assert_eq!(backend.number("select sum(events) from ai_rollup_daily_now").await, 5);
    assert_eq!(backend.number("select sum(events) from ai_latency_daily_now").await, 5);
    assert_eq!(backend.rows().await, 2);
}

async fn an_event_that_is_sent_again_does_not_come_back(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let named = event(json!({"conversation_id": ANA.conversation(), "session_id": ANA.session(),
                             "event_id": "8e03978e-40d5-43dd-bc93-6894a57f9324"}));
    assert_eq!(app.track(&named).await.ok()["duplicate"], Value::Null);
    erase(&app, json!({"email": EMAIL})).await;
    assert_eq!(backend.rows().await, 2, "those of Ben");
    let again = app.track(&named).await.ok();
    assert_eq!(again["duplicate"], true, "{again}");
    assert_eq!(backend.rows().await, 2);
    assert_eq!(app.metric("ai_response_time_seconds_count").await, Some(5.0));
    let named =
        event(json!({"session_id": BEN.session(), "event_id": "8e03978e-40d5-43dd-bc93-6894a57f9325"}));
    assert_eq!(app.track(&named).await.status, 200);
    erase(&app, json!({"session_id": BEN.session(), "mode": "anonymise"})).await;
    let again = app.track(&named).await.ok();
    assert_eq!(again["duplicate"], true, "{again}");
    assert_eq!(backend.number("select count(*) from ai_metrics where session_id <> 'unknown'").await, 0);
}

async fn consents_of_the_person_are_given_out_and_erased(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let conversation = ANA.conversation();
    for subject in [EMAIL, conversation.as_str(), "ben@example.com", "only@example.com"] {
        let consent = json!({"subject": subject, "purpose": "chat_storage", "policy_version": "2026-01",
                             "granted": true, "source": "chat widget"});
        let noted = ask(&app, "/privacy/consents", consent).await;
        assert_eq!(noted.status, 201, "{}", noted.text());
    }
    let found = super::export(&app, json!({"email": EMAIL})).await;
    assert_eq!(super::rows(&found, "mlops_consents").len(), 2);
    assert_eq!(super::rows(&found, "mlops_consents")[0]["policy_version"], "2026-01");
    assert_eq!(erase(&app, json!({"email": EMAIL})).await["counts"]["mlops_consents"], 2);
    assert_eq!(backend.number("select count(*) from mlops_consents").await, 2);
    let only = json!({"email": "only@example.com"});
    assert_eq!(super::counts(&super::export(&app, only.clone()).await), json!({"mlops_consents": 1}));
    assert_eq!(erase(&app, only.clone()).await["counts"]["mlops_consents"], 1);
    ask(&app, "/privacy/erase", only).await.refused(404, "Not Found");
}

async fn an_erasure_leaves_its_entry_and_its_receipt(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let erased = erase(&app, json!({"email": EMAIL})).await;
    let details = backend.texts("select details from mlops_audit where action = 'privacy.erase'").await;
    let details: Value = serde_json::from_str(&details[0]).unwrap();
    assert_eq!(details["receipt"], erased["receipt_id"]);
    assert_eq!(details["counts"], erased["counts"]);
    let same = "select count(*) from mlops_audit a join mlops_privacy_requests r on r.subject = a.subject
        where a.action = 'privacy.erase' and r.kind = 'erase' and r.done_at is not null";
    assert_eq!(backend.number(same).await, 1);
    app.pass(TimeDelta::days(40));
    let list = app.get("/privacy/requests").send().await.ok();
    assert_eq!((&list["open"], &list["overdue"]), (&json!(0), &json!(0)));
    assert_eq!(list["requests"][0]["receipt_id"], erased["receipt_id"]);
    assert_eq!(list["requests"][0]["counts"], erased["counts"]);
}

async fn a_wrong_mode_or_dry_run_is_told_and_erases_nobody(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    for (path, body, error) in [
        ("/privacy/erase", json!({"email": EMAIL, "mode": "forget"}), "Invalid value for field: mode"),
        ("/privacy/erase", json!({"email": EMAIL, "mode": 1}), "Invalid value for field: mode"),
        ("/privacy/erase", json!({"email": EMAIL, "dry_run": "yes"}), "Invalid value for field: dry_run"),
        ("/privacy/erase?dry_run=1", json!({"email": EMAIL}), "Invalid value for field: dry_run"),
        ("/privacy/erase?dry-run=true", json!({"email": EMAIL}), "Bad Request"),
    ] {
        ask(&app, path, body).await.refused(400, error);
    }
    let kept = "select count(*) from conversations where customer_email like '%Zqana%'";
    assert_eq!(backend.number(kept).await, 1);
}
