//! Finds the identifiers that lead to a person's rows.
//!
//! A conversation belongs to the contact of its own or, if it has none, to that of its appointments, if these agree; an appointment to
//! its own contact or, if it has none, to its conversation. If the selector is an e-mail address, rows that share only a phone
//! number do not belong to the person. A conversation leads one step further, to rows with its id.

use std::collections::{BTreeMap, BTreeSet};

use super::customers::{AppRow, Conversations, Wanted, rows};
use super::dynamic_sql::{Fields, Rows};
use super::schema::{Schema, Table};
use super::tombstones;
use super::traces::{Name, SubjectTraces};
use crate::event::PLACEHOLDER_IDS;
use crate::privacy::contact::{Contact, Owner, People};
use crate::privacy::subject::{Hasher, Selector};

/// The maximum number of events of one person.
pub(super) const MAX_EVENTS: usize = 1_000_000;

/// Whose rows to find.
#[derive(Debug, Clone, Copy)]
pub struct Search<'s> {
    /// Identifies the person.
    pub selector: &'s Selector,
    /// The only business whose rows are meant; `None` for all.
    pub business: Option<&'s str>,
    /// Hashes the person, and reads contacts.
    pub hasher: &'s Hasher,
}

/// What leads to a person's rows, and what else was met on the way.
#[derive(Default)]
pub(super) struct Found {
    pub(super) traces: SubjectTraces,
    /// The people behind the selector, with their rows.
    pub(super) people: Vec<(Selector, SubjectTraces)>,
    /// Appointments in the person's conversations that have another contact.
    pub(super) left_out: Vec<String>,
}

/// Returns the condition of a placeholder id, which identifies no one.
fn is_placeholder() -> String {
    format!("in ('{}')", PLACEHOLDER_IDS.join("', '"))
}

/// Finds the identifiers that lead to the rows of the person that is searched for.
pub(super) async fn find<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
) -> Result<Found, sqlx::Error> {
    let Search { selector, business, hasher } = *search;
    let mut found = Found::default();
    found.traces.business = business.map(str::to_owned);
    // Conversations of a named session in which others may take part too.
    let mut of_session = Vec::new();
    let (ids, named) = match selector {
        Selector::Email(_) | Selector::Phone(_) => by_contact(conn, schema, search).await?,
        Selector::Conversation(id) => (vec![id.clone()], Vec::new()),
        Selector::Session(id) => {
            found.traces.sessions.push((business.map(str::to_owned), id.clone()));
            found.traces.named_session = true;
            of_session = conversations_of_session(conn, schema, id).await?;
            (without_other_sessions(conn, schema, of_session.clone(), id).await?, Vec::new())
        }
    };
    let by_contact = matches!(selector, Selector::Email(_) | Selector::Phone(_));
    let mut conversations = Conversations::read(conn, schema, &ids, hasher.reader).await?;
    conversations.dispute(tombstones::disputed(conn, &ids, hasher).await?);
    let mut owners = Owners::default();
    let unattributed = unattributed(conn, &conversations, &ids, business).await?;
    for id in ids {
        let owner = conversations.owner(&id, business);
        if !by_contact || owner.customer().is_some_and(|customer| customer.has(selector)) {
            add_conversation(&mut found, &mut owners, &conversations, &unattributed, id, &owner);
        } else if owner == Owner::Disputed {
            found.traces.disputed.push(id);
        }
    }
    for appointment in named {
        if !found.traces.appointments.contains(&appointment.id) {
            owners.appointments.push((appointment.contact, appointment.id.clone()));
            found.traces.appointments.push(appointment.id);
        }
    }
    find_sessions(conn, &mut found.traces).await?;
    add_other_conversations(conn, schema, search, of_session, &found.traces, &mut owners).await?;
    let appointments = &found.traces.appointments;
    found.left_out.retain(|id| !appointments.contains(id));
    found.traces.events = events(conn, &found.traces).await?;
    found.people = owners.people(&found.traces);
    Ok(found)
}

