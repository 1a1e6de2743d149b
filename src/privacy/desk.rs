//! Privacy requests: exports and erases personal data, and keeps the list of requests. Every step leaves an
//! entry in the audit trail, made up of counts and hashes only.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::export::document::{Document, SpooledEvents};
use super::purpose::RetentionPeriods;
use super::subject::{Hasher, Selector, SubjectHash};
use crate::audit::{Action, Actor, Entry};
use crate::event::Event;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::store::{
    Completion, Counts, Erased, Erasure, Extract, Extracts, Mode, Request, Store, StoreError, SubjectError,
    SubjectTraces,
};

/// The maximum number of attempts to write to a busy SQLite file, each lasting 1.5 s.
const MAX_ATTEMPTS: u32 = 3;

/// Runs an operation of the store, retrying it if a busy database kept it from starting.
macro_rules! retry_if_busy {
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

/// What a person may request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A copy of their data.
    Export,
    /// The erasure of their data.
    Erase,
}

impl RequestKind {
    /// Returns the name of the kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Erase => "erase",
        }
    }
}

/// Why a privacy request failed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No data is stored about the person.
    #[error("no data is stored about this person")]
    Unknown,
    /// The person has more rows than one request can process.
    #[error("the person has too many rows")]
    TooMany,
    /// Events that may belong to the person are still in the queue or the spool.
    #[error("events are still being written to the database: {0}")]
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

/// The result of a request, with its receipt.
#[derive(Debug)]
pub struct Receipt<T> {
    /// The id of the receipt.
    pub id: String,
    /// The result.
    pub done: T,
    /// Tables whose rows cannot be attributed to persons.
    pub unsearchable: Vec<&'static str>,
}

/// Handles one privacy request.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The store of the rows.
    pub store: &'a Store,
    /// The ingest, which is drained first.
    pub ingest: &'a Ingest,
    /// The metrics of open requests.
    pub metrics: &'a Metrics,
    /// Hashes persons.
    pub hasher: Hasher,
    /// The time zone in which due dates are computed.
    pub zone: Tz,
    /// The current time.
    pub now: DateTime<Utc>,
    /// Who makes the request.
    pub by: Actor,
}

/// A request for one person.
struct Case<'c> {
    kind: RequestKind,
    action: Action,
    selector: &'c Selector,
    subject: SubjectHash,
    receipt: String,
}

