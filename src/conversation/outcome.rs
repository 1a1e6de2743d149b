//! Outcomes: what became of a conversation's appointment.

use chrono::{DateTime, NaiveDateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

/// What became of a conversation's appointment. Its name, in snake case, is used in bodies, columns and labels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was made.
    Booked,
    /// The customer came.
    Kept,
    /// The customer did not come.
    NoShow,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the outcome with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// An outcome that a caller posted.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedOutcome {
    /// Its id, which names it within its business.
    pub id: Uuid,
    /// What became of the appointment.
    pub outcome: Outcome,
    /// What the appointment is worth, in millionths of a US dollar.
    pub value_micros: Option<i64>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
}

/// An appointment in the receptionist app's book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookEntry {
    /// The app's id of the appointment.
    pub appointment_id: String,
    /// Booked, kept or cancelled.
    pub outcome: Outcome,
    /// When it takes place, in the time zone of the business.
    pub held_at: Option<NaiveDateTime>,
}

/// What is known about the appointment of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutcomeState {
    /// What became of it; `None` without a booking.
    pub outcome: Option<Outcome>,
    /// Whether the app's book has an appointment.
    pub in_book: bool,
    /// Whether an outcome was posted.
    pub posted: bool,
    /// What the appointment is worth, in millionths of a US dollar; 0 if nobody said.
    pub value_micros: i64,
}

impl OutcomeState {
    /// Returns what `posted` outcomes and entries of the `book` say about one conversation. The newest posted outcome holds,
    /// except that a posted booking only says that there is one; then the latest appointment in the book tells what became of it.
    #[must_use]
    pub fn of(posted: &[PostedOutcome], book: &[BookEntry]) -> Self {
        let age = |one: &&PostedOutcome| (one.occurred_at, one.id);
        let newest = posted.iter().max_by_key(age).map(|one| one.outcome);
        let in_book = book.iter().max_by_key(|entry| (entry.held_at, &entry.appointment_id));
        let value = posted.iter().filter(|one| one.value_micros.is_some()).max_by_key(age);
        Self {
            outcome: match newest {
                Some(Outcome::Booked) | None => in_book.map(|entry| entry.outcome).or(newest),
                settled => settled,
            },
            in_book: in_book.is_some(),
            posted: newest.is_some(),
            value_micros: value.and_then(|one| one.value_micros).unwrap_or(0),
        }
    }

    /// Returns whether there is, or was, an appointment.
    #[must_use]
    pub const fn is_booked(&self) -> bool {
        self.in_book || self.posted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(outcome: Outcome, minute: i64, value_micros: Option<i64>) -> PostedOutcome {
        let occurred_at = DateTime::from_timestamp(minute * 60, 0).unwrap();
        PostedOutcome { id: Uuid::from_u128(1), outcome, value_micros, occurred_at }
    }

    fn entry(id: &str, outcome: Outcome, day: u32) -> BookEntry {
        let held_at =
            chrono::NaiveDate::from_ymd_opt(2026, 11, day).and_then(|day| day.and_hms_opt(10, 0, 0));
        BookEntry { appointment_id: id.to_owned(), outcome, held_at }
    }

    #[test]
    fn the_newest_posted_outcome_wins_over_the_book_unless_it_is_a_booking() {
        let book = [entry("a", Outcome::Kept, 3)];
        let state = OutcomeState::of(&[posted(Outcome::NoShow, 1, None)], &book);
        assert_eq!(state.outcome, Some(Outcome::NoShow));
        let state = OutcomeState::of(&[posted(Outcome::Booked, 1, None)], &book);
        assert_eq!(state.outcome, Some(Outcome::Kept));
        let state =
            OutcomeState::of(&[posted(Outcome::Kept, 2, None), posted(Outcome::Cancelled, 1, None)], &[]);
        assert_eq!(state.outcome, Some(Outcome::Kept), "the newest by when it occurred");
        assert_eq!(OutcomeState::of(&[], &[]), OutcomeState::default());
    }

    #[test]
    fn the_latest_appointment_of_the_book_tells() {
        let book = [entry("b", Outcome::Cancelled, 3), entry("a", Outcome::Booked, 9)];
        let state = OutcomeState::of(&[], &book);
        assert_eq!((state.outcome, state.in_book, state.posted), (Some(Outcome::Booked), true, false));
    }

    #[test]
    fn the_newest_value_holds() {
        let all = [posted(Outcome::Booked, 1, Some(5)), posted(Outcome::Kept, 2, None)];
        assert_eq!(OutcomeState::of(&all, &[]).value_micros, 5);
    }
}
