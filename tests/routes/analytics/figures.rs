//! `include` and periods, computed from sums that are planted.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use mlops_service::business::{DayHours, OpeningHours, Profile, Profiles};
use serde_json::{Value, json};

use super::{forget_facts, plant_facts};
use crate::harness::{Backend, TestApp, event, on_every_backend};

on_every_backend! {
    conversations_and_the_funnel_are_computed_from_the_sums,
    days_and_hours_are_computed_from_the_sums,
    groups_are_computed_from_the_sums,
    cost_and_quality_are_computed_from_the_sums,
    a_period_without_anything_is_zeros_and_nulls,
    days_whose_conversations_are_not_known_say_so,
    the_period_before_is_compared_without_today,
    closed_days_are_read_again_when_they_change,
    days_are_those_of_the_business,
    what_is_wrong_is_refused_with_what_is_right,
    csv_is_the_series,
}

/// All parts.
const ALL: &str =
    "conversations,series,hours,percentiles,by_model,by_intent,by_response_type,funnel,cost,previous,quality";

async fn figures(app: &TestApp, query: &str) -> Value {
    app.get(&format!("/analytics/acme?{query}")).send().await.ok()
}

fn today(app: &TestApp) -> NaiveDate {
    app.now().date_naive()
}

/// Waits for the middle of a day: the clock of the test may be at the end of one.
fn at_noon(app: &TestApp) {
    let noon = app.now().date_naive() + Days::new(1);
    app.pass(noon.and_hms_opt(12, 0, 0).unwrap().and_utc() - app.now());
}

fn profile(app: &TestApp, profile: Profile) {
    app.app.store.profiles().replace(Profiles::new(Tz::UTC, HashMap::from([("acme".to_owned(), profile)])));
}

/// Returns the answer for a day whose sums are planted.
async fn planted(backend: &Backend) -> Value {
    let app = TestApp::open(backend).await;
    at_noon(&app);
    let mut week = [None; 7];
    week[0] = Some(DayHours { open: 9 * 60, close: 17 * 60 });
    let (opening_hours, monthly_budget_micros) = (Some(OpeningHours::new(week)), Some(50_000_000));
    profile(&app, Profile { opening_hours, monthly_budget_micros, ..Profile::default() });
    for (ms, kind) in [(100, "booking"), (200, "booking"), (400, "error")] {
        let changes = json!({"response_time_ms": ms, "response_type": kind, "api_cost_usd": 0.004});
        app.track(&event(changes)).await.ok();
    }
    let facts = [
        ("conversations", 4),
        ("conversation_answers", 2),
        ("requested", 3),
        ("claimed", 1),
        ("booked", 2),
        ("claimed_not_booked", 1),
        ("in_book_not_claimed", 1),
        ("booked_not_claimed", 1),
        ("kept", 1),
        ("dropped", 1),
        ("handoffs", 1),
        ("contained", 2),
        ("with_hours", 4),
        ("after_hours", 3),
        ("value_booked_micros", 240_000_000),
        ("value_kept_micros", 120_000_000),
        ("answers", 2),
        ("answers_without_conversation", 1),
    ];
    forget_facts(&app, backend).await;
    let today = today(&app);
    plant_facts(backend, "acme", today, &facts).await;
    backend
        .execute(&format!(
            "insert into mlops_hourly values ('acme', '{today}', 9, 2, 1, 1, 0, 0, 5, 0);
             insert into mlops_intent_daily values ('acme', '{today}', 'appointment', 3, 3, 2, 1);
             insert into mlops_cost_daily values ('acme', '{today}', 'gemini-1.5-flash', 3, 2, 2, 9000000, 1, 3000000, 8000, 1, 0, 1);
             insert into mlops_first_latency_daily values ('acme', '{today}', 231, 4);
             insert into mlops_outcome_daily values ('acme', '{today}', 'kept', 5)"
        ))
        .await;
    figures(&app, &format!("days=1&include={ALL}")).await
}

