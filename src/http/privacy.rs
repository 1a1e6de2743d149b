//! `/privacy/…`: requests of data subjects under the GDPR, for callers with the scope `privacy`. The public
//! notice is in `notice.rs`.

pub mod consents;
pub mod erase;
pub mod export;
pub mod requests;
pub mod subject_selector;

use std::time::Duration;

use super::error::ApiError;
use crate::app::App;
use crate::audit::Actor;
use crate::privacy::subject::Hasher;
use crate::privacy::{Desk, DeskError};
use crate::store::StoreError;

/// Returns the desk that handles one request.
fn desk(app: &App, hasher: Hasher, by: Actor) -> Desk<'_> {
    Desk {
        store: &app.store,
        ingest: &app.ingest,
        metrics: &app.metrics,
        hasher,
        zone: app.config.time_zone,
        now: app.clock.now(),
        by,
    }
}

/// The time limit of handling one request: less than the time limit of any HTTP request.
const LIMIT: Duration = Duration::from_secs(9);

/// Awaits `done` within [`LIMIT`].
async fn in_time<T>(done: impl Future<Output = Result<T, DeskError>>) -> Result<T, DeskError> {
    let done = tokio::time::timeout(LIMIT, done).await;
    done.unwrap_or(Err(DeskError::Store(StoreError::TimedOut)))
}

/// Parses a boolean parameter; `false` if it is absent.
fn truth(name: &'static str, text: Option<&str>) -> Result<bool, ApiError> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::InvalidField(name, "must be true or false".to_owned())),
    }
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Unknown => Self::NotFound("No data is stored about this person"),
            DeskError::TooMany => Self::TooLarge(
                "This person has more than 100000 rows, 32 MiB of data or 1000000 events; name their conversations \
                 one by one, by conversation_id",
            ),
            DeskError::Unsettled(error) => {
                tracing::error!("privacy request failed: {error}");
                Self::NotReady(
                    "Events that may belong to this person are still being written from the spool to the database. \
                     Nothing was changed. Check the database and SPOOL_DIR, and try again in a minute",
                )
            }
            DeskError::Store(error) => of_store(&error),
        }
    }
}

fn of_store(error: &StoreError) -> ApiError {
    tracing::error!("privacy request failed: {error}");
    match error {
        StoreError::Conflict(_) => ApiError::NotReady(
            "Another program holds a lock on this person's rows. Nothing was changed; try again later",
        ),
        StoreError::TimedOut => ApiError::NotReady(
            "The database did not respond in time. Check with dry_run=true whether the erasure took place, then \
             try again",
        ),
        StoreError::Refused { constraint, .. } => ApiError::Conflict(format!(
            "A database constraint prevents it ({constraint}). Nothing was changed"
        )),
        StoreError::UnknownBusiness => ApiError::Conflict(
            "Rows in another table still refer to this person's rows, so the database does not allow deleting \
             them. Nothing was changed"
                .to_owned(),
        ),
        StoreError::Unusable(_) => ApiError::NotReady(
            "The service lacks the database permissions for this. Nothing was changed; see the log",
        ),
        StoreError::Unreadable(_) | StoreError::Unavailable(_) => ApiError::StoreUnavailable,
    }
}
