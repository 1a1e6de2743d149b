//! What tests stand on: throw-away databases, the service in process, and the service as a process.

mod backend;
mod certificate;
mod client;
mod detour;
mod disk;
mod issuer;
mod postgres;
mod process;
mod receptionist;
mod redis;
mod sample;
mod test_app;

use std::io::{BufRead, BufReader};
use std::process::Child;

pub(crate) use backend::{Backend, on_every_backend};
pub(crate) use client::{Call, Reply};
pub(crate) use detour::{Detour, Weather};
pub(crate) use disk::Disk;
pub(crate) use issuer::{FakeIssuer, SigningKey, base64_url};
pub(crate) use postgres::{Postgres, Tls, free_port};
pub(crate) use process::{Service, command, http_client};
pub(crate) use receptionist::Customer;
pub(crate) use redis::Redis;
pub(crate) use sample::{LAB_TABLE, event, insert_as_the_app};
pub(crate) use test_app::{TestApp, real_now};

/// A key that the strictest settings accept.
pub(crate) const KEY: &str = "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e";

/// Waits until the keeper of a server says that it serves.
fn await_ready(keeper: &mut Child, server: &str) {
    let mut line = String::new();
    BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{server} did not start");
}

/// Waits until `done`, for at most half a minute: a machine may be busy with other tests.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    for _ in 0..1_200 {
        if done().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it did not come to pass: {what}");
}
