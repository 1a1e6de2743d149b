//! Customers' consents.

mod late;
pub(in crate::store) mod lookup;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::audit::Entry;
use crate::privacy::consent::{Consent, Purpose};
use crate::privacy::subject::SubjectHash;
use crate::store::keys::bounded;
use crate::store::{READ_LIMIT, Store, StoreError, audit, dialect};

/// The columns of [`Raw`].
macro_rules! columns {
    () => {
        concat!("seq, id, subject, business_id, purpose, policy_version, granted, source, ", bounded!("at"))
    };
}

/// A row of `mlops_consents`.
type Raw = (i64, String, Vec<u8>, Option<String>, String, String, bool, String, DateTime<Utc>);

/// A consent, and its sequence number in the order of recording.
pub type NumberedConsent = (i64, Consent);

/// Selects consents that match all fields that are set.
#[derive(Debug, Default)]
pub struct ConsentFilter {
    /// The id of the consent.
    pub id: Option<Uuid>,
    /// The hashes of one person, each of whose consents matches.
    pub subjects: Vec<SubjectHash>,
    /// Consents that were given to this business.
    pub business_id: Option<String>,
    /// Whether consents that were given to every business match too.
    pub or_to_all: bool,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The version of the policy.
    pub policy_version: Option<String>,
    /// Whether it was granted rather than withdrawn.
    pub granted: Option<bool>,
    /// Recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Recorded before the one with this sequence number.
    pub before: Option<i64>,
}

fn numbered(raw: Raw) -> Result<NumberedConsent, StoreError> {
    let (seq, id, subject, business_id, purpose, policy_version, granted, source, at) = raw;
    let unreadable = |column: &str| StoreError::Unreadable(format!("mlops_consents.{column}"));
    let subject: [u8; 32] = subject.try_into().map_err(|_: Vec<u8>| unreadable("subject"))?;
    let purpose = Purpose::read(&purpose).map_err(|_: String| unreadable("purpose"))?;
    let id = id.parse().map_err(|_: uuid::Error| unreadable("id"))?;
    Ok((
        seq,
        Consent { id, subject: subject.into(), business_id, purpose, policy_version, granted, source, at },
    ))
}

impl Store {
    /// Records a consent and appends `entry` to the audit trail, in one transaction. Afterwards no event is
    /// stored on the basis of an earlier consent.
    pub async fn add_consent(&self, consent: &Consent, entry: &Entry) -> Result<(), StoreError> {
        const SQL: &str =
            "insert into mlops_consents (id, subject, business_id, purpose, policy_version, granted, source, at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::lock_consents(&mut *tx).await?;
            let query = sqlx::query(SQL).bind(consent.id.to_string()).bind(consent.subject.bytes().to_vec());
            let query =
                query.bind(&consent.business_id).bind(consent.purpose.name()).bind(&consent.policy_version);
            let query = query.bind(consent.granted);
            query.bind(&consent.source).bind(consent.at).execute(&mut *tx).await?;
            audit::append(&mut tx, consent.at, entry).await?;
            tx.commit().await
        })
    }

    /// Returns at most `limit` consents, the latest first.
    pub async fn consents(
        &self,
        filter: &ConsentFilter,
        limit: u32,
    ) -> Result<Vec<NumberedConsent>, StoreError> {
        const SQL: &str = concat!("select ", columns!(), " from mlops_consents where true");
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            let mut query = QueryBuilder::new(SQL);
            if let Some(id) = filter.id {
                query.push(" and id = ").push_bind(id.to_string());
            }
            if !filter.subjects.is_empty() {
                query.push(" and subject in (");
                let mut subjects = query.separated(", ");
                for subject in &filter.subjects {
                    subjects.push_bind(subject.bytes().to_vec());
                }
                query.push(")");
            }
            if let Some(business_id) = &filter.business_id {
                query.push(if filter.or_to_all {
                    " and (business_id is null or business_id = "
                } else {
                    " and (business_id = "
                });
                query.push_bind(business_id).push(")");
            }
            if let Some(purpose) = &filter.purpose {
                query.push(" and purpose = ").push_bind(purpose.name());
            }
            if let Some(version) = &filter.policy_version {
                query.push(" and policy_version = ").push_bind(version);
            }
            if let Some(granted) = filter.granted {
                query.push(" and granted = ").push_bind(granted);
            }
            if let Some(since) = filter.since {
                query.push(" and mlops_consents.at >= ").push_bind(since);
            }
            if let Some(before) = filter.before {
                query.push(" and seq < ").push_bind(before);
            }
            query.push(" order by seq desc limit ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(numbered).collect()
    }

    /// Returns the latest consents of a person, who has these hashes, to each purpose and business, ordered by purpose; at most `limit`. With
    /// a business, those that hold for it.
    pub async fn consents_in_force(
        &self,
        subjects: &[SubjectHash],
        business_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Consent>, StoreError> {
        const SQL: &str = concat!(
            "select ",
            columns!(),
            " from mlops_consents where seq in (select max(seq) from mlops_consents where subject in ("
        );
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            let mut query = QueryBuilder::new(SQL);
            let mut list = query.separated(", ");
            for subject in subjects {
                list.push_bind(subject.bytes().to_vec());
            }
            match business_id {
                Some(business) => query
                    .push(") and (business_id is null or business_id = ")
                    .push_bind(business)
                    .push(") group by purpose"),
                None => query.push(") group by purpose, business_id"),
            };
            query.push(") order by purpose, business_id limit ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(|row| numbered(row).map(|(_, consent)| consent)).collect()
    }
}
