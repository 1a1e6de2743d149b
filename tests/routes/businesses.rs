//! `/admin/businesses` and `mlops-service business`, on both databases.

use std::io::Write;
use std::process::{Output, Stdio};

use axum::http::Method;
use serde_json::{Value, json};

use super::keys::{admin, create, forbidden};
use crate::harness::{
    Backend, KEY, Reply, Service, TestApp, command, event, eventually, http_client, on_every_backend,
};

on_every_backend! {
    a_profile_is_set_value_by_value,
    what_the_app_knows_completes_a_profile,
    a_wrong_value_is_told_what_it_must_be,
    everybody_with_a_profile_or_events_is_listed_page_by_page,
    a_zone_decides_the_day_of_events_from_then_on,
    a_change_is_in_the_audit_trail_by_name,
    only_holders_of_the_scope_admin_see_and_set_profiles,
    the_command_line_shows_and_changes_profiles,
    a_wrong_argument_of_the_command_line_is_told_what_is_right,
    a_budget_is_a_metric_of_a_business_that_is_shown,
}

const SMILE: &str = "/admin/businesses/smile";

async fn get(app: &TestApp, path: &str) -> Value {
    admin(app.get(path)).await.ok()
}

async fn put(app: &TestApp, path: &str, body: &Value) -> Reply {
    admin(app.call(Method::PUT, path).json(body)).await
}

/// Starts a service without quotas.
async fn start(backend: &Backend) -> TestApp {
    let off = ("RATE_LIMIT_DEFAULT", "off");
    TestApp::with(backend, &[("MLOPS_API_KEY", KEY), ("TIME_ZONE", "Europe/Berlin"), off]).await
}

async fn a_profile_is_set_value_by_value(backend: Backend) {
    let app = start(&backend).await;
    let nobody = json!({
        "business_id": "smile", "name": null, "time_zone": null, "time_zone_in_effect": "Europe/Berlin",
        "opening_hours": null, "monthly_budget_usd": null, "from_app": []
    });
    assert_eq!(get(&app, SMILE).await, nobody);
    let hours =
        json!({"monday": {"open": "09:00", "close": "17:00"}, "friday": {"open": "18:00", "close": "02:00"}});
    let all = json!({
        "name": "Smile Dental", "time_zone": "Asia/Kathmandu", "opening_hours": hours, "monthly_budget_usd": 50.0
    });
    let set = put(&app, SMILE, &all).await;
    let mut profile =
        json!({"business_id": "smile", "time_zone_in_effect": "Asia/Kathmandu", "from_app": []});
    profile.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
    assert_eq!(set.ok(), profile);
    assert!(
        set.text().contains(r#"{"monday":{"open":"09:00","close":"17:00"},"friday":{"#),
        "{}",
        set.text()
    );
    assert_eq!(get(&app, SMILE).await, profile);
    profile["monthly_budget_usd"] = json!(0.5);
    profile["name"] = Value::Null;
    assert_eq!(put(&app, SMILE, &json!({"monthly_budget_usd": 0.5, "name": null})).await.ok(), profile);
    assert_eq!(put(&app, SMILE, &json!({})).await.ok(), profile, "what it does not name stays");
    let closed = json!({"opening_hours": {"monday": null}, "time_zone": null});
    let closed = put(&app, SMILE, &closed).await.ok();
    assert_eq!(
        (&closed["opening_hours"], &closed["time_zone_in_effect"]),
        (&json!({}), &json!("Europe/Berlin"))
    );
    // Another replica, which has not read it yet.
    let other = start(&backend).await;
    put(&app, SMILE, &json!({"name": "Smile"})).await.ok();
    assert_eq!(get(&other, SMILE).await["name"], "Smile");
}

async fn what_the_app_knows_completes_a_profile(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let hours = r#"{"monday": {"open": "09:00", "close": "17:00", "note": "x"}, "sunday": {"closed": true}}"#;
    backend
        .execute(&format!(
            "insert into business_settings (id, business_id, business_hours) values ('s-1', 'acme', '{hours}')"
        ))
        .await;
    let app = start(&backend).await;
    let acme = "/admin/businesses/acme";
    let of_app = json!({
        "business_id": "acme", "name": "Acme", "time_zone": null, "time_zone_in_effect": "Europe/Berlin",
        "opening_hours": {"monday": {"open": "09:00", "close": "17:00"}}, "monthly_budget_usd": null,
        "from_app": ["name", "opening_hours"]
    });
    assert_eq!(get(&app, acme).await, of_app);
    let set = put(&app, acme, &json!({"name": "Acme Plumbing", "monthly_budget_usd": 7})).await.ok();
    assert_eq!(set["from_app"], json!(["opening_hours"]));
    assert_eq!((&set["name"], &set["monthly_budget_usd"]), (&json!("Acme Plumbing"), &json!(7.0)));
    let cleared = put(&app, acme, &json!({"name": null, "monthly_budget_usd": null})).await.ok();
    assert_eq!(cleared, of_app, "null clears, and the app's name is back");
}

#[track_caller]
fn told(reply: &Reply, error: &str, part: &str) {
    reply.refused(400, error);
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(part), "{message}");
}

