//! The store, on both databases.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use mlops_service::audit::{Action, Actor, Entry};
use mlops_service::auth::key::{KeyId, NamedKey, PlainKey, Previous, Scopes, SecretHash, Status};
use mlops_service::business::Profiles;
use mlops_service::event::{Event, Report};
use mlops_service::rollup::{Key, Rollup, Sum, Sums};
use mlops_service::store::{CountedRollup, DayRange, Store, StoreError, WriteOutcome};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::harness::{Backend, event, insert_as_the_app, on_every_backend, real_now};

on_every_backend! { partitioned:
    a_batch_adds_up_to_its_rollup,
    a_large_batch_of_many_keys_adds_up_too,
    what_another_merges_is_merged_once,
    totals_are_those_of_the_moment_at_which_reading_them_begins,
    a_repeated_id_is_stored_once,
    an_id_names_an_event_within_its_business,
    the_row_of_the_app_becomes_the_event,
    a_counted_row_of_the_app_becomes_the_event_without_being_counted_again,
    one_row_of_the_app_is_claimed_once,
    an_old_row_of_the_app_is_not_claimed,
    a_row_that_differs_is_not_claimed,
    foreign_rows_are_counted_once_and_never_below_zero,
    odd_foreign_rows_are_counted_too,
    many_foreign_rows_are_counted_in_steps,
    a_summary_covers_whole_days_of_the_time_zone,
    the_newest_success_rate_is_kept,
    numbers_come_back_exactly,
    a_key_comes_back_as_it_was_kept,
    a_secret_is_replaced_until_the_key_is_revoked_for_good,
    uses_of_keys_are_noted_and_never_go_back,
    a_key_that_cannot_be_read_hides_no_other,
}

fn made(changes: serde_json::Value, at: DateTime<Utc>) -> Event {
    Report::parse(event(changes).to_string().as_bytes()).unwrap().into_event(None, at).unwrap()
}

/// Longer than a write takes.
const LIMIT: Duration = Duration::from_secs(10);

/// Writes events as the ingest task does.
async fn keep(store: &Store, events: &[Event]) -> Vec<WriteOutcome> {
    store.write(events, false, LIMIT).await.unwrap().outcomes
}

/// Writes events that may be stored already.
async fn keep_again(store: &Store, events: &[Event]) -> Vec<WriteOutcome> {
    store.write(events, true, LIMIT).await.unwrap().outcomes
}

async fn totals(store: &Store) -> BTreeMap<Key, Sums> {
    totals_beside(store, &[]).await
}

/// The totals, read by who knows what some pending rows add up to.
async fn totals_beside(store: &Store, counted: &[Arc<CountedRollup>]) -> BTreeMap<Key, Sums> {
    let mut totals: BTreeMap<Key, Sums> = BTreeMap::new();
    let add = |key: &Key, sums: &Sums| totals.entry(key.clone()).or_default().add(sums);
    store.totals(counted, drop, add).await.unwrap();
    totals
}

async fn newest_pending(store: &Store) -> i64 {
    let mut pending = 0;
    store.totals(&[], |newest| pending = newest, |_, _| {}).await.unwrap();
    pending
}

/// The sums of the only key there is.
async fn only_sums(store: &Store) -> Sums {
    let mut totals = totals(store).await.into_values();
    totals.next().filter(|_| totals.next().is_none()).expect("one key")
}

async fn assert_totals(store: &Store, events: &[Event]) {
    let expected = Rollup::of(events, &Profiles::in_zone(chrono_tz::UTC));
    let found = totals(store).await;
    assert_eq!(
        found.iter().map(|(key, sums)| (key, sums.clone())).collect::<BTreeMap<_, _>>(),
        expected.totals()
    );
}

