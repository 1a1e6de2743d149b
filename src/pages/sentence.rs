//! What changed most, in a sentence.

use super::words::{than, weeks_earlier};
use crate::analytics::{Notable, NotableFigure, NotableValue};
use crate::locale::Locale;

/// Returns what changed most.
#[must_use]
pub fn sentence(locale: &Locale, notable: &Notable, weeks: u64) -> String {
    let (now, before) = (value(locale, notable.now), value(locale, notable.before));
    let moved = if notable.is_more { "rose" } else { "fell" };
    let from_to = |what: &str, of: &str| {
        format!(
            "What changed most: {what} {moved} from {before} to {now} of {of}, compared with {}.",
            weeks_earlier(weeks)
        )
    };
    match notable.figure {
        NotableFigure::Conversations => {
            let words = ["more conversations", "fewer conversations", "as many conversations"];
            let change = notable.change.map_or_else(String::new, |change| locale.change_in(change, words));
            format!("What changed most: {} ({now} after {before}, today left out).", than(&change, weeks))
        }
        NotableFigure::Conversion => from_to("appointments booked", "conversations"),
        NotableFigure::HandoffRate => from_to("handing over to a person", "conversations"),
        NotableFigure::ErrorRate => from_to("failures of the AI", "answers"),
        NotableFigure::ResponseTime => {
            let pace = if notable.is_more { "slower" } else { "faster" };
            format!(
                "What changed most: answers were {pace}, {now} on average after {before} {}.",
                weeks_earlier(weeks)
            )
        }
        NotableFigure::CostPerConversation => {
            format!("What changed most: a conversation cost {now} after {before} {}.", weeks_earlier(weeks))
        }
    }
}

fn value(locale: &Locale, value: NotableValue) -> String {
    match value {
        NotableValue::Count(count) => locale.count(count),
        NotableValue::Rate(rate) => {
            let value = rate.value.unwrap_or_default();
            // Small rates differ in their decimals.
            locale.percent(value, u8::from(value < 0.1))
        }
        NotableValue::Milliseconds(ms) => locale.duration_ms(ms),
        NotableValue::Usd(usd) => locale.usd(usd.dollars()),
    }
}
