//! What the settings tell, and how it is told.

use super::{assert_verdict, check};
use crate::harness::{Backend, KEY, command, on_every_backend};

on_every_backend! {
    each_line_is_told_with_what_was_looked_at_and_no_secret,
}

const PRODUCTION: [(&str, &str); 2] = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_judged() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let with = |more: &[(&str, &str)], name: &str, verdict: &str| {
        assert_verdict(&check(&backend, more), name, verdict);
    };
    let in_production = |more: &[(&str, &str)], name: &str, verdict: &str| {
        let settings: Vec<(&str, &str)> = PRODUCTION.iter().chain(more).copied().collect();
        assert_verdict(&check(&backend, &settings), name, verdict);
    };
    with(&[], "api-key", "warning");
    with(&[("ENVIRONMENT", "staging")], "api-key", "wrong");
    with(&[("MLOPS_API_KEY", "short")], "api-key", "warning");
    with(&[("MLOPS_API_KEY", "short"), ("ENVIRONMENT", "staging")], "api-key", "wrong");
    with(&[("MLOPS_API_KEY", "your-generated-key-here")], "api-key", "wrong");
    in_production(&[], "api-key", "ok");
    with(&[], "cors", "ok");
    with(&[("CORS_ALLOWED_ORIGINS", "*")], "cors", "wrong");
    in_production(&[("CORS_ALLOWED_ORIGINS", "http://app.example.com")], "cors", "warning");
    in_production(&[("CORS_ALLOWED_ORIGINS", "https://app.example.com")], "cors", "ok");
    with(&[], "https", "not_applicable");
    in_production(&[], "https", "wrong");
    in_production(&[("SERVICE_HOST", "127.0.0.1")], "https", "ok");
    in_production(&[("TRUSTED_PROXIES", "10.0.0.0/8")], "https", "ok");
    with(&[], "limits", "ok");
    with(&[("RATE_LIMIT_TRACK", "off")], "limits", "warning");
    with(&[("FLOOD_LIMIT_PER_SECOND", "off")], "limits", "warning");
    with(&[("RATE_LIMIT_MODE", "shadow")], "limits", "wrong");
    let all =
        ["HEALTH", "HEALTH_DETAILED", "TRACK", "ANALYTICS", "REFRESH_METRICS", "DEFAULT", "AUTH_FAILURES"];
    let all = all.map(|name| format!("RATE_LIMIT_{name}"));
    let mut off: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "off")).collect();
    off.push(("FLOOD_LIMIT_PER_SECOND", "off"));
    with(&off, "limits", "wrong");
    with(&[], "privacy-hash-key", "warning");
    in_production(&[], "privacy-hash-key", "wrong");
    in_production(&[("PRIVACY_HASH_KEY", "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a")], "privacy-hash-key", "ok");
    with(&[("PRIVACY_HASH_KEY", &"ab".repeat(16))], "privacy-hash-key", "wrong");
    with(&[("MLOPS_API_KEY", &"ab".repeat(16))], "api-key", "wrong");
    with(&[], "privacy-access", "ok");
    with(&[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")], "privacy-access", "warning");
    in_production(&[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")], "privacy-access", "wrong");
    with(&[], "consent", "ok");
    with(&[("CONSENT_REQUIRED", "true"), ("PRIVACY_HASH_KEY", KEY)], "consent", "ok");
    with(&[], "privacy-contact", "warning");
    in_production(&[], "privacy-contact", "warning");
    with(&[("PRIVACY_CONTACT", "privacy@example.com")], "privacy-contact", "ok");
    with(&[], "privacy-controller", "warning");
    with(&[("CONTROLLER_NAME", "Example Dental Ltd")], "privacy-controller", "ok");
}

async fn each_line_is_told_with_what_was_looked_at_and_no_secret(backend: Backend) {
    drop(backend.store(&[]).await);
    let hash_key = "the key under which persons are hashed";
    let backend = Backend { url: backend.url.replace("postgres@", "postgres:hunter2@"), ..backend };
    let settings = [("MLOPS_API_KEY", KEY), ("PRIVACY_HASH_KEY", hash_key), ("RUST_LOG", "trace")];
    let output = command(&backend, &settings).arg("check").output().unwrap();
    let told = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
    for secret in [KEY, hash_key, "hunter2"] {
        assert!(!told.contains(secret), "{told}");
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    let checks = check(&backend, &settings);
    assert_eq!(lines.lines().count(), checks.len() + 1, "{lines}");
    for name in checks.keys() {
        let line = lines.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {lines}"));
        assert!(line.contains(": "), "{line}");
    }
    let page = std::fs::read_to_string("docs/operations.md").unwrap();
    for name in checks.keys() {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn settings_that_cannot_be_read_end_it_as_every_verb() {
    let output = command(&Backend::sqlite(), &[("RETENTION_DAYS", "0")]).arg("check").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("RETENTION_DAYS"));
}
