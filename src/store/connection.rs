//! Connections to the database: opening them, lending them, and queueing those that write to a file.

pub(in crate::store) mod inspect;
pub(in crate::store) mod lease;
pub(crate) mod open;
pub(in crate::store) mod write_queue;
