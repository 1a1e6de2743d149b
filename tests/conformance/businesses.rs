//! Profiles of businesses in the store, on both databases, beside whatever tables the receptionist app has.

use mlops_service::audit::Actor;
use mlops_service::business::{FromApp, Profile, ProfileChange, Profiles};
use mlops_service::store::Store;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Backend, eventually, on_every_backend, real_now};

on_every_backend! {
    profiles_are_loaded_as_a_whole,
    the_app_may_have_other_tables_or_none,
    odd_hours_of_the_app_are_no_hours,
    a_profile_that_was_edited_by_hand_hides_no_other,
    concurrent_changes_do_not_undo_each_other,
}

fn change(set: impl FnOnce(&mut ProfileChange)) -> ProfileChange {
    let mut change = ProfileChange::default();
    set(&mut change);
    change
}

async fn set(store: &Store, business_id: &str, change: ProfileChange) {
    store.set_profile(business_id, &change, real_now(), &Actor::service()).await.unwrap();
}

async fn loaded(store: &Store) -> std::sync::Arc<Profiles> {
    store.load_profiles().await.unwrap();
    store.profiles().current()
}

async fn profiles_are_loaded_as_a_whole(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let store = backend.store(&[("TIME_ZONE", "Europe/Berlin")]).await;
    for n in 0..50 {
        set(&store, &format!("b-{n}"), change(|change| change.set_time_zone("Asia/Kathmandu").unwrap()))
            .await;
    }
    let profiles = loaded(&store).await;
    assert_eq!(profiles.iter().count(), 51, "and the app's");
    assert_eq!(profiles.zone("b-49").name(), "Asia/Kathmandu");
    assert_eq!(
        (profiles.zone("acme").name(), profiles.zone("nobody").name()),
        ("Europe/Berlin", "Europe/Berlin")
    );
    let acme = profiles.get("acme").unwrap();
    assert_eq!(acme.name.as_deref(), Some("Acme"));
    assert_eq!(acme.from_app, FromApp { name: true, opening_hours: false });
    assert_eq!(store.profile("acme").await.unwrap(), *acme);
    assert_eq!(store.profile("nobody").await.unwrap(), Profile::default());
    let ids: Vec<String> = store.businesses("b-47", 2).await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["b-48", "b-49"]);
}

const HOURS: &str = r#"{"monday":{"open":"09:00","close":"17:00"}}"#;

async fn the_app_may_have_other_tables_or_none(backend: Backend) {
    let store = backend.store(&[]).await;
    assert_eq!(loaded(&store).await.iter().count(), 0);
    backend.execute("create table businesses (name text)").await;
    backend.execute("create table business_settings (business_id text, hours text)").await;
    assert_eq!(loaded(&store).await.iter().count(), 0, "without the columns");
    assert!(store.businesses("", 10).await.unwrap().is_empty());
    backend.execute("drop table businesses; drop table business_settings").await;
    let id = "6f9b2c1e-0a39-4a0f-9d57-0c4f8f5a2d11";
    backend
        .execute(&format!(
            "create table businesses (id uuid primary key); insert into businesses values ('{id}');
             create table business_settings (business_id uuid, business_hours text);
             insert into business_settings values ('{id}', '{HOURS}'), ('{id}', null)"
        ))
        .await;
    let profiles = loaded(&store).await;
    let profile = profiles.get(id).unwrap();
    assert!(profile.opening_hours.is_some() && profile.name.is_none(), "ids may be UUIDs, and names missing");
    assert_eq!(store.businesses("", 10).await.unwrap(), [(id.to_owned(), profile.clone())]);
    backend.execute("drop table business_settings; alter table businesses add column name text").await;
    backend.execute("update businesses set name = 'Smile'").await;
    let profiles = loaded(&store).await;
    assert_eq!(profiles.get(id).unwrap().name.as_deref(), Some("Smile"));
    assert_eq!(profiles.get(id).unwrap().opening_hours, None);
    assert!(profiles.problems().is_empty());
}

