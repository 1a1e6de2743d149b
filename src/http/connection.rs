//! Limits of connections: how many may be open, how long they may be idle, and how large the head of a
//! request may be.

mod bare_response;
mod json_rejections;
mod raw_head;
mod seats;
mod state;
mod timed_stream;

pub use state::Connection;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum_server::Handle;
use axum_server::accept::Accept;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::auth::Proxies;
use crate::config::{Config, Environment};
use bare_response::BareResponses;
use json_rejections::JsonRejections;
use seats::Seats;
use state::Watched;
use timed_stream::TimedStream;

/// The maximum number of headers of a request.
const MAX_HEADERS: usize = 64;

/// The maximum size of the head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The maximum number of excess connections that are answered with 503 at the same time; any others are
/// closed without a response.
const MAX_TURNED_AWAY: usize = 256;

/// The time limit of turning away one connection.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(1);

/// The limits of the connections of a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most connections that are open at the same time, but for a few of probes and callers with a valid key.
    pub max_connections: usize,
    /// The most connections of one client: an IPv4 address or an IPv6 /64.
    pub max_per_client: usize,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// The proxies that may have any number of connections.
    pub proxies: Proxies,
}

impl Limits {
    /// Returns the limits that `config` specifies.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            max_connections: config.max_connections.get() as usize,
            max_per_client: config.max_connections_per_client(),
            keep_alive: Duration::from_secs(config.keep_alive_seconds.get().into()),
            proxies: Proxies::new(config.trusted_proxies.clone()),
        }
    }
}

/// Serves requests on `listener` with `router` until `handle` stops it.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    environment: Environment,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let door = Door {
        keep_alive: limits.keep_alive,
        seats: Arc::new(Seats::new(limits)),
        turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
        bare_responses: BareResponses { environment },
    };
    let mut server = axum_server::from_tcp(listener)?.http1_only().acceptor(door).handle(handle);
    server
        .http_builder()
        .http1()
        // `TimedStream` limits it.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    server.serve(router.into_make_service()).await
}

/// Limits the number of open connections. A connection holds its seat until it is closed.
#[derive(Debug, Clone)]
struct Door {
    keep_alive: Duration,
    seats: Arc<Seats>,
    turned_away: Arc<Semaphore>,
    bare_responses: BareResponses,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Door {
    type Stream = JsonRejections<TimedStream>;
    type Service = Watched<S>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            let Some(seat) = door.seats.take(stream.peer_addr()?) else {
                if let Ok(_permit) = door.turned_away.try_acquire() {
                    let response = door.bare_responses.with_status(StatusCode::SERVICE_UNAVAILABLE);
                    // It makes no difference whether the client reads the response.
                    drop(timeout(TURN_AWAY_LIMIT, turn_away(stream, &response)).await);
                }
                return Err(io::Error::other("too many connections"));
            };
            stream.set_nodelay(true)?;
            let connection = seat.connection.clone();
            let stream = TimedStream::new(stream, door.keep_alive, seat);
            let stream = JsonRejections::new(stream, door.bare_responses, connection.clone());
            Ok((stream, Watched::new(service, connection)))
        })
    }
}

/// Sends `response` to any request, and waits until the client closes the connection: closing it first could
/// discard the response.
async fn turn_away(mut stream: TcpStream, response: &[u8]) -> io::Result<()> {
    let mut dropped = [0; 1024];
    // Many clients treat a response that precedes their request as a protocol error.
    if stream.read(&mut dropped).await? == 0 {
        return Ok(());
    }
    stream.write_all(response).await?;
    stream.shutdown().await?;
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}
