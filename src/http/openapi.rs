//! The API document (`OpenAPI` 3.1), made from the route table: `GET /openapi.json`, and what `/docs` shows as pages.
//!
//! A row of the table says who may use a route and how often; [`Doc`], its last column, what the handler takes and returns. What
//! follows from the row is in `policy.rs`. `document.rs` writes all of it as JSON.

mod call;
mod doc;
mod document;
mod inline;
mod operation;
mod parts;
mod policy;
mod shared;

pub use call::Call;
pub use doc::Doc;
pub use document::document;
pub use parts::{Body, Failure, Group, Parameter, Place, Reply};

use axum::http::HeaderMap;
use axum::response::Response;

use super::routes::table;
use super::tagged;
use crate::app::App;

/// `GET /openapi.json`: returns the API document.
pub async fn json(app: App, headers: HeaderMap) -> Response {
    let made =
        app.api_document.get_or_init(|| tagged::tagged(document(table().rows(), &app.config).to_string()));
    tagged::respond("application/json", made.content.clone(), &made.tag, &headers)
}

/// What the document says of [`json`].
pub(super) fn doc() -> Doc {
    Doc::new(Group::Service, "getOpenApi", "Get this document")
        .about("OpenAPI 3.1. The quotas in it are those that are configured.")
        .replies(
            Reply::new(200, "The document")
                .of(("application/json", crate::shape::Shape::open(), None))
                .tagged(),
        )
        .replies(Reply::not_modified())
}
