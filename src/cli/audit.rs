//! `audit`: verifies the audit trail.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::fail;
use super::output::finish;
use crate::audit::chain::Head;
use crate::audit::verify::Verification;
use crate::config::Config;
use crate::store::{Store, StoreError};

/// The time limit of the verification: longer than any trail needs.
const TIME_LIMIT: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Recompute the hash chain; exits with 1 if it is broken
    Verify {
        /// A head recorded earlier, as SEQ:HASH: also detects removed newest entries and a rewritten trail
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<Head>,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let Verb::Verify { head } = verb;
    let verified = async {
        let store = Store::open(&config)?;
        let verified = store.verify_audit(head, TIME_LIMIT).await;
        store.close().await;
        verified
    };
    match verified.await {
        Ok(verified) => print_result(&verified, head),
        Err(error) => {
            let error: StoreError = error;
            fail(format!("cannot read the audit trail: {error}"))
        }
    }
}

fn print_result(verified: &Verification, recorded: Option<Head>) -> ExitCode {
    let Verification { entries, head, broken, .. } = verified;
    if let Some(broken) = broken {
        let broken = format!("The audit trail is broken: {broken}. Entries checked: {entries}.");
        return finish(broken, ExitCode::FAILURE);
    }
    let recorded = recorded.map_or_else(String::new, |recorded| format!(" It contains {recorded}."));
    let intact =
        format!("The audit trail is intact: {entries} entries.{recorded} Record its head elsewhere: {head}");
    finish(intact, ExitCode::SUCCESS)
}
