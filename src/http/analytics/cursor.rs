//! The opaque cursor of a page: where the one before ended.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::error::ApiError;
use crate::shape::Shape;

/// Returns the cursor of a place.
pub(super) fn cursor(place: &impl Serialize) -> Result<String, ApiError> {
    let json = serde_json::to_vec(place).map_err(|error| {
        tracing::error!("cannot write a cursor: {error}");
        ApiError::Internal
    })?;
    Ok(hex::encode(json))
}

/// Returns the place of a cursor; `None` without one.
pub(super) fn place<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, ApiError> {
    let Some(text) = cursor else { return Ok(None) };
    let json = hex::decode(text).map_err(|_: hex::FromHexError| invalid())?;
    serde_json::from_slice(&json).map(Some).map_err(|_: serde_json::Error| invalid())
}

/// Returns the error of a cursor that belongs to no page of this list.
pub(super) fn invalid() -> ApiError {
    let must_be =
        "must be the `next` of the page before, with the same `sort`; without it, the first page is returned";
    ApiError::InvalidField("after", must_be.to_owned())
}

/// Returns the schema of a cursor in a request.
pub(super) fn shape() -> Shape {
    Shape::matching("^([0-9a-f][0-9a-f])+$")
        .about("The `next` of the page before, with the same `sort`; without it, the first page is returned")
}
