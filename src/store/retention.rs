//! What is kept for a time only, and how it is deleted without being in anybody's way.
//!
//! A table is gone through from one end to the other in windows: of pages on Postgres, of row numbers on SQLite. So
//! no index is needed, none is paid for by every event, and neither a gap in the ids nor the dead rows of the last run
//! have to be searched. A window is one short transaction on a connection that nothing else uses, and touches only rows
//! that are long finished; it is not even waited for that it is on disk, because a deletion that is lost is made again.

mod dialect;
mod lock;
mod overdue;
mod record;
mod table_plan;
mod windows;

pub use lock::RetentionLock;
pub use record::{RetentionCounts, RetentionRecord};
pub use table_plan::TablePlan;
pub use windows::{Deleted, Seen, Window};

use std::time::Duration;

/// How long one step of a run may take. It is meant to take a hundredth of that; nobody waits for it, and the server gives up
/// sooner, see [`super::dialect`].
const STEP_LIMIT: Duration = Duration::from_secs(12);

/// What is deleted when its time is over, in the order in which a run goes about it: messages before the conversations
/// that hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retained {
    /// Events.
    Events,
    /// The receptionist app's messages.
    Messages,
    /// The same under the name that the lab's SQL has for them.
    ChatMessages,
    /// The app's conversations, as long as no younger message is in them.
    Conversations,
    /// The app's appointments.
    Appointments,
    /// Requests of customers that are done.
    Requests,
    /// Consents and withdrawals that others followed.
    Consents,
    /// Ids of events that were counted and not kept.
    CountedIds,
    /// The audit trail.
    Audit,
}

impl Retained {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Events,
        Self::Messages,
        Self::ChatMessages,
        Self::Conversations,
        Self::Appointments,
        Self::Requests,
        Self::Consents,
        Self::CountedIds,
        Self::Audit,
    ];

    /// The table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Events => "ai_metrics",
            Self::Messages => "messages",
            Self::ChatMessages => "chat_messages",
            Self::Conversations => "conversations",
            Self::Appointments => "appointments",
            Self::Requests => "mlops_privacy_requests",
            Self::Consents => "mlops_consents",
            Self::CountedIds => "mlops_counted_events",
            Self::Audit => "mlops_audit",
        }
    }
}
