//! Quotas: fixed windows that open with a caller's first request and close as a whole.
//!
//! A [`Quota`] says how many requests are allowed, a limiter ([`memory::Limiter`], [`shared::Limiter`]) counts them, a
//! [`Decision`] says what came of one request. Time is passed in, in milliseconds since 1970.

mod counts;
mod flood;
mod limits;
pub mod memory;
mod notation;
pub mod shared;

pub use flood::{ByCaller, Flood, FloodConfig};
pub use limits::Limits;
pub use notation::NoQuota;

use std::fmt;

use strum::VariantArray;

/// The most windows one quota may have.
pub const MAX_WINDOWS: usize = 4;

/// How many requests a caller may make on a route: one window or several, all of which must have room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota(Vec<Window>);

impl Quota {
    /// The windows; at least one, at most [`MAX_WINDOWS`].
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.0
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

/// A count of requests in a span of time. Its text is the message of a refusal: `100 per 1 minute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests that pass; at least 1.
    pub limit: u32,
    /// How many of [`Window::unit`] the window lasts; at least 1.
    pub multiple: u32,
    /// The unit of time.
    pub unit: Unit,
}

impl Window {
    /// How long the window lasts, in milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        i64::from(self.multiple) * self.unit.seconds() * 1_000
    }

    /// The request with which a caller comes near the limit: 80 % of it, rounded up.
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
    /// 30 days, as flask-limiter counts it.
    Month,
    /// Twelve months of 30 days, as flask-limiter counts it.
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

/// What a limiter says of one request: the state of the window with the least room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The window it speaks of.
    pub window: Window,
    /// Whether the request passes; one that does not consumes nothing.
    pub allowed: bool,
    /// Whether with this request the caller has used 80 % of a window: true once in each window.
    pub near: bool,
    /// Requests left in the window after this one.
    pub remaining: u32,
    /// When the window closes, in milliseconds since 1970.
    pub closes_ms: i64,
    /// How long a refused caller must wait, in milliseconds; 0 for a request that passes.
    pub retry_ms: i64,
}

impl Decision {
    /// `X-RateLimit-Reset`: the first whole second at which the window is closed, since 1970.
    #[must_use]
    pub fn reset_seconds(&self) -> i64 {
        ceil_seconds(self.closes_ms)
    }

    /// `Retry-After`: whole seconds, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> i64 {
        ceil_seconds(self.retry_ms).max(1)
    }
}

fn ceil_seconds(millis: i64) -> i64 {
    millis.div_euclid(1_000) + i64::from(millis.rem_euclid(1_000) > 0)
}
