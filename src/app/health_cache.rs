//! Whether the database responds, checked once for all concurrent callers.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a result is reused. Probes come from anywhere and have no quota: they must not overload the
/// database.
const FRESH: Duration = Duration::from_millis(100);

/// How long a caller waits for the database, and for a check that another caller has begun.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last result, and when it was obtained.
#[derive(Debug, Default)]
pub struct HealthCache(Mutex<Option<(Instant, bool)>>);

impl HealthCache {
    /// Returns whether the database responds: the last result if it is younger than [`FRESH`], otherwise that
    /// of calling `ask`. Only one caller calls it at a time.
    pub async fn check<E>(&self, ask: impl AsyncFnOnce() -> Result<(), E>) -> bool {
        let known = async {
            let mut last = self.0.lock().await;
            if let Some((at, answers)) = *last
                && at.elapsed() < FRESH
            {
                return answers;
            }
            let answers = ask().await.is_ok();
            *last = Some((Instant::now(), answers));
            answers
        };
        timeout(PATIENCE, known).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_ask_the_database_once() {
        let (cache, asked) = (HealthCache::default(), AtomicU32::new(0));
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(())
        };
        let answers = futures_util::future::join_all((0..1_000).map(|_| cache.check(ask))).await;
        assert!(answers.iter().all(|answers| !answers));
        assert_eq!(asked.into_inner(), 1);
    }
}
