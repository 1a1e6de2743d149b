//! `mlops-service retention run`, as cron calls it.

use std::process::Output;

use super::insert_old;
use crate::harness::{Backend, command, on_every_backend, real_now};

on_every_backend! {
    the_command_tells_what_it_deleted_and_a_dry_run_what_it_would,
    the_command_shows_its_progress,
    the_command_says_that_another_run_is_under_way,
    the_start_says_how_long_everything_is_kept,
}

fn retention(backend: &Backend, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    command(backend, settings).args(["retention", "run"]).args(arguments).output().unwrap()
}

/// The words of the line that begins with the name of a table.
fn line(output: &Output, table: &str) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(table));
    line.unwrap_or_else(|| panic!("{table} in {text}")).split_whitespace().map(str::to_owned).collect()
}

async fn the_command_tells_what_it_deleted_and_a_dry_run_what_it_would(backend: Backend) {
    drop(backend.store(&[]).await);
    insert_old(&backend, 250, real_now(), 31).await;
    let settings = [("RETENTION_DAYS", "30")];
    for (arguments, left) in [(&["--dry-run"][..], 250), (&[], 0)] {
        let output = retention(&backend, arguments, &settings);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let events = line(&output, "ai_metrics");
        assert_eq!((events[1].as_str(), events.last().unwrap().as_str()), ("30", "250"));
        assert_eq!(line(&output, "messages")[1..], ["off", "-", "kept"]);
        assert_eq!(line(&output, "mlops_audit").last().unwrap(), "0");
        assert_eq!(backend.rows().await, left);
    }
    let told = backend.number("select count(*) from mlops_audit where actor = 'command line'").await;
    assert_eq!(told, 2);
}

async fn the_command_shows_its_progress(backend: Backend) {
    drop(backend.store(&[]).await);
    insert_old(&backend, 250, real_now(), 31).await;
    for (arguments, done) in [(&["--dry-run"][..], "to delete"), (&[], "deleted")] {
        let output = retention(&backend, arguments, &[("RETENTION_DAYS", "30")]);
        let (told, result) =
            (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
        let line = format!("ai_metrics: 250 rows {done}, 100 % of the table read");
        assert_eq!(told.lines().filter(|told| **told == line).count(), 1, "{told}");
        assert!(!told.contains('\r') && !told.contains('\x1b'), "it is no terminal: {told}");
        assert!(!told.contains("mlops_consents"), "nothing was to be done there: {told}");
        assert!(!result.contains('%'), "{result}");
    }
}

async fn the_command_says_that_another_run_is_under_way(backend: Backend) {
    let store = backend.store(&[]).await;
    let lock = store.lock_retention().await.unwrap().unwrap();
    let output = retention(&backend, &[], &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("another run is in progress"), "{told}");
    lock.release().await;
    assert_eq!(retention(&backend, &[], &[]).status.code(), Some(0));
    assert_eq!(retention(&backend, &[], &[("RETENTION_AT", "3am")]).status.code(), Some(2));
}

async fn the_start_says_how_long_everything_is_kept(backend: Backend) {
    let settings = [("RETENTION_AT", "04:15"), ("TIME_ZONE", "Europe/Berlin"), ("RETENTION_CHATS_DAYS", "1")];
    let service = crate::harness::Service::start(&backend, &settings);
    let line = "🧹 Retention: events 90 days, chats 1 day, appointments off, audit trail 730 days; \
                every day at 04:15 (Europe/Berlin)";
    assert!(service.banner.contains(line), "{}", service.banner);
}
