//! Response times per day.

use super::Context;
use crate::analytics::OfDay;
use crate::charts::{Chart, Figure, Heading, LineChart, Series, Table, Unit};
use crate::locale::or_dash;

/// What the lines are called, here and in the table.
const LINES: [&str; 2] = ["Half within", "95 % within"];

/// Returns the chart of response times.
pub(in crate::pages) fn latency_chart(context: &Context<'_>) -> Figure {
    let locale = context.locale;
    let days: Vec<&OfDay> = context.report.series.iter().flatten().collect();
    let rows = days.iter().enumerate().map(|(index, day)| {
        let times = [day.p50_ms, day.p95_ms].map(|time| or_dash(time, |ms| locale.duration_ms(ms)));
        std::iter::once(context.day_head(index, day.unfinished)).chain(times).collect()
    });
    let line = |name: &str, of: fn(&OfDay) -> Option<f64>| Series {
        name: name.to_owned(),
        values: days.iter().map(|day| of(day)).collect(),
    };
    Figure {
        id: "response-time".to_owned(),
        heading: Heading::H2,
        title: title(context),
        summary: slowest(context, &days).unwrap_or_default(),
        csv: Some(context.csv("days")),
        chart: Chart::Line(LineChart {
            x: context.day_axis(),
            y: context.value_axis("Response time", Unit::Milliseconds),
            series: vec![line(LINES[0], |day| day.p50_ms), line(LINES[1], |day| day.p95_ms)],
            unfinished: context.unfinished(),
        }),
        table: Table {
            caption: "Response time per day".to_owned(),
            head: ["Day", LINES[0], LINES[1]].map(str::to_owned).into(),
            rows: rows.collect(),
        },
    }
}

fn title(context: &Context<'_>) -> String {
    let (locale, answers) = (context.locale, context.report.percentiles.as_ref().map(|of| of.answers));
    match answers.and_then(|of| of.p50.zip(of.p95)) {
        Some((half, most)) => format!(
            "Half of the answers came within {}, 95 % within {}",
            locale.duration_ms(half),
            locale.duration_ms(most)
        ),
        None => "No answers in these days".to_owned(),
    }
}

fn slowest(context: &Context<'_>, days: &[&OfDay]) -> Option<String> {
    let times = days.iter().enumerate().filter_map(|(index, day)| Some((index, day.p95_ms?)));
    let (index, time) = times.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let day = context.day_head(index, false);
    Some(format!("Slowest on {day}: 95 % within {}.", context.locale.duration_ms(time)))
}
