//! The flood limit: a steady rate for each caller, with bursts of twice as many (GCRA, by `governor`). It is not a fixed window, so
//! it is separate from quotas. The holder of a key, or of a token that was verified before, has a separate rate, whatever else its
//! address sends.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Unit, Window};
use crate::auth::Caller;

/// The ratio of the burst size to the rate.
const BURST: u32 = 2;

/// The flood limit shared by all routes.
#[derive(Debug)]
pub struct Flood {
    per_second: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<Caller>,
}

impl Flood {
    /// Creates a limit of `per_second` requests for each caller; at least 1.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
        Self { per_second, limiter: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)) }
    }

    /// Counts a request of `caller`. Returns how long the caller must wait if it is over the limit.
    pub fn hit(&self, caller: &Caller) -> Result<(), Duration> {
        let refused = |until: governor::NotUntil<_>| until.wait_time_from(DefaultClock::default().now());
        self.limiter.check_key(caller).map_err(refused)
    }

    /// Returns the limit in the form of a quota's window.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { limit: self.per_second.get(), multiple: 1, unit: Unit::Second }
    }

    /// Removes idle callers, which the limiter does not do by itself.
    pub fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}
