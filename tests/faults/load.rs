//! Load that keeps book: which events were sent, and which were answered 200.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Backend, event};

/// Callers that send at the same time.
const CALLERS: usize = 16;

/// What callers keep of their events.
#[derive(Default)]
pub(super) struct Book {
    acknowledged: Mutex<HashSet<Uuid>>,
    refused: AtomicUsize,
    longest: Mutex<Duration>,
}

/// Callers that send events until they are stopped.
pub(super) struct Load {
    pub(super) book: Arc<Book>,
    port: Arc<AtomicU16>,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    /// Begins to send to the service on this port.
    pub(super) fn begin(port: u16) -> Self {
        let load = Self {
            book: Arc::default(),
            port: Arc::new(AtomicU16::new(port)),
            stop: CancellationToken::new(),
            callers: JoinSet::new(),
        };
        (0..CALLERS).fold(load, |mut load, caller| {
            let (book, port, stop) = (load.book.clone(), load.port.clone(), load.stop.clone());
            load.callers.spawn(async move {
                let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
                while !stop.is_cancelled() {
                    send(&client, &book, port.load(Ordering::Relaxed), caller).await;
                }
            });
            load
        })
    }

    /// Sends to another port from now on.
    pub(super) fn move_to(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Stops the callers and gives what they kept.
    pub(super) async fn end(self) -> Arc<Book> {
        self.stop.cancel();
        self.callers.join_all().await;
        self.book
    }
}

async fn send(client: &reqwest::Client, book: &Book, port: u16, caller: usize) {
    let id = Uuid::new_v4();
    let body = event(json!({"event_id": id.to_string(), "session_id": format!("s-{caller}"),
                            "business_id": format!("b-{}", caller % 3)}));
    let begun = Instant::now();
    let sent = client.post(format!("http://127.0.0.1:{port}/track")).json(&body).send().await;
    match sent.map(|answer| answer.status().as_u16()) {
        Ok(200) => drop(book.acknowledged.lock().unwrap().insert(id)),
        Ok(503) => {
            book.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(other) => panic!("answered {other}"),
        Err(_) => return tokio::time::sleep(Duration::from_millis(20)).await,
    }
    let mut longest = book.longest.lock().unwrap();
    *longest = begun.elapsed().max(*longest);
}

impl Book {
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The longest time that an answer took.
    pub(super) fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    /// Waits until so many more events are acknowledged.
    pub(super) async fn more(&self, events: usize) {
        let enough = self.acknowledged() + events;
        crate::harness::eventually("events are acknowledged", async || self.acknowledged() >= enough).await;
    }

    /// Checks that every acknowledged event is stored once, that none is stored twice, and that rollups count each.
    pub(super) async fn check(&self, backend: &Backend) {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        assert!(acknowledged.len() >= 1_000, "{} events prove nothing", acknowledged.len());
        let stored = backend.event_ids().await;
        let distinct: HashSet<Uuid> = stored.iter().copied().collect();
        assert_eq!(stored.len(), distinct.len(), "stored twice");
        let missing = acknowledged.difference(&distinct).count();
        assert_eq!(missing, 0, "of {} acknowledged events are missing", acknowledged.len());
        for table in ["ai_totals_now", "ai_rollup_daily_now", "ai_latency_daily_now"] {
            let counted = backend.number(&format!("select sum(events) from {table}")).await;
            assert_eq!(counted, i64::try_from(stored.len()).unwrap(), "{table}");
        }
    }
}
