//! `mlops-service check`: every line of the checklist, when it is well and when it is not.

mod database;
mod files;
mod settings;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Backend, command};

/// What a check says: the verdict, and what was found.
type Checks = BTreeMap<String, (String, String)>;

/// Runs the checklist.
fn check(backend: &Backend, settings: &[(&str, &str)]) -> Checks {
    checks_of(&mut command(backend, settings))
}

/// Runs it as `command` says; the exit code must fit what is found.
fn checks_of(command: &mut Command) -> Checks {
    let output = command.args(["check", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let mut checks = Checks::new();
    for check in told["checks"].as_array().unwrap() {
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let (verdict, mend) = (text("verdict"), text("mend"));
        assert!(!text("looked_at").is_empty() && !text("found").is_empty(), "{check}");
        assert_eq!(matches!(verdict.as_str(), "wrong" | "warning"), !mend.is_empty(), "{check}");
        let before = checks.insert(text("check"), (verdict, text("found")));
        assert!(before.is_none(), "{check} is there twice");
    }
    let wrong = checks.values().any(|(verdict, _)| verdict == "wrong");
    assert_eq!(output.status.code(), Some(i32::from(wrong)));
    assert_eq!(told["ok"], !wrong);
    checks
}

#[track_caller]
fn assert_verdict(checks: &Checks, name: &str, verdict: &str) {
    let (found, why) = &checks[name];
    assert_eq!(found, verdict, "{name}: {why}");
}
