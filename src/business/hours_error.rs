//! What is wrong with opening hours.

/// Why opening hours are refused. The text goes on from the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// They are no object.
    #[error(
        "must be a JSON object such as {{\"monday\":{{\"open\":\"09:00\",\"close\":\"17:00\"}}}}; days left out are closed"
    )]
    NoObject,
    /// They have a member that is no day; its name, if that may be repeated.
    #[error("has an unknown day{}; days are monday, tuesday, wednesday, thursday, friday, saturday and sunday", quoted(.0.as_deref()))]
    UnknownDay(Option<String>),
    /// A day is there twice.
    #[error("has {0} twice; a day opens and closes once")]
    RepeatedDay(&'static str),
    /// A day is neither an object nor null.
    #[error("must have for {0} an object with open and close, or null if it is closed")]
    NoDay(&'static str),
    /// A day has a member that is neither `open` nor `close`; its name, if that may be repeated.
    #[error("has an unknown field in {day}{}; a day has open and close", quoted(.name.as_deref()))]
    UnknownField {
        /// The day.
        day: &'static str,
        /// The name of the member.
        name: Option<String>,
    },
    /// A day has a member twice.
    #[error("has {1} twice in {0}")]
    RepeatedField(&'static str, &'static str),
    /// A day lacks a member.
    #[error("lacks {1} in {0}; leave a day out if it is closed")]
    MissingField(&'static str, &'static str),
    /// A time is not readable.
    #[error("must have as {field} in {day} a time of 24 hours such as \"09:00\", from 00:00 to {}", latest(.field))]
    NoTime {
        /// The day.
        day: &'static str,
        /// `open` or `close`.
        field: &'static str,
    },
    /// A day opens and closes at the same time.
    #[error(
        "must not open and close at the same time in {0}; all day is 00:00 to 24:00, and a closed day is left out"
    )]
    NoInterval(&'static str),
    /// The hours of a day reach into those of the next.
    #[error("must not overlap: the hours of {0} reach into those of {1}")]
    Overlap(&'static str, &'static str),
}

/// Returns a name for a message, nothing if it may not be repeated.
fn quoted(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(", {name}"))
}

fn latest(field: &str) -> &'static str {
    if field == "close" { "24:00" } else { "23:59" }
}
