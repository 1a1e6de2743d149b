//! `key`: named API keys from the command line.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::{fail, open};
use crate::audit::Actor;
use crate::auth::key::{KeyId, NamedKey, PlainKey};
use crate::auth::{DEFAULT_GRACE, KeyCache, KeyError, NewKey};
use crate::clock::Clock;
use crate::config::Config;
use crate::security::{Incident, SecurityEvent};

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Make a key and print it, this once
    Create(Create),
    /// List all keys, without their secrets
    List,
    /// Give a key a new secret and print it, this once
    Rotate {
        /// The key's public id
        id: KeyId,
        /// How long the old secret works
        #[arg(long, default_value = DEFAULT_GRACE)]
        grace: String,
    },
    /// Revoke a key for good
    Revoke {
        /// The key's public id
        id: KeyId,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// What it allows, separated by commas: track, analytics, refresh, privacy, admin
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<String>,
    /// The only business it is valid for
    #[arg(long)]
    business: Option<String>,
    /// The tier whose quota it has on /track
    #[arg(long)]
    tier: Option<String>,
    /// How long it is valid, such as 90d; without end by default
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
        Ok(()) => ExitCode::SUCCESS,
        Err(KeyError::Invalid { field, must_be }) => {
            fail(format!("--{} {must_be}", field.trim_end_matches("_id")))
        }
        Err(error) => fail(error),
    }
}

async fn perform(config: &Config, ring: &KeyCache, verb: Verb) -> Result<(), KeyError> {
    let by = Actor::command_line();
    match verb {
        Verb::Create(wish) => {
            let (key, plain) = ring.create(wish.into(), &config.tiers, &by).await?;
            print_once(config, SecurityEvent::KeyCreated, &key, &plain);
        }
        Verb::Rotate { id, grace } => {
            let (key, plain) = ring.rotate(id, &grace, &by).await?;
            print_once(config, SecurityEvent::KeyRotated, &key, &plain);
        }
        Verb::Revoke { id } => {
            let (key, is_new) = ring.revoke(id, &by).await?;
            if is_new {
                Incident::new(SecurityEvent::KeyRevoked, Some(key.id)).log();
            }
            println!("{} ({id}) is revoked{}", key.name, if is_new { "" } else { ", and was before" });
        }
        Verb::List => {
            let (keys, unreadable) = ring.list().await?;
            print_table(&keys, ring.now());
            for error in unreadable {
                tracing::error!("a key is not listed: {error}");
            }
        }
    }
    Ok(())
}

/// The key alone goes to standard output, so that a script can take it.
fn print_once(config: &Config, event: SecurityEvent, key: &NamedKey, plain: &PlainKey) {
    Incident::new(event, Some(key.id)).log();
    eprintln!("Key {} has the public id {}. Keep it now: it is not shown again.", key.name, key.id);
    if let Some(previous) = key.previous {
        eprintln!("The secret before it works until {}.", time(Some(previous.until)));
    }
    if !config.authenticates() {
        eprintln!("MLOPS_API_KEY is not set, so authentication is off: no key is asked for.");
    }
    println!("{}", plain.expose());
}

fn print_table(keys: &[NamedKey], now: DateTime<Utc>) {
    let head = ["ID", "NAME", "STATUS", "SCOPES", "TIER", "BUSINESS", "CREATED", "EXPIRES", "LAST USED"];
    let rows: Vec<[String; 9]> = keys.iter().map(|key| row(key, now)).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in [head.map(str::to_owned)].iter().chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn row(key: &NamedKey, now: DateTime<Utc>) -> [String; 9] {
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
    ]
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string())
}
