//! Contacts that are almost the one that was searched for: a letter or digit differs, or the country. A person may have mistyped it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dynamic_sql::{Fields, Rows};
use super::find::Search;
use super::schema::{Schema, Table};
use crate::privacy::contact::Contact;
use crate::privacy::subject::Selector;
use crate::store::{Store, StoreError};

/// How long they may be searched for: every contact is read.
const LIMIT: Duration = Duration::from_millis(1_500);

impl Store {
    /// Returns the number of contacts in the app's tables that are almost the one that is searched for, as far as it takes no more than
    /// a second or two to find them.
    pub async fn near_misses(&self, search: &Search<'_>) -> Result<usize, StoreError> {
        if matches!(search.selector, Selector::Conversation(_) | Selector::Session(_)) {
            return Ok(0);
        }
        let mut near: BTreeSet<String> = BTreeSet::new();
        let searched = crate::store::on!(&self.read, LIMIT, |conn| {
            let schema = Schema::read(conn).await?;
            for table in [Table::Conversations, Table::Appointments] {
                collect(conn, &schema, table, search, &mut near).await?;
            }
            Ok(())
        });
        match searched {
            // What was found until then is better than no answer.
            Ok(()) | Err(StoreError::TimedOut) => Ok(near.len()),
            Err(error) => Err(error),
        }
    }
}

/// Adds the contacts in a table that are near.
async fn collect<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    table: Table,
    search: &Search<'_>,
    near: &mut BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    let is_of_business = match (search.business, schema.has(table, "business_id")) {
        (Some(_), true) => "cast(business_id as text) = $1",
        (Some(_), false) => return Ok(()),
        (None, _) => "$1 = ''",
    };
    for column in ["customer_email", "customer_phone"].into_iter().filter(|column| schema.has(table, column))
    {
        let sql = format!(
            "select distinct cast({column} as text) from {} where {column} is not null and {is_of_business}",
            table.name()
        );
        let mut collect = |mut fields: Fields| {
            let text = fields.pop().flatten().unwrap_or_default();
            let contact = Contact::read(search.hasher.reader, [text.as_str()]);
            let others = contact.selectors().filter(|other| search.selector.is_near(other));
            near.extend(others.map(|other| other.expose().to_owned()));
            true
        };
        conn.read(sql, &[search.business.unwrap_or_default().to_owned()], &mut collect).await?;
    }
    Ok(())
}
