//! Builds the indexes of a migration before it runs, while events are written. Postgres cannot do that in a transaction, as that of
//! a migration is; what an interrupted build left is built again.

use std::time::Duration;

use sqlx::{Executor, PgConnection};
use tokio::time::sleep;

/// How long to wait before looking again whether another replica has built the indexes. Waiting in a statement would keep it from
/// building them: it waits for all statements that began before.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// An index, its table, and what must be done to the table first.
struct Index {
    name: &'static str,
    table: &'static str,
    columns: &'static str,
    is_unique: bool,
    before: Option<&'static str>,
}

/// The indexes of a migration.
struct Step {
    /// Selects whether the tables are there and the indexes are not. An empty table needs no build beside writers, and may be one that
    /// another replica is just migrating: each would wait for the other.
    is_next: &'static str,
    indexes: [Index; 2],
}

const STEPS: [Step; 2] = [
    // 0011_event_ids
    Step {
        is_next: "select to_regclass('ai_metrics_event_id') is not null
            and to_regclass('ai_metric_series') is not null",
        indexes: [
            Index {
                name: "ai_metrics_business_event",
                table: "ai_metrics",
                columns: "event_id, business_id",
                is_unique: true,
                before: None,
            },
            Index {
                name: "mlops_counted_events_key",
                table: "mlops_counted_events",
                columns: "event_id, business_id",
                is_unique: true,
                before: Some(
                    "alter table mlops_counted_events add column if not exists business_id text not null default ''",
                ),
            },
        ],
    },
    // 0019_days
    Step {
        is_next: "select exists (
            select from (values ('ai_rollup_daily', 'ai_rollup_daily_day'), ('mlops_cost_daily', 'mlops_cost_daily_day')) i (tbl, name)
            where coalesce(pg_relation_size(to_regclass(tbl)), 0) > 0
            and not exists (select from pg_index where indexrelid = to_regclass(name) and indisvalid))",
        indexes: [
            Index {
                name: "ai_rollup_daily_day",
                table: "ai_rollup_daily",
                columns: "day",
                is_unique: false,
                before: None,
            },
            Index {
                name: "mlops_cost_daily_day",
                table: "mlops_cost_daily",
                columns: "day",
                is_unique: false,
                before: None,
            },
        ],
    },
];

/// Builds the indexes that are missing on tables of an earlier version. The connection must not be in a transaction.
pub(super) async fn build(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    for step in &STEPS {
        if sqlx::query_scalar(step.is_next).fetch_one(&mut *conn).await? {
            step.build(conn).await?;
        }
    }
    Ok(())
}

impl Step {
    async fn build(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let lock = "select pg_try_advisory_lock(hashtext('mlops_indexes'))";
        while !sqlx::query_scalar(lock).fetch_one(&mut *conn).await? {
            sleep(RETRY_PAUSE).await;
        }
        let mut built = Ok(());
        for index in &self.indexes {
            if built.is_ok() {
                built = index.build(conn).await;
            }
        }
        conn.execute("select pg_advisory_unlock(hashtext('mlops_indexes'))").await?;
        built
    }
}

impl Index {
    async fn build(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Self { name, table, columns, is_unique, before } = self;
        let is_there = "select to_regclass($1) is not null";
        if !sqlx::query_scalar::<_, bool>(is_there).bind(table).fetch_one(&mut *conn).await? {
            return Ok(());
        }
        let state = "select indisvalid from pg_index where indexrelid = to_regclass($1)";
        let is_valid: Option<bool> = sqlx::query_scalar(state).bind(name).fetch_optional(&mut *conn).await?;
        if is_valid == Some(true) {
            return Ok(());
        }
        if let Some(before) = before {
            conn.execute(*before).await?;
        }
        if is_valid.is_some() {
            conn.execute(sqlx::AssertSqlSafe(format!("drop index {name}"))).await?;
        }
        tracing::info!("building an index of {table}; events are written meanwhile");
        let unique = if *is_unique { "unique" } else { "" };
        let create = format!("create {unique} index concurrently {name} on {table} ({columns})");
        conn.execute(sqlx::AssertSqlSafe(create)).await.map(drop)
    }
}
