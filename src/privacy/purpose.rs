//! What is stored about a person, why, on which lawful basis, from where and for how long. The notice and the exports draw it
//! from here, so that they cannot disagree (Art. 13 (1), 15 (1) GDPR).

use strum::VariantArray;

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

/// A kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Kind {
    /// Conversations and their messages.
    Chats,
    /// Appointments.
    Appointments,
    /// Events in the database.
    Events,
    /// Facts about conversations.
    Facts,
    /// What became of appointments.
    Outcomes,
    /// Events in the spool.
    Waiting,
    /// Consents.
    Consents,
    /// Privacy requests.
    Requests,
    /// The audit trail.
    Audit,
}

const CONSENT: &str = "Your consent, GDPR Article 6(1)(a)";
const CONSENT_TO_RECORDS: &str =
    "Your consent, GDPR Article 6(1)(a). Without it the answer is only counted, and no record is kept";
const CONTRACT: &str = "A contract with you, or steps at your request before one, GDPR Article 6(1)(b)";
const INTEREST: &str = "Our legitimate interest in an assistant that works, GDPR Article 6(1)(f)";
const INTEREST_UNTIL_CHECKED: &str = "Our legitimate interest in losing no record, GDPR Article 6(1)(f). Whether you \
                                      consented is checked before they are stored in the database";

impl Kind {
    /// Returns the kind of a table's rows.
    #[must_use]
    pub const fn of(table: Table) -> Self {
        match table {
            Table::Conversations | Table::Messages | Table::ChatMessages => Self::Chats,
            Table::Appointments => Self::Appointments,
            Table::Events => Self::Events,
            Table::Facts => Self::Facts,
            Table::Outcomes | Table::Book => Self::Outcomes,
            Table::Consents => Self::Consents,
            Table::Audit => Self::Audit,
            Table::Requests => Self::Requests,
        }
    }

    /// Returns its name in the notice's HTML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chats => "chats",
            Self::Appointments => "appointments",
            Self::Events => "events",
            Self::Facts => "facts",
            Self::Outcomes => "outcomes",
            Self::Waiting => "waiting",
            Self::Consents => "consents",
            Self::Requests => "requests",
            Self::Audit => "audit",
        }
    }

    /// Returns why it is stored.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Chats => "To answer you, and to continue the conversation when you come back",
            Self::Appointments => "To manage the appointment and to tell you about changes",
            Self::Events => "To check that the assistant works, and to track its cost",
            Self::Facts => "To see how well the assistant serves those who talk to it",
            Self::Outcomes => "To see whether conversations lead to appointments that take place",
            Self::Waiting => "So that no record is lost while the database is unavailable",
            Self::Consents => "To respect your choice, and to be able to prove it",
            Self::Requests => "To answer in time, and to be able to prove it",
            Self::Audit => "To be able to prove that we do what the privacy notice says",
        }
    }

    /// Returns the lawful basis, which may depend on whether `CONSENT_REQUIRED` is set.
    #[must_use]
    pub const fn lawful_basis(self, consent_required: bool) -> &'static str {
        match (self, consent_required) {
            (Self::Chats, true) => CONSENT,
            (Self::Chats, false) | (Self::Appointments, _) => CONTRACT,
            (Self::Events | Self::Facts, true) => CONSENT_TO_RECORDS,
            (Self::Waiting, true) => INTEREST_UNTIL_CHECKED,
            (Self::Events | Self::Facts | Self::Waiting, false) | (Self::Outcomes, _) => INTEREST,
            (Self::Consents, _) => "A legal obligation, GDPR Article 6(1)(c) with Article 7(1)",
            (Self::Requests, _) => "A legal obligation, GDPR Article 6(1)(c) with Article 12",
            (Self::Audit, _) => "A legal obligation, GDPR Article 6(1)(c) with Article 5(2)",
        }
    }

    /// Returns where it comes from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Chats => "You, in the chat; the answers were written by an AI model",
            Self::Appointments => "You, in the chat, or the business that entered or changed the appointment",
            Self::Events | Self::Waiting => "Measured while the assistant answered you",
            Self::Facts => "Worked out from the records of the answers you got",
            Self::Outcomes => "The business, which reported it or noted it in its appointment book",
            Self::Consents => "You, where you gave or withdrew them",
            Self::Requests => "You, and the business that recorded what you asked for",
            Self::Audit => "Recorded by the service when it was done",
        }
    }

    /// Returns for how many days it is kept after it was stored, completed or superseded; `None` for no fixed time.
    const fn days(self, periods: RetentionPeriods) -> Option<u32> {
        match self {
            Self::Chats => periods.chats,
            Self::Appointments => periods.appointments,
            Self::Events | Self::Facts | Self::Outcomes | Self::Waiting => periods.events,
            Self::Consents | Self::Requests | Self::Audit => periods.audit,
        }
    }

    /// Returns how long it is kept, in words.
    #[must_use]
    pub fn kept(self, periods: RetentionPeriods) -> String {
        let time = days_in_words(self.days(periods));
        match self {
            Self::Outcomes if self.days(periods).is_some() => {
                format!("{time}, and no less than the appointment itself")
            }
            Self::Consents => format!("As long as it is in force. Superseded ones: {time}"),
            Self::Waiting => "Until they are in the database".to_owned(),
            _ => time,
        }
    }

    /// The same, with when data without a fixed time is deleted.
    #[must_use]
    pub fn kept_until(self, periods: RetentionPeriods) -> String {
        let kept = self.kept(periods);
        let end = match self {
            Self::Waiting => return kept,
            Self::Chats
            | Self::Appointments
            | Self::Events
            | Self::Facts
            | Self::Outcomes
            | Self::Consents => "until it is no longer needed, or until you ask for its erasure",
            Self::Requests | Self::Audit => "as long as it may have to be proved",
        };
        if self.days(periods).is_none() { format!("{kept}: {end}") } else { kept }
    }
}

