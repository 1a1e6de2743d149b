//! Exports stored events in what an import reads.

mod format;
mod output;

pub use output::{Destination, Output};

use std::io;

use tokio_util::sync::CancellationToken;

use crate::audit::{Action, Actor, Entry};
use crate::clock::{Clock, timestamp};
use crate::import::Format;
use crate::store::{ExportFilter, Store, StoreError};

/// The number of ids that are read together.
const IDS: i64 = 4_000;

/// Why an export did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database cannot be read.
    #[error("cannot use the database: {0}")]
    Store(#[from] StoreError),
    /// The export cannot be written.
    #[error("cannot write the export: {0}")]
    Output(#[from] io::Error),
    /// It was interrupted.
    #[error("it was interrupted")]
    Stopped,
}

/// The parameters of an export.
#[derive(Debug)]
pub struct Export<'e> {
    /// The store that is read.
    pub store: &'e Store,
    /// Which events are exported.
    pub filter: ExportFilter,
    /// The format.
    pub format: Format,
    /// The source of the current time.
    pub clock: &'e Clock,
    /// Who exports.
    pub by: Actor,
    /// Cancelled to interrupt it.
    pub stop: &'e CancellationToken,
}

impl Export<'_> {
    /// Writes all events to `output`, in the order of their rows, and calls `observe` with the number of rows so far and how much of the
    /// table was read, in percent. Returns the number of rows. Both its begin and its end are in the audit trail.
    pub async fn execute(&self, output: &mut Output, observe: impl Fn(u64, u64)) -> Result<u64, Failure> {
        self.store.append_audit(self.clock.now(), &self.entry(Action::ExportBegun)).await?;
        let mut rows = 0;
        let exported = self.write(output, &mut rows, observe).await;
        let outcome = match &exported {
            Ok(()) => "done",
            Err(Failure::Stopped) => "interrupted",
            Err(_) => "failed",
        };
        let entry = self.entry(Action::ExportEnded).with("outcome", outcome).with("rows", rows);
        let recorded = self.store.append_audit(self.clock.now(), &entry).await;
        exported?;
        recorded?;
        Ok(rows)
    }

    fn entry(&self, action: Action) -> Entry {
        let ExportFilter { business_id, from, before } = &self.filter;
        let entry = self.by.entry(action).with("business_id", business_id.clone());
        entry.with("from", from.map(timestamp)).with("before", before.map(timestamp))
    }

    async fn write(
        &self,
        output: &mut Output,
        count: &mut u64,
        observe: impl Fn(u64, u64),
    ) -> Result<(), Failure> {
        let all = self.store.event_ids().await?;
        let mut text = Vec::new();
        format::head(self.format, &mut text);
        let mut next = self.store.next_event_id(all.start).await?;
        while let Some(start) = next.filter(|start| *start < all.end) {
            if self.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
            let end = start.saturating_add(IDS).min(all.end);
            for row in self.store.export_events(start..end, &self.filter).await? {
                format::row(self.format, row, &mut text);
                *count += 1;
            }
            output.write(&text)?;
            text.clear();
            observe(*count, percent(end - all.start, all.end - all.start));
            next = self.store.next_event_id(end).await?;
        }
        // There may be no event at all.
        Ok(output.write(&text)?)
    }
}

fn percent(part: i64, whole: i64) -> u64 {
    (i128::from(part) * 100 / i128::from(whole.max(1))).try_into().unwrap_or(0)
}
