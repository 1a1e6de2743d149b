//! What pages of businesses show, on both databases.

use std::time::{Duration, Instant};

use chrono::{Datelike, Days, TimeDelta};
use serde_json::{Value, json};

use super::analytics::plant_facts;
use super::keys::create;
use crate::harness::{Backend, KEY, Link, Reply, TcpProxy, TestApp, event, on_every_backend};

on_every_backend! {
    a_page_shows_the_figures_of_analytics,
    what_callers_write_is_text_and_what_is_wrong_is_told,
    few_cases_make_no_rate_and_nothing_is_no_zero,
    figures_are_there_as_csv,
    businesses_are_found_sorted_and_compared,
    a_statement_tells_a_month_in_words,
    a_link_opens_one_page_and_nothing_else,
    the_last_known_figures_are_shown_while_the_store_is_away,
    a_year_of_days_stays_light,
}

/// Reports conversations of one answer each; every third asks for an appointment, every sixth claims one.
async fn converse(app: &TestApp, business_id: &str, conversations: usize) {
    let events: Vec<Value> = (0..conversations)
        .map(|n| {
            event(json!({
                "business_id": business_id, "conversation_id": format!("c-{n}"), "response_time_ms": 100 + n,
                "appointment_requested": n % 3 == 0, "appointment_booked": n % 6 == 0, "human_handoff_requested": n % 10 == 1,
                "api_cost_usd": 0.25, "intent_detected": "appointment"
            }))
        })
        .collect();
    app.post("/track/batch").json(&json!({"events": events})).send().await.ok();
}

/// Reports an answer of a conversation, with a key.
async fn tracked(app: &TestApp, business_id: &str, n: usize) {
    let report = event(json!({"business_id": business_id, "conversation_id": format!("c-{n}")}));
    app.post("/track").header("x-api-key", KEY).json(&report).send().await.ok();
}

