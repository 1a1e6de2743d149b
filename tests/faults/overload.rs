//! Overload: excess work is refused immediately, and accepted work is not slowed down.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::requests::open_and;
use crate::harness::{Backend, Service, event};

/// The number of concurrent callers.
const CALLERS: usize = 300;

/// The maximum time of an immediate response, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A raw response and its response time.
struct Answer {
    text: String,
    took: Duration,
}

/// Sends [`CALLERS`] events at the same time, each on its own connection.
async fn rush(service: &Service) -> Vec<Answer> {
    futures_util::future::join_all((0..CALLERS).map(|_| send(service.port))).await
}

async fn send(port: u16) -> Answer {
    let body = event(json!({})).to_string();
    let request = format!(
        "POST /track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Answer { text: answer, took: begun.elapsed() }
}

/// Asserts that every refusal was immediate and has a `Retry-After`. Returns their number.
fn refusals(answers: &[Answer]) -> usize {
    let refused = answers.iter().filter(|answer| !answer.text.starts_with("HTTP/1.1 200 "));
    let checked = refused.inspect(|answer| {
        assert!(answer.text.starts_with("HTTP/1.1 503 "), "{}", answer.text);
        assert!(answer.text.contains("\r\nretry-after: 1\r\n"), "{}", answer.text);
        assert!(answer.took < AT_ONCE, "a refusal took {:?}", answer.took);
    });
    checked.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &open_and(&[("INGEST_QUEUE_SIZE", "16")]));
    let path = backend.url.trim_start_matches("sqlite:").to_owned();
    let mut holder = SqliteConnection::connect(&path).await.unwrap();
    holder.execute("begin immediate").await.unwrap();
    let release = async {
        tokio::time::sleep(AT_ONCE / 2).await;
        holder.execute("rollback").await.unwrap();
    };
    let (answers, ()) = tokio::join!(rush(&service), release);
    let refused = refusals(&answers);
    assert!(refused >= CALLERS / 2, "{refused} of {CALLERS} are refused");
    assert_eq!(backend.rows().await, i64::try_from(CALLERS - refused).unwrap());
    assert_eq!(refusals(&[send(service.port).await]), 0, "afterwards events are taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_flight_are_refused_at_once() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &open_and(&[("MAX_REQUESTS_IN_FLIGHT", "2")]));
    let answers = rush(&service).await;
    let refused = refusals(&answers);
    assert!(refused > 0, "some of {CALLERS} are refused");
    for answer in &answers {
        assert!(answer.took < AT_ONCE, "an answer took {:?}", answer.took);
    }
    assert_eq!(backend.rows().await, i64::try_from(CALLERS - refused).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_refused_at_once() {
    let backend = Backend::sqlite();
    let service = Service::start(
        &backend,
        &open_and(&[("MAX_CONNECTIONS", "100"), ("MAX_CONNECTIONS_PER_CLIENT", "100")]),
    );
    let answers = rush(&service).await;
    let refused = refusals(&answers);
    assert!(refused > 0, "some of {CALLERS} are refused");
    assert_eq!(backend.rows().await, i64::try_from(CALLERS - refused).unwrap());
}
