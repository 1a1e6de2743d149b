//! What is old in a table, as the table is: those of the receptionist app may be absent, or lack columns.

use std::collections::BTreeMap;
use std::ops::Range;

use sqlx::AssertSqlSafe;

use super::dialect::RetentionSql;
use super::{Retained, STEP_LIMIT};
use crate::store::{READ_LIMIT, Store, StoreError};

/// A table that is gone through: from where to where, and which of its rows are old.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// What it holds.
    pub kind: Retained,
    /// From where to where its windows go: pages, row numbers or seconds.
    pub range: Range<i64>,
    /// The condition of an old row of `t`, `$3` being the time before which a row is old.
    pub(super) old: String,
    /// The condition of a row of `t` whose age nobody can tell, and that is counted.
    pub(super) undated: String,
}

/// The columns of the tables that matter, with their types, and how the database says things.
struct Catalogue {
    tables: BTreeMap<Retained, BTreeMap<String, String>>,
    sql: &'static RetentionSql,
}

impl Store {
    /// Whether there is a table of `kind`.
    pub async fn has_table(&self, kind: Retained) -> Result<bool, StoreError> {
        let columns = self.sql().columns;
        let found = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as::<_, (String, String)>(columns).bind(kind.table()).fetch_optional(conn).await
        })?;
        Ok(found.is_some())
    }

    /// The table of `kind`; `None` when it is absent, or lacks what tells the age of its rows.
    pub async fn plan(&self, kind: Retained) -> Result<Option<TablePlan>, StoreError> {
        let mut catalogue = Catalogue { tables: BTreeMap::new(), sql: self.sql() };
        for kind in [kind, Retained::Messages, Retained::ChatMessages] {
            let columns: Vec<(String, String)> = on!(&self.sweep, STEP_LIMIT, |conn| {
                sqlx::query_as(catalogue.sql.columns).bind(kind.table()).fetch_all(conn).await
            })?;
            catalogue.tables.insert(kind, columns.into_iter().collect());
        }
        let Some(old) = catalogue.old(kind) else { return Ok(None) };
        let extent = (catalogue.sql.extent)(kind);
        let (first, end) = on!(&self.sweep, STEP_LIMIT, |conn| {
            sqlx::query_as(AssertSqlSafe(extent)).fetch_one(conn).await
        })?;
        Ok(Some(TablePlan { kind, range: first..end, old, undated: catalogue.undated(kind) }))
    }
}

impl Catalogue {
    /// The condition of an old row of `t`.
    fn old(&self, kind: Retained) -> Option<String> {
        match kind {
            Retained::Events | Retained::Messages | Retained::ChatMessages => {
                Some(self.before("t", self.time(kind, "created_at")?))
            }
            Retained::Conversations => self.old_conversation(),
            Retained::Appointments => self.old_appointment(),
            Retained::Requests => Some(self.before("t", self.time(kind, "done_at")?)),
            Retained::CountedIds | Retained::Audit => Some(self.before("t", self.time(kind, "at")?)),
            Retained::Consents => {
                let old = self.before("t", self.time(kind, "at")?);
                // What was said last stays, a withdrawal too: without it, an earlier consent under another of the person's
                // names would hold again.
                Some(format!(
                    "{old} and exists (select 1 from mlops_consents n
                        where n.subject = t.subject and n.purpose = t.purpose and n.seq > t.seq)"
                ))
            }
        }
    }

    /// A conversation that nobody has touched since, and that holds no message of unknown or younger age: those would be
    /// deleted with it.
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
        let holds_none = [Retained::Messages, Retained::ChatMessages].into_iter().filter_map(|messages| {
            let link = self.tables[&messages].get("conversation_id")?;
            // Columns of different types, such as text and uuid, are compared as text.
            let is_its = match link == id {
                true => "m.conversation_id = t.id",
                false => "cast(m.conversation_id as text) = cast(t.id as text)",
            };
            let young = self.time(messages, "created_at").map_or_else(String::new, |created| {
                format!(" and coalesce(not ({}), true)", self.before("m", created))
            });
            Some(format!(" and not exists (select 1 from {} m where {is_its}{young})", messages.table()))
        });
        Some([last].into_iter().chain(holds_none).collect())
    }

    /// An appointment that was both made and held before; where only one of the two is known, that one decides.
    fn old_appointment(&self) -> Option<String> {
        let kind = Retained::Appointments;
        let created = self.time(kind, "created_at").map(|column| ("t.created_at", self.before("t", column)));
        let held = match self.tables[&kind].get("appointment_date").map(String::as_str) {
            None => None,
            Some(dates) if (self.sql.holds_times)(dates) => {
                Some(("t.appointment_date", self.before("t", "appointment_date")))
            }
            // ISO dates compare as text; an appointment on a date that nobody can read stays.
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

    /// The condition of a row of `t` whose age nobody can tell. One that is not counted yet is left to be counted first.
    fn undated(&self, kind: Retained) -> String {
        match kind {
            Retained::Events => {
                format!("({} is null and t.event_id is not null)", (self.sql.time)("t.created_at"))
            }
            _ => "false".to_owned(),
        }
    }

    /// A column of times, where the table has it.
    fn time<'c>(&self, kind: Retained, column: &'c str) -> Option<&'c str> {
        let of_type = self.tables[&kind].get(column)?;
        (self.sql.holds_times)(of_type).then_some(column)
    }

    /// Whether the time in a column of `table` is before `$3`.
    fn before(&self, table: &str, column: &str) -> String {
        format!("{} < {}", (self.sql.time)(&format!("{table}.{column}")), (self.sql.time)("$3"))
    }
}

/// Columns as a list of texts, for they may be of different types.
fn as_texts(columns: &[&str]) -> String {
    let texts: Vec<String> = columns.iter().map(|column| format!("cast({column} as text)")).collect();
    texts.join(", ")
}
