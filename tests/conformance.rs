//! What every implementation of a seam must do, written once.

mod audit;
mod businesses;
mod digest;
mod event_fields;
mod limiter;
mod migrations;
mod needed_rights;
mod roles;
mod spool;
mod store;
mod tables;
