//! What the API document says of `/admin/keys`.

use serde_json::{Value, json};

use super::{KeyList, NewKeyResponse, RevocationResponse};
use crate::auth::key::Status;
use crate::auth::{DEFAULT_GRACE, KeyError, NewKey, duration_shape};
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::shape::Shape;

/// `GET /admin/keys`.
pub(in crate::http) fn list() -> Doc {
    Doc::new(Group::Administration, "listKeys", "List all keys")
        .about("In the order of their creation, including expired and revoked ones, never with a secret.")
        .replies(Reply::json::<KeyList>(200, "The keys", json!({"keys": [key()]})))
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `POST /admin/keys`.
pub(in crate::http) fn create() -> Doc {
    let wish = json!({"name": "acme-web", "scopes": ["track", "analytics"], "business_id": "acme-123", "expires": "90d"});
    let made = Reply::json::<NewKeyResponse>(
        201,
        "The key, with its secret in `key`, only this once",
        with_secret(),
    )
    .then("rotateKey", "id", "$response.body#/id")
    .then("revokeKey", "id", "$response.body#/id");
    let doc = Doc::new(Group::Administration, "createKey", "Create a key")
        .about("A key gives at most what it has itself.")
        .body("NewKey", NewKey::shape(), wish)
        .replies(made)
        .fails(
            invalid("scopes", "must be one or more of track analytics refresh privacy admin"),
            "a field is invalid; the text names it",
        );
    of_body(doc).fails(
        KeyError::Exceeded("A key gives at most its own lifetime"),
        "the caller would give more than it has",
    )
}

/// `POST /admin/keys/{id}/rotate`.
pub(in crate::http) fn rotate() -> Doc {
    let grace = duration_shape().by_default(DEFAULT_GRACE).or_null();
    let body = Shape::object().optional(
        "grace",
        grace.about("How long the old secret stays valid, such as `24h`, at most 3660 days"),
    );
    let doc = id(Doc::new(Group::Administration, "rotateKey", "Replace the secret of a key"))
        .optional_body("KeyRotation", Shape::any_of([body, Shape::null()]), json!({"grace": "24h"}))
        .replies(Reply::json::<NewKeyResponse>(
            200,
            "The key, with its new secret in `key`, only this once",
            with_secret(),
        ))
        .fails(
            invalid("grace", "must be a duration such as 90d, 24h or 30m, at most 3660 days"),
            "`grace` is invalid",
        );
    of_body(doc)
        .fails(
            KeyError::Exceeded("A key rotates no key with the scope admin that outlives it"),
            "the key has more than the caller",
        )
        .fails(KeyError::Unknown, "no key has this id")
        .fails(KeyError::Inactive(Status::Revoked), "the key has expired or was revoked")
}

/// `DELETE /admin/keys/{id}`.
pub(in crate::http) fn revoke() -> Doc {
    let mut revoked = key();
    revoked["children"] = json!([]);
    id(Doc::new(Group::Administration, "revokeKey", "Revoke a key and those that it made"))
        .query(
            "keep_children",
            Shape::flag().by_default(false).about("Whether the keys that it made stay valid"),
        )
        .replies(Reply::json::<RevocationResponse>(
            200,
            "The key, and those that were revoked with it; also if it was revoked before",
            revoked,
        ))
        .fails(invalid("keep_children", "must be true or false"), "the parameter is invalid")
        .fails(KeyError::Unknown, "no key has this id")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

fn id(doc: Doc) -> Doc {
    doc.path(
        "id",
        Shape::string().about("The id of the key: 16 hexadecimal digits").such_as("3b1f0c9a7d52e684"),
    )
}

/// Adds the errors of routes that take a body.
fn of_body(doc: Doc) -> Doc {
    doc.fails(
        ApiError::InvalidBody("missing field `name` at line 1 column 2".to_owned()),
        "a field is missing, unknown, or of the wrong type",
    )
    .fails(crate::event::Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
    .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

fn invalid(field: &'static str, must_be: &str) -> ApiError {
    ApiError::InvalidField(field, must_be.to_owned())
}

fn key() -> Value {
    json!({
        "id": "3b1f0c9a7d52e684",
        "name": "acme-web",
        "scopes": ["track", "analytics"],
        "tier": "standard",
        "business_id": "acme-123",
        "parent": null,
        "status": "active",
        "created_at": "2026-11-24T16:10:14.000000+00:00",
        "expires_at": "2027-02-22T16:10:14.000000+00:00",
        "last_used_at": null,
        "revoked_at": null,
    })
}

fn with_secret() -> Value {
    let mut key = key();
    key["key"] = "mlops_3b1f0c9a7d52e684_…".into();
    key
}
