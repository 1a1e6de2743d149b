//! A way to a server that can be made slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Passes connections on to a server, and its answers back after a while.
pub(crate) struct Detour {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    delay_ms: AtomicU64,
    held: AtomicU64,
}

impl Detour {
    /// A way to the server at this port of this machine.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        start(accept(listener, server, state.clone()));
        Self { port, state }
    }

    /// Holds back answers that come from now on for so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }

    /// How many answers are held back.
    pub(crate) fn held(&self) -> u64 {
        self.state.held.load(Ordering::SeqCst)
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
fn start(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

async fn accept(listener: TcpListener, server: u16, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
        start(pass(client, server, state.clone()));
    }
}

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let questions = async {
        drop(copy(&mut from_client, &mut to_server).await);
    };
    let answers = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            let delay = Duration::from_millis(state.delay_ms.load(Ordering::SeqCst));
            state.held.fetch_add(1, Ordering::SeqCst);
            sleep(delay).await;
            state.held.fetch_sub(1, Ordering::SeqCst);
            if to_client.write_all(&chunk[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}
