//! `mlops-service prices`, and what a wrong `PRICES_FILE` does to every command.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::file;
use crate::harness::{Backend, TestApp, command, event, on_every_backend};

on_every_backend! {
    models_without_a_price_are_told,
}

/// Writes a file of prices into the folder of `backend`. Returns its path.
fn written(backend: &Backend, rows: &[&str]) -> String {
    let path = backend.folder.path().join("prices.csv");
    fs::write(&path, file(rows)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs the program. Returns its exit code, and what it writes to standard output and standard error.
fn run(backend: &Backend, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String, String) {
    let output = command(backend, settings).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_that_hold_today_are_listed() {
    let backend = Backend::sqlite();
    let path = written(
        &backend,
        &["acme,exact,our-model,,0,1.25,2,,,,2026-11-01", "acme,exact,late,2099-01-01,0,1,2,,,,"],
    );
    let (code, listed, _) = run(&backend, &["prices", "list"], &[("PRICES_FILE", &path)]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = listed.lines().collect();
    let place = lines[0].find("MODEL").unwrap();
    let own: Vec<&&str> = lines.iter().filter(|line| line.ends_with("PRICES_FILE")).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(own[0][place..].starts_with("our-model") && own[0].contains("1.25"), "{own:?}");
    assert!(
        lines.iter().any(|line| line[place..].starts_with("gemini-1.5-flash ") && line.ends_with("built-in"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_model_is_shown_with_the_reason() {
    let backend = Backend::sqlite();
    let show = |model: &str, settings: &[(&str, &str)]| {
        run(&backend, &["prices", "list", "--model", model], settings)
    };
    let (code, shown, _) = show("models/google/Gemini-1.5-Flash-002", &[]);
    assert_eq!(code, 0);
    assert!(shown.contains("Priced by: google contains gemini-1.5-flash\n"), "{shown}");
    assert!(
        shown.contains("\"gemini-1.5-flash-002\" with the rows of google") && shown.contains("128000"),
        "{shown}"
    );
    let (code, shown, _) = show("nobody's", &[]);
    assert!(code == 1 && shown.contains("no price: no row matches"), "{shown}");
    let path = written(&backend, &["acme,exact,shared,,0,1,2,,,,", "bolt,exact,shared,,0,2,2,,,,"]);
    let (code, shown, _) = show("shared", &[("PRICES_FILE", &path)]);
    assert!(code == 1 && shown.contains("providers ask different prices"), "{shown}");
}

/// Runs a checklist in JSON. Returns the exit code and the findings.
fn findings(backend: &Backend, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let (code, told, log) = run(backend, arguments, settings);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{log}"));
    (code, told["checks"].as_array().unwrap().clone())
}

#[track_caller]
fn assert_finding(findings: &[Value], check: &str, verdict: &str, found: &str) {
    let finding =
        findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!(finding["verdict"], verdict, "{finding}");
    assert!(finding["found"].as_str().unwrap().contains(found), "{finding}");
}

const CHECK: [&str; 3] = ["prices", "check", "--json"];

async fn models_without_a_price_are_told(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    assert_finding(&findings(&backend, &CHECK, &[]).1, "prices-models", "ok", "1 models");
    for _ in 0..2 {
        app.track(&event(json!({"model_name": "our-model"}))).await.ok();
    }
    let (code, told) = findings(&backend, &CHECK, &[]);
    assert_eq!(code, 1);
    assert_finding(&told, "prices-models", "wrong", "1 of 2 models have no price: our-model (2 events)");
    let path = written(&backend, &["acme,exact,our-model,,0,1,2,,,,2026-11-01"]);
    let (code, told) = findings(&backend, &CHECK, &[("PRICES_FILE", &path)]);
    assert_finding(&told, "prices-models", "ok", "2 models");
    assert_finding(&told, "prices-file", "ok", "1 rows");
    assert_eq!(code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_about_to_change_and_old_figures_are_told() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let today = crate::harness::real_now().date_naive();
    let at = |days: i64| today + chrono::TimeDelta::days(days);
    let rows = [
        format!("acme,exact,dear,,0,1,2,,,,{today}"),
        format!("acme,exact,dear,{},0,1.5,2,,,,{today}", at(60)),
        format!("acme,exact,dearer,,0,1,2,,,,{}", at(-365)),
        format!("acme,exact,dearer,{},0,2,2,,,,{today}", at(61)),
    ];
    let path = written(&backend, &rows.each_ref().map(String::as_str));
    let (_, told) = findings(&backend, &CHECK, &[("PRICES_FILE", &path)]);
    let change = format!("acme exact dear from {}: input 1 to 1.5, output 2 to 2", at(60));
    assert_finding(&told, "prices-changes", "warning", &change);
    assert!(!told.iter().any(|finding| finding["found"].as_str().unwrap().contains("dearer")), "{told:?}");
    let old = format!("acme,exact,old,,0,1,2,,,,{}", at(-366));
    let path = written(&backend, &[&old, "acme,exact,undated,,0,1,2,,,,"]);
    let (_, told) = findings(&backend, &CHECK, &[("PRICES_FILE", &path)]);
    assert_finding(&told, "prices-age", "warning", "acme exact old; acme exact undated");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_models_are_not_checked() {
    let backend = Backend::sqlite();
    let (code, told) = findings(&backend, &CHECK, &[]);
    assert_eq!(code, 1);
    assert_finding(&told, "database", "wrong", "does not exist");
    assert_finding(&told, "prices-models", "not_applicable", "database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_everyone_may_write_is_told_by_the_checklist() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    assert_finding(
        &findings(&backend, &["check", "--json"], &[]).1,
        "prices-file",
        "not_applicable",
        "built-in",
    );
    let path = written(&backend, &["acme,exact,m,,0,1,2,,,,"]);
    let check = || findings(&backend, &["check", "--json"], &[("PRICES_FILE", &path)]).1;
    assert_finding(&check(), "prices-file", "ok", "1 rows");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert_finding(&check(), "prices-file", "wrong", "everyone");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_refuse_the_start_with_file_line_and_reason() {
    let backend = Backend::sqlite();
    let twice = "acme,exact,m,,0,1,2,,,,";
    let path = written(&backend, &[twice, "acme,exact,n,,0,-1,2,,,,", twice]);
    let settings = [("PRICES_FILE", path.as_str()), ("SERVICE_HOST", "nowhere")];
    for arguments in [&[][..], &["check"], &["prices", "list"]] {
        let (code, _, told) = run(&backend, arguments, &settings);
        assert_eq!(code, 2, "{told}");
        for expected in [
            format!("{path}: line 3: input must be"),
            format!("{path}: line 4: has the provider, match, model"),
            "SERVICE_HOST must be".to_owned(),
        ] {
            assert!(told.contains(&expected), "{expected}: {told}");
        }
    }
    let (code, told) = findings(&backend, &["check", "--json"], &settings);
    assert_eq!((code, told.len()), (2, 3), "{told:?}");
    let unknown = file(&[twice]).replace("output", "price");
    fs::write(&path, unknown).unwrap();
    let (code, _, told) = run(&backend, &[], &settings[..1]);
    assert!(code == 2 && told.contains(&format!("{path}: line 1: column 7 is unknown")), "{told}");
    fs::write(&path, b"\xff").unwrap();
    let (code, _, told) = run(&backend, &[], &settings[..1]);
    assert!(code == 2 && told.contains("PRICES_FILE names a file that cannot be read"), "{told}");
    fs::remove_file(&path).unwrap();
    let (code, _, told) = run(&backend, &[], &settings[..1]);
    assert!(code == 2 && told.contains("PRICES_FILE names a file that cannot be read"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_wrong_rows_than_can_be_read_are_counted() {
    let backend = Backend::sqlite();
    let rows: Vec<String> = (0..60).map(|number| format!("acme,exact,m{number},,0,-1,2,,,,")).collect();
    let path = written(&backend, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, _, told) = run(&backend, &["prices", "list"], &[("PRICES_FILE", &path)]);
    assert_eq!((code, told.matches("input must be").count()), (2, 50), "{told}");
    assert!(told.contains("10 more rows are wrong"), "{told}");
}
