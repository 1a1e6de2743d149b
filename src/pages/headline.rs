//! The figures at the top of a page.

use super::words::{MIN_CASES, change, share_of};
use crate::analytics::{Rate, Report};
use crate::locale::{Locale, NO_FIGURE, or_dash};

/// A figure with its name, what it is of, and how it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// What it is.
    pub name: &'static str,
    /// The figure.
    pub value: String,
    /// What it is of, or in other terms.
    pub note: String,
    /// How it changed, if there were enough cases to tell.
    pub change: Option<Change>,
}

/// How a figure changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `up`, `down` or `same`, as in the style sheet. Neither is good or bad by itself.
    pub direction: &'static str,
    /// In words.
    pub text: String,
}

impl Change {
    fn of(value: f64, text: String) -> Self {
        let direction = match (value * 100.0).round() {
            0.0 => "same",
            shown if shown > 0.0 => "up",
            _ => "down",
        };
        Self { direction, text }
    }
}

/// Returns the headline figures of a report with all parts.
pub(super) fn headlines(locale: &Locale, report: &Report, weeks: u64) -> Vec<Headline> {
    vec![
        conversations(locale, report, weeks),
        booked(locale, report, weeks),
        kept(locale, report, weeks),
        handoffs(locale, report, weeks),
        answer_time(locale, report, weeks),
        cost(locale, report, weeks),
    ]
}

fn conversations(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let conversations = report.conversations.as_ref().and_then(Option::as_ref);
    Headline {
        name: "Conversations",
        value: or_dash(conversations, |of| locale.count(of.conversations)),
        note: super::words::counted(locale, report.metrics.total_conversations, "answer", "answers"),
        change: counted(locale, report, weeks, |change| change.conversations),
    }
}

fn booked(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let funnel = report.funnel.as_ref().and_then(Option::as_ref);
    Headline {
        name: "Appointments booked",
        value: or_dash(funnel, |funnel| locale.count(funnel.booked)),
        note: funnel.map(|funnel| share_of(locale, &funnel.conversion, "conversations")).unwrap_or_default(),
        change: counted(locale, report, weeks, |change| change.booked),
    }
}

fn kept(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let funnel = report.funnel.as_ref().and_then(Option::as_ref);
    // Where nobody says what became of appointments, none are known to be kept; that is not 0.
    let told = funnel.filter(|funnel| funnel.kept + funnel.cancelled + funnel.no_show > 0);
    let note = match (funnel, told) {
        (_, Some(funnel)) => share_of(locale, &Rate::of(funnel.kept, funnel.booked), "booked"),
        (Some(_), None) => "Nothing is known of what became of them".to_owned(),
        (None, None) => String::new(),
    };
    Headline {
        name: "Appointments kept",
        value: or_dash(told, |funnel| locale.count(funnel.kept)),
        note,
        change: told.and_then(|_| counted(locale, report, weeks, |change| change.kept)),
    }
}

fn handoffs(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let conversations = report.conversations.as_ref().and_then(Option::as_ref);
    Headline {
        name: "Handed to a person",
        value: or_dash(conversations, |of| locale.count(of.handoff_rate.part)),
        note: conversations.map(|of| share_of(locale, &of.handoff_rate, "conversations")).unwrap_or_default(),
        change: counted(locale, report, weeks, |change| change.handoffs),
    }
}

fn answer_time(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let answers = report.percentiles.as_ref().map(|of| of.answers);
    let half = answers.and_then(|of| of.p50);
    let before = report.previous.as_ref().map(|previous| &previous.metrics);
    let before = before.filter(|before| before.total_conversations >= MIN_CASES);
    let change = before.filter(|_| report.metrics.total_conversations >= MIN_CASES).map(|before| {
        let value = report.metrics.avg_response_time_ms / before.avg_response_time_ms - 1.0;
        let words = locale.change_in(value, ["slower", "faster", "as fast"]);
        Change::of(value, format!("on average {}", super::words::than(&words, weeks)))
    });
    Headline {
        name: "Answer time",
        value: or_dash(answers.and_then(|of| of.p95), |ms| locale.duration_ms(ms)),
        note: half.map(|ms| format!("for 95 %; half within {}", locale.duration_ms(ms))).unwrap_or_default(),
        change: change.filter(|_| before.is_some_and(|before| before.avg_response_time_ms > 0.0)),
    }
}

fn cost(locale: &Locale, report: &Report, weeks: u64) -> Headline {
    let cost = report.cost.as_ref();
    let has_answers = report.metrics.total_conversations > 0;
    let per = cost.and_then(|cost| cost.per_conversation_usd);
    let change = report.previous.as_ref().map(|previous| &previous.change);
    let change = change.filter(|change| change.answers.whole >= MIN_CASES);
    let change = change.and_then(|change| change.cost_usd.value).map(|value| {
        let words = locale.change_in(value, ["more", "less", "as much"]);
        Change::of(value, super::words::than(&words, weeks))
    });
    Headline {
        name: "Cost",
        value: cost
            .filter(|_| has_answers)
            .map_or_else(|| NO_FIGURE.to_owned(), |cost| locale.usd(cost.counted_usd.dollars())),
        note: per.map(|per| format!("{} a conversation", locale.usd(per.dollars()))).unwrap_or_default(),
        change,
    }
}

/// Returns the change of a count.
fn counted(
    locale: &Locale,
    report: &Report,
    weeks: u64,
    of: impl Fn(&crate::analytics::Change) -> Option<Rate<i64>>,
) -> Option<Change> {
    let rate = of(&report.previous.as_ref()?.change)?;
    let text = change(locale, &rate, weeks)?;
    Some(Change::of(rate.value.unwrap_or_default(), text))
}
