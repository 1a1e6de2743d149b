//! A layer that rejects requests before they go further. Unlike `axum`'s `from_fn`, it boxes no future and clones no service.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::Either;
use tower::{Layer, Service};

/// A layer that passes a request on, or sends the response that the function returns as an error.
#[derive(Debug, Clone)]
pub struct Gate<F>(F);

/// See [`Gate`].
#[derive(Debug, Clone)]
pub struct GateService<S, F> {
    inner: S,
    check: F,
}

impl<F: Fn(&Request) -> Result<(), Box<Response>>> Gate<F> {
    /// Creates a layer that calls `check` with each request.
    pub const fn new(check: F) -> Self {
        Self(check)
    }
}

impl<S, F: Clone> Layer<S> for Gate<F> {
    type Service = GateService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService { inner, check: self.0.clone() }
    }
}

impl<S, F> Service<Request> for GateService<S, F>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    F: Fn(&Request) -> Result<(), Box<Response>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match (self.check)(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(response) => Either::Right(ready(Ok(*response))),
        }
    }
}
