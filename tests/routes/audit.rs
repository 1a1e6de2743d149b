//! The audit trail: what is written into it, and how it is read.

use axum::http::Method;
use chrono::TimeDelta;
use mlops_service::auth::key::Scope;
use mlops_service::http::extract::Subjects;
use mlops_service::http::routes::{Access, QuotaOf, table};
use serde_json::{Value, json};
use uuid::Uuid;

use super::keys::{admin, create};
use crate::harness::{
    Backend, KEY, Postgres, Service, TestApp, Tls, a_text, command, eventually, http_client,
    on_every_backend, real_now,
};

on_every_backend! {
    every_key_operation_is_an_entry_with_who_did_it,
    a_key_and_its_entry_are_kept_together_or_not_at_all,
    refused_attempts_are_entries_but_do_not_fill_the_table,
    the_trail_is_read_in_pages_from_a_place_or_a_time_on,
    a_broken_chain_is_named_by_the_route_and_by_the_command_line,
    a_start_is_an_entry_with_the_settings_in_force_and_no_secret,
    what_a_caller_writes_reaches_neither_the_trail_nor_the_log,
    a_request_whose_id_is_a_text_has_one_of_its_own_in_the_trail_that_the_log_tells,
}

/// A caller's own request id.
const REQUEST: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

async fn trail(app: &TestApp) -> Value {
    admin(app.get("/admin/audit?limit=1000")).await.ok()
}

/// The entries of an action.
fn of<'a>(trail: &'a Value, action: &str) -> Vec<&'a Value> {
    trail["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).collect()
}

fn program(backend: &Backend, arguments: &[&str]) -> (bool, String) {
    let output = command(backend, &[]).args(arguments).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

async fn every_key_operation_is_an_entry_with_who_did_it(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (chief, chief_key) = create(&app, json!({"name": "Ana Müller", "scopes": ["admin", "track"]})).await;
    let call = app.post("/admin/keys").header("x-api-key", &chief_key).header("x-request-id", REQUEST);
    let wish =
        json!({"name": "web", "scopes": ["track"], "business_id": "acme", "tier": "free", "expires": "1d"});
    let made = call.json(&wish).send().await.json()["id"].as_str().unwrap().to_owned();
    admin(app.post(&format!("/admin/keys/{made}/rotate")).json(&json!({"grace": "1h"}))).await.ok();
    for _ in 0..2 {
        admin(app.call(Method::DELETE, &format!("/admin/keys/{made}"))).await.ok();
    }
    let (worked, told) = program(&backend, &["key", "create", "--name", "cli", "--scopes", "track"]);
    assert!(worked, "{told}");
    let trail = trail(&app).await;
    assert_eq!(trail["chain"]["intact"], true);
    let shown: Vec<Value> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| json!([entry["seq"], entry["actor"], entry["action"], entry["details"]["key"]]))
        .collect();
    let last = &trail["entries"][4]["details"]["key"];
    assert_eq!(
        json!(shown),
        json!([
            [1, "service key", "key.created", chief],
            [2, format!("key:{chief}"), "key.created", made],
            [3, "service key", "key.rotated", made],
            [4, "service key", "key.revoked", made],
            [5, "command line", "key.created", last],
        ]),
        "revoking again changes nothing"
    );
    let entry = &trail["entries"][1];
    assert_eq!((&entry["request_id"], &entry["details"]["business_id"]), (&json!(REQUEST), &json!("acme")));
    assert_eq!((&entry["details"]["scopes"], &entry["details"]["tier"]), (&json!("track"), &json!("free")));
    assert!(!trail.to_string().contains("Müller"), "a name may be a person's");
    assert!(!trail.to_string().contains(&chief_key[23..]));
}

async fn a_key_and_its_entry_are_kept_together_or_not_at_all(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    backend.execute("alter table mlops_audit rename to elsewhere").await;
    let wish = json!({"name": "more", "scopes": ["track"]});
    assert_eq!(admin(app.post("/admin/keys").json(&wish)).await.status, 503);
    let delete = app.call(Method::DELETE, &format!("/admin/keys/{id}"));
    assert_eq!(admin(delete).await.status, 503);
    assert_eq!(admin(app.post(&format!("/admin/keys/{id}/rotate"))).await.status, 503);
    assert_eq!(backend.number("select count(*) from mlops_api_keys").await, 1);
    let unchanged = "select count(*) from mlops_api_keys where revoked_at is null and previous_hash is null";
    assert_eq!(backend.number(unchanged).await, 1);
    assert_eq!(app.get("/analytics/acme").header("x-api-key", &key).send().await.status, 200);
}

