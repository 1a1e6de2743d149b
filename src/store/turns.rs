//! Turns at writing into a file. SQLite has one writer at a time and no queue: who finds the file taken looks again later,
//! at last only every tenth of a second, and in vain for seconds where another writer takes it anew each time. So the
//! writers of this process queue here, and leave the file to those of other processes now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

/// The file is left alone for the time that it was held divided by this: nobody knows whether somebody waits. Others find
/// it free at one look in thirteen; in the five seconds that most programs wait they look nearly sixty times.
const HELD_PER_REST: u32 = 12;

/// The same while others write too: one look in six.
const HELD_PER_REST_SHARED: u32 = 5;

/// For how long after another's write it is taken that others write too.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// Shorter rests are put together: timers count milliseconds.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// No rest is longer. Others look at least once in this time.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Who may write next: whoever waits longest.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    past: Arc<tokio::sync::Mutex<Past>>,
    others: Arc<Mutex<Others>>,
}

#[derive(Debug)]
struct Past {
    /// When the last turn ended.
    ended: Instant,
    /// For how long the file shall be left alone, from then on.
    owed: Duration,
}

/// What is known of others who write.
#[derive(Debug, Default)]
struct Others {
    version: Option<i64>,
    wrote_at: Option<Instant>,
}

/// The right to write, until it is dropped.
pub(super) struct Turn {
    past: OwnedMutexGuard<Past>,
    begun: Instant,
    held_per_rest: u32,
}

impl Turns {
    pub(super) fn new() -> Self {
        let past = Past { ended: Instant::now(), owed: Duration::ZERO };
        Self { past: Arc::new(tokio::sync::Mutex::new(past)), others: Arc::default() }
    }

    /// Waits for a turn, and until others had time for theirs.
    pub(super) async fn take(&self) -> Turn {
        let mut past = self.past.clone().lock_owned().await;
        past.owed = past.owed.saturating_sub(past.ended.elapsed());
        if past.owed >= SHORTEST_REST {
            sleep(past.owed).await;
            past.owed = Duration::ZERO;
        }
        let held_per_rest = if self.is_shared() { HELD_PER_REST_SHARED } else { HELD_PER_REST };
        Turn { past, begun: Instant::now(), held_per_rest }
    }

    fn is_shared(&self) -> bool {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.wrote_at.is_some_and(|at| at.elapsed() < SHARED_FOR)
    }

    /// Takes note of a connection's `data_version`, which changes when another connection wrote into the file.
    pub(super) fn note_version(&self, version: i64) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.version.replace(version).is_some_and(|before| before != version) {
            others.wrote_at = Some(Instant::now());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let owed = self.past.owed + self.begun.elapsed() / self.held_per_rest;
        *self.past = Past { ended: Instant::now(), owed: owed.min(LONGEST_REST) };
    }
}
