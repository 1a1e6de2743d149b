//! Runs an import: reads ahead, writes chunks, merges their sums, and has them digested.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::input::{Format, Input, InputError};
use super::merge::{Unmerged, merge};
use super::reader::{Chunk, Reading, read};
use super::refused::RefusedFile;
use super::write::{Done, Writer};
use super::{Progress, Tally};
use crate::audit::{Action, Actor};
use crate::clock::Clock;
use crate::store::{ImportTerms, Store, StoreError};

/// The number of rows per transaction on a server, and on a file, which has one writer at a time.
const ROWS: usize = 10_000;
const ROWS_OF_FILE: usize = 250;

/// How often digesting is tried, and the pause between two tries.
const DIGEST_TRIES: u32 = 20;
const DIGEST_PAUSE: Duration = Duration::from_millis(500);

/// The number of chunks that are read ahead.
const AHEAD: usize = 1;

/// Called with how far the import is.
pub struct Observer<'o>(pub &'o (dyn Fn(Progress) + Sync));

/// Why an import did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The database cannot be used.
    #[error("cannot use the database: {0}")]
    Store(#[from] StoreError),
    /// The other database cannot be used.
    #[error("cannot import from {place}: {error}")]
    Source {
        /// Its host and name.
        place: String,
        /// Why.
        error: StoreError,
    },
    /// The file of refused rows cannot be written.
    #[error("cannot write the file of refused rows: {0}")]
    Refused(#[from] io::Error),
    /// It was interrupted.
    #[error("it was interrupted")]
    Stopped,
}

/// The parameters of an import.
pub struct Run<'r> {
    /// The store that is imported into.
    pub store: &'r Store,
    /// When rows are imported, and which of them are kept.
    pub terms: ImportTerms,
    /// The source of the current time.
    pub clock: &'r Clock,
    /// Who imports.
    pub by: Actor,
    /// The format of the input; `None` if its first bytes tell.
    pub format: Option<Format>,
    /// Whether rows are told by their `id` rather than by their line.
    pub named_by_id: bool,
    /// Whether nothing is written.
    pub is_dry: bool,
    /// Cancelled to interrupt the import between two transactions.
    pub stop: &'r CancellationToken,
    /// Who is told how far it is.
    pub observer: Observer<'r>,
}

/// What was done so far.
#[derive(Debug, Default)]
struct State {
    tally: Tally,
    position: u64,
    ignored: Vec<String>,
    unmerged: Unmerged,
}

type Merging<'s> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 's>>;

