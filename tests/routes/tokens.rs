//! Bearer tokens, and the attacks on them.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::harness::{
    Backend, FakeIssuer, KEY, Reply, Service, SigningKey, TcpProxy, TestApp, base64_url, event, eventually,
    free_port, http_client, real_now,
};

const AUDIENCE: &str = "mlops-service";

/// A service that believes an issuer with these keys.
async fn believer(backend: &Backend, keys: &[&SigningKey]) -> (TestApp, FakeIssuer) {
    let issuer = FakeIssuer::start(keys).await;
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("OIDC_ISSUER", issuer.url.as_str()),
        ("OIDC_AUDIENCE", AUDIENCE),
        ("RATE_LIMIT_AUTH_FAILURES", "off"),
    ];
    (TestApp::with(backend, &settings).await, issuer)
}

/// Claims of a good token, with changes; `null` removes one.
fn claims(app: &TestApp, issuer: &FakeIssuer, changes: &Value) -> Value {
    let now = app.now().timestamp();
    let mut claims = json!({"iss": issuer.url, "aud": AUDIENCE, "sub": "acme-web", "iat": now, "exp": now + 300,
                            "scope": "track analytics openid"});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn analytics(app: &TestApp, business: &str, token: &str) -> Reply {
    app.get(&format!("/analytics/{business}"))
        .header("authorization", &format!("Bearer {token}"))
        .send()
        .await
}

#[track_caller]
fn refused(reply: &Reply, why: &str) {
    reply.refused(401, "Unauthorized");
    assert!(reply.json()["message"].as_str().unwrap().contains(why), "{why}: {}", reply.text());
    assert!(reply.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_wherever_a_key_does_whatever_algorithm_its_key_is_for() {
    for backend in [Backend::sqlite(), Backend::postgres().await] {
        let keys = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
            .map(|algorithm| SigningKey::new("k", algorithm));
        for key in &keys {
            let (app, issuer) = believer(&backend, &[key]).await;
            let token = key.sign(&claims(&app, &issuer, &json!({})));
            assert_eq!(analytics(&app, "acme", &token).await.status, 200, "{:?}", key.algorithm);
            let track = app.post("/track").header("authorization", &format!("bearer {token}"));
            assert_eq!(track.json(&event(json!({}))).send().await.status, 200);
            let refresh =
                app.post("/refresh-metrics").header("authorization", &format!("Bearer {token}")).send().await;
            refresh.refused(403, "Forbidden");
            assert_eq!(refresh.json()["message"], "Token lacks scope: refresh");
            assert_eq!(
                refresh.header("www-authenticate"),
                "Bearer error=\"insufficient_scope\", scope=\"refresh\""
            );
        }
        assert_eq!(backend.rows().await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_answer_says_what_is_wanted_and_a_key_still_works() {
    let backend = Backend::sqlite();
    let key = SigningKey::new("k", Algorithm::ES256);
    let (app, _issuer) = believer(&backend, &[&key]).await;
    for authorization in ["", "Basic abc", "Bearer", "Bearer "] {
        let reply = app.get("/analytics/acme").header("authorization", authorization).send().await;
        reply.refused(401, "Unauthorized");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    assert_eq!(app.get("/analytics/acme").header("x-api-key", KEY).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classic_attacks_are_refused() {
    let backend = Backend::sqlite();
    let (key, foreign) = (SigningKey::new("k", Algorithm::RS256), SigningKey::new("k", Algorithm::RS256));
    let stranger = SigningKey::new("stranger", Algorithm::RS256);
    let (app, issuer) = believer(&backend, &[&key]).await;
    let good = claims(&app, &issuer, &json!({}));
    let genuine = key.sign(&good);
    assert_eq!(analytics(&app, "acme", &genuine).await.status, 200);
    let [header, payload, signature] = genuine.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };

    let none = base64_url(br#"{"alg":"none","typ":"JWT","kid":"k"}"#);
    refused(&analytics(&app, "acme", &format!("{none}.{payload}.")).await, "malformed");
    let symmetric = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
    for secret in [key.pair.public_key_pem().into_bytes(), key.pair.public_key_raw().to_vec()] {
        let forged = encode(&symmetric, &good, &EncodingKey::from_secret(&secret)).unwrap();
        refused(&analytics(&app, "acme", &forged).await, "algorithm");
    }
    let pss = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::PS256) };
    refused(&analytics(&app, "acme", &encode(&pss, &good, &key.key).unwrap()).await, "algorithm");
    refused(&analytics(&app, "acme", &foreign.sign(&good)).await, "signature");
    refused(&analytics(&app, "acme", &stranger.sign(&good)).await, "unknown key");
    let raised = base64_url(good.to_string().replace("track analytics", "admin").as_bytes());
    refused(&analytics(&app, "acme", &format!("{header}.{raised}.{signature}")).await, "signature");
    refused(&analytics(&app, "acme", &format!("{header}.{payload}.")).await, "");
    refused(&analytics(&app, "acme", "nonsense").await, "malformed");

    for (changes, why) in [
        (json!({"aud": "another"}), "audience"),
        (json!({"aud": null}), "is missing"),
        (json!({"iss": "https://evil.example"}), "issuer"),
        (json!({"iss": null}), "is missing"),
        (json!({"exp": null}), "malformed"),
        (json!({"exp": "tomorrow"}), "malformed"),
        (json!({"exp": app.now().timestamp() - 61}), "expired"),
        (json!({"nbf": app.now().timestamp() + 62}), "not valid yet"),
        (json!({"business_id": ["acme"]}), "malformed"),
        (json!({"business_id": ""}), "business_id"),
    ] {
        refused(&analytics(&app, "acme", &key.sign(&claims(&app, &issuer, &changes))).await, why);
    }
    let mut unbound = claims(&app, &issuer, &json!({}));
    unbound["business_id"] = Value::Null;
    refused(&analytics(&app, "acme", &key.sign(&unbound)).await, "business_id");
    for changes in [
        json!({"exp": app.now().timestamp() - 58}),
        json!({"nbf": app.now().timestamp() + 58}),
        json!({"aud": ["another", AUDIENCE]}),
    ] {
        let token = key.sign(&claims(&app, &issuer, &changes));
        assert_eq!(analytics(&app, "acme", &token).await.status, 200, "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_brings_no_key_of_its_own() {
    let backend = Backend::sqlite();
    let (key, foreign) = (SigningKey::new("k", Algorithm::ES256), SigningKey::new("k", Algorithm::ES256));
    let (app, issuer) = believer(&backend, &[&key]).await;
    let elsewhere = FakeIssuer::start(&[&foreign]).await;
    let good = claims(&app, &issuer, &json!({}));
    let header = || Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) };
    let embedded = Header { jwk: Some(serde_json::from_value(foreign.public()).unwrap()), ..header() };
    let linked = Header { jku: Some(format!("{}/certs", elsewhere.url)), ..header() };
    for header in [embedded, linked] {
        let forged = encode(&header, &good, &foreign.key).unwrap();
        refused(&analytics(&app, "acme", &forged).await, "signature");
    }
    assert_eq!(elsewhere.fetches(), 0, "nobody asks where a token says");
    let extended = Header { crit: Some(vec!["exp".to_owned()]), ..header() };
    let extended = encode(&extended, &good, &key.key).unwrap();
    refused(&analytics(&app, "acme", &extended).await, "critical");
    let unnamed = encode(&Header::new(Algorithm::ES256), &good, &key.key).unwrap();
    assert_eq!(analytics(&app, "acme", &unnamed).await.status, 200, "there is one key only");
    issuer.show(Some(&[&key, &SigningKey::new("other", Algorithm::ES256)]));
    issuer.show_too(json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": base64_url(b"secret")}));
    app.pass(TimeDelta::minutes(1));
    let symmetric = Header { kid: Some("secret".to_owned()), ..Header::new(Algorithm::HS256) };
    let symmetric = encode(&symmetric, &good, &EncodingKey::from_secret(b"secret")).unwrap();
    refused(&analytics(&app, "acme", &symmetric).await, "unknown key");
    refused(&analytics(&app, "acme", &unnamed).await, "unknown key");
    assert_eq!(analytics(&app, "acme", &key.sign(&good)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_the_business_come_from_the_token() {
    let backend = Backend::sqlite();
    let key = SigningKey::new("k", Algorithm::EdDSA);
    let (app, issuer) = believer(&backend, &[&key]).await;
    for scopes in
        [json!({"scope": null, "scp": "analytics"}), json!({"scope": null, "scp": ["track", "analytics"]})]
    {
        let token = key.sign(&claims(&app, &issuer, &scopes));
        assert_eq!(analytics(&app, "acme", &token).await.status, 200);
    }
    let none = key.sign(&claims(&app, &issuer, &json!({"scope": null})));
    assert_eq!(analytics(&app, "acme", &none).await.status, 403);
    let bound = key.sign(&claims(&app, &issuer, &json!({"business_id": "acme", "scope": "analytics admin"})));
    assert_eq!(analytics(&app, "acme", &bound).await.status, 200);
    let other = analytics(&app, "other", &bound).await;
    assert_eq!(
        (other.status.as_u16(), other.json()["message"].as_str().unwrap()),
        (403, "API key is not valid for this business")
    );
    let admin = app.get("/admin/keys").header("authorization", &format!("Bearer {bound}")).send().await;
    assert_eq!(admin.status, 403, "what is about all businesses is not for one");
    let admin = key.sign(&claims(&app, &issuer, &json!({"scope": "admin"})));
    let admin = app.get("/admin/keys").header("authorization", &format!("Bearer {admin}")).send().await;
    assert_eq!(admin.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_token_was_issued_to_is_one_caller() {
    let backend = Backend::sqlite();
    let key = SigningKey::new("k", Algorithm::EdDSA);
    let (app, issuer) = believer(&backend, &[&key]).await;
    let left = async |changes: Value| {
        let token = key.sign(&claims(&app, &issuer, &changes));
        analytics(&app, "acme", &token).await.header("x-ratelimit-remaining").to_owned()
    };
    assert_eq!(left(json!({})).await, "49");
    assert_eq!(left(json!({"jti": "another token"})).await, "48");
    assert_eq!(left(json!({"sub": "somebody else"})).await, "49");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_for_an_unknown_name_once_a_minute_and_kept_while_the_issuer_is_down() {
    let backend = Backend::sqlite();
    let (old, new) = (SigningKey::new("old", Algorithm::ES256), SigningKey::new("new", Algorithm::ES256));
    let (app, issuer) = believer(&backend, &[&old]).await;
    let status = async |key: &SigningKey| {
        analytics(&app, "acme", &key.sign(&claims(&app, &issuer, &json!({})))).await.status.as_u16()
    };
    issuer.show(None);
    assert_eq!(status(&old).await, 503, "nobody knows yet");
    issuer.show(Some(&[&old]));
    app.pass(TimeDelta::seconds(3));
    assert_eq!(status(&old).await, 200, "without any key nobody waits for a minute");
    let fetches = issuer.fetches();
    for _ in 0..5 {
        assert_eq!(status(&new).await, 401);
    }
    assert_eq!(issuer.fetches(), fetches, "within the minute");
    issuer.show(Some(&[&old, &new]));
    app.pass(TimeDelta::minutes(1));
    assert_eq!(status(&new).await, 200);
    assert_eq!(issuer.fetches(), fetches + 1);
    issuer.show(None);
    app.pass(TimeDelta::minutes(1));
    assert_eq!(status(&SigningKey::new("unknown", Algorithm::ES256)).await, 401);
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    issuer.show(Some(&[]));
    app.pass(TimeDelta::minutes(1));
    assert_eq!(status(&SigningKey::new("unknown", Algorithm::ES256)).await, 401);
    assert_eq!((status(&old).await, status(&new).await), (200, 200), "a set without a usable key is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_is_the_fault_of_no_caller() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let (backend, issuer) = (Backend::sqlite(), format!("http://127.0.0.1:{port}"));
        let settings =
            [("MLOPS_API_KEY", KEY), ("OIDC_ISSUER", issuer.as_str()), ("OIDC_AUDIENCE", AUDIENCE)];
        let app = TestApp::with(&backend, &settings).await;
        let token = SigningKey::new("k", Algorithm::ES256).sign(&json!({"exp": app.now().timestamp() + 60}));
        let begun = std::time::Instant::now();
        for _ in 0..25 {
            let reply = analytics(&app, "acme", &token).await;
            reply.refused(503, "Service Unavailable");
            assert_eq!(reply.header("retry-after"), "1");
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(app.get("/analytics/acme").send().await.status, 401, "none of them was a failed attempt");
        assert_eq!(app.get("/analytics/acme").header("x-api-key", KEY).send().await.status, 200);
    }
}

/// A service on a throw-away database that takes its keys from here.
fn with_keys_at(address: &str) -> Service {
    let settings = [("JWKS_URL", address), ("OIDC_AUDIENCE", AUDIENCE), ("SERVICE_HOST", "127.0.0.1")];
    Service::start(&Backend::sqlite(), &settings)
}

/// The answer of a service to a token that is good by the clock of this machine.
async fn with_token(service: &Service, key: &SigningKey) -> u16 {
    let exp = real_now().timestamp() + 60;
    let token = key.sign(&json!({"aud": AUDIENCE, "exp": exp, "scope": "analytics", "iss": "anybody"}));
    let call = http_client().get(service.url("/analytics/acme")).bearer_auth(token);
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_waits_for_the_keys_that_are_on_their_way() {
    let key = SigningKey::new("k", Algorithm::ES256);
    let issuer = FakeIssuer::start(&[&key]).await;
    let proxy = TcpProxy::to(issuer.url.rsplit(':').next().unwrap().parse().unwrap()).await;
    proxy.delay(std::time::Duration::from_millis(1_500));
    let service = with_keys_at(&format!("http://127.0.0.1:{}/certs", proxy.port));
    assert_eq!(with_token(&service, &key).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_could_not_be_fetched_at_the_start_are_there_in_seconds() {
    let key = SigningKey::new("k", Algorithm::ES256);
    let issuer = FakeIssuer::start(&[&key]).await;
    issuer.show(None);
    let service = with_keys_at(&format!("{}/certs", issuer.url));
    assert_eq!(with_token(&service, &key).await, 503);
    issuer.show(Some(&[&key]));
    eventually("tokens are taken", async || with_token(&service, &key).await == 200).await;
    let log = service.log();
    assert_eq!(log.matches("cannot fetch the token issuer's keys").count(), 1, "{log}");
    assert!(log.contains("the token issuer's keys can be fetched again"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_fetches_the_keys_at_start_and_needs_no_key_of_its_own() {
    let key = SigningKey::new("k", Algorithm::RS256);
    let issuer = FakeIssuer::start(&[&key]).await;
    let service = with_keys_at(&format!("{}/certs", issuer.url));
    assert!(service.banner.contains("Authentication ENABLED"));
    eventually("the keys are fetched", async || issuer.fetches() == 1).await;
    assert_eq!(with_token(&service, &key).await, 200);
    assert!(!service.log().contains("eyJ"), "no token is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_its_address_does_not_lock_out_a_bearer_who_is_known() {
    let backend = Backend::sqlite();
    let key = SigningKey::new("k", Algorithm::EdDSA);
    let issuer = FakeIssuer::start(&[&key]).await;
    let settings = [
        ("OIDC_ISSUER", issuer.url.as_str()),
        ("OIDC_AUDIENCE", AUDIENCE),
        ("FLOOD_LIMIT_PER_SECOND", "5"),
        ("RATE_LIMIT_ANALYTICS", "off"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    let token = key.sign(&claims(&app, &issuer, &json!({})));
    assert_eq!(analytics(&app, "acme", &token).await.status, 200);
    for _ in 0..40 {
        app.get("/health").send().await;
    }
    assert_eq!(app.get("/health").send().await.status, 429);
    assert_eq!(analytics(&app, "acme", &token).await.status, 200, "it has a limit of its own");
}
