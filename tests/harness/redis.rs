//! Temporary Redis servers.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{certificate, free_port};

/// Runs a server until standard input is closed, which happens even if the test process is killed, and then removes it
/// with all its files. `$2` is its configuration.
const SUPERVISOR: &str = r#"
set -eu
cd "$1"
echo "$2" >redis.conf
trap 'cd /; kill -9 "$(cat "$1/pid")" 2>/dev/null || true; rm -rf "$1"' EXIT
redis-server redis.conf >redis.log & echo $! >pid
for _ in $(seq 600); do
    if grep -q "Ready to accept connections" redis.log; then echo ready; cat >/dev/null; exit; fi
    # The shell looks after its children when it lists them, and one that ended is a process until then.
    jobs >jobs.log
    kill -0 "$(cat pid)" 2>/dev/null || break
    sleep 0.05
done
cat redis.log >&2
"#;

/// A server, stopped and removed on drop. It accepts plain and encrypted connections on separate ports.
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    folder: TempDir,
    supervisor: Child,
}

impl Redis {
    /// Returns the server that all tests share, each with its own callers.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(free_port()))
    }

    /// Starts a server on this port.
    pub(crate) fn start(port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("mlops-redis-").tempdir().unwrap();
        certificate::write(folder.path());
        let tls_port = free_port();
        let settings = format!(
            "port {port}\ntls-port {tls_port}\nbind 127.0.0.1\nsave \"\"\nappendonly no\nenable-debug-command local\n\
             tls-cert-file server.crt\ntls-key-file server.key\ntls-ca-cert-file root.crt\ntls-auth-clients no"
        );
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(folder.path())
            .arg(settings)
            // So that Ctrl-C, which signals the process group of the tests, does not kill it before it cleans up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        super::await_ready(&mut supervisor, "Redis");
        Self { port, tls_port, folder, supervisor }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the URL for encrypted connections, which names the authority of the server's certificate.
    pub(crate) fn tls_url(&self, host: &str) -> String {
        let root = self.folder.path().join("root.crt");
        format!("rediss://{host}:{}?sslrootcert={}", self.tls_port, root.display())
    }

    /// Runs a command with `redis-cli`. Returns its output.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns how many connections the server has accepted since its start.
    pub(crate) fn connections(&self) -> u32 {
        let told = self.command(&["INFO", "stats"]);
        let count = told.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().trim().parse().unwrap()
    }

    /// Sends a signal to the server.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().unwrap();
    }
}