/// Returns a retention period as text; `None` means that there is none.
#[must_use]
pub fn days_in_words(days: Option<u32>) -> String {
    match days {
        None => "no fixed time".to_owned(),
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
    }
}

/// What an export states about a category of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// Its name, and that of its file in an archive.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The kind of data, which tells the rest.
    pub kind: Kind,
}

/// What an export states about events in the spool.
pub const SPOOL: Category = Category {
    name: "events_waiting",
    what: "Records of answers, kept on the service's disk until they are stored in the database",
    kind: Kind::Waiting,
};

impl Category {
    /// Returns what an export states about a table.
    #[must_use]
    pub const fn of(table: Table) -> Self {
        let (name, what) = match table {
            Table::Conversations => {
                ("conversations", "Conversations with the AI receptionist, including your contact details")
            }
            Table::Messages => ("messages", "The messages in these conversations"),
            Table::ChatMessages => ("chat_messages", "The messages in these conversations"),
            Table::Appointments => {
                ("appointments", "Appointments requested or booked, including your contact details")
            }
            Table::Events => (
                "events",
                "For each answer from the AI: how long it took, what it cost and its topic, but none of its text",
            ),
            Table::Facts => (
                "conversation_facts",
                "For each conversation: when it was, how many answers it had, what they cost and whether it led to an \
                 appointment, but none of its text",
            ),
            Table::Outcomes => {
                ("outcomes", "What became of appointments from these conversations, as reported")
            }
            Table::Book => (
                "appointment_book",
                "What became of appointments from these conversations, as last read from the appointment book",
            ),
            Table::Consents => ("consents", "The consents you gave and withdrew"),
            Table::Audit => (
                "audit",
                "What was done with your data at your request, under a keyed hash instead of your name",
            ),
            Table::Requests => (
                "requests",
                "What you requested and when it was done, under a keyed hash instead of your name",
            ),
        };
        Self { name, what, kind: Kind::of(table) }
    }
}
