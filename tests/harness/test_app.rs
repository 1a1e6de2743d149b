//! The service in the test process, with a clock that the test controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::app::App;
use mlops_service::clock::Clock;
use mlops_service::http::openapi::{self, Doc, Group};
use mlops_service::http::router;
use mlops_service::http::routes::{Routes, table};
use mlops_service::lifecycle::Lifecycle;
use mlops_service::shape::Shape;
use serde_json::Value;

use super::{Backend, Call, Contract, KEY, Reply, eventually};

/// A running service.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) router: Router,
    /// What every reply is compared with.
    contract: Arc<Contract>,
    lifecycle: Lifecycle,
    now_micros: Arc<AtomicI64>,
}

impl TestApp {
    /// Starts the service without a key and without quotas.
    pub(crate) async fn open(backend: &Backend) -> Self {
        let off = ["HEALTH", "HEALTH_DETAILED", "TRACK", "ANALYTICS", "REFRESH_METRICS", "PAGES", "DEFAULT"]
            .map(|name| (format!("RATE_LIMIT_{name}"), "off"));
        let settings: Vec<(&str, &str)> = off.iter().map(|(name, off)| (name.as_str(), *off)).collect();
        Self::with(backend, &settings).await
    }

    /// Starts the service as in production: with a key and the default quotas.
    pub(crate) async fn guarded(backend: &Backend) -> Self {
        Self::with(backend, &[("MLOPS_API_KEY", KEY)]).await
    }

    pub(crate) async fn with(backend: &Backend, settings: &[(&str, &str)]) -> Self {
        Self::with_routes(backend, settings, table).await
    }

    pub(crate) async fn with_routes(
        backend: &Backend,
        settings: &[(&str, &str)],
        build: impl FnOnce() -> Routes,
    ) -> Self {
        let config = backend.config(settings);
        let now_micros = Arc::new(AtomicI64::new(real_now().timestamp_micros()));
        let hand = now_micros.clone();
        let clock =
            Clock::new(move || DateTime::from_timestamp_micros(hand.load(Ordering::Relaxed)).unwrap());
        let lifecycle = Lifecycle::default();
        let app = App::start(config, clock, &lifecycle).await.unwrap();
        eventually("the tables are up to date", async || app.ingest.is_ready()).await;
        let made = build();
        let contract = match made.rows().len() == Contract::of_the_table().rows {
            true => Contract::of_the_table().clone(),
            false => Arc::new(Contract::of(&made)),
        };
        let router = router(&app, made);
        Self { app, router, contract, lifecycle, now_micros }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    /// Advances the clock.
    pub(crate) fn pass(&self, time: TimeDelta) {
        self.now_micros.fetch_add(time.num_microseconds().unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let config = &self.app.config;
        let limits = [
            &config.rate_limit_health,
            &config.rate_limit_health_detailed,
            &config.rate_limit_track,
            &config.rate_limit_analytics,
            &config.rate_limit_refresh_metrics,
            &config.rate_limit_pages,
            &config.rate_limit_default,
        ];
        // A tier may have no quota.
        let has_quotas =
            limits.iter().all(|limit| limit.get().is_some()) && config.tiers.names().next().is_none();
        Call::new(self.router.clone(), method, path).under(self.contract.clone(), has_quotas)
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Sends the form for signing in with `key`, as a browser on this machine.
    pub(crate) async fn sign_in(&self, key: &str) -> Reply {
        self.form("/session", &format!("key={key}")).send().await
    }

    /// A form of one of the service's own pages, from a browser on this machine.
    pub(crate) fn form(&self, path: &str, fields: &str) -> Call {
        let call = self.post(path).header("origin", "http://localhost");
        call.header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned())
    }

    pub(crate) async fn track(&self, event: &Value) -> Reply {
        self.post("/track").json(event).send().await
    }

    /// Returns the content of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").send().await.text().to_owned()
    }

    /// Returns the value of a series of `/metrics`; `None` if it does not exist.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// Starts the background tasks.
    pub(crate) fn start_tasks(&self) {
        self.app.start_tasks(&self.lifecycle);
    }

    /// Shuts the service down gracefully.
    pub(crate) async fn stop(&self) {
        self.lifecycle.begin_stop();
        self.lifecycle.end().await;
    }

    pub(crate) fn begin_stop(&self) {
        self.lifecycle.begin_stop();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.lifecycle.begin_stop();
        self.lifecycle.ending().cancel();
    }
}

/// The description of a route that a test adds.
pub(crate) fn a_text() -> Doc {
    let text = ("text/plain", Shape::string(), None);
    Doc::new(Group::Service, "test", "A route of a test").replies(openapi::Reply::new(200, "A text").of(text))
}

pub(crate) fn real_now() -> DateTime<Utc> {
    Clock::system().now()
}
