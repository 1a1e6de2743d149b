//! Closes connections whose client is silent for too long, or takes in nothing of a response: what is held for them must not be
//! held without end. `hyper` has one time limit for both an idle connection and a head that has begun.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::raw_head::{RawHead, spoil_http2};
use super::seats::Seat;

/// How long the head of a request may take, from its first byte; on a new connection also how long that byte may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// How long a client on a seat that is kept for others may take to show that it is one of them.
const RESERVED_HEAD_LIMIT: Duration = Duration::from_secs(1);

/// How long a client may take in nothing of a response.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// How much of a rejected request is still read, and for how long. A client that is still sending when its connection is closed sees
/// a reset instead of the response.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_LIMIT: Duration = Duration::from_secs(2);

/// A connection with its seat, which ends when the client is silent or stalled for too long.
#[derive(Debug)]
pub(super) struct TimedStream {
    stream: TcpStream,
    seat: Seat,
    /// How long the connection may be idle between two requests.
    keep_alive: Duration,
    /// The number of requests that had been answered when the head begun last arrived.
    head_after: Option<u64>,
    head: RawHead,
    /// When the client was last active: it connected, began a head, or took in a part of a response.
    since: Instant,
    silent: Option<Pin<Box<Sleep>>>,
    stalled: Timer,
    lingering: Timer,
    /// How many bytes of a rejected request were discarded.
    discarded: usize,
}

impl TimedStream {
    pub(super) fn new(stream: TcpStream, keep_alive: Duration, seat: Seat) -> Self {
        Self {
            stream,
            seat,
            keep_alive,
            head_after: None,
            head: RawHead::default(),
            since: Instant::now(),
            silent: None,
            stalled: Timer::default(),
            lingering: Timer::default(),
            discarded: 0,
        }
    }

    /// Fails when the client has been silent for too long while the service waits for a request.
    ///
    /// `hyper` does not poll again when a response is written, so the timer is not started anew for each request: when it is
    /// over, the time since the last activity decides.
    fn unless_silent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seat.connection.poll_closing(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        loop {
            let now = Instant::now();
            let deadline = self.seat.connection.answered().map(|answered| self.since + self.limit(answered));
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let next = now + self.keep_alive;
            let next = deadline.map_or(next, |deadline| deadline.min(next));
            let timer = self.silent.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.is_elapsed() || timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }

    /// How long the client may be silent after so many requests.
    fn limit(&self, answered: u64) -> Duration {
        let in_head = self.head_after == Some(answered);
        match in_head || answered == 0 {
            true if self.seat.connection.is_reserved() => RESERVED_HEAD_LIMIT,
            true => HEAD_LIMIT,
            false => self.keep_alive,
        }
    }

    /// Records when a head begins, and what is in it.
    fn look_at_head(&mut self, bytes: &mut [u8]) {
        let answered = self.seat.connection.answered();
        if answered.is_none() || bytes.is_empty() {
            return;
        }
        if self.head_after != answered {
            (self.head_after, self.since, self.head) = (answered, Instant::now(), RawHead::default());
            self.seat.record_activity();
            if spoil_http2(bytes) {
                self.seat.connection.record_http2();
            }
        }
        if self.head.read(bytes) && !self.head.is_ambiguous() {
            self.seat.connection.record_unambiguous();
        }
    }

    /// Whether the request that began last reached no service: `hyper` rejected its head.
    fn is_rejected(&self) -> bool {
        self.head_after.is_some() && self.head_after == self.seat.connection.answered()
    }

    /// Discards what the client still sends, within bounds.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 8 * 1024];
        while self.discarded < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.discarded += buf.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => return self.lingering.poll_for(LINGER_LIMIT, cx),
            }
        }
        Poll::Ready(())
    }

    /// Fails when the client has taken in nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            // Whoever takes in a response is not idle.
            (self.since, self.stalled.sleep) = (Instant::now(), None);
            return written;
        }
        if self.seat.connection.poll_closing(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.stalled.poll_for(STALL_LIMIT, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.unless_silent(cx),
            read @ Poll::Ready(_) => {
                self.look_at_head(&mut buf.filled_mut()[filled..]);
                read
            }
        }
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.unless_stalled(cx, written)
    }

    /// So that `hyper` does not copy bodies behind their heads: a page of metrics has one place in memory, however many
    /// read it.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.is_rejected() {
            ready!(self.linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// A timer that starts when it is first polled.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Is ready when it has been polled for `limit`.
    fn poll_for(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx)
    }
}
