//! Which of the tables that may hold a person are there, and with which columns: those of the receptionist app may be
//! absent, and have columns that nobody here knows of.

use std::collections::BTreeMap;

use super::rows::{Fields, Rows};

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
    fn read(fields: Fields) -> Option<Self> {
        let [name, kind, must_be_set, generated] = <[Option<String>; 4]>::try_from(fields).ok()?;
        let yes = |text: Option<String>| text.as_deref() == Some("y");
        let (must_be_set, generated) = (yes(must_be_set), yes(generated));
        Some(Self { name: name?, kind: kind.unwrap_or_default(), must_be_set, generated })
    }

    /// Its name as a statement has it.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }
}

/// The tables that are there.
pub(super) struct Schema(BTreeMap<Table, Vec<Column>>);

impl Schema {
    /// Finds out.
    pub(super) async fn read<C: Rows>(conn: &mut C) -> Result<Self, sqlx::Error> {
        let mut tables = BTreeMap::new();
        for table in Table::ALL {
            tables.insert(table, columns(conn, table.name()).await?);
        }
        tables.retain(|_, columns| !columns.is_empty());
        Ok(Self(tables))
    }

    /// The columns of a table, in their order; none where it is not there.
    pub(super) fn columns(&self, table: Table) -> &[Column] {
        self.0.get(&table).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has(&self, table: Table, column: &str) -> bool {
        self.columns(table).iter().any(|one| one.name == column)
    }

    /// The tables that are there.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        self.0.keys().copied()
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

/// The columns of a table; none where it is not there.
pub(super) async fn columns<C: Rows>(conn: &mut C, table: &str) -> Result<Vec<Column>, sqlx::Error> {
    let mut columns = Vec::new();
    let mut keep = |fields: Fields| {
        columns.extend(Column::read(fields));
        true
    };
    conn.read(C::COLUMNS.to_owned(), &[table.to_owned()], &mut keep).await?;
    Ok(columns)
}
