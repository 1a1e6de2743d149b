//! `mlops-service`: the service an AI receptionist reports to.
//!
//! The way of a request: [`http::connection`] → the table in [`http::routes`] → the middleware stack in [`http`] →
//! [`http::middleware::guard`] → a handler. The way of an event: [`event`] parses it, [`ingest`] queues it, one task writes it
//! with its [`rollup`] into the [`store`], adds it to the totals in [`metrics`], and answers.
//!
//! Dependencies point one way: [`cli`] → [`http`] → [`privacy`] → ([`ingest`], [`retention`], [`quota`], [`access`]) → [`store`] → ([`event`],
//! [`rollup`], [`key`], [`audit`], [`subject`]); [`config`], [`metrics`] and [`clock`] are leaves. `http` names no database, `store` no HTTP.

pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod event;
pub mod http;
pub mod ingest;
pub mod lifecycle;
mod log_on_change;
pub mod metrics;
pub mod privacy;
pub mod quota;
pub mod retention;
pub mod rollup;
pub mod security;
pub mod spool;
pub mod store;
pub mod telemetry;
