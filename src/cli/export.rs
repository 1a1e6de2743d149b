//! `export`: exports stored events in what `import` reads.

use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use chrono::{Days, NaiveDate};
use clap::{Args, Subcommand};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::output::print_error;
use super::{fail, open, stop_on_signal};
use crate::audit::Actor;
use crate::clock::{Clock, start_of};
use crate::config::Config;
use crate::export::{Destination, Export, Failure, Output};
use crate::import::Format;
use crate::store::{ExportFilter, Store};

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Export stored events: personal data, so the audit trail tells of it
    Events(Options),
}

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// The format
    #[arg(long, default_value = "csv")]
    format: Format,
    /// Only events of this business
    #[arg(long, value_name = "ID")]
    business: Option<String>,
    /// Only events from this day on, as YYYY-MM-DD in the time zone of the business, or else in `TIME_ZONE`
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Only events up to this day, inclusive
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// Where they go: a file, which is compressed if its name ends in .gz, or - for standard output
    #[arg(long, short, value_name = "FILE|-", default_value = "-")]
    output: Destination,
}

impl Options {
    /// Returns which events are exported.
    fn filter(&self, store: &Store) -> ExportFilter {
        let profiles = store.profiles().current();
        let zone = match &self.business {
            Some(business_id) => profiles.zone(business_id),
            None => profiles.default_zone(),
        };
        let after = self.to.and_then(|to| to.checked_add_days(Days::new(1)));
        ExportFilter {
            business_id: self.business.clone(),
            from: self.from.map(|day| start_of(day, zone)),
            before: after.map(|day| start_of(day, zone)),
        }
    }
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let Verb::Events(options) = verb;
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = export(&store, &options).await;
    store.close().await;
    match done {
        Ok(rows) => {
            print_error(format!("{} events exported", HumanCount(rows)));
            ExitCode::SUCCESS
        }
        // A reader that is gone, such as `head`, wants no more.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => fail(format!("the export did not finish: {failure}")),
    }
}

async fn export(store: &Store, options: &Options) -> Result<u64, Failure> {
    let mut output = Output::open(&options.output)?;
    let (clock, stop) = (Clock::system(), CancellationToken::new());
    let (filter, by) = (options.filter(store), Actor::command_line());
    let export = Export { store, filter, format: options.format, clock: &clock, by, stop: &stop };
    let bar = bar();
    let observe = |rows, percent| {
        bar.set_position(percent);
        bar.set_message(format!("{} events", HumanCount(rows)));
    };
    let exported = tokio::select! {
        exported = export.execute(&mut output, observe) => exported,
        never = stop_on_signal(&stop) => never,
    };
    bar.finish_and_clear();
    match exported {
        Ok(rows) => output.finish().map(|()| rows).map_err(Failure::from),
        Err(failure) => {
            output.discard();
            Err(failure)
        }
    }
}

/// Returns a bar, hidden unless standard error is a terminal and the rows do not go to one.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() || std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {msg}, {eta} left");
    ProgressBar::new(100).with_style(style.expect("the template is valid"))
}
