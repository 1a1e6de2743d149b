//! The hours of the week.

use super::Context;
use crate::analytics::OfHour;
use crate::charts::{Chart, Figure, Heading, HeatMap, Table};
use crate::pages::words::bracketed;

/// The days of the week, as `Weekday` counts them.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// When conversations begin, by weekday and hour.
pub(in crate::pages) fn hours_chart(context: &Context<'_>) -> Figure {
    let locale = context.locale;
    let hours: Vec<&OfHour> = context.report.hours.iter().flatten().flatten().collect();
    let conversations = context.report.conversations.as_ref().and_then(Option::as_ref);
    let busiest = hours.iter().filter(|hour| hour.conversations > 0).max_by_key(|hour| hour.conversations);
    let outside = conversations.filter(|of| of.after_hours_rate.whole > 0).map(|of| {
        let rate = &of.after_hours_rate;
        format!("{}{} began outside opening hours", locale.count(rate.part), bracketed(locale, rate))
    });
    let title = match (busiest, outside) {
        (None, _) => "No conversation began in these days".to_owned(),
        (Some(hour), outside) => {
            let when = format!("Most conversations began on {}s at {}:00", weekday(hour), hour.hour);
            outside.map_or(when.clone(), |outside| format!("{when}; {outside}"))
        }
    };
    let mut counts = [[0; 24]; 7];
    for hour in &hours {
        counts[usize::from(hour.weekday) - 1][usize::from(hour.hour)] = hour.conversations;
    }
    let rows = WEEKDAYS.iter().enumerate().map(|(index, name)| {
        let of_day = hours.iter().filter(|hour| usize::from(hour.weekday) == index + 1);
        std::iter::once((*name).to_owned())
            .chain(of_day.map(|hour| locale.count(hour.conversations)))
            .collect()
    });
    Figure {
        id: "hours".to_owned(),
        heading: Heading::H2,
        title,
        summary: match context.opening_hours.is_some() {
            true => "Opening hours are outlined.".to_owned(),
            false => "Opening hours are not set for this business.".to_owned(),
        },
        csv: Some(context.csv("hours")),
        chart: Chart::Heat(Box::new(HeatMap {
            counts,
            open: context.opening_hours.cloned(),
            title: "Conversations by weekday and hour".to_owned(),
            locale: locale.clone(),
        })),
        table: Table {
            caption: "Conversations by weekday and hour in which they began".to_owned(),
            head: std::iter::once("Weekday".to_owned())
                .chain((0..24).map(|hour| format!("{hour}:00")))
                .collect(),
            rows: rows.collect(),
        },
    }
}

fn weekday(hour: &OfHour) -> &'static str {
    WEEKDAYS.get(usize::from(hour.weekday).saturating_sub(1)).copied().unwrap_or_default()
}
