//! Maintenance between batches: counting rows that other programs inserted, and reloading the totals.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::sink::Sink;
use super::totals_reload::{self, TotalsReload};
use crate::metrics::Totals;
use crate::store::StoreError;

/// How long a reload of the totals may take to begin: events wait for it, and must still be spilled in time
/// afterwards.
const BEGIN_LIMIT: Duration = Duration::from_millis(500);

/// Receives whether a refresh succeeded.
type Waiter = oneshot::Sender<bool>;

/// The maintenance that is due, and the reload in progress.
pub(super) struct Maintenance {
    /// Whether to run before the next batch.
    pub(super) is_due: bool,
    /// Whether rows of other programs are left to be counted.
    pub(super) is_counting: bool,
    /// Requests that wait for the next reload.
    waiters: Vec<Waiter>,
    reload: TotalsReload,
    /// Requests that wait for the reload in progress.
    reload_waiters: Vec<Waiter>,
}

impl Maintenance {
    /// Creates the state of a task that has not counted any rows of other programs.
    pub(super) fn new() -> Self {
        Self {
            is_due: false,
            is_counting: true,
            waiters: Vec::new(),
            reload: TotalsReload::new(),
            reload_waiters: Vec::new(),
        }
    }

    /// Cancels the reload in progress and all waiting requests.
    pub(super) fn abort(&mut self) {
        self.waiters.clear();
        self.reload = TotalsReload::new();
        self.reload_waiters.clear();
    }

    /// Schedules a refresh, and replies after it.
    pub(super) fn request_refresh(&mut self, reply: Waiter) {
        (self.is_counting, self.is_due) = (true, true);
        self.waiters.push(reply);
    }

    /// Returns whether totals are being loaded.
    pub(super) fn is_reloading(&self) -> bool {
        !self.reload.is_empty()
    }

    /// Counts rows of other programs or, once all of them are counted, begins a reload. No batch may be in
    /// progress.
    pub(super) async fn run(&mut self, sink: &Arc<Sink>) -> Result<(), StoreError> {
        self.is_due = false;
        if self.is_counting {
            self.is_counting = match sink.count_foreign_rows().await {
                // Invalid rows of another program are no reason to refuse events.
                Err(error) if error.is_refusal() || matches!(error, StoreError::Unreadable(_)) => {
                    tracing::error!("cannot count rows inserted by another program: {error}");
                    self.waiters.clear();
                    false
                }
                counted => counted?,
            };
        }
        if self.is_counting {
            return Ok(());
        }
        self.reload_waiters = mem::take(&mut self.waiters);
        if unless_busy(sink.begin_reload(&mut self.reload, BEGIN_LIMIT).await)?.is_none() {
            self.reload_waiters.clear();
        }
        Ok(())
    }

    /// Waits for the end of the reload in progress. Returns `None` if there is none.
    pub(super) async fn reload_ended(&mut self) -> Option<Result<Totals, StoreError>> {
        totals_reload::end(&mut self.reload).await
    }

    /// Shows loaded totals, and replies to the waiting requests.
    pub(super) async fn finish_reload(
        &mut self,
        sink: &Sink,
        totals: Result<Totals, StoreError>,
    ) -> Result<(), StoreError> {
        let waiters = mem::take(&mut self.reload_waiters);
        let Some(totals) = unless_busy(totals)? else { return Ok(()) };
        sink.show_totals(totals).await?;
        for waiter in waiters {
            let _ = waiter.send(true);
        }
        Ok(())
    }
}

/// Returns `None` if the store was too busy to load the totals, which is not an error: it is usable, and the
/// next reload may succeed.
fn unless_busy<T>(loaded: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match loaded {
        Err(error @ StoreError::TimedOut) => {
            tracing::warn!("cannot read the totals, showing the previous ones: {error}");
            Ok(None)
        }
        loaded => loaded.map(Some),
    }
}
