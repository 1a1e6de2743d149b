//! The privacy desk: gives a person's data out, erases it, and keeps the list of who asked for that. Every step leaves an
//! entry in the audit trail, which holds counts and hashes only.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::export::document::{Document, SpooledEvents};
use super::purpose::RetentionPeriods;
use super::subject::{Hasher, Selector, SubjectHash};
use crate::audit::{Action, By, Entry};
use crate::event::Event;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::store::{
    Completion, Counts, Erased, Erasure, Extract, Extracts, Mode, Request, Store, StoreError, SubjectError,
    SubjectTraces,
};

/// How often it is tried to write into a busy file of SQLite, each time for 1.5 s.
const MAX_ATTEMPTS: u32 = 3;

/// Does some work of the store, again where others kept it from beginning.
macro_rules! patiently {
    ($desk:expr, $work:expr) => {{
        let mut attempt = 1;
        loop {
            match $work.await {
                Err(error) if attempt < MAX_ATTEMPTS && $desk.store.is_busy(&error) => attempt += 1,
                done => break done,
            }
        }
    }};
}

/// What a customer may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Their data.
    Export,
    /// That it be erased.
    Erase,
}

impl RequestKind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Erase => "erase",
        }
    }
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Nothing is stored about the person.
    #[error("nothing is stored about this person")]
    Unknown,
    /// They have more rows than are dealt with at once.
    #[error("they have too many rows")]
    TooMany,
    /// Events are on their way to the database, in the queue or in the spool, and may be theirs.
    #[error("events are on their way to the database: {0}")]
    Unsettled(StoreError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<SubjectError> for DeskError {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::TooMany => Self::TooMany,
            SubjectError::Store(error) => Self::Store(error),
        }
    }
}

/// What was done, and its receipt.
#[derive(Debug)]
pub struct Receipt<T> {
    /// Its name.
    pub id: String,
    /// What was done.
    pub done: T,
    /// Tables that do not tell whose their rows are.
    pub unsearchable: Vec<&'static str>,
}

/// The desk, for one request.
#[derive(Debug)]
pub struct Desk<'a> {
    /// Where the rows are.
    pub store: &'a Store,
    /// The way of events into the store.
    pub ingest: &'a Ingest,
    /// Where open requests are shown.
    pub metrics: &'a Metrics,
    /// Makes the hashes that stand for persons.
    pub hasher: Hasher,
    /// Whose calendar says when a month is over.
    pub zone: Tz,
    /// Now.
    pub now: DateTime<Utc>,
    /// Who asks.
    pub by: By,
}

/// What is done for one person.
struct Case<'c> {
    kind: RequestKind,
    action: Action,
    selector: &'c Selector,
    subject: SubjectHash,
    receipt: String,
}

