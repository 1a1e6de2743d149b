//! Importing from another Postgres.

use super::{counted, expect, failure, import, migrate, minutes_ago, summary};
use crate::harness::{Backend, LAB_TABLE, Postgres, Tls, on_every_backend};

on_every_backend! {
    the_table_of_the_old_service_is_imported,
}

/// A database of the old service, with some rows as the app inserts them.
async fn lab(rows: u32) -> Backend {
    let source = Backend::postgres().await;
    source.execute(LAB_TABLE).await;
    let at = minutes_ago(60 * 24);
    source
        .execute(&format!(
            "insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
                api_cost_usd, model_name, intent_detected, user_message_length, ai_response_length, response_type, created_at)
             select 'business-' || n % 3, 'c-' || n / 4, '', n, 0.95, 75, 0.002, 'gemini-1.5-flash', 'pricing', 1, 2, 'text',
                timestamp '{at}' + n * interval '1 second' from generate_series(1, {rows}) n"
        ))
        .await;
    source
}

async fn the_table_of_the_old_service_is_imported(backend: Backend) {
    let source = lab(3_000).await;
    source.execute("alter table ai_metrics add tenant text; alter table ai_metrics alter response_time_ms drop not null").await;
    source.execute("update ai_metrics set response_time_ms = null where id = 17").await;
    source.execute("update ai_metrics set created_at = 'infinity' where id = 18").await;
    let output = import(&backend, &[("IMPORT_FROM", &source.url)], &[]);
    expect(&output, [3_000, 2_998, 0, 2]);
    assert_eq!((backend.rows().await, counted(&backend).await), (2_998, 2_998));
    let refused = std::fs::read_to_string(backend.folder.path().join("import.refused.csv")).unwrap();
    assert!(refused.starts_with("id,reason\n") && refused.lines().count() == 3, "{refused}");
    assert!(refused.contains("\n17,Missing required field: response_time_ms"), "{refused}");
    assert!(refused.contains("\n18,\"Invalid value for field: created_at"), "{refused}");
    let empty = backend.number("select count(*) from ai_metrics where session_id = ''").await;
    assert_eq!(empty, 2_998, "an empty session is not an unknown one");
    let columns = source
        .number("select count(*) from information_schema.columns where table_name = 'ai_metrics'")
        .await;
    assert_eq!(columns, 20, "nothing is added to the table of the other database");
    expect(&import(&backend, &[], &["--from", &source.url]), [3_000, 0, 2_998, 2]);
    // The same table as a file.
    let csv = std::process::Command::new(Postgres::psql())
        .args([source.url.as_str(), "-c", "copy ai_metrics to stdout with (format csv, header)"])
        .output()
        .unwrap();
    let again = super::import_text(&backend, &[], &csv.stdout);
    expect(&again, [3_000, 0, 2_998, 2]);
    assert_eq!(counted(&backend).await, 2_998);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_not_imported_into_itself() {
    let backend = Backend::postgres().await;
    migrate(&backend).await;
    let by_address = backend.url.replace("localhost", "127.0.0.1");
    let told = failure(&import(&backend, &[], &["--from", &by_address]), 1);
    assert!(told.contains("is the database that it would be imported into"), "{told}");
    let other = lab(1).await;
    expect(&import(&backend, &[], &["--from", &other.url]), [1, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_source_is_told_without_its_password() {
    let backend = Backend::sqlite();
    let source = Backend::postgres().await;
    let with_password = source.url.replace("postgres@", "postgres:s3cret-word@");
    let output = import(&backend, &[], &["--from", &with_password]);
    let told = failure(&output, 1);
    assert!(told.contains("has no table ai_metrics") && told.contains("set IMPORT_FROM instead"), "{told}");
    assert!(!told.contains("s3cret-word"), "{told}");
    let away = with_password.replace("localhost", "localhost:1/x?y=");
    let told = failure(&import(&backend, &[("IMPORT_FROM", &away)], &[]), 1);
    assert!(told.contains("cannot import from") && !told.contains("s3cret-word"), "{told}");
    let plain = Postgres::start(Tls::Off);
    let url = plain.create_database().await;
    let told = failure(&import(&backend, &[("IMPORT_FROM", &url)], &[]), 1);
    assert!(told.contains("TLS"), "as with DATABASE_URL, encryption is the default: {told}");
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", crate::harness::KEY)];
    let told = failure(&import(&backend, &production, &["--from", &format!("{url}?sslmode=disable")]), 2);
    assert!(told.contains("sslmode=disable") && told.contains("IMPORT_FROM"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_from_a_table_that_goes_away_is_not_done() {
    let backend = Backend::sqlite();
    migrate(&backend).await;
    let server = Postgres::start(Tls::On);
    let source = Backend { url: server.create_database().await, folder: backend.folder.clone() };
    source.execute(LAB_TABLE).await;
    source
        .execute(
            "insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used, api_cost_usd, model_name,
                intent_detected, user_message_length, ai_response_length, response_type)
             select 'acme', repeat('s', 200), n, 1, 1, 0, 'm', 'i', 1, 1, 't' from generate_series(1, 300000) n",
        )
        .await;
    let mut child = crate::harness::command(&backend, &[("IMPORT_FROM", &source.url)]);
    child.arg("import").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    crate::harness::eventually("some rows are imported", async || backend.rows().await > 0).await;
    server.stop();
    let output = child.wait_with_output().unwrap();
    let told = failure(&output, 1);
    assert!(told.contains("the import did not finish"), "{told}");
    assert_eq!(counted(&backend).await, backend.rows().await, "what was stored is counted");
    let done = String::from_utf8(output.stdout).unwrap();
    assert!(done.contains(" stored") && !summary_is_empty(&done), "{done}");
}

fn summary_is_empty(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "0 stored")
}

#[test]
fn the_numbers_of_a_summary_are_read() {
    use std::os::unix::process::ExitStatusExt;
    let stdout = b"  1,234 rows read\n      7 counted, beyond the retention period: only their sums\n      0 refused: see x\n".to_vec();
    let output =
        std::process::Output { status: std::process::ExitStatus::from_raw(0), stdout, stderr: Vec::new() };
    let summary = summary(&output);
    assert_eq!((summary["rows read"], summary["counted"], summary["refused"]), (1_234, 7, 0));
}
