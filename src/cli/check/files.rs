//! Checks of the file `.env` and its relatives, such as `.env.local` and `.env.bak`: who can read them, and whether they are in git.

use std::path::Path;
use std::process::{Command, Stdio};

use super::finding::{Check, Finding};
#[cfg(unix)]
use crate::config::is_open_to_others;

const MODE: Check = Check::new("env-file-mode", "who can read .env and other .env files");
const TRACKED: Check =
    Check::new("env-file-untracked", "whether git tracks a .env file, or would pick one up");
const HISTORY: Check =
    Check::new("env-file-history", "the whole git history, for .env files in any directory");

/// The ends of the names of templates, which hold no secrets.
const TEMPLATES: [&str; 5] = ["example", "sample", "template", "tmpl", "dist"];

/// Runs the checks of `.env` files in a directory.
pub(super) fn checks(directory: &Path) -> [Finding; 3] {
    let repository = Repository::at(directory);
    let files = env_files(directory);
    [mode(directory, &files), tracked(&files, &repository), history(&repository)]
}

/// Returns whether a file of this name may hold secrets: `.env`, or what begins like it and is no template.
fn may_hold_secrets(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(".env") && !TEMPLATES.iter().any(|template| name.ends_with(template))
}

/// Returns the names of such files in a directory, in order.
fn env_files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| may_hold_secrets(name)).collect();
    names.sort();
    names
}

#[cfg(unix)]
const fn allows_others(mode: u32) -> bool {
    mode & 0o007 != 0
}

#[cfg(unix)]
fn mode(directory: &Path, files: &[String]) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let modes = files.iter().filter_map(|name| {
        let file = directory.join(name).metadata().ok()?;
        Some((name.as_str(), file.permissions().mode() & 0o777))
    });
    let modes: Vec<(&str, u32)> = modes.collect();
    let those = |wanted: &dyn Fn(u32) -> bool| -> Vec<(&str, u32)> {
        modes.iter().copied().filter(|(_, mode)| wanted(*mode)).collect()
    };
    let shown = |those: &[(&str, u32)]| {
        those.iter().map(|(name, mode)| format!("{name} (mode {mode:03o})")).collect::<Vec<_>>().join(", ")
    };
    let (open, everyone) = (those(&is_open_to_others), those(&allows_others));
    let fix = format!("chmod 600 {}", open.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" "));
    match (modes.is_empty(), open.is_empty(), everyone.is_empty()) {
        (true, ..) => MODE.not_applicable("no .env file in this directory"),
        (_, true, _) => MODE.ok(format!("owner only: {}", shown(&modes))),
        (_, _, true) => MODE.warning(format!("its group as well: {}", shown(&open)), fix),
        (_, _, false) => MODE.wrong(format!("everyone on this machine: {}", shown(&everyone)), fix),
    }
}

#[cfg(not(unix))]
fn mode(_: &Path, _: &[String]) -> Finding {
    MODE.not_applicable("file modes do not exist on this system; check the files' permissions yourself")
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

fn tracked(files: &[String], repository: &Repository) -> Finding {
    let Repository::Found(at) = repository else { return TRACKED.not_applicable(repository.why()) };
    let Ok(Output { success: true, stdout, .. }) = git(at, &["-c", "core.quotePath=off", "ls-files"]) else {
        return TRACKED.wrong("could not be checked", "run git ls-files and see why it fails");
    };
    let is_env = |path: &&str| may_hold_secrets(path.rsplit('/').next().unwrap_or(path));
    let tracked: Vec<&str> = stdout.lines().filter(is_env).collect();
    if !tracked.is_empty() {
        return TRACKED.wrong(
            format!("git tracks {}", tracked.join(", ")),
            "git rm --cached them, add .env* to .gitignore (and !.env.example), and rotate every secret in them",
        );
    }
    let is_ignored = |name: &str| {
        matches!(git(at, &["check-ignore", "-q", "--no-index", name]), Ok(Output { success: true, .. }))
    };
    let loose: Vec<&str> = files.iter().map(String::as_str).filter(|name| !is_ignored(name)).collect();
    if !loose.is_empty() {
        let found = format!("not tracked yet, but not ignored by .gitignore: {}", loose.join(", "));
        return TRACKED.wrong(found, format!("add to .gitignore: {}", loose.join(" ")));
    }
    match is_ignored(".env") {
        true => TRACKED.ok("not tracked, and ignored by .gitignore"),
        false => TRACKED.warning("no .env, but .gitignore would not ignore one", "add .env to .gitignore"),
    }
}

fn history(repository: &Repository) -> Finding {
    let Repository::Found(at) = repository else { return HISTORY.not_applicable(repository.why()) };
    let templates = TEMPLATES.map(|template| format!(":(top,glob,icase,exclude)**/.env*{template}"));
    let log = ["log", "--all", "--full-history", "--format=%h", "--", ":(top,glob,icase)**/.env*"];
    let log: Vec<&str> = log.into_iter().chain(templates.iter().map(String::as_str)).collect();
    let Ok(Output { success: true, stdout: commits, .. }) = git(at, &log) else {
        return HISTORY.wrong("could not be checked", "run git log --all -- '**/.env*' and see why it fails");
    };
    if let Some(newest) = commits.lines().next() {
        return HISTORY.wrong(
            format!("{} commits touch a .env file, most recently {newest}", commits.lines().count()),
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
