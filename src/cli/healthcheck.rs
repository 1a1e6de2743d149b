//! `healthcheck`: checks that the running service is alive, for containers without any other program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fail;
use crate::config::Config;

/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(3);

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

pub(super) async fn run(config: Config) -> ExitCode {
    let host = match config.host() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let port = config.service_port;
    match tokio::time::timeout(TIMEOUT, status_line(host, port)).await {
        Ok(Ok(line)) if line.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(Ok(line)) => fail(format!("the service at {host}:{port} returned {line:?}")),
        Ok(Err(error)) => fail(format!("cannot reach the service at {host}:{port}: {error}")),
        Err(_) => fail(format!("no response from the service at {host}:{port}")),
    }
}

async fn status_line(host: IpAddr, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(REQUEST).await?;
    let mut response = String::new();
    stream.take(4_096).read_to_string(&mut response).await?;
    Ok(response.lines().next().unwrap_or_default().to_owned())
}
