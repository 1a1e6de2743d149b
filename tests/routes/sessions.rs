//! Signing in and out of pages.

use chrono::TimeDelta;
use serde_json::json;

use super::keys::create;
use crate::harness::{Backend, Call, KEY, Reply, TestApp, on_every_backend};

on_every_backend! {
    a_key_signs_a_browser_in_until_its_time_is_over,
    a_session_ends_with_its_key_on_every_replica,
    a_session_ends_where_it_was_not_begun,
    the_store_has_no_cookie,
}

/// The cookie that a response sets, as a browser sends it back.
#[track_caller]
fn cookie(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn businesses(app: &TestApp, cookie: &str) -> Call {
    app.get("/businesses").header("cookie", cookie)
}

/// Asserts that a page leads to the start page, where the form is.
#[track_caller]
fn assert_signed_out(reply: &Reply) {
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/"), "{}", reply.text());
}

/// Asserts that an answer is a page of that status and title, and that it sets no cookie.
#[track_caller]
fn assert_page(reply: &Reply, status: u16, title: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(reply.text().contains(&format!("<h1>{title}</h1>")), "{}", reply.text());
    assert_eq!(reply.header("set-cookie"), "");
}

async fn a_key_signs_a_browser_in_until_its_time_is_over(backend: Backend) {
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("SESSION_HOURS", "2")]).await;
    assert_signed_out(&app.get("/businesses").send().await);
    let reply = app.sign_in(&format!("++{KEY}%0A")).await;
    assert_eq!(reply.header("location"), "/businesses");
    let cookie = cookie(&reply);
    let page = businesses(&app, &cookie).send().await;
    assert_page(&page, 200, "Businesses");
    assert_eq!(page.header("x-ratelimit-remaining"), "119");
    let start = app.get("/").header("cookie", &cookie).send().await;
    assert!(start.text().contains("action=\"/session/end\"") && !start.text().contains("name=\"key\""));
    app.pass(TimeDelta::minutes(119));
    assert_eq!(businesses(&app, &cookie).send().await.status, 200);
    app.pass(TimeDelta::minutes(1));
    assert_signed_out(&businesses(&app, &cookie).send().await);
    let start = app.get("/").header("cookie", &cookie).send().await;
    assert!(start.text().contains("Your session is over") && start.text().contains("name=\"key\""));
    assert!(start.header("set-cookie").starts_with("mlops_session=; Path=/; Max-Age=0;"));
    let start = app.get("/").send().await;
    assert!(!start.text().contains("Your session is over") && start.text().contains("name=\"key\""));
    app.sign_in(KEY).await;
    assert_eq!(backend.number("select count(*) from mlops_sessions").await, 1, "what is over was deleted");
}

async fn a_session_ends_with_its_key_on_every_replica(backend: Backend) {
    let (app, other) = (TestApp::guarded(&backend).await, TestApp::guarded(&backend).await);
    let wish = json!({"name": "web", "scopes": ["analytics"]});
    let (id, key) = create(&app, wish.clone()).await;
    let revoked = cookie(&app.sign_in(&key).await);
    let (rotated_id, key) = create(&app, wish.clone()).await;
    let rotated = cookie(&app.sign_in(&key).await);
    let (_, key) = create(&app, json!({"name": "web", "scopes": ["analytics"], "expires": "1h"})).await;
    let expired = cookie(&app.sign_in(&key).await);
    let all = [&revoked, &rotated, &expired];
    for app in [&app, &other] {
        for cookie in all {
            assert_eq!(
                businesses(app, cookie).send().await.status,
                200,
                "on a replica that it did not begin on too"
            );
        }
    }
    let admin = |call: Call| call.header("x-api-key", KEY).send();
    admin(app.call(axum::http::Method::DELETE, &format!("/admin/keys/{id}"))).await.ok();
    let rotation = app.post(&format!("/admin/keys/{rotated_id}/rotate")).json(&json!({"grace": "10m"}));
    let new_key = admin(rotation).await.ok()["key"].as_str().unwrap().to_owned();
    assert_signed_out(&businesses(&app, &revoked).send().await);
    // As its task does every three seconds.
    other.app.access.key_cache().read().await.unwrap();
    assert_signed_out(&businesses(&other, &revoked).send().await);
    let begun_with_the_new_one = cookie(&app.sign_in(&new_key).await);
    for app in [&app, &other] {
        assert_eq!(businesses(app, &rotated).send().await.status, 200, "within the grace period");
        app.pass(TimeDelta::minutes(10));
        assert_signed_out(&businesses(app, &rotated).send().await);
        assert_eq!(businesses(app, &begun_with_the_new_one).send().await.status, 200);
        app.pass(TimeDelta::minutes(50));
        assert_signed_out(&businesses(app, &expired).send().await);
        assert_eq!(businesses(app, &begun_with_the_new_one).send().await.status, 200);
    }
    let of_key = TestApp::guarded(&backend).await;
    let configured = cookie(&of_key.sign_in(KEY).await);
    let another_key = TestApp::with(&backend, &[("MLOPS_API_KEY", "another-key-for-everything")]).await;
    assert_signed_out(&businesses(&another_key, &configured).send().await);
}

