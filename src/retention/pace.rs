//! How fast a run goes: so slowly that nobody notices.

use std::ops::Range;
use std::time::Duration;

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// The widest window, in pages or row numbers.
const WIDEST: i64 = 4_096;

/// Failures of the same window after which a run gives up.
const MAX_FAILURES: u32 = 5;

/// The rest after a window that failed: who was in the way may be gone then.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The width of the next window, and the rest before it.
#[derive(Debug)]
pub(super) struct Pace {
    width: i64,
    /// The narrowest window: below it, what a transaction costs by itself is most of it.
    least: i64,
    /// Rows that are deleted together at the most, unless the narrowest window has more.
    pub(super) most_rows: i64,
    /// How long a window is to take.
    target: Duration,
    /// How many times as long as a window took nothing is done afterwards.
    rest: u32,
    failures: u32,
}

impl Pace {
    /// A pace for Postgres, where writers wait for nothing that a run does.
    pub(super) const fn of_server() -> Self {
        Self {
            width: 64,
            least: 1,
            most_rows: 5_000,
            target: Duration::from_millis(50),
            rest: 31,
            failures: 0,
        }
    }

    /// A pace for SQLite, where a deletion keeps other writers waiting.
    pub(super) const fn of_file() -> Self {
        Self {
            width: 256,
            least: 256,
            most_rows: 500,
            target: Duration::from_millis(25),
            rest: 9,
            failures: 0,
        }
    }

    /// The next window, from `from` on.
    pub(super) fn window(&self, from: i64, end: i64) -> Range<i64> {
        from..end.min(from.saturating_add(self.width))
    }

    /// Takes less at a time when a window has more old rows than are deleted together; says whether it can.
    pub(super) fn narrow(&mut self, old: i64) -> bool {
        if old <= self.most_rows || self.width <= self.least {
            return false;
        }
        self.width = (self.width * self.most_rows / old).clamp(self.least, self.width - 1);
        true
    }

    /// Fits the width to how long a window took; gives the rest to take.
    pub(super) fn rest_after(&mut self, took: Duration) -> Duration {
        self.failures = 0;
        if took > self.target {
            self.width = (self.width / 2).max(self.least);
        } else if took < self.target / 2 {
            self.width = (self.width * 2).min(WIDEST);
        }
        (took * self.rest).min(LONGEST_REST)
    }

    /// The rest to take before a window that failed is tried again, in smaller parts; `None` when it failed too often.
    pub(super) fn rest_after_failure(&mut self) -> Option<Duration> {
        self.failures += 1;
        self.width = (self.width / 4).max(self.least);
        (self.failures < MAX_FAILURES).then_some(REST_AFTER_FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_become_as_wide_as_time_and_rows_allow() {
        let mut pace = Pace::of_server();
        assert_eq!(pace.window(0, 1_000), 0..64);
        assert_eq!(pace.rest_after(Duration::from_millis(5)), Duration::from_millis(155));
        assert_eq!(pace.window(64, 1_000), 64..192);
        assert!(pace.narrow(10_000));
        assert_eq!(pace.window(64, 1_000), 64..128);
        assert!(!pace.narrow(5_000));
        pace.rest_after(Duration::from_millis(51));
        assert_eq!(pace.window(128, 150), 128..150);
        assert_eq!(pace.window(128, 1_000), 128..160);
        for _ in 0..20 {
            pace.rest_after(Duration::ZERO);
        }
        assert_eq!(pace.window(0, i64::MAX), 0..WIDEST);
        assert_eq!(pace.rest_after(Duration::from_secs(9)), LONGEST_REST);
    }

    #[test]
    fn a_window_that_fails_is_tried_again_in_parts_and_given_up_in_the_end() {
        let mut pace = Pace::of_file();
        assert!(pace.rest_after_failure().is_some());
        assert_eq!(pace.window(0, 1_000), 0..256);
        pace.rest_after(Duration::from_millis(7));
        for _ in 1..MAX_FAILURES {
            assert!(pace.rest_after_failure().is_some());
        }
        assert!(pace.rest_after_failure().is_none());
        assert_eq!(pace.window(0, 1_000), 0..256);
        assert!(!pace.narrow(1_000_000), "it cannot be narrower");
    }
}
