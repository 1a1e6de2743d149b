//! From conversations to kept appointments.

use super::Context;
use crate::analytics::{Funnel, Rate};
use crate::charts::{Chart, Figure, Funnel as FunnelChart, Heading, Step, Table};
use crate::locale::or_dash;
use crate::pages::words::{bracketed, counted, share};

/// From conversations to kept appointments.
pub(in crate::pages) fn funnel_chart(context: &Context<'_>) -> Figure {
    let locale = context.locale;
    let funnel = context.report.funnel.as_ref().and_then(Option::as_ref);
    let title = funnel.map_or_else(
        || "Appointments are not known for these days".to_owned(),
        |funnel| {
            let all = counted(locale, funnel.conversations, "conversation", "conversations");
            format!(
                "{} of {all} led to an appointment{}",
                locale.count(funnel.booked),
                bracketed(locale, &funnel.conversion)
            )
        },
    );
    let dropped = funnel.map(|funnel| {
        format!(
            "{} asked for an appointment and got neither one nor a person.",
            counted(locale, funnel.dropped, "customer", "customers")
        )
    });
    let steps = steps(context, funnel);
    let first = steps[0].count.unwrap_or_default();
    let row = |step: &Step| {
        let share = step.count.map(|count| Rate::of(count, first));
        vec![
            step.name.clone(),
            or_dash(step.count, |count| locale.count(count)),
            or_dash(share, |share| self::share(locale, &share)),
        ]
    };
    Figure {
        id: "funnel".to_owned(),
        heading: Heading::H2,
        title,
        summary: dropped.unwrap_or_default(),
        csv: Some(context.csv("funnel")),
        table: Table {
            caption: "From conversations to kept appointments".to_owned(),
            head: ["Step", "Conversations", "Of all conversations"].map(str::to_owned).into(),
            rows: steps.iter().map(row).collect(),
        },
        chart: Chart::Funnel(FunnelChart { steps, locale: locale.clone() }),
    }
}

fn steps(context: &Context<'_>, funnel: Option<&Funnel>) -> Vec<Step> {
    let step = |name: &str, count: fn(&Funnel) -> i64, lost: String| Step {
        name: name.to_owned(),
        count: funnel.map(count),
        lost,
    };
    let dropped = funnel.map_or(0, |funnel| funnel.dropped);
    let without = match dropped {
        0 => "without a booking".to_owned(),
        dropped => format!(
            "without a booking; {} of them were not handed to a person either",
            context.locale.count(dropped)
        ),
    };
    // Where nobody says what became of appointments, none are known to be kept; that is not 0.
    let told = funnel.is_some_and(|funnel| funnel.kept + funnel.cancelled + funnel.no_show > 0);
    let kept =
        step("Appointment kept", |funnel| funnel.kept, "cancelled, missed, or still to come".to_owned());
    vec![
        step("Conversations", |funnel| funnel.conversations, String::new()),
        step("Appointment requested", |funnel| funnel.requested, "about something else".to_owned()),
        step("Appointment booked", |funnel| funnel.booked, without),
        Step { count: kept.count.filter(|_| told), ..kept },
    ]
}
