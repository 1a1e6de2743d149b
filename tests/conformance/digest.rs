//! Facts about conversations and what they add up to, against what independent SQL makes of the stored events.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::conversation::{ConversationKey, Outcome, PostedOutcome};
use mlops_service::event::{Event, Report};
use mlops_service::store::{NewOutcome, Posting, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Backend, command, event, insert_as_the_app, on_every_backend, real_now};

on_every_backend! { partitioned:
    sums_are_those_of_independent_queries_over_the_rows,
    a_day_is_that_of_the_zone_when_clocks_change,
    a_late_event_moves_its_conversation_to_an_earlier_day,
    repeats_and_claims_are_digested_once,
    rows_of_the_app_are_digested_once,
    events_that_are_older_than_the_tables_are_added_once,
    a_rebuild_can_be_run_by_hand,
    days_whose_rows_are_gone_are_not_known,
    the_newest_outcome_of_a_conversation_holds,
    an_outcome_joins_its_conversation_when_an_event_comes,
    an_error_alone_is_no_handoff,
    absurd_costs_of_one_business_stop_nothing,
}

/// Longer than a write takes.
const LIMIT: Duration = Duration::from_secs(10);

fn made(changes: serde_json::Value, at: DateTime<Utc>) -> Event {
    Report::parse(event(changes).to_string().as_bytes()).unwrap().into_event(None, at).unwrap()
}

/// Writes events as the ingest task does, and digests them.
async fn keep(store: &Store, events: &[Event]) {
    store.write(events, false, LIMIT).await.unwrap();
    store.digest_all().await.unwrap();
}

/// An event of a random conversation, business, time and kind.
fn any_event(start: DateTime<Utc>) -> impl Strategy<Value = Event> {
    let texts = ("[ab]", "[pqrst]|", "[xy]", "error|text|booking");
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = (0..20_000_i32, 0..3_000_i64, 0..2_000_i32, proptest::option::of(0..900_i32));
    (texts, flags, numbers, any::<bool>()).prop_map(move |(texts, flags, numbers, reported)| {
        let (business, conversation, intent, response_type) = texts;
        let (requested, booked, handoff) = flags;
        let (ms, minutes, tokens, prompt) = numbers;
        let changes = json!({
            "business_id": business, "intent_detected": intent, "response_type": response_type,
            "conversation_id": Some(conversation).filter(|id| !id.is_empty()), "response_time_ms": ms,
            "tokens_used": tokens, "prompt_tokens": prompt, "completion_tokens": prompt.map(|tokens| tokens / 3),
            "api_cost_usd": if reported { 0.001 } else { 0.0 }, "appointment_requested": requested,
            "appointment_booked": booked, "human_handoff_requested": handoff, "model_name": "gpt-4o",
        });
        made(changes, start + TimeDelta::minutes(minutes))
    })
}

fn some_events(seed: u8, count: usize, start: DateTime<Utc>) -> Vec<Event> {
    let mut runner = TestRunner::deterministic();
    // Each test draws events of its own.
    (0..seed).for_each(|_| drop(runner.new_rng()));
    let events = proptest::collection::vec(any_event(start), count).new_tree(&mut runner).unwrap();
    events.current()
}

/// The rows of a query as one text each, sorted.
async fn rows(backend: &Backend, sql: &str) -> Vec<String> {
    let mut rows = backend.texts(sql).await;
    rows.sort();
    rows
}

/// Expressions that both databases have: the day of a row's time in UTC, and a flag as a number.
fn day(column: &str) -> String {
    format!("substr(cast({column} as text), 1, 10)")
}

fn flag(condition: &str) -> String {
    format!("case when {condition} then 1 else 0 end")
}

