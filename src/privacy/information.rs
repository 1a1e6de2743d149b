//! The information that accompanies a person's data (Art. 13, 15 (1) GDPR), the same in the notice and in exports.

use serde::Serialize;
use utoipa::ToSchema;

use super::purpose::{Kind, RetentionPeriods};
use crate::config::{Config, Contact, Database, Line};
use crate::retention::Policy;
use crate::store::Retained;

/// Who else gets the data.
pub const RECIPIENTS: &str = "Companies that work for the business under contract, and only for that purpose: those that host \
                              its servers and database, and the provider of the AI model that writes the answers. You can ask \
                              for a list of them and their countries. Your data is not sold.";

/// Whether a machine decides about the person.
pub const AUTOMATED_DECISIONS: &str = "The assistant answers questions and offers appointments. It makes no decisions about \
                                       you with legal or similarly significant effect, and no profile of you.";

/// Where to complain.
pub const COMPLAINT: Right = Right {
    right: "Complaint",
    what: "You complain to a data protection authority, such as the one where you live or work.",
    article: "Article 77",
};

/// The person's rights besides [`COMPLAINT`].
pub const RIGHTS: [Right; 7] = [
    Right { right: "Access", what: "You get a copy of everything we hold about you.", article: "Article 15" },
    Right { right: "Rectification", what: "We correct what is wrong.", article: "Article 16" },
    Right { right: "Erasure", what: "We delete what we hold about you.", article: "Article 17" },
    Right {
        right: "Restriction",
        what: "We store your data but do nothing else with it, for example while a question about it is open.",
        article: "Article 18",
    },
    Right {
        right: "Portability",
        what: "You get your data in a form that another service can read.",
        article: "Article 20",
    },
    Right {
        right: "Objection",
        what: "You object to what we do based on our legitimate interest, and we stop unless we have compelling reasons.",
        article: "Article 21",
    },
    Right { right: "Withdrawal", what: "You withdraw a consent.", article: "Article 7(3)" },
];

/// A right of a person.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Right {
    /// Its name.
    pub right: &'static str,
    /// What it means.
    pub what: &'static str,
    /// Where the GDPR grants it.
    pub article: &'static str,
}

/// Who is responsible, as far as it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Controller {
    /// `CONTROLLER_NAME`
    #[schema(required)]
    pub name: Option<String>,
    /// `CONTROLLER_ADDRESS`
    #[schema(required)]
    pub address: Option<String>,
    /// `PRIVACY_CONTACT`
    #[schema(required)]
    pub contact: Option<String>,
}

/// The information that accompanies a person's data, as far as it depends on settings.
#[derive(Debug, Clone)]
pub struct Information {
    /// Who is responsible.
    pub controller: Controller,
    /// Whether events are kept only with consent.
    pub consent_required: bool,
    /// How long data is kept.
    pub retention: RetentionPeriods,
    /// Whether events may wait on the service's disk.
    pub has_spool: bool,
}

impl Information {
    /// Returns what the settings say.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let kept = Policy::of(config);
        let line = |line: &Option<Line>| line.as_ref().map(|line| line.text().to_owned());
        Self {
            controller: Controller {
                name: line(&config.controller_name),
                address: line(&config.controller_address),
                contact: config.privacy_contact.as_ref().map(Contact::text).map(str::to_owned),
            },
            consent_required: config.consent_required,
            retention: RetentionPeriods {
                events: kept.days(Retained::Events),
                chats: kept.days(Retained::Messages),
                appointments: kept.days(Retained::Appointments),
                audit: kept.days(Retained::Audit),
            },
            has_spool: matches!(config.database_url, Database::Postgres(_))
                && config.spool_dir.get().is_some(),
        }
    }

    /// Returns the lawful basis of a kind of data.
    #[must_use]
    pub const fn lawful_basis(&self, kind: Kind) -> &'static str {
        kind.lawful_basis(self.consent_required)
    }
}
