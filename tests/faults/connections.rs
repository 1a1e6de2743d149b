//! Misbehaving connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Service, event, eventually, free_port, http_client};

pub(super) fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes. Returns everything received until the connection is closed.
fn exchange(service: &Service, request: &[u8]) -> String {
    let mut stream = connect(service);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asserts that a raw response is a JSON error with the headers that every response has.
#[track_caller]
fn assert_json_error(answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["error"].is_string() && body["message"].is_string(), "{body}");
    for header in ["x-request-id: ", "content-type: application/json", "x-content-type-options: nosniff"] {
        assert!(head.contains(header), "{header} in {head}");
    }
}

#[test]
fn requests_that_cannot_be_read_get_json() {
    let service = Service::start(&Backend::sqlite(), &[]);
    assert_json_error(&exchange(&service, b"GARBAGE\r\n\r\n"), 400);
    assert_json_error(&exchange(&service, b"GET /health HTTP/1.1\r\nbad header\r\n\r\n"), 400);
    let head = |headers: String| {
        format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").into_bytes()
    };
    let many = |n: usize| (0..n).map(|i| format!("x-{i}: 1\r\n")).collect::<Vec<_>>().concat();
    let large = |n: usize| format!("x: {}\r\n", "y".repeat(n));
    assert!(exchange(&service, &head(many(62))).starts_with("HTTP/1.1 200 "), "64 headers in all");
    assert_json_error(&exchange(&service, &head(many(63))), 431);
    assert!(exchange(&service, &head(large(15 * 1024))).starts_with("HTTP/1.1 200 "));
    assert_json_error(&exchange(&service, &head(large(17 * 1024))), 431);
}

#[test]
fn a_body_over_the_limit_is_answered_while_it_is_still_sent() {
    let service = Service::start(&Backend::sqlite(), &[]);
    let head = "POST /track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let large = format!("{head}content-length: 3000000\r\n\r\n{}", "x".repeat(3_000_000));
    assert_json_error(&exchange(&service, large.as_bytes()), 413);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending_and_leaves_its_connection_open() {
    let open =
        [("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off"), ("FLOOD_LIMIT_PER_SECOND", "off")];
    let service = Service::start(&Backend::sqlite(), &open);
    let used_up =
        Service::start(&Backend::sqlite(), &[open[0], open[1], open[2], ("RATE_LIMIT_TRACK", "1 per day")]);
    let key = format!("x-api-key: {KEY}\r\n");
    let json = "content-type: application/json\r\n";
    let first = format!("POST /track HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{key}\r\n");
    assert_json_error(&exchange(&used_up, first.as_bytes()), 400);
    for (service, request, headers, status) in [
        (&service, "POST /track", json.to_owned(), 401),
        (&service, "POST /track", format!("{json}x-api-key: wrong\r\n"), 403),
        (&service, "POST /nowhere", json.to_owned(), 404),
        (&service, "PUT /track", format!("{json}{key}"), 405),
        (&service, "GET /health", json.to_owned(), 200),
        (&service, "POST /track/batch", format!("content-type: text/plain\r\n{key}"), 415),
        (&service, "POST /track", format!("{json}{key}"), 413),
        (&used_up, "POST /track", format!("{json}{key}"), 429),
    ] {
        for framing in ["content-length", "chunked"] {
            let body = "x".repeat(1_000_000);
            let framed = match framing {
                "chunked" => {
                    format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
                }
                _ => format!("content-length: {}\r\n\r\n{body}", body.len()),
            };
            let mut stream = connect(service);
            stream
                .write_all(format!("{request} HTTP/1.1\r\nhost: x\r\n{headers}{framed}").as_bytes())
                .unwrap();
            stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answers = String::new();
            stream.read_to_string(&mut answers).unwrap();
            assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {status}: {answers}");
            assert!(
                answers.contains(r#"{"status":"live"}"#),
                "{request}: the connection is closed: {answers}"
            );
        }
    }
}

#[test]
fn a_rejected_head_is_answered_while_its_body_is_still_sent() {
    let service = Service::start(&Backend::sqlite(), &[]);
    let many = "x: 1\r\n".repeat(70);
    for (headers, status) in [(many.as_str(), 431), ("bad header\r\n", 400)] {
        for _ in 0..5 {
            let head = format!("POST /track HTTP/1.1\r\nhost: x\r\n{headers}content-length: 900000\r\n\r\n");
            let request = [head.as_bytes(), "x".repeat(900_000).as_bytes()].concat();
            assert_json_error(&exchange(&service, &request), status);
        }
    }
}

#[test]
fn a_client_that_goes_on_sending_is_answered_after_two_seconds() {
    let service = Service::start(&Backend::sqlite(), &[("MLOPS_API_KEY", KEY)]);
    let mut stream = connect(&service);
    let begun = Instant::now();
    stream.write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n{").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!((1..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_json_error(&answer, 401);
}

#[test]
fn a_connection_is_idle_for_as_long_as_is_set_and_a_head_takes_ten_seconds_all_the_same() {
    let service = Service::start(&Backend::sqlite(), &[("KEEP_ALIVE_SECONDS", "2")]);
    let patient = Service::start(&Backend::sqlite(), &[("KEEP_ALIVE_SECONDS", "60")]);
    let live = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let begun = Instant::now();
            assert!(exchange(&service, live).starts_with("HTTP/1.1 200 "));
            assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        });
        threads.spawn(|| {
            let mut stream = connect(&patient);
            stream.write_all(live).unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            let begun = Instant::now();
            stream.write_all(b"GET /health/live HTTP/1.1\r\nx-").unwrap();
            // The connection may be reset, too.
            drop(stream.read_to_end(&mut Vec::new()));
            assert!((9..13).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        });
        threads.spawn(|| {
            let mut stream = connect(&patient);
            for _ in 0..2 {
                stream.write_all(live).unwrap();
                let mut status = [0; 12];
                stream.read_exact(&mut status).unwrap();
                assert_eq!(&status, b"HTTP/1.1 200");
                std::thread::sleep(Duration::from_secs(11));
                stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
            }
        });
    });
}

