//! Named keys: what each opens, and how they are managed.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::{
    Backend, Call, KEY, Reply, Service, TestApp, command, event, eventually, http_client, on_every_backend,
    real_now,
};

on_every_backend! {
    a_key_opens_the_routes_of_its_scopes_and_no_other,
    a_key_of_a_business_is_for_that_business_alone,
    a_key_with_a_tier_has_the_tiers_quota_on_track,
    a_rotated_key_keeps_its_id_and_the_old_secret_works_until_the_grace_ends,
    a_revoked_key_is_refused_at_once,
    a_key_expires,
    the_list_tells_everything_but_secrets,
    a_key_made_or_revoked_by_the_command_line_is_known_to_a_running_service,
    the_command_line_takes_and_lists_all_that_a_key_may_have,
    the_store_keeps_no_secret,
    a_row_that_cannot_be_read_does_not_keep_a_revocation_from_holding,
    a_revocation_holds_on_every_replica_within_ten_seconds,
    a_wrong_wish_is_told_what_it_must_be,
    a_key_gives_at_most_what_it_has,
    children_end_with_their_parent_unless_they_are_kept,
}

pub(super) async fn admin(call: Call) -> Reply {
    call.header("x-api-key", KEY).send().await
}

/// Makes a key, and gives its id and its plain form.
pub(super) async fn create(app: &TestApp, wish: Value) -> (String, String) {
    let reply = admin(app.post("/admin/keys").json(&wish)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let body = reply.json();
    (body["id"].as_str().unwrap().to_owned(), body["key"].as_str().unwrap().to_owned())
}

pub(super) async fn analytics(app: &TestApp, business: &str, key: &str) -> Reply {
    app.get(&format!("/analytics/{business}")).header("x-api-key", key).send().await
}

pub(super) async fn track(app: &TestApp, business: &str, key: &str) -> Reply {
    let event = event(json!({"business_id": business}));
    app.post("/track").header("x-api-key", key).json(&event).send().await
}

#[track_caller]
pub(super) fn forbidden(reply: &Reply, message: &str) {
    reply.refused(403, "Forbidden");
    assert_eq!(reply.json()["message"], message);
}

async fn a_key_opens_the_routes_of_its_scopes_and_no_other(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for scope in ["track", "analytics", "refresh", "privacy", "admin"] {
        let (_, key) = create(&app, json!({"name": scope, "scopes": [scope]})).await;
        let replies = [
            ("track", track(&app, "acme", &key).await),
            ("analytics", analytics(&app, "acme", &key).await),
            ("refresh", app.post("/refresh-metrics").header("x-api-key", &key).send().await),
            ("admin", app.get("/admin/keys").header("x-api-key", &key).send().await),
        ];
        for (needed, reply) in replies {
            match needed == scope {
                true => assert_eq!(reply.status, 200, "{needed}: {}", reply.text()),
                false => forbidden(&reply, &format!("API key lacks scope: {needed}")),
            }
        }
    }
    assert_eq!(backend.rows().await, 1);
}

async fn a_key_of_a_business_is_for_that_business_alone(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let wish = json!({"name": "acme", "scopes": ["track", "analytics"], "business_id": "acme-123"});
    let (_, key) = create(&app, wish).await;
    assert_eq!(track(&app, "acme-123", &key).await.status, 200);
    assert_eq!(analytics(&app, "acme-123", &key).await.status, 200);
    forbidden(&track(&app, "acme-124", &key).await, "API key is not valid for this business");
    forbidden(&analytics(&app, "acme-124", &key).await, "API key is not valid for this business");
    assert_eq!(backend.rows().await, 1, "what is refused is not stored");
    let batch = json!({"events": [event(json!({"business_id": "acme-123"})), event(json!({"business_id": "acme-124"}))]});
    let answer = app.post("/track/batch").header("x-api-key", &key).json(&batch).send().await.ok();
    let denied = json!([{"index": 1, "error": "API key is not valid for this business"}]);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &denied));
    assert_eq!(backend.rows().await, 2);
    for scope in ["refresh", "admin"] {
        let wish = json!({"name": "acme", "scopes": ["track", scope], "business_id": "acme-123"});
        admin(app.post("/admin/keys").json(&wish)).await.refused(400, "Invalid value for field: scopes");
    }
}

