//! Consent during database outages and service crashes.

use serde_json::{Value, json};
use uuid::Uuid;

use super::requests::{drained, metric, open_and};
use crate::harness::{Backend, Link, Service, TcpProxy, event, http_client, on_every_backend};

on_every_backend! {
    what_is_only_counted_survives_a_crash,
}

const REQUIRED: [(&str, &str); 2] = [("CONSENT_REQUIRED", "true"), ("ALLOW_UNAUTHENTICATED_PRIVACY", "true")];

async fn post(service: &Service, path: &str, body: &Value) -> (u16, Value) {
    let answer = http_client().post(service.url(path)).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn track(service: &Service, session: &str, id: Uuid) -> (u16, Value) {
    let changes = json!({"session_id": session, "conversation_id": null, "event_id": id.to_string()});
    post(service, "/track", &event(changes)).await
}

async fn say(service: &Service, session: &str, granted: bool) -> u16 {
    let statement = json!({"subject": {"session_id": session}, "purpose": "chat_storage", "policy_version": "1",
                           "granted": granted, "source": "test"});
    post(service, "/privacy/consents", &statement).await.0
}

/// Whether a spooled event is stored depends on the consent in force when it is replayed.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_in_the_spool_is_kept_or_not_as_its_customer_says_then() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let [service, other] = [&view, &backend].map(|backend| {
        let folder = Uuid::new_v4().to_string();
        let settings = open_and(&REQUIRED).into_iter().chain([("SPOOL_DIR", folder.as_str())]);
        Service::start(backend, &settings.collect::<Vec<_>>())
    });
    for session in ["agreed", "changed"] {
        assert_eq!(say(&service, session, true).await, 201);
    }
    proxy.set(Link::Down);
    let sessions = ["agreed", "changed", "silent", "late"];
    let ids = sessions.map(|_| Uuid::new_v4());
    for (session, id) in sessions.into_iter().zip(ids) {
        let (status, body) = track(&service, session, id).await;
        assert_eq!(
            (status, &body["database_stored"], body.get("reason")),
            (202, &json!(false), None),
            "{session}"
        );
    }
    assert_eq!(say(&service, "agreed", false).await, 503, "nothing is noted that might get lost");
    assert_eq!(say(&other, "changed", false).await, 201);
    assert_eq!(say(&other, "late", true).await, 201);
    proxy.set(Link::Up);
    drained(&service).await;
    let of = |session: &str| format!("select count(*) from ai_metrics where session_id = '{session}'");
    for (session, rows) in sessions.into_iter().zip([1, 0, 0, 1]) {
        assert_eq!(backend.number(&of(session)).await, rows, "{session}");
    }
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 4, "each is counted");
    for (session, id) in sessions.into_iter().zip(ids) {
        let (status, body) = track(&service, session, id).await;
        assert_eq!((status, &body["duplicate"]), (200, &json!(true)), "{session}");
    }
    assert_eq!((backend.rows().await, backend.number("select sum(events) from ai_totals_now").await), (2, 4));
}

async fn what_is_only_counted_survives_a_crash(backend: Backend) {
    let mut service = Service::start(&backend, &open_and(&REQUIRED));
    let ids = [(); 20].map(|()| Uuid::new_v4());
    for id in ids {
        let (status, body) = track(&service, "s", id).await;
        assert_eq!((status, &body["reason"]), (200, &json!("no consent")));
    }
    service.signal("KILL");
    service.wait();
    let service = Service::start(&backend, &open_and(&REQUIRED));
    assert_eq!(metric(&service, "ai_response_time_seconds_count").await, Some(20.0));
    for id in ids {
        assert_eq!(track(&service, "s", id).await.1["duplicate"], true);
    }
    assert_eq!(metric(&service, "ai_response_time_seconds_count").await, Some(20.0));
    assert_eq!(backend.rows().await, 0);
}
