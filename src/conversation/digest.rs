//! Digests events: what they tell about conversations, and what the answers add up to.

use std::collections::BTreeMap;

use super::cost::AnswerCost;
use super::facts::{ConversationKey, Facts};
use super::outcome::Outcome;
use super::sums::{CostSums, DailySums, FactSums, HourlySums, IntentSums, SumRow, TotalKind};
use crate::business::Profiles;
use crate::event::Event;
use crate::pricing::{Computed, Prices};
use crate::rollup::{ERROR_RESPONSE, latency_bucket};

/// What some events tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Digest {
    /// Facts about the conversations of the events, from these events alone.
    pub facts: BTreeMap<ConversationKey, Facts>,
    /// Sums over the answers. Those over conversations depend on what is known of them: see [`FactSums::count`].
    pub sums: FactSums,
}

impl Digest {
    /// Digests events, each of which must be new.
    pub fn of<'e>(events: impl IntoIterator<Item = &'e Event>, profiles: &Profiles, prices: &Prices) -> Self {
        let mut digest = Self::default();
        for event in events {
            digest.add(event, profiles, prices);
        }
        digest
    }

    fn add(&mut self, event: &Event, profiles: &Profiles, prices: &Prices) {
        let cost = AnswerCost::of(event, prices);
        let key = ConversationKey::of(event);
        self.sums.add_answer(event, key.is_some(), cost, profiles);
        let Some(key) = key else { return };
        let facts = Facts::of(event, cost.counted_nanos(), profiles);
        match self.facts.get_mut(&key) {
            Some(known) => known.add(facts),
            None => drop(self.facts.insert(key, facts)),
        }
    }
}

impl FactSums {
    /// Adds an answer.
    fn add_answer(&mut self, event: &Event, in_conversation: bool, cost: AnswerCost, profiles: &Profiles) {
        let business_id = &event.business_id;
        let (day, hour) = (profiles.day(business_id, event.at), profiles.hour(business_id, event.at));
        let daily = self.daily.of(business_id, day, ());
        daily.answers += 1;
        daily.answers_without_conversation += i64::from(!in_conversation);
        let hourly = self.hourly.of(business_id, day, hour.into());
        hourly.answers += 1;
        hourly.errors += i64::from(event.response_type == ERROR_RESPONSE);
        let costs = CostSums::of(event, cost);
        self.totals.add(business_id, TotalKind::ComputedNanos, &event.model_name, costs.computed_nanos);
        self.costs.of(business_id, day, event.model_name.clone()).add(&costs, 1);
    }

    /// Counts a conversation `times` times, which is 1 or −1: what changed is counted by taking off what was known before.
    pub fn count(&mut self, key: &ConversationKey, facts: &Facts, times: i64) {
        let (business_id, day) = (&key.business_id, facts.first.day);
        let daily = DailySums::of(facts);
        let hourly = HourlySums {
            conversations: 1,
            requested: daily.requested,
            booked: daily.booked,
            claimed_not_booked: daily.claimed_not_booked,
            handoffs: daily.handoffs,
            ..HourlySums::default()
        };
        let intents = IntentSums {
            conversations: 1,
            requested: daily.requested,
            booked: daily.booked,
            claimed_not_booked: daily.claimed_not_booked,
        };
        self.daily.of(business_id, day, ()).add(&daily, times);
        self.hourly.of(business_id, day, facts.first.hour.into()).add(&hourly, times);
        self.intents.of(business_id, day, facts.first.intent.clone()).add(&intents, times);
        let bucket = latency_bucket(facts.first.response_ms);
        self.first_latency.of(business_id, day, bucket).conversations += times;
        self.totals.add(business_id, TotalKind::Conversations, "", times);
    }
}

impl CostSums {
    fn of(event: &Event, cost: AnswerCost) -> Self {
        let (reported, computed) = (i64::from(cost.is_reported()), cost.computed_nanos());
        let has_computed = i64::from(computed.is_some());
        let computed_nanos = computed.unwrap_or(0);
        Self {
            answers: 1,
            reported,
            computed: has_computed,
            computed_nanos,
            filled: has_computed * (1 - reported),
            filled_nanos: computed_nanos * (1 - reported),
            both_reported_micros: event.cost_micros * has_computed,
            unpriced: (cost.computed == Computed::Unpriced).into(),
            not_computable: (cost.computed == Computed::NotComputable).into(),
            estimated: event.tokens_estimated.into(),
        }
    }
}

impl DailySums {
    fn of(facts: &Facts) -> Self {
        let outcome = facts.outcome;
        let booked = outcome.is_booked();
        let became = |wanted| outcome.outcome == Some(wanted);
        let value = |counts: bool| if counts { outcome.value_micros } else { 0 };
        Self {
            conversations: 1,
            conversation_answers: facts.answers,
            requested: facts.requested.into(),
            claimed: facts.claimed.into(),
            booked: booked.into(),
            claimed_not_booked: (facts.claimed && !booked).into(),
            in_book_not_claimed: (outcome.in_book && !facts.claimed).into(),
            booked_not_claimed: (booked && !facts.claimed).into(),
            kept: became(Outcome::Kept).into(),
            cancelled: became(Outcome::Cancelled).into(),
            no_show: became(Outcome::NoShow).into(),
            dropped: (facts.requested && !booked && !facts.claimed && !facts.handoff).into(),
            handoffs: facts.handoff.into(),
            contained: (!facts.handoff && !facts.error).into(),
            with_hours: facts.first.in_hours.is_some().into(),
            after_hours: (facts.first.in_hours == Some(false)).into(),
            value_booked_micros: value(booked),
            value_kept_micros: value(became(Outcome::Kept)),
            answers: 0,
            answers_without_conversation: 0,
        }
    }
}
