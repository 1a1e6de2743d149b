//! Finds the identifiers that lead to a person's rows.
//!
//! A conversation belongs to the contact of its own or, if it has none, to that of its appointments, if these agree; an appointment to
//! its own contact or, if it has none, to its conversation. If the selector is an e-mail address, rows that share only a phone
//! number do not belong to the person. A conversation leads one step further, to rows with its id.

use std::collections::{BTreeMap, BTreeSet};

use super::customers::{AppRow, Conversations, Wanted, rows};
use super::dynamic_sql::{Fields, Rows};
use super::schema::{Schema, Table};
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
    /// Conversations that led to appointments of different people, one of whom is the person.
    pub(super) disputed: Vec<String>,
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
    let (ids, named) = match selector {
        Selector::Email(_) | Selector::Phone(_) => by_contact(conn, schema, search).await?,
        Selector::Conversation(id) => (vec![id.clone()], Vec::new()),
        Selector::Session(id) => {
            found.traces.sessions.push((business.map(str::to_owned), id.clone()));
            found.traces.named_session = true;
            (conversations_of_session(conn, id).await?, Vec::new())
        }
    };
    let conversations = Conversations::read(conn, schema, &ids, hasher.reader).await?;
    let mut owners = Owners::default();
    for id in ids {
        let owner = conversations.owner(&id);
        match (&owner, selector) {
            (Owner::Disputed, Selector::Email(_) | Selector::Phone(_)) => found.disputed.push(id),
            (owner, Selector::Email(_) | Selector::Phone(_))
                if !owner.customer().is_some_and(|customer| customer.has(selector)) => {}
            _ => add_conversation(&mut found, &mut owners, &conversations, id, &owner),
        }
    }
    for appointment in named {
        if !found.traces.appointments.contains(&appointment.id) {
            owners.appointments.push((appointment.contact, appointment.id.clone()));
            found.traces.appointments.push(appointment.id);
        }
    }
    find_sessions(conn, &mut found.traces).await?;
    if let Selector::Session(id) = selector {
        add_other_conversations(conn, schema, search, id, &found.traces, &mut owners).await?;
    }
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

/// Adds a conversation with its appointments.
fn add_conversation(
    found: &mut Found,
    owners: &mut Owners,
    conversations: &Conversations,
    id: String,
    owner: &Owner,
) {
    let limit = found.traces.business.clone();
    let row = conversations.row(&id);
    let is_of_business = row.is_none_or(|row| row.is_of(limit.as_deref()));
    if is_of_business {
        found.traces.app_conversations.push(id.clone());
        let (own, others) = appointments_of(conversations, &id, owner);
        let own = own.into_iter().filter(|appointment| appointment.is_of(limit.as_deref()));
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

/// Returns the appointments of a conversation that are its owner's, and those with another contact. Without a known owner, all are its
/// own.
pub(super) fn appointments_of<'c>(
    conversations: &'c Conversations,
    id: &str,
    owner: &Owner,
) -> (Vec<&'c AppRow>, Vec<&'c AppRow>) {
    conversations.appointments(id).iter().partition(|appointment| {
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

/// Adds whose the conversations are of which only events of the session `id` are found.
async fn add_other_conversations<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
    id: &str,
    traces: &SubjectTraces,
    owners: &mut Owners,
) -> Result<(), sqlx::Error> {
    let placeholder = is_placeholder();
    let sql = format!(
        "select distinct conversation_id from ai_metrics
         where session_id = $1 and conversation_id is not null and not conversation_id {placeholder}"
    );
    let all = conn.texts(sql, &[id.to_owned()]).await?;
    let others: Vec<String> =
        all.into_iter().filter(|id| !traces.conversations.iter().any(|(_, known)| known == id)).collect();
    let conversations = Conversations::read(conn, schema, &others, search.hasher.reader).await?;
    for id in others {
        if let Some(customer) = conversations.owner(&id).customer()
            && conversations.row(&id).is_none_or(|row| row.is_of(search.business))
        {
            owners.events.push((customer.clone(), (search.business.map(str::to_owned), id)));
        }
    }
    Ok(())
}

/// Returns the conversations of a session that no other session takes part in.
async fn conversations_of_session<C: Rows>(conn: &mut C, session: &str) -> Result<Vec<String>, sqlx::Error> {
    let placeholder = is_placeholder();
    let own = format!(
        "select distinct conversation_id from ai_metrics
         where session_id = $1 and conversation_id is not null and not conversation_id {placeholder}"
    );
    let own = conn.texts(own, &[session.to_owned()]).await?;
    let others = format!(
        "select distinct conversation_id from ai_metrics
         where conversation_id {} and session_id <> $2 and not session_id {placeholder}",
        C::any_text(1)
    );
    without(conn, own, others, Some(session)).await
}

/// Adds the sessions of the conversations that take part in no other conversation, and notes which sessions lead to rows of the app.
async fn find_sessions<C: Rows>(conn: &mut C, traces: &mut SubjectTraces) -> Result<(), sqlx::Error> {
    if !traces.named_session {
        let names = sessions_of_conversations(conn, traces).await?;
        traces.sessions.extend(names);
    }
    let ids: Vec<String> = traces.sessions.iter().map(|(_, id)| id.clone()).collect();
    // The same browser may talk to several businesses.
    traces.app_sessions = match traces.business.clone() {
        None => ids,
        Some(business) => {
            let shared = format!(
                "select distinct session_id from ai_metrics where session_id {} and business_id <> $2",
                C::any_text(1)
            );
            without(conn, ids, shared, Some(&business)).await?
        }
    };
    Ok(())
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
pub(super) fn json_list<T: serde::Serialize>(list: &[T]) -> String {
    serde_json::to_string(list).expect("texts and numbers are JSON")
}
