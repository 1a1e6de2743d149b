//! Determines which events of a batch may be stored if consent is required.

use std::collections::{HashMap, HashSet};

use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection};

use crate::event::Event;
use crate::privacy::consent::{CHAT_STORAGE, Latest, is_granted, named_by};
use crate::privacy::subject::{Hasher, Selector, SubjectHash};

/// Blocks the recording of consents until the end of the transaction, so that no event is stored concurrently
/// with a withdrawal; and selects the columns of the app's table of conversations.
const LOCK_CONSENTS: &str = "select pg_advisory_xact_lock_shared(hashtext('mlops_consents')), array(
        select attname::text from pg_attribute
        where attrelid = to_regclass('conversations') and attnum > 0 and not attisdropped) as columns";

/// Selects the latest consents to a purpose.
macro_rules! latest {
    ($subjects:literal) => {
        concat!(
            "select subject, seq, granted from (
                select subject, seq, granted, row_number() over (partition by subject order by seq desc) as turn
                from mlops_consents where purpose = $1 and subject ",
            $subjects,
            ") latest where turn = 1"
        )
    };
}

/// For each event, the subjects that it and its conversation name.
type Subjects = Vec<Vec<SubjectHash>>;

/// A row of the app's table of conversations.
type Customer = (String, Option<String>, Option<String>);

/// Returns for each event whether it may be stored. Must run inside a transaction; no consent is recorded
/// until its end.
pub(in crate::store) async fn on_postgres(
    conn: &mut PgConnection,
    events: &[Event],
    hasher: &Hasher,
) -> Result<Vec<bool>, sqlx::Error> {
    let ((), columns): ((), Vec<String>) = sqlx::query_as(LOCK_CONSENTS).fetch_one(&mut *conn).await?;
    let mut subjects = named(events, hasher);
    if columns.iter().any(|column| column == "id") {
        add_customers(conn, &columns, events, &mut subjects, hasher).await?;
    }
    let all: Vec<Vec<u8>> = distinct(&subjects).iter().map(|subject| subject.bytes().to_vec()).collect();
    let rows = sqlx::query(latest!("= any($2)")).bind(CHAT_STORAGE).bind(all);
    let rows = rows.try_map(|row| <(Vec<u8>, i64, bool)>::from_row(&row)).fetch_all(conn).await?;
    Ok(decide(subjects, rows))
}

/// The same on SQLite, where one transaction writes at a time and the app has no tables.
pub(in crate::store) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    hasher: &Hasher,
) -> Result<Vec<bool>, sqlx::Error> {
    let subjects = named(events, hasher);
    let all: Vec<String> = distinct(&subjects).iter().map(|subject| hex::encode(subject.bytes())).collect();
    let all = serde_json::to_string(&all).expect("texts are JSON");
    let rows =
        sqlx::query(latest!("in (select unhex(value) from json_each($2))")).bind(CHAT_STORAGE).bind(all);
    let rows = rows.try_map(|row| <(Vec<u8>, i64, bool)>::from_row(&row)).fetch_all(conn).await?;
    Ok(decide(subjects, rows))
}

fn named(events: &[Event], hasher: &Hasher) -> Subjects {
    events.iter().map(|event| named_by(event, hasher)).collect()
}

fn distinct(subjects: &Subjects) -> HashSet<SubjectHash> {
    subjects.iter().flatten().copied().collect()
}

fn decide(subjects: Subjects, rows: Vec<(Vec<u8>, i64, bool)>) -> Vec<bool> {
    let latest: Latest = rows
        .into_iter()
        .filter_map(|(subject, order, granted)| {
            Some((<[u8; 32]>::try_from(subject).ok()?.into(), (order, granted)))
        })
        .collect();
    subjects.into_iter().map(|subjects| is_granted(subjects, &latest)).collect()
}

/// Adds the customers of the events' conversations that the app's table names.
async fn add_customers(
    conn: &mut PgConnection,
    columns: &[String],
    events: &[Event],
    subjects: &mut Subjects,
    hasher: &Hasher,
) -> Result<(), sqlx::Error> {
    let column = |name: &'static str| match columns.iter().any(|column| column == name) {
        true => format!("{name}::text"),
        false => "null".to_owned(),
    };
    let sql = format!(
        "select id::text, {}, {} from conversations where id::text = any($1)",
        column("customer_email"),
        column("customer_phone")
    );
    let ids: HashSet<&str> = events.iter().filter_map(|event| event.conversation_id.as_deref()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let customers: Vec<Customer> = sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await?;
    let customers: HashMap<String, Vec<SubjectHash>> =
        customers.into_iter().map(|(id, email, phone)| (id, hashes(email, phone, hasher))).collect();
    for (event, subjects) in events.iter().zip(subjects) {
        let customer = event.conversation_id.as_ref().and_then(|id| customers.get(id));
        subjects.extend(customer.into_iter().flatten());
    }
    Ok(())
}

/// Returns the hashes of a customer. Invalid e-mail addresses and phone numbers are ignored.
fn hashes(email: Option<String>, phone: Option<String>, hasher: &Hasher) -> Vec<SubjectHash> {
    let email = email.map(|email| Selector::email(&email));
    let phone = phone.map(|phone| Selector::phone(&phone));
    [email, phone].into_iter().flatten().flatten().map(|selector| hasher.hash(&selector)).collect()
}
