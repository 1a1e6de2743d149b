//! The period of a page, and the links to others.

use chrono::NaiveDate;
use url::form_urlencoded;

use crate::analytics::Period;
use crate::locale::Locale;

/// The periods that a page offers: the query string and the text of each.
const OFFERED: [(&str, &str, &str); 6] = [
    ("today", "period=today", "Today"),
    ("7_days", "days=7", "7 days"),
    ("30_days", "days=30", "30 days"),
    ("90_days", "days=90", "90 days"),
    ("this_month", "period=this_month", "This month"),
    ("last_month", "period=last_month", "Last month"),
];

/// A link to a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodLink {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub text: &'static str,
    /// Whether it is the current one.
    pub current: bool,
}

/// The period of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodView {
    /// Its name, for the title of the page.
    pub title: String,
    /// Its days.
    pub days: String,
    /// The days that it is compared with.
    pub compared: Option<String>,
    /// Links to other periods; none where the period is fixed.
    pub links: Vec<PeriodLink>,
    /// The other parameters of the page, which another period keeps.
    pub kept: Vec<(String, String)>,
    /// The first day, as a form sends it.
    pub from: String,
    /// The last day, likewise.
    pub to: String,
    /// Whether it is none of those offered.
    pub is_custom: bool,
    /// How many weeks earlier the compared days are.
    pub weeks: u64,
    /// The query string that names it.
    pub query: String,
}

impl PeriodView {
    /// Describes a period. Links keep `rest`, the other parameters of the page.
    #[must_use]
    pub fn new(locale: &Locale, period: &Period, rest: &str) -> Self {
        let offered = OFFERED.iter().find(|(name, ..)| *name == period.name);
        let (from, to) = (period.days.from.to_string(), period.days.to.to_string());
        let link = |(name, query, text): (&str, &str, &'static str)| PeriodLink {
            href: join(query, rest),
            text,
            current: name == period.name,
        };
        let days = range(locale, period.days.from, period.days.to);
        Self {
            title: offered.map_or_else(|| days.clone(), |(.., text)| (*text).to_owned()),
            days,
            compared: Some(range(locale, period.previous().from, period.previous().to)),
            links: OFFERED.map(link).into(),
            kept: form_urlencoded::parse(rest.as_bytes()).into_owned().collect(),
            is_custom: offered.is_none(),
            weeks: period.shift() / 7,
            query: query(period, offered.map(|(_, query, _)| *query), &from, &to),
            from,
            to,
        }
    }

    /// Removes the links, where the period is fixed.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { links: Vec::new(), query: String::new(), ..self }
    }
}

/// Returns the query string that names a period.
fn query(period: &Period, offered: Option<&str>, from: &str, to: &str) -> String {
    let days = period.name.strip_suffix("_days").map(|days| format!("days={days}"));
    let named = (period.name == "yesterday").then(|| "period=yesterday".to_owned());
    offered.map(str::to_owned).or(days).or(named).unwrap_or_else(|| format!("from={from}&to={to}"))
}

fn join(query: &str, rest: &str) -> String {
    if rest.is_empty() { format!("?{query}") } else { format!("?{query}&{rest}") }
}

/// Returns the days of a range: `27 Nov 2026`, or `1 Nov – 27 Nov 2026`.
pub(super) fn range(locale: &Locale, from: NaiveDate, to: NaiveDate) -> String {
    if from == to {
        return locale.date(to);
    }
    format!("{} – {}", locale.date(from), locale.date(to))
}
