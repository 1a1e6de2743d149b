//! Retention: what is kept for a time only goes when its time is over.
//!
//! [`Policy`] says how long, [`Schedule`] when, [`Run`] goes through the tables and deletes, and [`RetentionTask`] is the task that
//! has it done once a day, by whichever replica takes the lock. Sums stay: statistics and counters know nothing of it.

mod pace;
mod policy;
mod run;
mod schedule;
mod task;

pub use policy::Policy;
pub use run::{Failure, Run, TableTally, Tally};
pub use schedule::Schedule;
pub use task::RetentionTask;
