//! The flood limit: a steady rate for each caller, with bursts of twice as many (GCRA, by `tower_governor`).
//! It is not a fixed window, so it is separate from quotas. The holder of a key has a separate rate, whatever
//! else its address sends. The bearer of a token shares that of its address: verifying tokens is too
//! expensive during a flood.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use crate::auth::Caller;

/// The ratio of the burst size to the rate.
const BURST: u32 = 2;

/// The configuration of the `tower_governor` layer.
pub type FloodConfig = GovernorConfig<ByCaller, NoOpMiddleware<QuantaInstant>>;

/// The flood limit shared by all routes.
#[derive(Debug, Clone)]
pub struct Flood {
    /// The rate, in requests per second.
    pub per_second: u32,
    /// The configuration, which contains the counts.
    pub config: Arc<FloodConfig>,
}

impl Flood {
    /// Creates a limit of `per_second` requests for each caller; at least 1.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let mut config = GovernorConfigBuilder::default().key_extractor(ByCaller);
        config.period(Duration::from_secs(1) / per_second.max(1));
        config.burst_size(per_second.saturating_mul(BURST).max(1));
        let config = config.finish().expect("neither rate nor burst is zero");
        Self { per_second, config: Arc::new(config) }
    }

    /// Removes idle callers, which the limiter does not do by itself.
    pub fn sweep(&self) {
        self.config.limiter().retain_recent();
        self.config.limiter().shrink_to_fit();
    }
}

/// Limits by [`Caller`], which an outer layer has determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = Caller;

    fn extract<T>(&self, request: &Request<T>) -> Result<Caller, GovernorError> {
        request.extensions().get().copied().ok_or(GovernorError::UnableToExtractKey)
    }
}
