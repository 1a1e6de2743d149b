//! What holds for every row of the table.

use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use futures_util::FutureExt;
use mlops_service::auth::Credentials;
use mlops_service::auth::key::Scope;
use mlops_service::fair_share::Tenant;
use mlops_service::http::routes::{Access, QuotaOf, Row, table};
use serde_json::json;
use tower::ServiceExt;

use super::keys::create;
use crate::harness::{Backend, KEY, Reply, TestApp, a_text, command, event};

/// The rows: method, path, access and quota.
const CONTRACT: [&str; 43] = [
    "GET / Public none",
    "GET /assets/{name} Public none",
    "GET /privacy Public none",
    "GET /openapi.json Public none",
    "GET /docs Public none",
    "GET /docs/{group} Public none",
    "GET /businesses Page 120 per 1 minute",
    "GET /businesses/{business_id} Page 120 per 1 minute",
    "GET /statement/{business_id} Page 120 per 1 minute",
    "GET /shared/{link} Public 120 per 1 minute",
    "POST /session Public 120 per 1 minute",
    "POST /session/end Public 120 per 1 minute",
    "GET /metrics Public none",
    "GET /health Public 100 per 1 minute",
    "GET /health/detailed Public 50 per 1 minute",
    "GET /health/live Public none",
    "GET /health/ready Public none",
    "POST /track Scope(Track) 100 per 1 hour",
    "POST /track/batch Scope(Track) 100 per 1 hour",
    "POST /outcomes Scope(Track) 100 per 1 hour",
    "GET /analytics Scope(Analytics) 50 per 1 hour",
    "GET /analytics/{business_id} Scope(Analytics) 50 per 1 hour",
    "GET /analytics/{business_id}/conversations Scope(Analytics) 50 per 1 hour",
    "POST /refresh-metrics Scope(Refresh) 10 per 1 hour",
    "GET /admin/keys Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "POST /admin/keys Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "POST /admin/keys/{id}/rotate Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "DELETE /admin/keys/{id} Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "GET /admin/businesses Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "GET /admin/businesses/{business_id} Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "PUT /admin/businesses/{business_id} Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "GET /admin/links Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "POST /admin/links Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "DELETE /admin/links/{id} Scope(Admin) 200 per 1 day; 50 per 1 hour",
    "GET /admin/audit Personal(Admin) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/export Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/erase Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "GET /privacy/requests Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/requests Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/requests/{id}/extension Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "GET /privacy/consents Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/consents Personal(Privacy) 200 per 1 day; 50 per 1 hour",
    "POST /privacy/consents/search Personal(Privacy) 200 per 1 day; 50 per 1 hour",
];

/// An address of the row.
fn path(row: &Row) -> String {
    row.path
        .replace("{business_id}", "acme")
        .replace("{name}", "icon.svg")
        .replace("{id}", "0123456789abcdef")
        .replace("{group}", "events")
        .replace("{link}", &"0".repeat(64))
}

/// The cookie of a browser that has signed in with this key, made without a request that counts.
async fn cookie(app: &TestApp, key: &str) -> String {
    let presented = Credentials { api_key: Some(key.as_bytes()), authorization: None };
    let access = &app.app.access;
    let holder = access.holder(presented).unwrap();
    let cookie = access.begin_session(&holder, key.as_bytes()).await.unwrap();
    format!("mlops_session={}", cookie.expose())
}

/// Calls a row as a program or, where the row is a page that takes no key, with a browser that may have signed in with it; or with a
/// browser that has this cookie.
async fn call(app: &TestApp, row: &Row, key: Option<&str>) -> Reply {
    let call = app.call(row.method.clone(), &path(row));
    let call = match row.path {
        "/track" => call.json(&event(json!({}))),
        "/track/batch" => call.json(&json!({"events": [event(json!({}))]})),
        "/outcomes" => {
            call.json(&json!({"business_id": "acme", "conversation_id": "c-1", "outcome": "kept"}))
        }
        _ => call,
    };
    let call = if row.is_page() { call.header("origin", "http://localhost") } else { call };
    match key {
        Some(cookie) if cookie.starts_with("mlops_session=") => call.header("cookie", cookie).send().await,
        Some(key) if row.access == Access::Page && key.len() >= KEY.len() => {
            call.header("cookie", &cookie(app, key).await).send().await
        }
        Some(key) => call.header("x-api-key", key).send().await,
        None => call.send().await,
    }
}

