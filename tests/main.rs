//! All integration tests, in one binary. The harness starts every server that they need.

mod browser;
mod conformance;
mod faults;
mod harness;
mod lab;
mod logs;
mod routes;
mod settings;
