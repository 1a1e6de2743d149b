//! Reads what is set for businesses, and what the receptionist app's tables have about them.

use std::collections::HashMap;

use crate::business::{AppProfile, OpeningHours, OwnProfile};
use crate::store::privacy::{Rows, Schema};

/// The app's tables: that of businesses, and that of their settings. One of them may be missing, or a column.
const BUSINESSES: &str = "businesses";
const SETTINGS: &str = "business_settings";

/// What is set here, by the id of the business.
pub(super) type Own = HashMap<String, OwnProfile>;

/// What the app's tables have.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) profiles: HashMap<String, AppProfile>,
    /// The number of businesses whose opening hours cannot be read.
    pub(super) unreadable: usize,
}

/// Which of the app's tables there are, with the columns that matter and the right to read them.
#[derive(Debug, Clone, Copy)]
struct Tables {
    businesses: bool,
    names: bool,
    hours: bool,
}

impl Tables {
    async fn find<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        let schema = Schema::of_businesses(conn).await?;
        let mut is_readable = [false; 2];
        for (readable, table) in is_readable.iter_mut().zip([BUSINESSES, SETTINGS]) {
            let found = schema.has_columns(table, &[])
                && !conn.texts(C::READABLE.to_owned(), &[table.to_owned()]).await?.is_empty();
            *readable = found;
        }
        let [businesses, settings] = is_readable;
        Ok(Self {
            businesses: businesses && schema.has_columns(BUSINESSES, &["id"]),
            names: businesses && schema.has_columns(BUSINESSES, &["id", "name"]),
            hours: settings && schema.has_columns(SETTINGS, &["business_id", "business_hours"]),
        })
    }
}

/// Returns the condition that `column` is one of the texts in the JSON list `only`, if there is one, and the parameters for it.
fn limited<C: Rows>(column: &str, only: Option<&str>) -> (String, Vec<String>) {
    match only {
        Some(ids) => (format!("{column} {}", C::any_text(1)), vec![ids.to_owned()]),
        None => ("1 = 1".to_owned(), Vec::new()),
    }
}

/// Reads what is set for the businesses in the JSON list `only`, or for all.
pub(super) async fn own<C: Rows>(conn: &mut C, only: Option<&str>) -> Result<Own, sqlx::Error> {
    let (condition, binds) = limited::<C>("business_id", only);
    let sql = format!(
        "select business_id, name, time_zone, opening_hours, cast(monthly_budget_micros as text)
         from mlops_businesses where {condition}"
    );
    let mut found = Own::new();
    conn.read(sql, &binds, &mut |fields| {
        if let Ok([Some(id), name, time_zone, opening_hours, budget]) = <[_; 5]>::try_from(fields) {
            let monthly_budget_micros = budget.and_then(|micros: String| micros.parse().ok());
            found.insert(id, OwnProfile { name, time_zone, opening_hours, monthly_budget_micros });
        }
        true
    })
    .await?;
    Ok(found)
}

/// Reads what the app's tables have about the businesses in the JSON list `only`, or about all. Rows are parsed one by one: of
/// long ones only the hours are kept.
pub(super) async fn of_app<C: Rows>(conn: &mut C, only: Option<&str>) -> Result<App, sqlx::Error> {
    let (tables, mut app) = (Tables::find(conn).await?, App::default());
    if tables.names {
        let (condition, binds) = limited::<C>("cast(id as text)", only);
        let sql = format!("select cast(id as text), cast(name as text) from {BUSINESSES} where {condition}");
        conn.read(sql, &binds, &mut |fields| {
            if let Ok([Some(id), Some(name)]) = <[_; 2]>::try_from(fields) {
                app.profiles.entry(id).or_default().set_name(name);
            }
            true
        })
        .await?;
    }
    if tables.hours {
        let (condition, binds) = limited::<C>("cast(business_id as text)", only);
        let sql = format!(
            "select cast(business_id as text), cast(business_hours as text) from {SETTINGS}
             where business_hours is not null and {condition}"
        );
        conn.read(sql, &binds, &mut |fields| {
            if let Ok([Some(id), Some(hours)]) = <[Option<String>; 2]>::try_from(fields) {
                match OpeningHours::parse_of_app(&hours) {
                    Ok(hours) => app.profiles.entry(id).or_default().opening_hours = hours,
                    Err(_) => app.unreadable += 1,
                }
            }
            true
        })
        .await?;
    }
    Ok(app)
}

/// Reads the ids of businesses after `after`, in the order of the database, at most `limit` of them: those with a profile here, in
/// the app's table, or with events.
pub(super) async fn ids<C: Rows>(conn: &mut C, after: &str, limit: u32) -> Result<Vec<String>, sqlx::Error> {
    let part = |name: &str, id: &str, from: &str| {
        format!(
            "select {name}.id from (select distinct {id} as id from {from} and {id} > $1 order by 1 limit {limit}) {name}"
        )
    };
    let is_set =
        "mlops_businesses where (name is not null or time_zone is not null or opening_hours is not null
        or monthly_budget_micros is not null)";
    let mut parts =
        vec![part("counted", "business_id", "ai_totals where 1 = 1"), part("own", "business_id", is_set)];
    if Tables::find(conn).await?.businesses {
        parts.push(part("app", "cast(id as text)", &format!("{BUSINESSES} where 1 = 1")));
    }
    let sql =
        format!("select everyone.id from ({}) everyone order by 1 limit {limit}", parts.join(" union "));
    conn.texts(sql, &[after.to_owned()]).await
}
