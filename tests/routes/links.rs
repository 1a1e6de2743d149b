//! Links that open a page without signing in.

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::keys::{admin, create};
use crate::harness::{Backend, KEY, Reply, TestApp, command, on_every_backend};

on_every_backend! {
    a_link_opens_its_page_until_it_expires_or_is_revoked,
    links_are_listed_in_pages_without_their_secrets,
    links_are_in_the_audit_trail_and_their_secrets_nowhere,
    the_command_line_makes_lists_and_revokes_links,
}

const PUBLIC: &str = "https://metrics.example.com";

async fn service(backend: &Backend) -> TestApp {
    let off = ("RATE_LIMIT_DEFAULT", "off");
    TestApp::with(backend, &[("MLOPS_API_KEY", KEY), ("PUBLIC_URL", PUBLIC), off]).await
}

fn statement() -> Value {
    json!({"business_id": "acme", "month": "2026-10"})
}

/// Makes a link; returns its id and its path.
async fn make(app: &TestApp, wish: &Value) -> (String, String) {
    let reply = admin(app.post("/admin/links").json(wish)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    assert_eq!(made.as_object().unwrap().len(), 3, "{made}");
    let path = made["url"].as_str().unwrap().strip_prefix(PUBLIC).unwrap().to_owned();
    (made["id"].as_str().unwrap().to_owned(), path)
}

async fn revoke(app: &TestApp, id: &str) -> Reply {
    admin(app.call(Method::DELETE, &format!("/admin/links/{id}"))).await
}

async fn open(app: &TestApp, path: &str) -> Reply {
    app.get(path).send().await
}

/// What a stranger sees of a page, without what differs between any two answers.
fn seen(reply: &Reply) -> (u16, String, Vec<String>) {
    let varies = |name: &str| name.starts_with("x-ratelimit") || name == "x-request-id";
    let headers = reply.headers.iter().filter(|(name, _)| !varies(name.as_str()));
    let headers = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    (reply.status.as_u16(), reply.text().to_owned(), headers)
}

async fn a_link_opens_its_page_until_it_expires_or_is_revoked(backend: Backend) {
    let (app, other) = (service(&backend).await, service(&backend).await);
    let (_, path) = make(&app, &json!({"business_id": "acme", "month": "2026-10", "expires": "36h"})).await;
    let (id, revoked) = make(&app, &statement()).await;
    let (_, business) = make(&app, &json!({"business_id": "acme", "page": "business"})).await;
    assert!(path.len() == "/shared/".len() + 64 && path != revoked);
    for app in [&app, &other] {
        for path in [&path, &revoked, &business] {
            let page = open(app, path).await;
            assert_eq!(page.status, 200, "{}", page.text());
            assert!(page.text().contains("acme"));
            assert_eq!((page.header("x-robots-tag"), page.header("cache-control")), ("noindex", "no-store"));
            assert_eq!(page.header("set-cookie"), "", "it opens nothing else");
        }
        let months = open(app, &path).await;
        assert!(months.text().contains("October 2026"));
    }
    let unknown = open(&app, &format!("/shared/{}", "0".repeat(64))).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("<h1>There is no page here</h1>"));
    let last = if path.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{last}", &path[..path.len() - 1]);
    for path in [
        &changed,
        "/shared/x",
        "/shared/%00",
        &path.to_uppercase().replace("SHARED", "shared"),
        &format!("/shared/{id}"),
    ] {
        assert_eq!(seen(&open(&app, path).await), seen(&unknown), "{path}");
    }
    assert_eq!(revoke(&app, &id).await.ok()["status"], "revoked");
    for app in [&app, &other] {
        assert_eq!(seen(&open(app, &revoked).await), seen(&unknown), "revoked");
        app.pass(TimeDelta::hours(35));
        assert_eq!(open(app, &path).await.status, 200);
        app.pass(TimeDelta::hours(1));
        assert_eq!(seen(&open(app, &path).await), seen(&unknown), "expired");
        assert_eq!(open(app, &business).await.status, 200, "thirty days by default");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_a_link_is_checked() {
    let backend = Backend::sqlite();
    let app = service(&backend).await;
    for (change, error) in [
        (json!({"business_id": ""}), "Invalid value for field: business_id"),
        (json!({"business_id": "a\nb"}), "Invalid value for field: business_id"),
        (json!({"page": "dashboard"}), "Invalid value for field: page"),
        (json!({"month": "2026-13"}), "Invalid value for field: month"),
        (json!({"month": null}), "Invalid value for field: month"),
        (json!({"expires": "59m"}), "Invalid value for field: expires"),
        (json!({"expires": "367d"}), "Invalid value for field: expires"),
        (json!({"secret": "mine"}), "Invalid request body"),
        (json!({"business_id": 7}), "Invalid request body"),
    ] {
        let mut wish = statement();
        wish.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        admin(app.post("/admin/links").json(&wish)).await.refused(400, error);
    }
    admin(app.post("/admin/links").json(&json!({"month": "2026-10"})))
        .await
        .refused(400, "Invalid request body");
    admin(app.post("/admin/links").body("{")).await.refused(415, "Unsupported Media Type");
    let (_, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let reply = app.post("/admin/links").header("x-api-key", &key).json(&statement()).send().await;
    reply.refused(403, "Forbidden");
    revoke(&app, "no-id").await.refused(404, "Not Found");
    revoke(&app, "01936b5c-7a1e-7c43-9d0e-5b1f0c9a7d52").await.refused(404, "Not Found");
    admin(app.get("/admin/links?limit=501")).await.refused(400, "Invalid value for field: limit");
    admin(app.get("/admin/links?after=x")).await.refused(400, "Invalid value for field: after");
    assert_eq!(backend.number("select count(*) from mlops_links").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_public_url_a_link_has_the_origin_of_the_request() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("TRUSTED_PROXIES", "192.0.2.1")]).await;
    for (peer, proto, origin) in [
        ("192.0.2.1", "https", "https://a.example:8443/shared/"),
        ("192.0.2.1", "http", "http://a.example:8443/shared/"),
        ("198.51.100.1", "https", "http://a.example:8443/shared/"),
    ] {
        let call = app.post("/admin/links").from(peer).host("a.example:8443").json(&statement());
        let made = admin(call.header("x-forwarded-proto", proto)).await.json();
        assert!(made["url"].as_str().unwrap().starts_with(origin), "{made}");
    }
}

async fn links_are_listed_in_pages_without_their_secrets(backend: Backend) {
    let app = service(&backend).await;
    let mut made = Vec::new();
    for n in 0..5 {
        let wish = json!({"business_id": format!("b-{n}"), "page": "business"});
        made.push(make(&app, &wish).await);
    }
    let (mut after, mut listed) = (String::new(), Vec::new());
    for size in [2, 2, 1] {
        let page = admin(app.get(&format!("/admin/links?limit=2&after={after}"))).await.ok();
        let links = page["links"].as_array().unwrap().clone();
        assert_eq!(links.len(), size);
        listed.extend(links);
        page["next"].as_str().unwrap_or_default().clone_into(&mut after);
    }
    assert_eq!(after, "", "the last page has no next one");
    for (link, (n, (id, path))) in listed.iter().zip(made.iter().enumerate().rev()) {
        let secret = path.strip_prefix("/shared/").unwrap();
        assert_eq!((&link["id"], &link["business_id"]), (&json!(id), &json!(format!("b-{n}"))));
        assert_eq!((&link["status"], &link["created_by"]), (&json!("active"), &json!("service key")));
        assert!(link["month"].is_null() && link["revoked_at"].is_null());
        let time = |name: &str| link[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert_eq!(time("expires_at") - time("created_at"), TimeDelta::days(30));
        assert!(!link.to_string().contains(secret));
    }
    app.pass(TimeDelta::days(30));
    let status = async |app: &TestApp| {
        let links = admin(app.get("/admin/links")).await.ok()["links"].clone();
        let links = links.as_array().unwrap().clone();
        links.into_iter().map(|link| link["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(status(&app).await, ["expired"; 5]);
    app.pass(TimeDelta::days(90));
    make(&app, &statement()).await;
    assert_eq!(status(&app).await, ["active"], "those that expired long ago are deleted");
}

async fn links_are_in_the_audit_trail_and_their_secrets_nowhere(backend: Backend) {
    let app = service(&backend).await;
    let (chief, key) = create(&app, json!({"name": "chief", "scopes": ["admin"]})).await;
    let wish = app.post("/admin/links").header("x-api-key", &key).json(&statement()).send().await.json();
    let id = wish["id"].as_str().unwrap().to_owned();
    let secret = wish["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    for _ in 0..2 {
        revoke(&app, &id).await.ok();
    }
    let trail = admin(app.get("/admin/audit")).await.ok();
    let entries: Vec<&Value> = trail["entries"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!(entries.len(), 2, "revoking again changes nothing: {trail}");
    for (entry, (action, actor)) in entries
        .iter()
        .zip([("link.created", format!("key:{chief}")), ("link.revoked", "service key".to_owned())])
    {
        assert_eq!((&entry["action"], &entry["actor"]), (&json!(action), &json!(actor)));
        let details = &entry["details"];
        assert_eq!((&details["link"], &details["business_id"]), (&json!(id), &json!("acme")));
        assert_eq!((&details["page"], &details["month"]), (&json!("statement"), &json!("2026-10")));
    }
    assert_eq!(trail["chain"]["intact"], true);
    let hex = |column: &str| match backend.is_postgres() {
        true => format!("encode({column}, 'hex')"),
        false => format!("lower(hex({column}))"),
    };
    let stored = backend.texts(&format!("select {} from mlops_links", hex("secret_hash"))).await;
    let written = backend.texts("select details from mlops_audit").await;
    for text in stored.iter().chain(&written) {
        assert!(!text.contains(&secret), "{text}");
    }
    assert_eq!(open(&app, &format!("/shared/{}", stored[0])).await.status, 404, "the hash opens nothing");
    let output = command(&backend, &[]).args(["audit", "verify"]).output().unwrap();
    assert!(output.status.success());
}

async fn the_command_line_makes_lists_and_revokes_links(backend: Backend) {
    let app = service(&backend).await;
    let run = |settings: &[(&str, &str)], arguments: &[&str]| {
        let output = command(&backend, settings).arg("statement").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let public = [("PUBLIC_URL", PUBLIC)];
    let make = ["link", "acme", "--month", "2026-10", "--expires", "2h"];
    let (code, out, told) = run(&[], &make);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(told.contains("PUBLIC_URL is not set"), "{told}");
    let (code, out, told) = run(&public, &make);
    assert_eq!(code, 0, "{told}");
    let path = out.trim().strip_prefix(PUBLIC).unwrap();
    assert_eq!(open(&app, path).await.status, 200);
    assert!(!told.contains(path.rsplit('/').next().unwrap()), "the log has no address");
    let (code, listed, _) = run(&[], &["links"]);
    assert_eq!(code, 0);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[1..5], ["acme", "statement", "2026-10", "active"], "{listed}");
    let (code, _, told) = run(&[], &["revoke", row[0]]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(open(&app, path).await.status, 404);
    for wrong in [
        &["link", "acme"][..],
        &["link", "acme", "--page", "x"],
        &["link", "acme", "--page", "business", "--expires", "1s"],
    ] {
        let (code, out, told) = run(&public, wrong);
        assert_eq!((code, out.as_str()), (1, ""), "{told}");
        assert!(told.contains("--"), "it names the option: {told}");
    }
    let actor = "select count(*) from mlops_audit where action in ('link.created', 'link.revoked') and actor = 'command line'";
    assert_eq!(backend.number(actor).await, 2);
}
