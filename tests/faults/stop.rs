//! Graceful shutdown in all situations.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::crash::OPEN;
use super::load::Load;
use crate::harness::{Backend, Postgres, Service, Tls, command, free_port, http_client, on_every_backend};

on_every_backend! {
    a_stop_under_load_answers_what_is_in_flight_and_loses_nothing,
    half_sent_requests_do_not_hold_up_a_stop,
    a_second_signal_exits_at_once,
    other_signals_stop_nothing,
}

async fn a_stop_under_load_answers_what_is_in_flight_and_loses_nothing(backend: Backend) {
    let mut service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    load.ledger.more(1_000).await;
    service.signal("TERM");
    let (status, took) = service.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let ledger = load.end().await;
    assert_eq!(ledger.refused(), 0, "what was in flight was answered 200");
    ledger.check(&backend).await;
}

async fn half_sent_requests_do_not_hold_up_a_stop(backend: Backend) {
    for signal in ["TERM", "INT"] {
        let mut service = Service::start(&backend, &[]);
        let open: Vec<TcpStream> =
            ["", "GET /health HT", "POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{"]
                .map(|part| {
                    let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
                    stream.write_all(part.as_bytes()).unwrap();
                    stream
                })
                .into();
        assert_eq!(http_client().get(service.url("/health/live")).send().await.unwrap().status(), 200);
        service.signal(signal);
        let (status, took) = service.wait();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(10), "{took:?}");
        drop(open);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_does_not_hold_up_a_stop() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let mut service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    load.ledger.more(100).await;
    server.signal("STOP");
    service.signal("TERM");
    let (status, took) = service.wait();
    server.signal("CONT");
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    load.end().await;
}

async fn other_signals_stop_nothing(backend: Backend) {
    let mut service = Service::start(&backend, &[]);
    for signal in ["HUP", "USR1", "USR2", "PIPE"] {
        service.signal(signal);
        assert_eq!(http_client().get(service.url("/health/live")).send().await.unwrap().status(), 200);
        assert_eq!(service.child.try_wait().unwrap(), None, "{signal}");
    }
    service.signal("TERM");
    assert_eq!(service.wait().0.code(), Some(0));
}

async fn a_second_signal_exits_at_once(backend: Backend) {
    let mut service = Service::start(&backend, &[("SHUTDOWN_SECONDS", "60")]);
    let mut stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{").unwrap();
    assert_eq!(http_client().get(service.url("/health/live")).send().await.unwrap().status(), 200);
    service.signal("TERM");
    crate::harness::eventually("it stops accepting", async || {
        TcpStream::connect(("127.0.0.1", service.port)).is_err()
    })
    .await;
    service.signal("TERM");
    let (status, took) = service.wait();
    assert_eq!(status.code(), Some(1));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn while_it_starts_nobody_waits_for_an_answer_and_a_signal_is_heard() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://user@{}/db", silent.local_addr().unwrap());
    let backend = Backend { url, folder: std::sync::Arc::new(tempfile::tempdir().unwrap()) };
    for signal in ["TERM", "INT"] {
        let port = free_port();
        let mut service = Service::spawn(&backend, &[("SERVICE_PORT", &port.to_string())]);
        let asked = silent.accept().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it takes no connection yet");
        service.signal(signal);
        let (status, took) = service.wait();
        assert_eq!(status.code(), Some(0), "{}", service.log());
        assert!(took < Duration::from_secs(1), "{took:?}");
        drop(asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_verbs() {
    let backend = Backend::postgres().await;
    let run = |verb: &str, port: u16| {
        command(&backend, &[("SERVICE_PORT", &port.to_string())]).arg(verb).output().unwrap().status.code()
    };
    assert_eq!(run("migrate", 0), Some(0));
    assert_eq!(backend.rows().await, 0, "the table is there");
    let service = Service::start(&backend, &[]);
    assert_eq!(run("healthcheck", service.port), Some(0));
    let port = service.port;
    drop(service);
    assert_eq!(run("healthcheck", port), Some(1));
    assert_eq!(run("nonsense", port), Some(2));
}
