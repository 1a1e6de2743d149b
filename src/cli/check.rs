//! `check`: runs the security checklist. To add a check, add a function that returns a [`Finding`] to one of
//! the files below, and a row to the table in docs/operations.md.

mod database;
mod files;
mod finding;
mod keys;
mod settings;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::finish;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::retention::Policy;
use crate::store::Store;
use finding::{Finding, Verdict};

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Config, options: Options) -> ExitCode {
    let findings = run_checks(&config).await;
    let wrong = findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count();
    let text = if options.json {
        json!({"ok": wrong == 0, "checks": findings}).to_string()
    } else {
        let lines = findings.iter().map(ToString::to_string);
        lines.chain([summary(&findings)]).collect::<Vec<_>>().join("\n")
    };
    finish(text, if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all checks, in order.
async fn run_checks(config: &Config) -> Vec<Finding> {
    let now = Clock::system().now();
    let store = open(config).await;
    let mut findings = vec![keys::shared(config), keys::shared_age(config, Path::new(".env"), now)];
    findings.push(keys::named(store.as_ref(), now).await);
    findings.extend(files::checks(Path::new(".")));
    findings.extend(database::checks(config, store.as_ref()).await);
    findings.push(database::retention(store.as_ref(), Policy::of(config), now).await);
    findings.extend(database::app_retention(store.as_ref(), Policy::of(config)).await);
    findings.extend(settings::checks(config));
    if let Ok(store) = store {
        store.close().await;
    }
    findings
}

/// Opens the store, if it is available, without creating a file or migrating. The error says why it is not.
async fn open(config: &Config) -> Result<Store, String> {
    if let Database::Sqlite(path) = &config.database_url
        && !path.exists()
    {
        return Err(format!("the file {} does not exist yet", path.display()));
    }
    let store = Store::open(config).map_err(|error| error.to_string())?;
    match store.ping().await {
        Ok(()) => Ok(store),
        Err(error) => {
            store.close().await;
            Err(error.to_string())
        }
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    format!(
        "{} ok, {} warnings, {} wrong, {} not applicable",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Wrong),
        count(Verdict::NotApplicable)
    )
}
