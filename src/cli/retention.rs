//! `retention`: runs retention once, from cron or by hand.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::output::finish;
use super::{fail, open};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
use crate::lifecycle::Signals;
use crate::metrics::RetentionMetrics;
use crate::retention::{Failure, Policy, Run, TableTally, Tally};
use crate::store::Store;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Run retention now
    Run(Options),
}

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Count the rows without deleting them
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let Verb::Run(Options { dry_run }) = verb;
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let made = make(&config, &store, dry_run).await;
    store.close().await;
    match made {
        Ok(tally) => finish(table(&config, &tally, dry_run), ExitCode::SUCCESS),
        Err(Failure::Busy) => fail("another run is in progress; nothing was done"),
        Err(failure) => fail(format!("the run did not finish: {failure}; run it again to resume")),
    }
}

/// Runs retention once, until it is done or a signal interrupts it.
async fn make(config: &Config, store: &Store, dry: bool) -> Result<Tally, Failure> {
    let (stop, clock, metrics) = (CancellationToken::new(), Clock::system(), RetentionMetrics::new());
    let policy = Policy::of(config);
    let run =
        Run { store, policy, clock: &clock, by: Actor::command_line(), dry, stop: &stop, metrics: &metrics };
    let watch = async {
        match Signals::new() {
            Ok(mut signals) => signals.next().await,
            Err(_cannot_listen) => std::future::pending().await,
        }
        stop.cancel();
        std::future::pending().await
    };
    let tally = tokio::select! {
        made = run.execute(|_record| true) => made?,
        never = watch => never,
    };
    Ok(tally.unwrap_or_default())
}

fn table(config: &Config, tally: &Tally, dry: bool) -> String {
    let policy = Policy::of(config);
    let deleted = if dry { "TO DELETE" } else { "DELETED" };
    let mut lines = vec![format!("{:<24}{:<8}{:<22}{deleted}", "TABLE", "DAYS", "OLDER THAN")];
    for TableTally { kind, cutoff, rows, .. } in tally {
        let days = policy.days(*kind).map_or_else(|| "off".to_owned(), |days| days.to_string());
        let cutoff =
            cutoff.map_or_else(|| "-".to_owned(), |cutoff| cutoff.format("%Y-%m-%d %H:%M UTC").to_string());
        let rows = match (rows, policy.days(*kind)) {
            (Some(rows), _) => rows.to_string(),
            (None, Some(_)) => "no such table".to_owned(),
            (None, None) => "kept".to_owned(),
        };
        lines.push(format!("{:<24}{days:<8}{cutoff:<22}{rows}", kind.table()));
    }
    lines.join("\n")
}
