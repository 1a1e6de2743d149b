//! Finds out which tables with personal data exist, and their columns: those of the receptionist app may be
//! missing or have additional columns.

use std::collections::BTreeMap;

use strum::VariantArray;

use super::dynamic_sql::{Fields, Rows};
use super::find::json_list;

/// A table with personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub enum Table {
    /// The app's conversations, with the customer's contact.
    Conversations,
    /// The messages in them.
    Messages,
    /// The same in installations that call the table `chat_messages`.
    ChatMessages,
    /// The app's appointments, with the customer's contact.
    Appointments,
    /// Events.
    Events,
    /// Facts about conversations, which events lead to.
    Facts,
    /// Posted outcomes of conversations.
    Outcomes,
    /// What was last read of the app's appointments.
    Book,
    /// Consents, by the hash of their subject.
    Consents,
    /// The audit trail, by the hash of the subject.
    Audit,
    /// Privacy requests, by the hash of the subject.
    Requests,
}

impl Table {
    /// Tables whose rows an erasure deletes or anonymises, in that order: rows that refer to a conversation
    /// before it.
    pub const ERASED: [Self; 9] = [
        Self::Messages,
        Self::ChatMessages,
        Self::Book,
        Self::Appointments,
        Self::Outcomes,
        Self::Facts,
        Self::Events,
        Self::Conversations,
        Self::Consents,
    ];

    /// Returns its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::ChatMessages => "chat_messages",
            Self::Appointments => "appointments",
            Self::Events => "ai_metrics",
            Self::Facts => "mlops_conversations",
            Self::Outcomes => "mlops_outcomes",
            Self::Book => "mlops_book",
            Self::Consents => "mlops_consents",
            Self::Audit => "mlops_audit",
            Self::Requests => "mlops_privacy_requests",
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(in crate::store) struct Column {
    pub(super) name: String,
    /// Its type, as in a cast.
    pub(super) kind: String,
    pub(super) must_be_set: bool,
    pub(super) generated: bool,
}

impl Column {
    /// Parses the name of a table and one of its columns.
    fn read(fields: Fields) -> Option<(String, Self)> {
        let [table, name, kind, must_be_set, generated] = <[Option<String>; 5]>::try_from(fields).ok()?;
        let yes = |text: Option<String>| text.as_deref() == Some("y");
        let (must_be_set, generated) = (yes(must_be_set), yes(generated));
        Some((table?, Self { name: name?, kind: kind.unwrap_or_default(), must_be_set, generated }))
    }

    /// Returns its name, quoted for a statement.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }
}

/// Tables that hold no person.
const WITHOUT_PERSONS: [&str; 26] = [
    COUNTED_EVENTS,
    "_sqlx_migrations",
    "ai_latency_daily",
    "ai_metric_labels",
    "ai_metric_series",
    "ai_rollup_daily",
    "ai_rollup_pending",
    "ai_totals",
    "mlops_api_keys",
    "mlops_businesses",
    "mlops_conversation_daily",
    "mlops_cost_daily",
    "mlops_event_ids",
    "mlops_fact_totals",
    "mlops_first_latency_daily",
    "mlops_hourly",
    "mlops_intent_daily",
    "mlops_links",
    "mlops_outcome_daily",
    "mlops_partition_copy",
    "mlops_rebuild",
    "mlops_retention",
    "mlops_retention_deleted",
    "mlops_sessions",
    "mlops_tombstones",
    "mlops_undigested",
];

/// The app's table of texts from which it answers.
pub(super) const DOCUMENTS: &str = "documents";

/// The table of ids of events counted without a row.
pub(super) const COUNTED_EVENTS: &str = "mlops_counted_events";

/// The columns of the tables that exist, by table name.
pub(in crate::store) struct Schema(BTreeMap<String, Vec<Column>>);

impl Schema {
    /// Reads the schema from the database.
    pub(super) async fn read<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        let names: Vec<&str> =
            Table::VARIANTS.iter().copied().map(Table::name).chain([COUNTED_EVENTS, DOCUMENTS]).collect();
        Self::of(conn, &names).await
    }

