//! The entries of the audit trail. They consist of counts and ids, never of anything that identifies a
//! person. No I/O here.

use serde_json::{Map, Value};

use crate::privacy::subject::SubjectHash;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Personal data was exported.
    PrivacyExport,
    /// Personal data was erased.
    PrivacyErase,
    /// The rows that an erasure would affect were counted.
    PrivacyEraseDryRun,
    /// A privacy request received by another channel was recorded.
    PrivacyRequestNoted,
    /// The time for a privacy request was extended.
    PrivacyRequestExtended,
    /// A person consented.
    ConsentGranted,
    /// A person withdrew their consent.
    ConsentWithdrawn,
    /// Old rows were deleted.
    RetentionRun,
    /// The rows that a retention run would delete were counted.
    RetentionDryRun,
    /// A key was created.
    KeyCreated,
    /// A key was given a new secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// The profile of a business was changed.
    BusinessChanged,
    /// A link to a page was made.
    LinkCreated,
    /// A link to a page was revoked.
    LinkRevoked,
    /// A request to a privacy or administration route was rejected.
    AdminRefused,
    /// The service started, with these settings.
    ServiceStarted,
    /// Old entries of the trail were deleted.
    AuditPurged,
    /// An import of events began.
    ImportBegun,
    /// An import of events ended.
    ImportEnded,
    /// An export of events began.
    ExportBegun,
    /// An export of events ended.
    ExportEnded,
}

impl Action {
    /// Returns the name of the action.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivacyExport => "privacy.export",
            Self::PrivacyErase => "privacy.erase",
            Self::PrivacyEraseDryRun => "privacy.erase_dry_run",
            Self::PrivacyRequestNoted => "privacy.request_noted",
            Self::PrivacyRequestExtended => "privacy.request_extended",
            Self::ConsentGranted => "consent.granted",
            Self::ConsentWithdrawn => "consent.withdrawn",
            Self::RetentionRun => "retention.run",
            Self::RetentionDryRun => "retention.dry_run",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::BusinessChanged => "business.changed",
            Self::LinkCreated => "link.created",
            Self::LinkRevoked => "link.revoked",
            Self::AdminRefused => "admin.refused",
            Self::ServiceStarted => "service.started",
            Self::AuditPurged => "audit.purged",
            Self::ImportBegun => "import.begun",
            Self::ImportEnded => "import.ended",
            Self::ExportBegun => "export.begun",
            Self::ExportEnded => "export.ended",
        }
    }
}

/// Who does something: an id, never the name or address of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The key or token, `service`, `command line` or `unauthenticated`.
    pub name: String,
    /// The id of the request, a UUID, if there is one.
    pub request_id: Option<String>,
}

impl Actor {
    /// Returns the service itself.
    #[must_use]
    pub fn service() -> Self {
        Self { name: "service".to_owned(), request_id: None }
    }

    /// Returns the user of the command line.
    #[must_use]
    pub fn command_line() -> Self {
        Self { name: "command line".to_owned(), request_id: None }
    }

    /// Creates an entry for `action` by this actor.
    #[must_use]
    pub fn entry(&self, action: Action) -> Entry {
        Entry {
            action,
            actor: self.name.clone(),
            request_id: self.request_id.clone(),
            subject: None,
            details: Map::new(),
        }
    }
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What was done.
    pub action: Action,
    /// The name of the [`Actor`].
    pub actor: String,
    /// The id of the request that caused it.
    pub request_id: Option<String>,
    /// The person concerned.
    pub subject: Option<SubjectHash>,
    /// Counts and ids.
    pub details: Map<String, Value>,
}

impl Entry {
    /// Sets the person concerned.
    #[must_use]
    pub fn about(mut self, subject: SubjectHash) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Adds a detail, a count or an id, unless it is null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.details.insert(name.to_owned(), value);
        }
        self
    }
}
