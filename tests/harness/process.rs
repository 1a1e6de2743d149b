//! The service as a separate process.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::Client;
use tempfile::TempDir;
use uuid::Uuid;

use super::Backend;

/// A running service, killed on drop.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) banner: String,
    log: PathBuf,
    _folder: Arc<TempDir>,
}

impl Service {
    /// Starts the service on a database with these settings, and waits until it accepts requests.
    pub(crate) fn start(backend: &Backend, settings: &[(&str, &str)]) -> Self {
        let mut service = Self::spawn(backend, settings);
        let mut output = BufReader::new(service.child.stdout.take().unwrap());
        while !service.banner.contains('🌐') {
            assert!(output.read_line(&mut service.banner).unwrap() > 0, "it ended:\n{}", service.log());
        }
        let url = service.banner.lines().last().unwrap().trim_end_matches('/');
        service.port = url.rsplit(':').next().unwrap().parse().unwrap();
        service
    }

    /// Starts the service without waiting until it accepts requests.
    pub(crate) fn spawn(backend: &Backend, settings: &[(&str, &str)]) -> Self {
        let log = backend.folder.path().join(format!("{}.log", Uuid::new_v4()));
        let child = command(backend, settings)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, port: 0, banner: String::new(), log, _folder: backend.folder.clone() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns what it has written to standard error so far. A thread of its own writes the log, so this waits until it
    /// pauses, for at most a second.
    pub(crate) fn log(&self) -> String {
        let mut log = read(&self.log);
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            let before = std::mem::replace(&mut log, read(&self.log));
            if before == log {
                break;
            }
        }
        log
    }

    /// Returns the most memory that was resident so far, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    /// Waits until it exits. Returns its exit status and how long it took.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end:\n{}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("The log of the service:\n{}", self.log());
        }
    }
}

/// Returns the client that all tests share, because creating one is slow. A request fails after 20 seconds without a
/// response. Each one uses a new connection, because connections belong to the runtime of one test.
pub(crate) fn http_client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let builder = Client::builder().timeout(Duration::from_secs(20)).pool_max_idle_per_host(0);
        builder.build().unwrap()
    })
}

fn read(path: &PathBuf) -> String {
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Returns the command that runs the program in the directory of `backend`, with these settings as its whole
/// environment. If the URL of `backend` is empty, the program uses its default database.
pub(crate) fn command(backend: &Backend, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlops-service"));
    command
        .env_clear()
        .current_dir(backend.folder.path())
        .envs(Some(("DATABASE_URL", &backend.url)).filter(|(_, url)| !url.is_empty()))
        .env("SERVICE_PORT", "0")
        .envs(settings.iter().copied());
    command
}
