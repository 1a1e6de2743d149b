//! JSON in place of the empty responses of `hyper`.
//!
//! A request that cannot be parsed (400, 414, 431) reaches no layer: `hyper` responds itself, with an empty
//! body, and has no setting for it. Only where the bytes are written can such an error be turned into JSON
//! like all others.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bare_response::BareResponses;
use super::state::Connection;
use crate::http::middleware::request_id::X_REQUEST_ID;

/// An upper bound on the length of an empty response of `hyper`.
const MAX_EMPTY_BYTES: usize = 256;

/// A stream that writes a JSON response where `hyper` writes an empty one.
#[derive(Debug)]
pub(super) struct JsonRejections<S> {
    stream: S,
    responses: BareResponses,
    connection: Connection,
    /// The response that replaces an empty one, and how many of its bytes are sent.
    replacement: Vec<u8>,
    sent: usize,
}

impl<S> JsonRejections<S> {
    pub(super) fn new(stream: S, responses: BareResponses, connection: Connection) -> Self {
        Self { stream, responses, connection, replacement: Vec::new(), sent: 0 }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for JsonRejections<S> {
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
            // `hyper` puts the head first in a vectored write.
            match bufs.first().and_then(|head| status_of_empty(head)) {
                Some(_) if this.connection.is_http2() => {
                    this.replacement = this.responses.with_status(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
                }
                Some(status) => this.replacement = this.responses.with_status(status),
                None => return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs),
            }
        }
        while this.sent < this.replacement.len() {
            let rest = &this.replacement[this.sent..];
            this.sent += ready!(Pin::new(&mut this.stream).poll_write(cx, rest))?;
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

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

impl<S: AsyncRead + Unpin> AsyncRead for JsonRejections<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

/// Returns the status of an empty response of `hyper`: a short head with an error status, and without the
/// request id that every response of a layer has.
fn status_of_empty(head: &[u8]) -> Option<StatusCode> {
    let status = head.strip_prefix(b"HTTP/1.1 ").filter(|_| head.len() < MAX_EMPTY_BYTES)?;
    let id = X_REQUEST_ID;
    let is_ours = head.windows(id.as_str().len()).any(|part| part == id.as_str().as_bytes());
    let code = status.get(..3).filter(|code| code.starts_with(b"4") && !is_ours)?;
    StatusCode::from_bytes(code).ok()
}
