//! What leads to a person's rows, and the conditions of these rows.

use super::Rows;
use super::find::{MAX_EVENTS, json_list};
use super::schema::{Schema, Table};
use crate::event::Event;
use crate::privacy::subject::{Hasher, Selector};

/// The id of a conversation or session, with the business that it belongs to; `None` if that is not known.
pub(super) type Name = (Option<String>, String);

/// Identifiers that find a person's rows. They are personal data, so the type does not implement `Debug`.
#[derive(Clone, Default)]
pub struct SubjectTraces {
    /// The only business whose rows are meant; `None` for all.
    pub(super) business: Option<String>,
    /// Their conversations, as events name them.
    pub(super) conversations: Vec<Name>,
    /// Their sessions, as events name them.
    pub(super) sessions: Vec<Name>,
    /// Whether the request named the session, rather than a conversation that led to it. Then all rows of the
    /// session belong to the person, regardless of their conversation.
    pub(super) named_session: bool,
    /// Ids of their conversations in the app's tables.
    pub(super) app_conversations: Vec<String>,
    /// Ids of their sessions in the app's tables.
    pub(super) app_sessions: Vec<String>,
    /// Ids of their appointments.
    pub(super) appointments: Vec<String>,
    /// Conversations that led to appointments of different people, one of whom is the person.
    pub(super) disputed: Vec<String>,
    /// Ids of their events.
    pub(super) events: Vec<i64>,
}

/// A condition of a query, and the values of its parameters from `$1` on.
#[derive(Default)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) binds: Vec<String>,
}

impl Condition {
    fn or(&mut self, condition: impl FnOnce(usize) -> String, bind: String) {
        self.add(" or ", condition, bind);
    }

    fn and(&mut self, condition: impl FnOnce(usize) -> String, bind: String) {
        self.sql = format!("({})", self.sql);
        self.add(" and ", condition, bind);
    }

    fn add(&mut self, operator: &str, condition: impl FnOnce(usize) -> String, bind: String) {
        self.binds.push(bind);
        let condition = condition(self.binds.len());
        let operator = if self.sql.is_empty() { "" } else { operator };
        self.sql = format!("{}{operator}({condition})", self.sql);
    }

    /// Adds the rows whose `column` is one of `names`, of its business where that is known, and that meet `rule`.
    fn or_named<C: Rows>(&mut self, column: &str, names: &[Name], rule: &str) {
        let (known, unknown): (Vec<&Name>, Vec<&Name>) =
            names.iter().partition(|(business, _)| business.is_some());
        if !known.is_empty() {
            self.or(|n| format!("{}{rule}", C::any_pair(["business_id", column], n)), json_list(&known));
        }
        if !unknown.is_empty() {
            let ids: Vec<&String> = unknown.into_iter().map(|(_, id)| id).collect();
            self.or(|n| format!("{column} {}{rule}", C::any_text(n)), json_list(&ids));
        }
    }

    fn if_any(self) -> Option<Self> {
        (!self.sql.is_empty()).then_some(self)
    }
}

impl SubjectTraces {
    /// Returns whether an event that is not in the store yet belongs to the person.
    #[must_use]
    pub fn include(&self, event: &Event) -> bool {
        let is_named = |names: &[Name], id: &str| {
            names.iter().any(|(business, name)| {
                name == id && business.as_ref().is_none_or(|one| *one == event.business_id)
            })
        };
        let conversation = event.conversation_id.as_deref();
        self.business.as_ref().is_none_or(|one| *one == event.business_id)
            && (conversation.is_some_and(|id| is_named(&self.conversations, id))
                || is_named(&self.sessions, &event.session_id)
                    && (self.named_session || conversation.is_none()))
    }

    /// Returns whether they have more events than one request may process.
    pub(super) fn have_too_many_events(&self) -> bool {
        self.events.len() > MAX_EVENTS
    }

    /// Returns the hashes under which data about the person may be stored: those of `named`, and of their conversations and
    /// sessions.
    pub(super) fn hashes(&self, named: &Selector, hasher: &Hasher) -> Vec<String> {
        let ids = |names: &[Name]| names.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
        let conversations = [ids(&self.conversations), self.app_conversations.clone()].concat();
        let conversations = conversations.iter().filter_map(|id| Selector::conversation(id).ok());
        let sessions = ids(&self.sessions);
        let sessions = sessions.iter().filter_map(|id| Selector::session(id).ok());
        let found = conversations.chain(sessions).map(|selector| hasher.hash(&selector));
        hasher.hashes(named).into_iter().chain(found).map(|hash| hash.to_hex()).collect()
    }

