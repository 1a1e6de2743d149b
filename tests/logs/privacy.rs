//! What the privacy desk logs, and never does.

use serde_json::{Value, json};

use crate::harness::{Backend, Customer, KEY, Service, event, http_client, on_every_backend};

on_every_backend! {
    no_line_metric_entry_or_row_holds_a_person_who_was_erased,
}

const ANA: Customer<'static> =
    Customer { word: "zqana", email: "Ana.Zqana@Example.com", phone: "+49 (151) 2345-678" };

/// Forms of what names her, in lower case.
const NEVER: [&str; 6] = ["zqana", "2345-678", "491512345678", "1512345678", "example.com", "zq-wrong"];

async fn ask(service: &Service, path: &str, body: Value) -> u16 {
    let call = http_client().post(service.url(path)).header("x-api-key", KEY).json(&body);
    call.send().await.unwrap().status().as_u16()
}

async fn no_line_metric_entry_or_row_holds_a_person_who_was_erased(backend: Backend) {
    let backend = backend.with_app_tables().await;
    ANA.plant(&backend).await;
    let settings = [("MLOPS_API_KEY", KEY), ("RUST_LOG", "trace"), ("LOG_FORMAT", "json")];
    let mut service = Service::start(&backend, &settings);
    let told = event(json!({"conversation_id": ANA.conversation(), "session_id": ANA.session()}));
    assert_eq!(ask(&service, "/track", told).await, 200);
    let by_email = json!({"email": ANA.email});
    let noted = json!({"kind": "erase", "email": ANA.email});
    for (path, body, status) in [
        ("/privacy/requests", noted, 201),
        ("/privacy/export", by_email.clone(), 200),
        ("/privacy/export?format=zip", json!({"phone": "0049 151 2345678"}), 200),
        ("/privacy/export", json!({"session_id": ANA.session()}), 200),
        ("/privacy/erase?dry_run=true", json!({"conversation_id": ANA.conversation()}), 200),
        ("/privacy/erase", json!({"email": "zq-wrong"}), 400),
        ("/privacy/erase", json!({"email": ANA.email, "mode": "zq-wrong"}), 400),
        ("/privacy/erase", by_email.clone(), 200),
        ("/privacy/erase", by_email.clone(), 404),
        ("/privacy/export", by_email, 404),
    ] {
        assert_eq!(ask(&service, path, body.clone()).await, status, "{path} {body}");
    }
    let metrics = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    service.signal("TERM");
    service.wait();
    let (log, dump) = (service.log(), backend.dump());
    assert!(log.lines().count() > 12, "{log}");
    for (place, text) in [("log", log), ("metrics", metrics), ("database", dump)] {
        let text = text.to_lowercase();
        for word in NEVER {
            let line = text.lines().find(|line| line.contains(word));
            assert_eq!(line, None, "{word} in the {place}");
        }
    }
}
