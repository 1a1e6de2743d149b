//! Who is found, and who is not.

use serde_json::json;

use super::{ANA, ask, counts, export, open, rows, with_ana_and_ben};
use crate::harness::{Backend, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    a_person_is_the_same_however_their_contact_is_written,
    two_people_who_share_a_phone_are_not_taken_for_one,
    an_appointment_does_not_lead_into_somebody_elses_conversation,
    a_conversation_and_a_session_lead_to_what_is_theirs_alone,
    what_stands_for_no_session_names_nobody,
    tables_and_columns_that_are_not_there_are_not_missed,
    what_is_asked_for_must_name_one_person,
}

async fn a_person_is_the_same_however_their_contact_is_written(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let odd = "insert into conversations (id, business_id, customer_email, customer_phone) values
        ('odd-1', 'acme', 'JÖRG@example.com', null), ('odd-2', 'acme', null, 'Tel. +44 20 7946 0000 (office)'),
        ('odd-3', 'acme', '', ''), ('odd-4', 'acme', 'not an address', '12')";
    backend.execute(odd).await;
    for email in ["ana.zqana@example.com", "ANA.ZQANA@EXAMPLE.COM ", "\tAna.Zqana@example.com\n"] {
        assert_eq!(counts(&export(&app, json!({"email": email})).await)["conversations"], 1, "{email}");
    }
    for phone in ["+491512345678", "00491512345678", "+49 151/2345 678", "(+49) 151 2345678"] {
        let reply = ask(&app, "/privacy/export", json!({"phone": phone})).await;
        match phone.starts_with('(') {
            true => reply.refused(400, "Invalid value for field: phone"),
            false => assert_eq!(counts(&reply.ok())["conversations"], 2, "{phone}"),
        }
    }
    assert_eq!(
        rows(&export(&app, json!({"email": "jörg@EXAMPLE.com"})).await, "conversations")[0]["id"],
        "odd-1"
    );
    let office = export(&app, json!({"phone": "+44 20 79460000"})).await;
    assert_eq!(rows(&office, "conversations")[0]["id"], "odd-2");
    for nobody in [
        json!({"phone": "01512345678"}),
        json!({"email": "ana.zqana@example.co"}),
        json!({"phone": "+4915123456"}),
    ] {
        ask(&app, "/privacy/export", nobody).await.refused(404, "Not Found");
    }
}

async fn two_people_who_share_a_phone_are_not_taken_for_one(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let ana = export(&app, json!({"email": "ana.zqana@example.com"})).await.to_string();
    assert!(ana.contains("zqana") && !ana.contains("zqben") && !ana.contains("ben@"), "{ana}");
    let both = export(&app, json!({"phone": ANA.phone})).await;
    assert_eq!(counts(&both)["conversations"], 2, "who asks by the phone asks for both");
}

async fn an_appointment_does_not_lead_into_somebody_elses_conversation(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    backend
        .execute(
            "insert into appointments (id, business_id, conversation_id, customer_name, customer_email)
             values ('a-3', 'acme', 'conversation-zqben', 'Cleo', 'cleo@example.com')",
        )
        .await;
    let cleo = export(&app, json!({"email": "cleo@example.com"})).await;
    assert_eq!(counts(&cleo), json!({"appointments": 1}));
    let ben = export(&app, json!({"email": "ben@example.com"})).await;
    assert_eq!(counts(&ben)["appointments"], 3, "what names his conversation is part of it");
}

async fn a_conversation_and_a_session_lead_to_what_is_theirs_alone(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let all =
        json!({"conversations": 1, "messages": 2, "chat_messages": 2, "appointments": 1, "ai_metrics": 2});
    let by_conversation = export(&app, json!({"conversation_id": "conversation-zqana"})).await;
    assert_eq!(counts(&by_conversation), all);
    assert_eq!(counts(&export(&app, json!({"session_id": "session-zqana"})).await), all);
    // A session of many conversations, as a tablet at the counter has: none of it is taken for one person's.
    for conversation in ["conversation-zqana", "conversation-zqben"] {
        let told = event(json!({"conversation_id": conversation, "session_id": "counter"}));
        assert_eq!(app.track(&told).await.status, 200);
    }
    let nobodys = event(json!({"conversation_id": null, "session_id": "counter"}));
    assert_eq!(app.track(&nobodys).await.status, 200);
    let ana = export(&app, json!({"email": "ana.zqana@example.com"})).await;
    assert_eq!(counts(&ana)["ai_metrics"], 3, "the event without a conversation is anybody's");
    let counter = export(&app, json!({"session_id": "counter"})).await;
    assert_eq!(counts(&counter), json!({"ai_metrics": 3}), "it leads to no conversation of others");
    assert_eq!(backend.rows().await, 7);
}

async fn what_stands_for_no_session_names_nobody(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    for conversation in ["conversation-zqana", "other"] {
        let told = event(json!({"conversation_id": conversation, "session_id": null}));
        assert_eq!(app.track(&told).await.status, 200);
    }
    let nobodys = event(json!({"conversation_id": null, "session_id": null}));
    assert_eq!(app.track(&nobodys).await.status, 200);
    let ana = export(&app, json!({"email": "ana.zqana@example.com"})).await;
    assert_eq!(counts(&ana)["ai_metrics"], 3);
    for (field, word) in [("session_id", "unknown"), ("session_id", "undefined"), ("conversation_id", "null")]
    {
        let refused = ask(&app, "/privacy/erase", json!({field: word})).await;
        refused.refused(400, &format!("Invalid value for field: {field}"));
    }
}

async fn tables_and_columns_that_are_not_there_are_not_missed(backend: Backend) {
    let app = open(&backend).await;
    insert_as_the_app(&backend, "s-1", 20).await;
    let found = export(&app, json!({"conversation_id": "c-1"})).await;
    assert_eq!(counts(&found), json!({"ai_metrics": 1}));
    assert_eq!(rows(&found, "ai_metrics")[0]["session_id"], "s-1");
    ask(&app, "/privacy/export", json!({"email": "ana@example.com"})).await.refused(404, "Not Found");
    backend
        .execute(
            "create table conversations (id text primary key, customer_email text, \"Odd \"\"name\" text);
             create table messages (body text); create table appointments (customer_phone text);
             insert into conversations values ('c-1', 'Ana@example.com', 'x');
             insert into messages values ('whose?'); insert into appointments values ('+491512345678')",
        )
        .await;
    let found = export(&app, json!({"email": "ana@example.com"})).await;
    assert_eq!(counts(&found), json!({"conversations": 1, "ai_metrics": 1}));
    assert_eq!(rows(&found, "conversations")[0]["Odd \"name"], "x");
    assert_eq!(found["not_searched"], json!(["messages"]), "nothing tells whose its rows are");
    let erased = ask(&app, "/privacy/erase", json!({"email": "ana@example.com"})).await.ok();
    assert_eq!(erased["not_searched"], json!(["messages"]));
    ask(&app, "/privacy/export", json!({"phone": "+491512345678"})).await.refused(404, "Not Found");
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
    let unknown_fields = json!({"email": "a@b.example", "phone": null, "else": 1});
    ask(&app, "/privacy/export", unknown_fields).await.refused(404, "Not Found");
}
