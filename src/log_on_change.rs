//! Logs a failure when it begins, changes or ends, rather than at each attempt.

/// The last logged state.
#[derive(Debug)]
pub(crate) struct LogOnChange {
    failure: Option<String>,
    /// The message on recovery.
    recovered: &'static str,
}

impl LogOnChange {
    /// Creates a log whose initial state is no failure.
    pub(crate) const fn new(recovered: &'static str) -> Self {
        Self { failure: None, recovered }
    }

    /// Logs `failure` if it differs from the last one; logs the recovery if it is `None` after a failure.
    pub(crate) fn update(&mut self, failure: Option<String>) {
        match &failure {
            Some(text) if self.failure != failure => tracing::error!("{text}"),
            None if self.failure.is_some() => tracing::info!("{}", self.recovered),
            _ => {}
        }
        self.failure = failure;
    }
}
