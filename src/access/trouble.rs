//! What keeps a task from its work, logged when it changes.

/// What was last told.
#[derive(Debug)]
pub(crate) struct Trouble {
    told: Option<String>,
    /// What is logged when it is over.
    over: &'static str,
}

impl Trouble {
    /// None so far.
    pub(crate) const fn none(over: &'static str) -> Self {
        Self { told: None, over }
    }

    /// Tells what is found now: a trouble that was not told last, or that there is none any more.
    pub(crate) fn tell(&mut self, found: Option<String>) {
        match &found {
            Some(what) if self.told != found => tracing::error!("{what}"),
            None if self.told.is_some() => tracing::info!("{}", self.over),
            _ => {}
        }
        self.told = found;
    }
}
