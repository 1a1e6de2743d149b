//! Who reads a page.

use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::app::App;
use crate::app::last_known::Shown;
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;
use crate::http::site::Site;
use crate::locale::Locale;
use crate::pages::{FirstEvent, Frame, Notice};
use crate::store::StoreError;

/// Who reads a page, and what they may see.
#[derive(Debug, Clone)]
pub struct Reader {
    /// How they write numbers and dates.
    pub locale: Locale,
    /// The only business that they may see; `None` for all.
    pub own: Option<String>,
    /// The origin of the service, as their browser sees it.
    origin: String,
    /// Whether requests need a key.
    needs_key: bool,
    /// Whether they follow a link to this page alone.
    pub is_guest: bool,
}

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let site = Site::from_request_parts(parts, app).await?;
        let languages = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(Self {
            locale: Locale::from_header(languages),
            own: RequestContext::of(&parts.extensions).principal().business().map(str::to_owned),
            origin: site.origin(),
            needs_key: app.access.is_required(),
            is_guest: false,
        })
    }
}

impl Reader {
    /// Returns the same reader, who follows a link to a page of `business_id`.
    #[must_use]
    pub fn into_guest(self, business_id: &str) -> Self {
        Self { own: Some(business_id.to_owned()), is_guest: true, ..self }
    }

    /// Returns what surrounds their pages.
    #[must_use]
    pub fn frame(&self) -> Frame {
        if self.is_guest { Frame::alone() } else { Frame::of_owner(self.needs_key, self.own.is_none()) }
    }

    /// Returns how they report a first event.
    #[must_use]
    pub fn first_event(&self, business_id: Option<&str>, has_past: bool) -> FirstEvent {
        FirstEvent::new(&self.origin, business_id, self.needs_key, has_past)
    }

    /// Returns what has to be said about figures that may be the last known ones.
    #[must_use]
    pub fn notices<T>(&self, shown: &Shown<T>, zone: Tz) -> Vec<Notice> {
        let stale = shown.is_stale.then(|| Notice {
            level: "warn",
            text: format!(
                "The database does not answer. These are the last known figures, of {}. New reports are not lost.",
                self.time(shown.as_of, zone)
            ),
        });
        stale.into_iter().collect()
    }

    /// Returns a moment as they write it, with its time zone.
    #[must_use]
    pub fn time(&self, at: DateTime<Utc>, zone: Tz) -> String {
        format!("{} ({zone})", self.locale.date_time(at, zone))
    }
}

/// Returns the error of a page whose figures cannot be read and are not known from before.
pub(super) fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read the figures of a page: {error}");
    ApiError::StoreUnavailable
}
