//! Extends the time for a request by two further months, once and within the first (Art. 12 (3) GDPR).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use strum::VariantArray;
use uuid::Uuid;

use super::due::three_months_after;
use crate::audit::{Action, Actor};
use crate::rollup::day_of;
use crate::store::{Extension, Request, Store, StoreError};

/// The maximum number of attempts, each of which may meet a busy file or a request that somebody else has just changed.
const MAX_ATTEMPTS: u32 = 3;

/// Why a request takes longer. The list is closed, so that no one enters a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum ExtensionReason {
    /// It is complex.
    Complexity,
    /// There are many requests.
    Number,
}

impl ExtensionReason {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complexity => "complexity",
            Self::Number => "number of requests",
        }
    }
}

/// Why a request was not extended.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// There is no such request.
    #[error("no privacy request has this id")]
    Unknown,
    /// It is completed.
    #[error("the request is completed")]
    Completed,
    /// It was extended before.
    #[error("the request was extended before")]
    Extended,
    /// Its due date is over.
    #[error("the due date of the request is over")]
    Overdue,
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Extends the request with this id at the time `now`, if it was made to `business` or that is `None`. Returns it with its new due date
/// in `zone`.
pub async fn extend(
    store: &Store,
    id: Uuid,
    business: Option<&str>,
    reason: ExtensionReason,
    zone: Tz,
    now: DateTime<Utc>,
    by: &Actor,
) -> Result<Request, ExtensionError> {
    let mut failure = StoreError::TimedOut;
    for _ in 0..MAX_ATTEMPTS {
        let request = store.request(&id.to_string()).await?;
        let request =
            request.filter(|request| business.is_none() || request.business_id.as_deref() == business);
        let request = request.ok_or(ExtensionError::Unknown)?;
        check(&request, now)?;
        let extension = Extension { at: now, reason: reason.name().to_owned() };
        let due_at = three_months_after(request.received_at, zone);
        let entry = by.entry(Action::PrivacyRequestExtended).about(request.subject);
        let entry = entry.with("request", request.id.clone()).with("reason", reason.name());
        let entry = entry.with("due_on", day_of(due_at, zone).to_string());
        let extended = Request { due_at, extended: Some(extension), ..request };
        match store.extend_request(&extended, &entry, now).await {
            Ok(true) => return Ok(extended),
            // Somebody else was faster: looked at again, it shows why it cannot be extended.
            Ok(false) => {}
            Err(error) if store.is_busy(&error) => failure = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(failure.into())
}

fn check(request: &Request, now: DateTime<Utc>) -> Result<(), ExtensionError> {
    match request {
        Request { done_at: Some(_), .. } => Err(ExtensionError::Completed),
        Request { extended: Some(_), .. } => Err(ExtensionError::Extended),
        // The person must be told within the first month.
        Request { due_at, .. } if *due_at < now => Err(ExtensionError::Overdue),
        Request { .. } => Ok(()),
    }
}
