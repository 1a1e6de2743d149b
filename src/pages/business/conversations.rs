//! Conversations per day, parted by how they ended.

use super::Context;
use crate::analytics::OfDay;
use crate::charts::{Chart, Figure, Heading, Series, StackedBars, Table, Unit};
use crate::locale::or_dash;
use crate::pages::words::{bracketed, change, counted};

/// A part of the bars: its name, and how many conversations of a day are in it.
type Part = (&'static str, fn(&OfDay) -> Option<i64>);

const PARTS: [Part; 3] = [
    ("Resolved by the AI alone", |day| day.ends.map(|ends| ends.contained)),
    ("Handed to a person", |day| day.ends.map(|ends| ends.handoffs)),
    ("With an error", |day| day.ends.map(|ends| ends.errors)),
];

/// Returns the chart of conversations.
pub(in crate::pages) fn conversations_chart(context: &Context<'_>) -> Figure {
    let locale = context.locale;
    let days: Vec<&OfDay> = context.report.series.iter().flatten().collect();
    let series = PARTS.map(|(name, of)| Series {
        name: name.to_owned(),
        values: days.iter().map(|day| of(day).map(number)).collect(),
    });
    let rows = days.iter().enumerate().map(|(index, day)| {
        let head = context.day_head(index, day.unfinished);
        let counts = [day.conversations].into_iter().chain(PARTS.map(|(_, of)| of(day)));
        std::iter::once(head).chain(counts.map(|count| or_dash(count, |count| locale.count(count)))).collect()
    });
    let head = ["Day", "Conversations", PARTS[0].0, PARTS[1].0, PARTS[2].0];
    Figure {
        id: "conversations-by-day".to_owned(),
        heading: Heading::H2,
        title: title(context),
        summary: [resolved(context), busiest(context, &days)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        csv: Some(context.csv("days")),
        chart: Chart::Bars(StackedBars {
            x: context.day_axis(),
            y: context.value_axis("Conversations per day", Unit::Count),
            series: series.into(),
            unfinished: context.unfinished(),
            reference: None,
        }),
        table: Table {
            caption: "Conversations per day".to_owned(),
            head: head.map(str::to_owned).into(),
            rows: rows.collect(),
        },
    }
}

fn title(context: &Context<'_>) -> String {
    let report = context.report;
    let Some(of) = report.conversations.as_ref().and_then(Option::as_ref) else {
        return "Conversations are not known for these days".to_owned();
    };
    let rate = report.previous.as_ref().and_then(|previous| previous.change.conversations);
    let changed = rate.and_then(|rate| change(context.locale, &rate, context.weeks));
    let changed = changed.map(|text| format!(", {text}")).unwrap_or_default();
    counted(context.locale, of.conversations, "conversation", "conversations") + &changed
}

fn resolved(context: &Context<'_>) -> Option<String> {
    let (locale, of) = (context.locale, context.report.conversations.as_ref()?.as_ref()?);
    Some(format!(
        "The AI resolved {}{} alone and handed {}{} to a person.",
        locale.count(of.contained_rate.part),
        bracketed(locale, &of.contained_rate),
        locale.count(of.handoff_rate.part),
        bracketed(locale, &of.handoff_rate)
    ))
}

fn busiest(context: &Context<'_>, days: &[&OfDay]) -> Option<String> {
    let counts = days.iter().enumerate().filter_map(|(index, day)| Some((index, day.conversations?)));
    let (index, count) = counts.max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0)?;
    Some(format!("Most on {}: {}.", context.day_head(index, false), context.locale.count(count)))
}

/// Returns a count as a number that is drawn.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}
