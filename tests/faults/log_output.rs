//! Standard output and error that are closed, full, or a pipe whose reader is gone or stalled.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::harness::{Backend, KEY, command, eventually, free_port, http_client, on_every_backend};

on_every_backend! {
    a_secret_that_could_not_be_printed_opens_nothing,
}

/// A port and the service on it, killed when dropped: its banner cannot tell the port.
struct Silent {
    port: u16,
    child: Child,
}

impl Silent {
    async fn start(backend: &Backend, arrange: impl FnOnce(&mut Command)) -> Self {
        let port = free_port();
        let mut command = command(backend, &[("MLOPS_API_KEY", KEY), ("FLOOD_LIMIT_PER_SECOND", "off")]);
        command.env("SERVICE_PORT", port.to_string()).env("RATE_LIMIT_AUTH_FAILURES", "off");
        arrange(&mut command);
        let silent = Self { port, child: command.spawn().unwrap() };
        eventually("it serves", async || silent.status("/health/ready").await == Some(200)).await;
        silent
    }

    async fn get(&self, path: &str) -> Option<reqwest::Response> {
        http_client().get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.ok()
    }

    async fn status(&self, path: &str) -> Option<u16> {
        self.get(path).await.map(|reply| reply.status().as_u16())
    }

    /// Has a line logged, which needs no key.
    async fn cause_a_line(&self) {
        assert_eq!(self.status("/analytics/acme").await, Some(401));
    }

    async fn lost_lines(&self) -> f64 {
        let page = self.get("/metrics").await.unwrap().text().await.unwrap();
        let lost = page.lines().find_map(|line| line.strip_prefix("log_lines_lost_total "));
        lost.unwrap().parse().unwrap()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_a_full_disk_does_not_take_are_counted_and_stop_nothing() {
    let backend = Backend::sqlite();
    let service = Silent::start(&backend, |command| {
        command.stdout(full()).stderr(full());
    })
    .await;
    let before = service.lost_lines().await;
    assert!(before > 0.0, "those of the start");
    service.cause_a_line().await;
    eventually("the line is counted", async || service.lost_lines().await > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_whose_readers_are_gone_stop_nothing() {
    let backend = Backend::sqlite();
    let mut service = Silent::start(&backend, |command| {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    })
    .await;
    drop((service.child.stdout.take(), service.child.stderr.take()));
    let before = service.lost_lines().await;
    service.cause_a_line().await;
    eventually("the line is counted", async || service.lost_lines().await > before).await;
    assert_eq!(service.status("/health").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_stops_nothing() {
    let backend = Backend::sqlite();
    let verbose = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::piped()).env("RUST_LOG", "trace");
    };
    let service = Silent::start(&backend, verbose).await;
    let mut requests = 0;
    // Some of these lines fill the pipe, then the queue; the rest is lost.
    while service.lost_lines().await == 0.0 {
        requests += 100;
        assert!(requests < 10_000, "no line is lost");
        let statuses = join_all((0..100).map(|_| service.status("/health/live"))).await;
        assert!(statuses.iter().all(|status| *status == Some(200)), "{statuses:?}");
    }
}

#[test]
fn a_closed_standard_output_or_error_stops_no_start() {
    let backend = Backend::sqlite();
    let port = free_port().to_string();
    let program = env!("CARGO_BIN_EXE_mlops-service");
    for closed in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec {program} {closed}")])
            .env_clear()
            .current_dir(backend.folder.path());
        let mut child = shell.env("SERVICE_PORT", &port).env("DATABASE_URL", &backend.url).spawn().unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{closed}: it does not serve");
            assert_eq!(child.try_wait().unwrap(), None, "{closed}");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Runs a command whose standard output is a pipe without a reader, or full. Returns its exit code and standard error.
fn run_unread(backend: &Backend, arguments: &[&str], output: Option<Stdio>) -> (Option<i32>, String) {
    let mut command = command(backend, &[("RUST_LOG", "warn")]);
    command.args(arguments).stdout(output.unwrap_or_else(Stdio::piped)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    (child.wait().unwrap().code(), error)
}

#[test]
fn commands_end_quietly_when_nobody_reads_them() {
    let backend = Backend::sqlite();
    for arguments in [
        &["migrate"][..],
        &["key", "list"],
        &["audit", "verify"],
        &["retention", "run", "--dry-run"],
        &["env-example"],
        &["--help"],
        &["--version"],
    ] {
        assert_eq!(run_unread(&backend, arguments, None), (Some(0), String::new()), "{arguments:?}");
    }
    let read = command(&backend, &[("RUST_LOG", "warn")]).arg("check").output().unwrap().status.code();
    assert_eq!(run_unread(&backend, &["check"], None), (read, String::new()), "its verdict is the same");
    let (code, error) = run_unread(&backend, &["key", "list"], Some(full()));
    assert!(code == Some(1) && error.contains("cannot write to standard output"), "{error}");
}

async fn a_secret_that_could_not_be_printed_opens_nothing(backend: Backend) {
    let create = ["key", "create", "--name", "a", "--scopes", "track"];
    for output in [None, Some(full())] {
        let (code, error) = run_unread(&backend, &create, output);
        assert!(code == Some(1) && error.contains("the key was revoked again"), "{error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    let live = "select cast(count(*) as text) from mlops_api_keys where revoked_at is null";
    assert_eq!(backend.texts(live).await, ["0"]);
    assert!(command(&backend, &[]).args(create).output().unwrap().status.success());
    let secret = match backend.is_postgres() {
        true => "select encode(secret_hash, 'hex') from mlops_api_keys where revoked_at is null",
        false => "select hex(secret_hash) from mlops_api_keys where revoked_at is null",
    };
    let (before, id) =
        (backend.texts(secret).await, "select id from mlops_api_keys where revoked_at is null");
    let id = backend.texts(id).await.remove(0);
    let (code, error) = run_unread(&backend, &["key", "rotate", &id], None);
    assert!(code == Some(1) && error.contains("the previous one stays valid"), "{error}");
    assert_eq!(backend.texts(secret).await, before);
}