    /// Reads the schema of the tables that have the contacts of customers.
    pub(in crate::store) async fn of_customers<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        Self::of(conn, &[Table::Conversations.name(), Table::Appointments.name()]).await
    }

    /// Reads the schema of the app's tables of businesses.
    pub(in crate::store) async fn of_businesses<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        Self::of(conn, &["businesses", "business_settings"]).await
    }

    async fn of<C: Rows>(conn: &mut C, names: &[&str]) -> Result<Self, sqlx::Error> {
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        let mut collect = |fields: Fields| {
            if let Some((table, column)) = Column::read(fields) {
                tables.entry(table).or_default().push(column);
            }
            true
        };
        conn.read(C::COLUMNS.to_owned(), &[json_list(names)], &mut collect).await?;
        Ok(Self(tables))
    }

    /// Returns the columns of a table, in order; none if it does not exist.
    pub(super) fn columns(&self, table: Table) -> &[Column] {
        self.0.get(table.name()).map_or(&[], Vec::as_slice)
    }

    /// Returns the columns of a table by its name, in order; none if it does not exist.
    pub(super) fn columns_of(&self, name: &str) -> &[Column] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a table exists and has all these columns.
    pub(in crate::store) fn has_columns(&self, table: &str, columns: &[&str]) -> bool {
        let has = |column: &&str| self.columns_of(table).iter().any(|one| one.name == **column);
        self.0.contains_key(table) && columns.iter().all(has)
    }

    /// Returns whether ids of events counted without a row can be stored.
    pub(super) fn has_counted_events(&self) -> bool {
        self.0.contains_key(COUNTED_EVENTS)
    }

    pub(super) fn has(&self, table: Table, column: &str) -> bool {
        self.columns(table).iter().any(|one| one.name == column)
    }

    /// Returns the tables that exist.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        Table::VARIANTS.iter().copied().filter(|table| self.0.contains_key(table.name()))
    }

    /// Returns the tables of the database that are not searched for a person: those that the service does not know, and those whose rows
    /// cannot be attributed to a person.
    pub(super) async fn not_searched<C: Rows>(&self, conn: &mut C) -> Result<Vec<String>, sqlx::Error> {
        let unsearchable = self.unsearchable();
        let known = |name: &str| Table::VARIANTS.iter().any(|table| table.name() == name);
        let tables = conn.texts(C::OTHER_TABLES.to_owned(), &[]).await?.into_iter();
        let others = tables.filter(|name| {
            unsearchable.contains(&name.as_str())
                || !known(name) && name != DOCUMENTS && !WITHOUT_PERSONS.contains(&name.as_str())
        });
        Ok(others.collect())
    }

    /// Returns the tables that exist but whose rows cannot be attributed to a person.
    fn unsearchable(&self) -> Vec<&'static str> {
        let links = ["conversation_id", "session_id", "customer_email", "customer_phone", "id", "subject"];
        let is_searchable = |table: Table| match table {
            Table::Messages | Table::ChatMessages => links[..2].iter().any(|link| self.has(table, link)),
            Table::Appointments => links[..4].iter().any(|link| self.has(table, link)),
            Table::Conversations
            | Table::Events
            | Table::Facts
            | Table::Outcomes
            | Table::Book
            | Table::Consents
            | Table::Audit
            | Table::Requests => true,
        };
        self.tables().filter(|table| !is_searchable(*table)).map(Table::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_goes_through_every_table_but_those_that_prove_it() {
        for table in Table::VARIANTS.iter().copied() {
            let proves_it = match table {
                Table::Audit | Table::Requests => true,
                Table::Conversations
                | Table::Messages
                | Table::ChatMessages
                | Table::Appointments
                | Table::Events
                | Table::Facts
                | Table::Outcomes
                | Table::Book
                | Table::Consents => false,
            };
            assert_ne!(Table::ERASED.contains(&table), proves_it, "{table:?}");
        }
    }
}
