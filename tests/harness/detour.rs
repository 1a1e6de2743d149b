//! A way to a server whose traffic a test disturbs.

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

/// What befalls the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Each part of an answer is held back for so long.
    Slow(Duration),
    /// Connections are accepted and kept, and nothing goes through.
    Silent,
    /// Connections are cut, and new ones are closed at once.
    Away,
}

/// An order to cut every connection that is open when it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cut {
    number: u32,
    /// The answers that a connection still gets. The next one is awaited, so that the server has done what was asked
    /// for, and swallowed.
    answers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    weather: Weather,
    cut: Cut,
}

/// Passes connections on to a server, until the runtime of its test ends.
pub(crate) struct Detour {
    pub(crate) port: u16,
    server: u16,
    orders: watch::Sender<Orders>,
    held: Arc<AtomicU64>,
}

/// One connection's view of the orders.
#[derive(Clone)]
struct Way {
    orders: watch::Receiver<Orders>,
    held: Arc<AtomicU64>,
}

impl Detour {
    /// A way to the server at this port of this machine.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, seen) = watch::channel(Orders { weather: Weather::Fair, cut: Cut::default() });
        let held = Arc::<AtomicU64>::default();
        start(accept(listener, server, Way { orders: seen, held: held.clone() }));
        Self { port, server, orders, held }
    }

    /// A new database of the shared Postgres, and a way there.
    pub(crate) async fn to_postgres() -> (Self, Backend) {
        (Self::to(Postgres::shared().port()).await, Backend::postgres().await)
    }

    /// A database of the server as it is reached on this way.
    pub(crate) fn view(&self, backend: &Backend) -> Backend {
        let (direct, detour) = (format!(":{}/", self.server), format!(":{}/", self.port));
        Backend { url: backend.url.replace(&direct, &detour), folder: backend.folder.clone() }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Holds back answers that come from now on for so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.set(Weather::Slow(delay));
    }

    /// How many answers are held back.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// Cuts every open connection in the place of an answer of the server, after so many other answers.
    pub(crate) fn cut_after(&self, answers: u32) {
        self.orders.send_modify(|orders| orders.cut = Cut { number: orders.cut.number + 1, answers });
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(work);
}

async fn accept(listener: TcpListener, server: u16, way: Way) {
    while let Ok((client, _)) = listener.accept().await {
        start(pass(client, server, way.clone()));
    }
}

/// Joins a client to the server until either hangs up, or until the connection is cut.
async fn pass(client: TcpStream, server: u16, mut way: Way) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        done = questions(from_client, to_server, way.clone()) => done,
        done = answers(from_server, to_client, way.clone()) => done,
        _ = way.orders.wait_for(|orders| orders.weather == Weather::Away) => Ok(()),
    }
}

async fn questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) -> io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        way.silence().await;
        to.write_all(&chunk[..length]).await?;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) -> io::Result<()> {
    let mut cut = way.orders().cut;
    let mut left = None;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        let order = way.orders().cut;
        if order != cut {
            (cut, left) = (order, Some(order.answers));
        }
        if length == 0 || left == Some(0) {
            return Ok(());
        }
        left = left.map(|left| left - 1);
        way.delay().await;
        way.silence().await;
        to.write_all(&chunk[..length]).await?;
    }
}

impl Way {
    fn orders(&self) -> Orders {
        *self.orders.borrow()
    }

    async fn delay(&self) {
        let Weather::Slow(delay) = self.orders().weather else { return };
        self.held.fetch_add(1, Ordering::SeqCst);
        sleep(delay).await;
        self.held.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits for the end of silence. When its test is over, nothing matters any more.
    async fn silence(&mut self) {
        drop(self.orders.wait_for(|orders| orders.weather != Weather::Silent).await);
    }
}
