//! What the API document says of `/admin/businesses`.

use serde_json::{Value, json};

use super::{BusinessList, BusinessResponse};
use crate::business::{MAX_ID_CHARS, ProfileRequest};
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::limit_shape;
use crate::shape::Shape;

/// `GET /admin/businesses`.
pub(in crate::http) fn list() -> Doc {
    let after = Shape::text(0..=MAX_ID_CHARS).about("The `next` of the page before");
    Doc::new(Group::Administration, "listBusinesses", "List business profiles")
        .about(
            "The businesses with a profile, in the receptionist app's table, or with events, ordered by id.",
        )
        .query("limit", limit_shape())
        .query("after", after)
        .replies(
            Reply::json::<BusinessList>(
                200,
                "A page of the list",
                json!({"businesses": [profile()], "next": null}),
            )
            .then("listBusinesses", "after", "$response.body#/next"),
        )
        .fails(
            ApiError::InvalidValue("after", "after must be the next of the page before"),
            "a parameter is invalid; the text names it",
        )
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `GET /admin/businesses/{business_id}`.
pub(in crate::http) fn show() -> Doc {
    Doc::new(Group::Administration, "getBusiness", "Read a business profile")
        .about("Also of a business that nobody knows.")
        .replies(Reply::json::<BusinessResponse>(200, "The profile", profile()))
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `PUT /admin/businesses/{business_id}`.
pub(in crate::http) fn set() -> Doc {
    let change = json!({
        "name": "Smile Dental",
        "time_zone": "Europe/Berlin",
        "opening_hours": {"monday": {"open": "09:00", "close": "17:00"}},
        "monthly_budget_usd": 50.0,
    });
    let must_be = "must be an IANA time zone name such as Europe/Berlin, in this spelling";
    Doc::new(Group::Administration, "setBusiness", "Change a business profile")
        .about("Replaces what the body names; null clears.")
        .body("BusinessProfile", ProfileRequest::shape(), change)
        .replies(Reply::json::<BusinessResponse>(200, "The profile as it is now", profile()).then(
            "getBusiness",
            "business_id",
            "$response.body#/business_id",
        ))
        .fails(
            ApiError::InvalidField("time_zone", must_be.to_owned()),
            "a field is invalid; the text names it",
        )
        .fails(ApiError::InvalidBody("unknown field: zone".to_owned()), "a field is unknown, or there twice")
        .fails(crate::event::Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(
            ApiError::StoreUnavailable,
            "the database does not respond in time; the request may be sent again",
        )
}

fn profile() -> Value {
    json!({
        "business_id": "acme-123",
        "name": "Smile Dental",
        "time_zone": "Europe/Berlin",
        "time_zone_in_effect": "Europe/Berlin",
        "opening_hours": {"monday": {"open": "09:00", "close": "17:00"}},
        "monthly_budget_usd": 50.0,
        "from_app": [],
    })
}
