//! Who is found, and who is not.

use serde_json::json;

use super::{ANA, ask, confirmed, counts, export, open, rows, with_ana_and_ben};
use crate::harness::{Backend, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    a_person_is_the_same_however_their_contact_is_written,
    two_people_who_share_a_phone_are_not_taken_for_one,
    an_appointment_does_not_lead_into_somebody_elses_conversation,
    a_conversation_and_a_session_lead_to_what_is_theirs_alone,
    what_stands_for_no_session_names_nobody,
    tables_and_columns_that_are_not_there_are_not_missed,
    a_conversation_belongs_to_the_contact_of_its_appointments,
    a_confirmation_is_for_the_people_it_was_given_for,
    mentions_and_tables_that_were_not_searched_are_told,
    near_misses_are_counted,
}

async fn a_person_is_the_same_however_their_contact_is_written(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let odd = "insert into conversations (id, business_id, customer_email, customer_phone) values
        ('odd-1', 'acme', 'JÖRG@example.com', null), ('odd-2', 'acme', null, 'Tel. +44 20 7946 0000 (office)'),
        ('odd-3', 'acme', '', ''), ('odd-4', 'acme', 'not an address', '12'),
        ('odd-5', 'acme', 'Dora <mailto:Dora@Example.com>; Emil <emil@example.com>', null)";
    backend.execute(odd).await;
    for email in ["ana.zqana@example.com", "ANA.ZQANA@EXAMPLE.COM ", "\tAna.Zqana@example.com\n"] {
        assert_eq!(counts(&export(&app, json!({"email": email})).await)["conversations"], 1, "{email}");
    }
    backend.execute("delete from appointments where customer_email like 'ben%'").await;
    backend.execute("update conversations set customer_phone = null where customer_email like 'ben%'").await;
    for phone in [
        "+491512345678",
        "00491512345678",
        "+49 151/2345 678",
        "(+49) 151 2345678",
        "49151 2345678",
        "tel:+49-151-2345678",
        "+49\u{a0}(0)151 234\u{200b}5678 ext. 9",
    ] {
        assert_eq!(counts(&export(&app, json!({"phone": phone})).await)["conversations"], 1, "{phone}");
    }
    ask(&app, "/privacy/export", json!({"phone": "+49 151 CALL"}))
        .await
        .refused(400, "Invalid value for field: phone");
    assert_eq!(
        rows(&export(&app, json!({"email": "jörg@EXAMPLE.com"})).await, "conversations")[0]["id"],
        "odd-1"
    );
    let both = json!({"email": "dora@example.com"});
    ask(&app, "/privacy/export", both.clone()).await.told(409, "Several people");
    let dora = confirmed(&app, "/privacy/export", both).await;
    assert_eq!(rows(&dora, "conversations")[0]["id"], "odd-5", "several in one field are several");
    let office = export(&app, json!({"phone": "+44 20 79460000"})).await;
    assert_eq!(rows(&office, "conversations")[0]["id"], "odd-2");
    for nobody in [
        json!({"phone": "01512345678"}),
        json!({"email": "ana.zqana@example.co"}),
        json!({"phone": "+4915123456"}),
    ] {
        ask(&app, "/privacy/export", nobody).await.told(404, "Not Found");
    }
}

async fn two_people_who_share_a_phone_are_not_taken_for_one(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let ana = export(&app, json!({"email": "ana.zqana@example.com"})).await["categories"].to_string();
    assert!(ana.contains("zqana") && !ana.contains("zqben") && !ana.contains("ben@"), "{ana}");
    let by_phone = json!({"phone": ANA.phone});
    let several = ask(&app, "/privacy/export", by_phone.clone()).await;
    several.told(409, "Several people");
    let contacts = several.json()["contacts"].as_array().unwrap().clone();
    let rows: Vec<_> = contacts.iter().map(|contact| contact["rows"].clone()).collect();
    // A conversation with two messages and a chat message, two appointments, an event, facts, an outcome, and a booking.
    assert_eq!(rows, [10, 10], "{contacts:?}");
    assert!(contacts.iter().all(|contact| contact["subject"].as_str().unwrap().len() == 64));
    let both = confirmed(&app, "/privacy/export", by_phone).await;
    assert_eq!(counts(&both)["conversations"], 2, "who asks by the phone asks for both");
}

