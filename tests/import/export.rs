//! What is exported, where it goes, and what is told of it.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::{HEAD, expect, failure, import_text, migrate, row};
use crate::harness::{Backend, command, insert_as_the_app, on_every_backend};

on_every_backend! {
    a_business_and_days_can_be_chosen,
    a_file_is_whole_and_its_owners_alone,
    both_acts_are_in_the_audit_trail,
    an_empty_database_has_an_empty_export,
    rows_of_other_programs_have_no_event_id,
}

fn export(backend: &Backend, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(backend, settings).args(["export", "events"]).args(arguments).output().unwrap()
}

/// The values of a column of an export in CSV.
fn column(output: &Output, name: &str) -> Vec<String> {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let at = reader.headers().unwrap().iter().position(|head| head == name).unwrap();
    reader.records().map(|row| row.unwrap()[at].to_owned()).collect()
}

const OFF: [(&str, &str); 1] = [("RETENTION_DAYS", "off")];

fn with_rows(backend: &Backend) {
    let rows = [
        row(1, "acme", "2026-03-01 10:30:00"),
        row(2, "bolt", "2026-03-01 23:30:00.5"),
        row(3, "acme", "2026-03-02 00:30:00"),
        row(4, "acme", "2026-03-02 23:59:59.999999"),
        row(5, "acme", "2026-03-03 00:00:00"),
    ];
    let text = format!("{HEAD}\n{}\n", rows.join("\n"));
    expect(&import_text(backend, &OFF, text.as_bytes()), [5, 5, 0, 0]);
}

async fn a_business_and_days_can_be_chosen(backend: Backend) {
    with_rows(&backend);
    let sessions = |settings: &[(&str, &str)], arguments: &[&str]| {
        column(&export(&backend, settings, arguments), "session_id").join(" ")
    };
    assert_eq!(sessions(&OFF, &[]), "s-1 s-2 s-3 s-4 s-5");
    assert_eq!(sessions(&OFF, &["--business", "acme", "--to", "2026-03-02"]), "s-1 s-3 s-4");
    assert_eq!(sessions(&OFF, &["--from", "2026-03-02", "--to", "2026-03-02"]), "s-3 s-4");
    // There, the second of March begins an hour earlier, and ends an hour earlier.
    let berlin = [OFF[0], ("TIME_ZONE", "Europe/Berlin")];
    assert_eq!(sessions(&berlin, &["--from", "2026-03-02", "--to", "2026-03-02"]), "s-2 s-3");
    let zone =
        command(&backend, &OFF).args(["business", "set", "acme", "--time-zone", "Europe/Berlin"]).status();
    assert!(zone.unwrap().success());
    assert_eq!(sessions(&OFF, &["--business", "acme", "--from", "2026-03-03"]), "s-4 s-5");
    assert_eq!(sessions(&OFF, &["--business", "nobody"]), "");
}

async fn a_file_is_whole_and_its_owners_alone(backend: Backend) {
    with_rows(&backend);
    let path = backend.folder.path().join("all.csv.gz");
    std::fs::write(&path, "an older one").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = export(&backend, &OFF, &["--output", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("5 events exported"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(!backend.folder.path().join("all.csv.gz.part").exists());
    let told = failure(&export(&backend, &OFF, &["--output", "/nowhere/all.csv"]), 1);
    assert!(told.contains("cannot write the export"), "{told}");
    // A reader that wants no more.
    let mut child = command(&backend, &OFF);
    let mut child =
        child.args(["export", "events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

async fn both_acts_are_in_the_audit_trail(backend: Backend) {
    with_rows(&backend);
    assert!(export(&backend, &OFF, &["--business", "acme", "--from", "2026-03-02"]).status.success());
    let entries =
        backend.texts("select action || ' ' || actor || ' ' || details from mlops_audit order by seq").await;
    let told: Vec<(&str, Value)> = entries
        .iter()
        .filter(|entry| entry.starts_with("import.") || entry.starts_with("export."))
        .map(|entry| {
            let (action, details) = entry.split_once(" command line ").unwrap();
            (action, serde_json::from_str(details).unwrap())
        })
        .collect();
    let actions: Vec<&str> = told.iter().map(|(action, _)| *action).collect();
    assert_eq!(actions, ["import.begun", "import.ended", "export.begun", "export.ended"]);
    let imported = serde_json::json!({"outcome": "done", "read": 5, "stored": 5, "beyond_retention": 0, "not_kept": 0, "known": 0,
        "refused": 0});
    assert_eq!(told[1].1, imported);
    let exported = serde_json::json!({"outcome": "done", "rows": 3, "business_id": "acme", "from": "2026-03-02T00:00:00.000000+00:00"});
    assert_eq!(told[3].1, exported);
    let verified = command(&backend, &OFF).args(["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

async fn an_empty_database_has_an_empty_export(backend: Backend) {
    migrate(&backend).await;
    assert_eq!(column(&export(&backend, &[], &[]), "session_id"), [""; 0]);
    assert_eq!(export(&backend, &[], &["--format", "ndjson"]).stdout, b"");
}

async fn rows_of_other_programs_have_no_event_id(backend: Backend) {
    migrate(&backend).await;
    for minutes in [5, 500] {
        insert_as_the_app(&backend, "s-1", minutes).await;
    }
    let uncounted = export(&backend, &[], &[]);
    assert_eq!(
        (column(&uncounted, "event_id"), column(&uncounted, "id")),
        (vec![String::new(); 2], vec!["1".to_owned(), "2".to_owned()])
    );
    let app = crate::harness::TestApp::open(&backend).await;
    app.post("/refresh-metrics").send().await.ok();
    app.stop().await;
    assert_eq!(
        export(&backend, &[], &[]).stdout,
        uncounted.stdout,
        "that they are counted is nobody else's business"
    );
}