impl Desk<'_> {
    /// Exports the data stored about a person. `retention` is stated in it.
    pub async fn export(
        &self,
        selector: &Selector,
        retention: RetentionPeriods,
    ) -> Result<Receipt<Document>, DeskError> {
        let case = self.case(RequestKind::Export, Action::PrivacyExport, selector);
        self.drain_ingest().await;
        let (extracts, traces) = self.store.extract_person(selector, &self.hasher).await?;
        let spooled = self.spooled(traces).await?;
        let Extracts { tables, unsearchable } = extracts;
        let counts = counts_of(&tables, spooled.len());
        if !is_known(&counts) {
            return self.complete_unknown(&case).await;
        }
        let (entry, done) = self.entry_and_completion(&case, "done", counts.to_json(), true);
        retry_if_busy!(self, self.store.complete_request(&done, &entry, self.now))?;
        self.show_requests().await;
        let document = Document {
            generated_at: self.now,
            receipt: case.receipt.clone(),
            found_by: selector.kind(),
            tables,
            spooled: SpooledEvents::of(&spooled),
            unsearchable: unsearchable.clone(),
            retention,
        };
        Ok(Receipt { id: case.receipt, done: document, unsearchable })
    }

    /// Counts what an erasure would delete or anonymise.
    pub async fn count(&self, selector: &Selector, mode: Mode) -> Result<Receipt<Counts>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyEraseDryRun, selector);
        self.drain_ingest().await;
        let found = self.store.find_person(selector, &self.hasher).await?;
        let mut counts = found.counts;
        counts.set("spool", self.spooled(found.traces).await?.len() as u64);
        let known = counts.total() > 0;
        let (entry, _) = self.entry_and_completion(
            &case,
            if known { "counted" } else { "unknown" },
            counts.to_json(),
            false,
        );
        let entry = entry.with("mode", mode.name());
        retry_if_busy!(self, self.store.append_audit(self.now, &entry)).map(drop)?;
        if !known {
            return Err(DeskError::Unknown);
        }
        Ok(Receipt { id: case.receipt, done: counts, unsearchable: found.unsearchable })
    }

    /// Erases a person, including everything accepted earlier, from the queue, the spool and every table.
    pub async fn erase(&self, selector: &Selector, mode: Mode) -> Result<Receipt<Erased>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyErase, selector);
        // Everything accepted earlier must be in the store to be found there.
        self.ingest.drain(None).await.map_err(DeskError::Unsettled)?;
        let found = self.store.find_person(selector, &self.hasher).await?;
        let traces = Arc::new(found.traces);
        let theirs = traces.clone();
        let spooled = self.ingest.drain(Some(Arc::new(move |event: &Event| theirs.include(event)))).await;
        let erasure = Erasure {
            traces: &traces,
            subject: case.subject,
            hasher: &self.hasher,
            spooled: spooled.map_err(DeskError::Unsettled)?,
            mode,
            at: self.now,
            note: &|erased: &Erased| {
                let (entry, done) = self.entry_and_completion(&case, "done", details(erased, mode), true);
                (entry.with("mode", mode.name()), done)
            },
        };
        let Some(erased) = self.store.erase_person(&erasure).await? else {
            return self.complete_unknown(&case).await;
        };
        self.clean_up(&erased).await;
        Ok(Receipt { id: case.receipt, done: erased, unsearchable: found.unsearchable })
    }

    /// Records a request that was received through another channel at `received_at`.
    pub async fn record_request(
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
        let entry = self.by.entry(case.action).about(case.subject).with("request", request.id.clone());
        let entry = entry.with("kind", kind.name()).with("source", source);
        retry_if_busy!(self, self.store.add_request(&request, &entry, self.now))?;
        self.show_requests().await;
        Ok(request)
    }

    fn case<'c>(&self, kind: RequestKind, action: Action, selector: &'c Selector) -> Case<'c> {
        let receipt = Uuid::new_v4().to_string();
        Case { kind, action, selector, subject: self.hasher.hash(selector), receipt }
    }

    /// Waits until everything accepted earlier is in the store. If that takes too long, the rest is found in
    /// the spool.
    async fn drain_ingest(&self) {
        if let Err(error) = self.ingest.drain(None).await {
            tracing::debug!("events are still being written to the database: {error}");
        }
    }

    /// Returns the spooled events that `traces` match.
    async fn spooled(&self, traces: SubjectTraces) -> Result<Vec<Event>, DeskError> {
        let theirs = Arc::new(move |event: &Event| traces.include(event));
        self.ingest.spooled(theirs).await.map_err(DeskError::Unsettled)
    }

    /// Creates the request for something that is already done.
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

    /// Returns the audit entry for what was done, and the completion of the request.
    fn entry_and_completion(
        &self,
        case: &Case<'_>,
        outcome: &str,
        counts: Map<String, Value>,
        listed: bool,
    ) -> (Entry, Completion) {
        let entry = self.by.entry(case.action).about(case.subject);
        let entry = entry.with("receipt", case.receipt.clone()).with("outcome", outcome);
        let entry = entry.with("found_by", case.selector.kind()).with("counts", counts.clone());
        (entry, Completion { request: self.request(case, counts), listed })
    }

    /// Completes the request for a person about whom no data is stored. Such a request does not go on the
    /// list: the address may be mistyped.
    async fn complete_unknown<T>(&self, case: &Case<'_>) -> Result<T, DeskError> {
        let (entry, done) = self.entry_and_completion(case, "unknown", Map::new(), false);
        retry_if_busy!(self, self.store.complete_request(&done, &entry, self.now))?;
        self.show_requests().await;
        Err(DeskError::Unknown)
    }

    /// Cleans up after a committed erasure. A failure here does not undo it.
    async fn clean_up(&self, erased: &Erased) {
        match self.store.scrub().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("the database file may still contain traces of erased data; run VACUUM");
            }
            Err(error) => tracing::warn!(
                "the database file may still contain traces of erased data; run VACUUM: {error}"
            ),
        }
        if erased.counted && !self.ingest.refresh().await {
            tracing::warn!("could not refresh the totals after the erasure; they are refreshed later");
        }
        self.show_requests().await;
    }

    async fn show_requests(&self) {
        match self.store.open_requests(self.now).await {
            Ok(open) => self.metrics.show_requests(open.open, open.overdue),
            Err(error) => tracing::warn!("cannot count open privacy requests: {error}"),
        }
    }
}

/// Counts rows by table.
fn counts_of(tables: &[Extract], spooled: usize) -> Counts {
    let mut counts = Counts::default();
    for extract in tables {
        counts.set(extract.table.name(), extract.rows.len() as u64);
    }
    counts.set("spool", spooled as u64);
    counts
}

/// Returns whether there is data about the person besides the records of earlier requests.
fn is_known(counts: &Counts) -> bool {
    let asked = ["mlops_audit", "mlops_privacy_requests"];
    asked.iter().map(|table| counts.of(table)).sum::<u64>() < counts.total()
}

/// Returns the counts of an erasure for the audit trail and the list of requests.
fn details(erased: &Erased, mode: Mode) -> Map<String, Value> {
    let mut details = erased.deleted.to_json();
    if mode == Mode::Anonymise {
        details.insert("anonymised".to_owned(), erased.anonymised.to_json().into());
    }
    details
}
