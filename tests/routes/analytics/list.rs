//! `GET /analytics`, on both databases.

use std::collections::HashMap;

use chrono::{Days, TimeDelta};
use chrono_tz::Tz;
use mlops_service::business::{Profile, Profiles};
use serde_json::{Value, json};

use super::{forget_facts, plant_facts};
use crate::harness::{Backend, KEY, TestApp, event, on_every_backend};
use crate::routes::keys::create;

on_every_backend! {
    businesses_are_sorted_and_come_in_pages,
    the_order_by_cost_follows_changes_of_earlier_days,
    the_figures_are_those_of_the_period,
    a_key_of_a_business_sees_that_one,
    what_is_wrong_is_refused_with_what_is_right,
}

fn ids(page: &Value) -> Vec<&str> {
    page["businesses"].as_array().unwrap().iter().map(|one| one["business_id"].as_str().unwrap()).collect()
}

/// Five businesses with answers, one with a profile alone.
async fn businesses(backend: &Backend, app: &TestApp) {
    for (id, cost) in [("a", 0.001), ("b", 0.005), ("c", 0.003), ("d", 0.0), ("e", 0.0)] {
        app.track(&event(json!({"business_id": id, "api_cost_usd": cost}))).await.ok();
    }
    forget_facts(app, backend).await;
    let today = app.now().date_naive();
    for (id, conversations, booked) in [("a", 1, 1), ("b", 3, 0), ("c", 2, 2), ("d", 3, 0)] {
        plant_facts(backend, id, today, &[("conversations", conversations), ("booked", booked)]).await;
    }
    backend
        .execute(&format!(
            "insert into mlops_cost_daily values ('d', '{today}', 'm', 1, 0, 1, 4000000, 1, 4000000, 0, 0, 0, 0)"
        ))
        .await;
    let named = |name: &str| Profile { name: Some(name.to_owned()), ..Profile::default() };
    let profiles =
        [("a", named("zahn")), ("c", named("Abel")), ("p", named("Mia")), ("e", Profile::default())];
    let profiles = profiles.into_iter().map(|(id, profile)| (id.to_owned(), profile)).collect();
    app.app.store.profiles().replace(Profiles::new(Tz::UTC, profiles));
}

async fn businesses_are_sorted_and_come_in_pages(backend: Backend) {
    let app = TestApp::open(&backend).await;
    businesses(&backend, &app).await;
    for (sort, expected) in [
        ("", ["b", "d", "c", "a", "e", "p"]),
        ("sort=conversations", ["b", "d", "c", "a", "e", "p"]),
        ("sort=cost", ["b", "d", "c", "a", "e", "p"]),
        ("sort=bookings", ["c", "a", "b", "d", "e", "p"]),
        ("sort=name", ["c", "b", "d", "e", "p", "a"]),
    ] {
        let whole = app.get(&format!("/analytics?{sort}")).send().await.ok();
        assert_eq!((ids(&whole).as_slice(), &whole["next"]), (expected.as_slice(), &Value::Null), "{sort}");
        let (mut found, mut after) = (Vec::new(), String::new());
        for size in [4, 2] {
            let page = app.get(&format!("/analytics?{sort}&limit=4{after}")).send().await.ok();
            assert_eq!(ids(&page).len(), size, "{sort}");
            found.extend(page["businesses"].as_array().unwrap().clone());
            after = format!("&after={}", page["next"].as_str().unwrap_or("none"));
        }
        assert_eq!((&json!(found), after.as_str()), (&whole["businesses"], "&after=none"), "{sort}");
    }
}

async fn the_order_by_cost_follows_changes_of_earlier_days(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let spend = async |id: &str, cost: f64| {
        app.track(&event(json!({"business_id": id, "api_cost_usd": cost}))).await.ok();
    };
    let by_cost = async || app.get("/analytics?sort=cost").send().await.ok();
    spend("a", 0.001).await;
    spend("b", 0.002).await;
    app.pass(TimeDelta::days(2));
    for _ in 0..2 {
        assert_eq!(ids(&by_cost().await), ["b", "a"]);
    }
    spend("a", 0.0015).await;
    assert_eq!(ids(&by_cost().await), ["a", "b"], "today");
    // What was spooled then arrives now.
    app.pass(TimeDelta::days(-1));
    spend("b", 0.001).await;
    app.pass(TimeDelta::days(1));
    assert_eq!(ids(&by_cost().await), ["b", "a"], "reported");
    app.pass(TimeDelta::days(-1));
    let computed =
        json!({"business_id": "a", "api_cost_usd": 0, "prompt_tokens": 1_000_000, "tokens_used": 1_000_025});
    app.track(&event(computed)).await.ok();
    app.pass(TimeDelta::days(1));
    assert_eq!(ids(&by_cost().await), ["a", "b"], "computed");
}

