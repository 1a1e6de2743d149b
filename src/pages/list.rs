//! What is listed beside the charts: the appointment book, and how far figures can be trusted.

use super::words::{bracketed, counted};
use crate::analytics::{Quality, Rate, Report};
use crate::locale::{Locale, NO_FIGURE, or_dash};

/// A figure with its name and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// What it is.
    pub(super) name: &'static str,
    /// The figure.
    pub(super) value: String,
    /// What it means.
    pub(super) note: &'static str,
}

/// Returns how bookings that the AI claims and those of the book agree.
pub(super) fn book(locale: &Locale, report: &Report, shares_book: bool) -> Vec<Fact> {
    let funnel = report.funnel.as_ref().and_then(Option::as_ref);
    let compared = funnel.filter(|_| shares_book);
    let fact = |name, value, note| Fact { name, value, note };
    vec![
        fact(
            "Claimed, and not in the book",
            or_dash(funnel, |funnel| locale.count(funnel.claimed_not_in_book)),
            if shares_book {
                "The AI told the customer that there is an appointment, and nobody wrote it down."
            } else {
                "The AI said so. The service sees no appointment book, so they count as booked."
            },
        ),
        fact(
            "In the book, and not claimed",
            or_dash(compared, |funnel| locale.count(funnel.in_book_not_claimed)),
            "Booked after the conversation, for example by telephone.",
        ),
        fact(
            "Cancelled",
            or_dash(funnel, |funnel| locale.count(funnel.cancelled)),
            "Taken back, by the customer or the business.",
        ),
        fact(
            "Customer did not come",
            or_dash(funnel, |funnel| locale.count(funnel.no_show)),
            "The appointment was neither kept nor cancelled.",
        ),
        fact(
            "Value of kept appointments",
            funnel
                .filter(|funnel| funnel.value_kept_usd.dollars() > 0.0)
                .map_or_else(|| NO_FIGURE.to_owned(), |funnel| locale.usd(funnel.value_kept_usd.dollars())),
            "As reported with their outcomes.",
        ),
    ]
}

/// Returns in sentences what the figures of a report leave out, or are unsure of.
pub(super) fn trust(
    locale: &Locale,
    report: &Report,
    known_from: Option<&str>,
    shares_book: bool,
) -> Vec<String> {
    let known = known_from.map(|day| {
        format!("Conversations are known from {day} on. Those before are in no figure but answers and cost.")
    });
    let book = (!shares_book).then(|| {
        "The service sees no appointment book, so a booking is what the AI claims or an outcome reports."
            .to_owned()
    });
    let mut lines: Vec<String> = known.into_iter().chain(book).collect();
    lines.extend(report.quality.iter().flat_map(|quality| gaps(locale, quality)));
    if lines.is_empty() {
        let complete = "Nothing is missing: every answer is in a conversation, with its tokens and its cost.";
        lines.push(complete.to_owned());
    }
    lines
}

/// Returns a sentence for each kind of answer that figures leave out, or are unsure of.
fn gaps(locale: &Locale, quality: &Quality) -> Vec<String> {
    let some = |rate: &Rate<i64>| {
        let count = counted(locale, rate.part, "answer", "answers");
        (rate.part > 0).then(|| format!("{count}{}", bracketed(locale, rate)))
    };
    let uncounted = Rate::of(quality.answers_without_facts, 0);
    let lines = [
        some(&quality.answers_without_conversation)
            .map(|some| format!("{some} named no conversation: there were more conversations than shown.")),
        some(&uncounted).map(|some| {
            format!("{some} were counted and not stored, for lack of consent or after an erasure: they are in no conversation.")
        }),
        some(&quality.estimated_tokens)
            .map(|some| format!("The tokens of {some} are estimated, and so is what they cost.")),
        some(&quality.unpriced).map(|some| format!("{some} came from a model without a known price.")),
        some(&quality.computed_cost)
            .map(|some| format!("The cost of {some} comes from the price table, as none was reported.")),
    ];
    lines.into_iter().flatten().collect()
}
