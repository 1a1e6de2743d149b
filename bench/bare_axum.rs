//! What axum alone can do: the bytes of `GET /health` from a handler without any layer. A limit for the benchmark.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

const BODY: &str = r#"{"status":"healthy","service":"mlops-service-prometheus","timestamp":"2026-01-01T00:00:00.000000+00:00","monitoring":"prometheus","metrics_endpoint":"/metrics","prometheus_port":"8001","security":"No authentication"}"#;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(5002);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let app = Router::new().route("/health", get(async || ([(CONTENT_TYPE, "application/json")], BODY)));
    axum::serve(listener, app).await
}
