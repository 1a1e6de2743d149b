//! Adds to the tables of sums.

use serde_json::Value;

use super::rows::{Existing, PutRows, Row, Type, Upsert};
use crate::conversation::{Cells, FactSums, Part, SumRow};

/// Adds sums to their tables, in an order that is always the same, so that replicas do not deadlock.
pub(super) async fn add<C: PutRows>(conn: &mut C, sums: &FactSums) -> Result<(), sqlx::Error> {
    add_cells(conn, &sums.daily).await?;
    add_cells(conn, &sums.hourly).await?;
    add_cells(conn, &sums.intents).await?;
    add_cells(conn, &sums.costs).await?;
    add_cells(conn, &sums.first_latency).await?;
    add_cells(conn, &sums.outcomes).await?;
    add_totals(conn, sums).await
}

async fn add_cells<C: PutRows, S: SumRow>(conn: &mut C, cells: &Cells<S>) -> Result<(), sqlx::Error> {
    let rows: Vec<Row> = cells
        .iter()
        .map(|((business_id, day, part), sums)| {
            let key = [business_id.as_str().into(), day.to_string().into()].into_iter().chain(part.value());
            key.chain(sums.values().into_iter().map(Value::from)).collect()
        })
        .collect();
    conn.put(&upsert::<S>(), &rows).await
}

fn upsert<S: SumRow>() -> Upsert {
    let part = S::PART.map(|name| match S::Part::IS_NUMBER {
        true => (name, Type::Integer),
        false => (name, Type::Text),
    });
    let keys = [("business_id", Type::Text), ("day", Type::Date)].into_iter().chain(part);
    let sums = S::COLUMNS.iter().map(|column| (*column, Type::Integer));
    Upsert::new(S::TABLE, keys.chain(sums).collect(), if S::PART.is_some() { 3 } else { 2 }, Existing::Add)
}

async fn add_totals<C: PutRows>(conn: &mut C, sums: &FactSums) -> Result<(), sqlx::Error> {
    let columns = vec![
        ("business_id", Type::Text),
        ("kind", Type::Text),
        ("label", Type::Text),
        ("amount", Type::Integer),
    ];
    let rows: Vec<Row> = sums
        .totals
        .iter()
        .map(|(business_id, kind, label, amount)| {
            vec![business_id.into(), kind.name().into(), label.into(), amount.into()]
        })
        .collect();
    conn.put(&Upsert::new("mlops_fact_totals", columns, 3, Existing::Add), &rows).await
}
