//! The statement of a month: what an owner files, in plain words.

use askama::Template;
use chrono::{Datelike, Months, NaiveDate};

use super::business::{Context, conversations_chart, cost_change, days, funnel_chart, has_nothing};
use super::headline::{Headline, headlines};
use super::period::range;
use super::words::{bracketed, change, counted, enumerated};
use super::{FirstEvent, Frame, Notice, segment};
use crate::analytics::{Period, Report, Statement as Figures};
use crate::charts::Figure;
use crate::locale::Locale;

/// What a statement is of.
#[derive(Debug)]
pub struct Subject<'a> {
    /// How the reader writes numbers and dates.
    pub locale: &'a Locale,
    /// The id of the business, if the reader may see its other months.
    pub business_id: Option<&'a str>,
    /// Its name, or else its id.
    pub name: String,
    /// The days of the month.
    pub period: &'a Period,
    /// The current day in the time zone of the business.
    pub today: NaiveDate,
    /// What changed most, in a sentence.
    pub sentence: Option<String>,
    /// What is said above the figures.
    pub notices: Vec<Notice>,
    /// When the figures were computed.
    pub made: String,
}

/// A part of a statement.
#[derive(Debug)]
struct Paragraph {
    id: &'static str,
    title: &'static str,
    text: String,
}

/// Links to the months before and after.
#[derive(Debug)]
struct MonthLinks {
    before: String,
    before_name: String,
    /// None if the next month has not begun.
    after: Option<String>,
    after_name: String,
}

/// The statement of a month.
#[derive(Template)]
#[template(path = "statement.html")]
pub struct StatementPage {
    page: Frame,
    name: String,
    month: String,
    days: String,
    so_far: Option<String>,
    nav: Option<MonthLinks>,
    notices: Vec<Notice>,
    empty: Option<FirstEvent>,
    headlines: Vec<Headline>,
    paragraphs: Vec<Paragraph>,
    figures: Vec<Figure>,
    made: String,
}

impl StatementPage {
    /// Creates the page. `empty` is shown in place of figures if there are none.
    #[must_use]
    pub fn new(frame: Frame, subject: Subject<'_>, figures: &Figures, empty: FirstEvent) -> Self {
        let (locale, report) = (subject.locale, &figures.page.report);
        let (first, last) = (subject.period.days.from, subject.period.days.to);
        let weeks = subject.period.shift() / 7;
        let query = subject.business_id.map(|_| format!("month={}", first.format("%Y-%m")));
        let query = query.unwrap_or_default();
        let context =
            Context { locale, report, weeks, query: &query, days: days(report), opening_hours: None };
        let mut headlines = headlines(locale, report, weeks);
        // The same is said in words, and a statement has no room for all.
        for headline in &mut headlines {
            headline.change = None;
        }
        Self {
            page: frame,
            month: locale.month(first.year(), first.month()),
            days: range(locale, first, last),
            so_far: (subject.today <= last).then(|| "the month is not over".to_owned()),
            nav: subject.business_id.map(|id| MonthLinks::new(locale, id, first, subject.today)),
            empty: has_nothing(report).then_some(empty),
            paragraphs: paragraphs(&context, figures, subject.sentence),
            headlines,
            figures: vec![funnel_chart(&context), conversations_chart(&context)],
            name: subject.name,
            notices: subject.notices,
            made: subject.made,
        }
    }
}

impl MonthLinks {
    fn new(locale: &Locale, business_id: &str, first: NaiveDate, today: NaiveDate) -> Self {
        let (before, after) = (first - Months::new(1), first + Months::new(1));
        let href =
            |month: NaiveDate| format!("/statement/{}?month={}", segment(business_id), month.format("%Y-%m"));
        let name = |month: NaiveDate| locale.month(month.year(), month.month());
        Self {
            before: href(before),
            before_name: name(before),
            after: (after <= today).then(|| href(after)),
            after_name: name(after),
        }
    }
}

fn paragraphs(context: &Context<'_>, figures: &Figures, sentence: Option<String>) -> Vec<Paragraph> {
    let (locale, report, weeks) = (context.locale, context.report, context.weeks);
    let paragraph = |id, title, text| Paragraph { id, title, text };
    vec![
        paragraph(
            "what-changed",
            "What changed",
            sentence.unwrap_or_else(|| {
                format!(
                    "Nothing changed by more than chance explains, compared with {}.",
                    super::words::weeks_earlier(weeks)
                )
            }),
        ),
        paragraph("conversations", "Conversations", conversations(locale, report, weeks)),
        paragraph("appointments", "Appointments", appointments(locale, report)),
        paragraph("speed", "Speed", speed(locale, report)),
        paragraph("cost-in-words", "Cost", cost(context)),
        paragraph("privacy", "Privacy", privacy(locale, figures)),
    ]
}