/// Events of several businesses, models and kinds, some with the least and some with the most that a field may be.
fn varied(at: DateTime<Utc>) -> Vec<Event> {
    let mut events: Vec<Event> = (0..200_usize)
        .map(|i| {
            let intent = ["a", "b"][i % 5 / 3];
            let response_type = ["booking", "error"][i % 7 / 5];
            let response_time_ms = [0, 1, 100, 101, 999, 5_000, 10_001][i % 7];
            let success_rate = [0.0, 0.5, 1.0][i % 3];
            let i = u32::try_from(i).unwrap();
            let changes = json!({
                "business_id": format!("b{}", i % 3), "model_name": format!("m{}", i % 2),
                "intent_detected": intent, "response_type": response_type, "session_id": format!("s{i}"),
                "response_time_ms": response_time_ms, "tokens_used": i, "api_cost_usd": f64::from(i) / 1e6,
                "success_rate": success_rate, "appointment_booked": i % 4 == 0,
                "human_handoff_requested": i % 6 == 0,
            });
            made(changes, at + TimeDelta::milliseconds(i.into()))
        })
        .collect();
    let most = 2_147_483_647;
    events.push(made(
        json!({"response_time_ms": most, "tokens_used": most, "prompt_tokens": most, "completion_tokens": most,
               "api_cost_usd": 9_999.999_999, "user_message_length": most, "ai_response_length": most,
               "cached_tokens": most, "reasoning_tokens": most, "handoff_reason": "🦀".repeat(50), "user_satisfaction": 1,
               "business_id": "ü".repeat(255), "conversation_id": "🦀".repeat(255), "session_id": "s".repeat(255),
               "model_name": "m".repeat(100), "intent_detected": "i".repeat(50), "response_type": "r".repeat(50)}),
        at,
    ));
    events.push(made(json!({"success_rate": null, "conversation_id": null, "prompt_tokens": null}), at));
    events
}

async fn a_batch_adds_up_to_its_rollup(backend: Backend) {
    assert_adds_up(&backend, &varied(real_now())).await;
}

/// So large that Postgres gets it in several statements, and SQLite in several of each size.
async fn a_large_batch_of_many_keys_adds_up_too(backend: Backend) {
    let event = |i: i64| {
        let changes = json!({"business_id": format!("business-{}", i % 300), "response_time_ms": i * 7,
                             "session_id": format!("session-{i}"), "prompt_tokens": null});
        made(changes, real_now())
    };
    assert_adds_up(&backend, &(0..700).map(event).collect::<Vec<_>>()).await;
}

async fn assert_adds_up(backend: &Backend, events: &[Event]) {
    let store = backend.store(&[]).await;
    let expected = Rollup::of(events, &Profiles::in_zone(chrono_tz::UTC));
    let written = store.write(events, false, LIMIT).await.unwrap();
    assert_eq!(written.outcomes, vec![WriteOutcome::Counted; events.len()]);
    assert_eq!(written.counted.rollup, expected);
    assert_now(backend, &store, events).await;
    assert!(store.merge_rollup(&written.counted).await.unwrap());
    assert_now(backend, &store, events).await;
    assert_merged(backend, &expected).await;
    let is_pending = !written.counted.pending.is_empty();
    assert_eq!(store.merge_rollup(&written.counted).await.unwrap(), !is_pending, "nothing is merged twice");
    assert_now(backend, &store, events).await;
}

/// What counts is merged in part by somebody else, and the rest by whoever finds it.
async fn what_another_merges_is_merged_once(backend: Backend) {
    let store = backend.store(&[]).await;
    let events: Vec<Event> = (0..6).map(|i| made(json!({"response_time_ms": i}), real_now())).collect();
    let mut counted = CountedRollup::default();
    for event in &events {
        counted.add(store.write(slice::from_ref(event), false, LIMIT).await.unwrap().counted);
    }
    let counted = [Arc::new(counted)];
    let newest = newest_pending(&store).await;
    assert_eq!(totals_beside(&store, &counted).await, totals(&store).await);
    if store.merge_leftover_rollups(newest - 1, 2).await.unwrap() {
        assert_now(&backend, &store, &events).await;
        assert_eq!(totals_beside(&store, &counted).await, totals(&store).await);
        assert!(!store.merge_rollup(&counted[0]).await.unwrap());
    }
    assert_now(&backend, &store, &events).await;
    while store.merge_leftover_rollups(newest - 1, 3).await.unwrap() {}
    assert_eq!(newest_pending(&store).await, newest, "a newer one is left alone");
    while store.merge_leftover_rollups(newest, 3).await.unwrap() {}
    assert_now(&backend, &store, &events).await;
    assert_merged(&backend, &Rollup::of(&events, &Profiles::in_zone(chrono_tz::UTC))).await;
}

