//! Writes the head of the audit trail to a file outside the database, so that entries removed from the end of the trail, or a trail
//! that was rewritten, show.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::chain::Head;
use crate::clock::{Clock, timestamp};
use crate::log_on_change::LogOnChange;
use crate::metrics::Metrics;
use crate::store::Store;

/// How often the trail is looked at; other processes append to it too.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at the head, shows it in the metrics, and appends it to the file when it changes.
#[derive(Debug)]
pub struct HeadKeeper {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    /// The file, unless none is set.
    path: Option<PathBuf>,
    written: Option<Head>,
    log: LogOnChange,
}

impl HeadKeeper {
    /// Creates a keeper that writes to the file at `path`, if there is one.
    #[must_use]
    pub fn new(store: Store, clock: Clock, metrics: Metrics, path: Option<PathBuf>) -> Self {
        let log = LogOnChange::new("the head of the audit trail can be written to AUDIT_HEAD_FILE again");
        Self { store, clock, metrics, path, written: None, log }
    }

    /// Keeps the head until `ending`, and looks a last time then.
    pub async fn run(mut self, ending: CancellationToken) {
        loop {
            let is_last = ending.is_cancelled();
            self.look().await;
            if is_last {
                return;
            }
            ending.run_until_cancelled(sleep(LOOK_EVERY)).await;
        }
    }

    async fn look(&mut self) {
        // A store that is away is reported by those who need it.
        let Ok(Some(head)) = self.store.audit_head().await else { return };
        self.metrics.show_audit_head(head.seq);
        let Some(path) = self.path.clone().filter(|_| self.written != Some(head)) else { return };
        let line = format!("{head} {}\n", timestamp(self.clock.now()));
        let written = spawn_blocking(move || append(&path, &line)).await;
        let error = match written {
            Ok(Ok(())) => {
                self.written = Some(head);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.log.update(error.map(|error| {
            format!("cannot write the head of the audit trail to AUDIT_HEAD_FILE: {error}; trying again")
        }));
    }
}

/// Appends a line to the file, which is created if it is missing, and waits until it is on the disk.
fn append(path: &PathBuf, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()
}
