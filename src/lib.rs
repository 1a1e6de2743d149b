//! `mlops-service`: metrics and analytics service for AI receptionists.
//!
//! A request passes [`http::connection`], the middleware stack in [`http`], the table in [`http::routes`] and the
//! guard before its handler. An event is parsed by [`event`] and queued by [`ingest`], whose only task writes it with
//! its [`rollup`] to the [`store`] and adds it to the totals in [`metrics`].
//!
//! Dependencies point one way: [`cli`] → [`http`] → [`analytics`] → [`app`] → [`privacy`] → ([`ingest`], [`retention`],
//! [`quota`], [`auth`]) → ([`store`], [`spool`]) → ([`config`], [`metrics`], [`security`]) → the domain.
//! ARCHITECTURE.md lists the files of the domain.

pub mod analytics;
pub mod app;
pub mod audit;
pub mod auth;
pub mod business;
pub mod charts;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conversation;
pub mod event;
pub mod export;
pub mod fair_share;
mod field_name;
pub mod http;
pub mod import;
pub mod ingest;
pub mod lifecycle;
pub mod link;
pub mod locale;
mod log_on_change;
pub mod metrics;
mod owned_file;
pub mod pages;
pub mod pricing;
pub mod privacy;
pub mod quota;
pub mod retention;
pub mod rollup;
pub mod security;
pub mod shape;
pub mod spool;
pub mod store;
pub mod telemetry;
