//! What customers consented to.

pub(in crate::store) mod lookup;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::audit::Entry;
use crate::privacy::consent::{Consent, Purpose};
use crate::privacy::subject::SubjectHash;
use crate::store::keys::bounded;
use crate::store::{READ_LIMIT, Store, StoreError, audit, dialect};

/// The columns of [`Raw`].
macro_rules! columns {
    () => {
        concat!("seq, id, subject, purpose, policy_version, granted, source, ", bounded!("at"))
    };
}

/// A row of `mlops_consents`.
type Raw = (i64, String, Vec<u8>, String, String, bool, String, DateTime<Utc>);

/// A consent, and its place in the order in which they were noted.
pub type NumberedConsent = (i64, Consent);

/// Which consents are asked for: those of which all that is given is true.
#[derive(Debug, Default)]
pub struct ConsentFilter {
    /// It has this id.
    pub id: Option<Uuid>,
    /// It is of this subject.
    pub subject: Option<SubjectHash>,
    /// It is for this purpose.
    pub purpose: Option<Purpose>,
    /// It is to this version of the policy.
    pub policy_version: Option<String>,
    /// It was granted, or it was withdrawn.
    pub granted: Option<bool>,
    /// It was noted then or later.
    pub since: Option<DateTime<Utc>>,
    /// It was noted before the one at this place.
    pub before: Option<i64>,
}

impl ConsentFilter {
    /// The condition, with binds in the order of the fields, and how many they are.
    fn condition(&self) -> (String, usize) {
        let conditions = [
            (self.id.is_some(), "id ="),
            (self.subject.is_some(), "subject ="),
            (self.purpose.is_some(), "purpose ="),
            (self.policy_version.is_some(), "policy_version ="),
            (self.granted.is_some(), "granted ="),
            (self.since.is_some(), "mlops_consents.at >="),
            (self.before.is_some(), "seq <"),
        ];
        let given: Vec<&str> =
            conditions.into_iter().filter(|(given, _)| *given).map(|(_, sql)| sql).collect();
        let conditions = given.iter().enumerate().map(|(place, sql)| format!(" and {sql} ${}", place + 1));
        (conditions.collect::<Vec<_>>().concat(), given.len())
    }
}

fn placed(raw: Raw) -> Result<NumberedConsent, StoreError> {
    let (seq, id, subject, purpose, policy_version, granted, source, at) = raw;
    let unreadable = |column: &str| StoreError::Unreadable(format!("mlops_consents.{column}"));
    let subject: [u8; 32] = subject.try_into().map_err(|_: Vec<u8>| unreadable("subject"))?;
    let purpose = Purpose::read(&purpose).map_err(|_: String| unreadable("purpose"))?;
    let id = id.parse().map_err(|_: uuid::Error| unreadable("id"))?;
    Ok((seq, Consent { id, subject: subject.into(), purpose, policy_version, granted, source, at }))
}

impl Store {
    /// Notes a consent, and appends `entry` to the audit trail, all or nothing. Once this is done, no event is stored
    /// any more because of what the customer said before.
    pub async fn add_consent(&self, consent: &Consent, entry: &Entry) -> Result<(), StoreError> {
        const SQL: &str =
            "insert into mlops_consents (id, subject, purpose, policy_version, granted, source, at)
            values ($1, $2, $3, $4, $5, $6, $7)";
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::lock_consents(&mut *tx).await?;
            let query = sqlx::query(SQL).bind(consent.id.to_string()).bind(consent.subject.bytes().to_vec());
            let query =
                query.bind(consent.purpose.name()).bind(&consent.policy_version).bind(consent.granted);
            query.bind(&consent.source).bind(consent.at).execute(&mut *tx).await?;
            audit::append(&mut tx, consent.at, entry).await?;
            tx.commit().await
        })
    }

    /// At most `most` consents, those that were noted last first.
    pub async fn consents(
        &self,
        filter: &ConsentFilter,
        most: u32,
    ) -> Result<Vec<NumberedConsent>, StoreError> {
        let (condition, binds) = filter.condition();
        let sql = format!(
            concat!("select ", columns!(), " from mlops_consents where true{} order by seq desc limit ${}"),
            condition,
            binds + 1
        );
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.as_str()));
            macro_rules! bind {
                ($($value:expr),+) => { $(if let Some(value) = $value { query = query.bind(value); })+ };
            }
            bind!(
                filter.id.map(|id| id.to_string()),
                filter.subject.map(|subject| subject.bytes().to_vec()),
                filter.purpose.as_ref().map(Purpose::name),
                filter.policy_version.as_deref(),
                filter.granted,
                filter.since,
                filter.before
            );
            query.bind(i64::from(most)).fetch_all(conn).await
        })?;
        rows.into_iter().map(placed).collect()
    }

    /// The last consent of a subject to each purpose, in the order of their names; at most `most`.
    pub async fn consents_in_force(
        &self,
        subject: SubjectHash,
        most: u32,
    ) -> Result<Vec<Consent>, StoreError> {
        const SQL: &str = concat!(
            "select ",
            columns!(),
            " from mlops_consents where seq in (select max(seq) from mlops_consents where subject = $1 group by purpose)
            order by purpose limit $2"
        );
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            let query = sqlx::query_as(SQL).bind(subject.bytes().to_vec());
            query.bind(i64::from(most)).fetch_all(conn).await
        })?;
        rows.into_iter().map(|row| placed(row).map(|(_, consent)| consent)).collect()
    }
}
