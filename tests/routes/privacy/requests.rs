//! `/privacy/requests`.

use chrono::{DateTime, Months, TimeDelta, Utc};
use mlops_service::clock::timestamp;
use serde_json::{Value, json};

use super::{ask, erase, export, open, with_ana_and_ben};
use crate::harness::{Backend, Reply, TestApp, on_every_backend};

on_every_backend! {
    a_request_by_letter_is_noted_and_done_by_what_is_done_for_its_customer,
    the_list_has_overdue_requests_first_and_those_that_are_done_last,
    overdue_requests_are_counted_in_the_metrics,
    a_request_is_done_although_nothing_is_stored,
    the_list_comes_in_pages,
    a_wrong_request_is_told,
    a_request_is_due_on_a_day_of_the_time_zone_until_the_whole_of_it_is_over,
    a_day_that_begins_after_midnight_is_a_day_of_receipt,
    a_leap_second_is_the_second_before_it,
    a_request_of_an_earlier_version_keeps_its_time,
    a_request_is_extended_by_two_months_once,
    a_request_that_cannot_be_extended_says_why,
    of_two_extensions_at_the_same_time_one_is_made,
}

const EMAIL: &str = "ana.zqana@example.com";

async fn note(app: &TestApp, body: Value) -> Value {
    let reply = ask(app, "/privacy/requests", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

async fn list(app: &TestApp) -> Value {
    app.get("/privacy/requests").send().await.ok()
}

/// The ids of the requests on the list, in its order.
async fn ids(app: &TestApp) -> Vec<Value> {
    list(app).await["requests"].as_array().unwrap().iter().map(|request| request["id"].clone()).collect()
}

async fn a_request_by_letter_is_noted_and_done_by_what_is_done_for_its_customer(backend: Backend) {
    let (backend, app) = with_ana_and_ben(backend).await;
    let noted = note(
        &app,
        json!({"kind": "erase", "email": "Ana.Zqana@Example.com", "received_at": "2026-01-31", "source": "letter"}),
    )
    .await;
    assert_eq!(noted["received_at"], "2026-01-31T00:00:00.000000+00:00");
    assert_eq!(noted["due_on"], "2026-02-28", "the last day of the next month");
    assert_eq!(noted["due_at"], "2026-02-28T23:59:59.999999+00:00", "the whole of it");
    assert_eq!((&noted["kind"], &noted["source"]), (&json!("erase"), &json!("letter")));
    assert_eq!((&noted["selector"], &noted["done_at"]), (&json!("email"), &Value::Null));
    assert!(!noted.to_string().to_lowercase().contains("zqana"), "{noted}");
    let entry = backend.texts("select details from mlops_audit where action = 'privacy.request_noted'").await;
    assert!(entry[0].contains(noted["id"].as_str().unwrap()) && !entry[0].contains("zqana"), "{entry:?}");
    export(&app, json!({"email": EMAIL})).await;
    let open = list(&app).await;
    assert_eq!(open["requests"][0]["id"], noted["id"], "an export does not erase");
    assert_eq!((open["open"].clone(), open["requests"].as_array().unwrap().len()), (json!(1), 2));
    let erased = erase(&app, json!({"email": EMAIL})).await;
    let done = list(&app).await;
    assert_eq!((&done["open"], done["requests"].as_array().unwrap().len()), (&json!(0), 2), "no third one");
    let requests = done["requests"].as_array().unwrap();
    let done = requests.iter().find(|request| request["id"] == noted["id"]).unwrap();
    assert_eq!(done["receipt_id"], erased["receipt_id"]);
    assert!(done["done_at"].is_string());
    assert_eq!((&noted["outcome"], &done["outcome"]), (&Value::Null, &json!("data found")));
    let columns = backend.dump().to_lowercase();
    assert!(!columns.contains("zqana"), "the list knows the customer by a hash alone");
}

async fn the_list_has_overdue_requests_first_and_those_that_are_done_last(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let day = |days: i64| (app.now() - TimeDelta::days(days)).to_rfc3339();
    let noted = async |email: &str, days: i64| {
        note(&app, json!({"kind": "export", "email": email, "received_at": day(days)})).await["id"].clone()
    };
    let (young, old) = (noted("a@example.com", 1).await, noted("b@example.com", 50).await);
    let (done, older) = (noted("ben@example.com", 90).await, noted("c@example.com", 70).await);
    export(&app, json!({"email": "ben@example.com"})).await;
    assert_eq!(ids(&app).await, [older, old, young, done]);
    let list = list(&app).await;
    assert_eq!((&list["open"], &list["overdue"]), (&json!(3), &json!(2)));
    let overdue: Vec<_> =
        list["requests"].as_array().unwrap().iter().map(|one| one["overdue"].clone()).collect();
    assert_eq!(overdue, [true, true, false, false]);
}

async fn overdue_requests_are_counted_in_the_metrics(backend: Backend) {
    let (_backend, app) = with_ana_and_ben(backend).await;
    let shown =
        async || (app.metric("privacy_requests_open").await, app.metric("privacy_requests_overdue").await);
    assert_eq!(shown().await, (Some(0.0), Some(0.0)));
    note(&app, json!({"kind": "erase", "email": EMAIL})).await;
    note(&app, json!({"kind": "export", "phone": "+33 123 456 789"})).await;
    assert_eq!(shown().await, (Some(2.0), Some(0.0)), "at once");
    app.pass(TimeDelta::days(32));
    assert!(app.app.ingest.refresh().await, "as it is read from time to time");
    assert_eq!(shown().await, (Some(2.0), Some(2.0)));
    erase(&app, json!({"email": EMAIL})).await;
    assert_eq!(shown().await, (Some(1.0), Some(1.0)));
}

async fn a_request_is_done_although_nothing_is_stored(backend: Backend) {
    let app = open(&backend).await;
    let noted = note(&app, json!({"kind": "export", "email": "nobody@example.com"})).await;
    ask(&app, "/privacy/export", json!({"email": "nobody@example.com"})).await.refused(404, "Not Found");
    assert_eq!(list(&app).await["open"], 1, "the address may be mistyped");
    let nothing = json!({"email": "nobody@example.com", "nothing_held": true});
    ask(&app, "/privacy/export", nothing).await.refused(404, "Not Found");
    let list = list(&app).await;
    let done = &list["requests"][0];
    assert_eq!((&done["id"], &done["counts"]), (&noted["id"], &json!({})));
    assert_eq!(done["outcome"], "nothing held");
    assert!(done["done_at"].is_string() && done["receipt_id"].is_string(), "{done}");
}

async fn the_list_comes_in_pages(backend: Backend) {
    let app = open(&backend).await;
    for number in 0..5 {
        note(&app, json!({"kind": "export", "email": format!("{number}@example.com")})).await;
    }
    let all = ids(&app).await;
    let (mut paged, mut next) = (Vec::new(), json!(0));
    while let Some(offset) = next.as_u64() {
        let page = app.get(&format!("/privacy/requests?limit=2&offset={offset}")).send().await.ok();
        assert!(page["requests"].as_array().unwrap().len() <= 2);
        paged.extend(page["requests"].as_array().unwrap().iter().map(|request| request["id"].clone()));
        next = page["next"].clone();
    }
    assert_eq!(paged, all);
    for wrong in ["limit=0", "limit=501", "limit=x", "offset=-1", "offset=9999999"] {
        let field = wrong.split('=').next().unwrap();
        let reply = app.get(&format!("/privacy/requests?{wrong}")).send().await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
    }
}

async fn a_wrong_request_is_told(backend: Backend) {
    let app = open(&backend).await;
    let tomorrow = (app.now() + TimeDelta::days(1)).to_rfc3339();
    for (field, value) in [
        ("kind", json!("delete")),
        ("kind", Value::Null),
        ("source", json!("letter of ana@example.com")),
        ("received_at", json!("yesterday")),
        ("received_at", json!("2026-02-30")),
        ("received_at", json!(tomorrow)),
        ("received_at", json!("1950-01-01")),
    ] {
        let mut body = json!({"kind": "export", "email": "a@example.com"});
        body[field] = value.clone();
        let reply = ask(&app, "/privacy/requests", body).await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
        assert!(!reply.text().contains("ana@"), "{}", reply.text());
    }
    assert!(ids(&app).await.is_empty());
}

/// A service in this time zone that anybody may ask, without quotas.
async fn open_in(backend: &Backend, zone: &str) -> TestApp {
    let settings =
        [("ALLOW_UNAUTHENTICATED_PRIVACY", "true"), ("RATE_LIMIT_DEFAULT", "off"), ("TIME_ZONE", zone)];
    TestApp::with(backend, &settings).await
}

async fn a_request_is_due_on_a_day_of_the_time_zone_until_the_whole_of_it_is_over(backend: Backend) {
    let app = open_in(&backend, "Europe/Berlin").await;
    let letter = json!({"kind": "export", "email": EMAIL, "received_at": "2026-01-31"});
    let noted = note(&app, letter).await;
    assert_eq!(noted["received_at"], "2026-01-30T23:00:00.000000+00:00");
    assert_eq!((&noted["due_on"], &noted["overdue"]), (&json!("2026-02-28"), &json!(true)));
    assert_eq!(noted["due_at"], "2026-02-28T22:59:59.999999+00:00");
    let young = note(&app, json!({"kind": "erase", "email": EMAIL})).await;
    let over: DateTime<Utc> = young["due_at"].as_str().unwrap().parse().unwrap();
    let berlin = over.with_timezone(&chrono_tz::Europe::Berlin).naive_local();
    assert_eq!(berlin.to_string(), format!("{} 23:59:59.999999", young["due_on"].as_str().unwrap()));
    let overdue = async || {
        assert!(app.app.ingest.refresh().await);
        (list(&app).await["overdue"].clone(), app.metric("privacy_requests_overdue").await.unwrap())
    };
    app.pass(over - app.now());
    assert_eq!(overdue().await, (json!(1), 1.0), "to its last microsecond");
    assert_eq!(list(&app).await["requests"][1]["overdue"], false);
    app.pass(TimeDelta::microseconds(1));
    assert_eq!(overdue().await, (json!(2), 2.0));
    assert_eq!(list(&app).await["requests"][1]["overdue"], true);
}

async fn a_day_that_begins_after_midnight_is_a_day_of_receipt(backend: Backend) {
    let app = open_in(&backend, "Africa/Cairo").await;
    let letter = json!({"kind": "export", "email": EMAIL, "received_at": "2026-04-24"});
    let noted = note(&app, letter).await;
    assert_eq!(noted["received_at"], "2026-04-23T22:00:00.000000+00:00", "one o'clock, the first hour there");
    assert_eq!(noted["due_on"], "2026-05-24");
}

async fn a_leap_second_is_the_second_before_it(backend: Backend) {
    let app = open(&backend).await;
    let letter = json!({"kind": "export", "email": EMAIL, "received_at": "2026-06-30T23:59:60Z"});
    note(&app, letter).await;
    let listed = &list(&app).await["requests"][0];
    assert_eq!(listed["received_at"], "2026-06-30T23:59:59.999999+00:00");
    assert_eq!(listed["due_on"], "2026-07-30");
    for path in ["/privacy/consents?since=2026-06-30T23:59:60Z", "/admin/audit?since=2026-06-30T23:59:60Z"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
}

async fn a_request_of_an_earlier_version_keeps_its_time(backend: Backend) {
    let app = open_in(&backend, "Europe/Berlin").await;
    let young = note(&app, json!({"kind": "export", "email": EMAIL})).await;
    // As it was: the time of receipt, a month later.
    let due = app.now() + TimeDelta::days(30);
    let old = format!("update mlops_privacy_requests set due_at = '{}'", timestamp(due));
    backend.execute(&old).await;
    let listed = list(&app).await["requests"][0].clone();
    assert_eq!((&listed["id"], &listed["due_at"]), (&young["id"], &json!(timestamp(due))));
    let day = due.with_timezone(&chrono_tz::Europe::Berlin).date_naive();
    assert_eq!(listed["due_on"], day.to_string());
    app.pass(TimeDelta::days(30) + TimeDelta::microseconds(1));
    assert_eq!(list(&app).await["overdue"], 1);
}

async fn extend(app: &TestApp, id: &Value, body: Value) -> Reply {
    ask(app, &format!("/privacy/requests/{}/extension", id.as_str().unwrap()), body).await
}

/// How many entries tell of an extension.
async fn extensions(backend: &Backend) -> i64 {
    backend.number("select count(*) from mlops_audit where action = 'privacy.request_extended'").await
}

async fn a_request_is_extended_by_two_months_once(backend: Backend) {
    let app = open_in(&backend, "Europe/Berlin").await;
    let received = (app.now() - TimeDelta::days(20)).with_timezone(&chrono_tz::Europe::Berlin).date_naive();
    let noted =
        note(&app, json!({"kind": "export", "email": EMAIL, "received_at": received.to_string()})).await;
    assert_eq!(noted["extended"], Value::Null);
    let extended = extend(&app, &noted["id"], json!({"reason": "number of requests"})).await.ok();
    let due = received + Months::new(3);
    assert_eq!(extended["due_on"], due.to_string());
    let expected = json!({"at": timestamp(app.now()), "reason": "number of requests"});
    assert_eq!((&extended["extended"], &extended["overdue"]), (&expected, &json!(false)));
    assert_eq!(list(&app).await["requests"], json!([extended]), "it is on the list as it was answered");
    let entry =
        backend.texts("select details from mlops_audit where action = 'privacy.request_extended'").await;
    let entry: Value = serde_json::from_str(&entry[0]).unwrap();
    let expected = json!({"request": noted["id"], "reason": "number of requests", "due_on": due.to_string()});
    assert_eq!(entry, expected);
    let subject = "select count(distinct subject) from mlops_audit where action like 'privacy.request%'";
    assert_eq!(backend.number(subject).await, 1, "the one who asked");
    let again = extend(&app, &noted["id"], json!({"reason": "complexity"})).await;
    again.refused(409, "Conflict");
    assert!(again.text().contains("was extended before"), "{}", again.text());
    let over: DateTime<Utc> = extended["due_at"].as_str().unwrap().parse().unwrap();
    for (at, overdue) in [(over, 0), (over + TimeDelta::microseconds(1), 1)] {
        app.pass(at - app.now());
        assert!(app.app.ingest.refresh().await);
        assert_eq!(list(&app).await["overdue"], overdue);
        assert_eq!(app.metric("privacy_requests_overdue").await, Some(f64::from(overdue)));
    }
    assert_eq!(extensions(&backend).await, 1);
}

async fn a_request_that_cannot_be_extended_says_why(backend: Backend) {
    let app = open(&backend).await;
    let reason = json!({"reason": "complexity"});
    for id in ["7e9c5d0e-3a51-4c0b-9b57-0b6f6a3c2d11", "1", "ana@example.com", "%00"] {
        let unknown = extend(&app, &json!(id), reason.clone()).await;
        unknown.refused(404, "Not Found");
        assert!(unknown.text().contains("No privacy request has this id"), "{}", unknown.text());
    }
    let done = note(&app, json!({"kind": "export", "email": "nobody@example.com"})).await;
    let nothing = json!({"email": "nobody@example.com", "nothing_held": true});
    assert_eq!(ask(&app, "/privacy/export", nothing).await.status, 404);
    let late = app.now() - TimeDelta::days(33);
    let late = note(&app, json!({"kind": "erase", "email": EMAIL, "received_at": late.to_rfc3339()})).await;
    for (request, why) in [(&done, "is completed"), (&late, "due date of the request is over")] {
        let refused = extend(&app, &request["id"], reason.clone()).await;
        refused.refused(409, "Conflict");
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    let young = note(&app, json!({"kind": "erase", "email": EMAIL})).await;
    for (body, error, told) in [
        (json!({}), "Invalid value for field: reason", "complexity or number of requests"),
        (json!({"reason": "Ana is slow"}), "Invalid value for field: reason", "complexity"),
        (json!({"reason": null}), "Invalid value for field: reason", "complexity"),
        (json!({"reason": "complexity", "note": "Ana"}), "Invalid request body", "unknown field: note"),
        (json!({"reason": "complexity", "ana@example.com": 1}), "Invalid request body", "unknown field"),
        (json!(["complexity"]), "Invalid request body", "must be a JSON object"),
    ] {
        let refused = extend(&app, &young["id"], body.clone()).await;
        refused.refused(400, error);
        assert!(refused.text().contains(told), "{body}: {}", refused.text());
        assert!(!refused.text().to_lowercase().contains("ana"), "{}", refused.text());
    }
    assert_eq!(extensions(&backend).await, 0);
    assert!(list(&app).await["requests"].as_array().unwrap().iter().all(|one| one["extended"].is_null()));
}

async fn of_two_extensions_at_the_same_time_one_is_made(backend: Backend) {
    let app = open(&backend).await;
    let noted = note(&app, json!({"kind": "erase", "email": EMAIL})).await;
    let wish = |reason| extend(&app, &noted["id"], json!({"reason": reason}));
    let (one, other) = tokio::join!(wish("complexity"), wish("number of requests"));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let made = if one.status == 200 { &one } else { &other };
    assert_eq!(list(&app).await["requests"], json!([made.json()]));
    assert_eq!(extensions(&backend).await, 1);
}
