//! What every implementation of a seam must do, written once.

mod audit;
mod event_fields;
mod limiter;
mod migrations;
mod roles;
mod spool;
mod store;
mod tables;