/// The text of a page without its tags, with single spaces.
fn words(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let html = reply.text();
    let text: String = html
        .split('<')
        .filter_map(|part| part.split_once('>').map(|(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ");
    text.replace('\u{a0}', " ")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

async fn a_page_shows_the_figures_of_analytics(backend: Backend) {
    let app = TestApp::open(&backend).await;
    converse(&app, "acme", 30).await;
    let reply = app.get("/businesses/acme?days=7").send().await;
    let figures =
        app.get("/analytics/acme?days=7&include=conversations,funnel,cost,percentiles").send().await.ok();
    let text = words(&reply);
    assert_eq!(figures["conversations"]["conversations"], 30);
    assert_eq!(figures["funnel"]["booked"], 5);
    assert_eq!(figures["cost"]["counted_usd"], 7.5);
    assert_says(
        &text,
        &[
            "Conversations 30 30 answers",
            "Appointments booked 5 17 % of conversations",
            "Handed to a person 3 10 % of conversations",
            "Cost $7.50 $0.2500 a conversation",
            "5 of 30 conversations led to an appointment (17 %)",
            "Appointment requested 10 33 %",
            "c-0",
        ],
    );
    let half = figures["percentiles"]["answers"]["p50"].as_f64().unwrap();
    assert_says(&text, &[&format!("half within {half:.0} ms")]);
    assert!(reply.header("content-security-policy").contains("script-src 'self'"));
    assert_eq!(reply.header("cache-control"), "no-store");
    // In another language, numbers are written in its way, and words stay English.
    let german = app.get("/businesses/acme?days=7").header("accept-language", "de").send().await;
    assert_says(&words(&german), &["Cost $7,50 $0,2500 a conversation"]);
}

async fn what_callers_write_is_text_and_what_is_wrong_is_told(backend: Backend) {
    let app = TestApp::open(&backend).await;
    // What callers and owners write is text, wherever it stands.
    let hostile = "<script>alert(1)</script>";
    app.track(&event(json!({"business_id": hostile, "intent_detected": hostile, "model_name": hostile, "conversation_id": hostile})))
        .await
        .ok();
    let path = "/businesses/%3Cscript%3Ealert(1)%3C%2Fscript%3E?outcome=&handoff=&error=";
    for path in [path, "/businesses", "/businesses?search=%3Cscript%3Ealert(1)"] {
        let page = app.get(path).send().await;
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("<script>alert"), "{path}");
        assert!(page.text().contains("alert(1)"), "{path}");
    }
    for (path, status) in [
        ("/businesses/acme?days=0", 400),
        ("/businesses/acme?period=never", 400),
        ("/businesses/acme?csv=everything", 400),
        ("/businesses/acme?outcome=won", 400),
        ("/businesses?sort=size", 400),
        ("/businesses?page=0", 400),
        ("/statement/acme?month=2026-13", 400),
    ] {
        let reply = app.get(path).send().await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "{path}");
    }
}

async fn few_cases_make_no_rate_and_nothing_is_no_zero(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let nobody = words(&app.get("/businesses").send().await);
    assert_says(&nobody, &["No conversations yet", "curl -X POST http://", "/track"]);
    let nothing = words(&app.get("/businesses/acme?days=7").send().await);
    assert_says(&nothing, &["No conversations yet", "\"business_id\":\"acme\""]);
    converse(&app, "acme", 9).await;
    let few = words(&app.get("/businesses/acme?days=7").send().await);
    assert_says(&few, &["2 of 9 conversations", "Appointments kept –", "Claimed, and not in the book"]);
    assert!(!few.contains(" % of conversations"), "{few}");
    let past = words(&app.get("/businesses/acme?from=2020-01-01&to=2020-01-07").send().await);
    assert_says(&past, &["No conversations in this period", "c-8"]);
    converse(&app, "acme", 10).await;
    assert_says(&words(&app.get("/businesses/acme?days=7").send().await), &["20 % of conversations"]);
}

async fn figures_are_there_as_csv(backend: Backend) {
    let app = TestApp::open(&backend).await;
    converse(&app, "acme & sons", 12).await;
    let days = app.get("/businesses/acme%20%26%20sons?days=2&csv=days").send().await;
    let api = app.get("/analytics/acme%20%26%20sons?days=2").header("accept", "text/csv").send().await;
    assert_eq!(days.text(), api.text(), "what the API returns");
    assert!(days.header("content-disposition").starts_with("attachment; filename=\"acme---sons-days-"));
    let today = app.now().date_naive();
    for (what, line) in [
        ("cost", format!("{today},gemini-1.5-flash,3.0")),
        ("intents", "appointment,12,12,4,2,0".to_owned()),
        ("funnel", "booked,2".to_owned()),
        ("hours", "1,0,".to_owned()),
    ] {
        let sheet = app.get(&format!("/businesses/acme%20%26%20sons?days=2&csv={what}")).send().await;
        let sheet = sheet.text();
        assert!(sheet.lines().skip(1).any(|found| found.starts_with(&line)), "{line} is not in: {sheet}");
    }
}

async fn businesses_are_found_sorted_and_compared(backend: Backend) {
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY)]).await;
    for n in 0..12 {
        tracked(&app, "zebra", n).await;
    }
    tracked(&app, "bell-a", 0).await;
    tracked(&app, "bell-b", 0).await;
    let cookie = cookie(&app.sign_in(KEY).await);
    let list = async |query: &str| {
        words(&app.get(&format!("/businesses?{query}")).header("cookie", &cookie).send().await)
    };
    let all = list("").await;
    assert!(all.find("zebra") < all.find("bell-a"), "the most conversations first: {all}");
    assert_says(&all, &["zebra 12 – ", "1 to 3 of 3"]);
    let by_name = list("sort=name").await;
    assert!(by_name.find("bell-a") < by_name.find("zebra"), "{by_name}");
    let found = list("search=BELL&sort=").await;
    assert!(found.contains("bell-a") && found.contains("bell-b") && !found.contains("zebra"), "{found}");
    assert_says(&list("search=nobody").await, &["No business matches"]);
    let (_, key) =
        create(&app, json!({"name": "zebra", "scopes": ["analytics"], "business_id": "zebra"})).await;
    let signed_in = app.sign_in(&key).await;
    assert_eq!(signed_in.header("location"), "/businesses/zebra");
    let own = self::cookie(&signed_in);
    let of = async |path: &str| app.get(path).header("cookie", &own).send().await;
    let listed = words(&of("/businesses").await);
    assert!(listed.contains("zebra") && !listed.contains("bell"), "{listed}");
    assert_eq!(of("/businesses/bell-a").await.status, 404);
    assert_eq!(of("/statement/bell-a").await.status, 404);
    assert_eq!(of("/statement/zebra").await.status, 200);
}

