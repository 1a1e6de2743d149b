//! The privacy notice at `/privacy`: the built-in one or the operator's. Both show the settings in effect.

use askama::Template;
use askama::filters::{Escaper, Html as HtmlEscaper};
use axum::http::HeaderName;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};
use strum::VariantArray;

use crate::app::App;
use crate::config::{Config, Contact, NoticeFile, Part, Placeholder};
use crate::privacy::information::{
    AUTOMATED_DECISIONS, COMPLAINT, Controller, Information, RECIPIENTS, RIGHTS, Right,
};
use crate::privacy::purpose::{Kind, days_in_words};

/// Styles and images come from the same origin, images also from `data:` URLs; there are no scripts.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What is shown if no contact, or no name, is set.
const THE_BUSINESS: &str = "the business you contacted";

/// What an operator's own notice shows if no address is set.
const NO_ADDRESS: &str = "available on request";

/// The built-in notice.
#[derive(Template)]
#[template(path = "privacy.html")]
struct NoticePage<'c> {
    controller: &'c Controller,
    contact: &'c str,
    /// The target of the link on the contact.
    link: Option<String>,
    consent_required: bool,
    rows: Vec<Row>,
    /// Whether any kind of data has no retention period.
    has_open_end: bool,
    rights: &'static [Right],
    complaint: Right,
    recipients: &'static str,
    automated_decisions: &'static str,
}

/// What the notice states about a kind of data.
struct Row {
    kind: &'static str,
    title: &'static str,
    what: &'static str,
    why: &'static str,
    lawful_basis: &'static str,
    kept: String,
}

impl Row {
    fn of(kind: Kind, information: &Information) -> Self {
        let (title, what) = title_and_content(kind);
        Self {
            kind: kind.name(),
            title,
            what,
            why: kind.why(),
            lawful_basis: information.lawful_basis(kind),
            kept: kind.kept(information.retention),
        }
    }
}

const fn title_and_content(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Chats => (
            "Your chats",
            "your messages, the answers, and your name, e-mail address and phone number if you give them",
        ),
        Kind::Appointments => {
            ("Your appointments", "date and time, your name, your contact details, and notes")
        }
        Kind::Events => (
            "A record of each answer",
            "the chat and session ids, how long the answer took, what it cost, how long the messages were, what kind of \
             question it was, and whether it led to an appointment. No messages, no names",
        ),
        Kind::Facts => (
            "A summary of each chat",
            "the chat id, when it began and ended, how many answers it had, what they cost, and whether it led to an \
             appointment. No messages, no names",
        ),
        Kind::Outcomes => (
            "What became of appointments",
            "the ids of chat and appointment, whether it was booked, kept, cancelled or missed, when it takes place, and \
             what it is worth",
        ),
        Kind::Waiting => (
            "Records that wait",
            "the same records, on the disk of the service while the database cannot take them",
        ),
        Kind::Consents => (
            "Your consents and withdrawals",
            "when, for what, and where you gave them. Your address, number or chat id is replaced by a code derived from it",
        ),
        Kind::Requests => {
            ("Your privacy requests", "what you asked for, when, and when it was done, with the same code")
        }
        Kind::Audit => (
            "A log of operations on personal data",
            "who did what, and when. Your address, number or chat id is replaced by the same code",
        ),
    }
}

/// `GET /privacy`: returns the notice.
pub async fn page(app: App) -> impl IntoResponse {
    let policy: [(HeaderName, &'static str); 1] = [(CONTENT_SECURITY_POLICY, POLICY)];
    (policy, Html(app.notice.get_or_init(|| render(&app.config)).clone()))
}

fn render(config: &Config) -> String {
    let information = Information::of(config);
    match &config.privacy_notice_file {
        Some(file) => fill(file, &information),
        None => NoticePage::of(config, &information).render().expect("its fields are plain text"),
    }
}

impl<'c> NoticePage<'c> {
    fn of(config: &Config, information: &'c Information) -> Self {
        let kinds = Kind::VARIANTS.iter().filter(|kind| information.has_spool || **kind != Kind::Waiting);
        let periods = information.retention;
        let all = [periods.events, periods.chats, periods.appointments, periods.audit];
        Self {
            controller: &information.controller,
            contact: contact(information),
            link: config.privacy_contact.as_ref().and_then(Contact::link),
            consent_required: information.consent_required,
            rows: kinds.map(|kind| Row::of(*kind, information)).collect(),
            has_open_end: all.contains(&None),
            rights: &RIGHTS,
            complaint: COMPLAINT,
            recipients: RECIPIENTS,
            automated_decisions: AUTOMATED_DECISIONS,
        }
    }
}

fn contact(information: &Information) -> &str {
    information.controller.contact.as_deref().unwrap_or(THE_BUSINESS)
}

/// Returns the operator's notice with its placeholders replaced.
fn fill(file: &NoticeFile, information: &Information) -> String {
    let mut page = String::new();
    for part in &file.parts {
        match part {
            Part::Html(html) => page.push_str(html),
            Part::Placeholder(placeholder) => HtmlEscaper
                .write_escaped_str(&mut page, &value(*placeholder, file, information))
                .expect("a string takes all"),
        }
    }
    page
}

fn value(placeholder: Placeholder, file: &NoticeFile, information: &Information) -> String {
    let (controller, periods) = (&information.controller, information.retention);
    match placeholder {
        Placeholder::Contact => contact(information).to_owned(),
        Placeholder::ControllerName => controller.name.as_deref().unwrap_or(THE_BUSINESS).to_owned(),
        Placeholder::ControllerAddress => controller.address.as_deref().unwrap_or(NO_ADDRESS).to_owned(),
        Placeholder::RetentionDays => days_in_words(periods.events),
        Placeholder::RetentionChatsDays => days_in_words(periods.chats),
        Placeholder::RetentionAppointmentsDays => days_in_words(periods.appointments),
        Placeholder::RetentionAuditDays => days_in_words(periods.audit),
        Placeholder::ConsentRequired => if information.consent_required { "yes" } else { "no" }.to_owned(),
        Placeholder::Updated => file.updated.format("%Y-%m-%d").to_string(),
    }
}
