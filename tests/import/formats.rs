//! What can be read, and what is told of what cannot.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{
    HEAD, counted, csv_of, expect, failure, import, import_text, migrate, minutes_ago, row, text_of,
    write_file,
};
use crate::harness::{Backend, on_every_backend};

on_every_backend! {
    the_same_rows_are_the_same_events_in_every_format,
    what_a_row_says_is_stored,
    an_empty_text_is_not_null,
    columns_that_are_not_read_are_named,
    what_cannot_be_read_is_told_and_nothing_is_stored,
    a_dry_run_says_what_would_be_done_and_does_nothing,
}

async fn the_same_rows_are_the_same_events_in_every_format(backend: Backend) {
    let at = [minutes_ago(30), minutes_ago(31), minutes_ago(32)];
    let rows = [row(1, "acme", &at[0]), row(2, "bolt", &at[1]), row(3, "acme", &at[2])];
    let csv = format!("{HEAD}\n{}\n", rows.join("\n"));
    let file = write_file(&backend, "metrics.csv", &csv);
    expect(&import(&backend, &[], &["--from", text_of(&file)]), [3, 3, 0, 0]);
    assert_eq!((backend.rows().await, counted(&backend).await), (3, 3));

    let again = |output| expect(&output, [3, 0, 3, 0]);
    let windows = format!("\u{feff}{}", csv.replace('\n', "\r\n"));
    again(import_text(&backend, &[], windows.as_bytes()));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    again(import_text(&backend, &[], &gzip.finish().unwrap()));
    // Columns in another order, nulls as COPY in text writes them, booleans as SQLite does, and times with an offset.
    let reordered: Vec<String> =
        csv.lines().map(|line| line.split(',').rev().collect::<Vec<_>>().join(",")).collect();
    let reordered = reordered.join("\n").replace(",t,", ",1,").replace(",f,", ",0,");
    again(import_text(&backend, &[], reordered.as_bytes()));
    let lines = (1..=3).map(|id: u32| {
        let business = if id == 2 { "bolt" } else { "acme" };
        let at = at[id as usize - 1].replace(' ', "T") + "Z";
        let row = json!({"id": id, "business_id": business, "conversation_id": format!("c-{id}"), "session_id": format!("s-{id}"),
            "response_time_ms": 150, "success_rate": "0.9500", "tokens_used": 75, "prompt_tokens": 50, "completion_tokens": 25,
            "api_cost_usd": 0.002, "model_name": "gemini-1.5-flash", "intent_detected": "appointment", "appointment_requested": true,
            "human_handoff_requested": 0, "appointment_booked": false, "user_message_length": 42, "ai_response_length": 120,
            "response_type": "booking", "created_at": at, "newer": [1, {"x": 2}]});
        row.to_string() + "\n\n"
    });
    again(import_text(&backend, &[], lines.collect::<String>().as_bytes()));
    assert_eq!((backend.rows().await, counted(&backend).await), (3, 3));
}

async fn what_a_row_says_is_stored(backend: Backend) {
    let at = minutes_ago(90);
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let report = json!({"business_id": "acme", "response_time_ms": 1234.5, "tokens_used": 7, "event_id": id, "handoff_reason": "angry",
        "user_satisfaction": 0.25, "reasoning_tokens": 3, "timestamp": at});
    expect(&import_text(&backend, &[], report.to_string().as_bytes()), [1, 1, 0, 0]);
    let all = "business_id || '|' || session_id || '|' || response_time_ms || '|' || tokens_used || '|' || handoff_reason || '|' ||
        reasoning_tokens || '|' || model_name || '|' || intent_detected";
    let stored = backend.texts(&format!("select {all} from ai_metrics")).await;
    assert_eq!(stored, ["acme|unknown|1235|7|angry|3|gemini-1.5-flash|unknown"]);
    let time = backend.number(&format!("select count(*) from ai_metrics where created_at = '{at}'")).await;
    let named = match backend.is_postgres() {
        true => format!("event_id = '{id}'"),
        false => format!("lower(hex(event_id)) = '{}'", id.replace('-', "")),
    };
    let named = backend
        .number(&format!("select count(*) from ai_metrics where {named} and conversation_id is null"))
        .await;
    assert_eq!((time, named), (1, 1));
}