async fn the_figures_are_those_of_the_period(backend: Backend) {
    let app = TestApp::open(&backend).await;
    businesses(&backend, &app).await;
    let page = app.get("/analytics?days=7&limit=3").send().await.ok();
    let mut third = page["businesses"][2].clone();
    let p95 = third["p95_ms"].take().as_f64().unwrap();
    assert!((p95 - 150.0).abs() <= 1.5, "{p95}");
    let metrics = app.get("/analytics/c?days=7").send().await.ok()["metrics"].clone();
    assert_eq!(metrics["total_api_cost_usd"], 0.003);
    assert_eq!(
        third,
        json!({"business_id": "c", "name": "Abel", "metrics": metrics, "conversations": 2, "booked": 2, "p95_ms": null})
    );
    app.pass(TimeDelta::days(1));
    let page = app.get("/analytics?period=today").send().await.ok();
    assert_eq!(ids(&page), ["a", "b", "c", "d", "e", "p"]);
    for one in page["businesses"].as_array().unwrap() {
        assert_eq!((&one["conversations"], &one["p95_ms"]), (&json!(0), &Value::Null));
        assert_eq!(one["metrics"]["total_conversations"], 0);
    }
    let tomorrow = app.now().date_naive() + Days::new(1);
    backend
        .execute(&format!(
            "delete from mlops_rebuild; insert into mlops_rebuild (id, below, of_rows, known_from) values (1, 1, 0, '{tomorrow}')"
        ))
        .await;
    let page = app.get("/analytics?period=yesterday&sort=name").send().await.ok();
    assert_eq!(
        (&page["businesses"][0]["conversations"], &page["businesses"][0]["booked"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(page["businesses"][0]["metrics"]["total_conversations"], 1);
}

async fn a_key_of_a_business_sees_that_one(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    app.post("/track").header("x-api-key", KEY).json(&event(json!({}))).send().await.ok();
    for (id, answers) in [("acme", 1), ("quiet", 0)] {
        let wish = json!({"name": id, "scopes": ["analytics"], "business_id": id});
        let (_, key) = create(&app, wish).await;
        for query in ["", "?sort=cost", "?sort=name&limit=1"] {
            let page = app.get(&format!("/analytics{query}")).header("x-api-key", &key).send().await.ok();
            assert_eq!((ids(&page), &page["next"]), (vec![id], &Value::Null), "{query}");
            assert_eq!(page["businesses"][0]["metrics"]["total_conversations"], answers);
        }
    }
    let all = app.get("/analytics").header("x-api-key", KEY).send().await.ok();
    assert_eq!(ids(&all), ["acme"]);
}

async fn what_is_wrong_is_refused_with_what_is_right(backend: Backend) {
    let app = TestApp::open(&backend).await;
    businesses(&backend, &app).await;
    let page = app.get("/analytics?sort=cost&limit=1").send().await.ok();
    let next = page["next"].as_str().unwrap();
    for (query, field, right) in [
        ("sort=size".to_owned(), "sort", "conversations, cost, bookings, name"),
        ("limit=0".to_owned(), "limit", "from 1 to 500"),
        ("limit=501".to_owned(), "limit", "from 1 to 500"),
        ("limit=%2B5".to_owned(), "limit", "from 1 to 500"),
        ("days=367".to_owned(), "days", "1 to 366"),
        ("after=x".to_owned(), "after", "of the page before"),
        ("after=7b7d".to_owned(), "after", "of the page before"),
        (format!("sort=name&after={next}"), "after", "same `sort`"),
    ] {
        let reply = app.get(&format!("/analytics?{query}")).send().await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
        assert!(reply.json()["message"].as_str().unwrap().contains(right), "{query}: {}", reply.text());
    }
    let profiles: HashMap<String, Profile> = HashMap::new();
    app.app.store.profiles().replace(Profiles::new(Tz::UTC, profiles));
    assert_eq!(
        ids(&app.get("/analytics").send().await.ok()).len(),
        5,
        "a business without answers is gone with its profile"
    );
}
