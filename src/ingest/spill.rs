//! Spilling: events that the store cannot accept in time go into the spool, or are refused if there is none.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, MAX_BATCH};
use super::handle::{Command, TrackRequest};
use super::sink::Sink;
use super::{Destination, IngestError, Tracked};
use crate::event::Event;
use crate::spool::Delivery;

/// Spills incoming events until `done` completes. Returns `None` if the process stops first; then the queue
/// is empty. Both are polled concurrently, because one may have the spool's file open while the other waits
/// for it.
pub(super) async fn spill_until<T>(
    sink: &Sink,
    commands: &mut mpsc::Receiver<Command>,
    stop: &CancellationToken,
    done: impl Future<Output = T>,
) -> Option<T> {
    let over = CancellationToken::new();
    let done = Box::pin(async {
        let done = stop.run_until_cancelled(done).await;
        over.cancel();
        done
    });
    let (done, ()) = tokio::join!(done, spill_commands(sink, commands, &over));
    if done.is_none() {
        commands.close();
        spill_commands(sink, commands, &CancellationToken::new()).await;
    }
    done
}

/// Spills the events of commands until `over`, or until no more can come.
async fn spill_commands(sink: &Sink, commands: &mut mpsc::Receiver<Command>, over: &CancellationToken) {
    let mut taken = Vec::new();
    while let Some(1..) = over.run_until_cancelled(commands.recv_many(&mut taken, MAX_BATCH)).await {
        spill_each(sink, taken.drain(..)).await;
    }
}

/// Spills the events of commands, and refuses commands that need the store.
async fn spill_each(sink: &Sink, commands: impl Iterator<Item = Command>) {
    let mut queue = VecDeque::new();
    for command in commands {
        match command {
            Command::Track(request) => queue.push_back(request),
            Command::Refresh(reply) => drop(reply.send(false)),
            Command::Drain(request) => drop(request),
        }
    }
    spill_all(sink, &mut queue).await;
}

/// Spills the whole queue.
pub(super) async fn spill_all(sink: &Sink, queue: &mut VecDeque<TrackRequest>) {
    while !queue.is_empty() {
        spill(sink, Batch::take(queue), Delivery::Unsent).await;
    }
}

/// Spills those of a batch's events that have no result, and replies to its requests.
pub(super) async fn spill(sink: &Sink, mut batch: Batch, delivery: Delivery) {
    let pending = batch.pending();
    let events: Vec<&Event> = pending.iter().map(|position| &batch.events[*position]).collect();
    if let Some(added) = sink.spill(&events, delivery).await {
        for (position, added) in pending.into_iter().zip(added) {
            batch.results[position] =
                Some(Ok(Tracked { duplicate: !added, destination: Destination::Spool }));
        }
    }
    batch.reply(IngestError::Unavailable);
}