/// Whose the found conversations and appointments are.
#[derive(Default)]
struct Owners {
    conversations: Vec<(Contact, Name)>,
    appointments: Vec<(Contact, String)>,
    /// Conversations of which only events of the named session are found.
    events: Vec<(Contact, Name)>,
}

impl Owners {
    /// Returns each person behind them, with what leads to that person's part of the rows.
    fn people(&self, all: &SubjectTraces) -> Vec<(Selector, SubjectTraces)> {
        let conversations = self.conversations.iter().chain(&self.events).map(|(contact, _)| contact);
        let contacts: Vec<&Contact> =
            conversations.chain(self.appointments.iter().map(|(contact, _)| contact)).collect();
        let people = People::among(contacts.iter().copied());
        let mut parts: BTreeMap<(&str, String), (Selector, SubjectTraces)> = BTreeMap::new();
        let mut add = |contact: &Contact, add: &dyn Fn(&mut SubjectTraces)| {
            for person in people.behind(contact) {
                let key = (person.kind(), person.expose().to_owned());
                let empty = SubjectTraces { business: all.business.clone(), ..SubjectTraces::default() };
                add(&mut parts.entry(key).or_insert_with(|| (person, empty)).1);
            }
        };
        for (contact, name) in &self.conversations {
            let in_app = all.app_conversations.contains(&name.1).then(|| name.1.clone());
            add(contact, &|part| {
                part.conversations.push(name.clone());
                part.app_conversations.extend(in_app.clone());
            });
        }
        for (contact, name) in &self.events {
            add(contact, &|part| part.conversations.push(name.clone()));
        }
        for (contact, id) in &self.appointments {
            add(contact, &|part| part.appointments.push(id.clone()));
        }
        parts.into_values().collect()
    }
}

/// Returns those of `ids` of which nothing tells that they are of `business`: they have no row, and events of it do not name them, or
/// others do too.
async fn unattributed<C: Rows>(
    conn: &mut C,
    conversations: &Conversations,
    ids: &[String],
    business: Option<&str>,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let Some(business) = business else { return Ok(BTreeSet::new()) };
    let without_row: Vec<String> = ids
        .iter()
        .filter(|id| conversations.row(id).is_none_or(|row| row.business.is_none()))
        .filter(|id| !conversations.businesses(id).contains(business))
        .cloned()
        .collect();
    let known = of_business_alone(conn, "conversation_id", without_row.clone(), business).await?;
    Ok(without_row.into_iter().filter(|id| !known.contains(id)).collect())
}

/// Adds a conversation with its appointments.
fn add_conversation(
    found: &mut Found,
    owners: &mut Owners,
    conversations: &Conversations,
    unattributed: &BTreeSet<String>,
    id: String,
    owner: &Owner,
) {
    let limit = found.traces.business.clone();
    let row = conversations.row(&id);
    let is_of_business = !unattributed.contains(&id) && row.is_none_or(|row| row.is_of(limit.as_deref()));
    if is_of_business {
        found.traces.app_conversations.push(id.clone());
        let (own, others) = appointments_of(conversations, &id, owner, limit.as_deref());
        for appointment in own {
            found.traces.appointments.push(appointment.id.clone());
            let own = Some(&appointment.contact).filter(|contact| !contact.is_empty());
            if let Some(contact) = own.or(owner.customer()) {
                owners.appointments.push((contact.clone(), appointment.id.clone()));
            }
        }
        found.left_out.extend(others.into_iter().map(|appointment| appointment.id.clone()));
    }
    // Events of another business may name a conversation in the same way.
    let name = (limit.or_else(|| row.and_then(|row| row.business.clone())), id);
    if let Some(customer) = owner.customer().filter(|_| is_of_business) {
        owners.conversations.push((customer.clone(), name.clone()));
    }
    found.traces.conversations.push(name);
}