impl Run<'_> {
    /// Imports all rows of `input`. Returns what was done, also if it did not finish, and the columns that were not read. Both its begin
    /// and its end are in the audit trail.
    pub async fn execute(
        &self,
        input: Input,
        refused: &mut RefusedFile,
    ) -> (Tally, Vec<String>, Result<(), Failure>) {
        let mut state = State::default();
        self.store.give_way();
        let mut done = self.record(self.by.entry(Action::ImportBegun)).await;
        if done.is_ok() {
            done = self.import(input, refused, &mut state).await;
            let outcome = match &done {
                Ok(()) => "done",
                Err(Failure::Stopped) => "interrupted",
                Err(_) => "failed",
            };
            let Tally { read, stored, old, unkept, known, refused, .. } = state.tally;
            let entry = self.by.entry(Action::ImportEnded).with("outcome", outcome).with("read", read);
            let entry = entry.with("stored", stored).with("beyond_retention", old).with("not_kept", unkept);
            let recorded = self.record(entry.with("known", known).with("refused", refused)).await;
            done = done.and(recorded);
        }
        (state.tally, state.ignored, done)
    }

    async fn record(&self, entry: crate::audit::Entry) -> Result<(), Failure> {
        if !self.is_dry {
            self.store.append_audit(self.clock.now(), &entry).await?;
        }
        Ok(())
    }

    async fn import(
        &self,
        input: Input,
        refused: &mut RefusedFile,
        state: &mut State,
    ) -> Result<(), Failure> {
        let (chunks, mut received) = mpsc::channel(AHEAD);
        let reader = self.begin_reading(input, chunks);
        let imported = self.write_all(&mut received, refused, state).await;
        // A reader that waits for a terminal ends with the process.
        received.close();
        if imported.is_ok() {
            reader.await.map_err(|_| io::Error::other("the reader failed"))?;
        }
        refused.flush()?;
        let merged = match state.unmerged.take() {
            Some(rest) => merge(self.store, rest).await,
            None => Ok(()),
        };
        imported?;
        merged?;
        self.digest(state).await;
        Ok(())
    }

    /// Begins to read on a thread of its own.
    fn begin_reading(&self, input: Input, chunks: mpsc::Sender<Result<Chunk, InputError>>) -> JoinHandle<()> {
        let rows = if self.store.is_file() { ROWS_OF_FILE } else { ROWS };
        let (format, named_by_id, now) = (self.format, self.named_by_id, self.terms.now);
        tokio::task::spawn_blocking(move || {
            let reading = Reading { format, named_by_id, rows, now };
            if let Err(error) = read(input, reading, &chunks) {
                // Nobody waits for it after an interruption.
                drop(chunks.blocking_send(Err(error)));
            }
        })
    }

    /// Writes chunks until there is none, as many at a time as the store takes.
    async fn write_all(
        &self,
        chunks: &mut mpsc::Receiver<Result<Chunk, InputError>>,
        refused: &mut RefusedFile,
        state: &mut State,
    ) -> Result<(), Failure> {
        let by = Writer { store: self.store, terms: self.terms, is_dry: self.is_dry };
        let (mut running, mut open, mut failed) = (FuturesUnordered::new(), true, None);
        let mut merging: FuturesUnordered<Merging<'_>> = FuturesUnordered::new();
        loop {
            if (!open || failed.is_some()) && running.is_empty() && merging.is_empty() {
                return failed.map_or(Ok(()), Err);
            }
            let may_begin = open && failed.is_none() && running.len() < self.store.writers();
            let is_waiting = state.unmerged.is_full() && !merging.is_empty();
            let result = tokio::select! {
                biased;
                () = self.stop.cancelled(), if failed.is_none() => Err(Failure::Stopped),
                Some(done) = running.next() => {
                    let done: Result<Done, StoreError> = done;
                    let added = done.map_err(Failure::Store).and_then(|done| self.add(done, refused, state));
                    if state.unmerged.is_due() && merging.is_empty() {
                        let due = state.unmerged.take();
                        merging.extend(due.map(|due| Box::pin(merge(self.store, due)) as Merging<'_>));
                    }
                    added
                }
                Some(ended) = merging.next() => ended.map_err(Failure::Store),
                received = chunks.recv(), if may_begin && !is_waiting => {
                    open = received.is_some();
                    received.transpose().map_err(Failure::Input).map(|chunk| running.extend(chunk.map(|chunk| by.write(chunk))))
                }
            };
            // What runs goes on to its end, whatever failed.
            failed = failed.or(result.err());
        }
    }

    /// Adds what became of a chunk.
    fn add(&self, done: Done, refused: &mut RefusedFile, state: &mut State) -> Result<(), Failure> {
        refused.add(&done.refused)?;
        state.tally = state.tally.and(done.tally);
        state.position = state.position.max(done.position);
        state.ignored.extend(done.ignored);
        state.unmerged.add(done.counted);
        self.observe(state, false);
        Ok(())
    }

    /// Builds facts from what was stored. A service that runs may do the same meanwhile.
    async fn digest(&self, state: &State) {
        if self.is_dry || state.tally.stored == 0 {
            return;
        }
        self.observe(state, true);
        for _ in 0..DIGEST_TRIES {
            match self.stop.run_until_cancelled(self.store.digest_all()).await {
                // Each try digests what it has the time for.
                Some(Err(error)) => {
                    tracing::debug!("cannot digest: {error}");
                    tokio::time::sleep(DIGEST_PAUSE).await;
                }
                Some(Ok(())) | None => return,
            }
        }
        tracing::warn!("the service builds facts about the last conversations later");
    }

    fn observe(&self, state: &State, is_digesting: bool) {
        let State { tally, position, .. } = state;
        (self.observer.0)(Progress { tally: *tally, position: *position, is_digesting });
    }
}
