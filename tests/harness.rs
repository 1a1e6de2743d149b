//! What tests stand on: throw-away databases, the service in process, and the service as a process.
//!
//! | word | meaning |
//! | --- | --- |
//! | [`Backend`] | a fresh database of either kind; `on_every_backend!` runs a test on both |
//! | [`TestApp`] | the service in the process of the test, with a clock that the test sets |
//! | [`Service`] | the service as a process, which can be killed |
//! | [`Contract`] | the API document, with which every reply of [`TestApp`] is compared |
//! | [`TcpProxy`], [`Link`] | a proxy between the service and a server, and the state of that link: up, slow, stalled, down |
//! | [`Disk`] | a file system that fills up, fails or loses what was not synced |
//! | supervisor | the shell that runs a server for the tests and removes it when the test process ends |
//! | `Load`, `Ledger` | in `faults`: callers that send events, and the record of what they were told, compared with what is stored |
//! | `FaultyProxy` | in `faults`: loses or doubles events on purpose, to prove that the ledger notices |
//! | [`Customer`] | a person in the tables of the receptionist app |

mod backend;
mod certificate;
mod client;
mod contract;
mod disk;
mod issuer;
mod nginx;
mod pooler;
mod postgres;
mod process;
mod receptionist;
mod redis;
mod sample;
mod tcp_proxy;
mod test_app;

use std::io::{BufRead, BufReader};
use std::process::Child;

pub(crate) use backend::{Backend, on_every_backend};
pub(crate) use client::{Call, Reply};
pub(crate) use contract::{Answer, Contract};
pub(crate) use disk::Disk;
pub(crate) use issuer::{FakeIssuer, SigningKey, base64_url};
pub(crate) use nginx::Nginx;
pub(crate) use pooler::{Kind, Pooler};
pub(crate) use postgres::{Postgres, Tls, free_port};
pub(crate) use process::{Service, command, http_client};
pub(crate) use receptionist::Customer;
pub(crate) use redis::Redis;
pub(crate) use sample::{LAB_TABLE, event, insert_as_the_app};
pub(crate) use tcp_proxy::{Link, TcpProxy};
pub(crate) use test_app::{TestApp, a_text, real_now};

/// A key that the strictest settings accept.
pub(crate) const KEY: &str = "c51e07fa9b3d4862d8a1f6704e92b5c3";

/// Waits until the supervisor of a server says that it serves.
fn await_ready(supervisor: &mut Child, server: &str) {
    let mut line = String::new();
    BufReader::new(supervisor.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
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
