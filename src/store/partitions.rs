//! `ai_metrics` partitioned by month, on Postgres: turning the table over while events are written, and its months.
//!
//! A unique index of a partitioned table must contain the column it is partitioned by, so ids of events are kept unique by
//! `mlops_event_ids`, which triggers on the partitioned table fill. The SQL of a turnover is in files beside this one.

mod copy;
mod leaves;
mod months;

pub use copy::{Copied, Outlook, Partitioning, Turnover};
pub(in crate::store) use leaves::Leaf;
pub use months::EventMonths;