impl Desk<'_> {
    /// Gives everything that is stored about a person; `kept` says for how long.
    pub async fn export(
        &self,
        selector: &Selector,
        kept: RetentionPeriods,
    ) -> Result<Receipt<Document>, DeskError> {
        let case = self.case(RequestKind::Export, Action::PrivacyExport, selector);
        self.await_what_came_before().await;
        let (extracts, traces) = self.store.extract_person(selector, &self.hasher).await?;
        let spooled = self.spooled(traces).await?;
        let Extracts { tables, unsearchable } = extracts;
        let counts = counts_of(&tables, spooled.len());
        if !is_known(&counts) {
            return self.close_unknown(&case).await;
        }
        let (entry, done) = self.note(&case, "done", counts.to_json(), true);
        patiently!(self, self.store.note_done(&done, &entry, self.now))?;
        self.show_requests().await;
        let document = Document {
            generated_at: self.now,
            receipt: case.receipt.clone(),
            found_by: selector.kind(),
            tables,
            spooled: SpooledEvents::of(&spooled),
            unsearchable: unsearchable.clone(),
            kept,
        };
        Ok(Receipt { id: case.receipt, done: document, unsearchable })
    }

    /// Counts what an erasure would delete, or make anonymous.
    pub async fn count(&self, selector: &Selector, mode: Mode) -> Result<Receipt<Counts>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyEraseDryRun, selector);
        self.await_what_came_before().await;
        let found = self.store.find_person(selector, &self.hasher).await?;
        let mut counts = found.counts;
        counts.set("spool", self.spooled(found.traces).await?.len() as u64);
        let known = counts.total() > 0;
        let (entry, _) = self.note(&case, if known { "counted" } else { "unknown" }, counts.to_json(), false);
        let entry = entry.with("mode", mode.name());
        patiently!(self, self.store.append_audit(self.now, &entry)).map(drop)?;
        if !known {
            return Err(DeskError::Unknown);
        }
        Ok(Receipt { id: case.receipt, done: counts, unsearchable: found.unsearchable })
    }

    /// Erases a person: everything that came before, from the queue, the spool and every table.
    pub async fn erase(&self, selector: &Selector, mode: Mode) -> Result<Receipt<Erased>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyErase, selector);
        // What was accepted before is to be found in the store.
        self.ingest.drain(None).await.map_err(DeskError::Unsettled)?;
        let found = self.store.find_person(selector, &self.hasher).await?;
        let traces = Arc::new(found.traces);
        let theirs = traces.clone();
        let spooled = self.ingest.drain(Some(Arc::new(move |event: &Event| theirs.lead_to(event)))).await;
        let erasure = Erasure {
            traces: &traces,
            subject: case.subject,
            hasher: &self.hasher,
            spooled: spooled.map_err(DeskError::Unsettled)?,
            mode,
            at: self.now,
            note: &|erased: &Erased| {
                let (entry, done) = self.note(&case, "done", details(erased, mode), true);
                (entry.with("mode", mode.name()), done)
            },
        };
        let Some(erased) = self.store.erase_person(&erasure).await? else {
            return self.close_unknown(&case).await;
        };
        self.clean_up(&erased).await;
        Ok(Receipt { id: case.receipt, done: erased, unsearchable: found.unsearchable })
    }

    /// Notes a request that came by another way, at `received_at`.
    pub async fn note_request(
        &self,
        kind: RequestKind,
        selector: &Selector,
        source: &str,
        received_at: DateTime<Utc>,
    ) -> Result<Request, DeskError> {
        let case = self.case(kind, Action::PrivacyRequestNoted, selector);
        let request = Request {
            id: case.receipt.clone(),
            source: source.to_owned(),
            received_at,
            due_at: super::due::a_month_after(received_at, self.zone),
            done_at: None,
            receipt_id: None,
            counts: None,
            ..self.request(&case, Map::new())
        };
        let entry = self.by.did(case.action).about(case.subject).with("request", request.id.clone());
        let entry = entry.with("kind", kind.name()).with("source", source);
        patiently!(self, self.store.note_request(&request, &entry, self.now))?;
        self.show_requests().await;
        Ok(request)
    }

    fn case<'c>(&self, kind: RequestKind, action: Action, selector: &'c Selector) -> Case<'c> {
        let receipt = Uuid::new_v4().to_string();
        Case { kind, action, selector, subject: self.hasher.hash(selector), receipt }
    }

    /// Waits until what was accepted before is in the store. What takes longer is found in the spool.
    async fn await_what_came_before(&self) {
        if let Err(error) = self.ingest.drain(None).await {
            tracing::debug!("events are still on their way: {error}");
        }
    }

    /// The events of the spool that these traces lead to.
    async fn spooled(&self, traces: SubjectTraces) -> Result<Vec<Event>, DeskError> {
        let theirs = Arc::new(move |event: &Event| traces.lead_to(event));
        self.ingest.spooled(theirs).await.map_err(DeskError::Unsettled)
    }

    /// A request that is noted only now that it is done.
    fn request(&self, case: &Case<'_>, counts: Map<String, Value>) -> Request {
        Request {
            id: Uuid::new_v4().to_string(),
            kind: case.kind.name().to_owned(),
            selector: case.selector.kind().to_owned(),
            subject: case.subject,
            source: "api".to_owned(),
            received_at: self.now,
            due_at: super::due::a_month_after(self.now, self.zone),
            done_at: Some(self.now),
            receipt_id: Some(case.receipt.clone()),
            counts: Some(counts),
        }
    }

    /// The entry of the audit trail for what was done, and what the list of requests gets.
    fn note(
        &self,
        case: &Case<'_>,
        outcome: &str,
        counts: Map<String, Value>,
        listed: bool,
    ) -> (Entry, Completion) {
        let entry = self.by.did(case.action).about(case.subject);
        let entry = entry.with("receipt", case.receipt.clone()).with("outcome", outcome);
        let entry = entry.with("found_by", case.selector.kind()).with("counts", counts.clone());
        (entry, Completion { request: self.request(case, counts), listed })
    }

    /// Answers for a person of whom nothing is stored, which completes their request all the same. A mistyped address does
    /// not go on the list.
    async fn close_unknown<T>(&self, case: &Case<'_>) -> Result<T, DeskError> {
        let (entry, done) = self.note(case, "unknown", Map::new(), false);
        patiently!(self, self.store.note_done(&done, &entry, self.now))?;
        self.show_requests().await;
        Err(DeskError::Unknown)
    }

    /// Does what follows an erasure that is done: what fails here takes nothing of that back.
    async fn clean_up(&self, erased: &Erased) {
        match self.store.scrub().await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "the file of the database may hold remains of what was erased until VACUUM is run on it"
            ),
            Err(error) => tracing::warn!(
                "the file of the database may hold remains of what was erased until VACUUM is run on it: {error}"
            ),
        }
        if erased.counted && !self.ingest.refresh().await {
            tracing::warn!("the totals are read anew later");
        }
        self.show_requests().await;
    }

    async fn show_requests(&self) {
        match self.store.open_requests(self.now).await {
            Ok(open) => self.metrics.show_requests(open.open, open.overdue),
            Err(error) => tracing::warn!("requests to the privacy desk cannot be counted: {error}"),
        }
    }
}

/// Rows by table.
fn counts_of(tables: &[Extract], spooled: usize) -> Counts {
    let mut counts = Counts::default();
    for extract in tables {
        counts.set(extract.table.name(), extract.rows.len() as u64);
    }
    counts.set("spool", spooled as u64);
    counts
}

/// Whether the person is known: by more than that somebody asked for them.
fn is_known(counts: &Counts) -> bool {
    let asked = ["mlops_audit", "mlops_privacy_requests"];
    asked.iter().map(|table| counts.of(table)).sum::<u64>() < counts.total()
}

/// What an erasure did, as the audit trail and the list of requests have it.
fn details(erased: &Erased, mode: Mode) -> Map<String, Value> {
    let mut details = erased.deleted.to_json();
    if mode == Mode::Anonymise {
        details.insert("anonymised".to_owned(), erased.anonymised.to_json().into());
    }
    details
}
