//! What callers share: a stranger or a tenant who takes all that can be had leaves enough for the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::connections::connect;
use super::requests::{metric, open_and};
use crate::harness::{Backend, KEY, Service, event, eventually, http_client};

/// Creates a key that is bound to `business`, or to none.
async fn key(service: &Service, business: Option<&str>) -> String {
    let wanted = json!({"name": "tenant", "scopes": ["track"], "business_id": business});
    let call = http_client().post(service.url("/admin/keys")).header("x-api-key", KEY).json(&wanted);
    let made: Value = call.send().await.unwrap().json().await.unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Reports an event of `business` with `key`. Returns the status.
async fn track(service: &Service, key: &str, business: &str) -> u16 {
    let call = http_client().post(service.url("/track")).header("x-api-key", key);
    call.json(&event(json!({"business_id": business}))).send().await.unwrap().status().as_u16()
}

/// Connects from another address of this machine.
fn connect_from(service: &Service, address: [u8; 4]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    let port = SocketAddr::from(([127, 0, 0, 1], service.port));
    let connecting = async { socket.connect(port).await.unwrap().into_std().unwrap() };
    let stream = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(connecting));
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes on a connection. Returns what comes back until it is closed.
fn exchange(mut stream: TcpStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_bodies_take_no_places() {
    let backend = Backend::sqlite();
    let settings = open_and(&[("MLOPS_API_KEY", KEY), ("MAX_REQUESTS_IN_FLIGHT", "4")]);
    let service = Service::start(&backend, &settings);
    let (greedy, other) = (key(&service, Some("a")).await, key(&service, Some("b")).await);
    let head = format!(
        "POST /track HTTP/1.1\r\nhost: x\r\nx-api-key: {greedy}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: 50\r\n\r\n"
    );
    let open: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(&service);
            stream.write_all(head.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 25]).unwrap();
            stream
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(track(&service, &other, "b").await, 200);
        assert_eq!(track(&service, &greedy, "a").await, 200);
    }
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_share_one_budget_of_memory() {
    let backend = Backend::sqlite();
    let settings = open_and(&[("MLOPS_API_KEY", KEY), ("BODY_MEMORY_MB", "16")]);
    let service = Service::start(&backend, &settings);
    let (greedy, other) = (key(&service, Some("a")).await, key(&service, Some("b")).await);
    let head = format!(
        "POST /track/batch HTTP/1.1\r\nhost: x\r\nx-api-key: {greedy}\r\ncontent-type: application/json\r\n\
         content-length: 1048576\r\n\r\n"
    );
    let body = vec![b' '; 1_048_575];
    let open: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = connect(&service);
            stream.write_all(head.as_bytes()).unwrap();
            // The service may answer and close before all is sent.
            drop(stream.write_all(&body));
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(track(&service, &other, "b").await, 200, "the other business has memory left");
    }
    let refused = r#"http_requests_total{method="POST",route="/track/batch",status="503"}"#;
    let refused = metric(&service, refused).await.unwrap_or_default();
    assert!(refused > 100.0, "{refused} are refused");
    drop(open);
    assert!(service.peak_memory() < 150, "{} MiB", service.peak_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_its_share_of_connections_leaves_the_others() {
    let backend = Backend::sqlite();
    let settings = open_and(&[("MLOPS_API_KEY", KEY), ("MAX_CONNECTIONS", "64")]);
    let service = Service::start(&backend, &settings);
    let live = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut open = Vec::new();
    for address in 2..8 {
        for _ in 0..16 {
            let mut stream = connect_from(&service, [127, 0, 0, address]);
            // Busy, or silent: neither keeps others out.
            if address % 2 == 0 {
                stream.write_all(live).unwrap();
            }
            open.push(stream);
        }
    }
    let probe = || exchange(connect_from(&service, [127, 0, 0, 99]), live);
    assert!(probe().starts_with("HTTP/1.1 200 "), "a probe has a seat at once");
    let head =
        format!("GET /analytics/a HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
    let answer = exchange(connect_from(&service, [127, 0, 0, 98]), head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "so has a caller with a key: {answer}");
    eventually("the greediest gives up an idle connection", async || {
        let page = exchange(
            connect_from(&service, [127, 0, 0, 97]),
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        );
        page.starts_with("HTTP/1.1 200 ")
    })
    .await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_leaves_label_values_for_the_others_and_the_page_is_bounded() {
    let backend = Backend::sqlite();
    let settings = open_and(&[("MLOPS_API_KEY", KEY)]);
    let service = Service::start(&backend, &settings);
    let (greedy, other) = (key(&service, Some("a")).await, key(&service, Some("b")).await);
    for batch in 0..3 {
        let events: Vec<Value> = (0..1_000)
            .map(|n| {
                let name = format!("{batch}-{n}");
                event(json!({"business_id": "a", "model_name": name, "intent_detected": name,
                             "response_type": name}))
            })
            .collect();
        let call = http_client().post(service.url("/track/batch")).header("x-api-key", &greedy);
        assert_eq!(call.json(&json!({"events": events})).send().await.unwrap().status(), 200);
    }
    assert_eq!(track(&service, &other, "b").await, 200);
    let own = r#"ai_requests_total{business_id="b",response_type="booking",intent="appointment"}"#;
    assert_eq!(metric(&service, own).await, Some(1.0));
    let folded = r#"metrics_folded_events_total{label="model_name"}"#;
    assert_eq!(metric(&service, folded).await, Some(2_950.0));
    let page = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn lengths_that_servers_could_read_differently_are_refused() {
    let service = Service::start(&Backend::sqlite(), &open_and(&[]));
    let body = "2\r\n{}\r\n0\r\n\r\n";
    for (lengths, expected) in [
        ("transfer-encoding: chunked\r\ncontent-length: 2\r\n", "Content-Length or Transfer-Encoding"),
        ("content-length: 2\r\ntransfer-encoding: chunked\r\n", "Content-Length or Transfer-Encoding"),
        ("transfer-encoding: gzip, chunked\r\n", "Transfer-Encoding must be chunked"),
    ] {
        let head =
            "POST /track HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
        let answer = exchange(connect(&service), format!("{head}{lengths}\r\n{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(expected), "{lengths}: {answer}");
    }
    let chunked = format!(
        "POST /track HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n{body}"
    );
    let answer = exchange(connect(&service), chunked.as_bytes());
    assert!(answer.contains("No metrics data"), "chunked alone is read: {answer}");
}

#[test]
fn http2_is_refused_with_its_own_status_and_bare_responses_have_all_headers() {
    let settings = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let service = Service::start(&Backend::sqlite(), &settings);
    let answer = exchange(connect(&service), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 505 ") && answer.contains("HTTP/1.1; HTTP/2"), "{answer}");
    let garbage = exchange(connect(&service), b"GARBAGE\r\n\r\n");
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    for answer in [answer, garbage] {
        assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_asked_for() {
    let service = Service::start(&Backend::sqlite(), &[("MLOPS_API_KEY", KEY)]);
    let send = |path: &str, key: &str, length: u32| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        exchange(connect(&service), head.as_bytes())
    };
    assert!(send("/track", KEY, 65_537).starts_with("HTTP/1.1 413 "));
    assert!(send("/track/batch", KEY, 1_048_577).starts_with("HTTP/1.1 413 "));
    assert!(send("/track", "wrong", 65_537).starts_with("HTTP/1.1 403 "), "the key comes first");
    assert!(send("/nowhere", KEY, 65_537).starts_with("HTTP/1.1 404 "), "and the route");
}
