//! The privacy notice at `/privacy`: the built-in one or the operator's. Both show the settings in effect.

use askama::Template;
use askama::filters::{Escaper, Html as HtmlEscaper};
use axum::http::HeaderName;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};

use crate::app::App;
use crate::config::{Config, Contact, NoticeFile, Part, Placeholder};
use crate::retention::Policy;
use crate::store::Retained;

/// Styles and images come from the same origin, images also from `data:` URLs; there are no scripts.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What is shown if no contact is set.
const NO_CONTACT: &str = "the business you contacted";

/// The built-in notice.
#[derive(Template)]
#[template(path = "privacy.html")]
struct NoticePage<'c> {
    contact: &'c str,
    /// The target of the link on the contact.
    link: Option<String>,
    /// Whether a contact is set.
    named: bool,
    consent_required: bool,
    times: Times,
    /// Whether any kind of data has no retention period.
    has_open_end: bool,
}

/// The retention period of each kind of data, as text.
struct Times {
    events: String,
    chats: String,
    appointments: String,
    audit: String,
}

impl Times {
    fn of(config: &Config) -> Self {
        let kept = Policy::of(config);
        let [events, chats, appointments, audit] =
            [Retained::Events, Retained::Messages, Retained::Appointments, Retained::Audit]
                .map(|kind| time(kept.days(kind)));
        Self { events, chats, appointments, audit }
    }

    fn has_open_end(&self) -> bool {
        [&self.events, &self.chats, &self.appointments, &self.audit].contains(&&time(None))
    }
}

/// `GET /privacy`: returns the notice.
pub async fn page(app: App) -> impl IntoResponse {
    let policy: [(HeaderName, &'static str); 1] = [(CONTENT_SECURITY_POLICY, POLICY)];
    (policy, Html(app.notice.get_or_init(|| render(&app.config)).clone()))
}

fn render(config: &Config) -> String {
    match &config.privacy_notice_file {
        Some(file) => fill(file, config),
        None => NoticePage::of(config).render().expect("its fields are plain text"),
    }
}

impl<'c> NoticePage<'c> {
    fn of(config: &'c Config) -> Self {
        let (contact, times) = (config.privacy_contact.as_ref(), Times::of(config));
        Self {
            contact: contact.map_or(NO_CONTACT, Contact::text),
            link: contact.and_then(Contact::link),
            named: contact.is_some(),
            consent_required: config.consent_required,
            has_open_end: times.has_open_end(),
            times,
        }
    }
}

/// Returns the operator's notice with its placeholders replaced.
fn fill(file: &NoticeFile, config: &Config) -> String {
    let mut page = String::new();
    for part in &file.parts {
        match part {
            Part::Html(html) => page.push_str(html),
            Part::Placeholder(placeholder) => HtmlEscaper
                .write_escaped_str(&mut page, &value(*placeholder, file, config))
                .expect("a string takes all"),
        }
    }
    page
}

fn value(placeholder: Placeholder, file: &NoticeFile, config: &Config) -> String {
    let times = Times::of(config);
    match placeholder {
        Placeholder::Contact => NoticePage::of(config).contact.to_owned(),
        Placeholder::RetentionDays => times.events,
        Placeholder::RetentionChatsDays => times.chats,
        Placeholder::RetentionAppointmentsDays => times.appointments,
        Placeholder::RetentionAuditDays => times.audit,
        Placeholder::ConsentRequired => if config.consent_required { "yes" } else { "no" }.to_owned(),
        Placeholder::Updated => file.updated.format("%Y-%m-%d").to_string(),
    }
}

/// Returns a retention period as text; `None` means that there is none.
fn time(days: Option<u32>) -> String {
    match days {
        None => "no fixed time".to_owned(),
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
    }
}
