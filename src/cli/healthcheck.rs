//! `healthcheck`: asks the running service whether it lives, for containers that hold no other program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fail;
use crate::config::Config;

/// How long the service may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

pub(super) async fn run(config: Config) -> ExitCode {
    let host = match config.host() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let port = config.service_port;
    match tokio::time::timeout(LIMIT, status_line(host, port)).await {
        Ok(Ok(line)) if line.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(Ok(line)) => fail(format!("the service at {host}:{port} answers {line:?}")),
        Ok(Err(error)) => fail(format!("the service at {host}:{port} cannot be reached: {error}")),
        Err(_) => fail(format!("the service at {host}:{port} does not answer")),
    }
}

async fn status_line(host: IpAddr, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
