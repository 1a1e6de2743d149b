//! `/privacy/…`: requests of data subjects under the GDPR, for callers with the scope `privacy`. The public
//! notice is in `notice.rs`.

pub mod consents;
pub(super) mod doc;
pub mod erase;
pub mod export;
pub mod requests;
pub mod subject_selector;

use std::time::Duration;

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Map, json};

use super::error::ApiError;
use crate::app::App;
use crate::audit::Actor;
use crate::config::Config;
use crate::privacy::subject::{Hasher, SubjectHash};
use crate::privacy::{Desk, DeskError};
use crate::store::{Mentions, StoreError};

/// Returns the desk that handles one request.
fn desk(app: &App, hasher: Hasher, by: Actor) -> Desk<'_> {
    Desk {
        store: &app.store,
        ingest: &app.ingest,
        metrics: &app.metrics,
        hasher,
        zone: app.config.time_zone,
        tombstones_last: TimeDelta::days(tombstone_days(&app.config).into()),
        now: app.clock.now(),
        by,
    }
}

/// Returns how many days events of an erased conversation or session are not kept: as long as they could be stored.
fn tombstone_days(config: &Config) -> u32 {
    config.retention_days.get().map_or(TOMBSTONE_DAYS, |days| days.get())
}

/// The same if events are kept without an end.
const TOMBSTONE_DAYS: u32 = 90;

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
            DeskError::Unknown { near_misses, mentions } => unknown(near_misses, &mentions),
            DeskError::Several { people, rows, confirm } => several(&people, &rows, confirm),
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

/// Returns the error for a person about whom no data is stored.
fn unknown(near_misses: usize, mentions: &Mentions) -> ApiError {
    let mut message = "No data is stored about this person".to_owned();
    let mut details = Map::new();
    if near_misses > 0 {
        message
            .push_str(". There are contacts that differ by one letter, digit or country: was it mistyped?");
        details.insert("near_misses".to_owned(), near_misses.into());
    }
    if !mentions.found.is_empty() {
        message.push_str(". Rows of others mention the person");
        details.insert("mentioned".to_owned(), json!(mentions.found));
    }
    ApiError::Detailed(StatusCode::NOT_FOUND, "Not Found", message, details)
}

/// Returns the error for a selector behind which several people stand.
fn several(people: &[SubjectHash], rows: &[u64], confirm: String) -> ApiError {
    let contacts = people.iter().zip(rows);
    let contacts = contacts.map(|(subject, rows)| json!({"subject": subject.to_hex(), "rows": rows}));
    let mut details = Map::new();
    details.insert("contacts".to_owned(), contacts.collect());
    if people.len() > rows.len() {
        details.insert("further_contacts".to_owned(), (people.len() - rows.len()).into());
    }
    details.insert("confirm".to_owned(), confirm.into());
    let message = "Several people stand behind this identifier. Name one of them by e-mail address, or send the same request with \
                   this confirm to mean all of them. Nothing was changed";
    ApiError::Detailed(StatusCode::CONFLICT, "Several people", message.to_owned(), details)
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
