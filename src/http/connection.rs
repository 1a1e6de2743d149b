//! What happens to a connection before it carries a request: how many there may be, how long they may be silent, how
//! large the head of a request may be, and a JSON answer where `hyper` itself would send an empty one.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::ServiceExt as _;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{self, StatusCode};
use axum::response::Response;
use axum_server::Handle;
use axum_server::accept::Accept;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tower::{Service, ServiceExt as _};

use super::observe::RequestId;
use super::secure;

/// How long a connection may take to send the head of a request; also how long it may be silent between two.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may take in nothing of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Parts of an answer with so few bytes in all are sent as one: to have the kernel gather them costs more than to copy them.
const FEW_BYTES: usize = 1024;

/// Connections over the limit that are told so at the same time; more are closed without a word.
const MAX_TURNED_AWAY: usize = 256;

/// How long such a connection may take to hear it.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(1);

/// Serves requests on `listener` with `service` until `handle` stops it.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    max_connections: usize,
    handle: Handle<SocketAddr>,
) -> io::Result<()>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let door = Door {
        seats: Arc::new(Semaphore::new(max_connections)),
        turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
    };
    let mut server = axum_server::from_tcp(listener)?.http1_only().acceptor(door).handle(handle);
    server
        .http_builder()
        .http1()
        .header_read_timeout(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = service.map_request(|request: http::Request<_>| request.map(Body::new));
    server.serve(service.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Lets connections in, up to a number.
#[derive(Debug, Clone)]
struct Door {
    seats: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Door {
    type Stream = Connection;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Connection, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            let Ok(seat) = door.seats.try_acquire_owned() else {
                if let Ok(_permit) = door.turned_away.try_acquire() {
                    // Whether the client listens is its own affair.
                    drop(timeout(TURN_AWAY_LIMIT, turn_away(stream)).await);
                }
                return Err(io::Error::other("too many connections"));
            };
            stream.set_nodelay(true)?;
            Ok((Connection { stream, replacement: Vec::new(), sent: 0, stalled: None, _seat: seat }, service))
        })
    }
}

/// Answers 503 to whatever is asked, and waits for the client to hang up: closing first could take the answer away.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    let mut dropped = [0; 1024];
    // To many clients, an answer that comes before they asked is a breach of protocol.
    if stream.read(&mut dropped).await? == 0 {
        return Ok(());
    }
    stream.write_all(&bare_answer(StatusCode::SERVICE_UNAVAILABLE)).await?;
    stream.shutdown().await?;
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}

/// A connection that has its seat until it is closed.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Our answer in the place of an empty one of `hyper`, and how much of it is sent.
    replacement: Vec<u8>,
    sent: usize,
    /// Runs while the client takes in nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _seat: OwnedSemaphorePermit,
}

impl Connection {
    /// Writes to the client, unless that has been taking in nothing for too long: what it is to get must not be held
    /// for it without end.
    fn poll_send(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let (stream, mut few) = (Pin::new(&mut self.stream), [0; FEW_BYTES]);
        let written = match gathered(bufs, &mut few) {
            Some(few) => stream.poll_write(cx, few),
            None => stream.poll_write_vectored(cx, bufs),
        };
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_empty() {
            // `hyper` begins a write of several parts with the head.
            match bufs.first().and_then(|head| empty_answer_of_hyper(head)) {
                Some(status) => this.replacement = bare_answer(status),
                None => return this.poll_send(cx, bufs),
            }
        }
        while this.sent < this.replacement.len() {
            let rest = &this.replacement[this.sent..];
            this.sent += ready!(Pin::new(&mut this.stream).poll_write(cx, rest))?;
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The parts one after the other in `room`, if that has enough.
fn gathered<'r>(parts: &[IoSlice<'_>], room: &'r mut [u8]) -> Option<&'r [u8]> {
    let mut end = 0;
    for part in parts {
        room.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    Some(&room[..end])
}

/// The status, if this is the answer that `hyper` sends by itself when it cannot read a request: one short write with
/// an error status, and without the request id that every answer of the service has.
fn empty_answer_of_hyper(written: &[u8]) -> Option<StatusCode> {
    const LONGEST: usize = 256;
    let status = written.strip_prefix(b"HTTP/1.1 ").filter(|_| written.len() < LONGEST)?;
    let id = super::observe::X_REQUEST_ID;
    if !status.starts_with(b"4")
        || written.windows(id.as_str().len()).any(|part| part == id.as_str().as_bytes())
    {
        return None;
    }
    StatusCode::from_bytes(status.get(..3)?).ok()
}

/// A whole answer in bytes, for connections that carry no request which could be answered properly.
fn bare_answer(status: StatusCode) -> Vec<u8> {
    let message = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "At most 64 headers and 16 KiB in all are taken",
        StatusCode::SERVICE_UNAVAILABLE => "Too many connections are open; try again later",
        _ => "The request is not valid HTTP/1.1",
    };
    let reason = status.canonical_reason().unwrap_or("Error");
    let body = json!({"error": reason, "message": message}).to_string();
    let mut answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-request-id: {}\r\n",
        status.as_str(),
        body.len(),
        RequestId::fresh().as_str()
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.push_str("retry-after: 1\r\n");
    }
    for (name, value) in &secure::HEADERS {
        answer.extend([name.as_str(), ": ", value.to_str().unwrap_or_default(), "\r\n"]);
    }
    answer.push_str("\r\n");
    answer.push_str(&body);
    answer.into_bytes()
}
