//! Where settings come from, and how problems with them are reported.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use super::dotenv::{self, Assignment, Malformed};
use super::{Setting, VARIABLES, Variable, kubernetes, tiers};

const QUOTED: &str = "is in quotes, which `docker --env-file` passes on as they are; remove them";

/// The variables that are set, in the environment of the process or, with lower precedence, in a `.env` file.
#[derive(Clone, Default)]
pub struct Source {
    variables: HashMap<String, String>,
    /// Why the value of a variable in the file may not be what was meant.
    doubts: HashMap<String, String>,
    /// The variables of the environment that are in quotes.
    quoted: HashSet<String>,
    problems: Problems,
    warnings: Vec<String>,
}

impl Source {
    /// Reads the environment of this process and the file at `dotenv`, which need not exist.
    #[must_use]
    pub fn process(dotenv: &Path) -> Self {
        let own = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let own = own.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
        let mut source = Self::default();
        match std::fs::read(dotenv) {
            Ok(bytes) => source.add_file(dotenv, bytes, &own),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                source.problems.add(&dotenv.display().to_string(), format!("cannot be read: {error}"), "");
            }
        }
        source.add_environment(own);
        source
    }

    /// Sets a variable, whatever it was before, as a command line does.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.doubts.remove(name);
        self.quoted.remove(name);
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn add_file(&mut self, path: &Path, bytes: Vec<u8>, environment: &HashMap<String, String>) {
        if is_readable_by_others(path) {
            self.warnings.push(format!("{0} can be read by other users: chmod 600 {0}", path.display()));
        }
        let path = path.display().to_string();
        let text = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text,
            Ok(_) | Err(_) => return self.problems.add(&path, "is not UTF-8 text; save it as UTF-8", ""),
        };
        for parsed in dotenv::parse(&text, |name| environment.get(name).cloned()) {
            match parsed {
                Ok(Assignment { line, name, value, doubt }) => {
                    self.doubts.remove(&name);
                    if let Some(doubt) = doubt {
                        self.doubts.insert(name.clone(), format!("in line {line} of {path} {doubt}"));
                    }
                    self.variables.insert(name, value);
                }
                Err(Malformed { line, name, what }) if is_ours(&name) => {
                    self.problems.add(&format!("{path}: line {line}"), format!("{what} ({name})"), "");
                }
                Err(Malformed { line, what, .. }) => {
                    self.warnings.push(format!("{path}: line {line} {what}; it is ignored"));
                }
            }
        }
    }

    fn add_environment(&mut self, variables: HashMap<String, String>) {
        let services = kubernetes::services(&variables);
        for (name, value) in variables {
            if is_ours(&name) && kubernetes::is_link(&name, &value, &services) {
                self.warnings
                    .push(format!("{name} is ignored: Kubernetes sets it for a service of that name"));
                continue;
            }
            self.doubts.remove(&name);
            if is_quoted(&value) {
                self.quoted.insert(name.clone());
            }
            self.variables.insert(name, value);
        }
    }

    /// Returns what is odd about the variables and does not stop the start.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Parses a variable; an empty one counts as unset. If it is invalid, adds a problem and returns the
    /// default, so that the other settings can still be checked.
    pub(super) fn get<T: Setting>(&self, variable: &Variable, problems: &mut Problems) -> T {
        let set =
            self.variables.get(variable.name).map(|value| value.trim()).filter(|value| !value.is_empty());
        // A secret that is cut, or read as none at all, must not be noticed only by whoever tries it.
        let doubt = self.doubts.get(variable.name).filter(|_| T::SECRET);
        let read = match (doubt, self.quoted.contains(variable.name)) {
            (Some(doubt), _) => Err(doubt.clone()),
            (None, true) => Err(QUOTED.to_owned()),
            (None, false) => set.map(T::read).transpose(),
        };
        let read = read.unwrap_or_else(|what| {
            problems.add(variable.name, what, variable.example);
            None
        });
        read.or_else(|| match variable.default {
            "" => T::unset(),
            default => T::read(default).ok(),
        })
        .expect("every default is valid")
    }

    /// Returns the text of `variable` in effect, if any; `set` instead if it must not be shown.
    pub(super) fn in_effect(&self, variable: &Variable, is_shown: bool) -> Option<(&'static str, String)> {
        let set = self.variables.get(variable.name).map(|value| value.trim());
        let text = match set.filter(|value| !value.is_empty()) {
            Some(text) if is_shown => text,
            Some(_) => "set",
            None => variable.default,
        };
        (!text.is_empty()).then(|| (variable.name, text.to_owned()))
    }

    /// Returns the set variables whose names start with `prefix`, and their values.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let set = self.variables.iter().map(|(name, value)| (name.as_str(), value.trim()));
        set.filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
    }

    /// Returns the problems with the file.
    pub(super) fn problems(&self) -> Problems {
        self.problems.clone()
    }
}

/// Whether a variable of this name is a setting.
fn is_ours(name: &str) -> bool {
    name.starts_with(tiers::PREFIX) || VARIABLES.iter().any(|variable| variable.name == name)
}

fn is_quoted(value: &str) -> bool {
    let value = value.trim();
    value.len() > 1 && ['"', '\''].iter().any(|quote| value.starts_with(*quote) && value.ends_with(*quote))
}

/// Variables given as pairs.
impl<const N: usize> From<[(&str, &str); N]> for Source {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self::from_iter(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }
}

/// Variables given as pairs.
impl FromIterator<(String, String)> for Source {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self { variables: pairs.into_iter().collect(), ..Self::default() }
    }
}

/// A problem with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the variable or file.
    pub name: String,
    /// What is wrong and how to fix it. Never quotes the value, which may be a secret.
    pub what: String,
    /// A valid value.
    pub example: &'static str,
}

/// All problems with the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, name: &str, what: impl Into<String>, example: &'static str) {
        self.0.push(Problem { name: name.to_owned(), what: what.into(), example });
    }

    /// Adds those of `found` whose variables have no problem yet.
    pub(super) fn add_new(&mut self, found: Self) {
        let known: Vec<String> = self.0.iter().map(|problem| problem.name.clone()).collect();
        self.0.extend(found.0.into_iter().filter(|problem| !known.contains(&problem.name)));
    }

    /// Returns the problems, in the order of the variables.
    #[must_use]
    pub fn all(&self) -> &[Problem] {
        &self.0
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "mlops-service cannot start; fix these settings:")?;
        for Problem { name, what, example } in &self.0 {
            write!(f, "\n  {name} {what}.")?;
            if !example.is_empty() {
                write!(f, "\n      for example: {name}={example}")?;
            }
        }
        write!(f, "\n\nSee .env.example for every variable.")
    }
}

/// Returns whether a file with this mode is open to others than its owner.
#[cfg(unix)]
#[must_use]
pub const fn is_open_to_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// Returns whether other users may read a file. A problem with the file shows when it is read.
#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.metadata().is_ok_and(|file| is_open_to_others(file.mode()))
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &Path) -> bool {
    false
}
