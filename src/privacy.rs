//! Privacy: who a person is, what they consented to, and the desk that exports and erases their data.
//!
//! [`subject`] and [`consent`] do no I/O. To add what is told of a table, see [`purpose`].

pub mod consent;
mod desk;
pub mod due;
pub mod export;
pub mod purpose;
pub mod subject;

pub use desk::{Desk, DeskError, Receipt, RequestKind};
