//! The coarse flood limit: a steady rate for each caller, with bursts of twice as many (GCRA, by `tower_governor`).
//! It is no window, so quotas are counted elsewhere. Who holds a key has a rate of its own, whatever others send from the
//! same address. Tokens have not: to check one takes longer than a flood must take.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use crate::auth::Caller;

/// How many times the rate a burst may be.
const BURST: u32 = 2;

/// What the layer of `tower_governor` takes.
pub type FloodConfig = GovernorConfig<ByCaller, NoOpMiddleware<QuantaInstant>>;

/// The flood limit of all routes together.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Requests a second.
    pub per_second: u32,
    /// The counts.
    pub config: Arc<FloodConfig>,
}

impl Flood {
    /// A limit of `per_second` requests for each caller; at least 1.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let mut config = GovernorConfigBuilder::default().key_extractor(ByCaller);
        config.period(Duration::from_secs(1) / per_second.max(1));
        config.burst_size(per_second.saturating_mul(BURST).max(1));
        let config = config.finish().expect("neither rate nor burst is zero");
        Self { per_second, config: Arc::new(config) }
    }

    /// Forgets callers that have been quiet, which the limiter does not do by itself.
    pub fn sweep(&self) {
        self.config.limiter().retain_recent();
        self.config.limiter().shrink_to_fit();
    }
}

/// Keys the limit by who makes the request, as the layer around found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = Caller;

    fn extract<T>(&self, request: &Request<T>) -> Result<Caller, GovernorError> {
        request.extensions().get().copied().ok_or(GovernorError::UnableToExtractKey)
    }
}
