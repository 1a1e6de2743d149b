//! Privacy: identifying persons, their consents, and requests to export or erase their data.
//!
//! [`subject`], [`contact`] and [`consent`] do no I/O. To add what the notice and an export state about a table, see
//! [`purpose`].

pub mod consent;
pub mod contact;
mod desk;
pub mod due;
pub mod export;
pub mod extension;
pub mod information;
pub mod purpose;
pub mod subject;

pub use desk::{Desk, DeskError, Inquiry, Receipt, Remarks, RequestKind};
