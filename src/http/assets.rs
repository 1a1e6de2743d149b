//! The files that pages load: styles, scripts and the icon, built into the program.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::extract::Path;

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
    let kept = [(CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str())];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, [(CONTENT_TYPE, *content_type)], *content).into_response())
}

/// Returns the entity tags of [`ASSETS`]. They are weak, because a compressed file has the same.
fn tags() -> &'static [String] {
    static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let digest = |content: &str| hex::encode(&Sha256::digest(content)[..8]);
        ASSETS.iter().map(|(.., content)| format!("W/\"{}\"", digest(content))).collect()
    });
    &TAGS
}
