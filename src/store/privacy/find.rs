//! Finds the identifiers that lead to a person's rows.
//!
//! A row belongs to the person only if it has exactly the e-mail address, phone number or id of the selector. If the
//! selector is an e-mail address, rows that share only a phone number do not belong to the person. A conversation leads
//! one step further, to rows with its id. An appointment does not lead to its conversation, which may belong to
//! another person.

use std::collections::BTreeSet;

use super::SubjectTraces;
use super::dynamic_sql::{Fields, Rows};
use super::schema::{Schema, Table};
use crate::event::PLACEHOLDER_IDS;
use crate::privacy::subject::Selector;

/// The maximum number of events of one person.
pub(super) const MAX_EVENTS: usize = 1_000_000;

/// Returns the condition of a placeholder id, which identifies no one.
fn is_placeholder() -> String {
    format!("in ('{}')", PLACEHOLDER_IDS.join("', '"))
}

/// Finds the identifiers that lead to the rows of the person that `selector` names.
pub(super) async fn find<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    selector: &Selector,
) -> Result<SubjectTraces, sqlx::Error> {
    let mut traces = SubjectTraces::default();
    match selector {
        Selector::Email(_) | Selector::Phone(_) => {
            traces.conversations = by_contact(conn, schema, Table::Conversations, selector).await?;
            traces.appointments = by_contact(conn, schema, Table::Appointments, selector).await?;
        }
        Selector::Conversation(id) => traces.conversations.push(id.clone()),
        Selector::Session(id) => {
            traces.sessions.push(id.clone());
            traces.named_session = true;
            traces.conversations = conversations_of_session(conn, id).await?;
        }
    }
    if !traces.named_session {
        traces.sessions = sessions_of_conversations(conn, &traces.conversations).await?;
    }
    traces.events = events(conn, schema, &traces).await?;
    Ok(traces)
}

/// Returns the ids of rows with the e-mail address or phone number of the selector. The database finds
/// candidates, whose values are then parsed in the same way as selectors.
async fn by_contact<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    table: Table,
    selector: &Selector,
) -> Result<Vec<String>, sqlx::Error> {
    let (column, may_be) = match selector {
        Selector::Email(_) => ("customer_email", C::MAY_BE_EMAIL),
        Selector::Phone(_) | Selector::Conversation(_) | Selector::Session(_) => {
            ("customer_phone", C::MAY_BE_PHONE)
        }
    };
    if !schema.has(table, column) || !schema.has(table, "id") {
        return Ok(Vec::new());
    }
    let name = table.name();
    let sql = format!(
        "select id, text from (select cast(id as text) as id, cast({column} as text) as text from {name}) found
         where text is not null and id is not null and ({may_be})"
    );
    let mut ids = Vec::new();
    let mut collect = |fields: Fields| {
        if let Ok([Some(id), Some(text)]) = <[Option<String>; 2]>::try_from(fields)
            && is_contact(selector, &text)
        {
            ids.push(id);
        }
        true
    };
    conn.read(sql, &[selector.expose().to_owned()], &mut collect).await?;
    Ok(ids)
}

/// Returns whether a stored text is the e-mail address or phone number of a selector. A phone number may be
/// surrounded by other text.
fn is_contact(selector: &Selector, text: &str) -> bool {
    let same = |read: Result<Selector, String>| read.is_ok_and(|read| read == *selector);
    match selector {
        Selector::Email(_) => same(Selector::email(text)),
        Selector::Phone(_) => {
            let bare: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
            same(Selector::phone(text)) || same(Selector::phone(&bare))
        }
        Selector::Conversation(_) | Selector::Session(_) => false,
    }
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

/// Returns the sessions of conversations that take part in no other conversation.
async fn sessions_of_conversations<C: Rows>(
    conn: &mut C,
    conversations: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    if conversations.is_empty() {
        return Ok(Vec::new());
    }
    let (list, placeholder) = (json_list(conversations), is_placeholder());
    let own = format!(
        "select distinct session_id from ai_metrics where conversation_id {} and not session_id {placeholder}",
        C::any_text(1)
    );
    let own = conn.texts(own, std::slice::from_ref(&list)).await?;
    let others = format!(
        "select distinct session_id from ai_metrics
         where session_id {} and conversation_id is not null and not conversation_id {}",
        C::any_text(1),
        C::any_text(2)
    );
    without(conn, own, others, Some(&list)).await
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
async fn events<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
) -> Result<Vec<i64>, sqlx::Error> {
    let Some(links) = traces.links::<C>(schema, Table::Events) else { return Ok(Vec::new()) };
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
