//! The task that reads the business profiles again, beside the writing of events: another replica, the command line or the
//! receptionist app may have changed them.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::log_on_change::LogOnChange;
use crate::store::Store;

/// Reads the profiles `every` so often, until `stop`. The ingest task has read them before the first event.
pub(super) async fn run(store: Store, every: Duration, stop: CancellationToken) {
    let mut log = LogOnChange::new("business profiles can be read again");
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(loaded) = stop.run_until_cancelled(store.load_profiles()).await else { break };
        let failure = loaded.err();
        log.update(
            failure
                .map(|error| format!("cannot read business profiles, keeping the last ones read: {error}")),
        );
    }
}
