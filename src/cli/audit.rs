//! `audit`: verifies the audit trail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::fail;
use super::output::{finish, print_error};
use crate::audit::chain::{Head, InvalidHead};
use crate::audit::purge::Purge;
use crate::audit::verify::Verification;
use crate::clock::{Clock, timestamp};
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
        /// A file of heads, one per line; by default that of `AUDIT_HEAD_FILE`
        #[arg(long, value_name = "FILE")]
        head_file: Option<PathBuf>,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let Verb::Verify { head, head_file } = verb;
    let configured = config.audit_head_file.clone().filter(|path| path.exists());
    let heads = match head_file.or(configured).map(|path| read_heads(&path)).transpose() {
        Ok(heads) => heads.unwrap_or_default(),
        Err(problem) => return fail(problem),
    };
    let verified = async {
        let store = Store::open(&config)?;
        let recorded = heads.into_iter().chain(head);
        let verified = store.verify_audit(recorded, Clock::system().now(), TIME_LIMIT).await;
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

/// Reads the heads at the beginnings of the lines of a file. A last line that is cut off is left out.
pub(super) fn read_heads(path: &Path) -> Result<Vec<Head>, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let heads = whole.lines().enumerate().map(|(index, line)| {
        let head = line.split(' ').next().unwrap_or_default().parse();
        head.map_err(|error: InvalidHead| format!("line {} of {}: {error}", index + 1, path.display()))
    });
    heads.collect()
}

fn print_result(verified: &Verification, recorded: Option<Head>) -> ExitCode {
    let Verification { entries, head, broken, purges, .. } = verified;
    for Purge { at, rows, last_seq, last_at } in purges {
        let (at, last_at) = (timestamp(*at), timestamp(*last_at));
        print_error(format!(
            "Purged at {at}: {rows} entries up to {last_seq}, which was written at {last_at}."
        ));
    }
    if let Some(broken) = broken {
        let broken = format!("The audit trail is broken: {broken}. Entries checked: {entries}.");
        return finish(broken, ExitCode::FAILURE);
    }
    let recorded = recorded.map_or_else(String::new, |recorded| format!(" It contains {recorded}."));
    let intact =
        format!("The audit trail is intact: {entries} entries.{recorded} Record its head elsewhere: {head}");
    finish(intact, ExitCode::SUCCESS)
}
