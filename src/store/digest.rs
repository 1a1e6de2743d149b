//! Digests stored events: keeps facts about conversations, and adds up what they and their answers amount to.
//!
//! A batch only notes the ids of its rows (`mlops_undigested`), and a task digests them a moment later. What it buys: `POST /track` waits
//! for one insert, and the answers of a conversation are often digested together; with a digest in each batch, SQLite took 0.57 times
//! as many events a second. It can go when a batch can update a row of each conversation at the cost of one insert.
//!
//! Whoever changes facts or sums of facts holds one lock until the end of its transaction, so that a conversation is always
//! counted as it was counted before.

mod book;
pub(in crate::store) mod facts;
mod outcomes;
mod post;
mod queue;
mod rebuild;
mod rows;
pub(in crate::store) mod sql;
mod sums;
mod totals;

pub use book::Book;
pub use outcomes::{NewOutcome, Posting};
pub use rebuild::Rebuild;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Store;
use super::events::foreign::ForeignRow;
use super::rollups::AddRollup;
use crate::business::Profiles;
use crate::conversation::{ConversationKey, Digest, Facts};
use crate::event::Event;
use crate::pricing::Prices;
use crate::rollup::Rollup;
use sql::FactsDialect;

/// What events are digested with.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Appraisal<'a> {
    /// The zones and opening hours of businesses.
    pub(in crate::store) profiles: &'a Profiles,
    /// What models cost.
    pub(in crate::store) prices: &'a Prices,
}

impl Appraisal<'_> {
    /// Digests events, each of which must be new.
    pub(in crate::store) fn digest<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Digest {
        Digest::of(events, self.profiles, self.prices)
    }
}

impl Store {
    /// Returns what events are digested with.
    pub(in crate::store) fn appraisal<'a>(&'a self, profiles: &'a Profiles) -> Appraisal<'a> {
        Appraisal { profiles, prices: &self.prices }
    }
}

/// Counts rows that other programs inserted in the rollups, and digests those that a rebuild will not come to. Returns how many labels
/// were redacted. Must run inside a transaction.
pub(in crate::store) async fn count_rows<C: AddRollup + FactsDialect>(
    conn: &mut C,
    rows: Vec<ForeignRow>,
    now: DateTime<Utc>,
    appraisal: Appraisal<'_>,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<i64> = rows.iter().map(ForeignRow::row_id).collect();
    let (events, redacted): (Vec<Event>, Vec<u64>) = rows.into_iter().map(|row| row.into_event(now)).unzip();
    conn.add_rollup(&Rollup::of(&events, appraisal.profiles)).await?;
    conn.lock().await?;
    let below = conn.rebuilt_below().await?;
    let events = events.iter().zip(ids).filter(|(_, id)| *id >= below).map(|(event, _)| event);
    add(conn, appraisal.digest(events)).await?;
    Ok(redacted.iter().sum())
}

/// Adds a digest to the facts and the sums. Must run inside a transaction that holds the lock.
pub(in crate::store) async fn add<C: FactsDialect>(conn: &mut C, digest: Digest) -> Result<(), sqlx::Error> {
    let Digest { facts: told, mut sums } = digest;
    let keys: Vec<ConversationKey> = told.keys().cloned().collect();
    let mut known = facts::load(conn, &keys).await?;
    let new: Vec<ConversationKey> = keys.into_iter().filter(|key| !known.contains_key(key)).collect();
    let outcomes = outcomes::adopt(conn, &new, &mut sums).await?;
    let mut merged = BTreeMap::new();
    for (key, told) in told {
        let facts = match known.remove(&key) {
            Some(mut facts) => {
                sums.count(&key, &facts, -1);
                facts.add(told);
                facts
            }
            None => Facts { outcome: outcomes.get(&key).copied().unwrap_or_default(), ..told },
        };
        sums.count(&key, &facts, 1);
        merged.insert(key, facts);
    }
    facts::save(conn, &merged).await?;
    sums::add(conn, &sums).await
}
