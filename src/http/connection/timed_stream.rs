//! Closes connections whose client is silent for too long, or takes in nothing of a response: what is held for them must not be
//! held without end. `hyper` has one time limit for both an idle connection and a head that has begun.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answering::Answering;

/// How long the head of a request may take, from its first byte; on a new connection also how long that byte may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

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
    answering: Answering,
    /// How long the connection may be idle between two requests.
    keep_alive: Duration,
    /// The number of requests that had been answered when the head begun last arrived.
    head_after: Option<u64>,
    /// When the client was last active: it connected, began a head, or took in a part of a response.
    since: Instant,
    silent: Option<Pin<Box<Sleep>>>,
    stalled: Timer,
    lingering: Timer,
    /// How many bytes of a rejected request were discarded.
    discarded: usize,
    _seat: OwnedSemaphorePermit,
}

impl TimedStream {
    pub(super) fn new(
        stream: TcpStream,
        answering: Answering,
        keep_alive: Duration,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream,
            answering,
            keep_alive,
            head_after: None,
            since: Instant::now(),
            silent: None,
            stalled: Timer::default(),
            lingering: Timer::default(),
            discarded: 0,
            _seat: seat,
        }
    }

    /// Fails when the client has been silent for too long while the service waits for a request.
    ///
    /// `hyper` does not poll again when a response is written, so the timer is not started anew for each request: when it is
    /// over, the time since the last activity decides.
    fn unless_silent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            let deadline = self.answering.answered().map(|answered| self.since + self.limit(answered));
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
        if in_head || answered == 0 { HEAD_LIMIT } else { self.keep_alive }
    }

    /// Whether the request that began last reached no service: `hyper` rejected its head.
    fn is_rejected(&self) -> bool {
        self.head_after.is_some() && self.head_after == self.answering.answered()
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
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.unless_silent(cx),
            read @ Poll::Ready(_) => {
                let answered = self.answering.answered();
                if answered.is_some() && self.head_after != answered {
                    (self.head_after, self.since) = (answered, Instant::now());
                }
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