async fn an_empty_text_is_not_null(backend: Backend) {
    let head =
        "business_id,response_time_ms,tokens_used,created_at,conversation_id,session_id,intent_detected";
    let at = minutes_ago(90);
    let csv = format!("{head}\nacme,1,1,{at},\"\",\"\",\"\"\nacme,2,1,{at},,,\\N\n");
    expect(&import_text(&backend, &[], csv.as_bytes()), [2, 2, 0, 0]);
    let texts =
        "'[' || coalesce(conversation_id, 'null') || '|' || session_id || '|' || intent_detected || ']'";
    let stored = backend.texts(&format!("select {texts} from ai_metrics order by response_time_ms")).await;
    assert_eq!(stored, ["[||]", "[null|unknown|unknown]"]);
}

async fn columns_that_are_not_read_are_named(backend: Backend) {
    let csv = csv_of(2).replacen("id,", "tenant,id,", 1).replace("\n1,", "\nx,1,").replace("\n2,", "\ny,2,");
    let output = import_text(&backend, &[], csv.as_bytes());
    expect(&output, [2, 2, 0, 0]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Columns that are not read: tenant"),
        "{output:?}"
    );
}

async fn what_cannot_be_read_is_told_and_nothing_is_stored(backend: Backend) {
    migrate(&backend).await;
    let headless = csv_of(1).lines().nth(1).unwrap().to_owned();
    let untimed = csv_of(1).replace("created_at", "at");
    for (text, told) in [
        (&b""[..], "there is nothing to read"),
        (b"\xff\xfeb\0u\0s\0", "UTF-16"),
        (b"[{\"business_id\":\"acme\"}]", "JSON array"),
        (headless.as_bytes(), "no column business_id"),
        (untimed.as_bytes(), "no column created_at"),
        (b"\x1f\x8bbroken", "cannot read on"),
    ] {
        let told_here = failure(&import_text(&backend, &[], text), 1);
        assert!(told_here.contains(told), "{told_here}");
    }
    let missing = failure(&import(&backend, &[], &["--from", "/nowhere/metrics.csv"]), 1);
    assert!(missing.contains("/nowhere/metrics.csv"), "{missing}");
    let folder = failure(&import(&backend, &[], &["--from", "."]), 1);
    assert!(folder.contains("cannot open ."), "{folder}");
    let unset = failure(&import(&backend, &[("STORE_TIMEOUT", "nonsense")], &[]), 2);
    assert!(unset.contains("IMPORT_FROM must be set") && unset.contains("STORE_TIMEOUT"), "{unset}");
    let url = failure(&import(&backend, &[], &["--from", "mysql://user:s3cret@host/db"]), 2);
    assert!(url.contains("IMPORT_FROM") && !url.contains("s3cret"), "{url}");
    assert_eq!(backend.rows().await, 0);
}

async fn a_dry_run_says_what_would_be_done_and_does_nothing(backend: Backend) {
    let first = csv_of(3);
    expect(&import_text(&backend, &[], first.as_bytes()), [3, 3, 0, 0]);
    let bad = row(9, "", &minutes_ago(20));
    let old = row(8, "acme", "2020-01-01 00:00:00");
    let file = write_file(
        &backend,
        "more.csv",
        format!("{first}{}\n{bad}\n{old}\n", row(7, "acme", &minutes_ago(20))),
    );
    let audited = async || backend.number("select count(*) from mlops_audit").await;
    let before = audited().await;
    let output = import(&backend, &[], &["--dry-run", "--from", text_of(&file)]);
    let summary = super::summary(&output);
    for (what, rows) in [
        ("rows read", 6),
        ("would be stored", 1),
        ("would be counted", 1),
        ("known already", 3),
        ("refused", 1),
    ] {
        assert_eq!(summary.get(what), Some(&rows), "{summary:?}");
    }
    assert_eq!((backend.rows().await, counted(&backend).await, audited().await), (3, 3, before));
}