async fn odd_hours_of_the_app_are_no_hours(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let store = backend.store(&[]).await;
    let odd = [
        r#""zqsecret""#,
        r#"["zqsecret"]"#,
        r#"{"monday":{"open":"zqsecret","close":"17:00"}}"#,
        r#"{"zqsecret":1}"#,
    ];
    for (n, hours) in odd.iter().chain(&["{}", "null", HOURS]).enumerate() {
        let rows = format!(
            "insert into businesses values ('b-{n}', 'Name {n}');
             insert into business_settings (id, business_id, business_hours) values ('{n}', 'b-{n}', '{hours}')"
        );
        backend.execute(&rows).await;
    }
    let profiles = loaded(&store).await;
    for n in 0..6 {
        let profile = profiles.get(&format!("b-{n}")).unwrap();
        assert_eq!((profile.opening_hours.clone(), profile.from_app.name), (None, true), "{n}");
    }
    assert!(profiles.get("b-6").unwrap().opening_hours.is_some());
    let [problem] = profiles.problems() else { panic!("{:?}", profiles.problems()) };
    assert!(problem.contains("opening hours of 4 businesses") && !problem.contains("zqsecret"), "{problem}");
}

async fn a_profile_that_was_edited_by_hand_hides_no_other(backend: Backend) {
    let store = backend.store(&[]).await;
    set(&store, "smile", change(|change| change.set_time_zone("Asia/Kathmandu").unwrap())).await;
    backend
        .execute("insert into mlops_businesses (business_id, name, time_zone) values ('odd', 'Odd', 'Mars/Olympus')")
        .await;
    let profiles = loaded(&store).await;
    let odd = profiles.get("odd").unwrap();
    assert_eq!((odd.name.as_deref(), odd.time_zone), (Some("Odd"), None));
    assert_eq!(profiles.zone("smile").name(), "Asia/Kathmandu");
    assert_eq!(profiles.problems().len(), 1, "{:?}", profiles.problems());
    set(&store, "odd", change(|change| change.set_name("Even").unwrap())).await;
    let kept = "select time_zone from mlops_businesses where business_id = 'odd'";
    assert_eq!(backend.texts(kept).await, ["Mars/Olympus"], "what is not named stays as it is");
}

async fn concurrent_changes_do_not_undo_each_other(backend: Backend) {
    let store = backend.store(&[]).await;
    let name = set(&store, "smile", change(|change| change.set_name("Smile").unwrap()));
    let zone = set(&store, "smile", change(|change| change.set_time_zone("Asia/Kathmandu").unwrap()));
    let budget = set(&store, "smile", change(|change| change.set_monthly_budget(7.0).unwrap()));
    tokio::join!(name, zone, budget);
    let profile = store.profile("smile").await.unwrap();
    assert_eq!((profile.name.as_deref(), profile.monthly_budget_micros), (Some("Smile"), Some(7_000_000)));
    assert_eq!(profile.time_zone.unwrap().name(), "Asia/Kathmandu");
}

/// A table of the app that another program has locked keeps nothing from being set here.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_of_the_app_holds_nobody_up() {
    let backend = Backend::postgres().await.with_app_tables().await;
    let store = backend.store(&[]).await;
    assert_eq!(loaded(&store).await.get("acme").unwrap().name.as_deref(), Some("Acme"));
    let mut holder = PgConnection::connect(&backend.url).await.unwrap();
    holder.execute("begin; lock table businesses").await.unwrap();
    set(&store, "smile", change(|change| change.set_time_zone("Asia/Kathmandu").unwrap())).await;
    let profiles = loaded(&store).await;
    assert_eq!(profiles.zone("smile").name(), "Asia/Kathmandu");
    assert_eq!(profiles.get("acme").unwrap().name.as_deref(), Some("Acme"), "what was read before stays");
    assert_eq!(profiles.problems().len(), 1);
    holder.execute("rollback").await.unwrap();
    eventually("it is read again", async || loaded(&store).await.problems().is_empty()).await;
}
