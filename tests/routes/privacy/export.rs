//! `POST /privacy/export`.

use std::io::{Cursor, Read};

use serde_json::{Value, json};
use zip::ZipArchive;

use super::{ask, counts, export, open, rows, with_ana_and_ben};
use crate::harness::{Backend, TestApp, event, on_every_backend};

on_every_backend! {
    every_row_about_a_person_is_given_with_every_column,
    each_category_tells_what_it_is_and_why_and_until_when_it_is_held,
    the_archive_holds_the_same_as_json_and_as_sheets_that_nothing_runs,
    an_export_tells_all_that_a_person_may_ask_for,
    an_export_leaves_its_entry_and_its_place_on_the_list,
    more_than_an_export_holds_is_refused_with_what_to_do,
    a_wrong_format_is_told,
}

const ANA: &str = "ana.zqana@example.com";

/// A caller's own request id.
const REQUEST: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

async fn every_row_about_a_person_is_given_with_every_column(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let found = export(&app, json!({"email": ANA})).await;
    let all =
        json!({"conversations": 1, "messages": 2, "chat_messages": 2, "appointments": 2, "ai_metrics": 2});
    assert_eq!(counts(&found), all);
    let conversation = &rows(&found, "conversations")[0];
    for (column, value) in [
        ("id", "conversation-zqana"),
        ("business_id", "acme"),
        ("customer_name", "Name of zqana"),
        ("customer_email", " Ana.Zqana@Example.COM"),
        ("customer_phone", "+49 (151) 2345-678"),
        ("status", "status of zqana"),
    ] {
        assert_eq!(conversation[column], value);
    }
    assert!(
        conversation["created_at"].is_string() && conversation["updated_at"].is_string(),
        "{conversation}"
    );
    assert_eq!(rows(&found, "messages")[0]["content"], "=said by zqana");
    assert!(rows(&found, "messages")[0]["metadata"].to_string().contains("Ana.Zqana"));
    assert_eq!(rows(&found, "appointments")[0]["notes"], "notes on zqana");
    let event = &rows(&found, "ai_metrics")[0];
    assert_eq!(
        (&event["session_id"], &event["tokens_used"]),
        (&json!("session-zqana"), &json!(75)),
        "{event}"
    );
    assert_eq!(event.as_object().unwrap().len(), 25, "{event}");
    assert_eq!(event["handoff_reason"], "asked for zqana", "{event}");
    let again = export(&app, json!({"email": ANA})).await;
    assert_eq!(rows(&again, "mlops_audit")[0]["action"], "privacy.export", "the first one");
    assert_eq!(rows(&again, "mlops_privacy_requests")[0]["kind"], "export");
}

async fn each_category_tells_what_it_is_and_why_and_until_when_it_is_held(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let reply = ask(&app, "/privacy/export", json!({"email": ANA})).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let found = reply.ok();
    assert_eq!(found["found_by"], "email");
    assert!(found["generated_at"].as_str().unwrap().ends_with("+00:00"));
    let about = &found["about"];
    assert!(about.as_str().unwrap().contains("GDPR"), "{about}");
    let categories = found["categories"].as_array().unwrap();
    assert!(categories.len() >= 7, "{categories:?}");
    for category in categories {
        for told in ["category", "table", "what", "why", "lawful_basis", "source", "kept_until"] {
            assert!(category[told].as_str().is_some_and(|text| text.len() > 4), "{told}: {category}");
        }
        assert!(category["lawful_basis"].as_str().unwrap().contains("GDPR"), "{category}");
        let kept_until = category["kept_until"].as_str().unwrap();
        let expected = match category["table"].as_str().unwrap() {
            "ai_metrics" => "90 days",
            "messages" => "no fixed time: until it is no longer needed, or until you ask for its erasure",
            "mlops_consents" => "As long as it is in force. Superseded ones: 730 days",
            _ => continue,
        };
        assert_eq!(kept_until, expected);
    }
}

fn unzip(bytes: &[u8]) -> Vec<(String, String)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let numbers = 0..archive.len();
    let read = |number| {
        let mut file = archive.by_index(number).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        (file.name().unwrap().into_owned(), text)
    };
    numbers.map(read).collect()
}

async fn the_archive_holds_the_same_as_json_and_as_sheets_that_nothing_runs(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let reply = ask(&app, "/privacy/export?format=zip", json!({"email": ANA})).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/zip"));
    assert_eq!(reply.header("cache-control"), "no-store");
    let files = unzip(&reply.body);
    let named = |name: &str| &files.iter().find(|(found, _)| found == name).unwrap().1;
    let document: Value = serde_json::from_str(named("data.json")).unwrap();
    let receipt = document["receipt_id"].as_str().unwrap();
    assert_eq!(
        reply.header("content-disposition"),
        format!("attachment; filename=\"privacy-export-{receipt}.zip\"")
    );
    for category in document["categories"].as_array().unwrap() {
        let sheet = named(&format!("{}.csv", category["category"].as_str().unwrap()));
        let sheet = sheet.strip_prefix('\u{feff}').unwrap();
        let mut reader = csv::Reader::from_reader(sheet.as_bytes());
        let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(json!(records.len()), category["count"]);
        for (record, row) in records.iter().zip(category["rows"].as_array().unwrap()) {
            assert_eq!(columns.len(), row.as_object().unwrap().len());
            for (column, cell) in columns.iter().zip(record) {
                let value = match &row[column] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    // Numbers and objects are written as the database writes them.
                    _ => continue,
                };
                let runs = value.starts_with(['=', '+', '@', '-']);
                assert_eq!(cell, if runs { format!("'{value}") } else { value }, "{column}");
            }
        }
    }
    assert!(named("messages.csv").contains("'=said by zqana"));
    assert!(named("conversations.csv").contains("'+49 (151) 2345-678"));
    assert!(!named("messages.csv").contains("zqben"));
}

