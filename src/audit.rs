//! The audit trail: what was done with keys and personal data, by whom and when.
//!
//! [`Entry`] is an entry, [`chain`] hashes entries, and [`verify`] checks the hashes; none of these does I/O.
//! [`Recorder`] appends entries that no request waits for. Entries for changes are appended in the
//! transaction of the change.

pub mod chain;
mod entry;
pub mod head_file;
pub mod purge;
pub mod recorder;
pub mod verify;

pub use entry::{Action, Actor, Entry};
pub use head_file::HeadKeeper;
pub use recorder::Recorder;
