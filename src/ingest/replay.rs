//! Replays spooled events to the store, each exactly once.

use std::collections::HashSet;
use std::time::Duration;

use super::TrackResult;
use super::attempt::WriteAttempt;
use super::sink::Sink;
use crate::event::{Event, EventKey};
use crate::spool::{Delivery, Spool, Spooled};
use crate::store::{Store, StoreError};

/// The maximum number of events that one step replays, between two batches of new events.
const STEP: u32 = 100;

/// The number of keys looked up at a time.
const LOOKUP_SIZE: u32 = 1_000;

/// The time limit of a step.
const STEP_LIMIT: Duration = Duration::from_millis(1_500);

/// Stores the events whose delivery is unconfirmed, so that no event is in the totals of both the store and
/// the spool.
pub(super) async fn resolve(sink: &Sink, spool: &Spool) -> Result<(), StoreError> {
    while spool.has_pending() && step(sink, spool, Delivery::Unconfirmed).await? {}
    Ok(())
}

/// Removes events from the spool that are in the store: a step may have been interrupted after storing them,
/// or another replica received them too. It ignores events that arrive in the meantime, so that it ends.
pub(super) async fn remove_stored(store: &Store, spool: &Spool) -> Result<(), StoreError> {
    let (mut after, end) = (0, spool.state().last_seq());
    while spool.has_pending() && after < end {
        let some = next(spool, Delivery::Unsent, after, LOOKUP_SIZE).await;
        let Some(last) = some.last() else { break };
        after = last.seq;
        let keys: Vec<EventKey> = some.iter().map(|spooled| spooled.event.key()).collect();
        let stored: HashSet<EventKey> = store.stored(&keys).await?.into_iter().collect();
        let known: Vec<Spooled> =
            some.into_iter().filter(|spooled| stored.contains(&spooled.event.key())).collect();
        remove(spool, &known).await;
    }
    Ok(())
}

/// Stores some events of at most this [`Delivery`], in order. Returns whether there were any. If the store
/// becomes unavailable, they stay in the spool.
pub(super) async fn step(sink: &Sink, spool: &Spool, delivery: Delivery) -> Result<bool, StoreError> {
    let some = next(spool, delivery, 0, STEP).await;
    let events: Vec<Event> = some.iter().map(|spooled| spooled.event.clone()).collect();
    let mut results: Vec<Option<TrackResult>> = vec![None; events.len()];
    let attempt = WriteAttempt::run(&sink.store, &events, &mut results, true, STEP_LIMIT).await;
    sink.notify_digest();
    let with_results = || some.iter().zip(&results);
    for (refused, _) in with_results().filter(|(_, result)| matches!(result, Some(Err(_)))) {
        spool.mark_refused(refused).await.unwrap_or_else(|error| log(&error));
    }
    let stored = with_results().filter(|(_, result)| matches!(result, Some(Ok(_))));
    let stored: Vec<Spooled> = stored.map(|(spooled, _)| spooled.clone()).collect();
    remove(spool, &stored).await;
    attempt.lost.map_or(Ok(!some.is_empty()), Err)
}

/// Returns events of the spool; none if it fails, which must not count as a failure of the store.
async fn next(spool: &Spool, delivery: Delivery, after: i64, limit: u32) -> Vec<Spooled> {
    spool.next(delivery, after, limit).await.unwrap_or_else(|error| {
        log(&error);
        Vec::new()
    })
}

/// Removes stored events. If that fails, they are replayed again and recognised as duplicates by their ids.
async fn remove(spool: &Spool, stored: &[Spooled]) {
    spool.remove(stored).await.unwrap_or_else(|error| log(&error));
}

fn log(error: &StoreError) {
    tracing::error!("cannot use the spool: {error}");
}
