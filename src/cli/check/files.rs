//! Checks of the file `.env`: who can read it, and whether it is in git.

use std::path::Path;
use std::process::{Command, Stdio};

use super::finding::{Check, Finding};
#[cfg(unix)]
use crate::config::is_open_to_others;

const MODE: Check = Check::new("env-file-mode", "who can read .env");
const TRACKED: Check = Check::new("env-file-untracked", "whether git tracks .env or would pick it up");
const HISTORY: Check = Check::new("env-file-history", "the whole git history, for a .env in any directory");

/// Runs the checks of `.env` in a directory.
pub(super) fn checks(directory: &Path) -> [Finding; 3] {
    let repository = Repository::at(directory);
    [mode(directory), tracked(directory, &repository), history(&repository)]
}

#[cfg(unix)]
const fn allows_others(mode: u32) -> bool {
    mode & 0o007 != 0
}

#[cfg(unix)]
fn mode(directory: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    match directory.join(".env").metadata() {
        Err(_) => MODE.not_applicable("no .env in this directory"),
        Ok(file) => match file.permissions().mode() & 0o777 {
            mode if !is_open_to_others(mode) => MODE.ok(format!("owner only (mode {mode:03o})")),
            mode if !allows_others(mode) => {
                MODE.warning(format!("its group as well (mode {mode:03o})"), "chmod 600 .env")
            }
            mode => MODE.wrong(format!("everyone on this machine (mode {mode:03o})"), "chmod 600 .env"),
        },
    }
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Finding {
    MODE.not_applicable("file modes do not exist on this system; check the file's permissions yourself")
}

/// The git repository of the directory.
enum Repository {
    /// The directory is in one.
    Found(std::path::PathBuf),
    /// It is not, or git cannot be run, for this reason.
    NotFound(String),
}

impl Repository {
    fn at(directory: &Path) -> Self {
        match git(directory, &["rev-parse", "--is-inside-work-tree"]) {
            Err(error) => Self::NotFound(format!("cannot run git: {error}")),
            Ok(Output { success: true, .. }) => Self::Found(directory.to_owned()),
            Ok(Output { stderr, .. }) if stderr.contains("not a git repository") => {
                Self::NotFound("not in a git repository".to_owned())
            }
            Ok(Output { stderr, .. }) => {
                let reason = stderr.lines().next().unwrap_or("no reason given").to_owned();
                Self::NotFound(format!("git failed: {reason}"))
            }
        }
    }
}

fn tracked(directory: &Path, repository: &Repository) -> Finding {
    let Repository::Found(at) = repository else { return TRACKED.not_applicable(repository.why()) };
    let untrack = "git rm --cached .env, add .env to .gitignore, and rotate every secret in it";
    match git(at, &["ls-files", "--", ".env", "*/.env"]) {
        Ok(Output { success: true, stdout, .. }) if !stdout.is_empty() => {
            return TRACKED
                .wrong(format!("git tracks {}", stdout.lines().collect::<Vec<_>>().join(", ")), untrack);
        }
        Ok(Output { success: true, .. }) => {}
        _ => return TRACKED.wrong("could not be checked", "run git ls-files .env and see why it fails"),
    }
    match git(at, &["check-ignore", "-q", "--no-index", ".env"]) {
        Ok(Output { success: true, .. }) => TRACKED.ok("not tracked, and ignored by .gitignore"),
        _ if directory.join(".env").exists() => {
            TRACKED.wrong("not tracked yet, but not ignored by .gitignore", "add .env to .gitignore")
        }
        _ => TRACKED.warning("no .env, but .gitignore would not ignore one", "add .env to .gitignore"),
    }
}

fn history(repository: &Repository) -> Finding {
    let Repository::Found(at) = repository else { return HISTORY.not_applicable(repository.why()) };
    let log = ["log", "--all", "--full-history", "--format=%h", "--", ":(top,glob)**/.env"];
    let Ok(Output { success: true, stdout: commits, .. }) = git(at, &log) else {
        return HISTORY.wrong("could not be checked", "run git log --all -- '**/.env' and see why it fails");
    };
    if let Some(newest) = commits.lines().next() {
        return HISTORY.wrong(
            format!("{} commits touch a .env, most recently {newest}", commits.lines().count()),
            "rotate every secret in it and remove it from the history with git filter-repo",
        );
    }
    match git(at, &["rev-parse", "--is-shallow-repository"]) {
        Ok(Output { stdout, .. }) if stdout == "true" => {
            HISTORY.warning("no commit touches one, but this is a shallow clone", "git fetch --unshallow")
        }
        _ => HISTORY.ok("no commit touches one"),
    }
}

impl Repository {
    fn why(&self) -> String {
        match self {
            Self::Found(_) => String::new(),
            Self::NotFound(why) => why.clone(),
        }
    }
}

/// The output of git.
struct Output {
    success: bool,
    stdout: String,
    stderr: String,
}

fn git(directory: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Output {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}