fn rate(part: i32, whole: i32) -> Value {
    json!({"value": f64::from(part) / f64::from(whole), "part": part, "whole": whole})
}

async fn conversations_and_the_funnel_are_computed_from_the_sums(backend: Backend) {
    let body = planted(&backend).await;
    let today = body["to"].clone();
    assert_eq!(
        (&body["period"], &body["from"], &body["to"], &body["time_zone"], &body["known_from"]),
        (&json!("1_days"), &today, &today, &json!("UTC"), &Value::Null)
    );
    assert_eq!(body["metrics"]["total_conversations"], 3);
    assert_eq!(
        body["conversations"],
        json!({
            "answers": 3, "conversations": 4, "answers_without_conversation": 1, "answers_per_conversation": 0.5,
            "handoff_rate": rate(1, 4), "error_rate": rate(1, 3), "contained_rate": rate(2, 4), "after_hours_rate": rate(3, 4)
        })
    );
    // No book is shared, so that what events claim counts as booked.
    assert_eq!(
        body["funnel"],
        json!({
            "conversations": 4, "requested": 3, "booked": 3, "kept": 1, "cancelled": 0, "no_show": 0, "dropped": 1,
            "conversion": rate(3, 4), "claimed_not_in_book": 1, "in_book_not_claimed": 1, "value_booked_usd": 240.0,
            "value_kept_usd": 120.0, "outcomes_without_conversation": 5
        })
    );
}

async fn days_and_hours_are_computed_from_the_sums(backend: Backend) {
    let body = planted(&backend).await;
    let today: NaiveDate = body["to"].as_str().unwrap().parse().unwrap();
    assert_eq!(body["series"].as_array().unwrap().len(), 1);
    let mut day = body["series"][0].clone();
    let (p50, p95) = (day["p50_ms"].take().as_f64().unwrap(), day["p95_ms"].take().as_f64().unwrap());
    assert!((p50 - 200.0).abs() <= 2.0 && (p95 - 400.0).abs() <= 4.0, "{p50} {p95}");
    assert_eq!(
        day,
        json!({
            "day": today.to_string(), "answers": 3, "conversations": 4, "requested": 3, "booked": 3, "handoffs": 1,
            "errors": 1, "tokens": 225, "cost_usd": 0.015, "p50_ms": null, "p95_ms": null, "unfinished": true
        })
    );
    let hours = body["hours"].as_array().unwrap();
    let busy: Vec<&Value> = hours.iter().filter(|hour| hour["answers"] != 0).collect();
    let weekday = chrono::Datelike::weekday(&today).number_from_monday();
    assert_eq!(
        busy,
        [&json!({
            "weekday": weekday, "hour": 9, "conversations": 2, "answers": 5, "requested": 1, "open": weekday == 1
        })]
    );
    assert_eq!((hours.len(), hours.iter().filter(|hour| hour["open"] == true).count()), (168, 8));
}

async fn groups_are_computed_from_the_sums(backend: Backend) {
    let body = planted(&backend).await;
    let percentiles = &body["percentiles"];
    assert!((percentiles["answers"]["p90"].as_f64().unwrap() - 400.0).abs() <= 4.0, "{percentiles}");
    assert!((percentiles["first_answers"]["p50"].as_f64().unwrap() - 101.0).abs() <= 2.0, "{percentiles}");
    assert_eq!(
        body["by_model"],
        json!([{
            "model_name": "gemini-1.5-flash", "answers": 3, "tokens": 225, "reported_cost_usd": 0.012,
            "computed_cost_usd": 0.009, "price": body["by_model"][0]["price"]
        }])
    );
    assert_eq!(
        body["by_intent"],
        json!([{
            "intent": "appointment", "answers": 3, "conversations": 3, "requested": 3, "booked": 3, "errors": 1
        }])
    );
    assert_eq!(
        body["by_response_type"],
        json!([
            {"response_type": "booking", "answers": 2}, {"response_type": "error", "answers": 1}
        ])
    );
}

