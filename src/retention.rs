//! Retention: what is kept for a time only goes when its time is over.
//!
//! [`Policy`] says how long, [`Schedule`] when, [`Run`] goes through the tables and deletes, and [`Keeper`] is the task that
//! has it done once a day, by whichever replica takes the lock. Sums stay: statistics and counters know nothing of it.

mod keeper;
mod pace;
mod policy;
mod run;
mod schedule;

pub use keeper::Keeper;
pub use policy::Policy;
pub use run::{Done, Failure, Run, Tally};
pub use schedule::Schedule;
