//! Links that open a page of one business without signing in. No I/O here.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;
use strum::VariantArray;
use uuid::Uuid;

use crate::audit::Actor;
use crate::auth::key::Secret;
use crate::business::{MAX_ID_CHARS, is_business_id};
use crate::shape::Shape;

/// How long a link works by default.
const DEFAULT_LIFETIME: &str = "30d";

/// The shortest lifetime of a link.
const MIN_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The longest lifetime of a link.
const MAX_LIFETIME: TimeDelta = TimeDelta::days(366);

/// A page that a link can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum LinkedPage {
    /// The monthly statement of a business.
    Statement,
    /// The page of a business.
    Business,
}

impl LinkedPage {
    /// Returns the name of the page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Business => "business",
        }
    }
}

/// The error of parsing a [`LinkedPage`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be statement or business")]
pub struct NoLinkedPage;

impl FromStr for LinkedPage {
    type Err = NoLinkedPage;

    fn from_str(text: &str) -> Result<Self, NoLinkedPage> {
        Self::VARIANTS.iter().copied().find(|page| page.name() == text).ok_or(NoLinkedPage)
    }
}

/// A calendar month, from 1970-01 to 9999-12. Its text is `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(NaiveDate);

impl Month {
    /// Returns the month of a day.
    #[must_use]
    pub fn of(day: NaiveDate) -> Self {
        Self(day - Days::new(day.day0().into()))
    }

    /// Returns the schema of its text.
    #[must_use]
    pub fn shape() -> Shape {
        Shape::matching("^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$")
    }

    /// Returns its first day.
    #[must_use]
    pub const fn first_day(self) -> NaiveDate {
        self.0
    }

    /// Returns its last day.
    #[must_use]
    pub fn last_day(self) -> NaiveDate {
        self.0 + Months::new(1) - Days::new(1)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// The error of parsing a [`Month`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month such as 2026-10")]
pub struct NoMonth;

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let parts = text.split_once('-').filter(|(year, month)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (year.len(), month.len()) == (4, 2) && digits(year) && digits(month)
        });
        let (year, month) = parts.ok_or(NoMonth)?;
        let first = NaiveDate::from_ymd_opt(
            year.parse().map_err(|_: _| NoMonth)?,
            month.parse().map_err(|_: _| NoMonth)?,
            1,
        );
        first.filter(|first| first.year() >= 1970).map(Self).ok_or(NoMonth)
    }
}

/// A link as it is stored, without its secret. Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its public id. Ids of later links are greater.
    pub id: Uuid,
    /// The only business whose page it opens.
    pub business_id: String,
    /// The page that it opens.
    pub page: LinkedPage,
    /// The month that the page shows; always set for a statement. `None`: the default period of the page.
    pub month: Option<Month>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Who made it, as in the audit trail.
    pub created_by: String,
}

impl Link {
    /// Returns whether it works at `now`: `active`, `expired` or `revoked`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.expires_at <= now => "expired",
            None => "active",
        }
    }

    /// Returns whether it opens its page at `now`.
    #[must_use]
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// A request for a new link, not yet validated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// The business whose page it opens.
    pub business_id: String,
    /// The name of the page; `None` for the statement.
    pub page: Option<String>,
    /// The month; required for a statement.
    pub month: Option<String>,
    /// Its lifetime, such as `30d`, from an hour to 366 days; `None` for 30 days.
    pub expires: Option<String>,
}

/// A field of a [`NewLink`] that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {must_be}")]
pub struct InvalidLink {
    /// The name of the field.
    pub field: &'static str,
    /// What it must be.
    pub must_be: String,
}

impl NewLink {
    /// Returns the schema of the request. A statement needs a month.
    #[must_use]
    pub fn shape() -> Shape {
        let expires = "^([1-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-6])d$|^[1-9][0-9]{0,2}h$";
        let expires = Shape::matching(expires).or_null().by_default(DEFAULT_LIFETIME);
        let expires = expires.about("How long it works, from `1h` to `366d`");
        let month = || Month::shape().about("The month that the page shows; required for a statement");
        let page = |page: LinkedPage| Shape::one_of([page.name()]).about("Which of its pages");
        let link = || {
            let business = Shape::text(1..=MAX_ID_CHARS).about("The business whose page the link opens");
            Shape::object().required("business_id", business).optional("expires", expires.clone())
        };
        let statement = page(LinkedPage::Statement).or_null().by_default(LinkedPage::Statement.name());
        Shape::any_of([
            link().optional("page", statement).required("month", month()),
            link().required("page", page(LinkedPage::Business)).optional("month", month().or_null()),
        ])
    }

