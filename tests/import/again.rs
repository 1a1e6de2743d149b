//! A row counts once: however often it is imported, wherever an import was interrupted, and if it is here already.

use std::process::Stdio;

use chrono::TimeDelta;
use serde_json::json;

use super::{
    counted, csv_of, expect, failure, import, import_text, migrate, minutes_ago, text_of, write_file, written,
};
use crate::harness::{
    Backend, Service, TestApp, command, event, eventually, http_client, insert_as_the_app, on_every_backend,
    real_now,
};

on_every_backend! { partitioned:
    a_second_import_stores_nothing,
    an_import_that_was_killed_goes_on,
    an_import_that_is_interrupted_says_how_far_it_came,
    a_row_that_another_program_inserted_here_is_the_same_event,
    an_export_of_rows_that_another_program_inserted_changes_nothing_here,
    what_was_reported_is_known,
    a_row_of_another_time_is_another_event,
    the_service_runs_meanwhile,
}

async fn a_second_import_stores_nothing(backend: Backend) {
    let file = write_file(&backend, "metrics.csv", csv_of(2_500) + csv_of(1).lines().nth(1).unwrap() + "\n");
    let arguments = ["--from", text_of(&file)];
    // The last row is not the first one again: it is of another time.
    expect(&import(&backend, &[], &arguments), [2_501, 2_501, 0, 0]);
    expect(&import(&backend, &[], &arguments), [2_501, 0, 2_501, 0]);
    let twice = std::fs::read_to_string(&file).unwrap();
    let twice = twice.clone() + twice.split_once('\n').unwrap().1;
    expect(&import_text(&backend, &[], twice.as_bytes()), [5_002, 0, 5_002, 0]);
    assert_eq!((backend.rows().await, counted(&backend).await), (2_501, 2_501));
    assert_eq!(backend.number("select count(*) from mlops_undigested").await, 0, "facts are built");
    assert_eq!(backend.number("select sum(answers) from mlops_conversation_daily").await, 2_501);
}

