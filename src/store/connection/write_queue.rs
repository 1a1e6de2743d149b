//! The queue of those who write to a file. SQLite has one writer at a time and no queue: a writer that finds the file locked
//! polls, at last only every tenth of a second, and may poll in vain for seconds beside a writer that locks it again each
//! time. So the writers of this process queue here, and leave the file to those of other processes now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

/// The file is left unlocked for the time that it was held divided by this, because nobody knows whether another process waits.
/// Others find it free at one poll in thirteen; in the five seconds that most programs wait they poll nearly sixty times.
const HELD_PER_REST: u32 = 12;

/// The same while other processes write too: one poll in six.
const HELD_PER_REST_SHARED: u32 = 5;

/// For how long after another process wrote it is assumed to write more.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// Shorter rests are added up: timers count milliseconds.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// No rest is longer. Others poll at least once in this time.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Who may write next: whoever waits longest.
#[derive(Debug, Clone)]
pub(in crate::store) struct WriteQueue {
    last: Arc<tokio::sync::Mutex<LastTurn>>,
    others: Arc<Mutex<Others>>,
}

#[derive(Debug)]
struct LastTurn {
    /// When the last turn ended.
    ended: Instant,
    /// For how long the file is to be left unlocked from then on.
    owed: Duration,
}

/// What is known of other processes that write.
#[derive(Debug, Default)]
struct Others {
    version: Option<i64>,
    wrote_at: Option<Instant>,
}

/// The right to write, until it is dropped.
pub(in crate::store) struct WriteTurn {
    last: OwnedMutexGuard<LastTurn>,
    begun: Instant,
    held_per_rest: u32,
}

impl WriteQueue {
    pub(in crate::store) fn new() -> Self {
        let last = LastTurn { ended: Instant::now(), owed: Duration::ZERO };
        Self { last: Arc::new(tokio::sync::Mutex::new(last)), others: Arc::default() }
    }

    /// Waits for a turn, and until others had time for theirs.
    pub(in crate::store) async fn take(&self) -> WriteTurn {
        let mut last = self.last.clone().lock_owned().await;
        last.owed = last.owed.saturating_sub(last.ended.elapsed());
        if last.owed >= SHORTEST_REST {
            sleep(last.owed).await;
            last.owed = Duration::ZERO;
        }
        let held_per_rest = if self.is_shared() { HELD_PER_REST_SHARED } else { HELD_PER_REST };
        WriteTurn { last, begun: Instant::now(), held_per_rest }
    }

    fn is_shared(&self) -> bool {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.wrote_at.is_some_and(|at| at.elapsed() < SHARED_FOR)
    }

    /// Takes note of a connection's `data_version`, which changes when another connection wrote into the file.
    pub(in crate::store) fn note_version(&self, version: i64) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.version.replace(version).is_some_and(|before| before != version) {
            others.wrote_at = Some(Instant::now());
        }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        let owed = self.last.owed + self.begun.elapsed() / self.held_per_rest;
        *self.last = LastTurn { ended: Instant::now(), owed: owed.min(LONGEST_REST) };
    }
}
