//! What the settings tell, and how it is told.

use super::{assert_verdict, check};
use crate::harness::{Backend, KEY, command, free_port, on_every_backend};

on_every_backend! {
    each_line_is_told_with_what_was_looked_at_and_no_secret,
}

const PRODUCTION: [(&str, &str); 2] = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];

/// The quotas, without the prefix of their settings.
const QUOTAS: [&str; 8] = [
    "HEALTH",
    "HEALTH_DETAILED",
    "TRACK",
    "ANALYTICS",
    "REFRESH_METRICS",
    "PAGES",
    "DEFAULT",
    "AUTH_FAILURES",
];

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
    let all = QUOTAS.map(|name| format!("RATE_LIMIT_{name}"));
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

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_somebody_made_up_copied_or_used_twice_are_wrong() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let other = "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a";
    let made_up = [
        // What the lab shows as an example of a key, of both lengths.
        "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e",
        "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e8f4d2a6b9c1e7f3a5d8b2c6e4f1a3d7",
        "your-generated-key-of-32-characters-or-more",
        "Your_Generated_Key_Of_32_Characters_Or_More",
        "change-me-to-something-that-is-long-enough",
        &"a".repeat(64),
        &"password".repeat(4),
        "0123456789abcdef0123456789abcdef",
    ];
    for weak in made_up {
        assert_verdict(&check(&backend, &[("MLOPS_API_KEY", weak)]), "api-key", "wrong");
        let of_several = format!("{other},{weak}");
        assert_verdict(&check(&backend, &[("MLOPS_API_KEY", &of_several)]), "api-key", "wrong");
        let checks = check(&backend, &[("MLOPS_API_KEY", KEY), ("PRIVACY_HASH_KEY", weak)]);
        assert_verdict(&checks, "privacy-hash-key", "wrong");
        assert_verdict(&checks, "api-key", "ok");
    }
    assert_verdict(&check(&backend, &[("MLOPS_API_KEY", "aaaa")]), "api-key", "wrong");
    let twice = check(&backend, &[("MLOPS_API_KEY", KEY), ("PRIVACY_HASH_KEY", KEY)]);
    assert_verdict(&twice, "privacy-hash-key", "wrong");
    assert_verdict(&twice, "api-key", "ok");
    let rotated = format!("{other},{KEY}");
    let checks = check(&backend, &[("MLOPS_API_KEY", &rotated), ("PRIVACY_HASH_KEY", KEY)]);
    assert_verdict(&checks, "privacy-hash-key", "wrong");
    let checks = check(
        &backend,
        &[("MLOPS_API_KEY", &rotated), ("PRIVACY_HASH_KEY", "6e1a9c04d7f25b838e4d0c7ab1f6395a")],
    );
    assert_verdict(&checks, "privacy-hash-key", "ok");
    assert_verdict(&checks, "api-key", "ok");
}

