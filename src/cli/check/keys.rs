//! Checks of secrets: API keys, their strength and their age, and passwords.

use std::path::Path;
use std::time::UNIX_EPOCH;

use chrono::{DateTime, TimeDelta, Utc};

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::auth::key::{NamedKey, Status};
use crate::config::{ApiKey, Config, Environment, MIN_PRODUCTION_KEY_CHARS, dotenv};
use crate::store::{Store, StoreError};

/// The age, in days, at which a secret should be rotated: quarterly.
const ROTATE_DAYS: i64 = 92;

/// The number of days before its expiry at which a key is reported.
const EXPIRES_SOON_DAYS: i64 = 14;

const MAKE_A_KEY: &str = "make one with: openssl rand -hex 32";

/// Checks that the settings require a strong key.
pub(super) fn shared(config: &Config) -> Finding {
    let check = Check::new("api-key", "MLOPS_API_KEY and OIDC_ISSUER");
    let keys = &config.mlops_api_key;
    let serious = !matches!(config.environment, Environment::Development | Environment::Test);
    if !config.authenticates() {
        return check.wrong_if(
            serious,
            "authentication is off: neither is set",
            format!("set MLOPS_API_KEY; {MAKE_A_KEY}"),
        );
    }
    if let Some((_, weakness)) = config.weak_secrets().iter().find(|(name, _)| *name == "MLOPS_API_KEY") {
        return check.wrong(format!("a key {weakness}"), MAKE_A_KEY);
    }
    let short = |key: &ApiKey| key.expose().len() < MIN_PRODUCTION_KEY_CHARS;
    if keys.iter().any(short) {
        let found = format!("a key is shorter than {MIN_PRODUCTION_KEY_CHARS} characters");
        return check.wrong_if(serious, found, MAKE_A_KEY);
    }
    match keys.len() {
        0 => check.ok("no shared key; bearer tokens and named keys only"),
        1 => check.ok("one key, long enough"),
        several => check.ok(format!("{several} keys, all long enough")),
    }
}

/// Checks the age of the shared key, by the change time of its file.
pub(super) fn shared_age(config: &Config, dotenv: &Path, now: DateTime<Utc>) -> Finding {
    let check = Check::new("api-key-age", "when the .env file with MLOPS_API_KEY last changed");
    let holds_key = dotenv::sets(dotenv, "MLOPS_API_KEY");
    if config.mlops_api_key.is_empty() || !holds_key {
        return check
            .not_applicable("not set in a .env file here, so its age is unknown; rotate it quarterly");
    }
    let changed = dotenv.metadata().and_then(|file| file.modified());
    let seconds =
        changed.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_secs());
    let changed = DateTime::from_timestamp(seconds.cast_signed(), 0).unwrap_or(now);
    let days = (now - changed).num_days();
    match days > ROTATE_DAYS {
        true => check.warning(
            format!("unchanged for {days} days"),
            "add a new key before the old one, separated by a comma; remove the old one once nobody uses it",
        ),
        false => check.ok(format!("changed {days} days ago")),
    }
}

/// Checks the passwords in URLs.
pub(super) fn passwords(config: &Config) -> Finding {
    let check = Check::new("passwords", "passwords in DATABASE_URL, MIGRATION_DATABASE_URL and REDIS_URL");
    let weak: Vec<String> =
        config.weak_passwords().into_iter().map(|(name, what)| format!("that in {name} {what}")).collect();
    match (config.passwords().len(), weak.is_empty()) {
        (0, _) => check.not_applicable("no URL has a password"),
        (_, false) => check.wrong(
            weak.join("; "),
            "give each role a password of its own; make one with: openssl rand -hex 32",
        ),
        (some, true) => check.ok(format!("{some}, none of them an example or used twice")),
    }
}

/// Checks the age and the expiry of named keys.
pub(super) async fn named(store: Option<&Store>, now: DateTime<Utc>) -> Finding {
    let check = Check::new("named-keys", "mlops_api_keys");
    let keys = match with_store(check, store, async |store| store.keys().await).await {
        Ok(keys) => keys,
        Err(finding) => return finding,
    };
    if keys.iter().any(Result::is_err) {
        return check.warning(
            "a key's row cannot be read, so the key is rejected",
            "fix or delete the row, which was not written by the service",
        );
    }
    let keys: Vec<NamedKey> = keys.into_iter().filter_map(Result::<_, StoreError>::ok).collect();
    check_keys(check, &keys, now)
}

fn check_keys(check: Check, keys: &[NamedKey], now: DateTime<Utc>) -> Finding {
    let active: Vec<&NamedKey> = keys.iter().filter(|key| key.status(now) == Status::Active).collect();
    let names = |wanted: &dyn Fn(&NamedKey) -> bool| {
        let ids: Vec<String> =
            active.iter().filter(|key| wanted(key)).map(|key| key.id.to_string()).collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    };
    if let Some(ids) = names(&|key| (now - secret_since(key, now)).num_days() > ROTATE_DAYS) {
        return check.warning(format!("older than {ROTATE_DAYS} days: {ids}"), "mlops-service key rotate ID");
    }
    let soon = now + TimeDelta::days(EXPIRES_SOON_DAYS);
    if let Some(ids) = names(&|key| key.expires_at.is_some_and(|end| end < soon)) {
        return check.warning(
            format!("expires within {EXPIRES_SOON_DAYS} days: {ids}"),
            "create new keys for their users: mlops-service key create",
        );
    }
    let endless = active.iter().filter(|key| key.expires_at.is_none()).count();
    match active.len() {
        0 => check.not_applicable("no active named key"),
        some => check.ok(format!("{some} active, {endless} of them without expiry, none due for rotation")),
    }
}

/// Returns the latest time since when a key can have had its secret: its creation or, if it was rotated, the
/// end of the grace period.
fn secret_since(key: &NamedKey, now: DateTime<Utc>) -> DateTime<Utc> {
    key.previous.map_or(key.created_at, |previous| previous.until.min(now).max(key.created_at))
}
