//! Asks the read replica how far it is behind, so that analytics is read from the primary when it must be.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::log_on_change::LogOnChange;
use crate::metrics::ReplicaMetrics;
use crate::store::{MAX_LAG, Store};

/// How often the replica is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Watches the replica of a store.
#[derive(Debug)]
pub(super) struct ReplicaWatch {
    store: Store,
    metrics: ReplicaMetrics,
    log: LogOnChange,
}

impl ReplicaWatch {
    pub(super) const fn new(store: Store, metrics: ReplicaMetrics) -> Self {
        Self { store, metrics, log: LogOnChange::new("analytics is read from the replica again") }
    }

    /// Asks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.ask().await;
            if stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn ask(&mut self) {
        let Some(state) = self.store.check_replica().await else { return };
        let failure = match &state {
            Ok(state) if state.is_usable() => None,
            Ok(_) => Some(format!("it is more than {} s behind", MAX_LAG.as_secs())),
            Err(error) => Some(error.to_string()),
        };
        self.metrics.show(failure.is_none(), state.ok().map(|state| state.lag));
        let why = failure.map(|why| {
            format!("analytics is read from the primary, as the replica of DATABASE_READ_URL cannot be used: {why}")
        });
        self.log.update(why);
    }
}