async fn totals_are_those_of_the_moment_at_which_reading_them_begins(backend: Backend) {
    let store = backend.store(&[]).await;
    let events: Vec<Event> = (0..9).map(|_| made(json!({}), real_now())).collect();
    let (before, later) = events.split_at(4);
    keep(&store, before).await;
    let mut counted = 0;
    let write_more = |_newest| block_in_place(|| drop(Handle::current().block_on(keep(&store, later))));
    store.totals(&[], write_more, |_, sums| counted += sums[Sum::Events]).await.unwrap();
    assert_eq!(counted, 4);
    assert_totals(&store, &events).await;
}

/// Readers see all of it, merged or not.
async fn assert_now(backend: &Backend, store: &Store, events: &[Event]) {
    assert_totals(store, events).await;
    let counts = [
        ("select sum(events) from ai_rollup_daily_now", events.len()),
        ("select sum(events) from ai_latency_daily_now", events.len()),
        ("select count(*) from ai_metrics where event_id is not null", events.len()),
    ];
    assert_counts(backend, &counts).await;
}

/// Each key has one row, and its latencies theirs.
async fn assert_merged(backend: &Backend, expected: &Rollup) {
    let counts = [
        ("select count(*) from ai_rollup_daily", expected.daily.len()),
        ("select count(*) from ai_rollup_daily_now", expected.daily.len()),
        ("select count(*) from ai_totals", expected.totals().len()),
        ("select count(*) from ai_latency_daily", expected.latency.len()),
    ];
    assert_counts(backend, &counts).await;
    let mut found =
        backend.texts("select concat_ws(' ', day, business_id, bucket, events) from ai_latency_daily").await;
    let latency = expected.latency.iter();
    let mut latencies: Vec<String> = latency
        .map(|((day, business, bucket), events)| format!("{day} {business} {bucket} {events}"))
        .collect();
    found.sort();
    latencies.sort();
    assert_eq!(found, latencies);
}

async fn assert_counts(backend: &Backend, counts: &[(&str, usize)]) {
    for (sql, count) in counts {
        assert_eq!(backend.number(sql).await, i64::try_from(*count).unwrap(), "{sql}");
    }
}

async fn a_repeated_id_is_stored_once(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    let named = |id: u32| made(json!({"event_id": format!("8e03978e-40d5-43dd-bc93-{id:012x}")}), now);
    assert_eq!(keep(&store, &[named(1), named(2)]).await, [WriteOutcome::Counted; 2]);
    let again = keep(&store, &[named(2), named(3), named(1)]).await;
    assert_eq!(again, [WriteOutcome::Duplicate, WriteOutcome::Counted, WriteOutcome::Duplicate]);
    assert_eq!(backend.rows().await, 3);
    assert_totals(&store, &[named(1), named(2), named(3)]).await;
}

async fn an_id_names_an_event_within_its_business(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    let of = |business: &str| {
        let id = "8e03978e-40d5-43dd-bc93-000000000001";
        made(json!({"event_id": id, "business_id": business}), now)
    };
    assert_eq!(keep(&store, &[of("acme"), of("bolt")]).await, [WriteOutcome::Counted; 2]);
    assert_eq!(keep(&store, &[of("cafe")]).await, [WriteOutcome::Counted]);
    let again = keep(&store, &[of("bolt"), of("dove"), of("acme")]).await;
    assert_eq!(again, [WriteOutcome::Duplicate, WriteOutcome::Counted, WriteOutcome::Duplicate]);
    assert_eq!(backend.rows().await, 4);
    insert_as_the_app(&backend, "s-1", 0).await;
    let mixed = keep(&store, &[of("cafe"), of("eden"), made(json!({}), now)]).await;
    assert_eq!(
        mixed,
        [WriteOutcome::Duplicate, WriteOutcome::Counted, WriteOutcome::Counted],
        "one claims the app's row"
    );
    assert_eq!(backend.rows().await, 6);
}

async fn the_row_of_the_app_becomes_the_event(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    let reported = made(json!({}), real_now());
    assert_eq!(keep(&store, slice::from_ref(&reported)).await, [WriteOutcome::Counted]);
    assert!(!store.count_foreign_rows(real_now()).await.unwrap().more);
    assert_eq!(backend.rows().await, 1);
    assert_totals(&store, slice::from_ref(&reported)).await;
    assert_eq!(
        keep_again(&store, &[reported]).await,
        [WriteOutcome::Duplicate],
        "the row has the event's id"
    );
}

