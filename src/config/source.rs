//! Where settings come from, and how problems with them are reported.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::{Setting, Variable};

/// The variables that are set, in the environment of the process or, with lower precedence, in a `.env` file.
#[derive(Clone, Default)]
pub struct Source {
    variables: HashMap<String, String>,
    problems: Problems,
}

impl Source {
    /// Reads the environment of this process and the file at `dotenv`, which need not exist.
    #[must_use]
    pub fn process(dotenv: &Path) -> Self {
        let mut source = Self::default();
        match dotenvy::from_path_iter(dotenv) {
            Ok(lines) => lines.for_each(|line| source.add_line(dotenv, line)),
            Err(error) if error.not_found() => {}
            Err(error) => source.add_unreadable(dotenv, &error),
        }
        let own = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        for (name, value) in own {
            source.variables.insert(name, value.to_string_lossy().into_owned());
        }
        source
    }

    fn add_line(&mut self, path: &Path, line: dotenvy::Result<(String, String)>) {
        match line {
            Ok((name, value)) => drop(self.variables.insert(name, value)),
            Err(error) => self.add_unreadable(path, &error),
        }
    }

    fn add_unreadable(&mut self, path: &Path, error: &dotenvy::Error) {
        // A parse error quotes the line, which may contain a secret.
        let what = match error {
            dotenvy::Error::LineParse(..) => {
                "has a line that is not NAME=value; quote values that contain spaces".to_owned()
            }
            other => format!("cannot be read: {other}"),
        };
        self.problems.add(&path.display().to_string(), what, "");
    }

    /// Parses a variable; an empty one counts as unset. If it is invalid, adds a problem and returns the
    /// default, so that the other settings can still be checked.
    pub(super) fn get<T: Setting>(&self, variable: &Variable, problems: &mut Problems) -> T {
        let set =
            self.variables.get(variable.name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let read = set.map(T::read).transpose();
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

/// Variables given as pairs.
impl<const N: usize> From<[(&str, &str); N]> for Source {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self::from_iter(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }
}

/// Variables given as pairs.
impl FromIterator<(String, String)> for Source {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self { variables: pairs.into_iter().collect(), problems: Problems::default() }
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
