//! The bodies of requests about a person.

use serde::Deserialize;
use serde_json::Value;

use crate::business::MAX_ID_CHARS;
use crate::event::is_placeholder_id;
use crate::http::error::ApiError;
use crate::http::extract::BusinessLimit;
use crate::privacy::consent::not_null;
use crate::privacy::subject::{ContactReader, Selector};
use crate::privacy::{Inquiry, RequestKind};
use crate::shape::Shape;
use crate::store::Mode;

/// The body of a request about a person. Unknown fields are rejected: one may be a mistyped `dry_run`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectSelector {
    email: Option<Value>,
    phone: Option<Value>,
    conversation_id: Option<Value>,
    session_id: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    business_id: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    confirm: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    nothing_held: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    mode: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    dry_run: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    kind: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) source: Option<Value>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) received_at: Option<Value>,
}

/// Returns the schemas of the fields that name a person, by their names.
fn persons() -> [(&'static str, Shape); 4] {
    let id = || Shape::text(1..=MAX_ID_CHARS);
    let email = Shape::in_format("email").such_as("ana@example.com");
    let phone = Shape::matching(r"^\+[1-9][0-9]{7,14}$").such_as("+491512345678");
    [
        ("email", email.about("An e-mail address, however it is written")),
        ("phone", phone.about("A phone number, however it is written, such as `+49 (0)151 2345678`")),
        ("conversation_id", id().about("The id of a conversation, no placeholder")),
        ("session_id", id().about("The id of a session, no placeholder")),
    ]
}

/// Returns the schemas of an object with exactly one of the fields that name a person, and those that `with` adds.
pub(super) fn person_and(with: impl Fn(Shape) -> Shape) -> Shape {
    Shape::any_of(persons().map(|(name, shape)| with(Shape::object().required(name, shape))))
}

/// Returns the schemas of an object with nothing but a field that names a person, or of a text that is read as such.
pub(super) fn named_person() -> Shape {
    let texts = Shape::text(1..=MAX_ID_CHARS)
        .about("With an `@` an e-mail address, written like a phone number a phone number, else an id");
    let objects = persons().map(|(name, shape)| Shape::object().required(name, shape));
    Shape::any_of([texts].into_iter().chain(objects))
}

/// Returns the schema of the id of the only business that a request is limited to.
pub(super) fn business_shape() -> Shape {
    Shape::text(1..=MAX_ID_CHARS)
        .about("The only business that is meant; by default all that the key may act for")
}

/// A route with such a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `POST /privacy/export`.
    Export,
    /// `POST /privacy/erase`.
    Erase,
    /// `POST /privacy/requests`.
    Note,
}

impl SubjectSelector {
    /// Returns whom the request is about; an error unless that is exactly one person, or if a field does not belong to the route.
    pub fn inquiry(
        &self,
        purpose: Purpose,
        reader: ContactReader,
        limit: &BusinessLimit,
    ) -> Result<Inquiry, ApiError> {
        self.refuse_others(purpose)?;
        let business = self.business_id.as_ref().map(|value| text("business_id", value)).transpose()?;
        let confirm = self.confirm.as_ref().map(|value| text("confirm", value)).transpose()?;
        Ok(Inquiry {
            selector: self.selector(reader)?,
            business_id: limit.within(business.map(str::to_owned))?,
            confirm: confirm.map(str::to_owned),
            nothing_held: flag("nothing_held", self.nothing_held.as_ref())?,
        })
    }

    fn refuse_others(&self, purpose: Purpose) -> Result<(), ApiError> {
        let fields = [
            ("confirm", self.confirm.is_some(), purpose != Purpose::Note),
            ("nothing_held", self.nothing_held.is_some(), purpose != Purpose::Note),
            ("mode", self.mode.is_some(), purpose == Purpose::Erase),
            ("dry_run", self.dry_run.is_some(), purpose == Purpose::Erase),
            ("kind", self.kind.is_some(), purpose == Purpose::Note),
            ("source", self.source.is_some(), purpose == Purpose::Note),
            ("received_at", self.received_at.is_some(), purpose == Purpose::Note),
        ];
        match fields.into_iter().find(|(_, is_said, is_accepted)| *is_said && !is_accepted) {
            Some((name, ..)) => {
                Err(ApiError::InvalidBody(format!("unknown field: {name} is not for this route")))
            }
            None => Ok(()),
        }
    }

    fn selector(&self, reader: ContactReader) -> Result<Selector, ApiError> {
        let fields = [
            ("email", &self.email),
            ("phone", &self.phone),
            ("conversation_id", &self.conversation_id),
            ("session_id", &self.session_id),
        ];
        let mut said = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let (Some((name, value)), None) = (said.next(), said.next()) else {
            let rule = "the body must name one person with exactly one of email, phone, conversation_id and session_id";
            return Err(ApiError::InvalidBody(rule.to_owned()));
        };
        let text = text(name, value)?;
        let selector = match name {
            "email" => reader.email(text),
            "phone" => reader.phone(text),
            "conversation_id" => Selector::conversation(text),
            _ => Selector::session(text),
        };
        match selector.map_err(|must_be| ApiError::InvalidField(name, must_be))? {
            Selector::Conversation(_) | Selector::Session(_) if is_placeholder_id(text) => {
                let rule = "must be the id of one person; this value is a placeholder".to_owned();
                Err(ApiError::InvalidField(name, rule))
            }
            selector => Ok(selector),
        }
    }

    /// Returns what to do with appointments and events.
    pub fn mode(&self) -> Result<Mode, ApiError> {
        let modes = [Mode::Delete, Mode::Anonymise];
        let Some(value) = &self.mode else { return Ok(Mode::Delete) };
        let mode = value.as_str().and_then(|text| modes.into_iter().find(|mode| mode.name() == text));
        mode.ok_or_else(|| ApiError::InvalidField("mode", "must be delete or anonymise".to_owned()))
    }

    /// Returns whether the body requests a dry run.
    pub fn dry_run(&self) -> Result<bool, ApiError> {
        flag("dry_run", self.dry_run.as_ref())
    }

    /// Returns the kind of the request.
    pub fn kind(&self) -> Result<RequestKind, ApiError> {
        let kinds = [RequestKind::Export, RequestKind::Erase];
        let kind = self.kind.as_ref().and_then(Value::as_str);
        let kind = kind.and_then(|text| kinds.into_iter().find(|kind| kind.name() == text));
        kind.ok_or_else(|| ApiError::InvalidField("kind", "must be export or erase".to_owned()))
    }
}

fn flag(name: &'static str, value: Option<&Value>) -> Result<bool, ApiError> {
    let flag = value.map_or(Some(false), Value::as_bool);
    flag.ok_or_else(|| ApiError::InvalidField(name, "must be true or false".to_owned()))
}

/// Returns the text of a field.
pub(super) fn text<'v>(name: &'static str, value: &'v Value) -> Result<&'v str, ApiError> {
    value.as_str().ok_or_else(|| ApiError::InvalidField(name, "must be a string".to_owned()))
}