async fn an_export_tells_all_that_a_person_may_ask_for(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let bare = export(&app, json!({"email": ANA})).await;
    assert_eq!(bare["controller"], json!({"name": null, "address": null, "contact": null}));
    let settings = [
        ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
        ("CONTROLLER_NAME", "Müller & Söhne"),
        ("CONTROLLER_ADDRESS", "1 Main Street, Springfield"),
        ("PRIVACY_CONTACT", "privacy@example.org"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    let reply = ask(&app, "/privacy/export?format=zip", json!({"email": ANA})).await;
    let files = unzip(&reply.body);
    let named = |name: &str| &files.iter().find(|(found, _)| found == name).unwrap().1;
    let (told, readme): (Value, _) = (serde_json::from_str(named("data.json")).unwrap(), named("README.txt"));
    let controller = json!({"name": "Müller & Söhne", "address": "1 Main Street, Springfield", "contact": "privacy@example.org"});
    assert_eq!(told["controller"], controller);
    let mut texts: Vec<&str> =
        ["recipients", "automated_decisions"].map(|name| told[name].as_str().unwrap()).into();
    texts.extend(controller.as_object().unwrap().values().map(|value| value.as_str().unwrap()));
    for article in
        ["Article 15", "Article 16", "Article 17", "Article 18", "Article 20", "Article 21", "Article 7(3)"]
    {
        let right =
            told["rights"].as_array().unwrap().iter().find(|right| right["article"] == article).unwrap();
        texts.extend([article, right["right"].as_str().unwrap(), right["what"].as_str().unwrap()]);
    }
    assert_eq!(told["complaint"]["article"], "Article 77");
    texts.push(told["complaint"]["what"].as_str().unwrap());
    for category in told["categories"].as_array().unwrap() {
        let line = format!("{}.csv ({})", category["category"].as_str().unwrap(), category["count"]);
        assert!(readme.contains(&line), "{line}");
        for name in ["what", "why", "lawful_basis", "source", "kept_until"] {
            texts.push(category[name].as_str().unwrap());
        }
    }
    for text in texts {
        assert!(readme.contains(text), "{text} is not in {readme}");
        let is_a_variable = text.split(' ').any(|word| word.contains('_') && word == word.to_uppercase());
        assert!(!is_a_variable, "{text} is not in the words of a person");
    }
    assert!(!readme.contains("&amp;") && !readme.contains("&#"), "it is no HTML: {readme}");
}

async fn an_export_leaves_its_entry_and_its_place_on_the_list(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let call = app.post("/privacy/export").header("x-request-id", REQUEST).json(&json!({"email": ANA}));
    let found = call.send().await.ok();
    let receipt = found["receipt_id"].as_str().unwrap();
    let entry = backend.texts("select details from mlops_audit where action = 'privacy.export'").await;
    let entry: Value = serde_json::from_str(&entry[0]).unwrap();
    assert_eq!((&entry["receipt"], &entry["outcome"]), (&json!(receipt), &json!("done")));
    assert_eq!(entry["counts"]["messages"], 2);
    assert_eq!(
        backend.texts("select request_id from mlops_audit where action = 'privacy.export'").await,
        [REQUEST]
    );
    let list = app.get("/privacy/requests").send().await.ok();
    let listed = &list["requests"][0];
    assert_eq!((&listed["kind"], &listed["source"]), (&json!("export"), &json!("api")));
    assert_eq!((&listed["receipt_id"], &listed["counts"]["ai_metrics"]), (&json!(receipt), &json!(2)));
    assert!(listed["done_at"].is_string() && listed["overdue"] == false, "{listed}");
    ask(&app, "/privacy/export", json!({"email": "nobody@example.com"})).await.refused(404, "Not Found");
    let unknown = "select count(*) from mlops_audit where details like '%\"outcome\":\"unknown\"%'";
    assert_eq!(backend.number(unknown).await, 1, "that nothing is stored is an answer too");
    assert_eq!(app.get("/privacy/requests").send().await.ok()["requests"].as_array().unwrap().len(), 1);
}

async fn more_than_an_export_holds_is_refused_with_what_to_do(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    backend
        .execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
             insert into messages (id, conversation_id, sender, content)
             select 'many-' || i, 'conversation-zqana', 'user', 'x' from n",
        )
        .await;
    let refused = ask(&app, "/privacy/export", json!({"email": ANA})).await;
    refused.refused(413, "Payload Too Large");
    assert!(refused.json()["message"].as_str().unwrap().contains("one by one"));
    assert_eq!(counts(&export(&app, json!({"email": "ben@example.com"})).await)["messages"], 2);
}

async fn a_wrong_format_is_told(backend: Backend) {
    let app = open(&backend).await;
    assert_eq!(app.track(&event(json!({}))).await.status, 200);
    let body = json!({"session_id": "s-1"});
    ask(&app, "/privacy/export?format=xml", body.clone())
        .await
        .refused(400, "Invalid value for field: format");
    ask(&app, "/privacy/export?formt=zip", body.clone()).await.refused(400, "Bad Request");
    assert_eq!(ask(&app, "/privacy/export?format=json", body).await.status, 200);
}
