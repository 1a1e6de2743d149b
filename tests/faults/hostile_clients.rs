//! Hostile and faulty clients, which must not affect others.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::requests::{get, open_and, track};
use crate::harness::{Backend, Service, eventually};

/// The number of connections held open without a complete request; half of them have sent a part of one.
const HELD: usize = 2_000;

/// The number of clients per entry of [`ACTS`].
const EACH: usize = 12;

/// The number of rounds of requests by a well-behaved client.
const ROUNDS: usize = 10;

/// The pause of a hostile client between attempts, so that the clients do not take all of the CPU time.
const PAUSE: Duration = Duration::from_millis(50);

/// The maximum memory use of the service, in MiB.
const MOST_MEMORY: u64 = 200;

/// The behaviour of a hostile client on one connection.
type Act = fn(TcpStream) -> BoxFuture<'static, io::Result<()>>;

const ACTS: [Act; 7] = [
    |stream| Box::pin(drip(stream)),
    |stream| Box::pin(pour(stream, "GET /health HTTP/1.1\r\n", "x-more: and more\r\n")),
    |stream| Box::pin(pour(stream, CHUNKED, "10\r\n{\"a\": [1, 2, 3],\r\n")),
    |stream| Box::pin(repeat(stream, "/track", deep(TRACK))),
    |stream| Box::pin(repeat(stream, "/track", huge(TRACK))),
    |stream| Box::pin(repeat(stream, "/track/batch", deep(BATCH))),
    |stream| Box::pin(repeat(stream, "/track/batch", many(BATCH))),
];

/// Body sizes just below the limits, in bytes.
const TRACK: usize = 65_000;
const BATCH: usize = 1_000_000;

const CHUNKED: &str =
    "POST /track HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// Sends a request byte by byte, slowly.
async fn drip(mut stream: TcpStream) -> io::Result<()> {
    for byte in CHUNKED.bytes().cycle() {
        stream.write_all(&[byte]).await?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Sends an endless request, as fast as the service reads it.
async fn pour(mut stream: TcpStream, head: &str, more: &str) -> io::Result<()> {
    let more = more.repeat(200);
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(more.as_bytes()).await?;
    }
}

/// Sends the same body repeatedly, each time after the response to the one before.
async fn repeat(mut stream: TcpStream, path: &str, body: String) -> io::Result<()> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = [0; 4096];
    loop {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let length = stream.read(&mut answer).await?;
        if length == 0 {
            return Ok(());
        }
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer[..length]));
        sleep(PAUSE).await;
    }
}

/// Returns deeply nested JSON.
fn deep(bytes: usize) -> String {
    format!("{{\"business_id\":{}", "[".repeat(bytes))
}

/// Returns a report with a number of many digits.
fn huge(bytes: usize) -> String {
    format!("{{\"business_id\":\"b\",\"response_time_ms\":{}}}", "9".repeat(bytes))
}

/// Returns a batch with too many events, all of them invalid.
fn many(bytes: usize) -> String {
    format!("{{\"events\":[{}0]}}", "0,".repeat(bytes / 2))
}

/// Opens [`HELD`] connections.
async fn hold(port: u16) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(HELD);
    for n in 0..HELD {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if n % 2 == 0 {
            stream
                .write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
                .await
                .unwrap();
        }
        held.push(stream);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_bad_callers_harms_nobody_else() {
    rlimit::increase_nofile_limit(10_000).unwrap();
    // All of them come from one address.
    let settings = open_and(&[("MAX_CONNECTIONS_PER_CLIENT", "4000")]);
    let service = Service::start(&Backend::sqlite(), &settings);
    let port = service.port;
    let mut crowd = JoinSet::new();
    for act in ACTS {
        for _ in 0..EACH {
            crowd.spawn(async move {
                loop {
                    // The service closes each connection eventually; then the client reconnects.
                    drop(act(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).await);
                    sleep(PAUSE).await;
                }
            });
        }
    }
    let held = timeout(Duration::from_secs(30), hold(port)).await.expect("there is a seat for everybody");
    for _ in 0..ROUNDS {
        // On a busy machine, an occasional request may be refused.
        eventually("a good caller is served", || async {
            track(&service).await.0 == 200 && get(&service, "/health/ready").await.0 == 200
        })
        .await;
    }
    assert!(service.peak_memory() < MOST_MEMORY, "it took {} MiB", service.peak_memory());
    if let Some(surprised) = crowd.try_join_next() {
        panic!("a bad caller was surprised: {surprised:?}");
    }
    drop(held);
}
