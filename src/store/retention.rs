//! Deletes rows past their retention period without slowing down other work.
//!
//! A run scans a table from one end to the other in windows: ranges of pages on Postgres, of row ids on
//! SQLite. So it needs no index, which every insert would pay for, and neither gaps in the ids nor the dead
//! rows of the last run cost anything. Each window is one short transaction on a dedicated connection, which
//! touches only rows that are no longer written to. It does not wait for the disk, because a lost deletion is
//! repeated.
//!
//! Where events are partitioned by month, each partition is a table of its own here, and one whose every row is old goes as a whole.

mod dialect;
mod lock;
mod month;
mod overdue;
mod record;
mod table_plan;
mod windows;

pub use lock::RetentionLock;
pub use record::{RetentionCounts, RetentionRecord};
pub use table_plan::TablePlan;
pub use windows::{Deleted, Window, WindowCounts};

use std::time::Duration;

use strum::VariantArray;

/// The time limit of one step of a run, about a hundred times what it is meant to take. The server's own
/// limit is lower: see [`super::dialect`].
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(12);

/// A kind of data with a retention period, in the order in which a run processes them: messages before their
/// conversations, facts before what is kept as long as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub enum Retained {
    /// Events.
    Events,
    /// Facts about conversations.
    Facts,
    /// Posted outcomes of conversations without facts.
    Outcomes,
    /// The receptionist app's messages.
    Messages,
    /// The same in installations that call the table `chat_messages`.
    ChatMessages,
    /// The app's conversations without newer messages.
    Conversations,
    /// The app's appointments.
    Appointments,
    /// What was read of appointments that are gone, of conversations without facts.
    Book,
    /// Completed privacy requests.
    Requests,
    /// Superseded consents and withdrawals.
    Consents,
    /// Ids of events counted without a row.
    CountedIds,
    /// Tombstones of erased conversations and sessions that have lapsed.
    Tombstones,
    /// The audit trail.
    Audit,
}

impl Retained {
    /// Returns the name of the table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Events => "ai_metrics",
            Self::Facts => "mlops_conversations",
            Self::Outcomes => "mlops_outcomes",
            Self::Messages => "messages",
            Self::ChatMessages => "chat_messages",
            Self::Conversations => "conversations",
            Self::Appointments => "appointments",
            Self::Book => "mlops_book",
            Self::Requests => "mlops_privacy_requests",
            Self::Consents => "mlops_consents",
            Self::CountedIds => "mlops_counted_events",
            Self::Tombstones => "mlops_tombstones",
            Self::Audit => "mlops_audit",
        }
    }
}
