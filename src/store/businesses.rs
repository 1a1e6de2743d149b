//! Business profiles: `mlops_businesses`, completed by the receptionist app's tables where those are in the same database.

mod read;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{READ_LIMIT, Store, StoreError, audit, dialect};
use crate::audit::{Action, Actor, Entry};
use crate::business::{AppProfile, OwnProfile, Profile, ProfileChange, ProfileField, Profiles};

/// The time limit of reading the app's tables: the app may have locked them, and what is set here is needed all the same.
const APP_LIMIT: Duration = Duration::from_secs(1);

from_row!(OwnProfile { name, time_zone, opening_hours, monthly_budget_micros });

/// Profiles by the ids of their businesses, and what could not be read, in words for the log.
type Found = (HashMap<String, Profile>, Vec<String>);

impl Store {
    /// Reads the profiles of all businesses into memory. Logs what could not be read when that changes.
    ///
    /// # Errors
    ///
    /// Fails if what is set here cannot be read; the profiles in memory stay as they are. If the app's tables cannot be read, what
    /// they said before stays.
    pub async fn load_profiles(&self) -> Result<(), StoreError> {
        let reading = self.profiles.begin_reading();
        let (profiles, problems) = self.read_profiles(None).await?;
        let zone = self.profiles.current().default_zone();
        let profiles = Profiles::new(zone, profiles).with_problems(problems.clone());
        let before = self.profiles.replace_read(&reading, profiles);
        for problem in problems.iter().filter(|problem| !before.problems().contains(problem)) {
            tracing::warn!("{problem}");
        }
        Ok(())
    }

    /// Returns the profile of a business; an empty one if nothing is known about it.
    pub async fn profile(&self, business_id: &str) -> Result<Profile, StoreError> {
        let (mut found, _) = self.read_profiles(Some(&[business_id.to_owned()])).await?;
        Ok(found.remove(business_id).unwrap_or_default())
    }

    /// Returns businesses after `after`, ordered by id, at most `limit` of them, each with its profile: those with a profile here, in
    /// the app's table, or with events.
    pub async fn businesses(&self, after: &str, limit: u32) -> Result<Vec<(String, Profile)>, StoreError> {
        let ids = on!(&self.read, READ_LIMIT, |conn| read::ids(conn, after, limit).await)?;
        let (mut found, _) = self.read_profiles(Some(&ids)).await?;
        let with_profile = |id: String| {
            let profile = found.remove(&id).unwrap_or_default();
            (id, profile)
        };
        Ok(ids.into_iter().map(with_profile).collect())
    }

    /// Changes what is set for a business, and records in the audit trail which values that changes, in one transaction. Returns those;
    /// none if everything was so before. [`Store::load_profiles`] brings the change into memory.
    pub async fn set_profile(
        &self,
        business_id: &str,
        change: &ProfileChange,
        at: DateTime<Utc>,
        by: &Actor,
    ) -> Result<Vec<ProfileField>, StoreError> {
        const READ: &str = "select name, time_zone, opening_hours, monthly_budget_micros from mlops_businesses where business_id = $1";
        const WRITE: &str = "insert into mlops_businesses
                (business_id, name, time_zone, opening_hours, monthly_budget_micros) values ($1, $2, $3, $4, $5)
            on conflict (business_id) do update set name = excluded.name, time_zone = excluded.time_zone,
                opening_hours = excluded.opening_hours, monthly_budget_micros = excluded.monthly_budget_micros";
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            // Two changes of different values must not undo each other.
            dialect::lock_audit(&mut *tx).await?;
            let own: Option<OwnProfile> =
                sqlx::query_as(READ).bind(business_id).fetch_optional(&mut *tx).await?;
            let (new, changed) = change.clone().apply(&own.unwrap_or_default());
            if !changed.is_empty() {
                let write = sqlx::query(WRITE).bind(business_id).bind(&new.name).bind(&new.time_zone);
                let write = write.bind(&new.opening_hours).bind(new.monthly_budget_micros);
                write.execute(&mut *tx).await?;
                audit::append(&mut tx, at, &change_entry(business_id, &changed, by)).await?;
            }
            tx.commit().await?;
            Ok(changed)
        })
    }

    /// Reads the profiles of these businesses, or of all.
    async fn read_profiles(&self, only: Option<&[String]>) -> Result<Found, StoreError> {
        let only = only.map(|ids| serde_json::to_string(ids).expect("texts are JSON"));
        let own = on!(&self.read, READ_LIMIT, |conn| read::own(conn, only.as_deref()).await)?;
        let app = on!(&self.read, APP_LIMIT, |conn| read::of_app(conn, only.as_deref()).await);
        let mut problems = Vec::new();
        let app = match app {
            Ok(app) => {
                problems.extend(unreadable_hours(app.unreadable));
                app.profiles
            }
            Err(error) => {
                problems.push(format!(
                    "cannot read the receptionist app's businesses, keeping what was read before: {error}"
                ));
                self.known_of_app()
            }
        };
        let (profiles, unreadable) = merged(own, app);
        if unreadable > 0 {
            problems.push(format!(
                "the time zone or the opening hours of {unreadable} businesses in mlops_businesses cannot be read and count \
                 as not set; set them again with mlops-service business set"
            ));
        }
        Ok((profiles, problems))
    }

    /// Returns what is in memory of the app's tables.
    fn known_of_app(&self) -> HashMap<String, AppProfile> {
        let known = self.profiles.current();
        known.iter().map(|(id, profile)| (id.to_owned(), profile.of_app())).collect()
    }
}

/// Merges what is set here with what the app's tables have. Returns also of how many businesses something could not be read.
fn merged(mut own: read::Own, mut app: HashMap<String, AppProfile>) -> (HashMap<String, Profile>, usize) {
    for id in app.keys() {
        own.entry(id.clone()).or_default();
    }
    let mut unreadable = 0;
    let profiles = own.into_iter().map(|(id, own)| {
        let (profile, is_readable) = Profile::merged(own, app.remove(&id).unwrap_or_default());
        unreadable += usize::from(!is_readable);
        (id, profile)
    });
    (profiles.collect(), unreadable)
}

fn unreadable_hours(businesses: usize) -> Option<String> {
    (businesses > 0).then(|| {
        format!(
            "the opening hours of {businesses} businesses in the receptionist app's business_settings cannot be read and count \
             as not set; set them with mlops-service business set"
        )
    })
}

/// Returns the audit entry for a change. Values are left out: a name may be that of a person.
fn change_entry(business_id: &str, changed: &[ProfileField], by: &Actor) -> Entry {
    let fields: Vec<&str> = changed.iter().map(|field| field.name()).collect();
    by.entry(Action::BusinessChanged).with("business_id", business_id).with("changed", fields)
}
