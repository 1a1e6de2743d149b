//! What the API document says of `/docs`.

use strum::VariantArray;

use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::shape::Shape;

/// `GET /docs`.
pub(in crate::http) fn index() -> Doc {
    Doc::new(Group::Service, "getDocs", "Read this document as pages")
        .replies(page())
        .replies(Reply::not_modified())
}

/// `GET /docs/{group}`.
pub(in crate::http) fn group() -> Doc {
    let groups = Shape::one_of(Group::VARIANTS.iter().map(|group| group.name()))
        .about("The name of the group")
        .such_as("events");
    Doc::new(Group::Service, "getDocsOfGroup", "Read about a group of calls, with examples")
        .path("group", groups)
        .replies(page())
        .replies(Reply::not_modified())
        .fails(ApiError::NoSuchRoute, "there is no such group")
}

fn page() -> Reply {
    Reply::page(200, "The page").tagged()
}
