//! The pace of a run: slow enough not to disturb other work.

use std::ops::Range;
use std::time::Duration;

/// The longest pause between two windows.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The largest window, in pages or row ids.
const MAX_WIDTH: i64 = 4_096;

/// Consecutive failures of a window after which a run fails.
const MAX_FAILURES: u32 = 5;

/// The pause after a failed window: a conflicting lock may be gone then.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The width of the next window, and the pause before it.
#[derive(Debug)]
pub(super) struct Pace {
    width: i64,
    /// The smallest window: below it, the fixed cost of a transaction dominates.
    min_width: i64,
    /// The maximum number of rows deleted in one transaction, unless the smallest window has more.
    pub(super) max_rows: i64,
    /// How long a window should take.
    target: Duration,
    /// The ratio of the pause after a window to the time it took.
    pause_factor: u32,
    failures: u32,
}

impl Pace {
    /// Creates the pace for Postgres, where a run does not block writers.
    pub(super) const fn for_server() -> Self {
        Self {
            width: 64,
            min_width: 1,
            max_rows: 5_000,
            target: Duration::from_millis(50),
            pause_factor: 31,
            failures: 0,
        }
    }

    /// Creates the pace for SQLite, where a deletion blocks other writers.
    pub(super) const fn for_file() -> Self {
        Self {
            width: 256,
            min_width: 256,
            max_rows: 500,
            target: Duration::from_millis(25),
            pause_factor: 9,
            failures: 0,
        }
    }

    /// Returns the next window, starting at `from`.
    pub(super) fn window(&self, from: i64, end: i64) -> Range<i64> {
        from..end.min(from.saturating_add(self.width))
    }

    /// Narrows a window that has more old rows than may be deleted together. Returns `false` if it has not,
    /// or cannot be narrowed.
    pub(super) fn narrow(&mut self, old: i64) -> bool {
        if old <= self.max_rows || self.width <= self.min_width {
            return false;
        }
        self.width = (self.width * self.max_rows / old).clamp(self.min_width, self.width - 1);
        true
    }

    /// Adjusts the width to how long a window took. Returns the pause before the next one.
    pub(super) fn pause_after(&mut self, took: Duration) -> Duration {
        self.failures = 0;
        if took > self.target {
            self.width = (self.width / 2).max(self.min_width);
        } else if took < self.target / 2 {
            self.width = (self.width * 2).min(MAX_WIDTH);
        }
        (took * self.pause_factor).min(MAX_PAUSE)
    }

    /// Narrows the window that failed. Returns the pause before it is retried, or `None` after too many
    /// failures.
    pub(super) fn pause_after_failure(&mut self) -> Option<Duration> {
        self.failures += 1;
        self.width = (self.width / 4).max(self.min_width);
        (self.failures < MAX_FAILURES).then_some(PAUSE_AFTER_FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_as_far_as_time_and_rows_allow() {
        let mut pace = Pace::for_server();
        assert_eq!(pace.window(0, 1_000), 0..64);
        assert_eq!(pace.pause_after(Duration::from_millis(5)), Duration::from_millis(155));
        assert_eq!(pace.window(64, 1_000), 64..192);
        assert!(pace.narrow(10_000));
        assert_eq!(pace.window(64, 1_000), 64..128);
        assert!(!pace.narrow(5_000));
        pace.pause_after(Duration::from_millis(51));
        assert_eq!(pace.window(128, 150), 128..150);
        assert_eq!(pace.window(128, 1_000), 128..160);
        for _ in 0..20 {
            pace.pause_after(Duration::ZERO);
        }
        assert_eq!(pace.window(0, i64::MAX), 0..MAX_WIDTH);
        assert_eq!(pace.pause_after(Duration::from_secs(9)), MAX_PAUSE);
    }

    #[test]
    fn a_failed_window_is_retried_in_parts_until_there_are_too_many_failures() {
        let mut pace = Pace::for_file();
        assert!(pace.pause_after_failure().is_some());
        assert_eq!(pace.window(0, 1_000), 0..256);
        pace.pause_after(Duration::from_millis(7));
        for _ in 1..MAX_FAILURES {
            assert!(pace.pause_after_failure().is_some());
        }
        assert!(pace.pause_after_failure().is_none());
        assert_eq!(pace.window(0, 1_000), 0..256);
        assert!(!pace.narrow(1_000_000), "it cannot be narrower");
    }
}
