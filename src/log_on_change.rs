//! Logs a failure when it begins, changes or ends, rather than at each attempt.

/// The last logged state.
#[derive(Debug)]
pub(crate) struct LogOnChange {
    failure: Option<String>,
    /// The message on recovery.
    recovered: &'static str,
}

impl LogOnChange {
    /// Creates a log in the state without a failure.
    pub(crate) const fn new(recovered: &'static str) -> Self {
        Self { failure: None, recovered }
    }

    /// Logs `failure` if it differs from the last one, or the recovery if there is none any more.
    pub(crate) fn update(&mut self, failure: Option<String>) {
        match &failure {
            Some(text) if self.failure != failure => tracing::error!("{text}"),
            None if self.failure.is_some() => tracing::info!("{}", self.recovered),
            _ => {}
        }
        self.failure = failure;
    }
}