/// What independent queries make of the rows: by day and business, conversations with what they had, and answers.
async fn expected(backend: &Backend) -> Vec<String> {
    let id = "nullif(coalesce(conversation_id, ''), '')";
    let conversation = format!(
        "select business_id, {id} as conversation, min({}) as day, count(*) as answers,
            max({}) as requested, max({}) as claimed, max({}) as handoff, max({}) as error
         from ai_metrics where {id} is not null group by business_id, {id}",
        day("created_at"),
        flag("appointment_requested"),
        flag("appointment_booked"),
        flag("human_handoff_requested and response_type <> 'error'"),
        flag("response_type = 'error'"),
    );
    let conversations = format!(
        "select business_id || ' ' || day || ' ' || count(*) || ' ' || sum(answers) || ' ' || sum(requested) || ' ' || sum(claimed)
            || ' ' || sum(handoff) || ' ' || sum({}) || ' ' || sum({}) from ({conversation}) c group by business_id, day",
        flag("handoff = 0 and error = 0"),
        flag("requested = 1 and claimed = 0 and handoff = 0"),
    );
    let answers = format!(
        "select business_id || ' ' || {0} || ' answers ' || count(*) || ' ' || sum({1}) from ai_metrics group by business_id, {0}",
        day("created_at"),
        flag(&format!("{id} is null")),
    );
    [rows(backend, &conversations).await, rows(backend, &answers).await].concat()
}

/// The same from the tables of sums.
async fn found(backend: &Backend) -> Vec<String> {
    let conversations = format!(
        "select business_id || ' ' || {} || ' ' || conversations || ' ' || conversation_answers || ' ' || requested || ' ' || claimed
            || ' ' || handoffs || ' ' || contained || ' ' || dropped
         from mlops_conversation_daily where conversations <> 0",
        day("day")
    );
    let answers = format!(
        "select business_id || ' ' || {} || ' answers ' || answers || ' ' || answers_without_conversation
         from mlops_conversation_daily where answers <> 0",
        day("day")
    );
    [rows(backend, &conversations).await, rows(backend, &answers).await].concat()
}

/// Every table of sums must tell the same numbers in all.
async fn assert_consistent(backend: &Backend) {
    assert_eq!(found(backend).await, expected(backend).await);
    let sums = [
        "select cast(coalesce(sum(conversations), 0) as bigint) from mlops_conversation_daily",
        "select cast(coalesce(sum(conversations), 0) as bigint) from mlops_hourly",
        "select cast(coalesce(sum(conversations), 0) as bigint) from mlops_intent_daily",
        "select cast(coalesce(sum(conversations), 0) as bigint) from mlops_first_latency_daily",
        "select cast(coalesce(sum(amount), 0) as bigint) from mlops_fact_totals where kind = 'conversations'",
        "select count(*) from mlops_conversations",
    ];
    let mut numbers = Vec::new();
    for sql in sums {
        numbers.push(backend.number(sql).await);
    }
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    let answers = [
        "select count(*) from ai_metrics",
        "select cast(coalesce(sum(answers), 0) as bigint) from mlops_hourly",
        "select cast(coalesce(sum(answers), 0) as bigint) from mlops_cost_daily",
    ];
    for sql in answers {
        assert_eq!(backend.number(sql).await, backend.number(answers[0]).await, "{sql}");
    }
    let errors = "select count(*) from ai_metrics where response_type = 'error'";
    let hourly = "select cast(coalesce(sum(errors), 0) as bigint) from mlops_hourly";
    assert_eq!(backend.number(hourly).await, backend.number(errors).await);
}

fn start() -> DateTime<Utc> {
    "2026-11-02T20:00:00Z".parse().unwrap()
}

async fn sums_are_those_of_independent_queries_over_the_rows(backend: Backend) {
    let store = backend.store(&[]).await;
    for (batch, size) in [1, 40, 3, 100, 7].into_iter().enumerate() {
        keep(&store, &some_events(u8::try_from(batch).unwrap(), size, start())).await;
        assert_consistent(&backend).await;
    }
    let tokens = "select cast(coalesce(sum(tokens), 0) as bigint) from mlops_conversations";
    let of_rows = "select cast(coalesce(sum(tokens_used), 0) as bigint) from ai_metrics where coalesce(conversation_id, '') <> ''";
    assert_eq!(backend.number(tokens).await, backend.number(of_rows).await);
    // 2.50 and 10 dollars per million tokens.
    let computed = "select cast(coalesce(sum(computed_nanos), 0) as bigint) from mlops_cost_daily";
    let of_rows =
        "select cast(coalesce(sum(prompt_tokens * 2500 + completion_tokens * 10000), 0) as bigint) from ai_metrics
        where prompt_tokens is not null";
    assert_eq!(backend.number(computed).await, backend.number(of_rows).await);
    let filled = "select cast(coalesce(sum(filled), 0) as bigint) from mlops_cost_daily";
    let of_rows = "select count(*) from ai_metrics where prompt_tokens is not null and api_cost_usd = 0";
    assert_eq!(backend.number(filled).await, backend.number(of_rows).await);
}

