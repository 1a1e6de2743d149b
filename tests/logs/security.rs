//! The log of security events.

use std::process::Output;

use jsonwebtoken::Algorithm;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{
    Backend, FakeIssuer, KEY, Service, SigningKey, command, eventually, http_client, on_every_backend,
    real_now,
};

on_every_backend! {
    every_event_is_logged_with_its_circumstances_and_without_a_secret,
}

/// The lines of the log, each an object.
fn lines(log: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("one object a line: {line}"));
    log.lines().map(read).collect()
}

/// Runs `key` with these arguments on the database of a service.
fn key(backend: &Backend, arguments: &[&str]) -> Output {
    let settings = [("MLOPS_API_KEY", KEY), ("LOG_FORMAT", "json"), ("RUST_LOG", "trace")];
    let output = command(backend, &settings).arg("key").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A key: its id, and all of it.
struct Made {
    id: String,
    key: String,
}

/// A service at the most talkative level, asked by requests that are named.
struct Watched {
    service: Service,
    client: &'static Client,
    issuer: FakeIssuer,
    signing: SigningKey,
    secrets: Vec<String>,
}

impl Watched {
    async fn start(backend: &Backend) -> Self {
        let signing = SigningKey::new("k", Algorithm::ES256);
        let issuer = FakeIssuer::start(&[&signing]).await;
        let settings = [
            ("MLOPS_API_KEY", KEY),
            ("OIDC_ISSUER", issuer.url.as_str()),
            ("OIDC_AUDIENCE", "mlops-service"),
            ("RUST_LOG", "trace"),
            ("LOG_FORMAT", "json"),
            ("RATE_LIMIT_HEALTH", "1/minute"),
            ("FLOOD_LIMIT_PER_SECOND", "40"),
        ];
        let service = Service::start(backend, &settings);
        Self { service, client: http_client(), issuer, signing, secrets: vec![KEY.to_owned()] }
    }

    /// A request that is named and presents this key.
    fn ask(&self, name: &str, method: Method, path: &str, key: &str) -> RequestBuilder {
        let call = self.client.request(method, self.service.url(path)).header("x-request-id", name);
        if key.is_empty() { call } else { call.header("x-api-key", key) }
    }

    async fn get(&self, name: &str, path: &str, key: &str) -> u16 {
        self.ask(name, Method::GET, path, key).send().await.unwrap().status().as_u16()
    }

    /// Asks for a key.
    async fn make(&mut self, name: &str, path: &str, key: &str, wish: Value) -> Made {
        let call = self.ask(name, Method::POST, path, key).json(&wish);
        let made: Value = call.send().await.unwrap().json().await.unwrap();
        let key = made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        self.secrets.push(key[23..].to_owned());
        Made { id: made["id"].as_str().unwrap().to_owned(), key }
    }

    /// Asks for a key with a token.
    async fn make_by_token(&mut self, name: &str) {
        let exp = real_now().timestamp() + 300;
        let claims =
            json!({"iss": self.issuer.url, "aud": "mlops-service", "exp": exp, "scope": "admin track"});
        let token = self.signing.sign(&claims);
        let wish = json!({"name": "other", "scopes": ["track"]});
        let call = self.ask(name, Method::POST, "/admin/keys", "").bearer_auth(&token).json(&wish);
        assert_eq!(call.send().await.unwrap().status(), 201);
        let signature = token.rsplit('.').next().unwrap().to_owned();
        self.secrets.extend([token, signature]);
    }

    /// Checks that an event of this request is logged, with the key it is about and who changed that.
    #[track_caller]
    fn assert_told(&self, name: &str, event: &str, route: &str, key: Option<&Made>, by: Option<&str>) {
        let lines = lines(&self.service.log());
        let line = lines.iter().find(|line| line["request_id"] == name && line["event"] == event);
        let line = line.unwrap_or_else(|| panic!("{event} is not logged"));
        assert_eq!((&line["target"], &line["level"]), (&json!("security"), &json!("WARN")), "{line}");
        assert_eq!((&line["client_ip"], &line["route"]), (&json!("127.0.0.1"), &json!(route)), "{line}");
        assert!(key.is_none_or(|key| line["key_id"] == key.id.as_str()), "{line}");
        let told = line["by"].as_str();
        assert!(by.map_or(told.is_none(), |by| told.is_some_and(|told| told.starts_with(by))), "{line}");
    }
}

/// A key whose time is over.
async fn expired(backend: &Backend) -> Made {
    let made = key(backend, &["create", "--name", "x", "--scopes", "analytics"]);
    let plain = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let id = plain[6..22].to_owned();
    let over = format!("update mlops_api_keys set expires_at = created_at where id = '{id}'");
    backend.execute(&over).await;
    Made { id, key: plain }
}

async fn every_event_is_logged_with_its_circumstances_and_without_a_secret(backend: Backend) {
    let mut watched = Watched::start(&backend).await;
    let chief = json!({"name": "chief", "scopes": ["admin", "analytics"]});
    let chief = watched.make("by-operator", "/admin/keys", KEY, chief).await;
    let wish = json!({"name": "web", "scopes": ["analytics"], "business_id": "acme"});
    let web = watched.make("by-key", "/admin/keys", &chief.key, wish).await;
    watched.make_by_token("by-token").await;
    let rotate = format!("/admin/keys/{}/rotate", web.id);
    let rotated = watched.make("rotated", &rotate, KEY, json!({"grace": "1h"})).await;
    let revoke = format!("/admin/keys/{}", web.id);
    changes_are_told(&watched, &chief, &web);
    refusals_are_told(&mut watched, &rotated, &expired(&backend).await).await;
    let revoked = watched.ask("revoked", Method::DELETE, &revoke, &chief.key);
    assert_eq!(revoked.send().await.unwrap().status(), 200);
    let by = format!("key:{}", chief.id);
    watched.assert_told("revoked", "key_revoked", "/admin/keys/{id}", Some(&web), Some(&by));
    eventually("a flood is refused", async || {
        let flood = (0..100).map(|_| watched.get("flood", "/admin/keys", &chief.key));
        futures_util::future::join_all(flood).await;
        watched.service.log().contains("flood_limited")
    })
    .await;
    watched.assert_told("flood", "flood_limited", "/admin/keys", Some(&chief), None);
    let log = watched.service.log();
    for secret in &watched.secrets {
        assert!(!log.contains(secret), "{}", log.lines().find(|line| line.contains(secret)).unwrap());
    }
}

fn changes_are_told(watched: &Watched, chief: &Made, web: &Made) {
    let by = format!("key:{}", chief.id);
    watched.assert_told("by-operator", "key_created", "/admin/keys", Some(chief), Some("configured:"));
    watched.assert_told("by-key", "key_created", "/admin/keys", Some(web), Some(&by));
    watched.assert_told("by-token", "key_created", "/admin/keys", None, Some("token:"));
    watched.assert_told("rotated", "key_rotated", "/admin/keys/{id}/rotate", Some(web), Some("configured:"));
}

async fn refusals_are_told(watched: &mut Watched, web: &Made, expired: &Made) {
    const ANALYTICS: &str = "/analytics/{business_id}";
    let guess = format!("{}{}", &web.key[..23], "f".repeat(64));
    watched.secrets.extend([guess[23..].to_owned(), expired.key[23..].to_owned()]);
    assert_eq!(watched.get("missing", "/analytics/acme", "").await, 401);
    watched.assert_told("missing", "auth_missing", ANALYTICS, None, None);
    assert_eq!(watched.get("invalid", "/analytics/acme", &guess).await, 403);
    watched.assert_told("invalid", "auth_invalid", ANALYTICS, Some(web), None);
    assert_eq!(watched.get("expired", "/analytics/acme", &expired.key).await, 403);
    watched.assert_told("expired", "auth_expired", ANALYTICS, Some(expired), None);
    assert_eq!(watched.get("scope", "/admin/keys", &web.key).await, 403);
    watched.assert_told("scope", "scope_denied", "/admin/keys", Some(web), None);
    assert_eq!(watched.get("business", "/analytics/other", &web.key).await, 403);
    watched.assert_told("business", "business_denied", ANALYTICS, Some(web), None);
    assert_eq!(watched.get("fits", "/health", &web.key).await, 200);
    assert_eq!(watched.get("limited", "/health", &web.key).await, 429);
    watched.assert_told("limited", "rate_limited", "/health", Some(web), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_keys_are_logged_whatever_else_happens() {
    let backend = Backend::sqlite();
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("RATE_LIMIT_HEALTH", "1/hour"),
        ("FLOOD_LIMIT_PER_SECOND", "off"),
        ("LOG_FORMAT", "json"),
    ];
    let (service, client) = (Service::start(&backend, &settings), http_client());
    let noise = async || {
        let calls = (0..150).map(|_| client.get(service.url("/health")).send());
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    };
    noise().await;
    for _ in 0..20 {
        let make = client.post(service.url("/admin/keys")).header("x-api-key", KEY);
        let make = make.json(&json!({"name": "web", "scopes": ["track"]}));
        let ((), answer) = tokio::join!(noise(), make.send());
        assert_eq!(answer.unwrap().status(), 201);
    }
    let lines = lines(&service.log());
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!(count("key_created"), 20);
    assert!(count("rate_limited") < 3_000, "of the others not each is: {}", count("rate_limited"));
    assert!(lines.iter().any(|line| line["unlogged"].as_u64() > Some(0)), "how many are not is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_says_what_was_wrong() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY), ("LOG_FORMAT", "json")]);
    for (id, key) in [("try-1", None), ("try-2", Some("zq-wrong-key"))] {
        let call = http_client().get(service.url("/analytics/acme")).header("x-request-id", id);
        let call = if let Some(key) = key { call.header("x-api-key", key) } else { call };
        call.send().await.unwrap();
    }
    let lines = lines(&service.log());
    for (id, reason) in [("try-1", "missing API key"), ("try-2", "invalid API key")] {
        let line = lines.iter().find(|line| line["request_id"] == id).expect("it is logged");
        assert_eq!((&line["client_ip"], &line["reason"]), (&json!("127.0.0.1"), &json!(reason)));
    }
}

#[test]
fn what_the_command_line_does_is_logged_by_it_without_a_secret() {
    let backend = Backend::sqlite();
    let created = key(&backend, &["create", "--name", "web", "--scopes", "track"]);
    let plain = String::from_utf8(created.stdout.clone()).unwrap().trim().to_owned();
    let id = &plain[6..22];
    let [rotated, revoked, again] = ["rotate", "revoke", "revoke"].map(|verb| key(&backend, &[verb, id]));
    let secret = String::from_utf8(rotated.stdout.clone()).unwrap()[23..].trim().to_owned();
    for (output, event) in [(created, "key_created"), (rotated, "key_rotated"), (revoked, "key_revoked")] {
        let told = String::from_utf8(output.stderr).unwrap();
        let event = format!("\"event\":\"{event}\"");
        let line = told.lines().find(|line| line.contains(&event)).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains(id) && line.contains("command line"), "{line}");
        assert!(!told.contains(&plain[23..]) && !told.contains(&secret), "{told}");
    }
    assert!(!String::from_utf8(again.stderr).unwrap().contains("key_revoked"), "it was before");
}
