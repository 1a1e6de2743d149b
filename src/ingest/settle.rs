//! Moves rollups that batches left pending into their tables, beside the batches that follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// How long pending rollups are left to gather: the more there are, the fewer rows they come to each.
const GATHER: Duration = Duration::from_millis(250);

/// Batches whose rollups are moved together, unless that takes too long. More together are less work, but keep a core of the
/// database busy for longer than events should have to wait.
const TOGETHER: i64 = 64;

/// Moves rollups whenever some are `due`, until `stop`.
pub(super) async fn run(store: Store, due: Arc<Notify>, stop: CancellationToken) {
    let (mut together, mut trouble) = (TOGETHER, String::new());
    let settle = async {
        loop {
            due.notified().await;
            sleep(GATHER).await;
            settle(&store, &mut together, &mut trouble).await;
        }
    };
    stop.run_until_cancelled(settle).await;
}

/// Moves all that is pending. An error is told when it is another than last time; what is left is moved the next time, in
/// smaller steps where one took too long.
async fn settle(store: &Store, together: &mut i64, trouble: &mut String) {
    loop {
        let begun = Instant::now();
        match store.settle_rollups(*together).await {
            // Half of the time belongs to others.
            Ok(true) => sleep(begun.elapsed()).await,
            Ok(false) => {
                *together = TOGETHER;
                return trouble.clear();
            }
            Err(error) => {
                if matches!(error, StoreError::TimedOut) {
                    *together = (*together / 4).max(1);
                }
                let error = error.to_string();
                if *trouble != error {
                    tracing::warn!("pending rollups stay pending: {error}");
                }
                *trouble = error;
                return;
            }
        }
    }
}