async fn refused_attempts_are_entries_but_do_not_fill_the_table(backend: Backend) {
    let settings =
        [("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off"), ("RATE_LIMIT_DEFAULT", "off")];
    let app = TestApp::with(&backend, &settings).await;
    app.start_tasks();
    let (web, web_key) = create(&app, json!({"name": "web", "scopes": ["track"]})).await;
    let named = app.get("/admin/keys").header("x-request-id", REQUEST);
    assert_eq!(named.send().await.status, 401);
    app.get("/admin/audit").header("x-api-key", &web_key).send().await.refused(403, "Forbidden");
    assert_eq!(app.get("/analytics/acme").send().await.status, 401, "that is not one of them");
    for _ in 0..99 {
        assert_eq!(app.post("/admin/keys").header("x-api-key", "guess").send().await.status, 403);
    }
    eventually("they are written", async || of(&trail(&app).await, "admin.refused").len() == 22).await;
    let shown = trail(&app).await;
    let refused = of(&shown, "admin.refused");
    let first = refused.iter().find(|entry| entry["request_id"] == REQUEST).unwrap();
    assert_eq!(
        (&first["actor"], &first["details"]),
        (&json!("unauthenticated"), &json!({"reason": "missing API key", "route": "GET /admin/keys"}))
    );
    let lacking = refused.iter().find(|entry| entry["actor"] == format!("key:{web}")).unwrap();
    assert_eq!(
        lacking["details"],
        json!({"key": web, "reason": "the key lacks the scope", "route": "GET /admin/audit"})
    );
    app.pass(TimeDelta::minutes(1));
    eventually("the others are counted", async || {
        let shown = trail(&app).await;
        of(&shown, "admin.refused")
            .iter()
            .any(|entry| entry["details"] == json!({"reason": "auth_invalid", "not_told_before": 79}))
    })
    .await;
    assert_eq!(trail(&app).await["chain"]["intact"], true);
}

async fn the_trail_is_read_in_pages_from_a_place_or_a_time_on(backend: Backend) {
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_DEFAULT", "off")]).await;
    let mut keys = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        keys.push(create(&app, json!({"name": name, "scopes": ["track"]})).await.0);
        app.pass(TimeDelta::minutes(1));
    }
    let ask = async |query: &str| {
        let answer = admin(app.get(&format!("/admin/audit{query}"))).await.ok();
        let seqs: Vec<i64> = answer["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["seq"].as_i64().unwrap())
            .collect();
        assert_eq!((&answer["chain"]["entries"], &answer["chain"]["complete"]), (&json!(5), &json!(true)));
        (seqs, answer["next"].as_i64())
    };
    assert_eq!(ask("").await, (vec![1, 2, 3, 4, 5], None));
    assert_eq!(ask("?limit=2").await, (vec![1, 2], Some(3)));
    assert_eq!(ask("?limit=2&since=3").await, (vec![3, 4], Some(5)));
    assert_eq!(ask("?limit=2&since=5").await, (vec![5], None));
    assert_eq!(ask("?since=6").await, (vec![], None));
    let time = (app.now() - TimeDelta::seconds(150)).to_rfc3339();
    assert_eq!(ask(&format!("?since={time}")).await, (vec![4, 5], None), "a + that is not encoded is one");
    assert_eq!(ask(&format!("?since={}", time.replace("+00:00", "Z"))).await.0, [4, 5]);
    for wrong in ["?since=yesterday", "?since=", "?limit=0", "?limit=1001", "?limit=x"] {
        let name = &wrong[1..6];
        admin(app.get(&format!("/admin/audit{wrong}")))
            .await
            .refused(400, &format!("Invalid value for field: {name}"));
    }
    let entry = &admin(app.get("/admin/audit?since=2&limit=1")).await.ok()["entries"][0];
    assert_eq!(entry["details"]["key"], json!(keys[1]));
    let columns: Vec<&String> = entry.as_object().unwrap().keys().collect();
    let all = ["action", "actor", "at", "details", "hash", "previous", "request_id", "seq", "subject"];
    assert_eq!(columns, all, "all that the hash is made of");
}

