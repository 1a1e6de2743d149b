//! The file `.env`, and git.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{assert_verdict, check, checks_of};
use crate::harness::{Backend, KEY, command};

async fn with_env_file(mode: u32) -> Backend {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let file = backend.folder.path().join(".env");
    fs::write(&file, format!("MLOPS_API_KEY={KEY}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    backend
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_the_env_file_is_looked_at() {
    for (mode, verdict) in [(0o600, "ok"), (0o640, "warning"), (0o644, "wrong")] {
        assert_verdict(&check(&with_env_file(mode).await, &[]), "env-file-mode", verdict);
    }
    let backend = with_env_file(0o600).await;
    fs::remove_file(backend.folder.path().join(".env")).unwrap();
    assert_verdict(&check(&backend, &[]), "env-file-mode", "not_applicable");
}

/// Files beside `.env` that hold secrets too, and templates that hold none.
const RELATIVES: [&str; 5] = [".env.local", ".env.production", ".env.bak", ".env~", ".envrc"];
const TEMPLATES: [&str; 4] = [".env.example", ".env.sample", ".env.local.template", ".env-dist"];

#[tokio::test(flavor = "multi_thread")]
async fn every_env_file_is_looked_at_and_no_template() {
    let backend = with_env_file(0o600).await;
    let folder = backend.folder.path();
    let write = |name: &str, mode| {
        fs::write(folder.join(name), "SECRET=1\n").unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    };
    let assert = |name: &str, check_name: &str, verdict: &str| {
        let checks = check(&backend, &[]);
        assert_verdict(&checks, check_name, verdict);
        assert_eq!(checks[check_name].1.contains(name), verdict == "wrong", "{:?}", checks[check_name]);
    };
    for template in TEMPLATES {
        write(template, 0o644);
        assert(template, "env-file-mode", "ok");
    }
    for name in RELATIVES {
        write(name, 0o644);
        assert(name, "env-file-mode", "wrong");
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
        assert_verdict(&check(&backend, &[]), "env-file-mode", "ok");
        fs::remove_file(folder.join(name)).unwrap();
    }
    git(folder, &["init", "-q"]);
    fs::write(folder.join(".gitignore"), ".env\n").unwrap();
    git(folder, &[&["add", "-f"], &TEMPLATES[..]].concat());
    git(folder, &["commit", "-q", "-m", "templates"]);
    assert_verdict(&check(&backend, &[]), "env-file-untracked", "ok");
    assert_verdict(&check(&backend, &[]), "env-file-history", "ok");
    for name in RELATIVES {
        write(name, 0o600);
        assert(name, "env-file-untracked", "wrong");
        git(folder, &["add", "-f", name]);
        assert(name, "env-file-untracked", "wrong");
        git(folder, &["rm", "-q", "--cached", name]);
        fs::remove_file(folder.join(name)).unwrap();
    }
    assert_verdict(&check(&backend, &[]), "env-file-history", "ok");
    write(".env.production", 0o600);
    git(folder, &["add", "-f", ".env.production"]);
    git(folder, &["commit", "-q", "-m", "a secret"]);
    assert_verdict(&check(&backend, &[]), "env-file-history", "wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_not_changed_for_a_quarter_is_told() {
    let backend = with_env_file(0o600).await;
    assert_verdict(&check(&backend, &[]), "api-key-age", "ok");
    let file = fs::File::options().append(true).open(backend.folder.path().join(".env")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the program under test looks at the real clock")]
    let long_ago = SystemTime::now() - Duration::from_hours(93 * 24);
    file.set_modified(long_ago).unwrap();
    assert_verdict(&check(&backend, &[]), "api-key-age", "warning");
    fs::write(backend.folder.path().join(".env"), "TIME_ZONE=UTC\n").unwrap();
    assert_verdict(&check(&backend, &[("MLOPS_API_KEY", KEY)]), "api-key-age", "not_applicable");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_asked_for_the_env_file_now_and_ever() {
    let backend = with_env_file(0o600).await;
    let folder = backend.folder.path();
    let verdicts = |tracked: &str, history: &str| {
        let checks = check(&backend, &[]);
        assert_verdict(&checks, "env-file-untracked", tracked);
        assert_verdict(&checks, "env-file-history", history);
    };
    verdicts("not_applicable", "not_applicable");
    git(folder, &["init", "-q"]);
    verdicts("wrong", "ok");
    fs::write(folder.join(".gitignore"), ".env\n").unwrap();
    git(folder, &["add", ".gitignore"]);
    git(folder, &["commit", "-q", "-m", "first"]);
    verdicts("ok", "ok");
    fs::create_dir(folder.join("deep")).unwrap();
    fs::write(folder.join("deep/.env"), "SECRET=1\n").unwrap();
    git(folder, &["add", "-f", "deep/.env"]);
    verdicts("wrong", "ok");
    git(folder, &["commit", "-q", "-m", "second"]);
    verdicts("wrong", "wrong");
    git(folder, &["rm", "-q", "deep/.env"]);
    git(folder, &["commit", "-q", "-m", "third"]);
    verdicts("ok", "wrong");
    fs::remove_file(folder.join(".env")).unwrap();
    fs::remove_file(folder.join(".gitignore")).unwrap();
    verdicts("warning", "wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_git_the_finding_says_so() {
    let backend = with_env_file(0o600).await;
    let checks = checks_of(command(&backend, &[]).env("PATH", "/nowhere"));
    for name in ["env-file-untracked", "env-file-history"] {
        assert_verdict(&checks, name, "not_applicable");
        assert!(checks[name].1.contains("cannot run git"), "{:?}", checks[name]);
    }
}
