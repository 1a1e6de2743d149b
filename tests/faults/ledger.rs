//! The ledger of sent events and their responses, which is compared with what is stored.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use uuid::Uuid;

use crate::harness::{Backend, eventually};

/// The minimum number of acknowledged events for a meaningful test.
const ENOUGH: usize = 1_000;

/// The response to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// 200: the event is in the database.
    Stored,
    /// 202: the event is in the spool, and will be in the database.
    Spooled,
    /// 503: the event is refused.
    Refused,
}

/// Records the ids of events before they are sent and after the response. The conversation id of each event is the same
/// as its event id: it has no unique index, so it reveals events that are stored twice.
#[derive(Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    sent: HashSet<Uuid>,
    answered: HashMap<Answer, HashSet<Uuid>>,
    longest: Duration,
    /// The last seen value of each counter, by replica and series.
    counters: HashMap<(usize, String), f64>,
    went_down: Vec<String>,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }

    /// Records events that are about to be sent.
    pub(super) fn note_sent(&self, ids: &[Uuid]) {
        self.pages().sent.extend(ids);
    }

    /// Records the response to events and the response time.
    pub(super) fn note_answer(&self, ids: &[Uuid], answer: Answer, took: Duration) {
        let mut pages = self.pages();
        pages.answered.entry(answer).or_default().extend(ids);
        pages.longest = pages.longest.max(took);
    }

    /// Records the counters of a replica, and which of them have decreased.
    pub(super) fn note_counters(&self, replica: usize, metrics: &str) {
        let mut pages = self.pages();
        for (series, value) in counters(metrics) {
            let before = pages.counters.insert((replica, series.to_owned()), value).unwrap_or(0.0);
            if value < before {
                pages.went_down.push(format!("{series} from {before} to {value}"));
            }
        }
    }

    /// Returns the number of events with this response.
    pub(super) fn count(&self, answer: Answer) -> usize {
        self.pages().answered.get(&answer).map_or(0, HashSet::len)
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.count(Answer::Stored) + self.count(Answer::Spooled)
    }

    pub(super) fn refused(&self) -> usize {
        self.count(Answer::Refused)
    }

    /// Returns the longest response time.
    pub(super) fn longest(&self) -> Duration {
        self.pages().longest
    }

    /// Waits until `events` more events are acknowledged.
    pub(super) async fn more(&self, events: usize) {
        let enough = self.acknowledged() + events;
        eventually("events are acknowledged", async || self.acknowledged() >= enough).await;
    }

    /// Waits until `events` more events have this response.
    pub(super) async fn more_of(&self, answer: Answer, events: usize) {
        let enough = self.count(answer) + events;
        eventually(&format!("events are {answer:?}"), async || self.count(answer) >= enough).await;
    }

    /// Removes the responses to events that are known to be lost.
    pub(super) fn forget(&self, lost: &HashSet<Uuid>) {
        for answered in self.pages().answered.values_mut() {
            answered.retain(|id| !lost.contains(id));
        }
    }

    /// Asserts that every acknowledged event is stored exactly once, that no refused or unknown event is stored, that
    /// the rollups match the rows, and that no counter has decreased.
    pub(super) async fn check(&self, backend: &Backend) {
        let faults = self.faults(backend).await;
        assert!(faults.is_empty(), "of {} acknowledged events: {faults:#?}", self.acknowledged());
    }

    /// Like [`check`](Self::check), but refused events may be stored: an event is refused if the spool is full, even if
    /// the outcome of writing it is unknown.
    pub(super) async fn check_without_room(&self, backend: &Backend) {
        let mut faults = self.faults(backend).await;
        faults.retain(|fault| !matches!(fault, Fault::RefusedAndStored(_)));
        assert!(faults.is_empty(), "of {} acknowledged events: {faults:#?}", self.acknowledged());
    }

    /// Returns all faults.
    pub(super) async fn faults(&self, backend: &Backend) -> Vec<Fault> {
        let rows = backend.conversations().await;
        let mut faults = self.pages().faults(&rows);
        for view in ["ai_totals_now", "ai_rollup_daily_now", "ai_latency_daily_now"] {
            let counted = backend.number(&format!("select coalesce(sum(events), 0) from {view}")).await;
            if counted != backend.rows().await {
                faults.push(Fault::Miscounted(view, counted));
            }
        }
        faults
    }
}

/// A difference between the ledger and the database.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// Too few events are acknowledged: this many.
    TooFew(usize),
    /// This many acknowledged events are not stored.
    Missing(usize),
    /// There are this many duplicate rows.
    Doubled(usize),
    /// This many stored events were never sent.
    Unsent(usize),
    /// This many refused events are stored.
    RefusedAndStored(usize),
    /// This view of the rollups counts this many events, which is not the number of rows.
    Miscounted(&'static str, i64),
    /// This counter decreased.
    WentDown(String),
}

impl Pages {
    fn faults(&self, rows: &[Uuid]) -> Vec<Fault> {
        let stored: HashSet<Uuid> = rows.iter().copied().collect();
        let none = HashSet::new();
        let answered = |answer| self.answered.get(&answer).unwrap_or(&none);
        let acknowledged: HashSet<Uuid> =
            answered(Answer::Stored).union(answered(Answer::Spooled)).copied().collect();
        let found = [
            (Fault::Missing as fn(usize) -> Fault, acknowledged.difference(&stored).count()),
            (Fault::Doubled, rows.len() - stored.len()),
            (Fault::Unsent, stored.difference(&self.sent).count()),
            (Fault::RefusedAndStored, answered(Answer::Refused).intersection(&stored).count()),
        ];
        let found = found.into_iter().filter(|(_, events)| *events > 0).map(|(fault, events)| fault(events));
        let few = Some(acknowledged.len()).filter(|events| *events < ENOUGH).map(Fault::TooFew);
        found.chain(few).chain(self.went_down.iter().cloned().map(Fault::WentDown)).collect()
    }
}

/// Returns the series of `/metrics` that count stored events and must never decrease.
fn counters(metrics: &str) -> impl Iterator<Item = (&str, f64)> {
    let of_events = |line: &&str| {
        ["ai_", "appointments_", "human_handoffs_"].iter().any(|name| line.starts_with(name))
            && !line.starts_with("ai_success_rate")
    };
    let series = metrics.lines().filter(of_events).filter_map(|line| line.rsplit_once(' '));
    series.map(|(series, value)| (series, value.parse().unwrap()))
}
