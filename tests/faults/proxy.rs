//! Strangers behind the proxy in `deploy/nginx.conf`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Backend, KEY, Nginx, Service, event};

/// Good events, at least, while strangers send what is refused.
const GOOD: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_takes_a_replica_out_of_rotation() {
    let settings = [("MLOPS_API_KEY", KEY), ("TRUSTED_PROXIES", "127.0.0.1"), ("RATE_LIMIT_TRACK", "off")];
    let replicas = [(); 3].map(|()| Service::start(&Backend::sqlite(), &settings));
    let nginx = Nginx::start([replicas[0].port, replicas[1].port, replicas[2].port]);
    let client = nginx.client();
    let (good, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let good_caller = async || {
        while !done.load(Ordering::Relaxed) || good.load(Ordering::Relaxed) < GOOD {
            let call = client.post(nginx.url("/track")).header("x-api-key", KEY).json(&event(json!({})));
            assert_eq!(call.send().await.unwrap().status(), 200);
            good.fetch_add(1, Ordering::Relaxed);
        }
    };
    let strangers = async {
        let many = |mut call: reqwest::RequestBuilder| {
            for number in 0..80 {
                call = call.header(format!("x-{number}"), "1");
            }
            call
        };
        for _ in 0..10 {
            let post = |path: &str| client.post(nginx.url(path)).body("x".repeat(1_000_000));
            for (call, expected) in [
                (post("/track"), [401, 429]),
                (post("/track").header("x-api-key", "wrong"), [403, 429]),
                (post("/nowhere"), [404, 404]),
                (client.put(nginx.url("/track")).body("x".repeat(1_000_000)), [405, 405]),
                (
                    post("/track").header("x-api-key", KEY).header("content-type", "application/json"),
                    [413, 413],
                ),
                (post("/track").header("x-api-key", KEY).header("content-type", "text/x"), [413, 413]),
                (many(post("/track")), [431, 431]),
            ] {
                let status = call.send().await.unwrap().status().as_u16();
                assert!(expected.contains(&status), "{status}, not one of {expected:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(strangers, good_caller(), good_caller());
    assert!(!nginx.errors().contains("upstream"), "{}", nginx.errors());
}