    /// Makes the link, and its secret, which must be given to its user at once and cannot be recovered.
    pub fn into_link(self, now: DateTime<Utc>, by: &Actor) -> Result<(Link, Secret), InvalidLink> {
        if !is_business_id(&self.business_id) {
            return Err(invalid("business_id", "must be 1 to 255 characters, without control characters"));
        }
        let page = self.page.as_deref().map_or(Ok(LinkedPage::Statement), str::parse);
        let page = page.map_err(|error: NoLinkedPage| invalid("page", error))?;
        let month = self.month.as_deref().map(str::parse).transpose();
        let month: Option<Month> = month.map_err(|error: NoMonth| invalid("month", error))?;
        if page == LinkedPage::Statement && month.is_none() {
            return Err(invalid("month", "must be set for a statement, such as 2026-10"));
        }
        let created_at = now.trunc_subsecs(0);
        let lifetime = lifetime(self.expires.as_deref().unwrap_or(DEFAULT_LIFETIME))?;
        let link = Link {
            id: Uuid::now_v7(),
            business_id: self.business_id,
            page,
            month,
            created_at,
            expires_at: created_at + lifetime,
            revoked_at: None,
            created_by: by.name.clone(),
        };
        Ok((link, Secret::generate()))
    }
}

fn invalid(field: &'static str, must_be: impl fmt::Display) -> InvalidLink {
    InvalidLink { field, must_be: must_be.to_string() }
}

/// Parses a lifetime such as `30d`.
fn lifetime(text: &str) -> Result<TimeDelta, InvalidLink> {
    let seconds = humantime::parse_duration(text.trim()).ok().map(|duration| duration.as_secs());
    let lifetime = seconds.and_then(|seconds| TimeDelta::try_seconds(seconds.try_into().ok()?));
    let bounded = lifetime.filter(|lifetime| (MIN_LIFETIME..=MAX_LIFETIME).contains(lifetime));
    bounded.ok_or_else(|| invalid("expires", "must be a duration such as 30d, from 1h to 366d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> NewLink {
        NewLink {
            business_id: "acme".to_owned(),
            page: None,
            month: Some("2026-10".to_owned()),
            expires: None,
        }
    }

    fn made(wish: NewLink) -> Result<Link, InvalidLink> {
        wish.into_link(DateTime::UNIX_EPOCH, &Actor::service()).map(|(link, _)| link)
    }

    #[test]
    fn a_link_opens_a_statement_for_thirty_days_unless_it_says_otherwise() {
        let link = made(wish()).unwrap();
        let opens = (link.page, link.month.unwrap().to_string(), link.expires_at - link.created_at);
        assert_eq!(opens, (LinkedPage::Statement, "2026-10".to_owned(), TimeDelta::days(30)));
        let business = NewLink { page: Some("business".to_owned()), month: None, ..wish() };
        assert_eq!(made(business).unwrap().page, LinkedPage::Business);
        for (text, lifetime) in
            [("1h", MIN_LIFETIME), ("366d", MAX_LIFETIME), (" 36h ", TimeDelta::hours(36))]
        {
            let link = made(NewLink { expires: Some(text.to_owned()), ..wish() }).unwrap();
            assert_eq!(link.expires_at - link.created_at, lifetime, "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_valid_is_named() {
        let refused = |wish: NewLink| made(wish).unwrap_err().field;
        for expires in ["59m", "367d", "0s", "-1d", "soon", "", "99999999999999999999d"] {
            assert_eq!(
                refused(NewLink { expires: Some(expires.to_owned()), ..wish() }),
                "expires",
                "{expires}"
            );
        }
        for month in ["2026-13", "2026-00", "2026-1", "26-10", "2026-10-01", "+026-10", "1969-12", "", "now"]
        {
            assert_eq!(refused(NewLink { month: Some(month.to_owned()), ..wish() }), "month", "{month}");
        }
        assert_eq!(refused(NewLink { month: None, ..wish() }), "month");
        assert_eq!(refused(NewLink { page: Some("dashboard".to_owned()), ..wish() }), "page");
        assert_eq!(refused(NewLink { business_id: String::new(), ..wish() }), "business_id");
    }
}
