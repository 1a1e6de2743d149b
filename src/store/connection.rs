//! Connections to the database: opening, leasing, and queueing those that write to a file.

pub(in crate::store) mod file;
pub(in crate::store) mod inspect;
pub(in crate::store) mod lease;
mod online_index;
pub(crate) mod open;
pub(in crate::store) mod privileges;
pub(in crate::store) mod sessions;
pub(in crate::store) mod write_queue;