async fn a_day_is_that_of_the_zone_when_clocks_change(backend: Backend) {
    // In each zone, one answer every half hour over the two days around a change of clocks.
    let zones = [
        ("Europe/Berlin", "2026-10-24T21:00:00Z"),
        ("America/New_York", "2026-03-07T04:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z"),
        ("Asia/Kathmandu", "2026-11-01T17:00:00Z"),
        ("America/St_Johns", "2026-11-01T01:00:00Z"),
    ];
    for (zone, from) in zones {
        let store = backend.store(&[("TIME_ZONE", zone)]).await;
        let (from, of): (DateTime<Utc>, chrono_tz::Tz) = (from.parse().unwrap(), zone.parse().unwrap());
        let times = (0..100).map(|half_hours| from + TimeDelta::minutes(30 * half_hours));
        let events: Vec<Event> = times
            .clone()
            .map(|at| made(json!({"business_id": zone, "conversation_id": at.to_rfc3339()}), at))
            .collect();
        keep(&store, &events).await;
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for at in times {
            *expected.entry(at.with_timezone(&of).format("%F %-H").to_string()).or_default() += 1;
        }
        let expected: Vec<String> =
            expected.iter().map(|(hour, answers)| format!("{hour} {answers}")).collect();
        let found = format!(
            "select {} || ' ' || hour || ' ' || answers from mlops_hourly where business_id = '{zone}' and conversations = answers",
            day("day")
        );
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(rows(&backend, &found).await, sorted, "{zone}");
    }
}

async fn a_late_event_moves_its_conversation_to_an_earlier_day(backend: Backend) {
    let store = backend.store(&[]).await;
    let with = |intent: &str, ms: i32, days| {
        let changes = json!({"conversation_id": "c", "intent_detected": intent, "response_time_ms": ms});
        made(changes, start() - TimeDelta::days(days))
    };
    keep(&store, &[with("second", 900, 0)]).await;
    keep(&store, &[with("first", 100, 3)]).await;
    keep(&store, &[with("between", 500, 1)]).await;
    assert_consistent(&backend).await;
    let intents = "select intent_detected from mlops_intent_daily where conversations <> 0";
    assert_eq!(backend.texts(intents).await, ["first"]);
    let days = format!("select {} from mlops_conversation_daily where conversations <> 0", day("day"));
    assert_eq!(backend.texts(&days).await, ["2026-10-30"]);
    assert_eq!(
        backend.number("select count(*) from mlops_first_latency_daily where conversations <> 0").await,
        1
    );
    assert_eq!(backend.number("select first_response_ms from mlops_conversations").await, 100);
}

async fn repeats_and_claims_are_digested_once(backend: Backend) {
    let store = backend.store(&[]).await;
    let mut events = some_events(9, 50, start());
    for event in &mut events {
        event.named = true;
    }
    keep(&store, &events).await;
    store.write(&events, true, LIMIT).await.unwrap();
    store.write(&events[..7], false, LIMIT).await.unwrap();
    store.digest_all().await.unwrap();
    assert_consistent(&backend).await;
    assert_eq!(backend.rows().await, 50);
    // The app's row is claimed, before it was counted and after.
    insert_as_the_app(&backend, "before", 0).await;
    keep(&store, &[made(json!({"session_id": "before", "conversation_id": "before"}), real_now())]).await;
    insert_as_the_app(&backend, "after", 0).await;
    store.count_foreign_rows(real_now()).await.unwrap();
    keep(&store, &[made(json!({"session_id": "after", "conversation_id": "after"}), real_now())]).await;
    assert_eq!(backend.rows().await, 52);
    let answers = "select cast(coalesce(sum(answers), 0) as bigint) from mlops_hourly";
    assert_eq!(backend.number(answers).await, 52);
}

