//! What each table holds of a person, why, on which lawful basis, and until when: what Art. 15 (1) GDPR asks for beside
//! the data.

use crate::store::Table;

/// For how many days rows are kept; `None` for those that nothing deletes by itself.
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

/// What is to be said of a category of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// Its name, which its file in an archive has.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Why it is held.
    pub why: &'static str,
    /// On which lawful basis.
    pub lawful_basis: &'static str,
}

const CONTRACT: &str =
    "Art. 6 (1) (b) GDPR: steps before a contract, taken at your request, and the contract itself";
const INTEREST: &str =
    "Art. 6 (1) (f) GDPR: the legitimate interest in a service that works and whose cost is known";
const DUTY: &str =
    "Art. 6 (1) (c) GDPR: the legal duty to be able to show that the law is kept (Art. 5 (2), 7 (1))";
const ANSWERING: &str = "To answer what was asked, and to go on where a conversation was left";

/// What is to be said of events that wait on local disk.
pub const SPOOL: Category = Category {
    name: "events_waiting",
    what: "Events that wait on the service's disk until the database takes them",
    why: "So that none is lost while the database is away",
    lawful_basis: INTEREST,
};

impl Category {
    /// What is to be said of a table.
    #[must_use]
    pub const fn of(table: Table) -> Self {
        let (name, what, why, lawful_basis) = match table {
            Table::Conversations => (
                "conversations",
                "Conversations with the AI receptionist, with your contact",
                ANSWERING,
                CONTRACT,
            ),
            Table::Messages => ("messages", "What was said in these conversations", ANSWERING, CONTRACT),
            Table::ChatMessages => {
                ("chat_messages", "What was said in these conversations", ANSWERING, CONTRACT)
            }
            Table::Appointments => (
                "appointments",
                "Appointments that were asked for or booked, with your contact",
                "To keep the appointments",
                CONTRACT,
            ),
            Table::Events => (
                "events",
                "For each answer of the AI: how long it took, what it cost, and what it was about; none of its words",
                "To see that the receptionist works, and what it costs",
                INTEREST,
            ),
            Table::Consents => {
                ("consents", "What you consented to, and what you took back", "To prove consent", DUTY)
            }
            Table::Audit => (
                "audit",
                "What was done with your data at your request, under a keyed hash instead of your name",
                "To prove what was done",
                DUTY,
            ),
            Table::Requests => (
                "requests",
                "What you asked for, and when it was done, under a keyed hash instead of your name",
                "To answer within the time that the law sets, and to prove it",
                DUTY,
            ),
        };
        Self { name, what, why, lawful_basis }
    }
}

impl RetentionPeriods {
    /// Until when rows of a table are kept, in words.
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
                        "As long as it is the last word on its purpose, and {days} days after it was noted \
                         (RETENTION_AUDIT_DAYS), or until erased"
                    ),
                    None => "As long as the consent may have to be proved, or until erased".to_owned(),
                };
            }
            Table::Requests => {
                return match self.audit {
                    Some(days) => format!("{days} days after it was done (RETENTION_AUDIT_DAYS)"),
                    None => "As long as the answer may have to be proved".to_owned(),
                };
            }
        };
        match days {
            Some(days) => format!("{days} days after they came ({setting})"),
            None => format!("No time is set ({setting} is off): until they are erased"),
        }
    }
}
