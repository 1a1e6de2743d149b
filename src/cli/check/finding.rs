//! Checks and their findings.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but should be improved.
    Warning,
    /// It must be fixed.
    Wrong,
    /// The check does not apply.
    NotApplicable,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Wrong => "WRONG",
            Self::NotApplicable => "n/a",
        }
    }
}

/// The result of a check. It contains no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The name of the check.
    pub(super) check: &'static str,
    /// The verdict.
    pub(super) verdict: Verdict,
    /// What was checked.
    #[serde(rename = "looked_at")]
    pub(super) subject: Cow<'static, str>,
    /// What was found.
    pub(super) found: String,
    /// How to fix it.
    #[serde(rename = "mend")]
    pub(super) fix: Option<String>,
}

/// A check that has not run yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) subject: &'static str,
}

impl Check {
    pub(super) const fn new(name: &'static str, subject: &'static str) -> Self {
        Self { name, subject }
    }

    fn finding(self, verdict: Verdict, found: impl Into<String>, fix: Option<String>) -> Finding {
        Finding { check: self.name, verdict, subject: self.subject.into(), found: found.into(), fix }
    }

    pub(super) fn ok(self, found: impl Into<String>) -> Finding {
        self.finding(Verdict::Ok, found, None)
    }

    pub(super) fn warning(self, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Verdict::Warning, found, Some(fix.into()))
    }

    pub(super) fn wrong(self, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Verdict::Wrong, found, Some(fix.into()))
    }

    /// Returns the finding of a check that needs the database while the check `database` tells what is wrong with that.
    pub(super) fn without_database(self) -> Finding {
        self.not_applicable("not checked without the database; see the check \"database\"")
    }

    pub(super) fn not_applicable(self, found: impl Into<String>) -> Finding {
        self.finding(Verdict::NotApplicable, found, None)
    }

    /// Returns a finding that is wrong if `serious`, and a warning otherwise.
    pub(super) fn wrong_if(self, serious: bool, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        let verdict = if serious { Verdict::Wrong } else { Verdict::Warning };
        self.finding(verdict, found, Some(fix.into()))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}{:<24}{}: {}", self.verdict.name(), self.check, self.subject, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, " -> {fix}"),
            None => Ok(()),
        }
    }
}