async fn a_key_with_a_tier_has_the_tiers_quota_on_track(backend: Backend) {
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("TIER_FREE", "2/day"),
        ("TIER_GOLD", "off"),
        ("RATE_LIMIT_TRACK", "1/hour"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    let (_, free) =
        create(&app, json!({"name": "f", "scopes": ["track", "analytics"], "tier": "free"})).await;
    let (_, gold) = create(&app, json!({"name": "g", "scopes": ["track"], "tier": "gold"})).await;
    let (_, standard) = create(&app, json!({"name": "s", "scopes": ["track"], "tier": "standard"})).await;
    assert_eq!(track(&app, "acme", &free).await.header("x-ratelimit-limit"), "2");
    assert_eq!(track(&app, "acme", &free).await.status, 200);
    let refused = track(&app, "acme", &free).await;
    refused.refused(429, "429 Too Many Requests");
    assert_eq!(refused.json()["message"], "2 per 1 day");
    assert_eq!(
        analytics(&app, "acme", &free).await.header("x-ratelimit-limit"),
        "50",
        "other routes keep theirs"
    );
    for _ in 0..3 {
        let reply = track(&app, "acme", &gold).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-limit")), (200, ""));
    }
    assert_eq!(track(&app, "acme", &standard).await.status, 200);
    assert_eq!(track(&app, "acme", &standard).await.json()["message"], "1 per 1 hour");
    let unknown = json!({"name": "x", "scopes": ["track"], "tier": "silver"});
    let refused = admin(app.post("/admin/keys").json(&unknown)).await;
    refused.refused(400, "Invalid value for field: tier");
    assert_eq!(refused.json()["message"], "tier must be one of free, gold, paid, standard");
}

async fn a_rotated_key_keeps_its_id_and_the_old_secret_works_until_the_grace_ends(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (id, old) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let rotate = app.post(&format!("/admin/keys/{id}/rotate")).json(&json!({"grace": "1h"}));
    let rotated = admin(rotate).await.ok();
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(
        (rotated["id"].as_str().unwrap(), new[..23].to_owned()),
        (id.as_str(), format!("mlops_{id}_"))
    );
    for key in [old.as_str(), new] {
        assert_eq!(analytics(&app, "acme", key).await.status, 200);
    }
    app.pass(TimeDelta::hours(1));
    assert_eq!(analytics(&app, "acme", new).await.status, 200);
    forbidden(&analytics(&app, "acme", &old).await, "Invalid API key");
    let newest =
        admin(app.post(&format!("/admin/keys/{id}/rotate")).json(&json!({"grace": "0s"}))).await.ok();
    forbidden(&analytics(&app, "acme", new).await, "Invalid API key");
    assert_eq!(analytics(&app, "acme", newest["key"].as_str().unwrap()).await.status, 200);
    let by_default = admin(app.post(&format!("/admin/keys/{id}/rotate"))).await.ok();
    let until = by_default["previous_secret_until"].as_str().unwrap();
    let until: chrono::DateTime<chrono::Utc> = until.parse().unwrap();
    assert_eq!((until - app.now()).num_hours(), 23, "a day, in whole seconds");
}

async fn a_revoked_key_is_refused_at_once(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    assert_eq!(analytics(&app, "acme", &key).await.status, 200);
    let path = format!("/admin/keys/{id}");
    let revoked = admin(app.call(Method::DELETE, &path)).await.ok();
    assert_eq!(revoked["status"], "revoked");
    forbidden(&analytics(&app, "acme", &key).await, "Invalid API key");
    let again = admin(app.call(Method::DELETE, &path)).await.ok();
    assert_eq!(again["revoked_at"], revoked["revoked_at"], "revoking it again changes nothing");
    assert_eq!(app.metric("security_events_total{event=\"key_revoked\"}").await, Some(1.0));
    let rotate = admin(app.post(&format!("{path}/rotate"))).await;
    rotate.refused(409, "Conflict");
}

async fn a_key_expires(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (_, key) = create(&app, json!({"name": "web", "scopes": ["analytics"], "expires": "90d"})).await;
    app.pass(TimeDelta::days(90) - TimeDelta::seconds(2));
    assert_eq!(analytics(&app, "acme", &key).await.status, 200);
    app.pass(TimeDelta::seconds(2));
    forbidden(&analytics(&app, "acme", &key).await, "API key has expired");
    let other_end = if key.ends_with('0') { '1' } else { '0' };
    let guess = format!("{}{other_end}", &key[..key.len() - 1]);
    forbidden(&analytics(&app, "acme", &guess).await, "Invalid API key");
}

async fn the_list_tells_everything_but_secrets(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let wish = json!({"name": "acme-web", "scopes": ["analytics", "track"], "business_id": "acme-123", "tier": "paid", "expires": "90d"});
    let (id, key) = create(&app, wish).await;
    create(&app, json!({"name": "ops", "scopes": ["admin"]})).await;
    analytics(&app, "acme-123", &key).await;
    let listed = admin(app.get("/admin/keys")).await;
    let keys = listed.ok()["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let web = keys.as_array().unwrap().iter().find(|key| key["id"] == id.as_str()).unwrap();
    assert_eq!(web["name"], "acme-web");
    assert_eq!(web["scopes"], json!(["track", "analytics"]));
    assert_eq!((&web["tier"], &web["business_id"]), (&json!("paid"), &json!("acme-123")));
    assert_eq!((&web["status"], &web["revoked_at"]), (&json!("active"), &Value::Null));
    assert!(web["expires_at"].is_string() && web["created_at"].is_string());
    assert!(!listed.text().contains(&key[23..]), "no secret");
}

async fn the_store_keeps_no_secret(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let secret = &key[23..];
    let found = format!(
        "select count(*) from mlops_api_keys where id = '{id}' and length(secret_hash) = 32
         and name || scopes || coalesce(tier, '') || coalesce(business_id, '') not like '%{secret}%'"
    );
    assert_eq!(backend.number(&found).await, 1);
}

/// Adds a row that is no key.
const NO_KEY: &str = "insert into mlops_api_keys (id, name, secret_hash, scopes, created_at)
    values ('no id', 'none', '00', 'admin', '2026-01-01T00:00:00+00:00')";

async fn a_row_that_cannot_be_read_does_not_keep_a_revocation_from_holding(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let (broken, broken_key) = create(&app, json!({"name": "broken", "scopes": ["analytics"]})).await;
    backend.execute(NO_KEY).await;
    backend.execute(&format!("update mlops_api_keys set secret_hash = '00' where id = '{broken}'")).await;
    backend.execute(&format!("update mlops_api_keys set revoked_at = created_at where id = '{id}'")).await;
    assert_eq!(analytics(&app, "acme", &key).await.status, 200, "the copy is older");
    assert_eq!(app.app.access.key_cache().read().await.unwrap().len(), 2);
    forbidden(&analytics(&app, "acme", &key).await, "Invalid API key");
    forbidden(&analytics(&app, "acme", &broken_key).await, "Invalid API key");
    let listed = admin(app.get("/admin/keys")).await.ok();
    assert_eq!((listed["keys"].as_array().unwrap().len(), &listed["keys"][0]["id"]), (1, &json!(id)));
}

async fn a_revocation_holds_on_every_replica_within_ten_seconds(backend: Backend) {
    let replicas = [(); 2].map(|()| Service::start(&backend, &[("MLOPS_API_KEY", KEY)]));
    backend.execute(NO_KEY).await;
    let client = http_client();
    let made = client.post(replicas[0].url("/admin/keys")).header("x-api-key", KEY);
    let made = made.json(&json!({"name": "web", "scopes": ["analytics"]})).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let status = async |replica: &Service| {
        let call =
            client.get(replica.url("/analytics/acme")).header("x-api-key", made["key"].as_str().unwrap());
        call.send().await.unwrap().status().as_u16()
    };
    for replica in &replicas {
        assert_eq!(status(replica).await, 200);
    }
    let revoke = client.delete(replicas[0].url(&format!("/admin/keys/{}", made["id"].as_str().unwrap())));
    assert_eq!(revoke.header("x-api-key", KEY).send().await.unwrap().status(), 200);
    assert_eq!(status(&replicas[0]).await, 403, "here at once");
    eventually("it holds there", async || status(&replicas[1]).await == 403).await;
    let told = "rejecting 1 API keys whose rows cannot be read";
    eventually("the bad row is told", async || replicas[1].log().contains(told)).await;
    backend.execute("alter table mlops_api_keys rename to away").await;
    let told = "cannot read API keys, keeping the last ones read";
    eventually("that they cannot be read is told", async || replicas[1].log().contains(told)).await;
    backend.execute("alter table away rename to mlops_api_keys").await;
    backend.execute("delete from mlops_api_keys where id = 'no id'").await;
    let told = "API keys can be read again";
    eventually("that they can is told", async || replicas[1].log().contains(told)).await;
    assert_eq!(replicas[1].log().matches("keeping the last ones read").count(), 1, "not again and again");
}

/// Runs the program on the database of a service, and gives what it prints.
fn run(backend: &Backend, arguments: &[&str]) -> String {
    let output = command(backend, &[("MLOPS_API_KEY", KEY)]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn a_key_made_or_revoked_by_the_command_line_is_known_to_a_running_service(backend: Backend) {
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY)]);
    let scopes = "track,analytics";
    let key =
        run(&backend, &["key", "create", "--name", "acme-web", "--scopes", scopes, "--business", "acme-123"]);
    let key = key.trim();
    let status = async || {
        let call = http_client().get(service.url("/analytics/acme-123")).header("x-api-key", key);
        call.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status().await, 200, "at once");
    let id = &key[6..22];
    let listed = async || run(&backend, &["key", "list"]);
    eventually("its use is noted", async || {
        let listed = listed().await;
        assert!(!listed.contains(&key[23..]), "no secret");
        let line =
            listed.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{listed}")).to_owned();
        assert!(line.contains("acme-web") && line.contains(scopes) && line.contains("acme-123"), "{line}");
        line.split_whitespace().nth_back(1) != Some("never")
    })
    .await;
    let listed = http_client().get(service.url("/admin/keys")).header("x-api-key", KEY);
    let listed: Value = listed.send().await.unwrap().json().await.unwrap();
    let used: chrono::DateTime<chrono::Utc> =
        listed["keys"][0]["last_used_at"].as_str().unwrap().parse().unwrap();
    assert!((real_now() - used).num_seconds() < 60, "{listed}");
    let rotated = run(&backend, &["key", "rotate", id, "--grace", "1h"]);
    assert!(rotated.starts_with(&key[..23]) && rotated.trim() != key);
    assert_eq!(status().await, 200, "the old secret has its grace");
    run(&backend, &["key", "revoke", id]);
    eventually("the revocation holds", async || status().await == 403).await;
}

async fn the_command_line_takes_and_lists_all_that_a_key_may_have(backend: Backend) {
    let create = ["key", "create", "--name", "acme web", "--scopes", "track", "--business", "acme-123"];
    let bound = run(&backend, &[create.as_slice(), &["--tier", "paid", "--expires", "90d"]].concat());
    let free = run(&backend, &["key", "create", "--name", "ops", "--scopes", "admin,refresh"]);
    let listed = run(&backend, &["key", "list"]);
    let columns = |id: &str| {
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{listed}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    let head =
        ["ID", "NAME", "STATUS", "SCOPES", "TIER", "BUSINESS", "CREATED", "EXPIRES", "LAST USED", "PARENT"];
    assert_eq!(columns("ID"), head);
    let is_in_days = |cell: &str, days| {
        let told = chrono::NaiveDateTime::parse_from_str(cell, "%Y-%m-%d %H:%M").unwrap();
        let expected = real_now().naive_utc() + TimeDelta::days(days);
        (expected - told).abs() < TimeDelta::minutes(5)
    };
    let bound = columns(&bound[6..22]);
    assert_eq!(bound[1..6], ["acme web", "active", "track", "paid", "acme-123"]);
    assert!(is_in_days(bound[6], 0) && is_in_days(bound[7], 90), "{bound:?}");
    let free = columns(&free[6..22]);
    assert_eq!(free[1..6], ["ops", "active", "refresh,admin", "standard", "all"]);
    assert_eq!(free[7..], ["never", "never", "none"]);
    let wrong = [create.as_slice(), &["--tier", "silver"]].concat();
    let output = command(&backend, &[("MLOPS_API_KEY", KEY)]).args(wrong).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--tier must be one of free, paid, standard"), "{told}");
}

async fn a_wrong_wish_is_told_what_it_must_be(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for (field, wish) in [
        ("name", json!({"name": "", "scopes": ["track"]})),
        ("name", json!({"name": "a\nb", "scopes": ["track"]})),
        ("name", json!({"name": "x".repeat(101), "scopes": ["track"]})),
        ("scopes", json!({"name": "x", "scopes": []})),
        ("scopes", json!({"name": "x", "scopes": ["everything"]})),
        ("business_id", json!({"name": "x", "scopes": ["track"], "business_id": ""})),
        ("expires", json!({"name": "x", "scopes": ["track"], "expires": "soon"})),
        ("expires", json!({"name": "x", "scopes": ["track"], "expires": "0d"})),
        ("expires", json!({"name": "x", "scopes": ["track"], "expires": "4000d"})),
    ] {
        let refused = admin(app.post("/admin/keys").json(&wish)).await;
        refused.refused(400, &format!("Invalid value for field: {field}"));
    }
    for path in ["/admin/keys?expires=30d", "/admin/keys/00000000/rotate?grace=1h"] {
        let wish = json!({"name": "x", "scopes": ["track"]});
        admin(app.post(path).json(&wish)).await.refused(400, "Bad Request");
    }
    for body in
        [json!({"name": "x"}), json!({"name": "x", "scopes": "track"}), json!({"nome": "x"}), json!(null)]
    {
        admin(app.post("/admin/keys").json(&body)).await.refused(400, "Invalid request body");
    }
    for (body, message) in [
        (json!({"name": "x"}), "missing field `scopes` at line 1 column 12"),
        (json!({"name": "x", "s3cret": 1}), "unknown field or wrong type at line 1, column 20"),
        (json!({"name": "x", "scopes": "s3cret"}), "unknown field or wrong type at line 1, column 29"),
    ] {
        let refused = admin(app.post("/admin/keys").json(&body)).await;
        assert_eq!(refused.json()["message"], message, "nothing that the caller wrote");
    }
    for (path, body) in
        [("/admin/keys", "{"), ("/admin/keys", " "), ("/admin/keys/0123456789abcdef/rotate", "\r\n")]
    {
        let refused = admin(app.post(path).body(body).header("content-type", "application/json")).await;
        refused.refused(400, "Invalid JSON");
    }
    for id in ["nope", "0123456789abcdef"] {
        admin(app.post(&format!("/admin/keys/{id}/rotate"))).await.refused(404, "Not Found");
        admin(app.call(Method::DELETE, &format!("/admin/keys/{id}"))).await.refused(404, "Not Found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_nobody_manages_keys() {
    let backend = Backend::sqlite();
    let wish = json!({"name": "chief", "scopes": ["admin"]});
    let (_, chief) = create(&TestApp::guarded(&backend).await, wish).await;
    let app = TestApp::open(&backend).await;
    app.app.access.key_cache().read().await.unwrap();
    let refused = app.post("/admin/keys").json(&json!({"name": "x", "scopes": ["admin"]})).send().await;
    forbidden(&refused, "Authentication is off; set MLOPS_API_KEY to use this route");
    assert_eq!(
        app.get("/admin/keys").header("x-api-key", &chief).send().await.status,
        200,
        "but who may does"
    );
}

/// Makes a key with the key `by`.
async fn create_with(app: &TestApp, by: &str, wish: Value) -> Reply {
    app.post("/admin/keys").header("x-api-key", by).json(&wish).send().await
}

async fn a_key_gives_at_most_what_it_has(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let wish = json!({"name": "boss", "scopes": ["admin", "track"], "expires": "30d"});
    let (boss, boss_key) = create(&app, wish).await;
    let scopes = "A key gives and rotates at most the scopes that it has itself";
    let wish = json!({"name": "spy", "scopes": ["track", "privacy"]});
    forbidden(&create_with(&app, &boss_key, wish).await, scopes);
    let wish = json!({"name": "old", "scopes": ["track"], "expires": "31d"});
    forbidden(&create_with(&app, &boss_key, wish).await, "A key gives at most its own lifetime");
    let made = create_with(&app, &boss_key, json!({"name": "child", "scopes": ["track"]})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["parent"], boss.as_str());
    let listed = admin(app.get("/admin/keys")).await.json();
    let expires = |id: &Value| {
        listed["keys"].as_array().unwrap().iter().find(|key| key["id"] == *id).unwrap()["expires_at"].clone()
    };
    assert_eq!(expires(&made.json()["id"]), expires(&json!(boss)), "it ends with its parent");
    let (desk, _) = create(&app, json!({"name": "desk", "scopes": ["privacy"]})).await;
    let rotate = async |id: &str, key: &str| {
        app.post(&format!("/admin/keys/{id}/rotate")).header("x-api-key", key).send().await
    };
    forbidden(&rotate(&desk, &boss_key).await, scopes);
    let (eternal, _) = create(&app, json!({"name": "eternal", "scopes": ["admin"]})).await;
    forbidden(
        &rotate(&eternal, &boss_key).await,
        "A key rotates no key with the scope admin that outlives it",
    );
    assert_eq!(rotate(made.json()["id"].as_str().unwrap(), &boss_key).await.status, 200);
    assert_eq!(rotate(&desk, KEY).await.status, 200, "the configured key may do everything");
}

async fn children_end_with_their_parent_unless_they_are_kept(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    let family = async || {
        let (parent, parent_key) =
            create(&app, json!({"name": "parent", "scopes": ["admin", "track"]})).await;
        let child =
            create_with(&app, &parent_key, json!({"name": "child", "scopes": ["admin", "track"]})).await;
        let child_key = child.json()["key"].as_str().unwrap().to_owned();
        let grandchild =
            create_with(&app, &child_key, json!({"name": "grandchild", "scopes": ["track"]})).await;
        (parent, child_key, grandchild.json()["key"].as_str().unwrap().to_owned())
    };
    let (parent, child, grandchild) = family().await;
    let revoked = admin(app.call(Method::DELETE, &format!("/admin/keys/{parent}"))).await.ok();
    let names: Vec<&str> =
        revoked["children"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["child", "grandchild"]);
    for key in [&child, &grandchild] {
        forbidden(&track(&app, "acme", key).await, "Invalid API key");
    }
    let told = "select count(*) from mlops_audit where action = 'key.revoked'";
    assert_eq!(backend.number(told).await, 3, "each has its entry");
    let (parent, child, grandchild) = family().await;
    let path = format!("/admin/keys/{parent}?keep_children=true");
    assert_eq!(admin(app.call(Method::DELETE, &path)).await.ok()["children"], json!([]));
    for key in [&child, &grandchild] {
        assert_eq!(track(&app, "acme", key).await.status, 200);
    }
    let wrong = admin(app.call(Method::DELETE, &format!("/admin/keys/{parent}?keep_children=1"))).await;
    wrong.refused(400, "Invalid value for field: keep_children");
    let listed = command(&backend, &[]).args(["key", "revoke", &parent]).output().unwrap();
    let told = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(told.contains("child (") && told.contains("is revoked with it"), "{told}");
}
