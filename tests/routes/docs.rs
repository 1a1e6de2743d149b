//! `/docs`: every call is on a page, and the examples work.

use std::io::Write;
use std::process::{Command, Stdio};

use axum::http::{Method, Uri};
use mlops_service::config::{Config, Source};
use mlops_service::http::openapi::{Call, Group};
use mlops_service::http::routes::table;
use strum::VariantArray;

use crate::harness::{Backend, KEY, Reply, TestApp};

/// The calls of the route table.
fn calls() -> Vec<Call> {
    let config = Config::read(&Source::default()).unwrap();
    table().rows().iter().map(|row| Call::of(row, &config)).collect()
}

fn unescaped(html: &str) -> String {
    html.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

/// The example of a call on a page.
fn sample(page: &str, id: &str, language: &str) -> String {
    let label = format!("aria-label=\"{id} with {language}\"><code>");
    let (_, rest) =
        page.split_once(&label).unwrap_or_else(|| panic!("there is no example: {id} with {language}"));
    unescaped(rest.split_once("</code>").unwrap().0)
}

/// The arguments of a command, as a shell splits them: words in single or double quotes, and lines that end with a backslash.
fn arguments(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut escaped, mut begun) =
        (Vec::new(), String::new(), None, false, false);
    for c in command.chars() {
        match (quote, c) {
            _ if escaped => {
                escaped = false;
                if c != '\n' {
                    word.push(c);
                }
            }
            (Some('\''), c) if c != '\'' => word.push(c),
            (_, '\\') => escaped = true,
            (None, '\'' | '"') => {
                quote = Some(c);
                begun = true;
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words
}

/// Sends what a `curl` command sends.
async fn send(app: &TestApp, command: &str, session: &str) -> Reply {
    let command = command.replace("$KEY", KEY).replace("$SESSION", session);
    let mut words = arguments(&command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"));
    let (mut method, mut url, mut headers, mut body) = (Method::GET, String::new(), Vec::new(), None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => method = words.next().unwrap().parse().unwrap(),
            "-H" => headers.push(words.next().unwrap()),
            "--cookie" => headers.push(format!("Cookie: {}", words.next().unwrap())),
            "-d" => body = words.next(),
            "--data-urlencode" => {
                headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
                body = words.next();
            }
            _ => url = word,
        }
    }
    let url: Uri = url.parse().unwrap();
    let path = url.path_and_query().unwrap().as_str();
    let mut call = app.call(method, path).host(url.authority().unwrap().as_str());
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        let name: &'static str = Box::leak(name.to_lowercase().into_boxed_str());
        call = call.header(name, value);
    }
    call.body(body.unwrap_or_default()).send().await
}

/// The status of the response to the example of a call. Where an example names something that is not there, the service says so.
fn expected(id: &str) -> u16 {
    match id {
        "createKey" | "createLink" | "noteConsent" | "notePrivacyRequest" => 201,
        "rotateKey"
        | "revokeKey"
        | "revokeLink"
        | "extendPrivacyRequest"
        | "exportPerson"
        | "erasePerson"
        | "openLink" => 404,
        "signIn" | "signOut" => 303,
        _ => 200,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_an_example_for_curl_that_works() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let signed_in = app.form("/session", &format!("key={KEY}")).host("localhost").send().await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let session = cookie.strip_prefix("mlops_session=").unwrap();
    for call in calls() {
        let page = app.get(&format!("/docs/{}", call.doc.group.name())).send().await;
        assert_eq!(page.status, 200);
        // Signing in ends the session that the browser had.
        let id = call.doc.id;
        let reply = send(&app, &sample(page.text(), id, "curl"), session).await;
        assert_eq!(reply.status, expected(id), "{id}: {}", String::from_utf8_lossy(&reply.body));
    }
    assert_eq!(backend.rows().await, 2, "an event, and a batch of one");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_an_example_in_python_and_typescript() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let mut programs = Vec::new();
    for call in calls() {
        let page = app.get(&format!("/docs/{}", call.doc.group.name())).send().await;
        let (python, typescript) =
            (sample(page.text(), call.doc.id, "Python"), sample(page.text(), call.doc.id, "TypeScript"));
        let is_client = matches!(call.doc.id, "track" | "trackBatch");
        assert_eq!(python.contains("from mlops_service_client import Client"), is_client, "{python}");
        assert_eq!(python.contains("urllib.request.urlopen"), !is_client, "{python}");
        assert_eq!(typescript.contains("from \"@mlops-service/client\""), is_client, "{typescript}");
        assert_eq!(typescript.contains("await fetch("), !is_client, "{typescript}");
        assert!(!page.text().contains(KEY), "no secret is on a page");
        programs.push(python);
    }
    // Python reads them all.
    let check = "import ast, json, sys\nfor program in json.load(sys.stdin):\n    ast.parse(program)";
    let python =
        Command::new("python3").args(["-c", check]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut python = python.expect("the scripts of this project need Python 3");
    python.stdin.take().unwrap().write_all(serde_json::to_string(&programs).unwrap().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_bounds_defaults_quotas_and_errors() {
    let backend = Backend::sqlite();
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_TRACK", "7/hour")]).await;
    let events = app.get("/docs/events").send().await;
    let text = unescaped(events.text());
    for shown in [
        "7 per 1 hour",
        "string of 1 to 255 characters",
        "number, 0 to 2147483647",
        "number, 0 to 9999.999999",
        "gemini-1.5-flash",
        "Missing required field: business_id",
        "Failed to store metrics in database",
        "429 Too Many Requests",
        "Idempotency-Key",
        "application/x-ndjson",
    ] {
        assert!(text.contains(shown), "{shown:?} is not in: {text}");
    }
    let analytics = app.get("/docs/analytics").send().await;
    for shown in ["metrics.human_handoffs", "businesses[].name", "series[].p95_ms", "whole number, 1 to 366"]
    {
        assert!(unescaped(analytics.text()).contains(shown), "{shown}");
    }
    app.get("/docs/nothing").send().await.refused(404, "Not Found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_leads_to_every_call_and_needs_no_script() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let index = app.get("/docs").send().await;
    assert_eq!(index.status, 200);
    let policy = index.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for call in calls() {
        let link = format!("href=\"/docs/{}#{}\"", call.doc.group.name(), call.doc.id);
        assert!(index.text().contains(&link), "{link}");
    }
    for group in Group::VARIANTS {
        let page = app.get(&format!("/docs/{}", group.name())).send().await;
        assert!(
            !page.text().contains("style=") && page.text().matches("<script").count() == 1,
            "{}",
            group.name()
        );
        let again = app
            .get(&format!("/docs/{}", group.name()))
            .header("if-none-match", page.header("etag"))
            .send()
            .await;
        assert_eq!(again.status, 304);
    }
    assert!(app.get("/").send().await.text().contains("href=\"/docs\""));
}
