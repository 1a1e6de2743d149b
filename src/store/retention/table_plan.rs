//! Finds out which rows of a table are old. Tables of the receptionist app may be missing or lack columns.

use std::collections::BTreeMap;
use std::ops::Range;

use sqlx::AssertSqlSafe;

use super::dialect::RetentionSql;
use super::{Retained, STEP_LIMIT};
use crate::store::partitions::Leaf;
use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// How to process a table: its extent, and the condition of an old row.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// The kind of data in it.
    pub kind: Retained,
    /// The extent of its windows, in pages, row ids or seconds.
    pub range: Range<i64>,
    /// The partition that is processed; `None` for a whole table.
    pub(super) leaf: Option<Leaf>,
    /// The column of what was read of appointments that names rows of this table, which count on when they are deleted.
    pub(super) settles: Option<&'static str>,
    /// The condition of an old row of `t`; `$3` is the cutoff.
    pub(super) old: String,
    /// The condition of a counted row of `t` without a valid time.
    pub(super) undated: String,
    /// The condition of a row of `t` that is dated ahead; `$4` is the horizon.
    pub(super) ahead: String,
}

/// The condition that there are no facts about the conversation of the row `t`.
const WITHOUT_FACTS: &str = "not exists (select 1 from mlops_conversations f
    where f.business_id = t.business_id and f.conversation_id = t.conversation_id)";

/// The columns of the relevant tables with their types, and the SQL of the database.
struct Catalogue {
    tables: BTreeMap<Retained, BTreeMap<String, String>>,
    sql: &'static RetentionSql,
}

impl Store {
    /// Returns whether the table of `kind` exists.
    pub async fn has_table(&self, kind: Retained) -> Result<bool, StoreError> {
        let columns = self.sql().columns;
        let found = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as::<_, (String, String)>(columns).bind(kind.table()).fetch_optional(conn).await
        })?;
        Ok(found.is_some())
    }

    /// Returns the plan for the table of `kind`, or one for each of its partitions; none if it does not exist or has no column that
    /// dates its rows.
    pub async fn plans(&self, kind: Retained) -> Result<Vec<TablePlan>, StoreError> {
        let mut catalogue = Catalogue { tables: BTreeMap::new(), sql: self.sql() };
        for related in [kind, Retained::Messages, Retained::ChatMessages] {
            catalogue.tables.insert(related, self.columns(catalogue.sql.columns, related).await?);
        }
        if kind == Retained::Book {
            let columns = self.columns(catalogue.sql.readable_columns, Retained::Appointments).await?;
            catalogue.tables.insert(Retained::Appointments, columns);
        }
        let Some(old) = catalogue.old(kind) else { return Ok(Vec::new()) };
        let mut plans = Vec::new();
        for leaf in self.leaves(kind).await? {
            let extent = (catalogue.sql.extent)(kind, leaf.as_ref().map(|leaf| leaf.oid));
            let (first, end) = on!(&self.sweep, STEP_LIMIT, |conn| {
                sqlx::query_as(AssertSqlSafe(extent)).fetch_one(conn).await
            })?;
            let (settles, undated, ahead) =
                (catalogue.settles(kind), catalogue.undated(kind), catalogue.ahead(kind));
            plans.push(TablePlan {
                kind,
                range: first..end,
                leaf,
                settles,
                old: old.clone(),
                undated,
                ahead,
            });
        }
        Ok(plans)
    }

    /// Returns the partitions of the table of `kind`; `None` alone if it is not partitioned.
    async fn leaves(&self, kind: Retained) -> Result<Vec<Option<Leaf>>, StoreError> {
        let Db::Postgres(db) = &self.sweep else { return Ok(vec![None]) };
        if kind != Retained::Events {
            return Ok(vec![None]);
        }
        let leaves = on!(@run db, STEP_LIMIT, conn, Leaf::all(conn).await)?;
        Ok(if leaves.is_empty() { vec![None] } else { leaves.into_iter().map(Some).collect() })
    }

    /// Returns the columns of the table of `kind`, with their types.
    async fn columns(
        &self,
        sql: &'static str,
        kind: Retained,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let columns: Vec<(String, String)> = on!(&self.sweep, STEP_LIMIT, |conn| {
            sqlx::query_as(sql).bind(kind.table()).fetch_all(conn).await
        })?;
        Ok(columns.into_iter().collect())
    }

    /// Returns where the next window of a table begins, from `at` on: behind a gap, where that is known.
    pub async fn next_window(&self, table: &TablePlan, at: i64) -> Result<i64, StoreError> {
        let Some(next) = (self.sql().next)(table.kind) else { return Ok(at) };
        let next: Option<i64> = on!(&self.sweep, STEP_LIMIT, |conn| {
            sqlx::query_scalar(AssertSqlSafe(next)).bind(at).fetch_one(conn).await
        })?;
        Ok(next.unwrap_or(table.range.end))
    }
}

