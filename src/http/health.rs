//! `GET /health` and `GET /health/detailed`.

pub(super) mod doc;

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Principal;
use crate::clock::timestamp;
use crate::config::Environment;
use crate::http::middleware::request_context::RequestContext;
use crate::metrics::SpoolStats;
use crate::store::Rebuild;

/// The name of the service that the labs expect.
const SERVICE: &str = "mlops-service-prometheus";

/// The Prometheus port that `/health` reports if there is no second listener.
const LAB_PROMETHEUS_PORT: u16 = 8001;

/// The body of `GET /health`.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthResponse {
    status: &'static str,
    service: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    monitoring: &'static str,
    metrics_endpoint: &'static str,
    prometheus_port: String,
    security: &'static str,
}

/// `GET /health`: reports that the process is alive.
pub async fn basic(app: App) -> Json<HealthResponse> {
    Json(HealthResponse {
        status: "healthy",
        service: SERVICE,
        timestamp: timestamp(app.clock.now()),
        monitoring: "prometheus",
        metrics_endpoint: "/metrics",
        prometheus_port: app.config.prometheus_port.unwrap_or(LAB_PROMETHEUS_PORT).to_string(),
        security: match app.access.is_required() {
            true => "API key authentication enabled",
            false => "No authentication",
        },
    })
}

/// The body of `GET /health/detailed`.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailedHealthResponse {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    environment: &'static str,
    uptime: Uptime,
    system: Usage,
    requests: Requests,
    health_checks: Checks,
    /// Only present if there is a spool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    spool: Option<Spooled>,
    /// Only present while facts about conversations are built from older events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rebuild: Option<Rebuilding>,
    endpoints: Endpoints,
}

#[derive(Debug, Serialize, ToSchema)]
struct Rebuilding {
    #[schema(minimum = 0)]
    left: i64,
    #[schema(minimum = 0)]
    of: i64,
}

impl From<Rebuild> for Rebuilding {
    fn from(state: Rebuild) -> Self {
        Self { left: state.left(), of: state.of_rows }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct Spooled {
    depth: u64,
    #[schema(required)]
    oldest_seconds: Option<f64>,
    replayed: u64,
    refused: u64,
}

impl From<SpoolStats> for Spooled {
    fn from(reading: SpoolStats) -> Self {
        let SpoolStats { events, refused, oldest_seconds, replayed } = reading;
        Self { depth: events, oldest_seconds: oldest_seconds.map(to_hundredths), replayed, refused }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct Uptime {
    seconds: f64,
    hours: f64,
    days: f64,
    #[schema(format = DateTime)]
    started_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    memory_usage_mb: f64,
    cpu_percent: f64,
    /// Only shown to strangers outside production.
    #[schema(required)]
    process_id: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestCounts)]
struct Requests {
    total: u64,
    failed: u64,
    error_rate_percent: f64,
    #[schema(required, format = DateTime)]
    last_request: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Checks {
    database_connected: bool,
    /// Only present if quotas are shared through Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    redis_connected: Option<bool>,
    prometheus_enabled: bool,
    metrics_tracking: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Endpoints {
    metrics: &'static str,
    health: &'static str,
    detailed_health: &'static str,
    track: &'static str,
    analytics: &'static str,
}

/// `GET /health/detailed`: reports the state of the service, including whether the database responds.
pub async fn detailed(
    app: App,
    Extension(context): Extension<RequestContext>,
) -> Json<DetailedHealthResponse> {
    let database_connected = app.database_answers().await;
    let redis_connected = app.limits.shared_is_up();
    let healthy = database_connected && redis_connected != Some(false);
    Json(DetailedHealthResponse {
        status: if healthy { "healthy" } else { "degraded" },
        service: SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        timestamp: timestamp(app.clock.now()),
        environment: app.config.environment.name(),
        uptime: uptime(&app),
        system: usage(&app, &context),
        requests: requests(&app),
        health_checks: Checks {
            database_connected,
            redis_connected,
            prometheus_enabled: true,
            metrics_tracking: "active",
        },
        spool: app.ingest.spool(app.clock.now()).map(Spooled::from),
        rebuild: app.ingest.rebuild().map(Rebuilding::from),
        endpoints: Endpoints {
            metrics: "/metrics",
            health: "/health",
            detailed_health: "/health/detailed",
            track: "/track",
            analytics: "/analytics/<business_id>",
        },
    })
}

fn uptime(app: &App) -> Uptime {
    let seconds = (app.clock.now() - app.started_at).as_seconds_f64().max(0.0);
    Uptime {
        seconds: to_hundredths(seconds),
        hours: to_hundredths(seconds / 3_600.0),
        days: to_hundredths(seconds / 86_400.0),
        started_at: timestamp(app.started_at),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a memory size is far below 2^53")]
fn usage(app: &App, context: &RequestContext) -> Usage {
    let usage = app.metrics.process().usage();
    let is_hidden =
        app.config.environment == Environment::Production && matches!(context.principal(), Principal::Anyone);
    Usage {
        memory_usage_mb: to_hundredths(usage.resident_bytes as f64 / f64::from(1024 * 1024)),
        cpu_percent: to_hundredths(usage.cpu_percent),
        process_id: (!is_hidden).then(std::process::id),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests stays below 2^53")]
fn requests(app: &App) -> Requests {
    let (total, failed, last) = app.tracked.read();
    let rate = if total == 0 { 0.0 } else { 100.0 * failed as f64 / total as f64 };
    Requests { total, failed, error_rate_percent: to_hundredths(rate), last_request: last.map(timestamp) }
}

fn to_hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
