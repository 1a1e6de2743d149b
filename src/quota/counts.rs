//! The fixed-window algorithm, which all limiters share.

use super::{Decision, MAX_WINDOWS, Quota, Window};

/// The accepted difference between the clocks of replicas that share counts, in milliseconds. A window that
/// closes later than its length plus this was opened by a wrong clock.
pub(super) const MAX_CLOCK_SKEW_MS: i64 = 10_000;

/// The state of a caller's windows, in the order of its quota's windows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts(pub(super) [Count; MAX_WINDOWS]);

/// The state of a window: when it closes, in milliseconds since 1970, and how many requests it has allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) closes_ms: i64,
    pub(super) passed: u32,
}

impl Counts {
    /// Counts a request at `now_ms` in all windows or in none, and decides whether it is allowed. `take` is
    /// 1, or 0 to check without counting. The state changes only if the request is allowed and counted.
    pub(super) fn hit(&mut self, quota: &Quota, take: u32, now_ms: i64) -> Decision {
        let mut counts = *self;
        for (window, count) in quota.windows().iter().zip(&mut counts.0) {
            count.reopen_if_closed(*window, now_ms);
        }
        let allowed =
            quota.windows().iter().zip(&counts.0).all(|(window, count)| count.passed < window.limit);
        if allowed && take > 0 {
            counts.0[..quota.windows().len()].iter_mut().for_each(|count| count.passed += take);
            *self = counts;
        }
        counts.decision(quota, take, allowed, now_ms)
    }

    /// Returns the decision on a request that is already counted, if allowed.
    pub(super) fn decision(&self, quota: &Quota, take: u32, allowed: bool, now_ms: i64) -> Decision {
        let counts = || quota.windows().iter().zip(&self.0);
        let near = allowed && take > 0 && counts().any(|(window, count)| count.passed == window.near());
        let decisions = counts().map(|(window, count)| count.decision(*window, allowed, now_ms));
        let decision = decisions.min_by_key(|decision| (decision.remaining, -decision.closes_ms));
        Decision { near, ..decision.expect("a quota has at least one window") }
    }

    /// Returns when the last window closes; from then on the caller need not be remembered.
    pub(super) fn idle_from(&self) -> i64 {
        self.0.iter().map(|count| count.closes_ms).max().unwrap_or(0)
    }
}

impl Count {
    fn reopen_if_closed(&mut self, window: Window, now_ms: i64) {
        if now_ms >= self.closes_ms || self.closes_ms - now_ms > window.millis() + MAX_CLOCK_SKEW_MS {
            *self = Self { closes_ms: now_ms + window.millis(), passed: 0 };
        }
    }

    fn decision(self, window: Window, allowed: bool, now_ms: i64) -> Decision {
        let remaining = window.limit.saturating_sub(self.passed);
        let refuses = !allowed && remaining == 0;
        let retry_ms = if refuses { self.closes_ms - now_ms } else { 0 };
        Decision { window, allowed, near: false, remaining, closes_ms: self.closes_ms, retry_ms }
    }
}
