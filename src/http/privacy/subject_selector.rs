//! The bodies of requests about a person.

use serde::Deserialize;
use serde_json::Value;

use crate::event::PLACEHOLDER_IDS;
use crate::http::error::ApiError;
use crate::privacy::RequestKind;
use crate::privacy::subject::Selector;
use crate::store::Mode;

/// The body of a request about a person. Unknown fields are ignored.
#[derive(Deserialize)]
pub struct SubjectSelector {
    email: Option<Value>,
    phone: Option<Value>,
    conversation_id: Option<Value>,
    session_id: Option<Value>,
    mode: Option<Value>,
    dry_run: Option<Value>,
    kind: Option<Value>,
    pub(super) source: Option<Value>,
    pub(super) received_at: Option<Value>,
}

type Read = fn(&str) -> Result<Selector, String>;

impl SubjectSelector {
    /// Returns the selector of the person; an error unless there is exactly one.
    pub fn selector(&self) -> Result<Selector, ApiError> {
        let fields: [(&'static str, &Option<Value>, Read); 4] = [
            ("email", &self.email, Selector::email),
            ("phone", &self.phone, Selector::phone),
            ("conversation_id", &self.conversation_id, Selector::conversation),
            ("session_id", &self.session_id, Selector::session),
        ];
        let mut said =
            fields.into_iter().filter_map(|(name, value, read)| Some((name, value.as_ref()?, read)));
        let (Some((name, value, read)), None) = (said.next(), said.next()) else {
            let rule = "the body must name one person with exactly one of email, phone, conversation_id and session_id";
            return Err(ApiError::InvalidBody(rule.to_owned()));
        };
        let text = text(name, value)?;
        let selector = read(text).map_err(|must_be| ApiError::InvalidField(name, must_be))?;
        match selector {
            Selector::Conversation(_) | Selector::Session(_) if PLACEHOLDER_IDS.contains(&text) => {
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
        let Some(value) = &self.dry_run else { return Ok(false) };
        value.as_bool().ok_or_else(|| ApiError::InvalidField("dry_run", "must be true or false".to_owned()))
    }

    /// Returns the kind of the request.
    pub fn kind(&self) -> Result<RequestKind, ApiError> {
        let kinds = [RequestKind::Export, RequestKind::Erase];
        let kind = self.kind.as_ref().and_then(Value::as_str);
        let kind = kind.and_then(|text| kinds.into_iter().find(|kind| kind.name() == text));
        kind.ok_or_else(|| ApiError::InvalidField("kind", "must be export or erase".to_owned()))
    }
}

/// Returns the text of a field.
pub(super) fn text<'v>(name: &'static str, value: &'v Value) -> Result<&'v str, ApiError> {
    value.as_str().ok_or_else(|| ApiError::InvalidField(name, "must be a string".to_owned()))
}
