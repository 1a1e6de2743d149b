//! The contacts of customers in the receptionist app's rows, and whose its conversations are.

use std::collections::{BTreeMap, BTreeSet};

use super::dynamic_sql::{Fields, Rows};
use super::find::json_list;
use super::schema::{Schema, Table};
use crate::privacy::contact::{Contact, Owner};
use crate::privacy::subject::{ContactReader, Selector};

/// The number of digits of a phone number by which the database finds candidates: the shortest subscriber numbers have as many.
const CANDIDATE_DIGITS: usize = 6;

/// A conversation or an appointment of the app.
pub(in crate::store) struct AppRow {
    pub(super) id: String,
    pub(super) business: Option<String>,
    /// The conversation that led to an appointment.
    pub(super) conversation: Option<String>,
    pub(super) contact: Contact,
}

impl AppRow {
    /// Returns whether it is, or may be, a row of `business`; every row is if that is `None`.
    pub(super) fn is_of(&self, business: Option<&str>) -> bool {
        business.is_none() || self.business.is_none() || self.business.as_deref() == business
    }
}

/// Conversations with their appointments.
#[derive(Default)]
pub(in crate::store) struct Conversations {
    rows: BTreeMap<String, AppRow>,
    appointments: BTreeMap<String, Vec<AppRow>>,
    /// Those that were of several people before one of them was erased.
    disputed: BTreeSet<String>,
}

impl Conversations {
    /// Reads those of `ids`.
    pub(in crate::store) async fn read<C: Rows>(
        conn: &mut C,
        schema: &Schema,
        ids: &[String],
        reader: ContactReader,
    ) -> Result<Self, sqlx::Error> {
        let mut found = Self::default();
        if ids.is_empty() {
            return Ok(found);
        }
        for row in rows(conn, schema, Table::Conversations, Wanted::Ids(ids), reader).await? {
            found.rows.insert(row.id.clone(), row);
        }
        for row in rows(conn, schema, Table::Appointments, Wanted::Ids(ids), reader).await? {
            let conversation = row.conversation.clone().unwrap_or_default();
            found.appointments.entry(conversation).or_default().push(row);
        }
        Ok(found)
    }

    /// Notes conversations that are of several people whatever appointments they have now.
    pub(super) fn dispute(&mut self, ids: BTreeSet<String>) {
        self.disputed.extend(ids);
    }

    /// Returns the row of a conversation.
    pub(super) fn row(&self, id: &str) -> Option<&AppRow> {
        self.rows.get(id)
    }

    /// Returns the appointments of a conversation.
    pub(super) fn appointments(&self, id: &str) -> &[AppRow] {
        self.appointments.get(id).map_or(&[], Vec::as_slice)
    }

    /// Returns the businesses whose conversation it is, as far as its rows tell.
    pub(super) fn businesses(&self, id: &str) -> BTreeSet<String> {
        match self.row(id).and_then(|row| row.business.clone()) {
            Some(business) => [business].into(),
            None => {
                self.appointments(id).iter().filter_map(|appointment| appointment.business.clone()).collect()
            }
        }
    }

    /// Returns whose a conversation is, as far as rows of `business` tell; all rows if that is `None`.
    pub(in crate::store) fn owner(&self, id: &str, business: Option<&str>) -> Owner {
        let none = Contact::default();
        let own = self.row(id).filter(|row| row.is_of(business)).map_or(&none, |row| &row.contact);
        if own.is_empty() && self.disputed.contains(id) {
            return Owner::Disputed;
        }
        let appointments = self.appointments(id).iter().filter(|appointment| appointment.is_of(business));
        Owner::of(own, appointments.map(|appointment| &appointment.contact))
    }
}

/// Which rows to read.
pub(super) enum Wanted<'w> {
    /// Those with the contact of this selector.
    Contact(&'w Selector),
    /// Those of these conversations.
    Ids(&'w [String]),
}

/// Reads rows of the conversations or the appointments.
pub(super) async fn rows<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    table: Table,
    wanted: Wanted<'_>,
    reader: ContactReader,
) -> Result<Vec<AppRow>, sqlx::Error> {
    let column = |name| match schema.has(table, name) {
        true => format!("cast({name} as text)"),
        false => "cast(null as text)".to_owned(),
    };
    let link = if table == Table::Conversations { "id" } else { "conversation_id" };
    let [email, phone] = ["customer_email", "customer_phone"].map(column);
    let (condition, bind) = match wanted {
        Wanted::Ids(_) if !schema.has(table, link) => return Ok(Vec::new()),
        Wanted::Ids(ids) => (format!("cast({link} as text) {}", C::in_texts(1)), json_list(ids)),
        Wanted::Contact(selector @ Selector::Phone(_)) => candidates::<C>(selector, &[&phone]),
        Wanted::Contact(selector) => candidates::<C>(selector, &[&email, &phone]),
    };
    if !schema.has(table, "id") {
        return Ok(Vec::new());
    }
    let conversation = if table == Table::Conversations { column("id") } else { column("conversation_id") };
    let sql = format!(
        "select cast(id as text), {}, {conversation}, {email}, {phone} from {} where {condition}",
        column("business_id"),
        table.name()
    );
    let mut found = Vec::new();
    let mut collect = |fields: Fields| {
        if let Ok([Some(id), business, conversation, email, phone]) = <[Option<String>; 5]>::try_from(fields)
        {
            let contact = Contact::read(reader, [email.as_deref(), phone.as_deref()].into_iter().flatten());
            let is_wanted = match wanted {
                Wanted::Contact(selector) => contact.has(selector),
                Wanted::Ids(_) => true,
            };
            found.extend(is_wanted.then_some(AppRow { id, business, conversation, contact }));
        }
        true
    };
    conn.read(sql, &[bind], &mut collect).await?;
    Ok(found)
}

/// Returns the condition of rows whose texts may have the contact of a selector, and its parameter. Whether they do is decided by
/// parsing them in the same way as selectors.
fn candidates<C: Rows>(selector: &Selector, texts: &[&str]) -> (String, String) {
    let conditions: Vec<String> =
        texts.iter().map(|text| format!("({})", may_have::<C>(selector, text, 1))).collect();
    (conditions.join(" or "), candidate_bind(selector).to_owned())
}

/// Returns the condition that a text may have the contact of a selector; `$n` is its [`candidate_bind`].
pub(super) fn may_have<C: Rows>(selector: &Selector, text: &str, n: usize) -> String {
    match selector {
        Selector::Phone(_) => C::may_have_phone(text, n),
        Selector::Email(_) | Selector::Conversation(_) | Selector::Session(_) => C::may_have_text(text, n),
    }
}

/// Returns what a text with the contact of a selector contains, unless it is written in an unusual way.
pub(super) fn candidate_bind(selector: &Selector) -> &str {
    let text = selector.expose();
    match selector {
        Selector::Phone(_) => text.get(text.len().saturating_sub(CANDIDATE_DIGITS)..).unwrap_or(text),
        Selector::Email(_) | Selector::Conversation(_) | Selector::Session(_) => text,
    }
}
