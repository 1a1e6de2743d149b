//! What the stream, the service and the seat of a connection share, and the service that keeps it up to date.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::http::Request;
use axum::http::header::TRANSFER_ENCODING;
use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;
use tower::Service;

/// A connection. Every request has it as an extension.
#[derive(Debug, Clone)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    is_reserved: bool,
    /// Twice the number of requests answered, plus one while another is being answered.
    requests: AtomicU64,
    /// The number of the last request whose length the raw head states once.
    unambiguous: AtomicU64,
    /// Whether the request being answered states its length twice, or may do so.
    is_ambiguous: AtomicBool,
    is_http2: AtomicBool,
    has_key: AtomicBool,
    is_closing: AtomicBool,
    /// When the client was last active, in milliseconds since the listener was opened.
    active_ms: AtomicU64,
    waker: AtomicWaker,
}

impl Connection {
    /// Creates the state of a new connection from `peer`. A reserved one is only for probes and for callers with a valid key.
    #[must_use]
    pub fn new(peer: SocketAddr, is_reserved: bool) -> Self {
        Self(Arc::new(State {
            peer,
            is_reserved,
            requests: AtomicU64::default(),
            unambiguous: AtomicU64::default(),
            is_ambiguous: AtomicBool::default(),
            is_http2: AtomicBool::default(),
            has_key: AtomicBool::default(),
            is_closing: AtomicBool::default(),
            active_ms: AtomicU64::default(),
            waker: AtomicWaker::new(),
        }))
    }

    /// Returns the address of the client, or of the last proxy in front of it.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Returns whether it has a seat that is kept for probes and for callers with a valid key.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.is_reserved
    }

    /// Records that a request has presented a valid key or token.
    pub fn record_key(&self) {
        if !self.0.has_key.load(Ordering::Relaxed) {
            self.0.has_key.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a request has presented a valid key or token.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.0.has_key.load(Ordering::Relaxed)
    }

    /// Returns whether the head of the request being answered may state the length of its body twice (RFC 9112, section 6.1).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.0.is_ambiguous.load(Ordering::Relaxed)
    }

    /// Closes the connection, whatever it is doing.
    pub fn close(&self) {
        self.0.is_closing.store(true, Ordering::Relaxed);
        self.0.waker.wake();
    }

    /// Returns whether it is to be closed; if not, wakes the task of `cx` when it is.
    pub(super) fn poll_closing(&self, cx: &Context<'_>) -> bool {
        self.0.waker.register(cx.waker());
        self.0.is_closing.load(Ordering::Relaxed)
    }

    /// Returns how many requests have been answered; `None` while one is being answered.
    pub(super) fn answered(&self) -> Option<u64> {
        let state = self.0.requests.load(Ordering::Relaxed);
        state.is_multiple_of(2).then_some(state / 2)
    }

    /// Records that the client was active at `ms`.
    pub(super) fn record_activity(&self, ms: u64) {
        self.0.active_ms.store(ms, Ordering::Relaxed);
    }

    /// Returns when the client was last active, in the unit of [`Connection::record_activity`].
    pub(super) fn active_ms(&self) -> u64 {
        self.0.active_ms.load(Ordering::Relaxed)
    }

    /// Records that the head of the next request states the length of its body at most once.
    pub(super) fn record_unambiguous(&self) {
        self.0.unambiguous.store(self.0.requests.load(Ordering::Relaxed) / 2 + 1, Ordering::Relaxed);
    }

    pub(super) fn record_http2(&self) {
        self.0.is_http2.store(true, Ordering::Relaxed);
    }

    /// Returns whether the client speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::Relaxed)
    }

    pub(super) fn begin<B>(&self, request: &Request<B>) -> Answer {
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed) / 2 + 1;
        if request.headers().contains_key(TRANSFER_ENCODING) {
            let is_ambiguous = self.0.unambiguous.load(Ordering::Relaxed) != number;
            self.0.is_ambiguous.store(is_ambiguous, Ordering::Relaxed);
        } else if self.is_ambiguous() {
            self.0.is_ambiguous.store(false, Ordering::Relaxed);
        }
        Answer(self.clone())
    }
}

/// Ends the answering of a request when dropped.
pub(super) struct Answer(Connection);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.0.requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// The service of a connection, which adds it to every request.
#[derive(Debug, Clone)]
pub(super) struct Watched<S> {
    inner: S,
    connection: Connection,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, connection: Connection) -> Self {
        Self { inner, connection }
    }
}

impl<B, S: Service<Request<B>>> Service<Request<B>> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let answer = self.connection.begin(&request);
        request.extensions_mut().insert(self.connection.clone());
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
