//! The formats of an export of personal data.

pub mod archive;
pub mod csv;
pub mod document;
pub mod readme;
