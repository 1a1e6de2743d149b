//! Quotas: fixed windows that open with a caller's first request and close as a whole.
//!
//! A [`Quota`] is how many requests are allowed, a limiter ([`memory::Limiter`], [`shared::Limiter`]) counts
//! them, and a [`Decision`] is the outcome for one request. Times are passed in, in milliseconds since 1970.

mod counts;
mod flood;
mod limits;
pub mod memory;
mod notation;
pub mod shared;

pub use flood::Flood;
pub use limits::{CallerClass, Counted, Limits};
pub use notation::InvalidQuota;

use std::fmt;

use strum::VariantArray;

/// The maximum number of windows of a quota.
pub const MAX_WINDOWS: usize = 4;

/// The rate of requests, per second, that no single caller sustains: several times what one replica answers. A limit at or above
/// it limits nobody.
pub const LIMITS_NOBODY_PER_SECOND: u64 = 10_000;

/// The longest time, in seconds, for which a caller at that rate counts as unlimited.
const UNLIMITED_SECONDS: u64 = 86_400;

/// How many requests a caller may make on a route: one or several windows, all of which must have room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota(Vec<Window>);

impl Quota {
    /// Returns the windows; at least one, at most [`MAX_WINDOWS`].
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// Returns whether it is so high that it limits nobody: every window has room for a day, or for its whole length, of
    /// [`LIMITS_NOBODY_PER_SECOND`].
    #[must_use]
    pub fn limits_nobody(&self) -> bool {
        self.0.iter().all(|window| {
            let seconds = window.millis().unsigned_abs() / 1_000;
            u64::from(window.limit) >= LIMITS_NOBODY_PER_SECOND * seconds.min(UNLIMITED_SECONDS)
        })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, window) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{window}")?;
        }
        Ok(())
    }
}

/// A number of requests per span of time. Its text is the message of a refusal: `100 per 1 minute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The number of allowed requests; at least 1.
    pub limit: u32,
    /// The length of the window in [`Window::unit`]s; at least 1.
    pub multiple: u32,
    /// The unit of time.
    pub unit: Unit,
}

impl Window {
    /// Returns the length of the window, in milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        i64::from(self.multiple) * self.unit.seconds() * 1_000
    }

    /// Returns the number of requests that is near the limit: 80 % of it, rounded up.
    const fn near(self) -> u32 {
        self.limit - self.limit / 5
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} {}", self.limit, self.multiple, self.unit.name())
    }
}

/// A unit of time in the notation of quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Unit {
    /// One second.
    Second,
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days, as in flask-limiter.
    Month,
    /// Twelve months of 30 days, as in flask-limiter.
    Year,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    const fn seconds(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
            Self::Year => 12 * 30 * 86_400,
        }
    }
}

/// The outcome for one request, with the state of the window that has the least room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// That window.
    pub window: Window,
    /// Whether the request is allowed; a refused one consumes nothing.
    pub allowed: bool,
    /// Whether this request brought a window to 80 % of its limit: true once per window.
    pub near: bool,
    /// Requests left in the window after this one.
    pub remaining: u32,
    /// When the window closes, in milliseconds since 1970.
    pub closes_ms: i64,
    /// How long a refused caller must wait, in milliseconds; 0 for an allowed request.
    pub retry_ms: i64,
}

impl Decision {
    /// Returns the value of `X-RateLimit-Reset`: the first whole second since 1970 at which the window is
    /// closed.
    #[must_use]
    pub fn reset_seconds(&self) -> i64 {
        ceil_seconds(self.closes_ms)
    }

    /// Returns the value of `Retry-After`: whole seconds, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> i64 {
        ceil_seconds(self.retry_ms).max(1)
    }
}

fn ceil_seconds(millis: i64) -> i64 {
    millis.div_euclid(1_000) + i64::from(millis.rem_euclid(1_000) > 0)
}
