//! A layer that shows the errors of routes for people as pages.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::Either;
use tower::{Layer, Service};

use super::request_context::RequestContext;
use crate::http::pages::error;

/// A layer that makes a page of each error of a route for people. Responses of all other routes go through untouched.
#[derive(Debug, Clone, Copy)]
pub struct ErrorPages;

/// The service of [`ErrorPages`].
#[derive(Debug, Clone)]
pub struct ErrorPagesService<S> {
    inner: S,
}

impl<S> Layer<S> for ErrorPages {
    type Service = ErrorPagesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorPagesService { inner }
    }
}

impl<S> Service<Request> for ErrorPagesService<S>
where
    S: Service<Request, Response = Response, Error: Send, Future: Send + 'static>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let is_page = RequestContext::of(request.extensions()).is_page();
        let response = self.inner.call(request);
        match is_page {
            false => Either::Left(response),
            true => Either::Right(Box::pin(async move { response.await.map(error::into_page) })),
        }
    }
}
