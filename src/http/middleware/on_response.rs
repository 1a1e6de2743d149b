//! A layer that calls a function with every response and the context of its request. Unlike `axum`'s
//! `from_fn`, it does not clone the inner service for each request.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::response::Parts;
use axum::response::Response;
use tower::{Layer, Service};

use super::request_context::RequestContext;

/// A layer that calls a function with the head of every response.
#[derive(Debug, Clone)]
pub struct OnResponse<F>(F);

/// See [`OnResponse`].
#[derive(Debug, Clone)]
pub struct OnResponseService<S, F> {
    inner: S,
    run: F,
}

impl<F: Fn(&RequestContext, &mut Parts)> OnResponse<F> {
    /// Creates a layer that calls `run`.
    pub const fn new(run: F) -> Self {
        Self(run)
    }
}

impl<S, F: Clone> Layer<S> for OnResponse<F> {
    type Service = OnResponseService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        OnResponseService { inner, run: self.0.clone() }
    }
}

impl<S, F> Service<Request> for OnResponseService<S, F>
where
    S: Service<Request, Response = Response, Error: Send, Future: Send + 'static>,
    F: Fn(&RequestContext, &mut Parts) + Clone + Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (context, run) = (RequestContext::of(request.extensions()).clone(), self.run.clone());
        let response = self.inner.call(request);
        Box::pin(async move {
            let (mut parts, body) = response.await?.into_parts();
            run(&context, &mut parts);
            Ok(Response::from_parts(parts, body))
        })
    }
}
