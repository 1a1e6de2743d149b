//! Temporary Postgres servers with TLS.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::certificate;

/// Runs a server until standard input is closed, which happens even if the test process is killed, and then removes it
/// with all its files. `$4` is a command prefix that drops root privileges: Postgres refuses to run as root. `$5` makes the data.
const SUPERVISOR: &str = r#"
set -eu
cd "$1"; bin=$2; as=$4
umask 077
trap 'cd /; $as "$bin/pg_ctl" -D "$1/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$1"' EXIT
eval "$5" >make.log
$as cp server.crt server.key data/
$as "$bin/pg_ctl" -w -D data -l server.log -o "$3" start >start.log || { cat server.log >&2; exit 1; }
echo ready
cat >/dev/null
"#;

/// Makes the data of a new server.
const EMPTY: &str = r#"$as "$bin/initdb" -D data --auth=trust -N -U postgres"#;

/// Whether the server accepts encrypted connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    On,
    Off,
}

/// A server, stopped and removed on drop.
pub(crate) struct Postgres {
    port: u16,
    options: String,
    folder: TempDir,
    supervisor: Child,
    databases: AtomicU32,
}

impl Postgres {
    /// Returns the server that all tests share, each with its own database.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Tls::On))
    }

    /// Starts a server on a free port.
    pub(crate) fn start(tls: Tls) -> Self {
        Self::start_with(tls, EMPTY)
    }

    /// Starts a streaming replica of this server.
    pub(crate) fn start_replica(&self) -> Self {
        let copy = format!(
            r#"$as "$bin/pg_basebackup" -D data -R -X stream -c fast -h 127.0.0.1 -p {} -U postgres"#,
            self.port
        );
        Self::start_with(Tls::On, &copy)
    }

    fn start_with(tls: Tls, make_data: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mlops-postgres-").tempdir().unwrap();
        certificate::write(folder.path());
        give_to_everybody(&folder);
        let port = free_port();
        let ssl = if tls == Tls::On { "on" } else { "off" };
        // Among hundreds of databases, autovacuum would be at work all the time.
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1,::1 -c unix_socket_directories={} -c ssl={ssl} -c fsync=off \
             -c max_connections=300 -c autovacuum=off",
            folder.path().display()
        );
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(folder.path())
            .arg(binaries())
            .args([&options, &unprivileged().join(" "), make_data])
            // So that Ctrl-C, which signals the process group of the tests, does not kill it before it cleans up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        super::await_ready(&mut supervisor, "Postgres");
        Self { port, options, folder, supervisor, databases: AtomicU32::new(0) }
    }

    /// Returns the directory of its socket.
    pub(crate) fn socket_folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns the path of `psql`.
    pub(crate) fn psql() -> PathBuf {
        binaries().join("psql")
    }

    /// Returns the URL of a database, without `sslmode`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@localhost:{}/{database}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path of the certificate of the authority that signed the server's certificate.
    pub(crate) fn root_certificate(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    /// Creates an empty database. Returns its URL.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("create database {name}")).await;
        self.url(&name)
    }

    /// Runs statements in a database as its superuser.
    pub(crate) async fn execute(&self, database: &str, sql: &str) {
        let url = format!("{}?sslmode=disable", self.url(database));
        let mut conn = PgConnection::connect(&url).await.unwrap();
        conn.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        conn.close().await.unwrap();
    }

    /// Stops the server immediately, as in a crash.
    pub(crate) fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again on the same port.
    pub(crate) fn restart(&self) {
        self.control(&["-w", "-l", "server.log", "start", "-o", &self.options]);
    }

    /// Sends a signal to every process of the server.
    pub(crate) fn signal(&self, signal: &str) {
        let pids = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let postmaster = pids.lines().next().unwrap();
        let signal = format!("-{signal}");
        Command::new("pkill").args([&signal, "-P", postmaster]).status().unwrap();
        Command::new("kill").args([&signal, postmaster]).status().unwrap();
    }

    fn control(&self, arguments: &[&str]) {
        let pg_ctl = binaries().join("pg_ctl");
        let command = unprivileged().iter().copied().chain([pg_ctl.to_str().unwrap(), "-D", "data"]);
        let mut command = command.chain(arguments.iter().copied());
        let status = Command::new(command.next().unwrap())
            .args(command)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "pg_ctl {arguments:?} failed");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().unwrap();
    }
}

/// Returns a command prefix that drops root privileges; empty for other users.
fn unprivileged() -> &'static [&'static str] {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if is_root { &["runuser", "-u", "postgres", "--"] } else { &[] }
}

/// Returns the directory of the newest installed server's programs.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Postgres is installed by scripts/test");
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.unwrap().path()).max_by_key(version);
    newest.unwrap().join("bin")
}

/// Returns a free port. It stays free until a server binds it: it is outside of the ephemeral range, and no two calls
/// return the same port.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u32 = 20_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Concurrent test runs start at different ports.
    let begin = std::process::id().wrapping_mul(7_919);
    loop {
        let call = begin.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(call % COUNT).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Makes the directory accessible to the server's user, which must write to it and read the private key in it.
fn give_to_everybody(folder: &TempDir) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
}
