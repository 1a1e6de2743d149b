//! A pooler in transaction mode, as hosted Postgres has them: it hands each transaction to another of its few sessions.
//!
//! Messages as in <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::sleep;

use super::{Backend, Postgres};

/// What a pooler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `PgBouncer` 1.21 and newer: keeps the prepared statements of its clients apart, and refuses start-up parameters that it
    /// does not know.
    Tracking,
    /// The same, but start-up parameters that it does not know are ignored.
    Lenient,
    /// Older ones: clients see each other's prepared statements.
    Mixing,
}

/// Passes transactions on to a few sessions of a server, until the runtime of its test ends.
pub(crate) struct Pooler {
    port: u16,
    server: u16,
}

struct Shared {
    kind: Kind,
    server: u16,
    database: String,
    sessions: Vec<Arc<Mutex<Session>>>,
    next: AtomicUsize,
}

/// A session of the server.
struct Session {
    stream: TcpStream,
    /// The names of its prepared statements.
    prepared: HashSet<Vec<u8>>,
    /// For each `ParseComplete` that is to come: whether a client waits for it.
    parsing: VecDeque<bool>,
}

/// The kind of a message, and what follows its length.
type Message = (u8, Vec<u8>);

impl Pooler {
    /// Starts a pooler with so many sessions to the database of `backend`.
    pub(crate) async fn start(backend: &Backend, sessions: usize, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, server) = (listener.local_addr().unwrap().port(), Postgres::shared().port());
        let database = backend.database().to_owned();
        let mut shared = Shared { kind, server, database, sessions: Vec::new(), next: AtomicUsize::new(0) };
        for _ in 0..sessions {
            let session = Session::open(shared.server, &shared.database).await.unwrap();
            shared.sessions.push(Arc::new(Mutex::new(session)));
        }
        start(accept(listener, Arc::new(shared)));
        Self { port, server }
    }

    /// Returns `backend` with a URL that connects through this pooler.
    pub(crate) fn view(&self, backend: &Backend) -> Backend {
        let url = backend.url.replace(&format!(":{}/", self.server), &format!(":{}/", self.port));
        Backend { url, folder: backend.folder.clone() }
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(work);
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        number += 1;
        let client = Client { number, stream, shared: shared.clone(), statements: HashMap::new() };
        start(client.serve());
    }
}

struct Client {
    number: u32,
    stream: TcpStream,
    shared: Arc<Shared>,
    /// By name, what follows it in the message that prepared it.
    statements: HashMap<Vec<u8>, Vec<u8>>,
}