fn conversations(locale: &Locale, report: &Report, weeks: u64) -> String {
    let Some(of) = report.conversations.as_ref().and_then(Option::as_ref) else {
        return "Conversations are not known for this month.".to_owned();
    };
    let changed = report.previous.as_ref().and_then(|previous| previous.change.conversations);
    let changed = changed.and_then(|rate| change(locale, &rate, weeks)).map(|text| format!(", {text}"));
    let outside = (of.after_hours_rate.whole > 0).then(|| {
        format!(
            " {}{} began outside opening hours.",
            locale.count(of.after_hours_rate.part),
            bracketed(locale, &of.after_hours_rate)
        )
    });
    format!(
        "The receptionist had {} and gave {}{}. It resolved {}{} alone and handed {}{} to a person.{}",
        counted(locale, of.conversations, "conversation", "conversations"),
        counted(locale, of.answers, "answer", "answers"),
        changed.unwrap_or_default(),
        locale.count(of.contained_rate.part),
        bracketed(locale, &of.contained_rate),
        locale.count(of.handoff_rate.part),
        bracketed(locale, &of.handoff_rate),
        outside.unwrap_or_default(),
    )
}

fn appointments(locale: &Locale, report: &Report) -> String {
    let Some(funnel) = report.funnel.as_ref().and_then(Option::as_ref) else {
        return "Appointments are not known for this month.".to_owned();
    };
    let mut became = Vec::new();
    for (count, what) in
        [(funnel.kept, "kept"), (funnel.cancelled, "cancelled"), (funnel.no_show, "missed by the customer")]
    {
        if count > 0 {
            became.push(format!("{} {what}", locale.count(count)));
        }
    }
    let became = match became.is_empty() {
        true => "What became of them is not known.".to_owned(),
        false => format!("What became of them so far: {}.", enumerated(&became)),
    };
    let dropped = (funnel.dropped > 0).then(|| {
        format!(
            " {} asked for one and got neither an appointment nor a person.",
            counted(locale, funnel.dropped, "customer", "customers")
        )
    });
    format!(
        "An appointment was requested in {}, and {} booked{}. {}{}",
        counted(locale, funnel.requested, "conversation", "conversations"),
        counted(locale, funnel.booked, "was", "were"),
        bracketed(locale, &funnel.conversion).replace(')', " of all conversations)"),
        if funnel.booked > 0 { became } else { String::new() },
        dropped.unwrap_or_default(),
    )
}

fn speed(locale: &Locale, report: &Report) -> String {
    let answers = report.percentiles.as_ref().map(|of| of.answers);
    match answers.and_then(|of| of.p50.zip(of.p95)) {
        Some((half, most)) => format!(
            "Half of the answers came within {}, and 95 % within {}.",
            locale.duration_ms(half),
            locale.duration_ms(most)
        ),
        None => "There were no answers.".to_owned(),
    }
}

fn cost(context: &Context<'_>) -> String {
    let (locale, report) = (context.locale, context.report);
    let Some(cost) = &report.cost else { return String::new() };
    let mut per = Vec::new();
    for (amount, what) in
        [(cost.per_conversation_usd, "a conversation"), (cost.per_booking_usd, "a booked appointment")]
    {
        per.extend(amount.map(|amount| format!("{} {what}", locale.usd(amount.dollars()))));
    }
    let per = if per.is_empty() { String::new() } else { format!(" That is {}.", enumerated(&per)) };
    let budget =
        cost.budget_usd.map(|budget| format!(" The budget of a month is {}.", locale.usd(budget.dollars())));
    format!(
        "The AI models cost {}{}.{per}{}",
        locale.usd(cost.counted_usd.dollars()),
        cost_change(context).unwrap_or_default(),
        budget.unwrap_or_default()
    )
}

fn privacy(locale: &Locale, figures: &Figures) -> String {
    let of = figures.privacy_requests;
    let requests: Vec<String> = [
        (of.exports, "for a copy of their data", "for copies of their data"),
        (of.erasures, "to have their data erased", "to have their data erased"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(locale, count, one, many))
    .collect();
    match requests.is_empty() {
        true => "No customer's privacy request was handled this month.".to_owned(),
        false => format!("Customers' requests that were handled this month: {}.", enumerated(&requests)),
    }
}
