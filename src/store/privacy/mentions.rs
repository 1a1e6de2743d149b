//! Mentions of a person in rows that are not theirs: in other people's messages and notes, and in the app's documents. A person decides
//! what to do about them.

use std::time::{Duration, Instant};

use super::customers::{candidate_bind, may_have};
use super::dynamic_sql::{Fields, Rows};
use super::find::Search;
use super::schema::{Column, DOCUMENTS, Schema, Table};
use super::traces::SubjectTraces;
use super::{ListedRows, StoreError, anonymise};
use crate::privacy::contact::Contact;
use crate::privacy::subject::{ContactReader, Selector, contains_name};
use crate::store::{Store, dialect};

/// How long all tables may be searched: they have no index for this.
const LIMIT: Duration = Duration::from_secs(2);

/// The maximum number of names and contacts to search for.
const MAX_TERMS: usize = 20;

/// The maximum number of ids that are listed for a table.
const MAX_IDS: usize = 100;

/// The minimum length of a name to search for, in characters.
const MIN_NAME_CHARS: usize = 3;

/// Where mentions are searched for.
const TABLES: [&str; 4] =
    [Table::Messages.name(), Table::ChatMessages.name(), Table::Appointments.name(), DOCUMENTS];

/// What mentions a person. It is personal data, so the type does not implement `Debug`.
#[derive(Default)]
struct Terms {
    contacts: Vec<Selector>,
    names: Vec<String>,
}

/// Rows that mention a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// The rows, each table with the ids of at most 100.
    pub found: Vec<ListedRows>,
    /// Tables that could not be searched: the role may not read them, time ran out, or nothing tells which rows are of the business.
    pub not_searched: Vec<&'static str>,
}

impl Store {
    /// Finds mentions of a person, whose own rows are left out.
    pub async fn mentions(
        &self,
        search: &Search<'_>,
        traces: &SubjectTraces,
    ) -> Result<Mentions, StoreError> {
        let (begun, mut mentions) = (Instant::now(), Mentions::default());
        let terms = crate::store::on!(&self.read, LIMIT, |conn| {
            let schema = Schema::read(conn).await?;
            terms(conn, &schema, search, traces).await
        })?;
        for table in TABLES {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let searched = crate::store::on!(&self.read, left, |conn| {
                let mut tx = dialect::begin_snapshot(conn).await?;
                dialect::extend_timeout(&mut *tx).await?;
                let schema = Schema::read(&mut *tx).await?;
                let found = search_table(&mut *tx, &schema, table, &terms, search, traces).await?;
                tx.rollback().await?;
                Ok(found)
            });
            match searched {
                Ok(Searched::Found(rows, ids)) if rows > 0 => {
                    mentions.found.push(ListedRows { table, rows, ids });
                }
                Ok(Searched::Nowhere | Searched::Found(..)) => {}
                Ok(Searched::Unreadable) | Err(StoreError::TimedOut) => mentions.not_searched.push(table),
                Err(error) => return Err(error),
            }
        }
        Ok(mentions)
    }
}

/// The result of searching a table.
enum Searched {
    /// The table does not exist, or has no text.
    Nowhere,
    /// The table exists, but cannot be searched.
    Unreadable,
    /// The number of rows, and some of their ids.
    Found(u64, Vec<String>),
}

/// Returns what mentions the person: the selector, and the names and contacts in the person's rows.
async fn terms<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
    traces: &SubjectTraces,
) -> Result<Terms, sqlx::Error> {
    let (mut terms, mut contact) = (Terms::default(), Contact::default());
    for table in [Table::Conversations, Table::Appointments] {
        let Some(links) = traces.app_links::<C>(schema, table) else { continue };
        let column =
            |name| if schema.has(table, name) { format!("cast({name} as text)") } else { "null".to_owned() };
        let [name, email, phone] = ["customer_name", "customer_email", "customer_phone"].map(column);
        let sql =
            format!("select distinct {name}, {email}, {phone} from {} where {}", table.name(), links.sql);
        let mut collect = |fields: Fields| {
            if let Ok([name, email, phone]) = <[Option<String>; 3]>::try_from(fields) {
                let read = Contact::read(
                    search.hasher.reader,
                    [email.as_deref(), phone.as_deref()].into_iter().flatten(),
                );
                contact.join(&read);
                terms.add_name(name);
            }
            true
        };
        conn.read(sql, &links.binds, &mut collect).await?;
    }
    let named =
        matches!(search.selector, Selector::Email(_) | Selector::Phone(_)).then(|| search.selector.clone());
    let others = contact.selectors().filter(|selector| selector != search.selector);
    terms.contacts = named.into_iter().chain(others).take(MAX_TERMS).collect();
    terms.names.truncate(MAX_TERMS);
    Ok(terms)
}

