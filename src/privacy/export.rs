//! The forms in which a person gets their data.

pub mod archive;
pub mod csv;
pub mod document;
