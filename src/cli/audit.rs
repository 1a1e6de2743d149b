//! `audit`: the audit trail from the command line.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::fail;
use crate::audit::chain::Head;
use crate::audit::verify::Verification;
use crate::config::Config;
use crate::store::{Store, StoreError};

/// How long it may take: longer than any trail needs.
const PATIENCE: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Recompute the chain of the audit trail; exit code 1 when it is broken
    Verify {
        /// A head that the trail once had, noted elsewhere: it shows what the chain alone cannot, that entries at its end
        /// were removed or that all of it was made anew
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<Head>,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let Verb::Verify { head } = verb;
    let verified = async {
        let store = Store::open(&config)?;
        let verified = store.verify_audit(head, PATIENCE).await;
        store.close().await;
        verified
    };
    match verified.await {
        Ok(verified) => tell(&verified, head),
        Err(error) => {
            let error: StoreError = error;
            fail(format!("the audit trail cannot be read: {error}"))
        }
    }
}

fn tell(verified: &Verification, noted: Option<Head>) -> ExitCode {
    let Verification { entries, head, broken, .. } = verified;
    if let Some(broken) = broken {
        println!("The audit trail is broken: {broken}. Entries looked at: {entries}.");
        return ExitCode::FAILURE;
    }
    let noted = noted.map_or_else(String::new, |noted| format!(" It still holds {noted}."));
    println!("The audit trail is intact: {entries} entries.{noted} Its head, to be noted elsewhere: {head}");
    ExitCode::SUCCESS
}