/// Returns the appointments of a conversation with `business` that are its owner's, and those with another contact. Without a known
/// owner, all are its own.
pub(super) fn appointments_of<'c>(
    conversations: &'c Conversations,
    id: &str,
    owner: &Owner,
    business: Option<&str>,
) -> (Vec<&'c AppRow>, Vec<&'c AppRow>) {
    let of_business = conversations.appointments(id).iter().filter(|appointment| appointment.is_of(business));
    of_business.partition(|appointment| {
        let contact = &appointment.contact;
        contact.is_empty() || owner.customer().is_none_or(|customer| customer.agrees_with(contact))
    })
}

/// Returns the conversations that may belong to the contact that is searched for, and the appointments that do.
async fn by_contact<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
) -> Result<(Vec<String>, Vec<AppRow>), sqlx::Error> {
    let Search { selector, business, hasher } = *search;
    let mut found = Vec::new();
    for table in [Table::Conversations, Table::Appointments] {
        let rows = rows(conn, schema, table, Wanted::Contact(selector), hasher.reader).await?;
        found.push(rows.into_iter().filter(|row| row.is_of(business)).collect::<Vec<_>>());
    }
    let ids: BTreeSet<String> = found.iter().flatten().filter_map(|row| row.conversation.clone()).collect();
    Ok((ids.into_iter().collect(), found.pop().unwrap_or_default()))
}

/// Adds whose those conversations of a named session are of which only events of the session are found.
async fn add_other_conversations<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
    of_session: Vec<String>,
    traces: &SubjectTraces,
    owners: &mut Owners,
) -> Result<(), sqlx::Error> {
    let is_known = |id: &String| traces.conversations.iter().any(|(_, known)| known == id);
    let others: Vec<String> = of_session.into_iter().filter(|id| !is_known(id)).collect();
    let conversations = Conversations::read(conn, schema, &others, search.hasher.reader).await?;
    for id in others {
        if let Some(customer) = conversations.owner(&id, search.business).customer()
            && conversations.row(&id).is_none_or(|row| row.is_of(search.business))
        {
            owners.events.push((customer.clone(), (search.business.map(str::to_owned), id)));
        }
    }
    Ok(())
}

/// Returns the tables of the app's messages that name both a session and a conversation.
fn messages_with_sessions(schema: &Schema) -> impl Iterator<Item = Table> {
    let names_both =
        |table: &Table| schema.has(*table, "session_id") && schema.has(*table, "conversation_id");
    [Table::Messages, Table::ChatMessages].into_iter().filter(names_both)
}

/// Returns the conversations of a session: of its events, and of the app's messages that name it.
async fn conversations_of_session<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    session: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let placeholder = is_placeholder();
    let of_events = format!(
        "select distinct conversation_id from ai_metrics
         where session_id = $1 and conversation_id is not null and not conversation_id {placeholder}"
    );
    let of_messages = messages_with_sessions(schema).map(|table| {
        format!(
            "select cast(conversation_id as text) from {} where cast(session_id as text) = $1 and conversation_id is not null",
            table.name()
        )
    });
    let sql = [of_events].into_iter().chain(of_messages).collect::<Vec<_>>().join(" union ");
    conn.texts(sql, &[session.to_owned()]).await
}

/// Returns those of `conversations` that no session but `session` takes part in.
async fn without_other_sessions<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    conversations: Vec<String>,
    session: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let (is_one, placeholder) = (C::any_text(1), is_placeholder());
    let of_events = format!(
        "select distinct conversation_id from ai_metrics
         where conversation_id {is_one} and session_id <> $2 and not session_id {placeholder}"
    );
    let of_messages = messages_with_sessions(schema).map(|table| {
        format!(
            "select cast(conversation_id as text) from {}
             where cast(conversation_id as text) {is_one} and cast(session_id as text) <> $2",
            table.name()
        )
    });
    let others = [of_events].into_iter().chain(of_messages).collect::<Vec<_>>().join(" union ");
    without(conn, conversations, others, Some(session)).await
}