impl TablePlan {
    /// Returns the condition of the rows of `t` in the window from `$1` to before `$2`.
    pub(super) fn window(&self, sql: &RetentionSql) -> String {
        let window = (sql.window)(self.kind);
        self.leaf.as_ref().map_or_else(|| window.clone(), |leaf| format!("{window} and {}", leaf.condition()))
    }

    /// Returns the condition of all rows of `t` that are processed.
    pub(super) fn part(&self) -> String {
        self.leaf.as_ref().map_or_else(|| "true".to_owned(), Leaf::condition)
    }
}

impl Catalogue {
    /// Returns the condition of an old row of `t`.
    fn old(&self, kind: Retained) -> Option<String> {
        match kind {
            Retained::Events => {
                let old = self.before("t", self.time(kind, "created_at")?);
                // The digest reads the rows.
                Some(format!("{old} and not {}", self.sql.undigested))
            }
            Retained::Facts => Some(self.before("t", self.time(kind, "last_at")?)),
            Retained::Outcomes => {
                let old = self.before("t", self.time(kind, "occurred_at")?);
                Some(format!("{old} and {WITHOUT_FACTS}"))
            }
            Retained::Messages | Retained::ChatMessages => {
                Some(self.before("t", self.time(kind, "created_at")?))
            }
            Retained::Book => self.old_in_book(),
            Retained::Conversations => self.old_conversation(),
            Retained::Appointments => self.old_appointment(),
            Retained::Requests => Some(self.before("t", self.time(kind, "done_at")?)),
            Retained::CountedIds | Retained::Audit => Some(self.before("t", self.time(kind, "at")?)),
            Retained::Tombstones => Some(self.before("t", self.time(kind, "until")?)),
            Retained::Consents => {
                let old = self.before("t", self.time(kind, "at")?);
                // The latest record stays, even a withdrawal: without it, an earlier consent under another of
                // the person's identifiers would be in force again.
                Some(format!(
                    "{old} and exists (select 1 from mlops_consents n
                        where n.subject = t.subject and n.purpose = t.purpose and n.seq > t.seq
                          and (n.business_id is null or n.business_id = t.business_id))"
                ))
            }
        }
    }

    /// Returns the condition of an old conversation without newer or undated messages, which would be deleted
    /// with it.
    fn old_conversation(&self) -> Option<String> {
        let kind = Retained::Conversations;
        let times: Vec<&str> =
            ["updated_at", "created_at"].into_iter().filter_map(|column| self.time(kind, column)).collect();
        let last = match times[..] {
            [updated, created] => format!("coalesce(t.{updated}, t.{created}) < $3"),
            [only] => format!("t.{only} < $3"),
            _ => return None,
        };
        let id = self.tables[&kind].get("id")?;
        let has_none = [Retained::Messages, Retained::ChatMessages].into_iter().filter_map(|messages| {
            let link = self.tables[&messages].get("conversation_id")?;
            // Columns of different types, such as text and uuid, can only be compared as text.
            let is_its = match link == id {
                true => "m.conversation_id = t.id",
                false => "cast(m.conversation_id as text) = cast(t.id as text)",
            };
            let newer = self.time(messages, "created_at").map_or_else(String::new, |created| {
                format!(" and coalesce(not ({}), true)", self.before("m", created))
            });
            Some(format!(" and not exists (select 1 from {} m where {is_its}{newer})", messages.table()))
        });
        Some([last].into_iter().chain(has_none).collect())
    }

    /// Returns the condition of an appointment that both was created and took place before the cutoff. If
    /// only one of the times is known, it decides.
    fn old_appointment(&self) -> Option<String> {
        let kind = Retained::Appointments;
        let created = self.time(kind, "created_at").map(|column| ("t.created_at", self.before("t", column)));
        let held = match self.tables[&kind].get("appointment_date").map(String::as_str) {
            None => None,
            Some(dates) if (self.sql.holds_times)(dates) => {
                Some(("t.appointment_date", self.before("t", "appointment_date")))
            }
            // ISO dates compare as text; an appointment with an unreadable date stays.
            Some(text) if text == "text" || text.starts_with("character") => Some((
                "t.appointment_date",
                "(t.appointment_date ~ '^\\d{4}-\\d\\d-\\d\\d'
                    and left(t.appointment_date, 10) < to_char($3 at time zone 'UTC', 'YYYY-MM-DD'))"
                    .to_owned(),
            )),
            Some(_) => return None,
        };
        let known: Vec<(&str, String)> = created.into_iter().chain(held).collect();
        if known.is_empty() {
            return None;
        }
        let columns: Vec<&str> = known.iter().map(|(column, _)| *column).collect();
        let all_before = known.iter().map(|(_, before)| format!(" and coalesce({before}, true)"));
        Some(format!("coalesce({}) is not null{}", as_texts(&columns), all_before.collect::<String>()))
    }

    /// Returns the condition of what was read of an appointment that no reading finds any more, held before the cutoff or deleted by the
    /// service, of a conversation without facts: the digest needs the others to tell what changed.
    fn old_in_book(&self) -> Option<String> {
        let held = self.before("t", self.time(Retained::Book, "held_at")?);
        let columns = &self.tables[&Retained::Appointments];
        let is_there = ["id", "conversation_id"].iter().all(|column| columns.contains_key(*column));
        let gone = " and not exists (select 1 from appointments a
            where cast(a.id as text) = t.appointment_id and a.conversation_id is not null)";
        let gone = if is_there { gone } else { "" };
        Some(format!("(t.settled or coalesce({held}, true)) and {WITHOUT_FACTS}{gone}"))
    }

    /// Returns the column of what was read of appointments that names rows of `kind`, if they have ids.
    fn settles(&self, kind: Retained) -> Option<&'static str> {
        let link = match kind {
            Retained::Appointments => "appointment_id",
            // With it, its appointments lose their link to it.
            Retained::Conversations => "conversation_id",
            Retained::Events
            | Retained::Facts
            | Retained::Outcomes
            | Retained::Messages
            | Retained::ChatMessages
            | Retained::Book
            | Retained::Requests
            | Retained::Consents
            | Retained::CountedIds
            | Retained::Tombstones
            | Retained::Audit => return None,
        };
        self.tables[&kind].contains_key("id").then_some(link)
    }

    /// Returns the condition of a row of `t` without a valid time. An uncounted row must be counted first.
    fn undated(&self, kind: Retained) -> String {
        match kind {
            Retained::Events => {
                format!("({} is null and t.event_id is not null)", (self.sql.time)("t.created_at"))
            }
            Retained::Facts
            | Retained::Outcomes
            | Retained::Messages
            | Retained::ChatMessages
            | Retained::Conversations
            | Retained::Appointments
            | Retained::Book
            | Retained::Requests
            | Retained::Consents
            | Retained::CountedIds
            | Retained::Tombstones
            | Retained::Audit => "false".to_owned(),
        }
    }

    /// Returns the condition of a row of `t` whose time is after the horizon or `infinity`. An appointment may well be held ahead, but
    /// not at `infinity`.
    fn ahead(&self, kind: Retained) -> String {
        let after = |time: &str| format!("{} > {}", (self.sql.time)(time), (self.sql.time)("$4"));
        let column = |name| self.time(kind, name).map(|column| format!("t.{column}"));
        let is_ahead = |time: String| format!("{} or {}", after(&time), (self.sql.is_infinite)(&time));
        let known = match kind {
            // On SQLite, a run dates those at `infinity` like others with an invalid time.
            Retained::Events => vec![column("created_at").map(|time| after(&time))],
            Retained::Facts => vec![column("last_at").map(is_ahead)],
            Retained::Outcomes => vec![column("occurred_at").map(is_ahead)],
            Retained::Messages | Retained::ChatMessages => vec![column("created_at").map(is_ahead)],
            Retained::Conversations => {
                let times: Vec<String> =
                    ["updated_at", "created_at"].into_iter().filter_map(column).collect();
                let last = match &times[..] {
                    [updated, created] => Some(format!("coalesce({updated}, {created})")),
                    others => others.first().cloned(),
                };
                vec![last.map(is_ahead)]
            }
            Retained::Appointments => {
                let held = column("appointment_date").map(|date| (self.sql.is_infinite)(&date));
                vec![column("created_at").map(is_ahead), held]
            }
            Retained::Requests => vec![column("done_at").map(is_ahead)],
            Retained::Consents | Retained::CountedIds | Retained::Audit => vec![column("at").map(is_ahead)],
            // Their end, and when appointments take place, is ahead.
            Retained::Tombstones | Retained::Book => Vec::new(),
        };
        let known: Vec<String> = known.into_iter().flatten().chain(["$4 is null".to_owned()]).collect();
        known.join(" or ")
    }

    /// Returns `column` if the table has it and it contains times.
    fn time<'c>(&self, kind: Retained, column: &'c str) -> Option<&'c str> {
        let of_type = self.tables[&kind].get(column)?;
        (self.sql.holds_times)(of_type).then_some(column)
    }

    /// Returns the condition that the time in a column of `table` is before `$3`.
    fn before(&self, table: &str, column: &str) -> String {
        format!("{} < {}", (self.sql.time)(&format!("{table}.{column}")), (self.sql.time)("$3"))
    }
}

/// Casts columns, which may be of different types, to a list of texts.
fn as_texts(columns: &[&str]) -> String {
    let texts: Vec<String> = columns.iter().map(|column| format!("cast({column} as text)")).collect();
    texts.join(", ")
}