async fn a_broken_chain_is_named_by_the_route_and_by_the_command_line(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for name in ["a", "b", "c"] {
        create(&app, json!({"name": name, "scopes": ["track"]})).await;
    }
    let head = trail(&app).await["chain"]["head"].as_str().unwrap().to_owned();
    let (intact, told) = program(&backend, &["audit", "verify"]);
    assert!(intact && told.contains("intact: 3 entries") && told.contains(&head), "{told}");
    let (intact, told) = program(&backend, &["audit", "verify", "--head", &head]);
    assert!(intact && told.contains(&format!("contains {head}")), "{told}");
    let cut = match backend.is_postgres() {
        true => "alter table mlops_audit disable trigger user; delete from mlops_audit where seq = 3",
        false => {
            "drop trigger mlops_audit_keep_unpurged; drop trigger mlops_audit_keep; delete from mlops_audit where seq = 3"
        }
    };
    backend.execute(cut).await;
    assert!(program(&backend, &["audit", "verify"]).0);
    let (intact, told) = program(&backend, &["audit", "verify", "--head", &head]);
    assert!(!intact && told.contains("entry 3 is cut off"), "{told}");
    backend.execute("update mlops_audit set actor = 'nobody' where seq = 2").await;
    let (intact, told) = program(&backend, &["audit", "verify"]);
    assert!(!intact && told.contains("broken: entry 2 is changed"), "{told}");
    let shown = trail(&app).await;
    let broken = json!({"seq": 2, "fault": "changed", "message": "entry 2 is changed: its content does not match its hash"});
    assert_eq!((&shown["chain"]["intact"], &shown["chain"]["broken"]), (&json!(false), &broken));
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2, "what is there is shown");
    let (worked, told) = program(&backend, &["audit", "verify", "--head", "3"]);
    assert!(!worked && told.contains("SEQ:HASH"), "{told}");
}

const SECRETS: [&str; 4] = ["zq-password", "zq-hash-key-of-32-characters-or-more", KEY, "zq-redis-password"];

async fn a_start_is_an_entry_with_the_settings_in_force_and_no_secret(mut backend: Backend) {
    backend.url = backend.url.replace("postgres@", "postgres:zq-password@");
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("PRIVACY_HASH_KEY", SECRETS[1]),
        ("REDIS_URL", "redis://:zq-redis-password@127.0.0.1:1"),
        ("RATE_LIMIT_TRACK", "7 per minute"),
        ("TRUSTED_PROXIES", "192.0.2.0/24"),
        ("RUST_LOG", "trace"),
    ];
    let service = Service::start(&backend, &settings);
    let read = async || {
        let call = http_client().get(service.url("/admin/audit")).header("x-api-key", KEY);
        call.send().await.unwrap().json::<Value>().await.unwrap()
    };
    eventually("it is written", async || of(&read().await, "service.started").len() == 1).await;
    let trail = read().await;
    let started = of(&trail, "service.started")[0];
    assert_eq!(
        (&started["actor"], &started["details"]["version"]),
        (&json!("service"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let shown = &started["details"]["settings"];
    for (name, text) in [
        ("MLOPS_API_KEY", "set"),
        ("PRIVACY_HASH_KEY", "set"),
        ("REDIS_URL", "set"),
        ("DATABASE_URL", "set"),
        ("RATE_LIMIT_TRACK", "7 per minute"),
        ("RATE_LIMIT_HEALTH", "100 per minute"),
        ("TRUSTED_PROXIES", "192.0.2.0/24"),
        ("ALLOW_UNAUTHENTICATED_PRIVACY", "false"),
    ] {
        assert_eq!(shown[name], text, "{name}");
    }
    assert_eq!(shown["OIDC_ISSUER"], Value::Null, "what is not set is not there");
    let place = if backend.is_postgres() { "Postgres at localhost:" } else { "SQLite at " };
    assert!(started["details"]["database"].as_str().unwrap().starts_with(place));
    let head = format!("audit trail head: 1:{}", started["hash"].as_str().unwrap());
    eventually("its head is logged", async || service.log().contains(&head)).await;
    for secret in SECRETS {
        assert!(!trail.to_string().contains(secret) && !service.log().contains(secret), "{secret}");
    }
}

async fn what_a_caller_writes_reaches_neither_the_trail_nor_the_log(backend: Backend) {
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY), ("RUST_LOG", "trace")]);
    for person in ["zq.ana@example.com", "+49151234567"] {
        let path = format!("/admin/audit?since={}", person.replace('+', "%2B"));
        for key in [person, KEY] {
            let call = http_client().get(service.url(&path)).header("x-api-key", key);
            let answer = call.header("x-request-id", person).send().await.unwrap();
            assert!(!answer.text().await.unwrap().contains(person));
        }
    }
    let refused = "select count(*) from mlops_audit where action = 'admin.refused'";
    eventually("the refusals are written", async || backend.number(refused).await == 2).await;
    let call = http_client().get(service.url("/admin/audit")).header("x-api-key", KEY);
    let trail = call.send().await.unwrap().text().await.unwrap();
    for person in ["zq.ana", "49151234567"] {
        assert!(!trail.contains(person) && !service.log().contains(person), "{person}");
    }
}

