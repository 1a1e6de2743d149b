//! Other writers while the service is under full load.

use serde_json::json;

use super::load::Load;
use super::requests::open_and;
use crate::harness::{Backend, Service, command, http_client, insert_as_the_app, on_every_backend};

on_every_backend! {
    whoever_else_writes_gets_a_turn_under_full_load,
}

/// Events do not starve writes through the API, on the command line and by other programs.
async fn whoever_else_writes_gets_a_turn_under_full_load(backend: Backend) {
    let service = Service::start(&backend, &open_and(&[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")]));
    let load = Load::full(service.port);
    load.ledger.more(100).await;
    for n in 0..15 {
        let consent = json!({"subject": {"session_id": format!("s-{n}")}, "purpose": "chat_storage",
                             "policy_version": "1", "granted": true, "source": "test"});
        let noted = http_client().post(service.url("/privacy/consents")).json(&consent).send().await.unwrap();
        assert_eq!(noted.status(), 201, "{:?}", noted.text().await);
        let arguments = ["key", "create", "--name", "from the command line", "--scopes", "track"];
        let made = command(&backend, &[]).args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        insert_as_the_app(&backend, &format!("app-{n}"), 0).await;
    }
    load.ledger.more(1_000).await;
    let ledger = load.end().await;
    http_client().post(service.url("/refresh-metrics")).send().await.unwrap();
    ledger.check(&backend).await;
}