async fn a_counted_row_of_the_app_becomes_the_event_without_being_counted_again(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    store.count_foreign_rows(real_now()).await.unwrap();
    let reported = made(json!({}), real_now());
    assert_eq!(keep(&store, slice::from_ref(&reported)).await, [WriteOutcome::Claimed]);
    assert_eq!(backend.rows().await, 1);
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 1);
    assert_eq!(keep_again(&store, &[reported]).await, [WriteOutcome::Duplicate]);
    store.count_foreign_rows(real_now()).await.unwrap();
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 1);
}

async fn one_row_of_the_app_is_claimed_once(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    insert_as_the_app(&backend, "s-1", 1).await;
    let now = real_now();
    let equal = [made(json!({}), now), made(json!({}), now), made(json!({}), now)];
    assert_eq!(keep(&store, &equal).await, [WriteOutcome::Counted; 3]);
    assert_eq!(backend.rows().await, 3, "two were there, one was inserted");
    assert_totals(&store, &equal).await;
}

async fn an_old_row_of_the_app_is_not_claimed(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 11).await;
    insert_as_the_app(&backend, "s-2", 11).await;
    keep(&store, &[made(json!({}), real_now())]).await;
    store.count_foreign_rows(real_now()).await.unwrap();
    let late = keep(&store, &[made(json!({"session_id": "s-2"}), real_now())]).await;
    assert_eq!(late, [WriteOutcome::Counted]);
    assert_eq!(backend.rows().await, 4);
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 4);
}

async fn a_row_that_differs_is_not_claimed(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    let now = real_now();
    let others = [
        made(json!({"business_id": "bolt"}), now),
        made(json!({"session_id": "s-2"}), now),
        made(json!({"response_time_ms": 151}), now),
        made(json!({"tokens_used": 76}), now),
    ];
    keep(&store, &others).await;
    assert_eq!(backend.rows().await, 5);
}

async fn foreign_rows_are_counted_once_and_never_below_zero(backend: Backend) {
    let store = backend.store(&[]).await;
    backend
        .execute(
            "insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used, prompt_tokens,
                api_cost_usd, model_name, intent_detected, appointment_requested, user_message_length,
                ai_response_length, response_type, created_at, tokens_estimated, cached_tokens, user_satisfaction)
             values ('acme', 's', -5, -1, -7, -1, -0.5, 'm', 'i', null, -1, -1, 'r', null, null, -1, -1),
                    ('acme', 's', 2500, 0.25, 10, null, 0.1, 'm', 'i', true, 1, 1, 'r', '2024-02-29 23:59:59', true, 3, 0.5)",
        )
        .await;
    for _ in 0..2 {
        assert!(!store.count_foreign_rows(real_now()).await.unwrap().more);
        let sums = only_sums(&store).await;
        assert_eq!((sums[Sum::Events], sums[Sum::ResponseTimeMs], sums[Sum::Tokens]), (2, 2_500, 10));
        assert_eq!((sums[Sum::CostMicros], sums[Sum::SuccessE4]), (100_000, 2_500));
        assert_eq!(sums[Sum::AppointmentsRequested], 1);
    }
    assert_eq!(backend.number("select events from ai_rollup_daily_now where day = '2024-02-29'").await, 1);
}

async fn odd_foreign_rows_are_counted_too(backend: Backend) {
    let store = backend.store(&[]).await;
    let odd = match backend.is_postgres() {
        true => [
            "1, 'NaN', 'NaN', 'infinity', 'NaN'",
            "1, 1, 0, '-infinity', 9.9",
            "1, 1, 0, '0044-03-15 BC', null",
        ],
        false => [
            "1.5, 'x', 1e99, 'yesterday', 'much'",
            "9e18, 1, 0, 1700000000, 9e18",
            "'many', null is null, x'00', x'ff', x'00'",
        ],
    };
    for values in odd {
        let insert = format!(
            "insert into ai_metrics (business_id, session_id, user_message_length, ai_response_length, tokens_used,
                model_name, intent_detected, response_type, response_time_ms, success_rate, api_cost_usd, created_at,
                user_satisfaction)
             values ('acme', 's', 1, 1, 1, 'm', 'i', 'r', {values})"
        );
        backend.execute(&insert).await;
    }
    assert!(!store.count_foreign_rows(real_now()).await.unwrap().more);
    let sums = only_sums(&store).await;
    assert_eq!((sums[Sum::Events], sums[Sum::Tokens]), (3, 3));
    assert_eq!(backend.number("select count(*) from ai_metrics where event_id is null").await, 0);
}

