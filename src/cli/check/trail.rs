//! The check of the audit trail.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::cli::audit::read_heads;
use crate::config::Config;
use crate::store::Store;

/// The time limit of verifying the audit trail.
const VERIFY_LIMIT: Duration = Duration::from_mins(1);

const CHAIN: Check = Check::new("audit-chain", "every entry of the audit trail, and AUDIT_HEAD_FILE");

/// Verifies the trail, against what the database tells and the heads in `AUDIT_HEAD_FILE`.
pub(super) async fn chain(config: &Config, store: Option<&Store>, now: DateTime<Utc>) -> Finding {
    let file = config.audit_head_file.as_deref().filter(|path| path.exists());
    let heads = match file.map(read_heads).transpose() {
        Ok(heads) => heads.unwrap_or_default(),
        Err(problem) => return CHAIN.wrong(problem, "see who changed the file of AUDIT_HEAD_FILE"),
    };
    let found =
        with_store(CHAIN, store, async |store| store.verify_audit(heads, now, VERIFY_LIMIT).await).await;
    let fix = "find out who changed it; see mlops-service audit verify and docs/audit.md";
    match found {
        Err(finding) => finding,
        Ok(found) => match (found.broken, found.complete) {
            (Some(broken), _) => CHAIN.wrong(broken.to_string(), fix),
            (None, true) => CHAIN.ok(format!("{} entries, chain intact", found.entries)),
            (None, false) => CHAIN.warning(
                format!(
                    "the first {} entries are intact; the time limit left the others unchecked",
                    found.entries
                ),
                "mlops-service audit verify",
            ),
        },
    }
}
