//! The newest conversations, as a table. They are shown by their ids alone.

use askama::Template;
use chrono_tz::Tz;

use super::Choice;
use crate::conversation::{ConversationKey, Facts, Outcome};
use crate::locale::Locale;

/// What a reader selected, by the names and values of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The outcome.
    pub outcome: Option<&'a str>,
    /// Whether they were handed to a person.
    pub handoff: Option<&'a str>,
    /// Whether an answer was an error.
    pub error: Option<&'a str>,
}

/// A select element.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Select {
    label: &'static str,
    name: &'static str,
    options: Vec<Choice>,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    began: String,
    id: String,
    answers: String,
    appointment: &'static str,
    ended: &'static str,
    cost: String,
}

/// The table of conversations.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/conversations.html")]
pub struct ConversationList {
    hidden: Vec<(String, String)>,
    selects: [Select; 3],
    rows: Vec<Row>,
    next: Option<String>,
}

impl ConversationList {
    /// Creates the table. `hidden` are the parameters of the page that a new selection keeps, and `next` leads to older conversations.
    #[must_use]
    pub fn new(
        locale: &Locale,
        zone: Tz,
        found: &[(ConversationKey, Facts)],
        shares_book: bool,
        selection: Selection<'_>,
        hidden: Vec<(String, String)>,
        next: Option<String>,
    ) -> Self {
        let row = |(key, facts): &(ConversationKey, Facts)| Row {
            began: locale.date_time(facts.first.at, zone),
            id: key.conversation_id.clone(),
            answers: locale.count(facts.answers),
            appointment: appointment(facts, shares_book),
            ended: ended(facts),
            cost: locale.usd(crate::analytics::Usd::from_nanos(facts.cost_nanos).dollars()),
        };
        Self { hidden, selects: selects(selection), rows: found.iter().map(row).collect(), next }
    }
}

/// Returns what became of an appointment.
fn appointment(facts: &Facts, shares_book: bool) -> &'static str {
    let booked = facts.outcome.is_booked();
    match facts.outcome.outcome {
        Some(Outcome::Kept) => "Kept",
        Some(Outcome::NoShow) => "Customer did not come",
        Some(Outcome::Cancelled) => "Cancelled",
        _ if booked => "Booked",
        _ if facts.claimed && shares_book => "Claimed, not in the book",
        _ if facts.claimed => "Booked, says the AI",
        _ if facts.requested => "Requested",
        _ => crate::locale::NO_FIGURE,
    }
}

fn ended(facts: &Facts) -> &'static str {
    match (facts.handoff, facts.error) {
        (true, true) => "A person, after an error",
        (true, false) => "A person",
        (false, true) => "The AI, with an error",
        (false, false) => "The AI alone",
    }
}

fn selects(selection: Selection<'_>) -> [Select; 3] {
    let select = |label, name, current: Option<&str>, options: &[(&'static str, &'static str)]| Select {
        label,
        name,
        options: options
            .iter()
            .map(|&(value, text)| Choice { value, text, selected: current.unwrap_or_default() == value })
            .collect(),
    };
    let outcomes = [
        ("", "All"),
        ("booked", "Booked"),
        ("kept", "Kept"),
        ("cancelled", "Cancelled"),
        ("no_show", "Customer did not come"),
        ("none", "None known"),
    ];
    [
        select("Appointment", "outcome", selection.outcome, &outcomes),
        select(
            "Handed to a person",
            "handoff",
            selection.handoff,
            &[("", "All"), ("true", "Yes"), ("false", "No")],
        ),
        select("With an error", "error", selection.error, &[("", "All"), ("true", "Yes"), ("false", "No")]),
    ]
}
