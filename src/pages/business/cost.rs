//! Cost per day, parted by model.

use std::iter::once;

use chrono::Datelike;

use super::Context;
use crate::analytics::{Cost, CostByModel, CostOfDay, Usd};
use crate::charts::{Chart, Figure, Heading, Reference, Series, StackedBars, Table, Unit};
use crate::locale::Locale;
use crate::pages::words::{MIN_CASES, than};

/// What stands for the models that cost least.
const OTHERS: &str = "Other models";

/// Returns the chart of cost.
pub(in crate::pages) fn cost_chart(context: &Context<'_>, costs: &CostByModel) -> Figure {
    let locale = context.locale;
    let names: Vec<String> =
        costs.models.iter().cloned().chain(costs.has_others.then(|| OTHERS.to_owned())).collect();
    let of = |part: usize, day: &CostOfDay| day.models.get(part).copied().unwrap_or(day.others);
    let series = names.iter().enumerate().map(|(part, name)| Series {
        name: name.clone(),
        values: costs.days.iter().map(|day| Some(of(part, day).dollars())).collect(),
    });
    let rows = costs.days.iter().enumerate().map(|(index, day)| {
        let amounts = (0..names.len()).map(|part| locale.usd(of(part, day).dollars()));
        once(context.day_head(index, day.unfinished)).chain(amounts).collect()
    });
    let costliest = names.first().map(|name| format!("The costliest model is {name}."));
    Figure {
        id: "cost".to_owned(),
        heading: Heading::H2,
        title: title(context),
        summary: costliest.unwrap_or_default(),
        csv: Some(context.csv("cost")),
        chart: Chart::Bars(StackedBars {
            x: context.day_axis(),
            y: context.value_axis("Cost per day, US dollars", Unit::Usd),
            series: series.collect(),
            unfinished: context.unfinished(),
            reference: reference(context),
        }),
        table: Table {
            caption: "Cost per day by model, in US dollars".to_owned(),
            head: once("Day".to_owned()).chain(names.iter().cloned()).collect(),
            rows: rows.collect(),
        },
    }
}

/// Returns the budget of a day: that of a month, evenly.
fn reference(context: &Context<'_>) -> Option<Reference> {
    let budget = context.report.cost.as_ref()?.budget_usd?.dollars();
    let value = budget / f64::from(context.days.last()?.num_days_in_month());
    Some(Reference { value, label: format!("Budget per day: {}", context.locale.usd(value)) })
}

/// Returns what was spent and, if the current day is shown, what the month is heading for.
fn title(context: &Context<'_>) -> String {
    let (locale, report) = (context.locale, context.report);
    let Some(cost) = &report.cost else { return String::new() };
    let month = match context.unfinished() {
        0 => String::new(),
        _ => month(locale, cost).map(|month| format!("; {month}")).unwrap_or_default(),
    };
    format!("{} spent{}{month}", locale.usd(cost.counted_usd.dollars()), change(context).unwrap_or_default())
}

/// Returns how the cost changed, to stand behind it; `None` if there were too few answers to tell.
pub(in crate::pages) fn change(context: &Context<'_>) -> Option<String> {
    let change = &context.report.previous.as_ref()?.change;
    let value = change.cost_usd.value.filter(|_| change.answers.whole >= MIN_CASES)?;
    let words = context.locale.change_in(value, ["more", "less", "as much"]);
    Some(format!(", {}", than(&words, context.weeks)))
}

/// Returns what the current month is heading for.
fn month(locale: &Locale, cost: &Cost) -> Option<String> {
    let projected = locale.usd(cost.month_projected_usd?.dollars());
    let of =
        cost.budget_usd.map(Usd::dollars).map(|budget| format!(" of a budget of {}", locale.usd(budget)));
    Some(format!("at this rate this month will cost {projected}{}", of.unwrap_or_default()))
}