async fn a_wrong_value_is_told_what_it_must_be(backend: Backend) {
    let app = start(&backend).await;
    for (body, field, part) in [
        (
            json!({"time_zone": "Mars/Olympus"}),
            "time_zone",
            "must be an IANA time zone name such as Europe/Berlin",
        ),
        (json!({"time_zone": 1}), "time_zone", "must be an IANA time zone name"),
        (json!({"name": ""}), "name", "must be 1 to 255 characters"),
        (json!({"monthly_budget_usd": -1}), "monthly_budget_usd", "must be a number from 0 to 9999999.99"),
        (json!({"opening_hours": "9 to 5"}), "opening_hours", "must be a JSON object such as {\"monday\""),
        (
            json!({"opening_hours": {"montag": null}}),
            "opening_hours",
            "has an unknown day, montag; days are monday",
        ),
        (
            json!({"opening_hours": {"monday": {"open": "20:00", "close": "09:30"}, "tuesday": {"open": "09:00", "close": "17:00"}}}),
            "opening_hours",
            "the hours of monday reach into those of tuesday",
        ),
    ] {
        let reply = put(&app, SMILE, &body).await;
        told(&reply, &format!("Invalid value for field: {field}"), part);
    }
    told(&put(&app, SMILE, &json!({"zone": "UTC"})).await, "Invalid request body", "unknown field: zone");
    told(&put(&app, SMILE, &json!(["Smile"])).await, "Invalid request body", "must be a JSON object");
    let twice = app.call(Method::PUT, SMILE).header("content-type", "application/json");
    let twice = admin(twice.body(r#"{"name":"a","name":"b"}"#)).await;
    told(&twice, "Invalid request body", "duplicate field `name`");
    let days = r#"{"opening_hours":{"monday":null,"monday":null}}"#;
    let days = app.call(Method::PUT, SMILE).header("content-type", "application/json").body(days);
    told(&admin(days).await, "Invalid value for field: opening_hours", "has monday twice");
    admin(app.call(Method::PUT, SMILE)).await.refused(400, "Invalid request body");
    let long = format!("/admin/businesses/{}", "x".repeat(256));
    admin(app.get(&long)).await.refused(400, "Invalid value for field: business_id");
    assert_eq!(get(&app, SMILE).await["name"], Value::Null, "nothing was set");
    assert_eq!(backend.number("select count(*) from mlops_businesses").await, 0);
}

async fn everybody_with_a_profile_or_events_is_listed_page_by_page(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let app = start(&backend).await;
    put(&app, SMILE, &json!({"name": "Smile"})).await.ok();
    put(&app, "/admin/businesses/cleared", &json!({"name": "Gone"})).await.ok();
    put(&app, "/admin/businesses/cleared", &json!({"name": null})).await.ok();
    for business in ["bolt", "acme", "dot"] {
        let event = event(json!({"business_id": business}));
        admin(app.post("/track").json(&event)).await.ok();
    }
    let ids = |page: &Value| {
        let businesses = page["businesses"].as_array().unwrap();
        businesses.iter().map(|one| one["business_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    eventually("all are listed", async || {
        ids(&get(&app, "/admin/businesses").await) == ["acme", "bolt", "dot", "smile"]
    })
    .await;
    let all = get(&app, "/admin/businesses").await;
    assert_eq!(all["next"], Value::Null);
    assert_eq!(all["businesses"][3], get(&app, SMILE).await);
    assert_eq!(
        (&all["businesses"][0]["name"], &all["businesses"][1]["name"]),
        (&json!("Acme"), &Value::Null)
    );
    let (mut after, mut pages) = (String::new(), Vec::new());
    loop {
        let page = get(&app, &format!("/admin/businesses?limit=2&after={after}")).await;
        pages.push(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut after);
    }
    assert_eq!(pages, [["acme", "bolt"], ["dot", "smile"]]);
    for (query, name) in
        [("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("after=%00", "after")]
    {
        let reply = admin(app.get(&format!("/admin/businesses?{query}"))).await;
        reply.refused(400, &format!("Invalid value for field: {name}"));
    }
    let unknown = admin(app.get("/admin/businesses?offset=1")).await;
    told(&unknown, "Bad Request", "this route accepts limit or after");
}

async fn a_zone_decides_the_day_of_events_from_then_on(backend: Backend) {
    let app = start(&backend).await;
    put(&app, SMILE, &json!({"time_zone": "UTC"})).await.ok();
    // The clock stands at 23:30 in London, the next morning in Kathmandu.
    let night = app.now().date_naive().and_hms_opt(23, 30, 0).unwrap().and_utc();
    app.pass(night - app.now());
    let track = async |business: &str| {
        let event = event(json!({"business_id": business}));
        admin(app.post("/track").json(&event)).await.ok();
    };
    track("smile").await;
    put(&app, SMILE, &json!({"time_zone": "Asia/Kathmandu"})).await.ok();
    track("smile").await;
    track("smile").await;
    let day = |date: chrono::NaiveDate, business: &str| {
        format!(
            "select coalesce(sum(events), 0) from ai_rollup_daily_now where business_id = '{business}' and day = '{date}'"
        )
    };
    let today = night.date_naive();
    let tomorrow = today.succ_opt().unwrap();
    assert_eq!(backend.number(&day(today, "smile")).await, 1, "what is added up keeps its day");
    assert_eq!(backend.number(&day(tomorrow, "smile")).await, 2);
    let merged = day(tomorrow, "smile").replace("_now", "");
    eventually("it is merged", async || backend.number(&merged).await == 2).await;
    track("bolt").await;
    assert_eq!(backend.number(&day(tomorrow, "bolt")).await, 1, "TIME_ZONE is Berlin");
    // The same after a restart, which counts rows of the app before any request.
    app.stop().await;
    let created_at = night.format("%Y-%m-%d %H:%M:%S");
    backend
        .execute(&format!(
            "insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used, api_cost_usd, model_name,
                intent_detected, user_message_length, ai_response_length, response_type, created_at)
             values ('smile', 's', 1, 1, 1, 0, 'm', 'i', 1, 1, 'r', '{created_at}')"
        ))
        .await;
    let _app = start(&backend).await;
    assert_eq!(backend.number(&day(tomorrow, "smile")).await, 3);
}

async fn a_change_is_in_the_audit_trail_by_name(backend: Backend) {
    let app = start(&backend).await;
    put(&app, SMILE, &json!({"name": "Dr. Zqana", "time_zone": "UTC"})).await.ok();
    put(&app, SMILE, &json!({"name": "Dr. Zqana", "time_zone": "Asia/Kathmandu"})).await.ok();
    put(&app, SMILE, &json!({"time_zone": "Asia/Kathmandu"})).await.ok();
    put(&app, SMILE, &json!({"time_zone": "Mars/Olympus"}))
        .await
        .refused(400, "Invalid value for field: time_zone");
    let trail = get(&app, "/admin/audit").await;
    let entries = trail["entries"].as_array().unwrap();
    let told: Vec<Value> = entries
        .iter()
        .filter(|entry| entry["action"] == "business.changed")
        .map(|entry| json!([entry["actor"], entry["details"]]))
        .collect();
    let expected = json!([
        ["service key", {"business_id": "smile", "changed": ["name", "time_zone"]}],
        ["service key", {"business_id": "smile", "changed": ["time_zone"]}],
    ]);
    assert_eq!(json!(told), expected, "only what is another value than before");
    assert_eq!(trail["chain"]["intact"], true);
    assert!(!trail.to_string().contains("Zqana"));
}

async fn only_holders_of_the_scope_admin_see_and_set_profiles(backend: Backend) {
    let app = start(&backend).await;
    put(&app, SMILE, &json!({"name": "Smile"})).await.ok();
    put(&app, "/admin/businesses/acme", &json!({"name": "Acme"})).await.ok();
    let (_, reader) = create(&app, json!({"name": "r", "scopes": ["analytics", "privacy", "track"]})).await;
    let set = json!({"name": "Mine"});
    let as_holder = async |key: &str, method: Method, path: &str| {
        let call = app.call(method.clone(), path).header("x-api-key", key);
        if method == Method::PUT { call.json(&set).send().await } else { call.send().await }
    };
    for (method, path) in [(Method::GET, "/admin/businesses"), (Method::GET, SMILE), (Method::PUT, SMILE)] {
        forbidden(&as_holder(&reader, method, path).await, "API key lacks scope: admin");
    }
    // Nobody is given such a key; whoever edits the table gets no further than the business.
    let (id, key) = create(&app, json!({"name": "b", "scopes": ["track"], "business_id": "smile"})).await;
    backend.execute(&format!("update mlops_api_keys set scopes = 'admin' where id = '{id}'")).await;
    app.app.access.key_cache().read().await.unwrap();
    let listed = as_holder(&key, Method::GET, "/admin/businesses").await.ok();
    assert_eq!(listed["businesses"].as_array().unwrap().len(), 1);
    assert_eq!(listed["businesses"][0]["business_id"], "smile");
    assert_eq!(as_holder(&key, Method::PUT, SMILE).await.ok()["name"], "Mine");
    for method in [Method::GET, Method::PUT] {
        let reply = as_holder(&key, method, "/admin/businesses/acme").await;
        forbidden(&reply, "API key is not valid for this business");
    }
    assert_eq!(get(&app, "/admin/businesses/acme").await["name"], "Acme");
    let open = TestApp::open(&backend).await;
    open.get(SMILE).send().await.refused(403, "Forbidden");
}

/// Runs the program on the database of a service with this on its standard input.
fn run(backend: &Backend, arguments: &[&str], input: &str) -> Output {
    let mut command = command(backend, &[("MLOPS_API_KEY", KEY)]);
    let command = command.arg("business").args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn printed(backend: &Backend, arguments: &[&str], input: &str) -> String {
    let output = run(backend, arguments, input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn the_command_line_shows_and_changes_profiles(backend: Backend) {
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY), ("METRICS_REFRESH_SECONDS", "1")]);
    let set = ["set", "smile", "--name", "Smile Dental", "--time-zone", "Asia/Kathmandu", "--budget", "50"];
    let done = printed(
        &backend,
        &[set.as_slice(), &["--opening-hours", "-"]].concat(),
        r#"{"monday":{"open":"09:00","close":"17:00"}}"#,
    );
    assert_eq!(done, "changed name, time-zone, opening-hours, budget of smile\n");
    assert_eq!(printed(&backend, &set, ""), "nothing to change for smile\n");
    let call = http_client().get(service.url(SMILE)).header("x-api-key", KEY);
    let over_http: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(over_http["opening_hours"]["monday"]["close"], "17:00");
    let shown: Value = serde_json::from_str(&printed(&backend, &["show", "smile"], "")).unwrap();
    assert_eq!(shown, over_http);
    // The running service reads the profile in its next round.
    let track = async || {
        let call = http_client().post(service.url("/track")).header("x-api-key", KEY);
        call.json(&event(json!({"business_id": "smile"}))).send().await.unwrap().status().as_u16()
    };
    assert_eq!(track().await, 200);
    let metrics =
        async || http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    eventually("the service knows", async || {
        metrics().await.contains(r#"ai_budget_usd{business_id="smile"} 50"#)
    })
    .await;
    let listed = printed(&backend, &["list"], "");
    let cells: Vec<&str> =
        listed.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["smile", "Smile Dental", "Asia/Kathmandu", "set", "50.00", "none"]);
    let cleared = printed(&backend, &["set", "smile", "--clear", "name", "--clear", "budget"], "");
    assert_eq!(cleared, "changed name, budget of smile\n");
    let told =
        "select count(*) from mlops_audit where action = 'business.changed' and actor = 'command line'";
    assert_eq!(backend.number(told).await, 2);
}

async fn a_wrong_argument_of_the_command_line_is_told_what_is_right(backend: Backend) {
    for (arguments, code, told) in [
        (
            &["set", "smile", "--time-zone", "Mars/Olympus"][..],
            1,
            "--time-zone must be an IANA time zone name",
        ),
        (&["set", "smile", "--budget", "-1"], 1, "--budget must be a number from 0"),
        (&["set", "smile", "--opening-hours", "{\"monday\":{}}"], 1, "--opening-hours lacks open in monday"),
        (&["set", "smile", "--name", "x", "--clear", "name"], 1, "--name and --clear name contradict"),
        (&["set", "smile", "--clear", "zone"], 2, "must be one of name, time-zone, opening-hours, budget"),
        (&["set", "smile"], 2, "required"),
        (&["show", ""], 1, "the id of a business must be 1 to 255 characters"),
    ] {
        let output = run(&backend, arguments, "");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}

async fn a_budget_is_a_metric_of_a_business_that_is_shown(backend: Backend) {
    let settings = [("MLOPS_API_KEY", KEY), ("METRICS_MAX_BUSINESSES", "2"), ("RATE_LIMIT_DEFAULT", "off")];
    let app = TestApp::with(&backend, &settings).await;
    for business in ["acme", "bolt", "dot"] {
        let event = event(json!({"business_id": business}));
        admin(app.post("/track").json(&event)).await.ok();
    }
    for business in ["acme", "dot", "other", "silent"] {
        let path = format!("/admin/businesses/{business}");
        put(&app, &path, &json!({"monthly_budget_usd": 12.5})).await.ok();
    }
    let metrics = app.metrics().await;
    let shown: Vec<&str> = metrics.lines().filter(|line| line.starts_with("ai_budget_usd{")).collect();
    assert_eq!(shown, [r#"ai_budget_usd{business_id="acme"} 12.5"#]);
    put(&app, "/admin/businesses/acme", &json!({"monthly_budget_usd": null})).await.ok();
    assert!(!app.metrics().await.contains("ai_budget_usd{"));
}
