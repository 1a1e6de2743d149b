//! The contract, route by route, in process.

mod analytics;
mod attempts;
mod audit;
mod businesses;
mod consent_required;
mod consents;
mod cors;
mod dashboard;
mod docs;
mod health;
mod keys;
mod links;
mod metrics;
mod notice;
mod openapi;
mod outcomes;
mod pages;
mod privacy;
mod refresh;
mod sessions;
mod table;
mod tokens;
mod track;
mod track_batch;
