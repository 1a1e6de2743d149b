//! `key`: manages named API keys.

use std::io;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::output::{finish, print, print_error, table};
use super::{fail, open};
use crate::audit::Actor;
use crate::auth::key::{KeyId, NamedKey, PlainKey};
use crate::auth::{Authority, DEFAULT_GRACE, KeyCache, KeyError, NewKey, Revocation};
use crate::clock::Clock;
use crate::config::Config;
use crate::security::{Incident, SecurityEvent};

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Create a key and print it; it is not shown again
    Create(Create),
    /// List all keys, without their secrets
    List,
    /// Replace a key's secret and print the new one; it is not shown again
    Rotate {
        /// The key's public id
        id: KeyId,
        /// How long the old secret stays valid
        #[arg(long, default_value = DEFAULT_GRACE)]
        grace: String,
    },
    /// Revoke a key permanently, and the keys that it made
    Revoke {
        /// The key's public id
        id: KeyId,
        /// Leave the keys that it made valid
        #[arg(long)]
        keep_children: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    /// A name for people to recognise it by
    #[arg(long)]
    name: String,
    /// Comma-separated scopes: track, analytics, refresh, privacy, admin
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<String>,
    /// Restrict the key to this business
    #[arg(long)]
    business: Option<String>,
    /// Tier that sets its quota on /track, /track/batch and /outcomes
    #[arg(long)]
    tier: Option<String>,
    /// Lifetime, such as 90d; unlimited by default
    #[arg(long)]
    expires: Option<String>,
}

impl From<Create> for NewKey {
    fn from(create: Create) -> Self {
        let Create { name, scopes, business, tier, expires } = create;
        Self { name, scopes, business_id: business, tier, expires }
    }
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = perform(&config, &KeyCache::new(store.clone(), Clock::system()), verb).await;
    store.close().await;
    match done {
        Ok(code) => code,
        Err(KeyError::Invalid { field, must_be }) => {
            fail(format!("--{} {must_be}", field.trim_end_matches("_id")))
        }
        Err(error) => fail(error),
    }
}

async fn perform(config: &Config, key_cache: &KeyCache, verb: Verb) -> Result<ExitCode, KeyError> {
    let (actor, authority) = (Actor::command_line(), Authority::unlimited());
    match verb {
        Verb::Create(new_key) => {
            let (key, plain) = key_cache.create(new_key.into(), &config.tiers, &authority, &actor).await?;
            let printed = print_once(config, SecurityEvent::KeyCreated, &key, &plain);
            let Err(error) = printed else { return Ok(ExitCode::SUCCESS) };
            key_cache.revoke(key.id, true, &actor).await?;
            Ok(fail(format!("cannot print the new secret: {error}; the key was revoked again")))
        }
        Verb::Rotate { id, grace } => {
            let (key, plain) = key_cache.rotate(id, &grace, &authority, &actor).await?;
            let printed = print_once(config, SecurityEvent::KeyRotated, &key, &plain);
            let Err(error) = printed else { return Ok(ExitCode::SUCCESS) };
            key_cache.undo_rotation(&key, &actor).await?;
            Ok(fail(format!("cannot print the new secret: {error}; the previous one stays valid")))
        }
        Verb::Revoke { id, keep_children } => revoke(key_cache, id, keep_children, &actor).await,
        Verb::List => {
            let (keys, unreadable) = key_cache.list().await?;
            for error in unreadable {
                tracing::error!("skipping a key whose row cannot be read: {error}");
            }
            Ok(finish(list(&keys, key_cache.now()), ExitCode::SUCCESS))
        }
    }
}

async fn revoke(
    key_cache: &KeyCache,
    id: KeyId,
    keep_children: bool,
    actor: &Actor,
) -> Result<ExitCode, KeyError> {
    let fate = if keep_children { "stays valid" } else { "is revoked with it" };
    for child in key_cache.children(id).await? {
        print_error(format!("{} ({}), which {id} made, {fate}", child.name, child.id));
    }
    let Revocation { key, is_new, children } = key_cache.revoke(id, keep_children, actor).await?;
    for revoked in is_new.then_some(&key).into_iter().chain(&children) {
        Incident::new(SecurityEvent::KeyRevoked, Some(revoked.id)).log();
    }
    let done = match is_new {
        true => format!("revoked {} ({id})", key.name),
        false => format!("{} ({id}) was already revoked", key.name),
    };
    Ok(finish(done, ExitCode::SUCCESS))
}

/// Prints a new plain key. It alone goes to standard output, so that scripts can read it.
fn print_once(config: &Config, event: SecurityEvent, key: &NamedKey, plain: &PlainKey) -> io::Result<()> {
    Incident::new(event, Some(key.id)).log();
    let done = if event == SecurityEvent::KeyRotated { "Rotated" } else { "Created" };
    let (name, id) = (&key.name, key.id);
    print_error(format!("{done} key {name} with public id {id}. Store it now: it will not be shown again."));
    if let Some(previous) = key.previous {
        print_error(format!("The previous secret works until {}.", time(Some(previous.until))));
    }
    if !config.authenticates() {
        print_error("Authentication is off because MLOPS_API_KEY is not set: callers do not need a key.");
    }
    print(plain.expose())
}

fn list(keys: &[NamedKey], now: DateTime<Utc>) -> String {
    let head =
        ["ID", "NAME", "STATUS", "SCOPES", "TIER", "BUSINESS", "CREATED", "EXPIRES", "LAST USED", "PARENT"];
    let rows: Vec<[String; 10]> = keys.iter().map(|key| row(key, now)).collect();
    table(head, &rows)
}

fn row(key: &NamedKey, now: DateTime<Utc>) -> [String; 10] {
    [
        key.id.to_string(),
        key.name.clone(),
        key.status(now).name().to_owned(),
        key.scopes.to_string().replace(' ', ","),
        key.tier.clone().unwrap_or_else(|| "standard".to_owned()),
        key.business_id.clone().unwrap_or_else(|| "all".to_owned()),
        time(Some(key.created_at)),
        time(key.expires_at),
        time(key.last_used_at),
        key.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string()),
    ]
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string())
}