async fn a_request_whose_id_is_a_text_has_one_of_its_own_in_the_trail_that_the_log_tells(backend: Backend) {
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY), ("LOG_FORMAT", "json")]);
    let call = |key: &str| {
        let call = http_client().post(service.url("/admin/keys")).header("x-api-key", key);
        call.header("x-request-id", "ana.mueller").json(&json!({"name": "web", "scopes": ["track"]})).send()
    };
    for (key, status, action, event) in
        [(KEY, 201, "key.created", "key_created"), ("guess", 403, "admin.refused", "auth_invalid")]
    {
        let answer = call(key).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["x-request-id"], "ana.mueller", "the caller finds its own id again");
        let told = format!("select request_id from mlops_audit where action = '{action}'");
        eventually("it is written", async || backend.texts(&told).await.len() == 1).await;
        let kept = backend.texts(&told).await.remove(0);
        assert!(kept.parse::<Uuid>().is_ok(), "{kept}");
        let log = service.log();
        let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.find(|line| line["event"] == event).unwrap();
        assert_eq!((&line["request_id"], &line["audit_id"]), (&json!("ana.mueller"), &json!(kept)));
    }
    assert!(!backend.dump().contains("ana.mueller"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_database_is_an_entry_when_that_is_back() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    backend.store(&[]).await.close().await;
    server.stop();
    let begun = real_now();
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY)]);
    let refused =
        http_client().get(service.url("/admin/keys")).header("x-request-id", "away").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let came_up = real_now();
    server.restart();
    let entries = "select count(*) from mlops_audit";
    eventually("both are written", async || backend.number(entries).await == 2).await;
    let at = format!(
        "select count(*) from mlops_audit where action = 'service.started' and at between '{begun}' and '{came_up}'"
    );
    assert_eq!(backend.number(&at).await, 1, "with the time at which it came");
    assert!(program(&backend, &["audit", "verify"]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_the_trail_is_closed_and_refusals_are_told() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    app.start_tasks();
    app.get("/admin/audit").send().await.refused(401, "Unauthorized");
    app.get("/admin/keys").send().await.refused(403, "Forbidden");
    let refused = "select count(*) from mlops_audit where action = 'admin.refused'";
    eventually("they are written", async || backend.number(refused).await == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hash_key_production_refuses_what_needs_it_and_says_what_to_do() {
    let backend = Backend::sqlite();
    let routes = || {
        let access = Access::Personal(Scope::Privacy);
        table().row(Method::GET, "/hash", access, QuotaOf::Default, async |_: Subjects| "hashed", a_text)
    };
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let app = TestApp::with_routes(&backend, &production, routes).await;
    let refused = admin(app.get("/hash")).await;
    refused.refused(503, "Service Unavailable");
    assert_eq!(refused.header("retry-after"), "", "trying again does not help");
    assert!(refused.json()["message"].as_str().unwrap().contains("PRIVACY_HASH_KEY"));
    let key = ("PRIVACY_HASH_KEY", SECRETS[1]);
    for settings in [&[production[0], production[1], key][..], &production[1..]] {
        let app = TestApp::with_routes(&backend, settings, routes).await;
        assert_eq!(admin(app.get("/hash")).await.status, 200);
    }
    for (settings, warning) in [
        (&production[..], "privacy routes that need it return 503"),
        (&[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")], "hashed with a publicly known key"),
        (&[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")], "anyone who can reach the service"),
    ] {
        let service = Service::start(&backend, settings);
        assert!(service.log().contains(warning), "{}", service.log());
    }
    let service = Service::start(&backend, &[production[0], production[1], key]);
    assert!(!service.log().contains("PRIVACY_HASH_KEY"), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_written_outside_the_database_and_compared() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("heads").to_str().unwrap().to_owned();
    let backend = Backend::sqlite();
    let settings = [("AUDIT_HEAD_FILE", path.as_str()), ("MLOPS_API_KEY", KEY)];
    let mut service = Service::start(&backend, &settings);
    let wish = json!({"name": "a", "scopes": ["track"]});
    let call = http_client().post(service.url("/admin/keys")).header("x-api-key", KEY).json(&wish);
    assert_eq!(call.send().await.unwrap().status(), 201);
    let heads = || std::fs::read_to_string(&path).unwrap_or_default();
    let last = || heads().lines().last().unwrap_or_default().split(':').next().unwrap().to_owned();
    eventually("the head is in the file", async || last() == "2").await;
    let page = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("audit_head_seq 2\n"), "{page}");
    service.signal("TERM");
    service.wait();
    assert_eq!(last(), "2");
    let verify = || {
        let output = command(&backend, &settings).args(["audit", "verify"]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(verify().0, "{}", verify().1);
    backend.execute("delete from mlops_api_keys").await;
    backend.execute("drop trigger mlops_audit_keep_unpurged").await;
    backend.execute("delete from mlops_audit where seq = 2").await;
    let (is_intact, told) = verify();
    assert!(!is_intact && told.contains("entry 2 is cut off"), "{told}");
}
