//! What callers keep of their events, and how that compares with what is stored.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use uuid::Uuid;

use crate::harness::{Backend, eventually};

/// Fewer acknowledged events prove nothing.
const ENOUGH: usize = 1_000;

/// What callers were told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// 200: it is in the database.
    Stored,
    /// 202: it is kept, and will be in the database.
    Spooled,
    /// 503: it is not kept.
    Refused,
}

/// The ids of events, written down before they are sent and after they are answered. Each event carries its id twice,
/// the second time as its conversation: the database does not see to it that those differ.
#[derive(Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    sent: HashSet<Uuid>,
    answered: HashMap<Answer, HashSet<Uuid>>,
    longest: Duration,
    /// The counters as they were last seen, by the replica that showed them.
    counters: HashMap<(usize, String), f64>,
    went_down: Vec<String>,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }

    /// Writes down events that are about to be sent.
    pub(super) fn note_sent(&self, ids: &[Uuid]) {
        self.pages().sent.extend(ids);
    }

    /// Writes down what became of them, and how long that took.
    pub(super) fn note_answer(&self, ids: &[Uuid], answer: Answer, took: Duration) {
        let mut pages = self.pages();
        pages.answered.entry(answer).or_default().extend(ids);
        pages.longest = pages.longest.max(took);
    }

    /// Compares the counters that a replica shows with what it showed before.
    pub(super) fn note_counters(&self, replica: usize, metrics: &str) {
        let mut pages = self.pages();
        for (series, value) in counters(metrics) {
            let before = pages.counters.insert((replica, series.to_owned()), value).unwrap_or(0.0);
            if value < before {
                pages.went_down.push(format!("{series} from {before} to {value}"));
            }
        }
    }

    /// How many events were answered so.
    pub(super) fn count(&self, answer: Answer) -> usize {
        self.pages().answered.get(&answer).map_or(0, HashSet::len)
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.count(Answer::Stored) + self.count(Answer::Spooled)
    }

    pub(super) fn refused(&self) -> usize {
        self.count(Answer::Refused)
    }

    /// The longest time that an answer took.
    pub(super) fn longest(&self) -> Duration {
        self.pages().longest
    }

    /// Waits until so many more events are acknowledged.
    pub(super) async fn more(&self, events: usize) {
        let enough = self.acknowledged() + events;
        eventually("events are acknowledged", async || self.acknowledged() >= enough).await;
    }

    /// Waits until so many more events are answered so.
    pub(super) async fn more_of(&self, answer: Answer, events: usize) {
        let enough = self.count(answer) + events;
        eventually(&format!("events are {answer:?}"), async || self.count(answer) >= enough).await;
    }

    /// Strikes out events that are known to be lost.
    pub(super) fn forget(&self, lost: &HashSet<Uuid>) {
        for answered in self.pages().answered.values_mut() {
            answered.retain(|id| !lost.contains(id));
        }
    }

    /// Checks that every acknowledged event is stored once, that nothing else is stored, that rollups count each event,
    /// and that no counter went down.
    pub(super) async fn check(&self, backend: &Backend) {
        let faults = self.faults(backend).await;
        assert!(faults.is_empty(), "of {} acknowledged events: {faults:#?}", self.acknowledged());
    }

    /// The same where events met neither room in the spool nor a database that told what became of them: such an event is
    /// refused, and may be stored.
    pub(super) async fn check_without_room(&self, backend: &Backend) {
        let mut faults = self.faults(backend).await;
        faults.retain(|fault| !matches!(fault, Fault::RefusedAndStored(_)));
        assert!(faults.is_empty(), "of {} acknowledged events: {faults:#?}", self.acknowledged());
    }

    /// What is wrong.
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

/// Something that must not be.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// So many events are acknowledged, which are too few.
    TooFew(usize),
    /// So many acknowledged events are not stored.
    Missing(usize),
    /// So many events are stored more than once.
    Doubled(usize),
    /// So many events are stored that nobody sent.
    Unsent(usize),
    /// So many events are stored that were refused.
    RefusedAndStored(usize),
    /// A rollup counts so many events, and there are more or fewer.
    Miscounted(&'static str, i64),
    /// A counter went down.
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

/// The series of `/metrics` that are views of what is stored, and may never go down.
fn counters(metrics: &str) -> impl Iterator<Item = (&str, f64)> {
    let of_events = |line: &&str| {
        ["ai_", "appointments_", "human_handoffs_"].iter().any(|name| line.starts_with(name))
            && !line.starts_with("ai_success_rate")
    };
    let series = metrics.lines().filter(of_events).filter_map(|line| line.rsplit_once(' '));
    series.map(|(series, value)| (series, value.parse().unwrap()))
}