async fn many_foreign_rows_are_counted_in_steps(backend: Backend) {
    let store = backend.store(&[]).await;
    backend
        .execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 4500)
             insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used, api_cost_usd,
                model_name, intent_detected, user_message_length, ai_response_length, response_type)
             select 'acme', 's', i, 1, 1, 0, 'm', 'i', 1, 1, 'r' from n",
        )
        .await;
    let mut steps = 1;
    while store.count_foreign_rows(real_now()).await.unwrap().more {
        steps += 1;
    }
    assert_eq!(steps, 3);
    let sums = only_sums(&store).await;
    assert_eq!((sums[Sum::Events], sums[Sum::ResponseTimeMs]), (4_500, 4_500 * 4_501 / 2));
}

async fn a_summary_covers_whole_days_of_the_time_zone(backend: Backend) {
    let store = backend.store(&[("TIME_ZONE", "America/New_York")]).await;
    let now: DateTime<Utc> = "2026-03-10T03:00:00Z".parse().unwrap();
    let hours = |hours: i64| made(json!({"session_id": format!("{hours}")}), now - TimeDelta::hours(hours));
    // In New York it is the evening of the 9th: this is the 9th, the 8th, and the 8th of February.
    let events = [hours(1), hours(30), hours(29 * 24)];
    assert_eq!(keep(&store, &events).await, [WriteOutcome::Counted; 3]);
    let to = store.profiles().current().day("acme", now);
    let last = |days: u64| DayRange { from: to - Days::new(days - 1), to };
    for (days, events) in [(1, 1), (2, 2), (29, 2), (30, 3), (366, 3)] {
        assert_eq!(store.summary("acme", last(days)).await.unwrap().events, events, "{days} days");
    }
    let yesterday = DayRange { to: to - Days::new(1), ..last(2) };
    assert_eq!(store.summary("acme", yesterday).await.unwrap().events, 1, "without the last day");
    assert_eq!(store.summary("nobody", last(30)).await.unwrap().events, 0);
}

async fn the_newest_success_rate_is_kept(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    let rated =
        |rate: Option<f64>, seconds| made(json!({"success_rate": rate}), now + TimeDelta::seconds(seconds));
    keep(&store, &[rated(Some(0.123_456), 2), rated(Some(0.9), 1), rated(None, 3)]).await;
    keep(&store, &[rated(Some(0.8), 0), rated(None, 9)]).await;
    let sums = only_sums(&store).await;
    assert_eq!(sums.last_success.map(|last| last.rate), Some(0.123_456));
}

async fn numbers_come_back_exactly(backend: Backend) {
    let store = backend.store(&[]).await;
    let rate = made(json!({"api_cost_usd": 9_999.999_999, "success_rate": 0.1234}), real_now());
    keep(&store, &[rate]).await;
    let exact = "select count(*) from ai_metrics where api_cost_usd = 9999.999999 and success_rate = 0.1234
                 and prompt_tokens = 50 and completion_tokens = 25 and user_message_length = 42
                 and ai_response_length = 120 and conversation_id = 'c-1' and appointment_requested
                 and not appointment_booked and not human_handoff_requested";
    assert_eq!(backend.number(exact).await, 1);
}

/// A key in whole seconds, as the store keeps them.
fn named_key(id: u64) -> NamedKey {
    let at = |seconds: i64| DateTime::from_timestamp(1_767_000_000 + seconds, 0).unwrap();
    NamedKey {
        id: KeyId(id),
        name: "receptionist of Acmé".to_owned(),
        scopes: Scopes::of_one_business(),
        business_id: Some("acme-123".to_owned()),
        tier: Some("paid".to_owned()),
        created_at: at(0),
        expires_at: Some(at(1_000)),
        hash: PlainKey::generate().hash(),
        ..NamedKey::placeholder()
    }
}

fn key_entry() -> Entry {
    Actor::service().entry(Action::KeyCreated)
}