/// Whether the handler answered. Where an address needs a key that is not there, or a body, it says so.
fn reached(row: &Row, reply: &Reply) -> bool {
    match (row.path, &row.method) {
        (
            "/admin/keys"
            | "/admin/links"
            | "/privacy/consents"
            | "/privacy/consents/search"
            | "/privacy/export"
            | "/privacy/erase"
            | "/privacy/requests"
            | "/privacy/requests/{id}/extension",
            &Method::POST,
        )
        | ("/admin/businesses/{business_id}", &Method::PUT) => reply.status == 400,
        (path, _) if path.contains("{id}") || path.contains("{link}") => reply.status == 404,
        // Without a key in the form, or signed out; else it leads on.
        ("/session", _) => reply.status == 401,
        ("/session/end", _) => reply.status == 303,
        _ => reply.status == 200,
    }
}

/// Asserts that an answer is a page of that status and title.
#[track_caller]
fn assert_page(reply: &Reply, status: u16, title: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(reply.text().contains(&format!("<h1>{title}</h1>")), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_the_contracts() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let rows = table().rows().to_vec();
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            let quota = row.quota.quota(&app.app.config).map_or("none".to_owned(), ToString::to_string);
            format!("{} {} {:?} {quota}", row.method, row.path, row.access)
        })
        .collect();
    assert_eq!(shown, CONTRACT);
    assert_eq!(QuotaOf::Default.quota(&app.app.config).unwrap().to_string(), "200 per 1 day; 50 per 1 hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_passes_a_protected_row() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off")]).await;
    for row in table().rows() {
        let (missing, empty) = (call(&app, row, None).await, call(&app, row, Some("")).await);
        let wrong = call(&app, row, Some("wrong-key-here")).await;
        let valid = call(&app, row, Some(KEY)).await;
        assert!(reached(row, &valid), "{row:?}: {}", valid.text());
        match row.access {
            Access::Scope(_) | Access::Personal(_) => {
                for reply in [&missing, &empty] {
                    assert_eq!(reply.status, 401);
                    let body = json!({"error": "Unauthorized", "message": "API key required. Include X-API-Key header."});
                    assert_eq!(reply.json(), body);
                }
                assert_eq!(wrong.status, 403);
                for (reply, used) in [(&missing, 1), (&empty, 2), (&wrong, 3)] {
                    let limit: u32 = reply.header("x-ratelimit-limit").parse().unwrap();
                    assert_eq!(reply.header("x-ratelimit-remaining"), (limit - used).to_string());
                    let reset: i64 = reply.header("x-ratelimit-reset").parse().unwrap();
                    assert!(reset > app.now().timestamp(), "{row:?}");
                }
                assert_eq!(wrong.json(), json!({"error": "Forbidden", "message": "Invalid API key"}));
            }
            Access::Page => {
                for reply in [missing, empty, wrong] {
                    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/"), "{row:?}");
                }
            }
            Access::Public => assert!([missing, empty, wrong].iter().all(|reply| reached(row, reply))),
        }
    }
    assert_eq!(backend.rows().await, 2, "only the holder of the key has tracked");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_gives_or_takes_data_of_a_business_whose_key_it_is_not() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let wish = json!({"name": "bolt", "scopes": ["track", "analytics"], "business_id": "bolt"});
    let (_, key) = create(&app, wish).await;
    // A key of one business can have no other scope.
    let of_businesses =
        |row: &&Row| matches!(row.access, Access::Scope(Scope::Track | Scope::Analytics) | Access::Page);
    for row in table().rows().iter().filter(of_businesses) {
        let reply = call(&app, row, Some(&key)).await;
        if row.path == "/analytics" {
            let businesses = reply.ok()["businesses"].clone();
            assert_eq!(
                (businesses.as_array().unwrap().len(), &businesses[0]["business_id"]),
                (1, &json!("bolt"))
            );
            continue;
        }
        if row.access == Access::Page {
            let expected = if row.path.contains("{business_id}") { 404 } else { 200 };
            assert_eq!(reply.status, expected, "{row:?}");
            assert!(!reply.text().contains("acme"), "{}", reply.text());
            continue;
        }
        reply.refused(403, "Forbidden");
        assert_eq!(reply.json()["message"], "API key is not valid for this business", "{row:?}");
    }
    assert_eq!(backend.rows().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_persons_is_refused_without_a_key_even_where_authentication_is_off() {
    let backend = Backend::sqlite();
    let personal = || {
        let row = Access::Personal(Scope::Privacy);
        let audit = Access::Personal(Scope::Admin);
        table().row(Method::GET, "/personal", row, QuotaOf::Default, async || "personal", a_text).row(
            Method::GET,
            "/trail",
            audit,
            QuotaOf::Default,
            async || "trail",
            a_text,
        )
    };
    let app = TestApp::with_routes(&backend, &[], personal).await;
    for path in ["/personal", "/trail"] {
        let refused = app.get(path).send().await;
        refused.refused(401, "Unauthorized");
        assert_eq!(refused.json()["message"], "API key required. Include X-API-Key header.");
        assert_eq!(refused.header("x-ratelimit-remaining"), "49");
        app.get(path).header("x-api-key", "wrong").send().await.refused(403, "Forbidden");
    }
    let made = command(&backend, &[])
        .args(["key", "create", "--name", "k", "--scopes", "privacy"])
        .output()
        .unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    let with_key = async |path: &str| app.get(path).header("x-api-key", key.trim()).send().await;
    assert_eq!(with_key("/personal").await.status, 200);
    with_key("/trail").await.refused(403, "Forbidden");
    assert_eq!(app.track(&event(json!({}))).await.status, 200, "the other routes are open");
    let open = [("ALLOW_UNAUTHENTICATED_PRIVACY", "true")];
    let app = TestApp::with_routes(&backend, &open, personal).await;
    for path in ["/personal", "/trail"] {
        assert_eq!(app.get(path).send().await.status, 200);
    }
    let guarded = TestApp::with_routes(&backend, &[open[0], ("MLOPS_API_KEY", KEY)], personal).await;
    guarded.get("/personal").send().await.refused(401, "Unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_quota_is_told_and_enforced_for_each_caller() {
    let backend = Backend::sqlite();
    // Each row is called without a key once: more often than failed attempts may be.
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off")]).await;
    for row in table().rows() {
        let Some(quota) = row.quota.quota(&app.app.config) else {
            assert_eq!(call(&app, row, None).await.header("x-ratelimit-limit"), "", "{row:?}");
            continue;
        };
        let window = quota.windows().iter().min_by_key(|window| window.limit).unwrap();
        let closes = app.now().timestamp_millis() + window.millis();
        let reset = (closes.div_euclid(1_000) + i64::from(closes % 1_000 > 0)).to_string();
        let shown = if row.access == Access::Page { cookie(&app, KEY).await } else { KEY.to_owned() };
        for remaining in (0..window.limit).rev() {
            let reply = call(&app, row, Some(&shown)).await;
            assert!(reached(row, &reply), "{row:?}: {}", reply.text());
            assert_eq!(reply.header("x-ratelimit-limit"), window.limit.to_string());
            assert_eq!(reply.header("x-ratelimit-remaining"), remaining.to_string());
            assert_eq!(reply.header("x-ratelimit-reset"), reset);
        }
        let refused = call(&app, row, Some(&shown)).await;
        if row.is_page() {
            assert_page(&refused, 429, "Too many requests");
        } else {
            refused.refused(429, "429 Too Many Requests");
            assert_eq!(refused.json()["message"], window.to_string());
        }
        assert_eq!(refused.header("x-ratelimit-remaining"), "0");
        assert_eq!(refused.header("x-ratelimit-reset"), reset);
        assert_eq!(refused.header("retry-after"), (window.millis() / 1_000).to_string());
        assert_ne!(call(&app, row, None).await.status, 429, "another caller has a quota of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_reopens_when_it_is_closed() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for _ in 0..2 {
        for remaining in (0..100).rev() {
            let reply = app.get("/health").send().await;
            assert_eq!(reply.header("x-ratelimit-remaining"), remaining.to_string());
        }
        assert_eq!(app.get("/health").send().await.status, 429);
        app.pass(TimeDelta::minutes(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_keys_runs_into_429_and_leaves_the_holder_of_a_key_alone() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off")]).await;
    let guess =
        async |i: u32| app.get("/analytics/acme").header("x-api-key", &format!("guess-{i}")).send().await;
    for i in 0..50 {
        assert_eq!(guess(i).await.status, 403);
    }
    guess(50).await.refused(429, "429 Too Many Requests");
    let holder = app.get("/analytics/acme").header("x-api-key", KEY).send().await;
    assert_eq!((holder.status.as_u16(), holder.header("x-ratelimit-remaining")), (200, "49"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_are_two_callers() {
    let backend = Backend::sqlite();
    let app = TestApp::with(
        &backend,
        &[("MLOPS_API_KEY", "first-key, second-key"), ("RATE_LIMIT_TRACK", "1/hour")],
    )
    .await;
    let track =
        async |key: &str| app.post("/track").header("x-api-key", key).json(&event(json!({}))).send().await;
    assert_eq!(track("first-key").await.status, 200);
    assert_eq!(track("second-key").await.status, 200);
    assert_eq!(track("first-key").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_concurrent_callers_on_one_quota_admit_exactly_the_quota() {
    for backend in [Backend::sqlite(), Backend::postgres().await] {
        let app = TestApp::guarded(&backend).await;
        let calls =
            (0..200).map(|_| app.post("/track").header("x-api-key", KEY).json(&event(json!({}))).send());
        let replies = futures_util::future::join_all(calls).await;
        let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
        assert_eq!((count(200), count(429)), (100, 100));
        assert_eq!(backend.rows().await, 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_behind_a_trusted_proxy_are_told_apart() {
    let backend = Backend::sqlite();
    let settings = [("TRUSTED_PROXIES", "192.0.2.1"), ("RATE_LIMIT_HEALTH", "1/minute")];
    let app = TestApp::with(&backend, &settings).await;
    let ask =
        async |forwarded: &str| app.get("/health").header("x-forwarded-for", forwarded).send().await.status;
    assert_eq!(ask("203.0.113.1").await, 200);
    assert_eq!(ask("203.0.113.2").await, 200);
    assert_eq!(ask("6.6.6.6, 203.0.113.1").await, 429, "what the client made up is not believed");
    let direct = async |ip: &str| {
        app.get("/health").from(ip).header("x-forwarded-for", "203.0.113.9").send().await.status
    };
    assert_eq!(direct("198.51.100.1").await, 200);
    assert_eq!(direct("198.51.100.1").await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_before_the_quotas_but_not_on_exempt_routes() {
    let backend = Backend::sqlite();
    let settings = [("FLOOD_LIMIT_PER_SECOND", "5"), ("RATE_LIMIT_HEALTH", "off")];
    let app = TestApp::with(&backend, &settings).await;
    let mut refused = 0;
    for _ in 0..30 {
        let reply = app.get("/health").send().await;
        if reply.status != 200 {
            refused += 1;
            reply.refused(429, "429 Too Many Requests");
            assert_eq!(reply.json()["message"], "5 per 1 second");
            assert_eq!(reply.header("retry-after"), "1");
            assert_eq!(
                (reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")),
                ("5", "0")
            );
        }
    }
    assert!((1..=20).contains(&refused), "{refused} of 30 refused with a burst of 10");
    for (ip, method, path) in [
        ("198.51.100.2", Method::POST, "/health"),
        ("198.51.100.3", Method::GET, "/nope"),
        ("198.51.100.4", Method::GET, "/"),
        ("198.51.100.5", Method::GET, "/privacy"),
        ("198.51.100.6", Method::GET, "/assets/icon.svg"),
        ("198.51.100.7", Method::OPTIONS, "/track"),
    ] {
        let send = |_| app.call(method.clone(), path).from(ip).send();
        let replies = futures_util::future::join_all((0..30).map(send)).await;
        assert!(replies.iter().any(|reply| reply.status == 429), "{method} {path} is limited too");
    }
    assert_eq!(app.get("/health").from("198.51.100.1").send().await.status, 200);
    for path in ["/metrics", "/health/live", "/health/ready"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_leaves_holders_of_keys_at_the_same_address_alone() {
    let backend = Backend::sqlite();
    let settings = [("MLOPS_API_KEY", KEY), ("FLOOD_LIMIT_PER_SECOND", "5"), ("RATE_LIMIT_ANALYTICS", "off")];
    let app = TestApp::with(&backend, &settings).await;
    let wish = json!({"name": "web", "scopes": ["analytics"]});
    let made = app.post("/admin/keys").header("x-api-key", KEY).json(&wish).send().await;
    let made = made.json()["key"].as_str().unwrap().to_owned();
    let ask = async |key: &str| {
        let reply = app.get("/analytics/acme").header("x-api-key", key).send().await;
        reply.json()["message"] == "5 per 1 second"
    };
    let mut flooded = 0;
    for _ in 0..40 {
        flooded += u32::from(ask("wrong").await);
    }
    assert!(flooded >= 10, "{flooded}");
    for key in [KEY, &made] {
        assert!(!ask(key).await, "it has a limit of its own");
    }
    let mut own = 0;
    for _ in 0..40 {
        own += u32::from(ask(&made).await);
    }
    assert!(own >= 10, "which it meets: {own}");
    assert!(!ask(KEY).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn public_requests_take_no_place_of_protected_ones() {
    let backend = Backend::sqlite();
    let app = TestApp::with_routes(&backend, &[("MAX_REQUESTS_IN_FLIGHT", "1")], || {
        let hang = std::future::pending::<()>;
        table().row(Method::GET, "/hang", Access::Public, QuotaOf::Nobody, hang, a_text)
    })
    .await;
    let mut public = Box::pin(app.get("/hang").send());
    assert!((&mut public).now_or_never().is_none(), "it is in flight");
    assert_eq!(app.track(&event(json!({}))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protected_request_needs_a_place() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("MAX_REQUESTS_IN_FLIGHT", "1")]).await;
    let taken = app.app.in_flight.take(Tenant::Business("another".to_owned()), 1).unwrap();
    for row in table().rows().iter().filter(|row| row.access != Access::Public) {
        let call = app.call(row.method.clone(), &path(row));
        if row.access == Access::Page {
            let reply = call.header("cookie", &cookie(&app, KEY).await).send().await;
            assert_page(&reply, 503, "Not available at the moment");
            continue;
        }
        let reply = call.header("x-api-key", KEY).json(&json!({})).send().await;
        reply.refused(503, "Service Unavailable");
        assert_eq!(reply.json()["message"], "The service is busy; try again later", "{row:?}");
    }
    drop(taken);
    assert_eq!(app.get("/analytics/acme").header("x-api-key", KEY).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_works_wherever_get_does() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let cookie = cookie(&app, KEY).await;
    let ask = async |method, row| {
        let call = app.call(method, &path(row)).header("x-api-key", KEY);
        call.header("cookie", &cookie).send().await
    };
    for row in table().rows().iter().filter(|row| row.method == Method::GET) {
        let (head, get) = (ask(Method::HEAD, row).await, ask(Method::GET, row).await);
        assert_eq!(head.status, get.status);
        assert!(reached(row, &head), "{row:?}");
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
    let quota = TestApp::guarded(&Backend::sqlite()).await.call(Method::HEAD, "/health").send().await;
    assert_eq!(quota.header("x-ratelimit-remaining"), "99");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_json_errors() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for path in ["/nope", "/track/", "/analytics/", "/analytics/a/b", "/health/x", "/x//"] {
        app.get(path).send().await.refused(404, "Not Found");
    }
    for (method, path, allow) in [
        (Method::GET, "/track", "POST"),
        (Method::POST, "/health", "GET,HEAD"),
        (Method::DELETE, "/analytics/acme", "GET,HEAD"),
        (Method::PUT, "/", "GET,HEAD"),
    ] {
        let reply = app.call(method, path).send().await;
        reply.refused(405, "Method Not Allowed");
        assert_eq!(reply.header("allow"), allow);
    }
    app.get("/assets/nope").send().await.refused(404, "Not Found");
    app.get("/analytics/%ff").header("x-api-key", KEY).send().await.refused(400, "Bad Request");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_and_security_headers() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    for path in ["/", "/health", "/metrics", "/nope", "/analytics/acme"] {
        let reply = app.get(path).header("x-request-id", "trace-1_2.3:4").send().await;
        assert_eq!(reply.header("x-request-id"), "trace-1_2.3:4");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        let policy = if path == "/" { "same-origin" } else { "no-referrer" };
        assert_eq!(reply.header("referrer-policy"), policy, "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!reply.header("content-security-policy").contains("unsafe"));
    }
    for insane in ["", "a b", "a\tb", "ä", "<script>", &"x".repeat(129)] {
        let reply = app.get("/health").header("x-request-id", insane).send().await;
        assert_eq!(reply.header("x-request-id").len(), 36, "{insane:?} is replaced by a UUID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_handler_is_an_answer_like_any_other() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    // The clock panics on a time that no date stands for, and the guard asks it.
    app.pass(TimeDelta::days(99_000_000));
    let reply = app.get("/health").header("origin", "http://localhost:3000").send().await;
    reply.refused(500, "Internal Server Error");
    assert_eq!(reply.header("x-request-id").len(), 36);
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:3000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_json_500_with_the_quota_told() {
    let backend = Backend::sqlite();
    let settings = [("RATE_LIMIT_DEFAULT", "9/hour")];
    let app = TestApp::with_routes(&backend, &settings, || {
        let handler = async || -> () { panic!("boom") };
        table().row(Method::GET, "/panic", Access::Public, QuotaOf::Default, handler, a_text)
    })
    .await;
    let reply = app.get("/panic").send().await;
    reply.refused(500, "Internal Server Error");
    assert!(!reply.text().contains("boom"));
    assert_eq!(reply.header("x-ratelimit-remaining"), "8");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(app.get("/health").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_exactly_one_valid_host() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let send = async |hosts: &[&str]| {
        let request = Request::builder().uri("/health");
        let request = hosts.iter().fold(request, |request, host| request.header("host", *host));
        let request = request.body(Body::empty()).unwrap();
        app.router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    for valid in ["localhost", "a.example:5001", "[::1]:80", "192.0.2.1", "a.example:"] {
        assert_eq!(send(&[valid]).await, 200, "{valid}");
    }
    for wrong in
        [&[][..], &["a", "a"], &["a", "b"], &[""], &["a b"], &["a/b"], &["u@a"], &["a:b"], &["a:99999"]]
    {
        assert_eq!(send(wrong).await, 400, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_no_web_page_reaches_the_service() {
    let backend = Backend::sqlite();
    let app =
        TestApp::with(&backend, &[("ALLOWED_HOSTS", "mlops.example.com"), ("RATE_LIMIT_TRACK", "off")]).await;
    let send = async |host: &str, origin: &str| {
        let mut call = app.post("/track").json(&event(json!({}))).host(host);
        if !origin.is_empty() {
            call = call.header("origin", origin);
        }
        call.send().await.status.as_u16()
    };
    for host in
        ["localhost:5001", "127.0.0.1", "mlops", "mlops.default.svc.cluster.local", "mlops.example.com"]
    {
        assert_eq!(send(host, "").await, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:5001"] {
        assert_eq!(send(host, "").await, 403, "{host}");
    }
    assert_eq!(send("localhost:5001", "http://localhost:3000").await, 200, "an allowed origin");
    assert_eq!(send("localhost:5001", "http://localhost:5001").await, 200, "its own origin");
    assert_eq!(send("localhost:5001", "http://evil.example").await, 403);
    assert_eq!(send("localhost:5001", "null").await, 403);
    for path in ["/health", "/health/live", "/metrics"] {
        let reply = app.get(path).host("evil.example").header("origin", "http://evil.example").send().await;
        assert_eq!(reply.status, 200, "{path}");
    }
    let guarded = TestApp::guarded(&backend).await;
    assert_eq!(guarded.get("/").host("public.example").send().await.status, 200, "with a key any name is");
}
