//! The layers that `tower-http` lacks, and the configuration of those that it has. [`super::router`] puts
//! them in order.

pub mod catch_panic;
pub mod compression;
pub mod cors;
pub mod drain;
pub mod error_pages;
pub mod flood;
pub mod gate;
pub mod guard;
pub mod http_metrics;
pub mod leading_slashes;
pub mod on_response;
pub mod quota_headers;
pub mod request_context;
pub mod request_id;
pub mod security_events;
pub mod security_headers;
pub mod timeout;
pub mod trace;
pub mod well_formed;
