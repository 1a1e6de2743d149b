//! The entries of the audit trail. An entry holds counts and ids, never what names a person. No I/O here.

use serde_json::{Map, Value};

use crate::privacy::subject::SubjectHash;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A person's data was given out.
    PrivacyExport,
    /// A person's data was erased.
    PrivacyErase,
    /// It was counted what an erasure would remove.
    PrivacyEraseDryRun,
    /// A request that came by letter was noted.
    PrivacyRequestNoted,
    /// A person consented.
    ConsentGranted,
    /// A person withdrew their consent.
    ConsentWithdrawn,
    /// Old rows were deleted.
    RetentionRun,
    /// It was counted what would be deleted.
    RetentionDryRun,
    /// A key was made.
    KeyCreated,
    /// A key was given a new secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// A route of the privacy desk or of administration was refused.
    AdminRefused,
    /// The service started, with these settings.
    ServiceStarted,
    /// Old entries of the trail were deleted.
    AuditPurged,
}

impl Action {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivacyExport => "privacy.export",
            Self::PrivacyErase => "privacy.erase",
            Self::PrivacyEraseDryRun => "privacy.erase_dry_run",
            Self::PrivacyRequestNoted => "privacy.request_noted",
            Self::ConsentGranted => "consent.granted",
            Self::ConsentWithdrawn => "consent.withdrawn",
            Self::RetentionRun => "retention.run",
            Self::RetentionDryRun => "retention.dry_run",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::AdminRefused => "admin.refused",
            Self::ServiceStarted => "service.started",
            Self::AuditPurged => "audit.purged",
        }
    }
}

/// Who does something. It is an id, never a person's name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The holder of a key, or the service itself.
    pub actor: String,
    /// The request through which they do it.
    pub request_id: Option<String>,
}

impl By {
    /// The service itself.
    #[must_use]
    pub fn service() -> Self {
        Self { actor: "service".to_owned(), request_id: None }
    }

    /// Whoever may run the program on its machine.
    #[must_use]
    pub fn command_line() -> Self {
        Self { actor: "command line".to_owned(), request_id: None }
    }

    /// An entry that says that they did it.
    #[must_use]
    pub fn did(&self, action: Action) -> Entry {
        Entry {
            action,
            actor: self.actor.clone(),
            request_id: self.request_id.clone(),
            subject: None,
            details: Map::new(),
        }
    }
}

/// An entry that is still to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What was done.
    pub action: Action,
    /// By whom: see [`By`].
    pub actor: String,
    /// The request through which it was done.
    pub request_id: Option<String>,
    /// The person whom it is about.
    pub subject: Option<SubjectHash>,
    /// Counts and ids.
    pub details: Map<String, Value>,
}

impl Entry {
    /// The entry, about this person.
    #[must_use]
    pub fn about(mut self, subject: SubjectHash) -> Self {
        self.subject = Some(subject);
        self
    }

    /// The entry with one more detail, a count or an id, if there is one.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.details.insert(name.to_owned(), value);
        }
        self
    }
}