#[test]
fn passwords_are_not_keys_nor_those_of_another_role() {
    let passwords = |serving: &str, more: &[(&str, &str)], verdict: &str| {
        let url = format!("postgresql://service{serving}@127.0.0.1:{}/away", free_port());
        let settings = [&[("MLOPS_API_KEY", KEY)], more].concat();
        let checks = check(&Backend { url, ..Backend::sqlite() }, &settings);
        assert_verdict(&checks, "passwords", verdict);
        assert!(!checks["passwords"].1.contains("hunter2"));
    };
    passwords("", &[], "not_applicable");
    passwords(":hunter2-and-more", &[], "ok");
    passwords(":PASSWORD", &[], "wrong");
    passwords(":service", &[], "wrong");
    passwords(":aaaaaaaa", &[], "wrong");
    passwords(&format!(":{KEY}"), &[], "wrong");
    let owner = |user: &str| format!("postgresql://{user}:p%40ss%2Fhunter2@127.0.0.1/away");
    passwords(":p%40ss%2Fhunter2", &[("MIGRATION_DATABASE_URL", &owner("owner"))], "wrong");
    passwords(":p%40ss%2Fhunter2", &[("MIGRATION_DATABASE_URL", &owner("service"))], "ok");
    passwords(":another-hunter2", &[("REDIS_URL", "redis://:another-hunter2@127.0.0.1/0")], "wrong");
    passwords("", &[("REDIS_URL", "redis://:another-hunter2@127.0.0.1/0")], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_are_everybody_are_wrong() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    for (ranges, verdict) in [
        ("", "not_applicable"),
        ("0.0.0.0/0", "wrong"),
        ("::/0", "wrong"),
        ("10.0.0.7,0.0.0.0/1,128.0.0.0/1", "wrong"),
        ("10.0.0.0/8,192.168.0.0/16,203.0.113.7,fd00::/8", "ok"),
    ] {
        for environment in ["development", "production"] {
            let settings =
                [("ENVIRONMENT", environment), ("MLOPS_API_KEY", KEY), ("TRUSTED_PROXIES", ranges)];
            assert_verdict(&check(&backend, &settings), "trusted-proxies", verdict);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_limit_nobody_are_wrong() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let names = QUOTAS.map(|name| format!("RATE_LIMIT_{name}"));
    let tiers = ["TIER_FREE", "TIER_PAID", "TIER_GOLD"].map(str::to_owned);
    for name in names.iter().chain(&tiers) {
        for limit in [
            "1000000000 per second",
            "4000000000 per hour",
            "1000000000 per year",
            "10000/second;1000000000/day",
        ] {
            let checks = check(&backend, &[(name, limit)]);
            assert_verdict(&checks, "limits", "wrong");
            assert!(checks["limits"].1.contains(name.as_str()), "{:?}", checks["limits"]);
        }
    }
    assert_verdict(&check(&backend, &[("FLOOD_LIMIT_PER_SECOND", "1000000")]), "limits", "wrong");
    for (name, limit) in [
        ("RATE_LIMIT_TRACK", "1000000000 per second;1000 per minute"),
        ("RATE_LIMIT_TRACK", "500000 per minute"),
        ("TIER_PAID", "100000000 per day"),
        ("FLOOD_LIMIT_PER_SECOND", "2000"),
    ] {
        assert_verdict(&check(&backend, &[(name, limit)]), "limits", "ok");
    }
    assert_verdict(&check(&backend, &[("TIER_FREE", "off")]), "limits", "warning");
}

#[test]
fn settings_that_cannot_be_read_end_it_as_every_verb() {
    let output = command(&Backend::sqlite(), &[("RETENTION_DAYS", "0")]).arg("check").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("RETENTION_DAYS"));
}

#[test]
fn settings_that_cannot_be_read_are_told_as_json_to_who_asked_for_it() {
    let backend = Backend::sqlite();
    std::fs::write(backend.folder.path().join(".env"), "TIME_ZONE='Mars\n").unwrap();
    let settings = [("RETENTION_DAYS", "s3cret"), ("ENVIRONMENT", "production"), ("MLOPS_API_KEY", "")];
    let output = command(&backend, &settings).args(["check", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    let checks = told["checks"].as_array().unwrap();
    for name in ["RETENTION_DAYS", "MLOPS_API_KEY", "line 1"] {
        let found = checks.iter().find(|check| check["looked_at"].as_str().unwrap().contains(name));
        let found = found.unwrap_or_else(|| panic!("{name} in {told}"));
        assert_eq!((found["check"].as_str(), found["verdict"].as_str()), (Some("settings"), Some("wrong")));
        assert!(!found["found"].as_str().unwrap().is_empty() && !found["mend"].as_str().unwrap().is_empty());
    }
    assert!(!told.to_string().contains("s3cret"));
    let page = std::fs::read_to_string("docs/operations.md").unwrap();
    assert!(page.contains("| `settings` |"));
}
