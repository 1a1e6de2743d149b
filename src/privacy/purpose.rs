//! What each table stores about a person, why, on which lawful basis and for how long: the information that
//! Art. 15 (1) GDPR requires with the data.

use crate::store::Table;

/// How many days rows are kept; `None` for those that are not deleted automatically.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionPeriods {
    /// Events.
    pub events: Option<u32>,
    /// Conversations and messages.
    pub chats: Option<u32>,
    /// Appointments.
    pub appointments: Option<u32>,
    /// Entries of the audit trail.
    pub audit: Option<u32>,
}

/// What an export states about a category of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// Its name, and that of its file in an archive.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Why it is stored.
    pub why: &'static str,
    /// The lawful basis.
    pub lawful_basis: &'static str,
}

const CONTRACT: &str = "Art. 6 (1) (b) GDPR: performance of a contract, or steps at your request before one";
const INTEREST: &str =
    "Art. 6 (1) (f) GDPR: legitimate interest in a service that works and whose cost is known";
const DUTY: &str = "Art. 6 (1) (c) GDPR: legal obligation to demonstrate compliance (Art. 5 (2), 7 (1))";
const ANSWERING: &str = "To answer your questions, and to continue an earlier conversation";

/// What an export states about events in the spool.
pub const SPOOL: Category = Category {
    name: "events_waiting",
    what: "Events kept on the service's disk until they are stored in the database",
    why: "So that none is lost while the database is unavailable",
    lawful_basis: INTEREST,
};

impl Category {
    /// Returns what an export states about a table.
    #[must_use]
    pub const fn of(table: Table) -> Self {
        let (name, what, why, lawful_basis) = match table {
            Table::Conversations => (
                "conversations",
                "Conversations with the AI receptionist, including your contact details",
                ANSWERING,
                CONTRACT,
            ),
            Table::Messages => ("messages", "The messages in these conversations", ANSWERING, CONTRACT),
            Table::ChatMessages => {
                ("chat_messages", "The messages in these conversations", ANSWERING, CONTRACT)
            }
            Table::Appointments => (
                "appointments",
                "Appointments requested or booked, including your contact details",
                "To manage the appointments",
                CONTRACT,
            ),
            Table::Events => (
                "events",
                "For each answer from the AI: how long it took, what it cost and its topic, but none of its text",
                "To check that the receptionist works, and what it costs",
                INTEREST,
            ),
            Table::Consents => ("consents", "The consents you gave and withdrew", "To prove consent", DUTY),
            Table::Audit => (
                "audit",
                "What was done with your data at your request, under a keyed hash instead of your name",
                "To prove what was done",
                DUTY,
            ),
            Table::Requests => (
                "requests",
                "What you requested and when it was done, under a keyed hash instead of your name",
                "To answer within the legal deadline, and to prove it",
                DUTY,
            ),
        };
        Self { name, what, why, lawful_basis }
    }
}

impl RetentionPeriods {
    /// Returns how long rows of a table are kept, in words.
    #[must_use]
    pub fn until(self, table: Table) -> String {
        let (days, setting) = match table {
            Table::Events => (self.events, "RETENTION_DAYS"),
            Table::Conversations | Table::Messages | Table::ChatMessages => {
                (self.chats, "RETENTION_CHATS_DAYS")
            }
            Table::Appointments => (self.appointments, "RETENTION_APPOINTMENTS_DAYS"),
            Table::Audit => (self.audit, "RETENTION_AUDIT_DAYS"),
            Table::Consents => {
                return match self.audit {
                    Some(days) => format!(
                        "As long as it is the latest entry for its purpose, and for {days} days after it was recorded \
                         (RETENTION_AUDIT_DAYS), or until erased"
                    ),
                    None => "As long as consent may have to be proved, or until erased".to_owned(),
                };
            }
            Table::Requests => {
                return match self.audit {
                    Some(days) => format!("{days} days after completion (RETENTION_AUDIT_DAYS)"),
                    None => "As long as the answer may have to be proved".to_owned(),
                };
            }
        };
        match days {
            Some(days) => format!("{days} days ({setting})"),
            None => format!("No fixed period ({setting} is off): until erased"),
        }
    }
}
