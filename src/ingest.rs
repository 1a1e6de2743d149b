//! Writes events to the store.
//!
//! One task, in `worker.rs`, owns the queue and the connections it writes through. It takes everything that
//! is queued, writes it in one transaction, adds it to the totals in memory and replies to every request:
//! group commit, without any artificial delay. The totals are reloaded as of a moment at which nothing is
//! being written, so a reload cannot race a commit.
//!
//! Events that the store cannot accept in time go into the spool, and are replayed when the store is
//! available again.

mod attempt;
mod batch;
mod digest;
mod handle;
mod late_withdrawals;
mod maintenance;
mod profile_refresh;
mod replay;
mod rollup_merge;
mod sink;
mod spill;
mod totals_reload;
mod worker;
mod writer;

pub use handle::{Destination, EventFilter, Ingest, IngestError, TrackResult, Tracked};
