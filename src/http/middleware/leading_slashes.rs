//! Counts the slashes at the start of a path as one: clients join a base URL that ends in a slash with a path.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Returns the request with one slash at the start of its path. Must run before the router sees the path.
pub fn collapse<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    if let Some(uri) = collapsed(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// Returns `uri` with one slash at the start of its path; `None` where it has one already.
fn collapsed(uri: &Uri) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?.as_str();
    let path = path_and_query.strip_prefix("//")?.trim_start_matches('/');
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{path}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_start_count_as_one_and_others_as_they_are() {
        let path = |path: &str| {
            let request = axum::http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
            collapse(request).uri().to_string()
        };
        assert_eq!(path("//track"), "/track");
        assert_eq!(path("////track?a=//b"), "/track?a=//b");
        assert_eq!(path("/"), "/");
        assert_eq!(path("//"), "/");
        assert_eq!(path("/assets//style.css"), "/assets//style.css");
        assert_eq!(path("/track//"), "/track//");
    }
}
