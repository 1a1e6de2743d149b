//! The page that lists businesses.

use askama::Template;
use url::form_urlencoded::Serializer;

use super::words::MIN_CASES;
use super::{Choice, FirstEvent, Frame, Notice, PeriodView, path_of_business};
use crate::analytics::Period;
use crate::analytics::list::{ListPage, Row as Figures, Sort};
use crate::charts::Sparkline;
use crate::locale::{Locale, NO_FIGURE, or_dash};

/// The number of businesses of a page.
pub const PAGE: usize = 50;

/// What a reader asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The period.
    pub period: &'a Period,
    /// How it is sorted.
    pub sort: Sort,
    /// A part of the name or the id.
    pub search: &'a str,
    /// The number of the page, from 1.
    pub page: usize,
}

/// The page that lists businesses.
#[derive(Debug, Template)]
#[template(path = "businesses.html")]
pub struct BusinessesPage<'a> {
    page: Frame,
    period: PeriodView,
    notices: Vec<Notice>,
    first_event: Option<FirstEvent>,
    hidden: Vec<(String, String)>,
    search: &'a str,
    sorts: Vec<Choice>,
    rows: Vec<Row>,
    /// Where the list without a search is.
    all: String,
    /// How many businesses there are, and which of them are shown.
    position: String,
    before: Option<String>,
    next: Option<String>,
}

/// A business.
#[derive(Debug)]
struct Row {
    href: String,
    name: String,
    /// Its id, if that is not its name.
    id: Option<String>,
    conversations: String,
    change: String,
    sparkline: Option<Sparkline>,
    booked: String,
    cost: String,
    p95: String,
}

impl<'a> BusinessesPage<'a> {
    /// Creates the page.
    #[must_use]
    pub fn new(
        frame: Frame,
        locale: &Locale,
        asked: Asked<'a>,
        list: &ListPage<Figures>,
        notices: Vec<Notice>,
        first_event: FirstEvent,
    ) -> Self {
        let place = Place { asked, query: PeriodView::new(locale, asked.period, "").query };
        let (shown, first) = (list.businesses.len(), (asked.page - 1) * PAGE + 1);
        let count = |count: usize| locale.count(i64::try_from(count).unwrap_or(i64::MAX));
        Self {
            page: frame,
            period: PeriodView::new(locale, asked.period, &place.rest(1)),
            notices,
            first_event: Some(first_event).filter(|_| list.matches == 0 && asked.search.is_empty()),
            hidden: place.hidden(),
            search: asked.search,
            sorts: sorts(asked.sort),
            rows: list.businesses.iter().map(|of| Row::new(locale, of, &place.query)).collect(),
            all: format!("?{}", place.query),
            position: match shown {
                0 => String::new(),
                _ => format!("{} to {} of {}", count(first), count(first + shown - 1), count(list.matches)),
            },
            before: (asked.page > 1).then(|| place.href(asked.page - 1)),
            next: list.next.as_ref().map(|_| place.href(asked.page + 1)),
        }
    }
}

/// Where a page of the list is.
struct Place<'a> {
    asked: Asked<'a>,
    /// The query string of the period.
    query: String,
}

impl Place<'_> {
    /// Returns the parameters beside the period.
    fn rest(&self, page: usize) -> String {
        let mut rest = Serializer::new(String::new());
        if self.asked.sort != Sort::default() {
            rest.append_pair("sort", self.asked.sort.name());
        }
        if !self.asked.search.is_empty() {
            rest.append_pair("search", self.asked.search);
        }
        if page > 1 {
            rest.append_pair("page", &page.to_string());
        }
        rest.finish()
    }

    fn href(&self, page: usize) -> String {
        let rest = self.rest(page);
        let joint = if rest.is_empty() { "" } else { "&" };
        format!("?{}{joint}{rest}", self.query)
    }

    /// Returns the parameters of the period, which a search keeps.
    fn hidden(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

impl Row {
    fn new(locale: &Locale, of: &Figures, query: &str) -> Self {
        let listed = &of.listed;
        let has_answers = listed.metrics.total_conversations > 0;
        let change = of.change.filter(|change| change.whole >= MIN_CASES).and_then(|change| change.value);
        Self {
            href: format!("{}?{query}", path_of_business(&listed.business_id)),
            id: listed.name.as_ref().map(|_| listed.business_id.clone()),
            name: listed.name.clone().unwrap_or_else(|| listed.business_id.clone()),
            conversations: or_dash(listed.conversations, |count| locale.count(count)),
            change: or_dash(change, |change| locale.signed_percent(change)),
            sparkline: has_answers.then(|| sparkline(locale, of)),
            booked: or_dash(listed.booked.filter(|_| has_answers), |count| locale.count(count)),
            cost: match has_answers {
                true => locale.usd(of.cost_usd.dollars()),
                false => NO_FIGURE.to_owned(),
            },
            p95: or_dash(listed.p95_ms, |ms| locale.duration_ms(ms)),
        }
    }
}

/// Returns the conversations of each day, without scale.
fn sparkline(locale: &Locale, of: &Figures) -> Sparkline {
    let most = of.days.iter().flatten().max().copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let values = of.days.iter().map(|count| count.map(|count| count as f64)).collect();
    Sparkline {
        values,
        unfinished: usize::from(of.days.len() > 1),
        alternative: format!("Conversations per day, at most {}", locale.count(most)),
    }
}

fn sorts(current: Sort) -> Vec<Choice> {
    let choice = |sort: Sort, text| Choice { value: sort.name(), text, selected: sort == current };
    vec![
        choice(Sort::Conversations, "Conversations"),
        choice(Sort::Bookings, "Bookings"),
        choice(Sort::Cost, "Cost"),
        choice(Sort::Name, "Name"),
    ]
}