/// Adds the sessions of the conversations that take part in no other conversation, and notes which sessions lead to rows of the app.
async fn find_sessions<C: Rows>(conn: &mut C, traces: &mut SubjectTraces) -> Result<(), sqlx::Error> {
    if !traces.named_session {
        let names = sessions_of_conversations(conn, traces).await?;
        traces.sessions.extend(names);
    }
    let ids: Vec<String> = traces.sessions.iter().map(|(_, id)| id.clone()).collect();
    traces.app_sessions = match traces.business.clone() {
        None => ids,
        Some(business) => of_business_alone(conn, "session_id", ids, &business).await?,
    };
    Ok(())
}

/// Returns those of `ids` that events of `business` name and events of no other: the same browser may talk to several businesses, and
/// without events nothing tells.
async fn of_business_alone<C: Rows>(
    conn: &mut C,
    column: &str,
    ids: Vec<String>,
    business: &str,
) -> Result<Vec<String>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let of_it = format!(
        "select distinct {column} from ai_metrics where {column} {} and business_id = $2",
        C::any_text(1)
    );
    let own = conn.texts(of_it, &[json_list(&ids), business.to_owned()]).await?;
    let shared = format!(
        "select distinct {column} from ai_metrics where {column} {} and business_id <> $2",
        C::any_text(1)
    );
    without(conn, own, shared, Some(business)).await
}

/// Returns the sessions of the conversations that take part in no other conversation.
async fn sessions_of_conversations<C: Rows>(
    conn: &mut C,
    traces: &SubjectTraces,
) -> Result<Vec<Name>, sqlx::Error> {
    let Some(links) = traces.event_links::<C>() else { return Ok(Vec::new()) };
    let placeholder = is_placeholder();
    let sql = format!(
        "select distinct business_id, session_id from ai_metrics where ({}) and not session_id {placeholder}",
        links.sql
    );
    let mut own: Vec<Name> = Vec::new();
    let mut collect = |fields: Fields| {
        if let Ok([business, Some(session)]) = <[Option<String>; 2]>::try_from(fields) {
            own.push((business, session));
        }
        true
    };
    conn.read(sql, &links.binds, &mut collect).await?;
    let conversations: Vec<&String> = traces.conversations.iter().map(|(_, id)| id).collect();
    let others = format!(
        "select distinct session_id from ai_metrics
         where session_id {} and conversation_id is not null and not conversation_id {}",
        C::any_text(1),
        C::any_text(2)
    );
    let ids = own.iter().map(|(_, id)| id.clone()).collect();
    let alone = without(conn, ids, others, Some(&json_list(&conversations))).await?;
    Ok(own.into_iter().filter(|(_, id)| alone.contains(id)).collect())
}

/// Returns those of `own` that the query `others` does not return.
async fn without<C: Rows>(
    conn: &mut C,
    own: Vec<String>,
    others: String,
    second: Option<&str>,
) -> Result<Vec<String>, sqlx::Error> {
    if own.is_empty() {
        return Ok(own);
    }
    let binds: Vec<String> = [json_list(&own)].into_iter().chain(second.map(str::to_owned)).collect();
    let shared: BTreeSet<String> = conn.texts(others, &binds).await?.into_iter().collect();
    Ok(own.into_iter().filter(|one| !shared.contains(one)).collect())
}

/// Returns the ids of a person's events, at most [`MAX_EVENTS`] plus one.
pub(super) async fn events<C: Rows>(conn: &mut C, traces: &SubjectTraces) -> Result<Vec<i64>, sqlx::Error> {
    let Some(links) = traces.event_links::<C>() else { return Ok(Vec::new()) };
    let sql = format!("select cast(id as text) from ai_metrics where {}", links.sql);
    let mut ids = Vec::new();
    let mut collect = |fields: Fields| {
        ids.extend(fields.first().and_then(|id| id.as_deref()?.parse::<i64>().ok()));
        ids.len() <= MAX_EVENTS
    };
    conn.read(sql, &links.binds, &mut collect).await?;
    Ok(ids)
}

/// Returns a list in the form of a statement's parameter.
pub(in crate::store) fn json_list<T: serde::Serialize>(list: &[T]) -> String {
    serde_json::to_string(list).expect("texts and numbers are JSON")
}