async fn a_session_ends_where_it_was_not_begun(backend: Backend) {
    let (app, other) = (TestApp::guarded(&backend).await, TestApp::guarded(&backend).await);
    let cookie = cookie(&app.sign_in(KEY).await);
    assert_eq!(businesses(&other, &cookie).send().await.status, 200);
    let ended = app.form("/session/end", "").header("cookie", &cookie).send().await;
    assert_signed_out(&ended);
    let cleared = "mlops_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
    assert_eq!(ended.header("set-cookie"), cleared);
    assert_signed_out(&businesses(&app, &cookie).send().await);
    other.pass(TimeDelta::seconds(3));
    assert_signed_out(&businesses(&other, &cookie).send().await);
    assert_eq!(backend.number("select count(*) from mlops_sessions").await, 0);
    let again = app.form("/session/end", "").header("cookie", &cookie).send().await;
    assert_signed_out(&again);
    assert_eq!(app.metric("security_events_total{event=\"signed_in\"}").await, Some(1.0));
    assert_eq!(app.metric("security_events_total{event=\"signed_out\"}").await, Some(1.0));
}

async fn the_store_has_no_cookie(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (_, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    for key in [KEY, &key] {
        let cookie = cookie(&app.sign_in(key).await);
        let value = cookie.split_once('=').unwrap().1;
        let hash = if backend.is_postgres() { "encode(token_hash, 'hex')" } else { "lower(hex(token_hash))" };
        let stored = backend.texts(&format!("select {hash} from mlops_sessions")).await;
        assert!(value.len() == 64 && !stored.contains(&value.to_owned()), "{stored:?}");
        let taken = businesses(&app, &format!("mlops_session={}", stored[0])).send().await;
        assert_signed_out(&taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_always_makes_a_new_cookie() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let planted = format!("mlops_session={}", "a".repeat(64));
    let reply = app.form("/session", &format!("key={KEY}")).header("cookie", &planted).send().await;
    let first = cookie(&reply);
    assert_ne!(first, planted);
    assert_signed_out(&businesses(&app, &planted).send().await);
    let reply = app.form("/session", &format!("key={KEY}")).header("cookie", &first).send().await;
    let second = cookie(&reply);
    assert_ne!(second, first);
    assert_signed_out(&businesses(&app, &first).send().await);
    assert_eq!(businesses(&app, &second).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_pages_do_nothing() {
    let backend = Backend::sqlite();
    let local = TestApp::guarded(&backend).await;
    let public =
        TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("PUBLIC_URL", "https://metrics.example.com")])
            .await;
    let session = cookie(&local.sign_in(KEY).await);
    let send = async |app: &TestApp, path: &str, host: &str, origins: &[&str]| {
        let call = app.post(path).header("content-type", "application/x-www-form-urlencoded").host(host);
        let call = call.header("cookie", &session).body(format!("key={KEY}"));
        origins.iter().fold(call, |call, origin| call.header("origin", origin)).send().await
    };
    for path in ["/session", "/session/end"] {
        for origins in [
            &[][..],
            &["null"],
            &["http://evil.example"],
            &["http://localhost:5002"],
            &["http://localhost"],
            &["https://localhost:5001"],
            &["http://localhost:5001.evil.example"],
            &["http://localhost:5001", "http://localhost:5001"],
            &[""],
        ] {
            let refused = send(&local, path, "localhost:5001", origins).await;
            assert_page(&refused, 403, "This is not allowed");
        }
        for origin in
            ["https://metrics.example.com:8443", "http://metrics.example.com", "https://example.com"]
        {
            let refused = send(&public, path, "metrics.example.com", &[origin]).await;
            assert_page(&refused, 403, "This is not allowed");
        }
        let refused = send(&public, path, "localhost", &["http://localhost"]).await;
        assert_page(&refused, 403, "This is not allowed");
    }
    assert_eq!(businesses(&local, &session).send().await.status, 200, "it was not ended");
    assert_eq!(backend.number("select count(*) from mlops_sessions").await, 1, "and none was begun");
    for (app, host, origin) in [
        (&local, "localhost:5001", "http://localhost:5001"),
        (&local, "localhost:80", "http://localhost"),
        (&public, "metrics.example.com", "https://metrics.example.com"),
        (&public, "10.0.0.7:5001", "https://metrics.example.com"),
    ] {
        assert_eq!(send(app, "/session", host, &[origin]).await.status, 303, "{host} {origin}");
    }
}

/// A connection: the peer, the `Host`, the `X-Forwarded-Proto`, and the `Origin` that a browser sends there.
type From = (&'static str, &'static str, &'static str, &'static str);

const SECURE: &str = "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure";
const LOCAL: &str = "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict";
const PUBLIC: &str = "https://metrics.example.com";
const STRANGER: &str = "198.51.100.1";
const PROXY: &str = "192.0.2.1";

fn over(call: Call, (peer, host, proto, origin): From) -> Call {
    let call = call.from(peer).host(host).header("origin", origin);
    if proto.is_empty() { call } else { call.header("x-forwarded-proto", proto) }
}

async fn sign_in_over(app: &TestApp, from: From) -> Reply {
    let form = app.post("/session").header("content-type", "application/x-www-form-urlencoded");
    over(form.body(format!("key={KEY}")), from).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_as_safe_as_the_connection() {
    let backend = Backend::sqlite();
    let key = ("MLOPS_API_KEY", KEY);
    let plain = TestApp::with(&backend, &[key, ("TRUSTED_PROXIES", PROXY)]).await;
    let public = TestApp::with(&backend, &[key, ("PUBLIC_URL", PUBLIC)]).await;
    let (safe, local) = (("__Host-mlops_session", SECURE), ("mlops_session", LOCAL));
    for (app, from, (name, flags)) in [
        (&plain, (STRANGER, "localhost:5001", "", "http://localhost:5001"), local),
        (&plain, (STRANGER, "127.9.9.9", "", "http://127.9.9.9"), local),
        (&plain, (STRANGER, "[::1]:5001", "", "http://[::1]:5001"), local),
        (&public, (STRANGER, "metrics.example.com", "", PUBLIC), safe),
        (&plain, (PROXY, "metrics.example.com", "https", PUBLIC), safe),
        (&plain, (PROXY, "metrics.example.com", "http, https", PUBLIC), safe),
    ] {
        let reply = sign_in_over(app, from).await;
        let line = reply.header("set-cookie").to_owned();
        let value = line.strip_prefix(&format!("{name}=")).unwrap_or_else(|| panic!("{from:?}: {line}"));
        assert_eq!(&value[64..], flags);
        let value = &value[..64];
        let page =
            async |cookie: String| over(app.get("/businesses"), from).header("cookie", &cookie).send().await;
        assert_eq!(page(format!("a=b; {name}={value}; c")).await.status, 200, "{from:?}");
        let other = if name == safe.0 { local.0 } else { safe.0 };
        assert_signed_out(&page(format!("{other}={value}")).await);
        assert_signed_out(&page(format!("{name}={}", &value[1..])).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http_nobody_signs_in_from_afar() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("TRUSTED_PROXIES", PROXY)]).await;
    let cookie = cookie(&app.sign_in(KEY).await);
    let value = cookie.split_once('=').unwrap().1;
    for from in [
        (PROXY, "metrics.example.com", "http", "http://metrics.example.com"),
        (PROXY, "metrics.example.com", "https, http", "http://metrics.example.com"),
        (STRANGER, "metrics.example.com", "https", "http://metrics.example.com"),
        (STRANGER, "metrics.example.com", "", "http://metrics.example.com"),
        (STRANGER, "192.0.2.99", "", "http://192.0.2.99"),
        (STRANGER, "localhost.example.com", "", "http://localhost.example.com"),
    ] {
        let refused = sign_in_over(&app, from).await;
        assert_page(&refused, 403, "This is not allowed");
        assert!(refused.text().contains("Signing in needs HTTPS"), "{from:?}");
        for name in ["mlops_session", "__Host-mlops_session"] {
            let page = over(app.get("/businesses"), from).header("cookie", &format!("{name}={value}"));
            assert_signed_out(&page.send().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_keys_in_the_form_runs_into_429() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let (_, named) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let wrong = format!("{}{}", &named[..named.len() - 1], if named.ends_with('0') { '1' } else { '0' });
    assert_page(&app.sign_in("").await, 401, "A key is needed");
    for guess in ["wrong", &wrong, "mlops_", "<b>", "%00", "k%FF"].into_iter().cycle().take(19) {
        let refused = app.sign_in(guess).await;
        assert_page(&refused, 403, "This key is not valid");
        assert!(refused.text().contains("name=\"key\""), "the form is there again");
        assert!(!refused.text().contains(&named[6..22]) && !refused.text().contains("<b>"));
    }
    let refused = app.sign_in("wrong").await;
    assert_page(&refused, 429, "Too many requests");
    assert_eq!(refused.header("retry-after"), "60");
    let elsewhere = app.get("/analytics/acme").header("x-api-key", "wrong").send().await;
    elsewhere.refused(429, "429 Too Many Requests");
    assert_eq!(app.sign_in(KEY).await.status, 303, "whoever has a key signs in all the same");
    assert_eq!(app.sign_in(&named).await.status, 303);
    assert_eq!(app.metric("security_events_total{event=\"auth_invalid\"}").await, Some(19.0));
    app.pass(TimeDelta::minutes(1));
    assert_page(&app.sign_in("wrong").await, 403, "This key is not valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_signs_in_to_what_it_may_see() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for (business, path) in [
        ("bolt", "/businesses/bolt"),
        ("//evil.example/a?b#c", "/businesses/%2F%2Fevil.example%2Fa%3Fb%23c"),
        ("Bäckerei 1", "/businesses/B%C3%A4ckerei%201"),
    ] {
        let wish = json!({"name": "web", "scopes": ["analytics"], "business_id": business});
        let (_, key) = create(&app, wish).await;
        let reply = app.sign_in(&key).await;
        assert_eq!(reply.header("location"), path);
        let cookie = cookie(&reply);
        let open = async |path: &str| app.get(path).header("cookie", &cookie).send().await;
        assert_eq!(open(path).await.status, 200);
        assert_eq!(open(&path.replace("businesses", "statement")).await.status, 200);
        for other in ["/businesses/acme", "/statement/acme", "/businesses/nobody"] {
            assert_page(&open(other).await, 404, "There is no page here");
        }
    }
    assert_eq!(app.metric("security_events_total{event=\"business_denied\"}").await, Some(9.0));
    let (_, key) = create(&app, json!({"name": "app", "scopes": ["track"]})).await;
    assert_page(&app.sign_in(&key).await, 403, "This key does not open pages");
    let (_, key) = create(&app, json!({"name": "old", "scopes": ["analytics"], "expires": "1h"})).await;
    app.pass(TimeDelta::hours(1));
    assert_page(&app.sign_in(&key).await, 403, "This key has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_leads_nowhere_else() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for more in [
        "&next=//evil.example",
        "&next=https://evil.example",
        "&location=%0d%0aSet-Cookie:a=b",
        "&key=//evil",
    ] {
        let reply = app.form("/session", &format!("key={KEY}{more}")).send().await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/businesses"), "{more}");
    }
    let query = app.form("/session?next=//evil.example", &format!("key={KEY}")).send().await;
    assert_eq!(query.header("location"), "/businesses");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_take_the_cookie_and_they_take_nothing_else() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let cookie = cookie(&app.sign_in(KEY).await);
    for path in
        ["/analytics", "/analytics/acme", "/admin/keys", "/admin/links", "/admin/audit", "/privacy/requests"]
    {
        app.get(path).header("cookie", &cookie).send().await.refused(401, "Unauthorized");
    }
    for path in ["/track", "/refresh-metrics", "/privacy/export"] {
        let call = app.post(path).header("cookie", &cookie).json(&json!({}));
        call.send().await.refused(401, "Unauthorized");
    }
    let value = cookie.split_once('=').unwrap().1;
    for name in ["x-api-key", "authorization"] {
        for credential in [KEY, value, &format!("Bearer {KEY}")] {
            for path in ["/businesses", "/businesses/acme", "/statement/acme"] {
                assert_signed_out(&app.get(path).header(name, credential).send().await);
            }
        }
    }
    let both = businesses(&app, &cookie).header("x-api-key", "wrong").send().await;
    assert_eq!(both.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_are_not_known_are_looked_up_within_the_quota_of_their_address() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_PAGES", "5/minute")]).await;
    let cookie = cookie(&app.sign_in(KEY).await);
    for n in 0..5 {
        assert_signed_out(&businesses(&app, &format!("mlops_session={n:064}")).send().await);
    }
    let refused = businesses(&app, &format!("mlops_session={:064}", 5)).send().await;
    assert_page(&refused, 429, "Too many requests");
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    let known = businesses(&app, &cookie).send().await;
    assert_eq!((known.status.as_u16(), known.header("x-ratelimit-remaining")), (200, "4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_authentication_is_off_pages_are_open() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    let start = app.get("/").send().await;
    assert!(start.text().contains("href=\"/businesses\"") && !start.text().contains("name=\"key\""));
    for path in ["/businesses", "/businesses/acme", "/statement/acme"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
    let reply = app.sign_in("whatever").await;
    assert_eq!((reply.header("location"), reply.header("set-cookie")), ("/businesses", ""));
    assert_eq!(app.get("/businesses").header("cookie", "mlops_session=x").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_the_headers_of_pages_and_are_compressed() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let cookie = cookie(&app.sign_in(KEY).await);
    let refused = app.sign_in("wrong").await;
    let ok = [app.get("/").send().await, businesses(&app, &cookie).send().await];
    for page in ok.iter().chain([&refused]) {
        let policy = page.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(page.header("referrer-policy"), "same-origin", "else browsers send no origin with forms");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(!page.text().contains("style=") && !page.text().contains("<style"), "no inline styles");
    }
    let gzip = |path: &str| app.get(path).header("accept-encoding", "br, gzip").header("x-api-key", KEY);
    for path in ["/", "/assets/dashboard.css", "/privacy"] {
        let reply = gzip(path).send().await;
        assert_eq!(
            (reply.header("content-encoding"), &reply.body[..2]),
            ("gzip", &[0x1f, 0x8b][..]),
            "{path}"
        );
        assert!(reply.header("vary").to_ascii_lowercase().contains("accept-encoding"), "{path}");
        assert_eq!(app.get(path).send().await.header("content-encoding"), "", "{path}");
    }
    for path in ["/admin/keys", "/health/detailed", "/admin/businesses"] {
        assert_eq!(gzip(path).send().await.header("content-encoding"), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_loads_an_asset_once() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let mut tags = std::collections::BTreeSet::new();
    for path in ["/assets/pages.css", "/assets/dashboard.css", "/assets/icon.svg"] {
        let first = app.get(path).send().await;
        let tag = first.header("etag").to_owned();
        assert!(first.status == 200 && tags.insert(tag.clone()), "{path}: {tag}");
        let again = app.get(path).header("if-none-match", &tag).send().await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, tag.as_str()));
        assert_eq!(app.get(path).header("if-none-match", "W/\"old\"").send().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_pages_are_pages() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for path in ["/session", "/session/end"] {
        let reply = app.get(path).send().await;
        assert_page(&reply, 405, "This address takes no such request");
        assert_eq!(reply.header("allow"), "POST");
    }
    let long = app.form("/session", &format!("key={}", "k".repeat(4 * 1024))).send().await;
    assert_page(&long, 413, "This request cannot be answered");
    let json =
        app.post("/session").header("origin", "http://localhost").json(&json!({"key": KEY})).send().await;
    assert_page(&json, 415, "This request cannot be answered");
    assert_page(&app.get("/shared/%ff").send().await, 400, "This request cannot be answered");
    let odd = app.get("/shared/x").host("a b").send().await;
    assert_page(&odd, 400, "This request cannot be answered");
    app.pass(TimeDelta::days(99_000_000));
    assert_page(&app.get("/shared/x").send().await, 500, "Something went wrong");
}
