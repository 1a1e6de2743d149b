//! Behind a pooler that hands each transaction to another session of the server.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::load::Load;
use super::requests::{OPEN, assert_counters, drained, get};
use crate::harness::{Backend, Kind, Pooler, Service, command};

/// What a session of a fresh server has, and whatever else its clients must find.
const SETTINGS: &str =
    "select concat_ws(' ', current_setting('synchronous_commit'), current_setting('statement_timeout'),
    current_setting('lock_timeout'), current_setting('jit'), current_setting('enable_seqscan'),
    current_setting('plan_cache_mode'), current_setting('idle_in_transaction_session_timeout'))";

/// The settings that another program finds in the sessions of the pooler.
async fn settings(view: &Backend) -> Vec<String> {
    let options: PgConnectOptions = view.url.parse().unwrap();
    let mut other = PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap();
    let mut found = Vec::new();
    for _ in 0..12 {
        found.push(sqlx::query_scalar(SETTINGS).fetch_one(&mut other).await.unwrap());
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_of_ours_reaches_other_programs() {
    for kind in [Kind::Tracking, Kind::Lenient] {
        let backend = Backend::postgres().await;
        let pooler = Pooler::start(&backend, 6, kind).await;
        let view = pooler.view(&backend);
        let before = settings(&view).await;
        let service = Service::start(&view, &OPEN);
        assert!(service.log().contains("behind a pooler"), "{}", service.log());
        let load = Load::begin(service.port);
        load.ledger.more(600).await;
        for arguments in [&["retention", "run"][..], &["key", "create", "--name", "a", "--scopes", "track"]] {
            let done = command(&view, &[]).args(arguments).output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        assert_eq!(get(&service, "/analytics/acme").await.0, 200);
        let ledger = load.end().await;
        assert_eq!(ledger.refused(), 0);
        // A slow start spools.
        drained(&service).await;
        ledger.check(&backend).await;
        assert_counters(&service, &backend).await;
        drop(service);
        assert_eq!(settings(&view).await, before, "{kind:?}");
        let locks = "select count(*) from pg_locks where locktype = 'advisory' and database =
            (select oid from pg_database where datname = current_database())";
        assert_eq!(backend.number(locks).await, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_up_prepared_statements_is_refused_by_name() {
    let backend = Backend::postgres().await;
    let view = Pooler::start(&backend, 2, Kind::Mixing).await.view(&backend);
    for arguments in [&["serve"][..], &["migrate"]] {
        let refused = command(&view, &[]).args(arguments).output().unwrap();
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(
            told.contains("localhost is a pooler that does not keep prepared statements apart"),
            "{told}"
        );
        assert!(told.contains("the direct host"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_a_pooler_does_not_pass_on_is_named() {
    let backend = Backend::postgres().await;
    let mut view = Pooler::start(&backend, 2, Kind::Tracking).await.view(&backend);
    view.url.push_str("&options=-c%20jit%3Doff");
    let refused = command(&view, &[]).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("unsupported startup parameter: options"), "{told}");
}