async fn rows_of_the_app_are_digested_once(backend: Backend) {
    let store = backend.store(&[]).await;
    for number in 0..3 {
        insert_as_the_app(&backend, &format!("session-{number}"), number).await;
    }
    backend.execute("update ai_metrics set conversation_id = 'chat'").await;
    for _ in 0..2 {
        store.count_foreign_rows(real_now()).await.unwrap();
        store.digest_all().await.unwrap();
    }
    assert_consistent(&backend).await;
    assert_eq!(backend.number("select answers from mlops_conversations").await, 3);
}

async fn events_that_are_older_than_the_tables_are_added_once(backend: Backend) {
    let store = backend.store(&[]).await;
    store.write(&some_events(3, 500, start()), false, LIMIT).await.unwrap();
    insert_as_the_app(&backend, "not counted yet", 30).await;
    forget(&backend).await;
    let store = backend.store(&[]).await;
    keep(&store, &some_events(4, 100, start())).await;
    let mut steps = 0;
    while !store.rebuild_some(90).await.unwrap().is_done() {
        steps += 1;
        // Meanwhile the others go on.
        keep(&store, &some_events(5 + steps, 10, start())).await;
        if steps == 2 {
            store.count_foreign_rows(real_now()).await.unwrap();
        }
    }
    assert_eq!(steps, 5);
    store.count_foreign_rows(real_now()).await.unwrap();
    store.digest_all().await.unwrap();
    assert!(store.rebuild_some(90).await.unwrap().is_done());
    assert_consistent(&backend).await;
    assert_eq!(store.rebuild().await.unwrap().known_from, None, "no rows were missing");
}

async fn a_rebuild_can_be_run_by_hand(backend: Backend) {
    let store = backend.store(&[]).await;
    store.write(&some_events(6, 300, start()), false, LIMIT).await.unwrap();
    store.close().await;
    forget(&backend).await;
    for _ in 0..2 {
        let done = command(&backend, &[]).args(["rebuild", "--progress"]).output().unwrap();
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && told.contains("built from all stored events."), "{done:?}");
    }
    assert_consistent(&backend).await;
}

async fn days_whose_rows_are_gone_are_not_known(backend: Backend) {
    let store = backend.store(&[]).await;
    let on = |day: i64| made(json!({"conversation_id": day.to_string()}), start() + TimeDelta::days(day));
    let written = store.write(&[on(0), on(1), on(2)], false, LIMIT).await.unwrap();
    store.merge_rollup(&written.counted).await.unwrap();
    forget(&backend).await;
    backend.execute("delete from ai_metrics where conversation_id = '0'").await;
    store.close().await;
    let store = backend.store(&[]).await;
    while !store.rebuild_some(1_000).await.unwrap().is_done() {}
    let known_from = store.rebuild().await.unwrap().known_from.unwrap().to_string();
    assert_eq!(known_from, "2026-11-04", "a part of the first day with rows may be gone too");
}

/// Makes a database of one that has never had tables of facts.
async fn forget(backend: &Backend) {
    backend.remove_facts().await;
    for table in ["mlops_fact_totals", "mlops_rebuild", "mlops_undigested"] {
        backend.execute(&format!("delete from {table}")).await;
    }
}

fn outcome(id: u128, conversation: &str, outcome: Outcome, minute: i64, usd: Option<i64>) -> NewOutcome {
    let key = ConversationKey { business_id: "acme".to_owned(), conversation_id: conversation.to_owned() };
    let occurred_at = start() + TimeDelta::minutes(minute);
    let value_micros = usd.map(|usd| usd * 1_000_000);
    NewOutcome { key, posted: PostedOutcome { id: Uuid::from_u128(id), outcome, value_micros, occurred_at } }
}

