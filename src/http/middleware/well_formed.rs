//! Rejects requests that another server could understand differently, and those that a browser was tricked into sending.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Version};
use axum::response::{IntoResponse, Response};

use super::request_context::RequestContext;
use crate::app::App;
use crate::config::{Config, Origin};
use crate::http::connection::Connection;
use crate::http::error::ApiError;

/// Host names that no public name server resolves (RFC 6761, RFC 6762, and ICANN's `internal`), and those of cluster services.
const LOCAL_DOMAINS: [&str; 4] = [".localhost", ".local", ".internal", ".svc"];

const FOREIGN_HOST: &str = "Without an API key only local host names are accepted; set MLOPS_API_KEY, or add this one to ALLOWED_HOSTS";
const FOREIGN_ORIGIN: &str = "Without an API key no page of this origin is accepted; set MLOPS_API_KEY, or add it to CORS_ALLOWED_ORIGINS";

/// Returns the check of every request.
pub fn check(app: App) -> impl Fn(&Request) -> Result<(), Box<Response>> + Clone {
    move |request| {
        let checked = check_lengths(request).and_then(|()| {
            let host = host(request)?;
            if app.access.is_required() { Ok(()) } else { check_local(&app.config, request, host.as_ref()) }
        });
        checked.map_err(|error| Box::new(error.into_response()))
    }
}

/// Rejects bodies whose length is stated twice, or in a way that is not supported (RFC 9112, section 6).
fn check_lengths(request: &Request) -> Result<(), ApiError> {
    let mut encodings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else { return Ok(()) };
    if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(ApiError::BadRequest("Transfer-Encoding must be chunked"));
    }
    let context = RequestContext::of(request.extensions());
    if context.connection().is_some_and(Connection::is_ambiguous) {
        return Err(ApiError::BadRequest("Send either Content-Length or Transfer-Encoding"));
    }
    Ok(())
}

/// Returns the value of `Host`. HTTP/1.1 requires exactly one (RFC 9112, section 3.2); in HTTP/1.0 there may be none.
fn host(request: &Request) -> Result<Option<Authority>, ApiError> {
    const ONE_HOST: ApiError = ApiError::BadRequest("Send exactly one valid Host header");
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (Some(host), None) => {
            let authority = Authority::try_from(host.as_bytes()).map_err(|_: _| ONE_HOST)?;
            if authority.as_str().contains('@') || !has_valid_port(&authority) {
                return Err(ONE_HOST);
            }
            Ok(Some(authority))
        }
        _ => Err(ONE_HOST),
    }
}

/// An empty port is valid (RFC 3986, section 3.2.3).
fn has_valid_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    matches!(port, "" | ":") || authority.port_u16().is_some()
}

/// Without a key, whoever can reach the service may use it. A page of another origin can make a browser on the same machine reach
/// it, by a request that needs no preflight or by making its own name resolve to this machine (DNS rebinding).
fn check_local(config: &Config, request: &Request, host: Option<&Authority>) -> Result<(), ApiError> {
    let path = request.uri().path();
    if path == "/metrics" || path == "/health" || path.starts_with("/health/") {
        return Ok(());
    }
    let name = host.map(|host| host.host().trim_end_matches('.').to_ascii_lowercase());
    if let Some(name) = &name
        && !is_local(name)
        && !config.allowed_hosts.iter().any(|allowed| allowed.as_str() == name)
    {
        return Err(ApiError::Forbidden(FOREIGN_HOST));
    }
    if is_from_foreign_page(request.headers(), &config.origins(), host) {
        return Err(ApiError::Forbidden(FOREIGN_ORIGIN));
    }
    Ok(())
}

/// Returns whether a host name, in lower case, is that of a machine nearby. A single label is: no public name has only one.
fn is_local(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || LOCAL_DOMAINS.iter().any(|domain| name.ends_with(domain))
}

/// Returns whether a page of an origin that is neither allowed nor the service's own sent the request.
fn is_from_foreign_page(headers: &HeaderMap, allowed: &[Origin], host: Option<&Authority>) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let is_own = origin
            .split_once("://")
            .is_some_and(|(_, own)| host.is_some_and(|host| host.as_str().eq_ignore_ascii_case(own)));
        !is_own && !allowed.iter().any(|allowed| allowed.is_any() || allowed.as_str() == origin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_machines_nearby_are_local() {
        for name in
            ["localhost", "mlops", "127.0.0.1", "192.0.2.7", "[::1]", "a.localhost", "host.docker.internal"]
        {
            assert!(is_local(name), "{name}");
        }
        for name in ["mlops.default.svc", "mlops.default.svc.cluster.local", "printer.local"] {
            assert!(is_local(name), "{name}");
        }
        for name in ["example.com", "evil.svc.example.com", "127.0.0.1.nip.io", "localhost.example.com"] {
            assert!(!is_local(name), "{name}");
        }
    }
}
