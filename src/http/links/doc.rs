//! What the API document says of `/admin/links`.

use serde_json::{Value, json};

use super::{LinkList, LinkResponse, NewLinkResponse};
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::limit_shape;
use crate::link::NewLink;
use crate::shape::Shape;

/// `POST /admin/links`.
pub(in crate::http) fn create() -> Doc {
    let wish = json!({"business_id": "acme-123", "page": "statement", "month": "2026-10", "expires": "30d"});
    let made = json!({
        "id": "01936b5c-7a1e-7c43-9d0e-5b1f0c9a7d52",
        "url": "https://metrics.example.com/shared/5f0c…",
        "expires_at": "2026-12-27T10:00:00.000000+00:00",
    });
    let made = Reply::json::<NewLinkResponse>(201, "The link, whose address is shown only this once", made)
        .then("revokeLink", "id", "$response.body#/id");
    Doc::new(Group::Administration, "createLink", "Make a link that opens a page without signing in")
        .body("NewLink", NewLink::shape(), wish)
        .replies(made)
        .fails(
            ApiError::InvalidField("month", "must be a month such as 2026-10".to_owned()),
            "a field is invalid; the text names it",
        )
        .fails(
            ApiError::InvalidBody("missing field `business_id` at line 1 column 2".to_owned()),
            "a field is missing, unknown, or of the wrong type",
        )
        .fails(crate::event::Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `GET /admin/links`.
pub(in crate::http) fn list() -> Doc {
    let after = Shape::in_format("uuid").about("The `next` of the page before").or_empty();
    Doc::new(Group::Administration, "listLinks", "List links")
        .about("The newest first, without their addresses, until 90 days after they have expired.")
        .query("limit", limit_shape())
        .query("after", after)
        .replies(
            Reply::json::<LinkList>(200, "A page of the list", json!({"links": [link()], "next": null}))
                .then("listLinks", "after", "$response.body#/next"),
        )
        .fails(
            ApiError::InvalidValue("after", "after must be the next of the page before"),
            "a parameter is invalid; the text names it",
        )
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `DELETE /admin/links/{id}`.
pub(in crate::http) fn revoke() -> Doc {
    let id =
        Shape::string().about("The id of the link, a UUID").such_as("01936b5c-7a1e-7c43-9d0e-5b1f0c9a7d52");
    Doc::new(Group::Administration, "revokeLink", "Revoke a link")
        .path("id", id)
        .replies(Reply::json::<LinkResponse>(200, "The link; also if it was revoked before", link()))
        .fails(ApiError::NotFound("No link has this id"), "no link has this id")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

fn link() -> Value {
    json!({
        "id": "01936b5c-7a1e-7c43-9d0e-5b1f0c9a7d52",
        "business_id": "acme-123",
        "page": "statement",
        "month": "2026-10",
        "status": "active",
        "created_at": "2026-11-27T10:00:00.000000+00:00",
        "expires_at": "2026-12-27T10:00:00.000000+00:00",
        "revoked_at": null,
        "created_by": "service key",
    })
}