impl Terms {
    fn add_name(&mut self, name: Option<String>) {
        let name =
            name.map(|name| name.trim().to_lowercase()).filter(|name| name.chars().count() >= MIN_NAME_CHARS);
        let name = name.filter(|name| name != anonymise::PLACEHOLDER && !self.names.contains(name));
        self.names.extend(name);
    }

    /// Returns whether a text contains one of them.
    fn are_in(&self, text: &str, reader: ContactReader) -> bool {
        let (emails, phones) = (reader.emails(text), reader.phones(text));
        self.contacts.iter().any(|contact| match contact {
            Selector::Phone(phone) => phones.contains(phone),
            Selector::Email(email) => emails.contains(email),
            Selector::Conversation(_) | Selector::Session(_) => false,
        }) || self.names.iter().any(|name| contains_name(text, name))
    }
}

async fn search_table<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    table: &'static str,
    terms: &Terms,
    search: &Search<'_>,
    traces: &SubjectTraces,
) -> Result<Searched, sqlx::Error> {
    let texts: Vec<&Column> =
        schema.columns_of(table).iter().filter(|column| anonymise::may_mention(column)).collect();
    if texts.is_empty() || terms.contacts.is_empty() && terms.names.is_empty() {
        return Ok(Searched::Nowhere);
    }
    if conn.texts(C::READABLE.to_owned(), &[table.to_owned()]).await?.is_empty() {
        return Ok(Searched::Unreadable);
    }
    let Some((is_of_others, mut binds)) = of_others::<C>(schema, table, traces) else {
        return Ok(Searched::Unreadable);
    };
    let mut conditions = Vec::new();
    for contact in &terms.contacts {
        binds.push(candidate_bind(contact).to_owned());
        conditions.push(may_have::<C>(contact, "text", binds.len()));
    }
    for name in &terms.names {
        binds.push(name.clone());
        conditions.push(C::may_have_text("text", binds.len()));
    }
    let text: Vec<String> =
        texts.iter().map(|column| format!("coalesce(cast({} as text), '')", column.quoted())).collect();
    let id = if schema.columns_of(table).iter().any(|column| column.name == "id") {
        "cast(id as text)"
    } else {
        "null"
    };
    let sql = format!(
        "select id, text from (select {id} as id, {} as text from {table} where {is_of_others}) others where ({})",
        text.join(" || ' ' || "),
        conditions.join(") or (")
    );
    let (mut rows, mut ids) = (0, Vec::new());
    let mut collect = |fields: Fields| {
        if let Ok([id, Some(text)]) = <[Option<String>; 2]>::try_from(fields)
            && terms.are_in(&text, search.hasher.reader)
        {
            rows += 1;
            ids.extend(id.filter(|_| ids.len() < MAX_IDS));
        }
        true
    };
    conn.read(sql, &binds, &mut collect).await?;
    Ok(Searched::Found(rows, ids))
}

/// Returns the condition of rows that are not the person's but of the business that is meant, and its parameters; `None` if nothing tells
/// which are of the business.
fn of_others<C: Rows>(schema: &Schema, table: &str, traces: &SubjectTraces) -> Option<(String, Vec<String>)> {
    let known = [Table::Messages, Table::ChatMessages, Table::Appointments]
        .into_iter()
        .find(|one| one.name() == table);
    let links = known.and_then(|known| traces.app_links::<C>(schema, known)).unwrap_or_default();
    let mut binds = links.binds;
    let mut condition = match links.sql.is_empty() {
        true => "true".to_owned(),
        false => format!("coalesce(not ({}), true)", links.sql),
    };
    if let Some(business) = &traces.business {
        binds.push(business.clone());
        let has = |name| schema.columns_of(table).iter().any(|column| column.name == name);
        let of_business = match (has("business_id"), has("conversation_id")) {
            (true, _) => format!("cast(business_id as text) = ${}", binds.len()),
            (false, true) if schema.has(Table::Conversations, "business_id") => format!(
                "cast(conversation_id as text) in (
                    select cast(id as text) from conversations where cast(business_id as text) = ${})",
                binds.len()
            ),
            (false, _) => return None,
        };
        condition = format!("{condition} and {of_business}");
    }
    Some((condition, binds))
}
