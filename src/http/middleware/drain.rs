//! Drains bodies that were not read to their end. A client that is still sending when its connection is closed sees a reset
//! in place of the response, and a proxy takes the service for broken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, StatusCode};
use futures_util::future::Either;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::{Layer, Service};

/// How much of a body is drained; four times what the largest body may have.
const MAX_DRAINED_BYTES: usize = 4 * 1024 * 1024;

/// How long a client may take to send that.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Where a body goes that is dropped before its end.
type Rest = Arc<Mutex<Option<Body>>>;

/// A body that leaves what was not read of it in [`Rest`].
struct Tracked {
    body: Option<Body>,
    rest: Rest,
    /// A client that waits for `100 Continue` sends nothing before a read asks for it, so there is nothing to drain.
    awaits_continue: bool,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.awaits_continue = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.is_end_stream() && !self.awaits_continue {
            *self.rest.lock() = self.body.take();
        }
    }
}

/// Drains what was not read of a request's body before its response is sent. A connection on which more may come is closed.
#[derive(Debug, Clone, Copy)]
pub struct DrainLayer;

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain { inner }
    }
}

/// The service of [`DrainLayer`].
#[derive(Debug, Clone)]
pub struct Drain<S> {
    inner: S,
}

impl<S, B> Service<Request> for Drain<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.body().is_end_stream() {
            return Either::Left(self.inner.call(request));
        }
        let rest = Rest::default();
        let awaits_continue = request.headers().contains_key(EXPECT);
        let tracked = |body| Body::new(Tracked { body: Some(body), rest: rest.clone(), awaits_continue });
        let response = self.inner.call(request.map(tracked));
        Either::Right(Box::pin(async move {
            let mut response = response.await?;
            let unread = rest.lock().take();
            // A client that has been too slow already is not waited for again.
            if let Some(unread) = unread.filter(|_| response.status() != StatusCode::REQUEST_TIMEOUT)
                && !matches!(timeout(DRAIN_LIMIT, drain(unread)).await, Ok(true))
            {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }))
    }
}

/// Reads and drops a body. Returns whether it ended within [`MAX_DRAINED_BYTES`].
async fn drain(mut body: Body) -> bool {
    let mut left = MAX_DRAINED_BYTES;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
        left = rest;
    }
    true
}
