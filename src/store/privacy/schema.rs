//! Which of the tables that may hold a person are there, and with which columns: those of the receptionist app may be
//! absent, and have columns that nobody here knows of.

use std::collections::BTreeMap;

use super::dynamic_sql::{Fields, Rows};
use super::find::json_list;

/// A table that may hold a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The app's conversations, with the customer's contact.
    Conversations,
    /// What was said in them.
    Messages,
    /// The same, under the name that some installations have.
    ChatMessages,
    /// The app's appointments, with the customer's contact.
    Appointments,
    /// Events.
    Events,
    /// Consents, by the hash of their subject.
    Consents,
    /// The audit trail, by the hash of the subject.
    Audit,
    /// Requests to the privacy desk, by the hash of the subject.
    Requests,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 8] = [
        Self::Conversations,
        Self::Messages,
        Self::ChatMessages,
        Self::Appointments,
        Self::Events,
        Self::Consents,
        Self::Audit,
        Self::Requests,
    ];

    /// Those whose rows an erasure deletes or makes anonymous, in the order in which it does so: what refers to a
    /// conversation goes before it.
    pub const ERASED: [Self; 6] = [
        Self::Messages,
        Self::ChatMessages,
        Self::Appointments,
        Self::Events,
        Self::Conversations,
        Self::Consents,
    ];

    /// Its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::ChatMessages => "chat_messages",
            Self::Appointments => "appointments",
            Self::Events => "ai_metrics",
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
    /// Its type, as a cast takes it.
    pub(super) kind: String,
    pub(super) must_be_set: bool,
    pub(super) generated: bool,
}

impl Column {
    /// Reads the name of a table and one of its columns.
    fn read(fields: Fields) -> Option<(String, Self)> {
        let [table, name, kind, must_be_set, generated] = <[Option<String>; 5]>::try_from(fields).ok()?;
        let yes = |text: Option<String>| text.as_deref() == Some("y");
        let (must_be_set, generated) = (yes(must_be_set), yes(generated));
        Some((table?, Self { name: name?, kind: kind.unwrap_or_default(), must_be_set, generated }))
    }

    /// Its name as a statement has it.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }
}

/// Ids of events whose rows are not kept.
pub(super) const COUNTED_EVENTS: &str = "mlops_counted_events";

/// The tables that are there, by their names.
pub(super) struct Schema(BTreeMap<String, Vec<Column>>);

impl Schema {
    /// Finds out.
    pub(super) async fn read<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        let names: Vec<&str> = Table::ALL.into_iter().map(Table::name).chain([COUNTED_EVENTS]).collect();
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        let mut keep = |fields: Fields| {
            if let Some((table, column)) = Column::read(fields) {
                tables.entry(table).or_default().push(column);
            }
            true
        };
        conn.read(C::COLUMNS.to_owned(), &[json_list(&names)], &mut keep).await?;
        Ok(Self(tables))
    }

    /// The columns of a table, in their order; none where it is not there.
    pub(super) fn columns(&self, table: Table) -> &[Column] {
        self.0.get(table.name()).map_or(&[], Vec::as_slice)
    }

    /// Whether ids of events can be kept.
    pub(super) fn keeps_ids(&self) -> bool {
        self.0.contains_key(COUNTED_EVENTS)
    }

    pub(super) fn has(&self, table: Table, column: &str) -> bool {
        self.columns(table).iter().any(|one| one.name == column)
    }

    /// The tables that are there.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(|table| self.0.contains_key(table.name()))
    }

    /// Tables that are there and do not tell whose their rows are.
    pub(super) fn unsearchable(&self) -> Vec<&'static str> {
        let links = ["conversation_id", "session_id", "customer_email", "customer_phone", "id", "subject"];
        let tells = |table: Table| match table {
            Table::Messages | Table::ChatMessages => links[..2].iter().any(|link| self.has(table, link)),
            Table::Appointments => links[..4].iter().any(|link| self.has(table, link)),
            _ => true,
        };
        self.tables().filter(|table| !tells(*table)).map(Table::name).collect()
    }
}
