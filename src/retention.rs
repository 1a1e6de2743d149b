//! Retention: deletes data past its retention period.
//!
//! [`Policy`] has the periods and [`Schedule`] the time of day. [`Run`] deletes, and [`RetentionTask`]
//! executes a run once a day, on whichever replica acquires the lock. Sums stay, so counters and analytics do
//! not change.

mod pace;
mod policy;
mod run;
mod schedule;
mod task;

pub use policy::Policy;
pub use run::{Failure, Observer, Progress, Run, TableTally, Tally};
pub use schedule::Schedule;
pub use task::RetentionTask;
