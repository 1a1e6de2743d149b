//! What the API document says of `/health` and `/health/detailed`.

use serde_json::json;

use super::{DetailedHealthResponse, HealthResponse};
use crate::http::openapi::{Doc, Group, Reply};

/// `GET /health`.
pub(in crate::http) fn basic() -> Doc {
    let example = json!({
        "status": "healthy",
        "service": "mlops-service-prometheus",
        "timestamp": "2026-11-23T11:32:43.465690+00:00",
        "monitoring": "prometheus",
        "metrics_endpoint": "/metrics",
        "prometheus_port": "8001",
        "security": "API key authentication enabled",
    });
    Doc::new(Group::Service, "getHealth", "See whether the process is alive").replies(Reply::json::<
        HealthResponse,
    >(
        200, "It is", example
    ))
}

/// `GET /health/detailed`.
pub(in crate::http) fn detailed() -> Doc {
    let example = json!({
        "status": "healthy",
        "service": "mlops-service-prometheus",
        "version": "0.1.0",
        "timestamp": "2026-11-23T11:32:44.682569+00:00",
        "environment": "development",
        "uptime": {"seconds": 3600.45, "hours": 1.0, "days": 0.04, "started_at": "2026-11-23T10:32:44.232569+00:00"},
        "system": {"memory_usage_mb": 9.21, "cpu_percent": 2.5, "process_id": 12345},
        "requests": {"total": 150, "failed": 3, "error_rate_percent": 2.0, "last_request": null},
        "health_checks": {"database_connected": true, "prometheus_enabled": true, "metrics_tracking": "active"},
        "endpoints": {
            "metrics": "/metrics",
            "health": "/health",
            "detailed_health": "/health/detailed",
            "track": "/track",
            "analytics": "/analytics/<business_id>",
        },
    });
    Doc::new(Group::Service, "getDetailedHealth", "See the state of the service")
        .about(
            "`status` is `degraded` if the database, or Redis where quotas are shared, does not respond. In production `process_id` is \
             null for whoever shows no valid key.",
        )
        .replies(Reply::json::<DetailedHealthResponse>(200, "The state, also if it is degraded", example))
}
