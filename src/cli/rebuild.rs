//! `rebuild`: builds facts about conversations, and what they add up to, from events that were stored before there were such facts.

use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::finish;
use super::{fail, open};
use crate::config::Config;
use crate::store::{Rebuild, Store, StoreError};

/// The number of ids of events per step.
const STEP: i64 = 10_000;

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Show a progress bar
    #[arg(long)]
    progress: bool,
}

pub(super) async fn run(config: Config, options: Options) -> ExitCode {
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let rebuilt = rebuild(&store, &options).await;
    store.close().await;
    match rebuilt {
        Ok(done) => finish(report(&done), ExitCode::SUCCESS),
        Err(error) => fail(format!("the rebuild did not finish: {error}; run it again to resume")),
    }
}

/// Adds older events until none is left. A running service may do the same meanwhile.
async fn rebuild(store: &Store, options: &Options) -> Result<Rebuild, StoreError> {
    let mut state = store.rebuild().await?;
    let bar = if options.progress { bar(&state) } else { ProgressBar::hidden() };
    while !state.is_done() {
        state = store.rebuild_some(STEP).await?;
        bar.set_position(added(&state));
    }
    bar.finish();
    Ok(state)
}

fn bar(state: &Rebuild) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left");
    let bar = ProgressBar::new(state.of_rows.max(0).cast_unsigned()).with_position(added(state));
    bar.with_style(style.expect("the template is valid"))
}

fn added(state: &Rebuild) -> u64 {
    (state.of_rows - state.left()).max(0).cast_unsigned()
}

fn report(done: &Rebuild) -> String {
    let all = "Facts about conversations are built from all stored events";
    match done.known_from {
        None => format!("{all}."),
        Some(day) => format!("{all}; of days before {day}, events are missing."),
    }
}