/// The cookie that a response sets, as a browser sends it back.
fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn a_statement_tells_a_month_in_words(backend: Backend) {
    let app = TestApp::open(&backend).await;
    converse(&app, "acme", 30).await;
    let today = app.now().date_naive();
    let month = today.format("%Y-%m").to_string();
    let text = words(&app.get(&format!("/statement/acme?month={month}")).send().await);
    assert_says(
        &text,
        &[
            &format!("Statement for {}", today.format("%B %Y")),
            "the month is not over",
            "The receptionist had 30 conversations and gave 30 answers.",
            "An appointment was requested in 10 conversations, and 5 were booked (17 % of all conversations).",
            "The AI models cost $7.50.",
            "No customer's privacy request was handled this month.",
        ],
    );
    let last = words(&app.get("/statement/acme").send().await);
    let before = today - Days::new(u64::from(today.day()));
    assert_says(
        &last,
        &[&format!("Statement for {}", before.format("%B %Y")), "No conversations in this period"],
    );
    let next = (today + Days::new(31)).format("%Y-%m").to_string();
    assert_eq!(app.get(&format!("/statement/acme?month={next}")).send().await.status, 400);
}

async fn a_link_opens_one_page_and_nothing_else(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for n in 0..3 {
        tracked(&app, "acme", n).await;
    }
    let month = app.now().format("%Y-%m").to_string();
    let link = async |page: &str| {
        let wish = json!({"business_id": "acme", "page": page, "month": month, "expires": "2h"});
        let made = app.post("/admin/links").header("x-api-key", KEY).json(&wish).send().await.json();
        let url = made["url"].as_str().unwrap().to_owned();
        url[url.find("/shared/").unwrap()..].to_owned()
    };
    let statement = link("statement").await;
    let text = words(&app.get(&statement).send().await);
    assert_says(&text, &["Statement for", "acme", "3 conversations"]);
    let business = link("business").await;
    let reply = app.get(&format!("{business}?days=90&from=2020-01-01&to=2020-01-02")).send().await;
    assert_says(&words(&reply), &["acme", "Conversations 3"]);
    for gone in ["/businesses", "/statement", "c-0", "Sign out", "90 days"] {
        assert!(!reply.text().contains(gone), "a guest sees no {gone}");
    }
    let sheet = app.get(&format!("{business}?csv=funnel")).send().await;
    assert!(sheet.text().contains("conversations,3"), "{}", sheet.text());
    app.pass(TimeDelta::hours(2));
    for path in [&statement, &business] {
        assert_eq!(app.get(path).send().await.status, 404);
    }
}

async fn the_last_known_figures_are_shown_while_the_store_is_away(backend: Backend) {
    let app = TestApp::open(&backend).await;
    converse(&app, "acme", 3).await;
    let paths = [
        "/businesses/acme?days=7".to_owned(),
        "/businesses".to_owned(),
        format!("/statement/acme?month={}", app.now().format("%Y-%m")),
    ];
    for path in &paths {
        assert!(!words(&app.get(path).send().await).contains("last known"), "{path}");
    }
    backend.execute("alter table mlops_undigested rename to mlops_away").await;
    for path in &paths {
        let text = words(&app.get(path).send().await);
        assert_says(&text, &["acme", "The database does not answer. These are the last known figures"]);
    }
    let unknown = app.get("/businesses/other").send().await;
    assert_eq!(unknown.status, 503, "what was never known is not there");
    assert!(unknown.text().contains("<h1>Not available at the moment</h1>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_does_not_wait_for_the_time_limits_of_a_database_that_hangs() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let app = TestApp::open(&proxy.view(&backend)).await;
    converse(&app, "acme", 3).await;
    words(&app.get("/businesses/acme").send().await);
    proxy.set(Link::Stalled);
    let asked = Instant::now();
    let text = words(&app.get("/businesses/acme").send().await);
    assert_says(&text, &["acme", "The database does not answer. These are the last known figures"]);
    assert!(asked.elapsed() < Duration::from_millis(3_500), "{:?}", asked.elapsed());
}

async fn a_year_of_days_stays_light(backend: Backend) {
    let app = TestApp::open(&backend).await;
    converse(&app, "acme", 40).await;
    let today = app.now().date_naive();
    let days = (0..366_u64).map(|n| today - Days::new(n)).zip((0..50_i64).cycle());
    for (day, more) in days {
        plant_facts(&backend, "acme", day, &[("conversations", 30 + more)]).await;
    }
    let plain = app.get("/businesses/acme?days=366").send().await;
    assert!(plain.text().len() < 250_000, "{} bytes", plain.text().len());
    let packed = app.get("/businesses/acme?days=366").header("accept-encoding", "gzip").send().await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let assets = ["pages.css", "pages.js", "icon.svg"];
    let (mut plain, mut packed) = (plain.text().len(), packed.body.len());
    for name in assets {
        let of = |coding| app.get(&format!("/assets/{name}")).header("accept-encoding", coding).send();
        (plain, packed) = (plain + of("identity").await.body.len(), packed + of("gzip").await.body.len());
    }
    assert!(plain < 250_000 && packed < 60_000, "{plain} bytes, {packed} compressed");
}