impl Client {
    async fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        if !self.greet().await? {
            return Ok(());
        }
        loop {
            let first = receive(&mut self.stream).await?;
            if first.0 == b'X' {
                return Ok(());
            }
            let mut session = self.shared.session().await;
            if self.transaction(first, &mut session).await.is_err() {
                // The client left in the middle of a transaction.
                *session = Session::open(self.shared.server, &self.shared.database).await?;
                return Ok(());
            }
        }
    }

    /// Answers the start of a session. Returns whether it was accepted.
    async fn greet(&mut self) -> io::Result<bool> {
        const SSL_REQUEST: &[u8] = &80_877_103_u32.to_be_bytes();
        const KNOWN: [&[u8]; 6] =
            [b"user", b"database", b"application_name", b"client_encoding", b"DateStyle", b"TimeZone"];
        let mut start = receive_body(&mut self.stream).await?;
        if start.starts_with(SSL_REQUEST) {
            self.stream.write_all(b"N").await?;
            start = receive_body(&mut self.stream).await?;
        }
        let parts: Vec<&[u8]> = start[4..].split(|byte| *byte == 0).collect();
        let unknown = parts.chunks(2).find(|pair| !pair[0].is_empty() && !KNOWN.contains(&pair[0]));
        if let Some(unknown) = unknown.filter(|_| self.shared.kind != Kind::Lenient) {
            let message = format!("unsupported startup parameter: {}", String::from_utf8_lossy(unknown[0]));
            let fields = format!("SFATAL\0VFATAL\0C08P01\0M{message}\0\0");
            send(&mut self.stream, &(b'E', fields.into_bytes())).await?;
            return Ok(false);
        }
        send(&mut self.stream, &(b'R', vec![0; 4])).await?;
        send(&mut self.stream, &(b'K', vec![0; 8])).await?;
        send(&mut self.stream, &(b'Z', b"I".to_vec())).await?;
        Ok(true)
    }

    async fn transaction(&mut self, first: Message, session: &mut Session) -> io::Result<()> {
        let mut next = Some(first);
        loop {
            loop {
                let message = match next.take() {
                    Some(message) => message,
                    None => receive(&mut self.stream).await?,
                };
                let ends = matches!(message.0, b'S' | b'Q');
                self.pass_on(message, session).await?;
                if ends {
                    break;
                }
            }
            if self.answer(session).await? == b'I' {
                return Ok(());
            }
        }
    }

    /// Passes a message on under the name that its statement has in the sessions.
    async fn pass_on(&mut self, (kind, body): Message, session: &mut Session) -> io::Result<()> {
        if self.shared.kind == Kind::Mixing {
            return send(&mut session.stream, &(kind, body)).await;
        }
        let (before, rest) = match kind {
            b'P' => (Vec::new(), body),
            b'B' => split_after_zero(body),
            b'D' | b'C' if body[0] == b'S' => (vec![b'S'], body[1..].to_vec()),
            b'X' => return Err(io::ErrorKind::ConnectionAborted.into()),
            _ => return send(&mut session.stream, &(kind, body)).await,
        };
        let (mut name, rest) = split_after_zero(rest);
        if name.len() > 1 {
            let own = name;
            name = [format!("{}:", self.number).as_bytes(), &own].concat();
            self.prepare(kind, &own, &name, &rest, session).await?;
        } else if kind == b'P' {
            session.parsing.push_back(true);
        }
        send(&mut session.stream, &(kind, [before, name, rest].concat())).await
    }

    /// Sees to it that the session has the statement that a message is about.
    async fn prepare(
        &mut self,
        kind: u8,
        own: &[u8],
        name: &[u8],
        rest: &[u8],
        session: &mut Session,
    ) -> io::Result<()> {
        match kind {
            b'P' => {
                self.statements.insert(own.to_vec(), rest.to_vec());
                session.prepared.insert(name.to_vec());
                session.parsing.push_back(true);
            }
            b'C' => drop((self.statements.remove(own), session.prepared.remove(name))),
            _ if session.prepared.insert(name.to_vec()) => {
                let statement = self.statements.get(own).cloned().unwrap_or_default();
                session.parsing.push_back(false);
                send(&mut session.stream, &(b'P', [name.to_vec(), statement].concat())).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Passes answers on until the session is ready. Returns its state.
    async fn answer(&mut self, session: &mut Session) -> io::Result<u8> {
        loop {
            let answer = receive(&mut session.stream).await?;
            if answer.0 == b'1' && session.parsing.pop_front() == Some(false) {
                continue;
            }
            send(&mut self.stream, &answer).await?;
            if answer.0 == b'Z' {
                session.parsing.clear();
                return Ok(answer.1[0]);
            }
        }
    }
}

impl Shared {
    /// Returns the next session that is in no transaction.
    async fn session(&self) -> OwnedMutexGuard<Session> {
        loop {
            for _ in 0..self.sessions.len() {
                let next = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
                if let Ok(session) = self.sessions[next].clone().try_lock_owned() {
                    return session;
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Session {
    async fn open(server: u16, database: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", server)).await?;
        stream.set_nodelay(true)?;
        let parameters = format!("user\0postgres\0database\0{database}\0\0");
        let body = [&196_608_u32.to_be_bytes()[..], parameters.as_bytes()].concat();
        stream.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).await?;
        stream.write_all(&body).await?;
        while receive(&mut stream).await?.0 != b'Z' {}
        Ok(Self { stream, prepared: HashSet::new(), parsing: VecDeque::new() })
    }
}

/// Splits after the first zero byte.
fn split_after_zero(bytes: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let mut first = bytes;
    let end = first.iter().position(|byte| *byte == 0).unwrap() + 1;
    let rest = first.split_off(end);
    (first, rest)
}

async fn receive(stream: &mut TcpStream) -> io::Result<Message> {
    let kind = stream.read_u8().await?;
    Ok((kind, receive_body(stream).await?))
}

async fn receive_body(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut body = vec![0; stream.read_u32().await? as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(stream: &mut TcpStream, (kind, body): &Message) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    stream.write_all(&[&[*kind], &length[..], body].concat()).await
}
