//! The columns of the rollup tables, and the clauses of statements that are generated from them.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use strum::VariantArray;

use crate::rollup::{Key, LastSuccess, Sum, Sums};

/// The columns of the latest success rate.
const LAST_SUCCESS: [&str; 2] = ["last_success_at", "last_success_rate"];

/// The `on conflict` clause of an insert into `ai_latency_daily`, which adds to existing rows.
pub(super) const ADD_TO_LATENCY: &str = " on conflict (business_id, day, bucket) do update set events = ai_latency_daily.events + excluded.events";

/// Returns the columns of the sums, in the order in which they are bound.
pub(super) fn sum_columns() -> impl Iterator<Item = &'static str> {
    Sum::VARIANTS.iter().map(|sum| sum.column())
}

/// Returns the columns of `ai_totals`.
pub(super) fn totals_columns() -> impl Iterator<Item = &'static str> {
    Key::COLUMNS.into_iter().chain(sum_columns()).chain(LAST_SUCCESS)
}

/// Returns the columns of `ai_rollup_daily`.
pub(super) fn daily_columns() -> impl Iterator<Item = &'static str> {
    Key::COLUMNS.into_iter().chain(["day"]).chain(sum_columns())
}

/// Returns the columns of `ai_rollup_pending`, in the order in which [`super::pending::Columns`] binds them.
pub(in crate::store) fn pending_columns() -> impl Iterator<Item = &'static str> {
    pending_sums().map(|(column, _)| column).chain(["latency_key", "latency_bucket", "latency_events"])
}

/// Returns the columns of `ai_rollup_pending` for keys and their sums, each with its type.
pub(super) fn pending_sums() -> impl Iterator<Item = (&'static str, &'static str)> {
    let keys = Key::COLUMNS.into_iter().map(|column| (column, "text[]"));
    let sums =
        Sum::VARIANTS.iter().map(|sum| (sum.column(), if sum.is_count() { "int[]" } else { "bigint[]" }));
    keys.chain([("day", "date[]")]).chain(sums).chain(LAST_SUCCESS.into_iter().zip(["bigint[]", "float8[]"]))
}

/// Joins columns with commas.
pub(in crate::store) fn list(columns: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    columns.into_iter().map(|column| column.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Returns the `on conflict` clause of an insert into `ai_rollup_daily`, which adds to existing rows.
pub(super) fn add_to_daily() -> String {
    format!(
        " on conflict (business_id, day, model_name, intent_detected, response_type) do update set {}",
        add_sums("ai_rollup_daily")
    )
}

/// Returns the `on conflict` clause of an insert into `ai_totals`, which adds to existing rows. A success rate is
/// replaced unless it is later than the inserted one.
pub(super) fn add_to_totals() -> String {
    let newest = LAST_SUCCESS.map(|column| {
        format!(
            "{column} = case when excluded.last_success_at >= coalesce(ai_totals.last_success_at, 0)
                then excluded.{column} else ai_totals.{column} end"
        )
    });
    format!(
        " on conflict ({}) do update set {}, {}",
        list(Key::COLUMNS),
        add_sums("ai_totals"),
        newest.join(", ")
    )
}

/// Returns the assignments that add an inserted row's sums to those of the existing row of `table`.
fn add_sums(table: &str) -> String {
    list(sum_columns().map(|column| format!("{column} = {table}.{column} + excluded.{column}")))
}

/// A row of [`totals_columns`].
pub(super) struct TotalsRow {
    pub(super) key: Key,
    pub(super) sums: Sums,
}

impl<'r, R: Row> FromRow<'r, R> for TotalsRow
where
    for<'c> &'c str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    f64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let mut key = [const { String::new() }; 4];
        for (part, column) in key.iter_mut().zip(Key::COLUMNS) {
            *part = row.try_get(column)?;
        }
        let mut sums = Sums::default();
        for sum in Sum::VARIANTS {
            sums[*sum] = row.try_get(sum.column())?;
        }
        let [at, rate] = LAST_SUCCESS;
        let (at, rate): (Option<i64>, Option<f64>) = (row.try_get(at)?, row.try_get(rate)?);
        sums.last_success = at.zip(rate).map(|(at_micros, rate)| LastSuccess { at_micros, rate });
        Ok(Self { key: key.into(), sums })
    }
}
