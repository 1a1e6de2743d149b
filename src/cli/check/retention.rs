//! Checks of retention: that old rows are deleted.

use chrono::{DateTime, TimeDelta, Utc};

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::retention::Policy;
use crate::store::{Retained, Store};

/// The maximum age of the last retention run: one day, plus the time it takes.
const RUN_AGE: TimeDelta = TimeDelta::hours(26);

const RETENTION: Check = Check::new("retention", "RETENTION_DAYS, and the last run");

/// Runs the checks of retention.
pub(super) async fn checks(store: Option<&Store>, policy: Policy, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = vec![of_events(store, policy, now).await];
    findings.extend(of_tables(store, policy).await);
    findings
}

/// Checks that old events are deleted.
async fn of_events(store: Option<&Store>, policy: Policy, now: DateTime<Utc>) -> Finding {
    let Some(days) = policy.days(Retained::Events) else {
        return RETENTION
            .wrong("off: events and facts about conversations are kept forever", "set RETENTION_DAYS=90");
    };
    let record = match with_store(RETENTION, store, async |store| store.retention_record().await).await {
        Ok(record) => record,
        Err(finding) => return finding,
    };
    let fix = "see the service's log for the reason, or run mlops-service retention run";
    match record {
        None => RETENTION.warning(
            format!("{days} days, but no run yet: the service has never started on this database"),
            "start the service, or run mlops-service retention run from cron",
        ),
        Some(record) => match record.done_at {
            Some(at) if now - at <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the last run started {}", at.format("%Y-%m-%d %H:%M UTC")))
            }
            Some(at) => RETENTION.wrong(
                format!(
                    "{days} days, but the last completed run started {}",
                    at.format("%Y-%m-%d %H:%M UTC")
                ),
                fix,
            ),
            None if now - record.waiting_since <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the first run is not due yet"))
            }
            None => RETENTION.wrong(format!("{days} days, but no run has completed"), fix),
        },
    }
}

/// Checks that old rows of the receptionist app are deleted, if its tables are in this database.
async fn of_tables(store: Option<&Store>, policy: Policy) -> [Finding; 2] {
    let chats = Check::new("retention-chats", "RETENTION_CHATS_DAYS, and the app's tables");
    let appointments =
        Check::new("retention-appointments", "RETENTION_APPOINTMENTS_DAYS, and the app's table");
    let kinds = [Retained::Messages, Retained::ChatMessages, Retained::Conversations];
    [
        of_app(chats, store, policy, &kinds, "RETENTION_CHATS_DAYS").await,
        of_app(appointments, store, policy, &[Retained::Appointments], "RETENTION_APPOINTMENTS_DAYS").await,
    ]
}

async fn of_app(
    check: Check,
    store: Option<&Store>,
    policy: Policy,
    kinds: &[Retained],
    setting: &str,
) -> Finding {
    let mut there = Vec::new();
    for kind in kinds {
        match with_store(check, store, async |store| store.has_table(*kind).await).await {
            Ok(true) => there.push(kind.table()),
            Ok(false) => {}
            Err(finding) => return finding,
        }
    }
    match (policy.days(kinds[0]), there.is_empty()) {
        (_, true) => check.not_applicable("the app's tables are not in this database"),
        (Some(days), false) => check.ok(format!("{} are deleted after {days} days", there.join(", "))),
        (None, false) => check.warning(
            format!("off: {} are never deleted", there.join(", ")),
            format!("decide how long to keep them and set {setting}"),
        ),
    }
}