async fn cost_and_quality_are_computed_from_the_sums(backend: Backend) {
    let body = planted(&backend).await;
    let projected = body["cost"]["month_projected_usd"].as_f64().unwrap();
    assert!(projected > 0.015, "{projected}");
    assert_eq!(
        body["cost"],
        json!({
            "reported_usd": 0.012, "computed_usd": 0.009, "counted_usd": 0.015,
            "drift": {"value": 0.002 / 0.006, "part": 0.002, "whole": 0.006},
            "per_conversation_usd": 0.00375, "per_booking_usd": 0.005, "per_kept_usd": 0.015, "budget_usd": 50.0,
            "month_spent_usd": 0.015, "month_projected_usd": projected
        })
    );
    assert_eq!(
        body["quality"],
        json!({
            "answers_without_conversation": rate(1, 2), "answers_without_facts": 1, "estimated_tokens": rate(1, 3),
            "unpriced": rate(1, 3), "computed_cost": rate(1, 3), "reported_cost": rate(2, 3), "not_computable": 0,
            "bookings_unclaimed": rate(1, 2)
        })
    );
}

async fn a_period_without_anything_is_zeros_and_nulls(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let body = figures(&app, &format!("days=7&include={ALL}")).await;
    let nothing = json!({"value": null, "part": 0, "whole": 0});
    for (part, rate) in [
        ("conversations", "handoff_rate"),
        ("conversations", "error_rate"),
        ("conversations", "contained_rate"),
        ("conversations", "after_hours_rate"),
        ("funnel", "conversion"),
        ("quality", "unpriced"),
        ("quality", "answers_without_conversation"),
        ("quality", "computed_cost"),
        ("quality", "bookings_unclaimed"),
    ] {
        assert_eq!(body[part][rate], nothing, "{part}.{rate}");
    }
    assert_eq!(body["conversations"]["answers_per_conversation"], Value::Null);
    assert_eq!(body["cost"]["per_booking_usd"], Value::Null);
    assert_eq!(body["cost"]["budget_usd"], Value::Null);
    assert_eq!(body["cost"]["month_spent_usd"], 0.0);
    assert_eq!(body["percentiles"]["answers"], json!({"p50": null, "p90": null, "p95": null, "p99": null}));
    let series = body["series"].as_array().unwrap();
    assert_eq!(series.len(), 7);
    for (index, day) in series.iter().enumerate() {
        assert_eq!(
            (&day["answers"], &day["conversations"], &day["p50_ms"]),
            (&json!(0), &json!(0), &Value::Null)
        );
        assert_eq!(day["unfinished"], index == 6, "only today is");
    }
    assert!(body["hours"].as_array().unwrap().iter().all(|hour| hour["open"].is_null()));
    // Without a part the answer is what it always was.
    for query in ["", "include="] {
        let plain = figures(&app, query).await;
        assert_eq!(plain.as_object().unwrap().len(), 6, "{plain}");
    }
}

