//! What a check finds.

use std::fmt;

use serde::Serialize;

/// How it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but should be better.
    Warning,
    /// It must be mended.
    Wrong,
    /// There is nothing to look at.
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

/// One line of the checklist. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The name of the check.
    pub(super) check: &'static str,
    /// How it looks.
    pub(super) verdict: Verdict,
    /// What was looked at.
    pub(super) looked_at: &'static str,
    /// What was found.
    pub(super) found: String,
    /// How to mend it.
    pub(super) mend: Option<String>,
}

/// A check, before it is looked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) looks_at: &'static str,
}

impl Check {
    pub(super) const fn new(name: &'static str, looks_at: &'static str) -> Self {
        Self { name, looks_at }
    }

    fn finding(self, verdict: Verdict, found: impl Into<String>, mend: Option<String>) -> Finding {
        Finding { check: self.name, verdict, looked_at: self.looks_at, found: found.into(), mend }
    }

    pub(super) fn ok(self, found: impl Into<String>) -> Finding {
        self.finding(Verdict::Ok, found, None)
    }

    pub(super) fn warning(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Verdict::Warning, found, Some(mend.into()))
    }

    pub(super) fn wrong(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Verdict::Wrong, found, Some(mend.into()))
    }

    pub(super) fn not_applicable(self, found: impl Into<String>) -> Finding {
        self.finding(Verdict::NotApplicable, found, None)
    }

    /// Wrong where it counts, and a warning elsewhere.
    pub(super) fn wrong_if(
        self,
        serious: bool,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        let verdict = if serious { Verdict::Wrong } else { Verdict::Warning };
        self.finding(verdict, found, Some(mend.into()))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}{:<24}{}: {}", self.verdict.name(), self.check, self.looked_at, self.found)?;
        match &self.mend {
            Some(mend) => write!(f, " -> {mend}"),
            None => Ok(()),
        }
    }
}