async fn the_newest_outcome_of_a_conversation_holds(backend: Backend) {
    let store = backend.store(&[]).await;
    let of = |id: &str| made(json!({"conversation_id": id, "appointment_requested": true}), start());
    keep(&store, &[of("one"), of("two")]).await;
    let post = async |new: NewOutcome| store.post_outcomes(&[new], real_now()).await.unwrap()[0];
    let state = "select booked || ' ' || kept || ' ' || cancelled || ' ' || no_show || ' ' || dropped || ' '
        || value_booked_micros || ' ' || value_kept_micros from mlops_conversation_daily where conversations <> 0";
    assert_eq!(backend.texts(state).await, ["0 0 0 0 2 0 0"]);
    assert_eq!(post(outcome(1, "one", Outcome::Booked, 1, Some(120))).await, Posting::Recorded);
    assert_eq!(backend.texts(state).await, ["1 0 0 0 1 120000000 0"]);
    assert_eq!(post(outcome(2, "one", Outcome::Kept, 9, None)).await, Posting::Recorded);
    assert_eq!(backend.texts(state).await, ["1 1 0 0 1 120000000 120000000"]);
    assert_eq!(post(outcome(2, "one", Outcome::Kept, 9, None)).await, Posting::Duplicate);
    assert_eq!(post(outcome(3, "one", Outcome::Cancelled, 5, None)).await, Posting::Recorded, "older");
    assert_eq!(backend.texts(state).await, ["1 1 0 0 1 120000000 120000000"]);
    assert_eq!(post(outcome(4, "two", Outcome::NoShow, 5, None)).await, Posting::Recorded);
    assert_eq!(backend.texts(state).await, ["2 1 0 1 0 120000000 120000000"]);
    keep(&store, &[of("two")]).await;
    assert_eq!(backend.texts(state).await, ["2 1 0 1 0 120000000 120000000"], "an event changes no outcome");
    assert_eq!(backend.number("select count(*) from mlops_outcome_daily where outcomes <> 0").await, 0);
}

async fn an_outcome_joins_its_conversation_when_an_event_comes(backend: Backend) {
    let store = backend.store(&[]).await;
    let outcomes =
        [outcome(1, "late", Outcome::Booked, 1, Some(50)), outcome(2, "late", Outcome::Kept, 2, None)];
    let posted = store.post_outcomes(&outcomes, real_now()).await.unwrap();
    assert_eq!(posted, [Posting::Recorded; 2]);
    let waiting = "select cast(coalesce(sum(outcomes), 0) as bigint) from mlops_outcome_daily";
    assert_eq!(backend.number(waiting).await, 2);
    keep(&store, &[made(json!({"conversation_id": "late"}), start())]).await;
    assert_eq!(backend.number(waiting).await, 0);
    let state = "select cast(coalesce(sum(kept), 0) as bigint) from mlops_conversation_daily";
    assert_eq!(backend.number(state).await, 1);
    let totals =
        "select label || ' ' || amount from mlops_fact_totals where kind = 'outcomes' order by label";
    assert_eq!(backend.texts(totals).await, ["booked 1", "kept 1"]);
}

async fn an_error_alone_is_no_handoff(backend: Backend) {
    let store = backend.store(&[]).await;
    let with = |id: &str, response_type: &str| {
        let changes =
            json!({"conversation_id": id, "response_type": response_type, "human_handoff_requested": true});
        made(changes, start())
    };
    keep(&store, &[with("a", "error"), with("b", "text")]).await;
    assert_eq!(
        backend
            .number("select cast(coalesce(sum(handoffs), 0) as bigint) from mlops_conversation_daily")
            .await,
        1
    );
    assert_eq!(
        backend
            .number("select cast(coalesce(sum(contained), 0) as bigint) from mlops_conversation_daily")
            .await,
        0
    );
    assert_eq!(backend.number("select cast(coalesce(sum(errors), 0) as bigint) from mlops_hourly").await, 1);
}

async fn absurd_costs_of_one_business_stop_nothing(backend: Backend) {
    let store = backend.store(&[]).await;
    let most = json!({"model_name": "gpt-4o", "prompt_tokens": i32::MAX, "completion_tokens": i32::MAX});
    keep(&store, &[made(most.clone(), start())]).await;
    backend.execute("update mlops_cost_daily set computed_nanos = 4000000000000000000").await;
    backend
        .execute("update mlops_fact_totals set amount = 4000000000000000000 where kind = 'computed_nanos'")
        .await;
    keep(&store, &[made(most, start()), made(json!({"business_id": "other"}), start())]).await;
    assert_eq!(backend.number("select cast(coalesce(sum(answers), 0) as bigint) from mlops_hourly").await, 3);
}
