//! Determines which events of a batch may be stored if consent is required.

use std::collections::HashSet;

use crate::event::Event;
use crate::privacy::consent::{CHAT_STORAGE, Latest, Name, Said, consented as is_consented, named_by};
use crate::privacy::subject::{Hasher, SubjectHash};
use crate::store::privacy::customers::Conversations;
use crate::store::privacy::dynamic_sql::Fields;
use crate::store::privacy::find::json_list;
use crate::store::privacy::{Rows, Schema};

/// Returns for each event whether its customer has consented to storing it. Must run inside a transaction; no consent is recorded
/// until its end.
pub(in crate::store) async fn consented<C: Rows>(
    conn: &mut C,
    events: &[Event],
    hasher: &Hasher,
) -> Result<Vec<bool>, sqlx::Error> {
    conn.run(C::LOCK_CONSENTS_SHARED.to_owned(), &[]).await?;
    let schema = Schema::of_customers(conn).await?;
    let ids: HashSet<&String> = events.iter().filter_map(|event| event.conversation_id.as_ref()).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let conversations = Conversations::read(conn, &schema, &ids, hasher.reader).await?;
    let names: Vec<Vec<Name>> = events
        .iter()
        .map(|event| {
            let mut names = named_by(event, hasher);
            if let Some(id) = &event.conversation_id {
                names.extend(customer_names(&conversations, id, &event.business_id, hasher));
            }
            names
        })
        .collect();
    let latest = latest(conn, names.iter().flatten().flatten().copied()).await?;
    let decide = |(event, names): (&Event, &Vec<Name>)| is_consented(names, &event.business_id, &latest);
    Ok(events.iter().zip(&names).map(decide).collect())
}

/// Returns the names of the customer of a conversation of a business: each of the contacts.
pub(super) fn customer_names(
    conversations: &Conversations,
    id: &str,
    business_id: &str,
    hasher: &Hasher,
) -> Vec<Name> {
    if conversations.row(id).is_some_and(|row| !row.is_of(Some(business_id))) {
        return Vec::new();
    }
    let owner = conversations.owner(id, Some(business_id));
    let selectors =
        owner.customer().into_iter().flat_map(|customer| customer.selectors().collect::<Vec<_>>());
    selectors.map(|selector| hasher.hashes(&selector)).collect()
}

/// Returns the latest consents of some subjects to chat storage.
pub(super) async fn latest<C: Rows>(
    conn: &mut C,
    subjects: impl IntoIterator<Item = SubjectHash>,
) -> Result<Latest, sqlx::Error> {
    let subjects: HashSet<SubjectHash> = subjects.into_iter().collect();
    let subjects: Vec<String> = subjects.iter().map(SubjectHash::to_hex).collect();
    let sql = format!(
        "select {}, business_id, cast(seq as text), case when granted then 'y' else 'n' end, cast(at as text) from (
            select *, row_number() over (partition by subject, business_id order by seq desc) as turn
            from mlops_consents where purpose = '{CHAT_STORAGE}' and subject {}) latest where turn = 1",
        C::hex("subject"),
        C::any_bytes(1)
    );
    let mut latest = Latest::new();
    let mut collect = |fields: Fields| {
        if let Ok([Some(subject), business_id, Some(seq), Some(granted), Some(at)]) =
            <[Option<String>; 5]>::try_from(fields)
            && let (Ok(Ok(subject)), Ok(order)) =
                (hex::decode(subject).map(<[u8; 32]>::try_from), seq.parse())
        {
            let said = Said { business_id, order, granted: granted == "y", at };
            latest.entry(subject.into()).or_default().push(said);
        }
        true
    };
    conn.read(sql, &[json_list(&subjects)], &mut collect).await?;
    Ok(latest)
}
