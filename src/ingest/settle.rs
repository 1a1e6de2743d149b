//! Moves rollups that batches left pending into their tables, beside the batches that follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How long pending rollups are left to gather: the more there are, the fewer rows they come to each.
const GATHER: Duration = Duration::from_millis(250);

/// Moves rollups whenever some are `due`, until `stop`.
pub(super) async fn run(store: Store, due: Arc<Notify>, stop: CancellationToken) {
    let mut trouble = String::new();
    let settle = async {
        loop {
            due.notified().await;
            sleep(GATHER).await;
            settle(&store, &mut trouble).await;
        }
    };
    stop.run_until_cancelled(settle).await;
}

/// Moves all that is pending. An error is told when it is another than last time; what is left is moved the next time.
async fn settle(store: &Store, trouble: &mut String) {
    loop {
        match store.settle_rollups().await {
            Ok(true) => {}
            Ok(false) => return trouble.clear(),
            Err(error) => {
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