async fn days_whose_conversations_are_not_known_say_so(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    app.pass(TimeDelta::days(2));
    app.track(&event(json!({}))).await.ok();
    let today = today(&app);
    let known_from = today - Days::new(1);
    forget_facts(&app, &backend).await;
    plant_facts(&backend, "acme", today, &[("conversations", 2), ("requested", 1), ("answers", 1)]).await;
    backend
        .execute(&format!(
            "delete from mlops_rebuild; insert into mlops_rebuild (id, below, of_rows, reached, known_from)
             values (1, 1, 9, '{known_from}', '{known_from}')"
        ))
        .await;
    let body = figures(&app, "days=3&include=series,conversations,quality").await;
    assert_eq!(body["known_from"], known_from.to_string());
    let series = &body["series"];
    for name in ["conversations", "requested", "booked", "handoffs"] {
        assert_eq!(series[0][name], Value::Null, "{name}");
        assert!(series[1][name] == 0 && series[2][name].is_i64(), "{name}");
    }
    assert_eq!((&series[0]["answers"], &series[2]["conversations"]), (&json!(1), &json!(2)));
    assert_eq!(body["conversations"]["conversations"], 2);
    assert_eq!(body["quality"]["answers_without_facts"], 0, "of days before nobody knows");
    // While events that came earlier are still being added, what is not reached is not known.
    backend.execute(&format!("update mlops_rebuild set below = 5, reached = '{today}'")).await;
    let body = figures(&app, "days=3&include=series,previous").await;
    assert_eq!(
        (&body["series"][1]["conversations"], &body["series"][2]["conversations"]),
        (&Value::Null, &json!(2))
    );
    assert_eq!(body["previous"]["conversations"], Value::Null);
    assert_eq!(body["previous"]["change"]["conversations"], Value::Null);
    let gone = figures(&app, "period=yesterday&include=conversations,funnel,hours,by_intent").await;
    assert_eq!(
        (&gone["conversations"], &gone["funnel"], &gone["hours"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

async fn the_period_before_is_compared_without_today(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    let (start, day) = (today(&app), |n: u64| today(&app) + Days::new(n));
    for (n, conversations) in [(0, 4), (1, 3), (7, 100), (8, 6), (9, 50)] {
        plant_facts(&backend, "acme", day(n), &[("conversations", conversations), ("booked", 1)]).await;
    }
    app.track(&event(json!({"tokens_used": 10, "conversation_id": null}))).await.ok();
    app.pass(TimeDelta::days(7));
    app.track(&event(json!({"tokens_used": 30, "conversation_id": null}))).await.ok();
    app.pass(TimeDelta::days(2));
    // The last three days: 7, 8 and 9, of which 9 is today. Before: 0, 1 and 2, of which 2 is left out.
    let body = figures(&app, "days=3&include=previous").await;
    let previous = &body["previous"];
    assert_eq!(
        (&previous["from"], &previous["to"]),
        (&json!(start.to_string()), &json!((start + Days::new(2)).to_string()))
    );
    assert_eq!(previous["metrics"]["total_conversations"], 1);
    assert_eq!(
        (&previous["conversations"]["conversations"], &previous["funnel"]["booked"]),
        (&json!(7), &json!(2))
    );
    let change = &previous["change"];
    assert_eq!(change["conversations"], json!({"value": 99.0 / 7.0, "part": 99, "whole": 7}));
    assert_eq!(change["booked"], json!({"value": 0.0, "part": 0, "whole": 2}));
    assert_eq!(change["tokens"], json!({"value": 2.0, "part": 20, "whole": 10}));
    assert_eq!(change["cost_usd"], json!({"value": 0.0, "part": 0.0, "whole": 0.002}));
    assert_eq!(change["errors"], json!({"value": null, "part": 0, "whole": 0}));
}

async fn closed_days_are_read_again_when_they_change(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    app.track(&event(json!({"response_time_ms": 100}))).await.ok();
    app.pass(TimeDelta::days(1));
    let query = "days=2&include=series,previous,by_intent";
    for _ in 0..2 {
        let body = figures(&app, query).await;
        assert_eq!(
            (&body["series"][0]["answers"], &body["series"][0]["conversations"]),
            (&json!(1), &json!(1))
        );
    }
    // An event that was spooled then arrives now.
    app.pass(TimeDelta::days(-1));
    app.track(&event(json!({"response_time_ms": 300, "intent_detected": "hours"}))).await.ok();
    app.pass(TimeDelta::days(1));
    let body = figures(&app, query).await;
    assert_eq!((&body["series"][0]["answers"], &body["series"][1]["answers"]), (&json!(2), &json!(0)));
    assert_eq!(body["by_intent"].as_array().unwrap().len(), 2);
    app.track(&event(json!({}))).await.ok();
    backend.execute("update mlops_conversation_daily set booked = 1").await;
    let body = figures(&app, query).await;
    assert_eq!((&body["series"][0]["booked"], &body["series"][1]["answers"]), (&json!(1), &json!(1)));
    assert_eq!(body["metrics"]["total_conversations"], 3);
}

async fn days_are_those_of_the_business(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let day = app.now().date_naive() + Days::new(1);
    app.pass(day.and_hms_opt(3, 0, 0).unwrap().and_utc() - app.now());
    profile(&app, Profile { time_zone: Some(Tz::America__New_York), ..Profile::default() });
    app.track(&event(json!({}))).await.ok();
    let yesterday = (day - Days::new(1)).to_string();
    let body = figures(&app, "period=today&include=series").await;
    assert_eq!((&body["from"], &body["time_zone"]), (&json!(yesterday), &json!("America/New_York")));
    assert_eq!((&body["period"], &body["series"][0]["answers"]), (&json!("today"), &json!(1)));
    let body = figures(&app, &format!("from={yesterday}&to={yesterday}")).await;
    assert_eq!(
        (&body["period"], &body["metrics"]["total_conversations"]),
        (&json!(format!("{yesterday}..{yesterday}")), &json!(1))
    );
    let body = figures(&app, &format!("from={yesterday}&to={day}&include=series")).await;
    let unfinished = |place: usize| &body["series"][place]["unfinished"];
    assert_eq!((unfinished(0), unfinished(1)), (&json!(true), &json!(true)), "today, and a day to come");
}

async fn what_is_wrong_is_refused_with_what_is_right(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for (query, field, right) in [
        ("include=series,secret", "include", "by_response_type, funnel"),
        ("include=Series", "include", "conversations, series"),
        ("period=week", "period", "today, yesterday, this_month, last_month"),
        ("days=7&period=today", "period", "cannot be combined with days"),
        ("days=7&from=2026-01-01&to=2026-01-02", "from", "cannot be combined with days"),
        ("from=2026-01-01", "to", "as well as from"),
        ("to=2026-01-01", "from", "as well as to"),
        ("from=2026-01-02&to=2026-01-01", "from", "must not be after to"),
        ("from=2024-01-01&to=2025-01-01", "from", "at most 366 days"),
        ("from=2026-01-01&to=9999-01-01", "from", "at most 366 days"),
        ("from=yesterday&to=2026-01-01", "from", "a date such as 2026-11-01"),
        ("days=0", "days", "from 1 to 366"),
    ] {
        let reply = app.get(&format!("/analytics/acme?{query}")).send().await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(right) && !message.contains("secret") && !message.contains("week"),
            "{query}: {message}"
        );
    }
    assert_eq!(app.get("/analytics/acme?from=2024-01-01&to=2024-12-31").send().await.status, 200, "366 days");
}

async fn csv_is_the_series(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    let today = today(&app);
    let reply = app.get("/analytics/acme?days=2").header("accept", "text/csv").send().await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert_eq!(reply.header("vary"), "accept");
    let lines: Vec<&str> = reply.text().trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines[0],
        "day,answers,conversations,requested,booked,handoffs,errors,tokens,cost_usd,p50_ms,p95_ms,unfinished"
    );
    assert_eq!(lines[1], format!("{},0,0,0,0,0,0,0,0.0,,,false", today - Days::new(1)));
    assert!(lines[2].starts_with(&format!("{today},1,")) && lines[2].ends_with(",true"), "{}", lines[2]);
    assert_eq!(lines.len(), 3);
    let json = app.get("/analytics/acme").header("accept", "text/html,*/*").send().await;
    assert_eq!((json.header("content-type"), json.header("vary")), ("application/json", "accept"));
}