async fn a_conversation_belongs_to_the_contact_of_its_appointments(backend: Backend) {
    let backend = backend.with_app_tables().await;
    // As the app fills its tables: only appointments have a contact.
    backend
        .execute(
            "insert into conversations (id, business_id) values ('c-ana', 'acme'), ('c-both', 'acme'), ('c-none', 'acme');
             insert into messages (id, conversation_id, sender, content) values
                ('m-1', 'c-ana', 'user', 'a'), ('m-2', 'c-both', 'user', 'b'), ('m-3', 'c-none', 'user', 'c');
             insert into appointments (id, business_id, conversation_id, customer_name, customer_email, customer_phone) values
                ('a-1', 'acme', 'c-ana', 'Ana', 'ana@example.com', '0049 151 2345678'),
                ('a-2', 'acme', 'c-ana', 'Ana', null, '+49 (0)151 2345678'),
                ('a-3', 'acme', 'c-both', 'Ana', 'Ana@example.com', null),
                ('a-4', 'acme', 'c-both', 'Ben', 'ben@example.com', null)",
        )
        .await;
    let app = open(&backend).await;
    for conversation in ["c-ana", "c-both", "c-none"] {
        let told = event(json!({"conversation_id": conversation, "session_id": format!("s-{conversation}")}));
        assert_eq!(app.track(&told).await.status, 200);
    }
    let by_email = json!({"email": "ana@example.com"});
    let ana = export(&app, by_email.clone()).await;
    assert_eq!(counts(&ana), json!({"conversations": 1, "messages": 1, "appointments": 3, "ai_metrics": 1}));
    assert_eq!(ana["undecided"], json!([{"table": "conversations", "rows": 1, "ids": ["c-both"]}]));
    assert_eq!(ana["businesses"], json!(["acme"]));
    let by_phone = export(&app, json!({"phone": "+491512345678"})).await;
    assert_eq!(
        counts(&by_phone),
        json!({"conversations": 1, "messages": 1, "appointments": 2, "ai_metrics": 1})
    );
    let disputed = json!({"conversation_id": "c-both"});
    ask(&app, "/privacy/export", disputed).await.told(409, "Several people");
    let erased = ask(&app, "/privacy/erase", by_email).await.ok();
    assert_eq!(erased["counts"]["ai_metrics"], 1, "{erased}");
    assert_eq!(backend.texts("select id from conversations order by id").await, ["c-both", "c-none"]);
    assert_eq!(backend.texts("select id from appointments").await, ["a-4"]);
    let ben = export(&app, json!({"email": "ben@example.com"})).await;
    assert_eq!(counts(&ben), json!({"appointments": 1}), "what was of both does not become his: {ben}");
    assert_eq!(ben["undecided"][0]["ids"], json!(["c-both"]));
    assert_eq!(backend.texts("select id from messages order by id").await, ["m-2", "m-3"]);
}

async fn a_confirmation_is_for_the_people_it_was_given_for(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let body = json!({"phone": ANA.phone});
    let several = ask(&app, "/privacy/erase", body.clone()).await.json();
    let with = |confirm: &serde_json::Value| {
        let mut body = body.clone();
        body["confirm"] = confirm.clone();
        body
    };
    for wrong in [json!("x"), ask(&app, "/privacy/export", body.clone()).await.json()["confirm"].clone()] {
        ask(&app, "/privacy/erase", with(&wrong)).await.told(409, "Several people");
    }
    let cleo = "insert into conversations (id, business_id, customer_email, customer_phone)
        values ('c-3', 'acme', 'cleo@example.com', '+49 151 2345678')";
    backend.execute(cleo).await;
    ask(&app, "/privacy/erase", with(&several["confirm"])).await.told(409, "Several people");
    assert_eq!(backend.number("select count(*) from conversations").await, 3, "nothing was changed");
    let dry = ask(&app, "/privacy/erase?dry_run=true", body.clone()).await;
    dry.told(409, "Several people");
    let erased = ask(&app, "/privacy/erase", with(&dry.json()["confirm"])).await.ok();
    assert_eq!(erased["counts"]["conversations"], 3, "{erased}");
}

