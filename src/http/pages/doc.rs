//! What the API document says of pages.

use serde_json::Value;

use super::business::sheets;
use super::businesses::MAX_PAGE;
use crate::http::analytics::conversations::choice;
use crate::http::analytics::list::sort_shape;
use crate::http::analytics::with_period;
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::link::Month;
use crate::shape::Shape;

/// `GET /`.
pub(in crate::http) fn dashboard() -> Doc {
    Doc::new(Group::Pages, "getDashboard", "Open the dashboard")
        .about("It fetches `/health/detailed` and `/metrics` every ten seconds, and has the form for signing in.")
        .replies(Reply::page(200, "The page").perhaps_with("Set-Cookie", "Takes the cookie of a session that is over"))
}

/// `GET /privacy`.
pub(in crate::http) fn notice() -> Doc {
    Doc::new(Group::Pages, "getPrivacyNotice", "Read the privacy notice for customers")
        .replies(Reply::page(200, "The notice"))
}

/// `GET /businesses`.
pub(in crate::http) fn businesses() -> Doc {
    let search = Shape::string().about("A part of the name or the id of the businesses");
    let page = Shape::whole(1..=MAX_PAGE.into()).by_default(1).about("The number of the page");
    let doc = with_period(Doc::new(Group::Pages, "openBusinesses", "Open the list of businesses"));
    of_query(doc.query("sort", sort_shape().or_empty()).query("search", search).query("page", page))
        .replies(Reply::page(200, "The page"))
}

/// `GET /businesses/{business_id}`.
pub(in crate::http) fn business() -> Doc {
    let doc = with_period(Doc::new(Group::Pages, "openBusiness", "Open the page of a business"));
    let after = Shape::string().about("The end of the page of conversations before");
    let doc = choice().into_iter().fold(doc, |doc, (name, shape)| doc.query(name, shape.or_empty()));
    of_one(doc.query("after", after))
}

/// `GET /statement/{business_id}`.
pub(in crate::http) fn statement() -> Doc {
    let month =
        Month::shape().about("The month, the current one at the latest; by default the last that is over");
    of_one(
        Doc::new(Group::Pages, "openStatement", "Open the monthly statement of a business")
            .query("month", month.or_empty()),
    )
}

/// `GET /shared/{link}`.
pub(in crate::http) fn shared() -> Doc {
    let link = Shape::string().about("The secret of the link").such_as(Value::from("0".repeat(64)));
    of_query(
        Doc::new(Group::Pages, "openLink", "Open the page that a link stands for")
            .path("link", link)
            .query("csv", csv()),
    )
    .replies(sheet_or_page().with("X-Robots-Tag", "`noindex`"))
    .fails(ApiError::NotFound("There is no page here"), "the link is unknown, changed, revoked or expired")
}

/// Adds what the pages of one business have in common.
fn of_one(doc: Doc) -> Doc {
    of_query(doc.query("csv", csv()))
        .replies(sheet_or_page())
        .fails(ApiError::NotFound("There is no page here"), "the key may not see this business")
}

fn csv() -> Shape {
    Shape::one_of(sheets::NAMES).about("Which figures of the page to return, as a file")
}

fn sheet_or_page() -> Reply {
    Reply::page(200, "The page, or with `csv` its figures as a file")
        .of(("text/csv", Shape::string(), None))
        .perhaps_with("Content-Disposition", "Of CSV: the name of the file")
}

fn of_query(doc: Doc) -> Doc {
    doc.fails(
        ApiError::InvalidField("days", "must be a whole number from 1 to 366".to_owned()),
        "a parameter is invalid; the page says what it must be",
    )
    .fails(
        ApiError::StoreUnavailable,
        "the database does not respond in time, and no figures are known from before",
    )
}
