//! Figures as CSV, for those who ask for it.

use axum::http::header::{ACCEPT, CONTENT_TYPE, LINK, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::http::error::ApiError;
use crate::privacy::export::csv;

/// The media type of CSV.
const CSV: &str = "text/csv";

/// A sheet with a header and rows.
#[derive(Debug)]
pub(in crate::http) struct Sheet {
    content: Vec<u8>,
    /// The query string of the next page.
    next: Option<String>,
}

impl Sheet {
    /// Writes rows, each with the fields `columns`.
    pub(in crate::http) fn new<T: Serialize>(columns: &[&str], rows: &[T]) -> Result<Self, ApiError> {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let rows: Result<Vec<Box<RawValue>>, _> = rows.iter().map(to_raw_value).collect();
        let content = rows
            .map_err(|error| failed(&error))
            .and_then(|rows| csv::write(&columns, &rows).map_err(|error| failed(&error)))?;
        Ok(Self { content, next: None })
    }

    /// Names the next page by its query string, in a header: a sheet has no place for it.
    pub(super) fn with_next(self, next: Option<String>) -> Self {
        Self { next, ..self }
    }
}

fn failed(error: &dyn std::error::Error) -> ApiError {
    tracing::error!("cannot write a sheet: {error}");
    ApiError::Internal
}

impl IntoResponse for Sheet {
    fn into_response(self) -> Response {
        let csv = [(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))];
        let mut response = with_vary((csv, self.content));
        let link = self.next.and_then(|next| HeaderValue::from_str(&format!("<?{next}>; rel=\"next\"")).ok());
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}

/// Tells caches that the response depends on what the request accepts.
pub(super) fn with_vary(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    let accept: HeaderName = ACCEPT;
    response.headers_mut().append(VARY, accept.into());
    response
}

/// Returns whether the request asks for CSV (RFC 9110, section 12.5.1): it names the type, and does not prefer JSON. A wildcard stands for JSON.
pub(super) fn prefers_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(String, f32)> = accepted.flat_map(|value| value.split(',')).map(range).collect();
    let quality = |name: &str| ranges.iter().find(|(range, _)| range == name).map(|(_, quality)| *quality);
    let csv = quality(CSV).unwrap_or(0.0);
    let json = quality("application/json");
    let any = json.or_else(|| quality("application/*")).or_else(|| quality("*/*")).unwrap_or(0.0);
    // Of two that are as good, the one that is named wins, and JSON if both are.
    csv > 0.0 && if json.is_some() { csv > any } else { csv >= any }
}

/// Parses a media range and its quality, from 0 to 1.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = quality.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
    (name, quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("text/csv", true),
            ("Text/CSV; q=0.5", true),
            ("text/csv, */*", true),
            ("text/csv, */*;q=0.1", true),
            ("text/csv, application/json;q=0.9", true),
            ("text/csv;charset=utf-8;q=0.8, */*;q=0.7", true),
            ("text/csv;q=0.5, */*", false),
            ("text/csv, application/json", false),
            ("text/csv;q=0.5, application/json", false),
            ("text/csv;q=0", false),
            ("text/csv;q=x", false),
            ("*/*", false),
            ("text/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_csv(&headers), expected, "{accept}");
        }
        assert!(!prefers_csv(&HeaderMap::new()));
    }
}
