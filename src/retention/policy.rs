//! The retention periods.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{Bounded, Config, Limit};
use crate::store::Retained;

/// The retention period of ids of events counted without a row, in days: repeats of an event arrive sooner.
const COUNTED_ID_DAYS: u32 = 30;

/// The retention periods in days; `None` means forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    events: Option<u32>,
    chats: Option<u32>,
    appointments: Option<u32>,
    audit: Option<u32>,
}

impl Policy {
    /// Returns the policy that the settings define.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            events: days(&config.retention_days),
            chats: days(&config.retention_chats_days),
            appointments: days(&config.retention_appointments_days),
            audit: days(&config.retention_audit_days),
        }
    }

    /// Returns the retention period of `kind` in days; `None` means forever.
    #[must_use]
    pub const fn days(&self, kind: Retained) -> Option<u32> {
        match kind {
            Retained::Events | Retained::Facts | Retained::Outcomes | Retained::Book => self.events,
            Retained::Messages | Retained::ChatMessages | Retained::Conversations => self.chats,
            Retained::Appointments => self.appointments,
            Retained::Requests | Retained::Consents | Retained::Audit => self.audit,
            Retained::CountedIds => Some(COUNTED_ID_DAYS),
            // Each has its own end.
            Retained::Tombstones => Some(0),
        }
    }

    /// Returns the time before which a row of `kind` is old at `now`, in days of 24 hours; `None` if it is
    /// kept forever.
    #[must_use]
    pub fn cutoff(&self, kind: Retained, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(now - TimeDelta::days(self.days(kind)?.into()))
    }

    /// Returns the periods as text for display.
    #[must_use]
    pub fn summary(&self) -> String {
        let days = |days: Option<u32>| match days {
            None => "off".to_owned(),
            Some(1) => "1 day".to_owned(),
            Some(days) => format!("{days} days"),
        };
        format!(
            "events {}, chats {}, appointments {}, audit trail {}",
            days(self.events),
            days(self.chats),
            days(self.appointments),
            days(self.audit)
        )
    }
}

fn days<const MIN: u32, const MAX: u32>(limit: &Limit<Bounded<MIN, MAX>>) -> Option<u32> {
    limit.get().map(|days| days.get())
}
