//! The key by which events are grouped into sums.

use crate::event::Event;

/// The key of sums: they are kept separately for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// See [`Event::business_id`].
    pub business_id: String,
    /// See [`Event::model_name`].
    pub model_name: String,
    /// See [`Event::intent_detected`].
    pub intent_detected: String,
    /// See [`Event::response_type`].
    pub response_type: String,
}

impl Key {
    /// The columns of its parts, in the order of [`Key::parts`].
    pub const COLUMNS: [&'static str; 4] = ["business_id", "model_name", "intent_detected", "response_type"];

    /// Returns the key of `event`.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        key_of(event).map(ToOwned::to_owned).into()
    }

    /// Returns its parts, in the order of [`Key::COLUMNS`].
    #[must_use]
    pub fn parts(&self) -> [&str; 4] {
        [&self.business_id, &self.model_name, &self.intent_detected, &self.response_type]
    }
}

impl From<[String; 4]> for Key {
    fn from([business_id, model_name, intent_detected, response_type]: [String; 4]) -> Self {
        Self { business_id, model_name, intent_detected, response_type }
    }
}

/// Returns the parts of the key of `event`, in the order of [`Key::COLUMNS`], without copying them.
#[must_use]
pub fn key_of(event: &Event) -> [&str; 4] {
    [&event.business_id, &event.model_name, &event.intent_detected, &event.response_type]
}
