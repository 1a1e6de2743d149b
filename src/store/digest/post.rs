//! Stores outcomes that callers post.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::outcomes::{NewOutcome, Posting, conversations_of, count, settle};
use super::{facts, sums};
use crate::conversation::{ConversationKey, FactSums};
use crate::event::{Event, Report};
use crate::store::{Store, StoreError, dialect};

/// The time limit of storing outcomes.
const POST_LIMIT: Duration = Duration::from_secs(5);

const STORE: &str = "insert into mlops_outcomes
        (business_id, outcome_id, conversation_id, outcome, value_micros, occurred_at, without_facts_on)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict (business_id, outcome_id) do nothing";

/// Stores the id of an outcome whose row is not kept.
const STORE_ID: &str = "insert into mlops_counted_events (event_id, business_id, at) values ($1, $2, $3)
    on conflict (event_id, business_id) do nothing";

const IS_COUNTED: &str =
    "select count(*) from mlops_counted_events where event_id = $1 and business_id in ('', $2)";

/// Outcomes that are being stored.
#[derive(Default)]
struct Posted {
    postings: Vec<Posting>,
    sums: FactSums,
    /// The conversations whose rows changed.
    changed: BTreeSet<ConversationKey>,
}

impl Posted {
    /// Records what became of an outcome: whether it is new, whether its row is kept, and the day on which it counts as one of a
    /// conversation without facts.
    fn record(&mut self, new: &NewOutcome, is_new: bool, kept: bool, day: Option<NaiveDate>) {
        self.postings.push(match (is_new, kept) {
            (false, _) => Posting::Duplicate,
            (true, true) => Posting::Recorded,
            (true, false) => Posting::CountedOnly,
        });
        if is_new {
            count(&mut self.sums, new, day);
            self.changed.extend(kept.then(|| new.key.clone()));
        }
    }
}

impl Store {
    /// Stores outcomes, all or none. Returns what became of each.
    pub async fn post_outcomes(
        &self,
        outcomes: &[NewOutcome],
        now: DateTime<Utc>,
    ) -> Result<Vec<Posting>, StoreError> {
        let (profiles, conversations) = (self.profiles.current(), conversations_of(outcomes));
        let bearers: Vec<Event> = outcomes
            .iter()
            .map(|new| bearer(&new.key, new.posted.occurred_at).expect("the ids of an outcome were checked"))
            .collect();
        on!(&self.admin, POST_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::lock_digest(&mut *tx).await?;
            let kept = self.keeping.decide(&mut *tx, &bearers).await?;
            let facts = facts::load(&mut *tx, &conversations).await?;
            let mut all = Posted::default();
            for (new, kept) in outcomes.iter().zip(kept) {
                let (business_id, posted) = (&new.key.business_id, &new.posted);
                let day = profiles.day(business_id, posted.occurred_at);
                let day = Some(day).filter(|_| !kept || !facts.contains_key(&new.key));
                let is_counted = sqlx::query_scalar(IS_COUNTED).bind(posted.id).bind(business_id);
                let is_counted: i64 = is_counted.fetch_one(&mut *tx).await?;
                let store = match (is_counted, kept) {
                    (0, true) => sqlx::query(STORE)
                        .bind(business_id)
                        .bind(posted.id)
                        .bind(&new.key.conversation_id)
                        .bind(posted.outcome.name())
                        .bind(posted.value_micros)
                        .bind(posted.occurred_at)
                        .bind(day),
                    _ => sqlx::query(STORE_ID).bind(posted.id).bind(business_id).bind(now),
                };
                let is_new = store.execute(&mut *tx).await?.rows_affected() > 0;
                all.record(new, is_new, kept, day);
            }
            settle(&mut *tx, &facts, &all.changed, &mut all.sums).await?;
            sums::add(&mut *tx, &all.sums).await?;
            tx.commit().await?;
            Ok(all.postings)
        })
    }
}

/// Returns an event of a conversation: what is known of the conversation is kept if the event would be. `None` if no event can have its
/// ids.
pub(super) fn bearer(key: &ConversationKey, at: DateTime<Utc>) -> Option<Event> {
    let report = serde_json::json!({
        "business_id": key.business_id,
        "conversation_id": key.conversation_id,
        "response_time_ms": 0,
        "tokens_used": 0,
    });
    let report = report.to_string();
    Report::parse(report.as_bytes()).and_then(|report| report.into_event(None, at)).ok()
}
