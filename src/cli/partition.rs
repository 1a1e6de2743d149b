//! `partition`: partitions the table of events by month, on Postgres, while events are written; later, makes missing months.

use std::process::ExitCode;

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::fail;
use super::output::finish;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Copied, Partitioning, Store, StoreError, Turnover};

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Do it; without this, only tell what would be done
    #[arg(long, conflicts_with = "cancel")]
    yes: bool,
    /// Give up a turnover that is not completed, and remove what it has copied
    #[arg(long)]
    cancel: bool,
    /// Show a progress bar
    #[arg(long)]
    progress: bool,
}

pub(super) async fn run(config: Config, options: Options) -> ExitCode {
    let done = async {
        let store = Store::open_as_owner(&config)?;
        let done = partition(&store, &options).await;
        store.close().await;
        done
    };
    match done.await {
        Ok(told) => finish(told, ExitCode::SUCCESS),
        Err(error) => fail(format!("cannot partition ai_metrics: {error}")),
    }
}

async fn partition(store: &Store, options: &Options) -> Result<String, StoreError> {
    let mut partitioning = store.partitioning().await?;
    store.check_migrations().await?;
    let state = partitioning.state().await?;
    match state {
        Turnover::Done if options.cancel => {
            unusable("ai_metrics is partitioned; docs/scaling.md tells how to go back")
        }
        Turnover::NotBegun if options.cancel => Ok("There is nothing to give up.".to_owned()),
        Turnover::Begun if options.cancel => {
            partitioning.cancel().await?;
            Ok("The turnover is given up; ai_metrics is as it was.".to_owned())
        }
        Turnover::Done if options.yes => {
            let made = partitioning.add_months(Clock::system().now()).await?;
            Ok(format!("ai_metrics is partitioned; {made} months were missing and are made."))
        }
        Turnover::Done => {
            Ok("ai_metrics is partitioned; --yes makes the months that are missing.".to_owned())
        }
        Turnover::NotBegun | Turnover::Begun => {
            let refusals = partitioning.refusals().await?;
            if !refusals.is_empty() {
                return unusable(&format!("first, please:\n  - {}", refusals.join("\n  - ")));
            }
            match options.yes {
                true => turn_over(&mut partitioning, options.progress).await,
                false => outlook(&mut partitioning, state).await,
            }
        }
    }
}

fn unusable(why: &str) -> Result<String, StoreError> {
    Err(StoreError::Unusable(why.to_owned()))
}

/// Tells what would be done.
async fn outlook(partitioning: &mut Partitioning, state: Turnover) -> Result<String, StoreError> {
    let outlook = partitioning.outlook().await?;
    let how = if state == Turnover::Begun { "go on copying" } else { "copy" };
    Ok(format!(
        "This would {how} ai_metrics, about {} rows, into a table with a partition for each month, while events are written, and \
         then put that in its place. Until then both take room: about {} more. Nothing was done: run it again with --yes.",
        HumanCount(outlook.rows.unsigned_abs()),
        HumanBytes(outlook.bytes.unsigned_abs() / 4 * 5)
    ))
}

async fn turn_over(partitioning: &mut Partitioning, shows_progress: bool) -> Result<String, StoreError> {
    partitioning.begin(Clock::system().now()).await?;
    let mut copied = partitioning.copy_some().await?;
    let bar = if shows_progress { bar(copied) } else { ProgressBar::hidden() };
    while !copied.is_done {
        copied = partitioning.copy_some().await?;
        bar.set_position(copied.rows.unsigned_abs());
    }
    bar.finish();
    partitioning.verify().await?;
    partitioning.switch().await?;
    Ok(format!(
        "ai_metrics is partitioned by month; {} rows were copied, and newer ones followed.",
        HumanCount(copied.rows.unsigned_abs())
    ))
}

fn bar(copied: Copied) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} rows, {per_sec}, {eta} left");
    let bar = ProgressBar::new(copied.of_rows.unsigned_abs()).with_position(copied.rows.unsigned_abs());
    bar.with_style(style.expect("the template is valid"))
}
