//! The file `.env`: who can read it, and whether git knows it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::finding::{Check, Finding};

const MODE: Check = Check::new("env-file-mode", "who may read .env");
const TRACKED: Check = Check::new("env-file-untracked", "whether git has .env, now or by mistake soon");
const HISTORY: Check = Check::new("env-file-history", "every commit that git has, for a .env in any folder");

/// The checks of `.env` in a folder.
pub(super) fn look(folder: &Path) -> [Finding; 3] {
    let repository = Repository::at(folder);
    [mode(folder), tracked(folder, &repository), history(&repository)]
}

/// Whether a mode lets neither its group nor others in.
#[cfg(unix)]
pub(super) const fn is_owners_alone(mode: u32) -> bool {
    mode & 0o070 == 0 && !lets_others_in(mode)
}

#[cfg(unix)]
const fn lets_others_in(mode: u32) -> bool {
    mode & 0o007 != 0
}

#[cfg(unix)]
fn mode(folder: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    match folder.join(".env").metadata() {
        Err(_) => MODE.not_applicable("there is no .env here"),
        Ok(file) => match file.permissions().mode() & 0o777 {
            mode if is_owners_alone(mode) => MODE.ok(format!("its owner alone (mode {mode:03o})")),
            mode if !lets_others_in(mode) => {
                MODE.warning(format!("its group too (mode {mode:03o})"), "chmod 600 .env")
            }
            mode => MODE.wrong(format!("everybody on this machine (mode {mode:03o})"), "chmod 600 .env"),
        },
    }
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Finding {
    MODE.not_applicable("this system has no such modes; see to the file's access rights")
}

/// What git says.
enum Repository {
    /// The folder is in one.
    There(std::path::PathBuf),
    /// It is not, or nobody can ask; this is why.
    Unknown(String),
}

impl Repository {
    fn at(folder: &Path) -> Self {
        match git(folder, &["rev-parse", "--is-inside-work-tree"]) {
            Err(error) => Self::Unknown(format!("git cannot be asked: {error}")),
            Ok(Answer { success: true, .. }) => Self::There(folder.to_owned()),
            Ok(Answer { told, .. }) if told.contains("not a git repository") => {
                Self::Unknown("this folder is in no git repository".to_owned())
            }
            Ok(Answer { told, .. }) => {
                let reason = told.lines().next().unwrap_or("no reason given").to_owned();
                Self::Unknown(format!("git cannot be asked: {reason}"))
            }
        }
    }
}

fn tracked(folder: &Path, repository: &Repository) -> Finding {
    let Repository::There(at) = repository else { return TRACKED.not_applicable(repository.why()) };
    let untrack = "git rm --cached .env, add .env to .gitignore, and replace every secret that is in it";
    match git(at, &["ls-files", "--", ".env", "*/.env"]) {
        Ok(Answer { success: true, said, .. }) if !said.is_empty() => {
            return TRACKED
                .wrong(format!("git has {}", said.lines().collect::<Vec<_>>().join(", ")), untrack);
        }
        Ok(Answer { success: true, .. }) => {}
        _ => return TRACKED.wrong("it could not be looked at", "run git ls-files .env and see why it fails"),
    }
    match git(at, &["check-ignore", "-q", "--no-index", ".env"]) {
        Ok(Answer { success: true, .. }) => TRACKED.ok("git has none, and .gitignore keeps it out"),
        _ if folder.join(".env").exists() => {
            TRACKED.wrong("git has none yet, but .gitignore does not keep it out", "add .env to .gitignore")
        }
        _ => TRACKED.warning("git has none, but .gitignore would not keep one out", "add .env to .gitignore"),
    }
}

fn history(repository: &Repository) -> Finding {
    let Repository::There(at) = repository else { return HISTORY.not_applicable(repository.why()) };
    let log = ["log", "--all", "--full-history", "--format=%h", "--", ":(top,glob)**/.env"];
    let Ok(Answer { success: true, said: commits, .. }) = git(at, &log) else {
        return HISTORY
            .wrong("it could not be looked at", "run git log --all -- '**/.env' and see why it fails");
    };
    if let Some(newest) = commits.lines().next() {
        return HISTORY.wrong(
            format!("{} commits touch one, the newest is {newest}", commits.lines().count()),
            "replace every secret that was in it, and take it out of the history with git filter-repo",
        );
    }
    match git(at, &["rev-parse", "--is-shallow-repository"]) {
        Ok(Answer { said, .. }) if said == "true" => HISTORY
            .warning("none touches one, but git has only the newest commits here", "git fetch --unshallow"),
        _ => HISTORY.ok("none touches one"),
    }
}

impl Repository {
    fn why(&self) -> String {
        match self {
            Self::There(_) => String::new(),
            Self::Unknown(why) => why.clone(),
        }
    }
}

/// What git answers.
struct Answer {
    success: bool,
    said: String,
    told: String,
}

fn git(folder: &Path, arguments: &[&str]) -> std::io::Result<Answer> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Answer { success: output.status.success(), said: text(&output.stdout), told: text(&output.stderr) })
}
