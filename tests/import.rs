//! Import and export: what comes from another database or a file is stored as if it had been reported at its time.

mod again;
mod database;
mod export;
mod formats;
mod kept;
mod refused;
mod round_trip;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use chrono::{DateTime, TimeDelta, Utc};

use crate::harness::{Backend, command, real_now};

/// Imports `from` and returns how the command ended.
fn import(backend: &Backend, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(backend, settings).arg("import").args(arguments).output().unwrap()
}

/// Imports a text from standard input.
fn import_text(backend: &Backend, settings: &[(&str, &str)], text: &[u8]) -> Output {
    let mut command = command(backend, settings);
    command
        .args(["import", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended before it read everything.
    drop(child.stdin.take().unwrap().write_all(text));
    child.wait_with_output().unwrap()
}

/// The numbers of the summary, by their words. The exit code tells whether rows were refused.
#[track_caller]
fn summary(output: &Output) -> BTreeMap<String, u64> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter_map(|line| {
        let (number, what) = line.trim().split_once(' ')?;
        let what = what.split([',', ':']).next()?;
        Some((what.to_owned(), number.replace(',', "").parse().ok()?))
    });
    let summary: BTreeMap<_, _> = lines.collect();
    let code = if summary.get("refused") == Some(&0) { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(code), "{text}{told}");
    summary
}

/// Checks the summary of an import: rows read, stored, known already and refused.
#[track_caller]
fn expect(output: &Output, numbers: [u64; 4]) {
    let summary = summary(output);
    let names = ["rows read", "stored", "known already", "refused"];
    assert_eq!(names.map(|name| summary[name]), numbers, "{summary:?}");
}

/// Why a command failed.
#[track_caller]
fn failure(output: &Output, code: i32) -> String {
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

/// Writes a file into the directory of the backend.
fn write_file(backend: &Backend, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = backend.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A time some minutes ago, as databases write it.
fn minutes_ago(minutes: i64) -> String {
    written(real_now() - TimeDelta::minutes(minutes))
}

fn written(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// The first line of CSV with every column of the lab's table.
const HEAD: &str = "id,business_id,conversation_id,session_id,response_time_ms,success_rate,tokens_used,prompt_tokens,completion_tokens,\
    api_cost_usd,model_name,intent_detected,appointment_requested,human_handoff_requested,appointment_booked,user_message_length,\
    ai_response_length,response_type,created_at";

/// A row of it, as `COPY` writes it.
fn row(id: u32, business: &str, at: &str) -> String {
    format!(
        "{id},{business},c-{id},s-{id},150,0.9500,75,50,25,0.002000,gemini-1.5-flash,appointment,t,f,f,42,120,booking,{at}"
    )
}

/// CSV of some rows of `acme`, created one minute after the other until a while ago.
fn csv_of(rows: u32) -> String {
    let lines = (1..=rows).map(|id| row(id, "acme", &minutes_ago(20 + i64::from(rows - id))));
    std::iter::once(HEAD.to_owned()).chain(lines).map(|line| line + "\n").collect()
}

/// Tables as the service creates them.
async fn migrate(backend: &Backend) {
    drop(backend.store(&[]).await);
}

/// How many events the totals tell of.
async fn counted(backend: &Backend) -> i64 {
    let table = if backend.is_postgres() { "ai_totals_now" } else { "ai_totals" };
    backend.number(&format!("select coalesce(sum(events), 0) from {table}")).await
}
