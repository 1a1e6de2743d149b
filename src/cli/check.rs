//! `check`: runs the security checklist. To add a check, add a function that returns a [`Finding`] to one of
//! the files below, and a row to the table in docs/operations.md.

mod book;
mod database;
mod files;
mod finding;
mod keys;
mod partitions;
mod prices;
mod reach;
mod replica;
mod retention;
mod settings;
mod trail;

use std::path::Path;
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;

use super::output::finish;
use crate::clock::Clock;
use crate::config::{Config, Database, Problems};
use crate::pricing::Prices;
use crate::retention::Policy;
use crate::store::{Store, StoreError};
use finding::{Finding, Verdict};

/// The maximum number of attempts to reach the database, each lasting at most a second.
const MAX_ATTEMPTS: u32 = 5;

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Config, options: Options) -> ExitCode {
    report(&run_checks(&config).await, &options)
}

/// Runs the checks of the price table on a day, in UTC.
pub(super) async fn prices(
    config: &Config,
    options: &Options,
    prices: &Prices,
    today: NaiveDate,
) -> ExitCode {
    let Opened { connected, problem } = open(config).await;
    let store = connected.as_ref().filter(|_| problem.is_none());
    let mut findings = vec![prices::file(config), database::usable(problem.as_ref())];
    findings.extend(prices::checks(store, prices, today).await);
    if let Some(store) = connected {
        store.close().await;
    }
    report(&findings, options)
}

/// Prints findings. Returns the exit code for them.
fn report(findings: &[Finding], options: &Options) -> ExitCode {
    let wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    let text = if options.json {
        json!({"ok": !wrong, "checks": findings}).to_string()
    } else {
        let lines = findings.iter().map(ToString::to_string);
        lines.chain([summary(findings)]).collect::<Vec<_>>().join("\n")
    };
    finish(text, if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints problems with the settings, each as a finding, if JSON was asked for: nothing else can be checked. Returns `code`.
pub(super) fn report_problems(problems: &Problems, options: &Options, code: ExitCode) -> ExitCode {
    if !options.json {
        return code;
    }
    let findings: Vec<Finding> = problems.all().iter().map(settings::unusable).collect();
    finish(json!({"ok": false, "checks": findings}), code)
}

/// Runs all checks, in order.
async fn run_checks(config: &Config) -> Vec<Finding> {
    let now = Clock::system().now();
    let Opened { connected, problem } = open(config).await;
    // Tables are looked at only if they are those of this version.
    let store = connected.as_ref().filter(|_| problem.is_none());
    let mut findings = vec![keys::shared(config), keys::shared_age(config, Path::new(".env"), now)];
    findings.push(keys::named(store, now).await);
    findings.push(keys::passwords(config));
    findings.extend(files::checks(Path::new(".")));
    findings.push(database::usable(problem.as_ref()));
    findings.extend(database::checks(config, connected.as_ref(), store.is_some()).await);
    findings.push(trail::chain(config, store, now).await);
    findings.extend(retention::checks(store, Policy::of(config), now).await);
    findings.push(replica::usable(config, store).await);
    findings.push(partitions::ahead(store, now).await);
    findings.push(book::shared(store).await);
    findings.extend(settings::checks(config));
    findings.push(prices::file(config));
    if let Some(store) = connected {
        store.close().await;
    }
    findings
}

/// The store.
struct Opened {
    /// The store, if its database can be reached.
    connected: Option<Store>,
    /// Why its tables cannot be looked at.
    problem: Option<String>,
}

/// Opens the store, without creating a file or migrating.
async fn open(config: &Config) -> Opened {
    let unreachable = |problem: String| Opened { connected: None, problem: Some(problem) };
    if let Database::Sqlite(path) = &config.database_url
        && !path.exists()
    {
        return unreachable(format!("the file {} does not exist yet", path.display()));
    }
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => return unreachable(error.to_string()),
    };
    if let Err(error) = reach(&store).await {
        store.close().await;
        return unreachable(error.to_string());
    }
    let problem = store.check_migrations().await.err().map(|error| error.to_string());
    Opened { connected: Some(store), problem }
}

/// Makes a round trip to the database, which may be busy.
async fn reach(store: &Store) -> Result<(), StoreError> {
    for _ in 1..MAX_ATTEMPTS {
        if store.ping().await.is_ok() {
            return Ok(());
        }
    }
    store.ping().await
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