async fn a_key_comes_back_as_it_was_kept(backend: Backend) {
    let store = backend.store(&[]).await;
    let bound = named_key(7);
    let free = NamedKey { business_id: None, tier: None, expires_at: None, ..named_key(u64::MAX) };
    for key in [&bound, &free] {
        store.add_key(key, real_now(), &key_entry()).await.unwrap();
        assert_eq!(store.key(key.id).await.unwrap().as_ref(), Some(key));
    }
    assert_eq!(store.key(KeyId(8)).await.unwrap(), None);
    let all: Vec<NamedKey> = store.keys().await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(all, [bound.clone(), free]);
    assert!(matches!(store.add_key(&bound, real_now(), &key_entry()).await, Err(StoreError::Conflict(_))));
}

async fn a_secret_is_replaced_until_the_key_is_revoked_for_good(backend: Backend) {
    let store = backend.store(&[]).await;
    let key = named_key(7);
    store.add_key(&key, real_now(), &key_entry()).await.unwrap();
    let (hash, until) = (SecretHash([1; 32]), key.created_at + TimeDelta::hours(24));
    let replaced =
        store.replace_secret(key.id, hash, until, real_now(), &key_entry()).await.unwrap().unwrap();
    let previous = Some(Previous { hash: key.hash, until });
    assert_eq!(replaced, NamedKey { hash, previous, ..key.clone() });
    let newest = store
        .replace_secret(key.id, SecretHash([2; 32]), until, real_now(), &key_entry())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(newest.previous.unwrap().hash, hash, "one secret has a grace, not two");
    let revoked = store.revoke_key(key.id, false, until, |_| key_entry()).await.unwrap().remove(0);
    assert_eq!((revoked.revoked_at, revoked.status(key.created_at)), (Some(until), Status::Revoked));
    assert_eq!(
        store.revoke_key(key.id, false, until + TimeDelta::hours(1), |_| key_entry()).await.unwrap(),
        []
    );
    assert_eq!(store.replace_secret(key.id, hash, until, real_now(), &key_entry()).await.unwrap(), None);
    assert_eq!(store.key(key.id).await.unwrap(), Some(revoked));
    assert_eq!(store.revoke_key(KeyId(8), false, until, |_| key_entry()).await.unwrap(), []);
}

async fn uses_of_keys_are_noted_and_never_go_back(backend: Backend) {
    let store = backend.store(&[]).await;
    let keys = [named_key(7), named_key(8)];
    for key in &keys {
        store.add_key(key, real_now(), &key_entry()).await.unwrap();
    }
    let at = |seconds| keys[0].created_at + TimeDelta::seconds(seconds);
    let noted = async |uses: &[(KeyId, DateTime<Utc>)]| {
        store.record_key_uses(uses).await.unwrap();
        let keys = store.keys().await.unwrap().into_iter();
        keys.map(|key| key.unwrap().last_used_at).collect::<Vec<_>>()
    };
    assert_eq!(noted(&[]).await, [None, None]);
    let first = [(KeyId(7), at(60)), (KeyId(8), at(61)), (KeyId(9), at(62))];
    assert_eq!(noted(&first).await, [Some(at(60)), Some(at(61))], "a key that is gone is passed over");
    assert_eq!(noted(&[(KeyId(7), at(59)), (KeyId(8), at(120))]).await, [Some(at(60)), Some(at(120))]);
}

async fn a_key_that_cannot_be_read_hides_no_other(backend: Backend) {
    let store = backend.store(&[]).await;
    for id in 1..=4 {
        store.add_key(&named_key(id), real_now(), &key_entry()).await.unwrap();
    }
    backend.execute("update mlops_api_keys set secret_hash = '00' where id like '%1'").await;
    backend.execute("update mlops_api_keys set id = 'none' where id like '%2'").await;
    let endless = if backend.is_postgres() { "infinity" } else { "9999-12-31T00:00:00+00:00" };
    let endless = format!("update mlops_api_keys set expires_at = '{endless}' where id like '%3'");
    backend.execute(&endless).await;
    let (read, unreadable): (Vec<_>, Vec<_>) =
        store.keys().await.unwrap().into_iter().partition(Result::is_ok);
    let read: Vec<NamedKey> = read.into_iter().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|key| key.id.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(read[0].status(real_now()), Status::Active);
    assert!(
        unreadable.iter().all(|row| matches!(row, Err(StoreError::Unreadable(_)))) && unreadable.len() == 2
    );
    assert!(matches!(store.key(KeyId(1)).await, Err(StoreError::Unreadable(_))));
}
