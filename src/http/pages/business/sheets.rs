//! The figures of charts as CSV.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::analytics::{BusinessPage, OfDay, OfHour, OfIntent, Usd};
use crate::http::analytics::sheet::Sheet;
use crate::http::error::ApiError;

/// What there is as CSV.
pub(in crate::http::pages) const NAMES: [&str; 5] = ["days", "cost", "hours", "intents", "funnel"];

/// What a model cost on a day.
#[derive(Debug, Serialize)]
struct CostRow<'a> {
    day: String,
    model_name: &'a str,
    cost_usd: Usd,
}

/// A step of the funnel.
#[derive(Debug, Serialize)]
struct StepRow {
    step: &'static str,
    conversations: i64,
}

/// Returns the figures of a chart as CSV, in the form of a download.
pub(in crate::http::pages) fn sheet(
    what: &str,
    business_id: &str,
    page: &BusinessPage,
) -> Result<Response, ApiError> {
    let report = &page.report;
    let (name, sheet) = match what {
        "days" => ("days", Sheet::new(&OfDay::COLUMNS, report.series.as_deref().unwrap_or_default())?),
        "cost" => ("cost", Sheet::new(&["day", "model_name", "cost_usd"], &costs(page))?),
        "hours" => {
            let hours = report.hours.as_ref().and_then(Option::as_deref).unwrap_or_default();
            ("hours", Sheet::new(&OfHour::COLUMNS, hours)?)
        }
        "intents" => {
            ("intents", Sheet::new(&OfIntent::COLUMNS, report.by_intent.as_deref().unwrap_or_default())?)
        }
        "funnel" => ("funnel", Sheet::new(&["step", "conversations"], &steps(page))?),
        _ => return Err(ApiError::InvalidField("csv", format!("must be one of {}", NAMES.join(", ")))),
    };
    let id: String =
        business_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let file = format!("attachment; filename=\"{id}-{name}-{}-{}.csv\"", report.from, report.to);
    let mut response = sheet.into_response();
    let file = HeaderValue::try_from(file).map_err(|_: _| ApiError::Internal)?;
    response.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(response)
}

fn costs(page: &BusinessPage) -> Vec<CostRow<'_>> {
    let costs = &page.cost_by_model;
    let of_day = |day: &'_ crate::analytics::CostOfDay| {
        let named = costs.models.iter().map(String::as_str).zip(day.models.clone());
        let others = costs.has_others.then_some(("other", day.others));
        let day = day.day.to_string();
        let row = move |(model_name, cost_usd)| CostRow { day: day.clone(), model_name, cost_usd };
        named.chain(others).map(row).collect::<Vec<_>>()
    };
    costs.days.iter().flat_map(of_day).collect()
}

fn steps(page: &BusinessPage) -> Vec<StepRow> {
    let Some(funnel) = page.report.funnel.as_ref().and_then(Option::as_ref) else { return Vec::new() };
    let steps = [
        ("conversations", funnel.conversations),
        ("requested", funnel.requested),
        ("booked", funnel.booked),
        ("kept", funnel.kept),
        ("cancelled", funnel.cancelled),
        ("no_show", funnel.no_show),
        ("dropped", funnel.dropped),
    ];
    steps.map(|(step, conversations)| StepRow { step, conversations }).into()
}
