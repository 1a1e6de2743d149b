//! Privacy requests: exports and erases personal data, and keeps the list of requests. Every step leaves an
//! entry in the audit trail, made up of counts and hashes only.

use std::mem;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::export::document::{Document, SpooledEvents};
use super::information::Information;
use super::subject::{Hasher, Selector, SubjectHash};
use crate::audit::{Action, Actor, Entry};
use crate::event::Event;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::store::{
    Completion, Counts, Erased, Erasure, Extract, FoundSubject, ListedRows, Mentions, Mode, Request, Search,
    Store, StoreError, SubjectError, SubjectTraces,
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

/// Whom a request is about.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// Identifies the person.
    pub selector: Selector,
    /// The only business whose data is meant; `None` for all.
    pub business_id: Option<String>,
    /// The token that confirms that the request means all the people behind the selector.
    pub confirm: Option<String>,
    /// Whether an open request is completed even though nothing is stored about the person.
    pub nothing_held: bool,
}

/// Why a privacy request failed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No data is stored about the person.
    #[error("no data is stored about this person")]
    Unknown {
        /// The number of contacts that are almost the one of the request.
        near_misses: usize,
        /// Rows of others that mention the person.
        mentions: Mentions,
    },
    /// Several people stand behind the selector.
    #[error("several people stand behind the selector")]
    Several {
        /// Their hashes.
        people: Vec<SubjectHash>,
        /// The number of rows of the first of them.
        rows: Vec<u64>,
        /// The token with which the request is confirmed.
        confirm: String,
    },
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
    /// What else there is to know.
    pub remarks: Remarks,
}

/// What a person has to know about what was found, and may have to decide.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Remarks {
    /// The businesses whose rows were touched.
    pub businesses: Vec<String>,
    /// Rows of others that mention the person, if they were searched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentioned: Vec<ListedRows>,
    /// Rows that may be the person's, and are neither exported nor erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<ListedRows>,
    /// Tables that were not searched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_searched: Vec<String>,
}

impl Remarks {
    fn of(found: FoundSubject, mentions: Mentions) -> Self {
        let FoundSubject { businesses, undecided, mut not_searched, .. } = found;
        not_searched.extend(mentions.not_searched.into_iter().map(str::to_owned));
        not_searched.sort_unstable();
        not_searched.dedup();
        Self { businesses, mentioned: mentions.found, undecided, not_searched }
    }
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
    /// How long events of erased conversations and sessions are not kept.
    pub tombstones_last: TimeDelta,
    /// The current time.
    pub now: DateTime<Utc>,
    /// Who makes the request.
    pub by: Actor,
}

/// A request for one person.
struct Case<'c> {
    kind: RequestKind,
    action: Action,
    inquiry: &'c Inquiry,
    subject: SubjectHash,
    receipt: String,
}