    /// Returns the condition of their events, of those whose ids are not known yet.
    pub(super) fn event_links<C: Rows>(&self) -> Option<Condition> {
        let mut links = Condition::default();
        let sessions_rule = if self.named_session { "" } else { " and conversation_id is null" };
        links.or_named::<C>("conversation_id", &self.conversations, "");
        links.or_named::<C>("session_id", &self.sessions, sessions_rule);
        self.within_business(links, "business_id").if_any()
    }

    /// Returns the condition of rows about their conversations in one of the service's own tables.
    pub(super) fn conversation_links<C: Rows>(&self) -> Option<Condition> {
        let mut links = Condition::default();
        links.or_named::<C>("conversation_id", &self.conversations, "");
        self.within_business(links, "business_id").if_any()
    }

    /// Returns the condition of what was read of their appointments, and of those of their conversations.
    fn book_links<C: Rows>(&self) -> Option<Condition> {
        let mut links = Condition::default();
        links.or_named::<C>("conversation_id", &self.conversations, "");
        if !self.appointments.is_empty() {
            links.or(|n| format!("appointment_id {}", C::any_text(n)), json_list(&self.appointments));
        }
        self.within_business(links, "business_id").if_any()
    }

    /// Returns the condition of their rows in one of the app's tables; `None` if it cannot have any.
    pub(super) fn app_links<C: Rows>(&self, schema: &Schema, table: Table) -> Option<Condition> {
        let mut links = Condition::default();
        let is_one = |column: &str, n| format!("cast({column} as text) {}", C::any_text(n));
        // What an appointment is linked to does not tell whose it is.
        if table == Table::Appointments {
            if schema.has(table, "id") && !self.appointments.is_empty() {
                links.or(|n| is_one("id", n), json_list(&self.appointments));
            }
            return links.if_any();
        }
        let conversation = if table == Table::Conversations { "id" } else { "conversation_id" };
        if schema.has(table, conversation) && !self.app_conversations.is_empty() {
            links.or(|n| is_one(conversation, n), json_list(&self.app_conversations));
        }
        if schema.has(table, "session_id") && !self.app_sessions.is_empty() {
            // What names a conversation is found, or left out, with that.
            let names_conversation = schema.has(table, "conversation_id");
            let rule = if names_conversation { " and conversation_id is null" } else { "" };
            links.or(|n| format!("{}{rule}", is_one("session_id", n)), json_list(&self.app_sessions));
        }
        match schema.has(table, "business_id") {
            true => self.within_business(links, "cast(business_id as text)").if_any(),
            false => links.if_any(),
        }
    }

    /// Returns the condition of their rows in any table. `hashes` are those of [`SubjectTraces::hashes`].
    pub(super) fn condition<C: Rows>(
        &self,
        schema: &Schema,
        table: Table,
        hashes: &[String],
    ) -> Option<Condition> {
        match table {
            Table::Events => self.event_ids::<C>(),
            Table::Facts | Table::Outcomes => self.conversation_links::<C>(),
            Table::Book => self.book_links::<C>(),
            Table::Consents | Table::Requests => self.by_hash::<C>(schema, table, hashes, "business_id"),
            Table::Audit => {
                self.by_hash::<C>(schema, table, hashes, &C::json_field("details", "business_id"))
            }
            Table::Conversations | Table::Messages | Table::ChatMessages | Table::Appointments => {
                self.app_links::<C>(schema, table)
            }
        }
    }

    fn event_ids<C: Rows>(&self) -> Option<Condition> {
        let mut ids = Condition::default();
        if !self.events.is_empty() {
            ids.or(|n| format!("id {}", C::any_number(n)), json_list(&self.events));
        }
        ids.if_any()
    }

    /// Returns the condition of rows of a table that has hashes, and the business in `business`.
    fn by_hash<C: Rows>(
        &self,
        schema: &Schema,
        table: Table,
        hashes: &[String],
        business: &str,
    ) -> Option<Condition> {
        let mut links = Condition::default();
        if schema.has(table, "subject") {
            links.or(|n| format!("subject {}", C::any_bytes(n)), json_list(hashes));
        }
        self.within_business(links, business).if_any()
    }

    fn within_business(&self, mut links: Condition, column: &str) -> Condition {
        if let Some(business) = self.business.as_ref().filter(|_| !links.sql.is_empty()) {
            links.and(|n| format!("{column} = ${n}"), business.clone());
        }
        links
    }
}
