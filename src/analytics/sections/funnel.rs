//! `funnel`.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Basis, Totals};
use crate::analytics::{Rate, Usd};

/// From conversations to kept appointments. It counts conversations.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Funnel {
    /// Conversations.
    #[schema(minimum = 0)]
    pub conversations: i64,
    /// Those in which an appointment was requested.
    #[schema(minimum = 0)]
    pub requested: i64,
    /// Those with a booking, cancelled ones included.
    #[schema(minimum = 0)]
    pub booked: i64,
    /// Those whose newest outcome is that the appointment was kept.
    #[schema(minimum = 0)]
    pub kept: i64,
    /// … that it was cancelled.
    #[schema(minimum = 0)]
    pub cancelled: i64,
    /// … that the customer did not come.
    #[schema(minimum = 0)]
    pub no_show: i64,
    /// Requested, and neither booked, nor claimed, nor handed to a person.
    #[schema(minimum = 0)]
    pub dropped: i64,
    /// Booked, of conversations.
    pub conversion: Rate<i64>,
    /// Those of which an event claims a booking that is neither in a shared book nor posted.
    #[schema(minimum = 0)]
    pub claimed_not_in_book: i64,
    /// Those with a booking in the book that no event claims.
    #[schema(minimum = 0)]
    pub in_book_not_claimed: i64,
    /// The value of booked appointments.
    pub value_booked_usd: Usd,
    /// The value of kept appointments.
    pub value_kept_usd: Usd,
    /// Outcomes of conversations that no event has named, or whose facts are gone, by when they occurred.
    #[schema(minimum = 0)]
    pub outcomes_without_conversation: i64,
}

impl Funnel {
    /// Returns `None` if no conversation of these days is known.
    pub(in crate::analytics) fn of(totals: &Totals, basis: Basis) -> Option<Self> {
        let facts = &totals.known.as_ref()?.facts;
        let booked = basis.booked_of(facts);
        Some(Self {
            conversations: facts.conversations,
            requested: facts.requested,
            booked,
            kept: facts.kept,
            cancelled: facts.cancelled,
            no_show: facts.no_show,
            dropped: facts.dropped,
            conversion: Rate::of(booked, facts.conversations),
            claimed_not_in_book: facts.claimed_not_booked,
            in_book_not_claimed: facts.in_book_not_claimed,
            value_booked_usd: Usd::from_micros(facts.value_booked_micros),
            value_kept_usd: Usd::from_micros(facts.value_kept_micros),
            outcomes_without_conversation: totals.all.outcomes_without_conversation,
        })
    }
}
