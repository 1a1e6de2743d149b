//! In-process requests to the service.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use mlops_service::http::connection::Connection;
use serde_json::Value;
use tower::ServiceExt;

use super::contract::{Answer, Contract};

/// A request under construction.
pub(crate) struct Call {
    router: Router,
    request: Request<Body>,
    /// What the reply is compared with, and whether there are quotas.
    contract: Option<(Arc<Contract>, bool)>,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(router: Router, method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        Self { router, request, contract: None }.from("192.0.2.1")
    }

    /// Compares the reply with the API document.
    pub(crate) fn under(self, contract: Arc<Contract>, has_quotas: bool) -> Self {
        Self { contract: Some((contract, has_quotas)), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    /// Sets the host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.request.headers_mut().insert("host", host.parse().unwrap());
        self
    }

    /// Sets the client address.
    pub(crate) fn from(mut self, ip: &str) -> Self {
        let peer = SocketAddr::new(ip.parse().unwrap(), 4711);
        self.request.extensions_mut().insert(Connection::new(peer, false));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let (method, path) = (self.request.method().clone(), self.request.uri().path().to_owned());
        let response = self.router.oneshot(self.request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = Reply { status: parts.status, headers: parts.headers, body };
        if let Some((contract, has_quotas)) = self.contract {
            let Reply { status, headers, body } = &reply;
            let answer = Answer { method: &method, path: &path, status: *status, headers, body };
            if let Some(fault) = contract.fault(answer, has_quotas) {
                panic!("{fault}");
            }
        }
        reply
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts the status and the `error` of an error response, and that it has a message and nothing else.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) {
        self.told(status, error);
        assert_eq!(self.json().as_object().unwrap().len(), 2, "{}", self.text());
    }

    /// Asserts the status and the `error` of an error response, and that it has a message.
    #[track_caller]
    pub(crate) fn told(&self, status: u16, error: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["error"], error);
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }

    /// Asserts that the status is 200. Returns the body.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }
}
