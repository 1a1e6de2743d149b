//! Generates load and records it in a ledger.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ledger::{Answer, Ledger};
use crate::harness::event;

/// The default numbers of concurrent callers of `/track` and of `/track/batch`.
const SINGLES: usize = 12;
const BATCHERS: usize = 4;

/// The number of events per batch.
const BATCH: usize = 10;

/// The pause of a caller after each request, and of a scraper before each scrape. It leaves the processor to what the tests are about.
const PAUSE: Duration = Duration::from_millis(50);

/// Callers that send new events until they are stopped, and a scraper of `/metrics` for each replica.
pub(super) struct Load {
    pub(super) ledger: Arc<Ledger>,
    ports: Arc<RwLock<Vec<u16>>>,
    client: Client,
    pause: Duration,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

/// A caller or scraper.
struct Caller {
    number: usize,
    client: Client,
    ledger: Arc<Ledger>,
    ports: Arc<RwLock<Vec<u16>>>,
    pause: Duration,
}

impl Load {
    /// Starts the default number of callers of the service on this port.
    pub(super) fn begin(port: u16) -> Self {
        Self::of(&[port], SINGLES, BATCHERS)
    }

    /// Starts the default number of callers, which do not pause.
    pub(super) fn full(port: u16) -> Self {
        Self::pausing(&[port], SINGLES, BATCHERS, Duration::ZERO)
    }

    /// Starts the default number of callers of several replicas.
    pub(super) fn on(ports: &[u16]) -> Self {
        Self::of(ports, SINGLES, BATCHERS)
    }

    /// Starts `singles` callers of `/track` and `batchers` callers of `/track/batch`.
    pub(super) fn of(ports: &[u16], singles: usize, batchers: usize) -> Self {
        Self::pausing(ports, singles, batchers, PAUSE)
    }

    fn pausing(ports: &[u16], singles: usize, batchers: usize, pause: Duration) -> Self {
        let mut load = Self {
            ledger: Arc::default(),
            ports: Arc::new(RwLock::new(ports.to_vec())),
            client: Client::builder().timeout(Duration::from_secs(5)).build().unwrap(),
            pause,
            stop: CancellationToken::new(),
            callers: JoinSet::new(),
        };
        (0..singles).for_each(|number| load.spawn(number, Caller::send_one));
        (singles..singles + batchers).for_each(|number| load.spawn(number, Caller::send_batch));
        (0..ports.len()).for_each(|replica| load.spawn(replica, Caller::scrape));
        load
    }

    fn spawn<F>(&mut self, number: usize, act: impl Fn(Arc<Caller>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let client = self.client.clone();
        let (ledger, ports, stop) = (self.ledger.clone(), self.ports.clone(), self.stop.clone());
        let caller = Arc::new(Caller { number, client, ledger, ports, pause: self.pause });
        self.callers.spawn(async move {
            while !stop.is_cancelled() {
                act(caller.clone()).await;
            }
        });
    }

    /// Redirects all callers to another port.
    pub(super) fn move_to(&self, port: u16) {
        self.move_replica(0, port);
    }

    /// Redirects the callers of a replica to another port.
    pub(super) fn move_replica(&self, replica: usize, port: u16) {
        self.ports.write().unwrap()[replica] = port;
    }

    /// Stops the callers. Returns the ledger.
    pub(super) async fn end(self) -> Arc<Ledger> {
        self.stop.cancel();
        self.callers.join_all().await;
        self.ledger
    }
}

impl Caller {
    fn url(&self, path: &str) -> String {
        let ports = self.ports.read().unwrap();
        format!("http://127.0.0.1:{}{path}", ports[self.number % ports.len()])
    }

    /// Returns an event that can be identified by its id and its conversation.
    fn event(&self, id: Uuid) -> Value {
        let id = id.to_string();
        event(json!({"event_id": id, "conversation_id": id, "session_id": format!("s-{}", self.number),
                     "business_id": format!("b-{}", self.number % 3)}))
    }

    async fn send_one(self: Arc<Self>) {
        let ids = [Uuid::new_v4()];
        let call = self.client.post(self.url("/track")).json(&self.event(ids[0]));
        self.send(&ids, call).await;
    }

    /// Sends a batch, as JSON or NDJSON depending on the caller.
    async fn send_batch(self: Arc<Self>) {
        let ids: [Uuid; BATCH] = std::array::from_fn(|_| Uuid::new_v4());
        let events: Vec<Value> = ids.iter().map(|id| self.event(*id)).collect();
        let call = self.client.post(self.url("/track/batch"));
        let call = if self.number.is_multiple_of(2) {
            call.json(&json!({"events": events}))
        } else {
            let lines: Vec<String> = events.iter().map(Value::to_string).collect();
            call.header("content-type", "application/x-ndjson").body(lines.join("\n"))
        };
        self.send(&ids, call).await;
    }

    /// Sends events, and records them and the response in the ledger.
    async fn send(&self, ids: &[Uuid], call: RequestBuilder) {
        self.ledger.note_sent(ids);
        let begun = Instant::now();
        // An incomplete response is not recorded.
        if let Ok(response) = call.send().await
            && let Some(answer) = read(response).await
        {
            self.ledger.note_answer(ids, answer, begun.elapsed());
        }
        sleep(self.pause).await;
    }

    /// Records the counters, so that the ledger can detect decreases.
    async fn scrape(self: Arc<Self>) {
        sleep(PAUSE).await;
        if let Ok(answer) = self.client.get(self.url("/metrics")).send().await
            && let Ok(metrics) = answer.error_for_status()
            && let Ok(metrics) = metrics.text().await
        {
            self.ledger.note_counters(self.number, &metrics);
        }
    }
}

/// Reads a whole response. Returns `None` if it is incomplete.
async fn read(response: Response) -> Option<Answer> {
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key("retry-after");
    let body: Value = response.json().await.ok()?;
    assert!(body["rejected"].as_array().is_none_or(Vec::is_empty), "{body}");
    match status {
        200 => Some(Answer::Stored),
        202 => Some(Answer::Spooled),
        503 => {
            assert!(retry_after, "a refusal says when to come again");
            Some(Answer::Refused)
        }
        other => panic!("answered {other}: {body}"),
    }
}
