//! Common requests and settings.

use serde_json::{Value, json};

use crate::harness::{Backend, Service, event, eventually, http_client};

/// Settings without quotas and flood limits, for load.
pub(super) const OPEN: [(&str, &str); 5] = [
    ("RATE_LIMIT_TRACK", "off"),
    ("RATE_LIMIT_DEFAULT", "off"),
    ("RATE_LIMIT_HEALTH_DETAILED", "off"),
    ("RATE_LIMIT_REFRESH_METRICS", "off"),
    ("FLOOD_LIMIT_PER_SECOND", "off"),
];

/// Returns [`OPEN`] and these settings.
pub(super) fn open_and<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    OPEN.iter().chain(settings).copied().collect()
}

/// Returns status and body. Asserts that exactly the 503 responses have a `Retry-After`.
async fn read(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap());
    assert_eq!(retry_after, (status == 503).then_some("1"), "{}", answer.url());
    (status, answer.json().await.unwrap())
}

pub(super) async fn get(service: &Service, path: &str) -> (u16, Value) {
    read(http_client().get(service.url(path)).send().await.unwrap()).await
}

pub(super) async fn track(service: &Service) -> (u16, Value) {
    let call = http_client().post(service.url("/track")).json(&event(json!({})));
    read(call.send().await.unwrap()).await
}

/// Returns the value of a series of `/metrics`; `None` if it does not exist.
pub(super) async fn metric(service: &Service, series: &str) -> Option<f64> {
    let text = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Waits until the spool is empty.
pub(super) async fn drained(service: &Service) {
    let depth = async || get(service, "/health/detailed").await.1["spool"]["depth"].clone();
    eventually("the spool is empty", async || depth().await == 0).await;
}

/// Waits until the counters of the service match the stored rows, and so do the facts about conversations and their sums.
pub(super) async fn assert_counters(service: &Service, backend: &Backend) {
    const CONVERSATIONS: &str = "select count(*) from (
        select distinct business_id, conversation_id from ai_metrics where conversation_id is not null) conversations";
    const ANSWERS: &str = "select cast(coalesce(sum(answers), 0) as bigint) from mlops_hourly";
    let (rows, tokens) =
        (backend.rows().await, backend.number("select sum(tokens_used) from ai_metrics").await);
    let conversations = backend.number(CONVERSATIONS).await;
    let stored = [rows, rows, tokens, conversations].map(|sum| sum.to_string());
    let names = [
        "ai_response_time_seconds_count",
        "ai_requests_total",
        "ai_tokens_used_total",
        "ai_conversations_total",
    ];
    eventually("the counters are the store's", async || {
        let metrics = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
        names.map(|name| sum(&metrics, name).to_string()) == stored
    })
    .await;
    eventually("the facts are of all rows", async || {
        let facts = backend.number("select count(*) from mlops_conversations").await;
        [backend.number(ANSWERS).await, facts] == [rows, conversations]
    })
    .await;
}

/// Returns the sum of all series of a metric.
fn sum(metrics: &str, name: &str) -> f64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}