async fn mentions_and_tables_that_were_not_searched_are_told(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    backend
        .execute(
            "create table documents (id text primary key, title text, content text);
             create table invoices (id text primary key, address text);
             insert into documents values ('d-1', 'Rules', 'Ask Ana.Zqana@example.com for the key'), ('d-2', 'Hours', 'none');
             insert into messages (id, conversation_id, sender, content, metadata) values
                ('m-9', 'conversation-zqben', 'user', 'call my wife at 0049 (0)151-2345678 please', null),
                ('m-8', 'conversation-zqben', 'user', 'I know a zqanart', '{\"cc\": \"x\"}'),
                ('m-7', 'conversation-zqben', 'user', 'x', '{\"cc\": \"ana.zqana@example.com\"}')",
        )
        .await;
    backend.execute("update messages set content = 'x' where id in ('m-1-zqben', 'm-2-zqben')").await;
    backend.execute("update appointments set notes = 'with ZQANA' where id = 'a-1-zqben'").await;
    let by_email = json!({"email": "ana.zqana@example.com"});
    let found = export(&app, by_email.clone()).await;
    let mut mentioned = found["mentioned"].clone();
    for table in mentioned.as_array_mut().unwrap() {
        let mut ids: Vec<String> = serde_json::from_value(table["ids"].clone()).unwrap();
        ids.sort();
        table["ids"] = json!(ids);
    }
    let expected = json!([
        {"table": "messages", "rows": 2, "ids": ["m-7", "m-9"]},
        {"table": "appointments", "rows": 1, "ids": ["a-1-zqben"]},
        {"table": "documents", "rows": 1, "ids": ["d-1"]},
    ]);
    assert_eq!(mentioned, expected);
    assert!(!found["mentioned"].to_string().contains("wife"), "ids, no text");
    assert_eq!(found["not_searched"], json!(["business_settings", "businesses", "invoices"]));
    let dry = ask(&app, "/privacy/erase?dry_run=true", by_email.clone()).await.ok();
    assert_eq!(dry["mentioned"].as_array().unwrap().len(), 3);
    ask(&app, "/privacy/erase", by_email.clone()).await.ok();
    let gone = ask(&app, "/privacy/export", by_email).await;
    gone.told(404, "Not Found");
    let left = json!([{"table": "messages", "rows": 1, "ids": ["m-7"]}, {"table": "documents", "rows": 1, "ids": ["d-1"]}]);
    assert_eq!(gone.json()["mentioned"], left);
}

async fn near_misses_are_counted(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    for (nobody, near) in [
        (json!({"email": "ana.zqnaa@example.com"}), 1),
        (json!({"email": "ana.zqana@example.co"}), 1),
        (json!({"email": "someone@example.com"}), 0),
        (json!({"phone": "+49 151 2345679"}), 1),
        (json!({"phone": "+43 151 2345678"}), 1),
        (json!({"phone": "0151 2345678"}), 1),
        (json!({"phone": "+49 30 1234567"}), 0),
        (json!({"session_id": "session-zqan"}), 0),
    ] {
        for path in ["/privacy/export", "/privacy/erase", "/privacy/erase?dry_run=true"] {
            let unknown = ask(&app, path, nobody.clone()).await;
            unknown.told(404, "Not Found");
            assert_eq!(unknown.json()["near_misses"].as_u64().unwrap_or(0), near, "{nobody}");
        }
    }
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
    assert_eq!(counts(&ben)["appointments"], 2, "what has another contact is not his");
    assert_eq!(ben["undecided"], json!([{"table": "appointments", "rows": 1, "ids": ["a-3"]}]));
    ask(&app, "/privacy/erase", json!({"email": "ben@example.com"})).await.ok();
    let left = backend.texts("select id from appointments where customer_name in ('Cleo', 'zqben')").await;
    assert_eq!(left, ["a-3"]);
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
    ask(&app, "/privacy/export", json!({"session_id": "counter"})).await.told(409, "Several people");
    let counter = confirmed(&app, "/privacy/export", json!({"session_id": "counter"})).await;
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
