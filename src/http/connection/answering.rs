//! Tells the stream of a connection whether a request is being answered: meanwhile the client may be silent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::Service;

/// The state that a stream shares with its [`Watched`] service: twice the number of requests answered, plus one while another
/// is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answering(Arc<AtomicU64>);

impl Answering {
    /// Returns how many requests have been answered; `None` while one is being answered.
    pub(super) fn answered(&self) -> Option<u64> {
        let state = self.0.load(Ordering::Relaxed);
        state.is_multiple_of(2).then_some(state / 2)
    }

    fn begin(&self) -> Answer {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answer(self.clone())
    }
}

/// Ends the answering of a request when dropped.
struct Answer(Answering);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The service of a connection, with the state that it shares with the stream.
#[derive(Debug, Clone)]
pub(super) struct Watched<S> {
    inner: S,
    answering: Answering,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, answering: Answering) -> Self {
        Self { inner, answering }
    }
}

impl<R, S: Service<R>> Service<R> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let answer = self.answering.begin();
        WatchedFuture { response: self.inner.call(request), answer: Some(answer) }
    }
}

pin_project! {
    /// The future of [`Watched`].
    pub(super) struct WatchedFuture<F> {
        #[pin]
        response: F,
        // `None` once the response is there: the future itself may live on.
        answer: Option<Answer>,
    }
}

impl<F: Future> Future for WatchedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.response.poll(cx);
        if polled.is_ready() {
            *this.answer = None;
        }
        polled
    }
}
