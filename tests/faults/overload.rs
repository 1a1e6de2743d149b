//! Overload: excess work is refused while accepted work still waits.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::requests::open_and;
use crate::harness::{Backend, Service, event};

/// The number of concurrent callers.
const CALLERS: usize = 100;

/// Sends an event on a connection of its own. Returns the raw response.
async fn send(port: u16) -> String {
    let body = event(json!({})).to_string();
    let request = format!(
        "POST /track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Returns whether an event was stored. Asserts that it was refused with `message` otherwise.
fn is_stored(answer: &str, message: &str) -> bool {
    let is_stored = answer.starts_with("HTTP/1.1 200 ");
    if !is_stored {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains(&format!("\"message\":\"{message}; try again later\"")), "{answer}");
    }
    is_stored
}

/// Sends [`CALLERS`] events at the same time while another program holds the database. Asserts that `at_once` of them are refused
/// with `message` before it lets go, and that those accepted are stored afterwards. Returns their number.
async fn rush(settings: &[(&str, &str)], message: &str, at_once: usize) -> usize {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &open_and(settings));
    let path = backend.url.trim_start_matches("sqlite:").to_owned();
    let mut holder = SqliteConnection::connect(&path).await.unwrap();
    holder.execute("begin immediate").await.unwrap();
    let mut answers: FuturesUnordered<_> = (0..CALLERS).map(|_| send(service.port)).collect();
    for answer in answers.by_ref().take(at_once).collect::<Vec<_>>().await {
        assert!(!is_stored(&answer, message), "{answer}");
    }
    holder.execute("rollback").await.unwrap();
    let rest: Vec<_> = answers.collect().await;
    let stored = rest.iter().filter(|answer| is_stored(answer, message)).count();
    assert_eq!(backend.rows().await, i64::try_from(stored).unwrap());
    assert!(is_stored(&send(service.port).await, message), "afterwards events are taken again");
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    rush(&[("INGEST_QUEUE_SIZE", "16")], "The event queue is full", CALLERS - 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_flight_are_refused_at_once() {
    let stored = rush(&[("MAX_REQUESTS_IN_FLIGHT", "2")], "The service is busy", CALLERS - 2).await;
    assert_eq!(stored, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_refused_at_once() {
    let settings = [("MAX_CONNECTIONS", "20"), ("MAX_CONNECTIONS_PER_CLIENT", "20")];
    assert_eq!(rush(&settings, "Too many open connections", CALLERS - 20).await, 20);
}
