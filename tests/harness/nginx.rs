//! nginx with the configuration in `deploy/`.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use reqwest::{Certificate, Client};
use tempfile::TempDir;

use super::{certificate, free_port};

/// Runs nginx until standard input is closed, which happens even if the test process is killed, and then removes it with all
/// its files.
const SUPERVISOR: &str = r#"
set -eu
cd "$1"
trap 'cd /; kill "$(cat "$1/nginx.pid")" 2>/dev/null || true; rm -rf "$1"' EXIT
PATH=$PATH:/usr/sbin nginx -e "$1/error.log" -p "$1" -c "$1/nginx.conf" || { cat error.log >&2; exit 1; }
echo ready
cat >/dev/null
"#;

/// A proxy in front of three replicas, stopped and removed on drop.
pub(crate) struct Nginx {
    port: u16,
    folder: TempDir,
    supervisor: Child,
}

impl Nginx {
    /// Starts it in front of the replicas on these ports.
    pub(crate) fn start(replicas: [u16; 3]) -> Self {
        let folder = tempfile::Builder::new().prefix("mlops-nginx-").tempdir().unwrap();
        certificate::write(folder.path());
        let (port, path) = (free_port(), folder.path().display().to_string());
        let mut text = std::fs::read_to_string("deploy/nginx.conf").unwrap();
        for (shipped, own) in [
            ("127.0.0.1:5001", format!("127.0.0.1:{}", replicas[0])),
            ("127.0.0.1:5002", format!("127.0.0.1:{}", replicas[1])),
            ("127.0.0.1:5003", format!("127.0.0.1:{}", replicas[2])),
            ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
            ("/etc/ssl/mlops.example.com.pem", format!("{path}/server.crt")),
            ("/etc/ssl/mlops.example.com.key", format!("{path}/server.key")),
        ] {
            assert!(text.contains(shipped), "{shipped} in deploy/nginx.conf");
            text = text.replace(shipped, &own);
        }
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};"))
            .concat();
        let text = text.replacen("http {", &format!("pid {path}/nginx.pid;\nhttp {{ {folders}"), 1);
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        // nginx changes its user when root starts it; that user must reach the folders for bodies.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor", &path])
            // So that Ctrl-C, which signals the process group of the tests, does not kill it before it cleans up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        super::await_ready(&mut supervisor, "nginx");
        Self { port, folder, supervisor }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Returns a client that trusts its certificate.
    pub(crate) fn client(&self) -> Client {
        let root = std::fs::read(self.folder.path().join("root.crt")).unwrap();
        let client = Client::builder().add_root_certificate(Certificate::from_pem(&root).unwrap());
        client.pool_max_idle_per_host(0).build().unwrap()
    }

    /// Returns what it has logged of its replicas.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().unwrap();
    }
}
