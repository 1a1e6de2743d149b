//! `retention`: runs retention once, from cron or by hand.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::output::{finish, print_progress};
use super::{fail, open};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
use crate::lifecycle::Signals;
use crate::metrics::RetentionMetrics;
use crate::retention::{Failure, Observer, Policy, Progress, Run, TableTally, Tally};
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
    let progress = ProgressLines::new(dry);
    let observe = |progress_now| progress.show(progress_now);
    let run = Run {
        store,
        policy,
        clock: &clock,
        by: Actor::command_line(),
        dry,
        stop: &stop,
        metrics: &metrics,
        observer: Some(Observer(&observe)),
    };
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

/// Shows how far a run is on standard error, about once a second: on a terminal in one line, which is overwritten, else in a line
/// each time.
struct ProgressLines {
    /// What is done with the rows.
    done: &'static str,
    on_terminal: bool,
    /// When a line was last shown, and of which table.
    last: Mutex<(Instant, Option<&'static str>)>,
}

impl ProgressLines {
    /// The time between two lines.
    const EVERY: Duration = Duration::from_secs(1);

    fn new(dry: bool) -> Self {
        let done = if dry { "to delete" } else { "deleted" };
        let last = Mutex::new((Instant::now(), None));
        Self { done, on_terminal: std::io::stderr().is_terminal(), last }
    }

    fn show(&self, Progress { done, percent }: Progress) {
        let (table, rows) = (done.kind.table(), done.rows.unwrap_or(0));
        let mut last = self.last.lock();
        let is_over = percent == 100;
        let was_shown = last.1 == Some(table);
        // The end of a table is shown if there was anything to do or to wait for.
        if !(last.0.elapsed() >= Self::EVERY || is_over && (rows > 0 || was_shown)) {
            return;
        }
        *last = (Instant::now(), Some(table));
        let line = format!("{table}: {rows} rows {}, {percent} % of the table read", self.done);
        let (begin, end) = match (self.on_terminal, is_over) {
            (true, false) => ("\r\x1b[K", ""),
            (true, true) => ("\r\x1b[K", "\n"),
            (false, _) => ("", "\n"),
        };
        print_progress(format_args!("{begin}{line}{end}"));
    }
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
    lines.extend(tally.iter().filter_map(TableTally::ahead_of_time));
    lines.join("\n")
}
