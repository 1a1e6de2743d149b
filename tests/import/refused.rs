//! Rows that are refused: told by their line, with the reason, and nothing of what they say.

use std::os::unix::fs::PermissionsExt;

use super::{HEAD, counted, csv_of, expect, import, import_text, minutes_ago, row, text_of, write_file};
use crate::harness::{Backend, LAB_TABLE, on_every_backend};

on_every_backend! {
    refused_rows_are_told_by_line_and_reason_and_the_others_are_stored,
    lines_of_ndjson_are_refused_one_by_one,
    without_a_refused_row_there_is_no_file,
}

async fn refused_rows_are_told_by_line_and_reason_and_the_others_are_stored(backend: Backend) {
    let at = minutes_ago(30);
    let ahead = minutes_ago(-10);
    let good = row(1, "acme", &at);
    let rows = [
        good.clone(),
        row(2, "", &at),
        row(3, "acme", &at).replace(",150,", ",-150,"),
        // A line break in quotes: the rows behind it still have their own lines.
        row(4, "acme", &at).replace("gemini-1.5-flash", "\"ana@example.com\nAna Secret\""),
        row(5, "acme", &ahead),
        row(6, "acme", ""),
        row(7, "acme", &at) + ",more",
        row(8, "acme", &at).replace(",t,", ",maybe,"),
        row(9, "acme", &at).replace("0.9500", "NaN"),
        row(10, "acme", "infinity"),
        row(11, "acme", &at),
    ];
    let file = write_file(&backend, "metrics.csv", format!("{HEAD}\n{}\n", rows.join("\n")));
    expect(&import(&backend, &[], &["--from", text_of(&file)]), [11, 2, 0, 9]);
    assert_eq!((backend.rows().await, counted(&backend).await), (2, 2));
    let refused = backend.folder.path().join("metrics.csv.refused.csv");
    assert_eq!(refused.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(refused).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "line,reason");
    for ((line, told), (expected, field)) in
        lines[1..].iter().map(|line| line.split_once(',').unwrap()).zip([
            ("3", "Missing required field: business_id"),
            ("4", "Invalid value for field: response_time_ms"),
            ("5", "Invalid value for field: model_name"),
            ("7", "Invalid value for field: created_at"),
            ("8", "Missing required field: created_at"),
            ("9", "Invalid CSV"),
            ("10", "Invalid value for field: appointment_requested"),
            ("11", "Invalid value for field: success_rate"),
            ("12", "Invalid value for field: created_at"),
        ])
    {
        assert!(line == expected && told.contains(field), "{line} {told} instead of {expected} {field}");
    }
    assert!(!text.contains("example.com") && !text.contains("Secret"), "{text}");
}

async fn lines_of_ndjson_are_refused_one_by_one(backend: Backend) {
    let at = minutes_ago(30);
    let good =
        format!(r#"{{"business_id":"acme","response_time_ms":1,"tokens_used":1,"created_at":"{at}"}}"#);
    let long = format!(r#"{{"business_id":"acme","padding":"{}"}}"#, "x".repeat(70_000));
    let lines =
        [good.as_str(), "{\"business_id\":", "7", &long, "{}", &good.replace("acme", "bolt")].join("\n");
    let output = import_text(&backend, &[], lines.as_bytes());
    expect(&output, [6, 2, 0, 4]);
    let text = std::fs::read_to_string(backend.folder.path().join("import.refused.csv")).unwrap();
    let numbers: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(numbers, ["2", "3", "4", "5"], "{text}");
    for told in ["Invalid JSON", "must be a JSON object", "64 KiB", "No metrics data provided"] {
        assert!(text.contains(told), "{told} in {text}");
    }
}

async fn without_a_refused_row_there_is_no_file(backend: Backend) {
    let file = write_file(&backend, "metrics.csv", csv_of(2));
    let rejects = backend.folder.path().join("elsewhere.csv");
    let arguments = ["--from", text_of(&file), "--rejects", text_of(&rejects)];
    expect(&import(&backend, &[], &arguments), [2, 2, 0, 0]);
    assert!(!rejects.exists());
    write_file(&backend, "metrics.csv", csv_of(2).replace("acme", ""));
    expect(&import(&backend, &[], &arguments), [2, 0, 0, 2]);
    assert_eq!(std::fs::read_to_string(rejects).unwrap().lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_unknown_businesses_do_not_sink_the_others() {
    let backend = Backend::postgres().await;
    backend.execute(LAB_TABLE).await;
    backend
        .execute(
            "create table businesses (id text primary key, name text);
             insert into businesses values ('acme', 'Acme'), ('bolt', 'Bolt');
             alter table ai_metrics alter business_id type text,
                 add foreign key (business_id) references businesses (id) on delete cascade;
             alter table ai_metrics add constraint secret_rule check (tokens_used < 100)",
        )
        .await;
    let business = |id: u32| ["acme", "nobody", "bolt", "somebody"][id as usize % 4];
    let mut rows: Vec<String> = (1..=400).map(|id| row(id, business(id), &minutes_ago(30))).collect();
    rows.push(row(401, "acme", &minutes_ago(30)).replace(",75,", ",100,"));
    let file = write_file(&backend, "metrics.csv", format!("{HEAD}\n{}\n", rows.join("\n")));
    expect(&import(&backend, &[], &["--from", text_of(&file)]), [401, 200, 0, 201]);
    assert_eq!((backend.rows().await, counted(&backend).await), (200, 200));
    let text = std::fs::read_to_string(backend.folder.path().join("metrics.csv.refused.csv")).unwrap();
    assert_eq!(text.matches("must be a known business").count(), 200);
    assert!(text.contains("\n402,"), "its line: {text}");
}