async fn an_import_that_was_killed_goes_on(backend: Backend) {
    migrate(&backend).await;
    let rows: u64 = 30_000;
    let file = write_file(&backend, "metrics.csv", csv_of(30_000));
    let mut child = command(&backend, &[("RETENTION_DAYS", "off")]);
    child.args(["import", "--from", text_of(&file)]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    eventually("some rows are imported", async || backend.rows().await > 0).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let stored = backend.rows().await.unsigned_abs();
    assert!(stored < rows, "it was killed too late to tell");
    let output = import(&backend, &[("RETENTION_DAYS", "off")], &["--from", text_of(&file)]);
    // A transaction may have been committed after the count.
    let summary = super::summary(&output);
    assert!(
        summary["known already"] >= stored && summary["stored"] + summary["known already"] == rows,
        "{summary:?}"
    );
    let rows = rows.cast_signed();
    assert_eq!((backend.rows().await, counted(&backend).await), (rows, rows));
    assert_eq!(backend.number("select sum(answers) from mlops_conversation_daily").await, rows);
}

async fn an_import_that_is_interrupted_says_how_far_it_came(backend: Backend) {
    migrate(&backend).await;
    let mut child = command(&backend, &[("RETENTION_DAYS", "off")]);
    child.args(["import", "--from", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // Standard input stays open: there may be more to come.
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, csv_of(12_000).as_bytes()).unwrap();
    eventually("some rows are imported", async || backend.rows().await >= 10_000).await;
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let told = failure(&output, 1);
    assert!(told.contains("interrupted") && told.contains("run it again"), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    let stored = backend.rows().await;
    assert!(text.replace(',', "").contains(&format!("{stored} stored")), "{text}");
    assert_eq!(counted(&backend).await, stored);
    let outcomes = backend.texts("select details from mlops_audit where action = 'import.ended'").await;
    assert!(outcomes.len() == 1 && outcomes[0].contains("interrupted"), "{outcomes:?}");
    drop(input);
}

async fn a_row_that_another_program_inserted_here_is_the_same_event(backend: Backend) {
    migrate(&backend).await;
    for session in ["s-1", "s-1", "s-2"] {
        insert_as_the_app(&backend, session, 300).await;
    }
    // Two with the session s-1, as there are two such rows, and a third.
    let line = |session: &str, n: i64| {
        let at = written(real_now() - TimeDelta::minutes(300) + TimeDelta::seconds(n));
        let event = event(json!({"session_id": session, "created_at": at}));
        event.to_string() + "\n"
    };
    let lines = [line("s-1", 1), line("s-1", 2), line("s-1", 3), line("s-2", 1), line("s-3", 1)].concat();
    expect(&import_text(&backend, &[], lines.as_bytes()), [5, 5, 0, 0]);
    assert_eq!(backend.rows().await, 5, "three of them were here");
    let app = TestApp::open(&backend).await;
    app.post("/refresh-metrics").send().await.ok();
    assert_eq!((counted(&backend).await, app.metric("ai_response_time_seconds_count").await), (5, Some(5.0)));
    expect(&import_text(&backend, &[], lines.as_bytes()), [5, 0, 5, 0]);
    assert_eq!((backend.rows().await, counted(&backend).await), (5, 5));
}

async fn an_export_of_rows_that_another_program_inserted_changes_nothing_here(backend: Backend) {
    migrate(&backend).await;
    for (session, minutes) in [("s-1", 300), ("s-2", 5), ("s-2", 5), ("s-3", 100_000)] {
        insert_as_the_app(&backend, session, minutes).await;
    }
    // Counted as rows that nobody will report any more, and as some that /track may still claim.
    let app = TestApp::open(&backend).await;
    app.post("/refresh-metrics").send().await.ok();
    assert_eq!(counted(&backend).await, 4);
    app.stop().await;
    let output = command(&backend, &[]).args(["export", "events"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for _ in 0..2 {
        let settings = [("RETENTION_DAYS", "off")];
        expect(&import_text(&backend, &settings, &output.stdout), [4, 0, 4, 0]);
        assert_eq!((backend.rows().await, counted(&backend).await), (4, 4));
    }
}

async fn what_was_reported_is_known(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    app.track(&event(json!({"event_id": id}))).await.ok();
    let line = event(json!({"event_id": id, "created_at": minutes_ago(0)}));
    expect(&import_text(&backend, &[], line.to_string().as_bytes()), [1, 0, 1, 0]);
    let other = event(json!({"event_id": id, "business_id": "bolt", "created_at": minutes_ago(0)}));
    expect(&import_text(&backend, &[], other.to_string().as_bytes()), [1, 1, 0, 0]);
    let repeated = app.track(&other).await.ok();
    assert_eq!(repeated["duplicate"], true, "what was imported is known to /track as well");
    assert_eq!(counted(&backend).await, 2);
}

async fn a_row_of_another_time_is_another_event(backend: Backend) {
    migrate(&backend).await;
    insert_as_the_app(&backend, "s-1", 2).await;
    // The same values, months before: not the row that is about to be reported.
    let line = event(json!({"session_id": "s-1", "created_at": written(real_now() - TimeDelta::days(60))}));
    expect(&import_text(&backend, &[], line.to_string().as_bytes()), [1, 1, 0, 0]);
    assert_eq!(backend.rows().await, 2);
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({"session_id": "s-1"}))).await.ok();
    assert_eq!((backend.rows().await, counted(&backend).await), (2, 2), "/track claims its row");
}

async fn the_service_runs_meanwhile(backend: Backend) {
    let settings =
        [("RATE_LIMIT_TRACK", "off"), ("RATE_LIMIT_REFRESH_METRICS", "off"), ("RETENTION_DAYS", "off")];
    let service = Service::start(&backend, &settings);
    let file = write_file(&backend, "metrics.csv", csv_of(20_000));
    let mut child = command(&backend, &[("RETENTION_DAYS", "off")]);
    let mut child = child.args(["import", "--from", text_of(&file)]).stdout(Stdio::null()).spawn().unwrap();
    let mut tracked = 0_i64;
    while child.try_wait().unwrap().is_none() {
        let report = event(
            json!({"session_id": format!("live-{tracked}"), "event_id": uuid::Uuid::from_u64_pair(7, tracked.unsigned_abs()).to_string()}),
        );
        let send = async || {
            let sent = http_client().post(service.url("/track")).json(&report).send().await.unwrap();
            sent.status() == 200
        };
        match backend.is_postgres() {
            true => assert!(send().await, "an event is taken while rows are imported"),
            // A file has one writer at a time, and a slow one holds up the others; clients try again.
            false => eventually("an event is taken while rows are imported", send).await,
        }
        tracked += 1;
    }
    assert!(child.wait().unwrap().success() && tracked > 0);
    http_client().post(service.url("/refresh-metrics")).send().await.unwrap();
    let metrics = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let all = 20_000 + tracked;
    assert!(
        metrics.contains(&format!("\nai_response_time_seconds_count {all}\n")),
        "{tracked} beside the import"
    );
    assert_eq!((backend.rows().await, counted(&backend).await), (all, all));
}
