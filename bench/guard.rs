//! What the guard costs a request: who calls, what that allows, and whether the quota has room, counted in memory.
//!
//! `cargo bench --bench guard`

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{Criterion, criterion_group, criterion_main};
use mlops_service::app::App;
use mlops_service::audit::Actor;
use mlops_service::auth::{Authority, ClientIp, Credentials, NewKey};
use mlops_service::clock::Clock;
use mlops_service::config::{Config, Source};
use mlops_service::http::middleware::guard::Policy;
use mlops_service::http::routes::table;
use mlops_service::lifecycle::Lifecycle;

const KEY: &str = "c51e07fa9b3d4862d8a1f6704e92b5c3";

/// A service on a throw-away SQLite file whose quota on `/track` is never used up.
async fn app(folder: &std::path::Path, lifecycle: &Lifecycle) -> App {
    let database = format!("sqlite:{}", folder.join("bench.db").display());
    let settings =
        [("MLOPS_API_KEY", KEY), ("DATABASE_URL", &database), ("RATE_LIMIT_TRACK", "4000000000/day")];
    let config = Config::read(&Source::from(settings)).expect("the settings are valid");
    App::start(config, Clock::system(), lifecycle).await.expect("the folder can be written")
}

fn guard(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("the system has threads to give");
    let (folder, lifecycle) = (tempfile::tempdir().expect("there is room"), Lifecycle::default());
    let app = runtime.block_on(app(folder.path(), &lifecycle));
    let wish = NewKey {
        name: "bench".to_owned(),
        scopes: vec!["track".to_owned()],
        business_id: Some("acme".to_owned()),
        tier: None,
        expires: None,
    };
    let created = runtime.block_on(app.access.key_cache().create(
        wish,
        &app.config.tiers,
        &Authority::unlimited(),
        &Actor::service(),
    ));
    let named = created.expect("the store takes it").1.expose();
    let rows = table();
    let track = rows.rows().iter().find(|row| row.path == "/track").expect("it is there");
    let policy = Policy::new(&app, track);
    let ip = ClientIp(Ipv4Addr::LOCALHOST.into());
    for (name, key) in [("key of MLOPS_API_KEY", KEY), ("named key", named.as_str())] {
        let presented = Credentials { api_key: Some(key.as_bytes()), authorization: None };
        criterion.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let recognised = app.access.recognise(black_box(presented));
                let admission = policy.admit(recognised, ip).await;
                assert!(admission.verdict.is_ok());
            });
        });
    }
    lifecycle.begin_stop();
}

criterion_group!(benches, guard);
criterion_main!(benches);
