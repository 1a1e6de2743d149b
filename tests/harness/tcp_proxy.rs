//! A TCP proxy that injects network faults.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Backend, Postgres};

/// The state of the link between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Each chunk of a response is delayed.
    Slow(Duration),
    /// Connections are accepted and stay open, but nothing is forwarded.
    Stalled,
    /// Connections are closed, new ones at once.
    Down,
}

/// An order to close every connection that is open when it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cut {
    number: u32,
    /// The number of responses that a connection still forwards. The next one is received and discarded, so that the
    /// server has processed the request.
    answers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    link: Link,
    cut: Cut,
}

/// A proxy that forwards connections to a server, until the runtime of its test ends.
pub(crate) struct TcpProxy {
    pub(crate) port: u16,
    server: u16,
    orders: watch::Sender<Orders>,
    held: Arc<AtomicU64>,
}

/// The state that a connection shares with its proxy.
#[derive(Clone)]
struct Connection {
    orders: watch::Receiver<Orders>,
    held: Arc<AtomicU64>,
}

impl TcpProxy {
    /// Starts a proxy to the server at this local port.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, seen) = watch::channel(Orders { link: Link::Up, cut: Cut::default() });
        let held = Arc::<AtomicU64>::default();
        start(accept(listener, server, Connection { orders: seen, held: held.clone() }));
        Self { port, server, orders, held }
    }

    /// Creates a database on the shared Postgres server, and starts a proxy to it.
    pub(crate) async fn to_postgres() -> (Self, Backend) {
        (Self::to(Postgres::shared().port()).await, Backend::postgres().await)
    }

    /// Returns `backend` with a URL that connects through this proxy.
    pub(crate) fn view(&self, backend: &Backend) -> Backend {
        let (direct, proxied) = (format!(":{}/", self.server), format!(":{}/", self.port));
        Backend { url: backend.url.replace(&direct, &proxied), folder: backend.folder.clone() }
    }

    pub(crate) fn set(&self, link: Link) {
        self.orders.send_modify(|orders| orders.link = link);
    }

    /// Delays each chunk of a response.
    pub(crate) fn delay(&self, delay: Duration) {
        self.set(Link::Slow(delay));
    }

    /// Returns the number of responses that are being delayed.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// Closes every open connection instead of forwarding a response, after `answers` others.
    pub(crate) fn cut_after(&self, answers: u32) {
        self.orders.send_modify(|orders| orders.cut = Cut { number: orders.cut.number + 1, answers });
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(work);
}

async fn accept(listener: TcpListener, server: u16, connection: Connection) {
    while let Ok((client, _)) = listener.accept().await {
        start(pass(client, server, connection.clone()));
    }
}

/// Forwards between a client and the server until either of them or the proxy closes the connection.
async fn pass(client: TcpStream, server: u16, mut connection: Connection) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        done = questions(from_client, to_server, connection.clone()) => done,
        done = answers(from_server, to_client, connection.clone()) => done,
        _ = connection.orders.wait_for(|orders| orders.link == Link::Down) => Ok(()),
    }
}

async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut connection: Connection,
) -> io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        connection.silence().await;
        to.write_all(&chunk[..length]).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut connection: Connection,
) -> io::Result<()> {
    let mut cut = connection.orders().cut;
    let mut left = None;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        let order = connection.orders().cut;
        if order != cut {
            (cut, left) = (order, Some(order.answers));
        }
        if length == 0 || left == Some(0) {
            return Ok(());
        }
        left = left.map(|left| left - 1);
        connection.delay().await;
        connection.silence().await;
        to.write_all(&chunk[..length]).await?;
    }
}

impl Connection {
    fn orders(&self) -> Orders {
        *self.orders.borrow()
    }

    async fn delay(&self) {
        let Link::Slow(delay) = self.orders().link else { return };
        self.held.fetch_add(1, Ordering::SeqCst);
        sleep(delay).await;
        self.held.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits while the link is stalled. An error means that the test has ended, so it is ignored.
    async fn silence(&mut self) {
        drop(self.orders.wait_for(|orders| orders.link != Link::Stalled).await);
    }
}
