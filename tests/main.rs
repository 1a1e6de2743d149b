//! All integration tests, in one binary. The harness starts every server that they need.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod architecture;
mod browser;
mod check;
mod conformance;
mod docs;
mod faults;
mod harness;
mod import;
mod lab;
mod logs;
mod partitions;
mod pricing;
mod retention;
mod routes;
mod settings;
