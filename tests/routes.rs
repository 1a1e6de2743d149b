//! The contract, route by route, in process.

mod analytics;
mod cors;
mod dashboard;
mod health;
mod metrics;
mod refresh;
mod table;
mod track;
