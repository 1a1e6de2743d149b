//! Logs a failure when it begins, changes or ends, rather than at each attempt.

/// The last state that was logged.
#[derive(Debug)]
pub(crate) struct LogOnChange {
    failure: Option<String>,
    /// What is logged at the end of a failure.
    recovered: &'static str,
}

impl LogOnChange {
    /// Creates a log without a failure so far.
    pub(crate) const fn new(recovered: &'static str) -> Self {
        Self { failure: None, recovered }
    }

    /// Logs `failure` unless it was the last one to be logged, or that there is none any more.
    pub(crate) fn update(&mut self, failure: Option<String>) {
        match &failure {
            Some(text) if self.failure != failure => tracing::error!("{text}"),
            None if self.failure.is_some() => tracing::info!("{}", self.recovered),
            _ => {}
        }
        self.failure = failure;
    }
}
