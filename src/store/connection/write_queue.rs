//! The queue of writers to a SQLite file. SQLite allows one writer at a time but has no queue: a writer that
//! finds the file locked polls, with intervals of up to a tenth of a second, and may starve for seconds
//! beside a writer that locks it again and again. So the writers of this process queue here, and regularly
//! leave the file to other processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

/// The ratio of the time that the file is locked to the pause that follows, in which other processes may lock
/// it. They find it free at one poll in thirteen; in the five seconds that most programs wait they poll
/// nearly sixty times.
const HELD_PER_PAUSE: u32 = 12;

/// The same ratio while other processes write too, who then find the file free at one poll in six.
const HELD_PER_PAUSE_SHARED: u32 = 5;

/// How long after a write by another process more of them are expected.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// The same ratio of a writer that gives way: work that nobody waits for, beside a service that must write in time.
const HELD_PER_PAUSE_GIVING_WAY: u32 = 2;

/// Shorter pauses are accumulated: timers have a resolution of a millisecond.
const MIN_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause. Other processes poll at least once in this time.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// A fair queue of writers.
#[derive(Debug, Clone)]
pub(in crate::store) struct WriteQueue {
    last: Arc<tokio::sync::Mutex<LastWrite>>,
    others: Arc<Mutex<Others>>,
    /// Whether this process gives way to others.
    gives_way: Arc<AtomicBool>,
}

#[derive(Debug)]
struct LastWrite {
    /// When the last write ended.
    ended: Instant,
    /// How long the file must stay unlocked from then on.
    owed: Duration,
}

/// What is known about writes by other processes.
#[derive(Debug, Default)]
struct Others {
    version: Option<i64>,
    wrote_at: Option<Instant>,
}

/// The right to write, released on drop.
pub(in crate::store) struct WritePermit {
    last: OwnedMutexGuard<LastWrite>,
    begun: Instant,
    held_per_pause: u32,
}

impl WriteQueue {
    pub(in crate::store) fn new() -> Self {
        let last = LastWrite { ended: Instant::now(), owed: Duration::ZERO };
        Self {
            last: Arc::new(tokio::sync::Mutex::new(last)),
            others: Arc::default(),
            gives_way: Arc::default(),
        }
    }

    /// Waits until this writer is first in the queue and the pause after the last write is over.
    pub(in crate::store) async fn acquire(&self) -> WritePermit {
        let mut last = self.last.clone().lock_owned().await;
        last.owed = last.owed.saturating_sub(last.ended.elapsed());
        let gives_way = self.gives_way();
        // Whoever has waited for long polls once in the longest pause, and finds the file free then.
        if last.owed >= if gives_way { MAX_PAUSE } else { MIN_PAUSE } {
            sleep(last.owed).await;
            last.owed = Duration::ZERO;
        }
        let held_per_pause = match (gives_way, self.is_shared()) {
            (true, _) => HELD_PER_PAUSE_GIVING_WAY,
            (false, true) => HELD_PER_PAUSE_SHARED,
            (false, false) => HELD_PER_PAUSE,
        };
        WritePermit { last, begun: Instant::now(), held_per_pause }
    }

    /// Has the writers of this process leave the file to others for a third of the time.
    pub(in crate::store) fn give_way(&self) {
        self.gives_way.store(true, Ordering::Relaxed);
    }

    /// Whether they do.
    pub(in crate::store) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    fn is_shared(&self) -> bool {
        let others = self.others.lock();
        others.wrote_at.is_some_and(|at| at.elapsed() < SHARED_FOR)
    }

    /// Records a connection's `data_version`, which changes when another connection has written to the file.
    pub(in crate::store) fn record_version(&self, version: i64) {
        let mut others = self.others.lock();
        if others.version.replace(version).is_some_and(|before| before != version) {
            others.wrote_at = Some(Instant::now());
        }
    }
}

impl Drop for WritePermit {
    fn drop(&mut self) {
        let owed = self.last.owed + self.begun.elapsed() / self.held_per_pause;
        *self.last = LastWrite { ended: Instant::now(), owed: owed.min(MAX_PAUSE) };
    }
}
