//! Responses to connections whose requests do not reach the router.

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::config::Environment;
use crate::http::middleware::security_headers;

/// Makes these responses.
#[derive(Debug, Clone, Copy)]
pub(super) struct BareResponses {
    pub(super) environment: Environment,
}

impl BareResponses {
    /// Returns a complete response, head and body, that closes the connection.
    pub(super) fn with_status(self, status: StatusCode) -> Vec<u8> {
        let message = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                "At most 64 headers, 16 KiB in total, are accepted"
            }
            StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
                "The service speaks HTTP/1.1; HTTP/2 is for a proxy in front of it"
            }
            StatusCode::SERVICE_UNAVAILABLE => "Too many open connections; try again later",
            _ => "The request is not valid HTTP/1.1",
        };
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = json!({"error": reason, "message": message}).to_string();
        let mut response = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-request-id: {}\r\n",
            status.as_str(),
            body.len(),
            Uuid::new_v4()
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.push_str("retry-after: 1\r\n");
        }
        for (name, value) in security_headers::of_all(self.environment) {
            response.extend([name.as_str(), ": ", value.to_str().unwrap_or_default(), "\r\n"]);
        }
        response.push_str("\r\n");
        response.push_str(&body);
        response.into_bytes()
    }
}