#[test]
fn silent_idle_and_half_sent_connections_are_closed_after_ten_seconds() {
    let service = Service::start(&Backend::sqlite(), &[("KEEP_ALIVE_SECONDS", "10")]);
    let parts: [&[u8]; 4] = [
        b"",
        b"GET /health HTTP/1.1\r\nx-",
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
    ];
    let begun = Instant::now();
    std::thread::scope(|threads| {
        let service = &service;
        let wait = move |part| (part, exchange(service, part), begun.elapsed());
        let waiting = parts.map(|part| threads.spawn(move || wait(part)));
        for (part, answer, took) in waiting.map(|thread| thread.join().unwrap()) {
            assert!((9..12).contains(&took.as_secs()), "{part:?} closed after {took:?}");
            match (part.starts_with(b"POST"), part.ends_with(b"\r\n\r\n")) {
                (true, _) => assert_json_error(&answer, 408),
                (_, true) => assert!(answer.starts_with("HTTP/1.1 200 "), "answered, and silent since then"),
                _ => assert_eq!(answer, ""),
            }
        }
    });
}

/// Makes `/metrics` larger, about 6 MB, than the socket buffers. Few businesses with long names keep rendering it cheap
/// enough to do so many times in ten seconds on a busy machine.
const LARGE_PAGE: &str = "
    with recursive many(n) as (select 1 union all select n + 1 from many where n < 450)
    insert into ai_totals (business_id, model_name, intent_detected, response_type, events, response_time_ms,
        within_100ms, within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
        completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs)
    select printf('%02000d', n), 'm', 'i', 't', 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 from many";

/// Requests `/metrics`. Returns the connection and the beginning of the status line.
fn reader_of_metrics(service: &Service) -> (TcpStream, String) {
    let mut stream = connect(service);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (stream, String::from_utf8_lossy(&status).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_its_page_loses_it_to_those_who_do() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    backend.execute(LARGE_PAGE).await;
    let service = Service::start(&backend, &[]);
    let megabytes = async || {
        let health: Value =
            http_client().get(service.url("/health/detailed")).send().await.unwrap().json().await.unwrap();
        health["system"]["memory_usage_mb"].as_f64().unwrap()
    };
    let page = || exchange(&service, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    eventually("the page is large", async || page().len() > 6_000_000).await;
    let whole = page();
    let before = megabytes().await;
    let page = async || {
        let reply = http_client().get(service.url("/metrics")).send().await.unwrap();
        (reply.status().as_u16(), reply.bytes().await.unwrap().len())
    };
    let mut unread = Vec::new();
    for _ in 0..12 {
        unread.push(reader_of_metrics(&service));
        let (status, length) = page().await;
        assert!(status == 200 && length > 6_000_000, "who reads gets it: {status}, {length} bytes");
    }
    let grown = megabytes().await - before;
    assert!(grown < 100.0, "{grown} MB more");
    let (mut first, _) = unread.into_iter().next().unwrap();
    let mut rest = Vec::new();
    let end = first.read_to_end(&mut rest);
    assert!(end.is_err() || rest.len() < whole.len() - 100_000, "{} of {} bytes", rest.len(), whole.len());
}

#[test]
fn connections_over_the_limit_are_told_so() {
    let service =
        Service::start(&Backend::sqlite(), &[("MAX_CONNECTIONS", "5"), ("MAX_CONNECTIONS_PER_CLIENT", "5")]);
    let open: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = connect(&service);
            stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut [0; 15]).unwrap();
            stream
        })
        .collect();
    let health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = exchange(&service, health);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "a probe: {answer}");
    let answer = exchange(&service, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_json_error(&answer, 503);
    assert!(answer.contains("retry-after: 1") && answer.contains("Too many open connections"));
    let mut silent = connect(&service);
    silent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(silent.read(&mut [0; 15]).is_err(), "nobody is answered before it asks");
    drop(open);
    let begun = Instant::now();
    while !exchange(&service, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .starts_with("HTTP/1.1 200 ")
    {
        assert!(begun.elapsed() < Duration::from_secs(5), "seats are free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_listener_serves_metrics_and_nothing_else() {
    let port = free_port();
    let service = Service::start(&Backend::sqlite(), &[("PROMETHEUS_PORT", &port.to_string())]);
    let call = http_client().post(service.url("/track")).json(&event(json!({})));
    assert_eq!(call.send().await.unwrap().status(), 200);
    let get =
        async |path: &str| http_client().get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap();
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("ai_response_time_seconds_count 1"));
    for path in ["/", "/health", "/track"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    assert_eq!(http_client().get(service.url("/metrics")).send().await.unwrap().status(), 200);
}
