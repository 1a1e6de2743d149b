//! Checks the read replica.

use super::finding::{Check, Finding};
use crate::config::Config;
use crate::store::{MAX_LAG, Store};

const REPLICA: Check = Check::new("read-replica", "DATABASE_READ_URL");

/// Checks that the replica can be read and is not far behind.
pub(super) async fn usable(config: &Config, store: Option<&Store>) -> Finding {
    if config.database_read_url.is_none() {
        return REPLICA.not_applicable("not set: analytics reads DATABASE_URL");
    }
    let Some(store) = store else { return REPLICA.without_database() };
    let fix = "see why the replica does not follow the primary; until then analytics reads DATABASE_URL";
    match store.check_replica().await {
        None => REPLICA.without_database(),
        Some(Err(error)) => REPLICA.wrong(error.to_string(), fix),
        Some(Ok(state)) if !state.is_usable() => {
            let (lag, most) = (state.lag.as_secs(), MAX_LAG.as_secs());
            REPLICA.wrong(format!("{lag} s behind, more than the {most} s that are allowed"), fix)
        }
        Some(Ok(state)) if !state.follows => REPLICA.warning(
            "it follows no primary, so nobody can tell how far it is behind",
            "name a streaming replica of DATABASE_URL, or unset it",
        ),
        Some(Ok(state)) => REPLICA.ok(format!("{:.1} s behind", state.lag.as_secs_f64())),
    }
}
