//! Doing without the store: events that it does not take go into the spool, or are refused.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::upkeep::Upkeep;
use super::waiting::{Fate, Group, MAX_TOGETHER};
use super::{IngestError, Job, Kept, Ticket, Tracked};
use crate::event::Event;
use crate::store::Standing;

/// Does without the store while `done` is waited for; `None` when the process stops, and then nothing waits any more.
/// Both go on at the same time: one may hold the spool's file while the other waits for it.
pub(super) async fn put_by_until<T>(
    upkeep: &Upkeep,
    jobs: &mut mpsc::Receiver<Job>,
    stop: &CancellationToken,
    done: impl Future<Output = T>,
) -> Option<T> {
    let over = CancellationToken::new();
    let done = Box::pin(async {
        let done = stop.run_until_cancelled(done).await;
        over.cancel();
        done
    });
    let (done, ()) = tokio::join!(done, put_jobs_by(upkeep, jobs, &over));
    if done.is_none() {
        jobs.close();
        put_jobs_by(upkeep, jobs, &CancellationToken::new()).await;
    }
    done
}

/// Puts the events of jobs by until `over`, or until no more can come.
async fn put_jobs_by(upkeep: &Upkeep, jobs: &mut mpsc::Receiver<Job>, over: &CancellationToken) {
    let mut taken = Vec::new();
    while let Some(1..) = over.run_until_cancelled(jobs.recv_many(&mut taken, MAX_TOGETHER)).await {
        put_by_each(upkeep, taken.drain(..)).await;
    }
}

/// Puts the events of jobs by, and refuses what needs the store.
async fn put_by_each(upkeep: &Upkeep, jobs: impl Iterator<Item = Job>) {
    let mut waiting = VecDeque::new();
    for job in jobs {
        match job {
            Job::Track(ticket) => waiting.push_back(ticket),
            Job::Refresh(answer) => drop(answer.send(false)),
            Job::Settle(settle) => drop(settle),
        }
    }
    put_all_by(upkeep, &mut waiting).await;
}

/// Puts everything by that waits.
pub(super) async fn put_all_by(upkeep: &Upkeep, waiting: &mut VecDeque<Ticket>) {
    while !waiting.is_empty() {
        put_by(upkeep, Group::take(waiting), Standing::Unsent).await;
    }
}

/// Puts those of a group's events into the spool that nobody has, and answers who waits for them.
pub(super) async fn put_by(upkeep: &Upkeep, mut group: Group, standing: Standing) {
    let unkept = group.unkept();
    let events: Vec<&Event> = unkept.iter().map(|place| &group.events[*place]).collect();
    if let Some(added) = upkeep.put_by(&events, standing).await {
        for (place, added) in unkept.into_iter().zip(added) {
            group.fates[place] = Fate::Kept(Tracked { duplicate: !added, kept: Kept::Spooled });
        }
    }
    group.answer(IngestError::Unavailable);
}
