//! The figures that pages show and the API does not return, on both databases.

use std::collections::HashMap;

use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use mlops_service::analytics::list::{ListPage, ListQuery, Row, Sort, rows};
use mlops_service::analytics::{
    BusinessPage, CostByModel, Ends, NotableFigure, NotableValue, Period, PeriodQuery, PrivacyRequests, Rate,
    StatementMonth, Usd, business_page, statement,
};
use mlops_service::app::last_known::Shown;
use mlops_service::audit::{Action, Actor};
use mlops_service::business::{Profile, Profiles};
use mlops_service::clock::start_of;
use mlops_service::privacy::subject::SubjectHash;
use mlops_service::store::{Completion, Request, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::{forget_facts, plant_facts};
use crate::harness::{Backend, TestApp, event, on_every_backend};

on_every_backend! {
    conversations_of_a_day_are_parted_by_how_they_ended,
    costs_of_a_day_are_parted_by_model,
    costs_of_closed_days_are_read_again_when_they_change,
    rows_of_the_list_have_cost_change_and_days,
    rows_are_searched_by_name_and_id,
    what_changed_most_is_told_unless_it_is_noise,
    a_statement_has_the_month_and_the_requests_completed_in_it,
    while_the_store_is_away_the_last_figures_are_shown_with_their_time,
}

fn today(app: &TestApp) -> NaiveDate {
    app.now().date_naive()
}

/// Waits for the middle of a day: the clock of the test may be at the end of one.
fn at_noon(app: &TestApp) {
    let noon = today(app) + Days::new(1);
    app.pass(noon.and_hms_opt(12, 0, 0).unwrap().and_utc() - app.now());
}

fn last_days(app: &TestApp, days: u16) -> Period {
    Period::of_days(days, today(app))
}

async fn page_of(app: &TestApp, own: Option<&str>, days: u16) -> Result<Shown<BusinessPage>, StoreError> {
    business_page(&app.app, own, "acme", &last_days(app, days)).await
}

async fn conversations_of_a_day_are_parted_by_how_they_ended(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    let answer = |conversation: &str, handoff: bool, kind: &str| json!({"conversation_id": conversation, "human_handoff_requested": handoff, "response_type": kind});
    for changes in [
        answer("alone", false, "text"),
        answer("alone", false, "text"),
        answer("person", true, "text"),
        answer("error", false, "error"),
        answer("both", false, "error"),
        answer("both", true, "text"),
        // A handoff for an error is an error.
        answer("failed", true, "error"),
    ] {
        app.track(&event(changes)).await.ok();
    }
    let page = page_of(&app, None, 2).await.unwrap();
    let series = page.value.report.series.as_ref().unwrap();
    assert_eq!(series[1].ends, Some(Ends { contained: 1, handoffs: 2, errors: 2 }));
    assert_eq!((series[1].conversations, series[0].ends), (Some(5), Some(Ends::default())));
    backend.execute(&format!("update mlops_rebuild set below = 1, known_from = '{}'", today(&app))).await;
    let page = page_of(&app, None, 2).await.unwrap();
    assert_eq!(page.value.report.series.as_ref().unwrap()[0].ends, None, "not known");
}

async fn costs_by_model(app: &TestApp, days: u16) -> CostByModel {
    page_of(app, None, days).await.unwrap().value.cost_by_model.clone()
}

async fn spend(app: &TestApp, model: &str, cost: f64) {
    app.track(&event(json!({"model_name": model, "api_cost_usd": cost}))).await.ok();
}

/// Amounts in thousandths of a dollar.
fn amounts(thousandths: &[i64]) -> Vec<Usd> {
    thousandths.iter().map(|amount| Usd::from_micros(amount * 1_000)).collect()
}

async fn costs_of_a_day_are_parted_by_model(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    assert_eq!(costs_by_model(&app, 1).await.models, Vec::<String>::new());
    for (model, cost) in [("a", 0.007), ("b", 0.006), ("c", 0.005), ("d", 0.004), ("e", 0.003), ("f", 0.002)]
    {
        spend(&app, model, cost).await;
    }
    app.pass(TimeDelta::days(1));
    for (model, cost) in [("b", 0.006), ("g", 0.001)] {
        spend(&app, model, cost).await;
    }
    // A model with a price and no reported cost: what is computed counts.
    let priced =
        event(json!({"model_name": "gemini-1.5-flash", "prompt_tokens": 100_000_000, "completion_tokens": 0,
                              "tokens_used": 100_000_000, "api_cost_usd": 0}));
    app.track(&priced).await.ok();
    for _ in 0..2 {
        let costs = costs_by_model(&app, 2).await;
        assert_eq!(costs.models, ["gemini-1.5-flash", "b", "a", "c", "d"]);
        assert_eq!(costs.days[0].models, amounts(&[0, 6, 7, 5, 4]));
        assert_eq!((costs.days[0].others, costs.has_others), (amounts(&[5])[0], true));
        assert_eq!(costs.days[1].models[1..], amounts(&[6, 0, 0, 0]));
        assert_eq!(costs.days[1].others, amounts(&[1])[0]);
        assert!(costs.days[1].models[0] > amounts(&[1_000])[0], "{costs:?}");
        assert_eq!((costs.days[0].unfinished, costs.days[1].unfinished), (false, true));
        let page = page_of(&app, None, 2).await.unwrap();
        let series = page.value.report.series.as_ref().unwrap();
        for (day, of_day) in costs.days.iter().zip(series) {
            let sum = day.models.iter().fold(day.others, |sum, cost| sum + *cost);
            assert_eq!((day.day.to_string(), sum), (of_day.day.clone(), of_day.cost_usd));
        }
    }
}

async fn costs_of_closed_days_are_read_again_when_they_change(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    spend(&app, "a", 0.002).await;
    app.pass(TimeDelta::days(1));
    for _ in 0..2 {
        assert_eq!(costs_by_model(&app, 2).await.days[0].models, amounts(&[2]));
    }
    // An event that was spooled then arrives now.
    app.pass(TimeDelta::days(-1));
    spend(&app, "b", 0.004).await;
    app.pass(TimeDelta::days(1));
    let costs = costs_by_model(&app, 2).await;
    assert_eq!(
        (costs.models, &costs.days[0].models),
        (vec!["b".to_owned(), "a".to_owned()], &amounts(&[4, 2]))
    );
}

async fn listed(app: &TestApp, change: impl FnOnce(&mut ListQuery<'_>)) -> Shown<ListPage<Row>> {
    let period = last_days(app, 3);
    let mut query = ListQuery {
        period: &period,
        sort: Sort::Name,
        search: "",
        after: None,
        skip: 0,
        limit: 10,
        own: None,
    };
    change(&mut query);
    rows(&app.app, query).await.unwrap()
}

fn ids(page: &ListPage<Row>) -> Vec<&str> {
    page.businesses.iter().map(|row| row.listed.business_id.as_str()).collect()
}

async fn rows_of_the_list_have_cost_change_and_days(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    app.track(&event(json!({"api_cost_usd": 0.003}))).await.ok();
    forget_facts(&app, &backend).await;
    let day = |ago: u64| today(&app) - Days::new(ago);
    // Today is left out of the change, and so is the day that it would be compared with.
    for (ago, conversations) in [(0, 40), (1, 6), (2, 5), (7, 100), (8, 3), (9, 2), (10, 50)] {
        plant_facts(&backend, "acme", day(ago), &[("conversations", conversations)]).await;
    }
    plant_facts(&backend, "bolt", day(1), &[("conversations", 1)]).await;
    backend
        .execute(&format!(
            "insert into mlops_cost_daily values ('acme', '{}', 'm', 1, 0, 1, 4000000, 1, 4000000, 0, 0, 0, 0)",
            day(2)
        ))
        .await;
    let page = listed(&app, |_| ()).await.value;
    let acme = page.businesses.iter().find(|row| row.listed.business_id == "acme").unwrap();
    assert_eq!(acme.cost_usd, amounts(&[7])[0]);
    assert_eq!(acme.change, Some(Rate::change(11, 5)));
    assert_eq!(acme.days, [Some(5), Some(6), Some(40)]);
    assert_eq!((acme.listed.conversations, page.matches), (Some(51), page.businesses.len()));
    for own in ["acme", "quiet"] {
        let page = listed(&app, |query| query.own = Some(own)).await.value;
        assert_eq!((ids(&page), page.matches), (vec![own], 1));
        assert_eq!(page.businesses[0].days.len(), 3);
    }
    backend.execute(&format!("update mlops_rebuild set below = 1, known_from = '{}'", day(1))).await;
    let page = listed(&app, |query| query.own = Some("acme")).await.value;
    assert_eq!(
        (&page.businesses[0].change, &page.businesses[0].days),
        (&None, &vec![None, Some(6), Some(40)])
    );
}

async fn rows_are_searched_by_name_and_id(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for id in ["north-1", "north-2", "south"] {
        app.track(&event(json!({"business_id": id}))).await.ok();
    }
    let named = |name: &str| Profile { name: Some(name.to_owned()), ..Profile::default() };
    let profiles = [("south", named("Zahnärzte NORD")), ("p", named("Only a profile"))];
    let profiles = profiles.into_iter().map(|(id, profile)| (id.to_owned(), profile));
    app.app.store.profiles().replace(Profiles::new(Tz::UTC, profiles.collect::<HashMap<_, _>>()));
    for (search, expected) in [
        ("", vec!["north-1", "north-2", "p", "south"]),
        ("NOR", vec!["north-1", "north-2", "south"]),
        (" zahnÄrzte ", vec!["south"]),
        ("sou", vec!["south"]),
        ("profile", vec!["p"]),
        ("%", vec![]),
        ("nobody", vec![]),
    ] {
        let page = listed(&app, |query| query.search = search).await.value;
        assert_eq!((ids(&page), page.matches), (expected.clone(), expected.len()), "{search}");
    }
    let page = listed(&app, |query| (query.search, query.skip, query.limit) = ("nor", 1, 1)).await.value;
    assert_eq!((ids(&page), page.matches, page.next.is_some()), (vec!["north-2"], 3, true));
    let page = listed(&app, |query| query.skip = 9).await.value;
    assert_eq!((ids(&page), page.matches, page.next.is_some()), (vec![], 4, false));
    let page = listed(&app, |query| (query.search, query.own) = ("nor", Some("south"))).await.value;
    assert_eq!(ids(&page), ["south"]);
}

async fn what_changed_most_is_told_unless_it_is_noise(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    let day = |ago: u64| today(&app) - Days::new(ago);
    for ago in 0..14 {
        // The same number of conversations in both weeks; today, which is left out, has many more.
        let conversations = if ago == 0 { 900 } else { 40 };
        let booked = if ago < 7 { 6 } else { 12 };
        plant_facts(&backend, "acme", day(ago), &[("conversations", conversations), ("booked", booked)])
            .await;
        plant_facts(&backend, "bolt", day(ago), &[("conversations", 3), ("booked", i64::from(ago < 7))])
            .await;
    }
    let page = page_of(&app, None, 7).await.unwrap();
    let notable = page.value.notable.unwrap();
    assert_eq!((notable.figure, notable.is_more), (NotableFigure::Conversion, false));
    let expected = (NotableValue::Rate(Rate::of(36, 240)), NotableValue::Rate(Rate::of(72, 240)));
    assert_eq!((notable.now, notable.before), expected);
    assert!((notable.change.unwrap() + 0.5).abs() < 1e-9);
    let quiet = business_page(&app.app, None, "bolt", &last_days(&app, 7)).await.unwrap();
    assert_eq!(quiet.value.notable, None);
    backend.execute(&format!("update mlops_rebuild set below = 1, known_from = '{}'", day(10))).await;
    assert_eq!(page_of(&app, None, 7).await.unwrap().value.notable, None, "not known of all days");
}

/// Notes a request of a customer of `business_id` that was completed at `done_at`.
async fn complete(app: &TestApp, kind: &str, business_id: Option<&str>, done_at: DateTime<Utc>) {
    let subject: SubjectHash = [7; 32].into();
    let request = Request {
        id: Uuid::new_v4().to_string(),
        kind: kind.to_owned(),
        selector: "email".to_owned(),
        subject,
        business_id: business_id.map(ToOwned::to_owned),
        source: "api".to_owned(),
        received_at: done_at,
        due_at: done_at,
        done_at: Some(done_at),
        receipt_id: Some(Uuid::new_v4().to_string()),
        counts: None,
        extended: None,
    };
    let entry = Actor::service().entry(Action::PrivacyErase);
    let done = Completion { request, subjects: vec![subject], listed: true };
    app.app.store.complete_request(&done, &entry, done_at).await.unwrap();
}

async fn a_statement_has_the_month_and_the_requests_completed_in_it(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let berlin = Profile { time_zone: Some(Tz::Europe__Berlin), ..Profile::default() };
    app.app.store.profiles().replace(Profiles::new(Tz::UTC, HashMap::from([("acme".to_owned(), berlin)])));
    at_noon(&app);
    app.track(&event(json!({"api_cost_usd": 0.004}))).await.ok();
    let month = StatementMonth::read(Some(&today(&app).format("%Y-%m").to_string()), today(&app)).unwrap();
    let (begin, end) = (month.first(), month.first() + Months::new(1));
    let (begin, end) = (start_of(begin, Tz::Europe__Berlin), start_of(end, Tz::Europe__Berlin));
    let moment = TimeDelta::microseconds(1);
    for (kind, business_id, done_at) in [
        ("export", Some("acme"), begin),
        ("export", Some("acme"), end - moment),
        ("erase", Some("acme"), begin + TimeDelta::days(3)),
        ("export", Some("acme"), begin - moment),
        ("erase", Some("acme"), end),
        ("erase", Some("bolt"), begin),
        ("erase", None, begin),
    ] {
        complete(&app, kind, business_id, done_at).await;
    }
    let of_month = statement(&app.app, None, "acme", month).await.unwrap().value;
    assert_eq!(of_month.privacy_requests, PrivacyRequests { exports: 2, erasures: 1 });
    assert!(!of_month.is_over);
    let report = &of_month.page.report;
    assert_eq!((report.from.clone(), report.time_zone), (month.first().to_string(), "Europe/Berlin"));
    assert_eq!(report.cost.as_ref().unwrap().counted_usd, amounts(&[4])[0]);
    app.pass(end - app.now());
    let over = statement(&app.app, Some("acme"), "acme", month).await.unwrap().value;
    assert!(over.is_over);
    assert_eq!(over.page.report.metrics, report.metrics);
}

async fn while_the_store_is_away_the_last_figures_are_shown_with_their_time(backend: Backend) {
    let app = TestApp::open(&backend).await;
    at_noon(&app);
    app.track(&event(json!({}))).await.ok();
    let (then, period) = (app.now(), PeriodQuery::default().read(today(&app)).unwrap());
    let page = page_of(&app, None, 30).await.unwrap();
    assert_eq!((page.as_of, page.is_stale, &period.name), (then, false, &"30_days".to_owned()));
    let businesses = listed(&app, |_| ()).await;
    // The last days of yesterday are still what is known of the last days.
    for passed in [TimeDelta::minutes(1), TimeDelta::days(1)] {
        app.pass(passed);
        backend.execute("alter table mlops_undigested rename to mlops_away").await;
        let known = page_of(&app, None, 30).await.unwrap();
        assert_eq!((known.as_of, known.is_stale, &known.value), (then, true, &page.value));
        let known = listed(&app, |_| ()).await;
        assert_eq!((known.as_of, known.is_stale, &known.value), (then, true, &businesses.value));
        assert!(page_of(&app, None, 7).await.is_err(), "of another period nothing is known");
        let own = page_of(&app, Some("acme"), 30).await;
        assert!(own.is_err(), "another reader is shown nothing that was computed for somebody else");
        backend.execute("alter table mlops_away rename to mlops_undigested").await;
    }
    let back = page_of(&app, None, 30).await.unwrap();
    assert_eq!((back.as_of, back.is_stale), (app.now(), false));
}