impl Desk<'_> {
    /// Exports the data stored about a person. `information` is stated in it.
    pub async fn export(&self, inquiry: &Inquiry, information: Information) -> Result<Document, DeskError> {
        let case = self.case(RequestKind::Export, Action::PrivacyExport, inquiry);
        self.drain_ingest().await;
        self.store.digest_all().await?;
        let search = self.search(inquiry);
        let found = self.store.find_person(&search).await?;
        self.check_people(&case, &found).await?;
        let tables = self.store.extract_person(&search, &found.traces).await?;
        let spooled = self.spooled(found.traces.clone()).await?;
        let counts = counts_of(&tables, spooled.len());
        if !is_known(&counts) {
            return self.complete_unknown(&case, &found.traces).await;
        }
        let mentions = self.store.mentions(&search, &found.traces).await?;
        let entry = self.entry(&case, "done", counts.to_json());
        let done = self.completion(&case, counts.to_json(), true);
        retry_if_busy!(self, self.store.complete_request(&done, &entry, self.now))?;
        self.show_requests().await;
        Ok(Document {
            generated_at: self.now,
            receipt: case.receipt,
            found_by: inquiry.selector.kind(),
            tables,
            spooled: SpooledEvents::of(&spooled),
            remarks: Remarks::of(found, mentions),
            information,
        })
    }

    /// Counts what an erasure would delete or anonymise.
    pub async fn count(&self, inquiry: &Inquiry, mode: Mode) -> Result<Receipt<Counts>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyEraseDryRun, inquiry);
        self.drain_ingest().await;
        self.store.digest_all().await?;
        let search = self.search(inquiry);
        let mut found = self.store.find_person(&search).await?;
        self.check_people(&case, &found).await?;
        let mut counts = mem::take(&mut found.counts);
        counts.set("spool", self.spooled(found.traces.clone()).await?.len() as u64);
        let known = counts.total() > 0;
        let outcome = if known { "counted" } else { "unknown" };
        let entry = self.entry(&case, outcome, counts.to_json()).with("mode", mode.name());
        retry_if_busy!(self, self.store.append_audit(self.now, &entry)).map(drop)?;
        if !known {
            return Err(self.unknown(inquiry, &found.traces).await?);
        }
        let mentions = self.store.mentions(&search, &found.traces).await?;
        Ok(Receipt { id: case.receipt, done: counts, remarks: Remarks::of(found, mentions) })
    }

    /// Erases a person, including everything accepted earlier, from the queue, the spool and every table.
    pub async fn erase(&self, inquiry: &Inquiry, mode: Mode) -> Result<Receipt<Erased>, DeskError> {
        let case = self.case(RequestKind::Erase, Action::PrivacyErase, inquiry);
        // Everything accepted earlier must be in the store to be found there.
        self.ingest.drain(None).await.map_err(DeskError::Unsettled)?;
        let found = self.store.find_person(&self.search(inquiry)).await?;
        self.check_people(&case, &found).await?;
        self.store.bury(&found.traces, &self.hasher, self.now).await?;
        let erased = self.erase_buried(&case, found.traces.clone(), mode).await;
        if erased.is_err()
            && let Err(error) = self.store.unbury(&found.traces, &self.hasher, self.now).await
        {
            tracing::warn!("events of a person who was not erased are not kept for a minute: {error}");
        }
        let erased = erased?;
        self.clean_up(&erased).await;
        let remarks = Remarks::of(found, Mentions::default());
        Ok(Receipt { id: case.receipt, done: erased, remarks })
    }

    /// Erases a person of whose conversations and sessions no event is stored any more.
    async fn erase_buried(
        &self,
        case: &Case<'_>,
        mut traces: SubjectTraces,
        mode: Mode,
    ) -> Result<Erased, DeskError> {
        // Includes what was stored since they were found.
        self.store.find_events(&mut traces).await?;
        let theirs = Arc::new(traces.clone());
        let spooled = self.ingest.drain(Some(Arc::new(move |event: &Event| theirs.include(event)))).await;
        // What their events add to the sums is read from their rows.
        self.store.digest_all().await?;
        let erasure = Erasure {
            search: self.search(case.inquiry),
            traces: &traces,
            spooled: spooled.map_err(DeskError::Unsettled)?,
            mode,
            at: self.now,
            until: self.now + self.tombstones_last,
            note: &|erased: &Erased| {
                let details = details(erased, mode);
                let entry = self.entry(case, "done", details.clone()).with("mode", mode.name());
                (entry, self.completion(case, details, true))
            },
        };
        match self.store.erase_person(&erasure).await? {
            Some(erased) => Ok(erased),
            None => self.complete_unknown(case, &traces).await,
        }
    }

    fn search<'s>(&'s self, inquiry: &'s Inquiry) -> Search<'s> {
        Search { selector: &inquiry.selector, business: inquiry.business_id.as_deref(), hasher: &self.hasher }
    }

    /// Returns an error if several people stand behind the selector, unless the request confirms that it means all of them.
    async fn check_people(&self, case: &Case<'_>, found: &FoundSubject) -> Result<(), DeskError> {
        if found.people.len() < 2 {
            return Ok(());
        }
        let people = &found.people;
        let Inquiry { selector, business_id, .. } = case.inquiry;
        let confirm = self.hasher.confirmation(case.kind.name(), selector, business_id.as_deref(), people);
        if case.inquiry.confirm.as_ref() == Some(&confirm) {
            return Ok(());
        }
        let mut counts = Map::new();
        counts.insert("people".to_owned(), people.len().into());
        let entry = self.entry(case, "several people", counts);
        retry_if_busy!(self, self.store.append_audit(self.now, &entry)).map(drop)?;
        Err(DeskError::Several { people: people.clone(), rows: found.rows.clone(), confirm })
    }

    /// Records a request that was received through another channel at `received_at`.
    pub async fn record_request(
        &self,
        kind: RequestKind,
        inquiry: &Inquiry,
        source: &str,
        received_at: DateTime<Utc>,
    ) -> Result<Request, DeskError> {
        let case = self.case(kind, Action::PrivacyRequestNoted, inquiry);
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
        let entry = entry.with("business_id", inquiry.business_id.clone());
        retry_if_busy!(self, self.store.add_request(&request, &entry, self.now))?;
        self.show_requests().await;
        Ok(request)
    }

    fn case<'c>(&self, kind: RequestKind, action: Action, inquiry: &'c Inquiry) -> Case<'c> {
        let receipt = Uuid::new_v4().to_string();
        Case { kind, action, inquiry, subject: self.hasher.hash(&inquiry.selector), receipt }
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
            selector: case.inquiry.selector.kind().to_owned(),
            subject: case.subject,
            business_id: case.inquiry.business_id.clone(),
            source: "api".to_owned(),
            received_at: self.now,
            due_at: super::due::a_month_after(self.now, self.zone),
            done_at: Some(self.now),
            receipt_id: Some(case.receipt.clone()),
            counts: Some(counts),
            extended: None,
        }
    }

    /// Returns the audit entry for what was done.
    fn entry(&self, case: &Case<'_>, outcome: &str, counts: Map<String, Value>) -> Entry {
        let entry = self.by.entry(case.action).about(case.subject);
        let entry = entry.with("receipt", case.receipt.clone()).with("outcome", outcome);
        let entry = entry.with("found_by", case.inquiry.selector.kind()).with("counts", counts);
        entry.with("business_id", case.inquiry.business_id.clone())
    }

    /// Returns the completion of the request.
    fn completion(&self, case: &Case<'_>, counts: Map<String, Value>, listed: bool) -> Completion {
        let subjects = self.hasher.hashes(&case.inquiry.selector);
        Completion { request: self.request(case, counts), subjects, listed }
    }

    /// Records that no data is stored about the person. An open request is completed only if the caller says so: the address may be
    /// mistyped.
    async fn complete_unknown<T>(&self, case: &Case<'_>, traces: &SubjectTraces) -> Result<T, DeskError> {
        let entry = self.entry(case, "unknown", Map::new());
        match case.inquiry.nothing_held {
            true => {
                let entry = entry.with("nothing_held", true);
                let done = self.completion(case, Map::new(), false);
                retry_if_busy!(self, self.store.complete_request(&done, &entry, self.now))?;
                self.show_requests().await;
            }
            false => retry_if_busy!(self, self.store.append_audit(self.now, &entry)).map(drop)?,
        }
        Err(self.unknown(case.inquiry, traces).await?)
    }

    /// Returns the error for a person about whom no data is stored.
    async fn unknown(&self, inquiry: &Inquiry, traces: &SubjectTraces) -> Result<DeskError, DeskError> {
        let search = self.search(inquiry);
        let near_misses = self.store.near_misses(&search).await?;
        let mentions = self.store.mentions(&search, traces).await?;
        Ok(DeskError::Unknown { near_misses, mentions })
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
        match self.store.open_requests(None, self.now).await {
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
