//! From the spool to the store, each event once.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::batch::Attempt;
use super::waiting::Fate;
use crate::event::Event;
use crate::store::{Spool, Spooled, Standing, Store, StoreError};

/// Events that are stored in one step, between two batches of others.
const STEP: u32 = 100;

/// Events whose ids are looked up at once.
const LOOKED_UP: u32 = 1_000;

/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_millis(1_500);

/// Stores the events whose writing came to no known end, so that what the store adds up to can be told from what the
/// spool adds up to.
pub(super) async fn resolve(store: &Store, spool: &Spool) -> Result<(), StoreError> {
    while spool.has_pending() && step(store, spool, Standing::Unsure).await? {}
    Ok(())
}

/// Removes events from the spool that the store has: a step may have been interrupted after it had stored them, or another
/// replica was told of them too. Those that come meanwhile are left alone, or there might be no end.
pub(super) async fn look_up(store: &Store, spool: &Spool) -> Result<(), StoreError> {
    let (mut after, end) = (0, spool.state().last_seq());
    while spool.has_pending() && after < end {
        let some = next(spool, Standing::Unsent, after, LOOKED_UP).await;
        let Some(last) = some.last() else { break };
        after = last.seq;
        let ids: Vec<Uuid> = some.iter().map(|spooled| spooled.event.id).collect();
        let stored: HashSet<Uuid> = store.stored(&ids).await?.into_iter().collect();
        let known: Vec<Spooled> =
            some.into_iter().filter(|spooled| stored.contains(&spooled.event.id)).collect();
        remove(spool, &known).await;
    }
    Ok(())
}

/// Stores some events up to this standing, in order; says whether there were any. The first ones are tried again when the
/// store goes away in the middle.
pub(super) async fn step(store: &Store, spool: &Spool, standing: Standing) -> Result<bool, StoreError> {
    let some = next(spool, standing, 0, STEP).await;
    let events: Vec<Event> = some.iter().map(|spooled| spooled.event.clone()).collect();
    let mut fates = vec![Fate::Unkept; events.len()];
    let attempt = Attempt::run(store, &events, &mut fates, true, STEP_LIMIT).await;
    let with_fates = || some.iter().zip(&fates);
    for (refused, _) in with_fates().filter(|(_, fate)| matches!(fate, Fate::Refused(_))) {
        spool.set_aside(refused).await.unwrap_or_else(|error| tell(&error));
    }
    let kept = with_fates().filter(|(_, fate)| matches!(fate, Fate::Kept(_)));
    let kept: Vec<Spooled> = kept.map(|(spooled, _)| spooled.clone()).collect();
    remove(spool, &kept).await;
    attempt.gone.map_or(Ok(!some.is_empty()), Err)
}

/// Events of the spool; none when it fails, which is no fault of the store.
async fn next(spool: &Spool, standing: Standing, after: i64, most: u32) -> Vec<Spooled> {
    spool.next(standing, after, most).await.unwrap_or_else(|error| {
        tell(&error);
        Vec::new()
    })
}

/// Removes events that are stored. Where that fails they come again, and their ids tell that they are stored.
async fn remove(spool: &Spool, stored: &[Spooled]) {
    spool.remove(stored).await.unwrap_or_else(|error| tell(&error));
}

fn tell(error: &StoreError) {
    tracing::error!("the spool cannot be used: {error}");
}
