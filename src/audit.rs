//! The audit trail: what was done with keys and with persons' data, by whom and when.
//!
//! [`entry`] says what an entry is, [`chain`] how entries hang together, [`verify`] whether they still do; none of these does
//! I/O. [`recorder`] appends what no request waits for. Entries of changes are appended in the transaction of the change.

pub mod chain;
mod entry;
pub mod recorder;
pub mod verify;

pub use entry::{Action, By, Entry};
pub use recorder::Recorder;
