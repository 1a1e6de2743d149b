//! The page of a business.

mod conversations;
mod cost;
mod funnel;
mod hours;
mod latency;

use askama::Template;
use chrono::NaiveDate;

use super::headline::{Headline, headlines};
use super::list::{Fact, book, trust};
use super::{ConversationList, FirstEvent, Frame, Notice, PeriodView};
use crate::analytics::{BusinessPage as Figures, Report};
use crate::business::OpeningHours;
use crate::charts::{Figure, Table, Unit, XAxis, YAxis};
use crate::locale::{Locale, or_dash};
pub(super) use conversations::conversations_chart;
pub(super) use cost::change as cost_change;
use cost::cost_chart;
pub(super) use funnel::funnel_chart;
use hours::hours_chart;
use latency::latency_chart;

/// What a page of a business is made of, beside its figures.
#[derive(Debug)]
pub struct Subject<'a> {
    /// How the reader writes numbers and dates.
    pub locale: &'a Locale,
    /// The name of the business, or else its id.
    pub name: String,
    /// The period.
    pub period: PeriodView,
    /// Whether the receptionist app's book is shared.
    pub shares_book: bool,
    /// Where its statement is, if the reader may see it.
    pub statement: Option<String>,
    /// What is said above the figures.
    pub notices: Vec<Notice>,
    /// What changed most, in a sentence.
    pub sentence: Option<String>,
    /// The opening hours, if they are set.
    pub opening_hours: Option<OpeningHours>,
}

/// The page of a business.
#[derive(Template)]
#[template(path = "business.html")]
pub struct BusinessPage {
    page: Frame,
    name: String,
    period: PeriodView,
    statement: Option<String>,
    notices: Vec<Notice>,
    sentence: Option<String>,
    empty: Option<FirstEvent>,
    headlines: Vec<Headline>,
    figures: Vec<Figure>,
    intents: Table,
    intents_csv: String,
    book: Vec<Fact>,
    trust: Vec<String>,
    conversations: Option<ConversationList>,
}

impl BusinessPage {
    /// Creates the page. `empty` is shown in place of figures if there are none.
    #[must_use]
    pub fn new(
        frame: Frame,
        subject: Subject<'_>,
        figures: &Figures,
        empty: FirstEvent,
        conversations: Option<ConversationList>,
    ) -> Self {
        let (locale, report) = (subject.locale, &figures.report);
        let context = Context {
            locale,
            report,
            weeks: subject.period.weeks,
            query: &subject.period.query,
            days: days(report),
            opening_hours: subject.opening_hours.as_ref(),
        };
        let known_from = report.known_from.as_deref().and_then(|day| day.parse().ok());
        let known_from = known_from.map(|day: NaiveDate| locale.date(day));
        Self {
            page: frame,
            empty: has_nothing(report).then_some(empty),
            headlines: headlines(locale, report, subject.period.weeks),
            figures: vec![
                funnel_chart(&context),
                conversations_chart(&context),
                latency_chart(&context),
                cost_chart(&context, &figures.cost_by_model),
                hours_chart(&context),
            ],
            intents: intents(locale, report),
            intents_csv: context.csv("intents"),
            book: book(locale, report, subject.shares_book),
            trust: trust(locale, report, known_from.as_deref(), subject.shares_book),
            conversations,
            name: subject.name,
            period: subject.period,
            statement: subject.statement,
            notices: subject.notices,
            sentence: subject.sentence,
        }
    }
}

/// What the charts of a page are made of.
pub(super) struct Context<'a> {
    pub(super) locale: &'a Locale,
    pub(super) report: &'a Report,
    pub(super) weeks: u64,
    /// The query string of the period.
    pub(super) query: &'a str,
    /// The days of the report's series.
    pub(super) days: Vec<NaiveDate>,
    pub(super) opening_hours: Option<&'a OpeningHours>,
}

impl Context<'_> {
    /// Returns where the figures of a chart are as CSV: on the page's own path, with the page's own period.
    fn csv(&self, what: &str) -> String {
        let joint = if self.query.is_empty() { "" } else { "&" };
        format!("?{}{joint}csv={what}", self.query)
    }

    /// Returns how many days at the end are not over.
    fn unfinished(&self) -> usize {
        self.report.series.iter().flatten().filter(|day| day.unfinished).count()
    }

    /// Returns the axis of days.
    fn day_axis(&self) -> XAxis {
        let labels = self.days.iter().map(|day| self.locale.short_date(*day));
        XAxis { title: "Day".to_owned(), labels: labels.collect() }
    }

    fn value_axis(&self, title: &str, unit: Unit) -> YAxis {
        YAxis { title: title.to_owned(), unit, locale: self.locale.clone() }
    }

    /// Returns a day as the head of a row.
    fn day_head(&self, index: usize, unfinished: bool) -> String {
        let day = self.days.get(index).map(|day| self.locale.date(*day)).unwrap_or_default();
        if unfinished { format!("{day} (not over)") } else { day }
    }
}

pub(super) fn days(report: &Report) -> Vec<NaiveDate> {
    report.series.iter().flatten().filter_map(|day| day.day.parse().ok()).collect()
}

/// Returns whether a period has neither answers nor conversations.
pub(super) fn has_nothing(report: &Report) -> bool {
    let conversations = report.conversations.as_ref().and_then(Option::as_ref);
    report.metrics.total_conversations == 0 && conversations.is_none_or(|of| of.conversations == 0)
}

/// Returns what customers asked about, with what came of it.
fn intents(locale: &Locale, report: &Report) -> Table {
    let row = |of: &crate::analytics::OfIntent| {
        let booked =
            of.conversations.zip(of.booked).map(|(all, booked)| crate::analytics::Rate::of(booked, all));
        vec![
            of.intent.clone(),
            or_dash(of.conversations, |count| locale.count(count)),
            or_dash(booked, |rate| {
                format!("{}{}", locale.count(rate.part), super::words::bracketed(locale, &rate))
            }),
            super::words::share(locale, &crate::analytics::Rate::of(of.errors, of.answers)),
        ]
    };
    let head = ["About", "Conversations", "Booked", "Unanswered"];
    Table {
        caption: "What customers asked about".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: report.by_intent.iter().flatten().map(row).collect(),
    }
}
