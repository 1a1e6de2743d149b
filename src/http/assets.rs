//! The files that pages load: styles, scripts and the icon, built into the program.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::response::Response;

use super::error::ApiError;
use super::extract::Path;
use super::openapi::{Doc, Group, Reply};
use super::tagged;
use crate::shape::Shape;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Joins style sheets behind the one that all pages share.
macro_rules! style {
    ($($name:literal),+) => {
        concat!(include_str!("../../templates/assets/base.css"), $("\n", include_str!(concat!("../../templates/assets/", $name))),+)
    };
}

/// Name, content type and content of each file.
const ASSETS: [(&str, &str, &str); 6] = [
    ("dashboard.css", CSS, style!("dashboard.css")),
    ("dashboard.js", JAVASCRIPT, include_str!("../../templates/assets/dashboard.js")),
    ("pages.css", CSS, style!("charts.css", "pages.css")),
    ("pages.js", JAVASCRIPT, include_str!("../../templates/assets/pages.js")),
    ("privacy.css", CSS, style!("privacy.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../templates/assets/icon.svg")),
];

/// `GET /assets/{name}`: returns a file that pages load. Browsers keep it, and ask each time whether it has changed.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let found = ASSETS.iter().zip(tags()).find(|((asset, ..), _)| *asset == name);
    let ((_, content_type, content), tag) = found.ok_or(ApiError::NoSuchRoute)?;
    Ok(tagged::respond(content_type, *content, tag, &headers))
}

/// Returns the entity tags of [`ASSETS`].
fn tags() -> &'static [String] {
    static TAGS: LazyLock<Vec<String>> =
        LazyLock::new(|| ASSETS.iter().map(|(.., content)| tagged::tag(content)).collect());
    &TAGS
}

/// What the API document says of [`asset`].
pub(super) fn doc() -> Doc {
    let names = Shape::one_of(ASSETS.iter().map(|(name, ..)| *name))
        .about("The name of the file")
        .such_as("icon.svg");
    let file = |media_type| (media_type, Shape::string(), None);
    let found = Reply::new(200, "The file")
        .of(file("text/css"))
        .of(file("text/javascript"))
        .of(file("image/svg+xml"));
    Doc::new(Group::Pages, "getAsset", "Get a file that pages load")
        .path("name", names)
        .replies(found.tagged())
        .replies(Reply::not_modified())
        .fails(ApiError::NoSuchRoute, "there is no such file")
}
