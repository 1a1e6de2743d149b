//! Opening hours of the receptionist app's tables, which may say more than days and times.

use super::hours::{DayHours, OpeningHours};
use super::hours_error::HoursError;
use super::hours_json::{CLOSE, DAYS, Members, OPEN, interval, read_time};

/// Members of the receptionist app's days that say whether the business is closed.
const CLOSED_IF_TRUE: [&str; 3] = ["closed", "isclosed", "is_closed"];
const CLOSED_IF_FALSE: [&str; 4] = [OPEN, "isopen", "is_open", "enabled"];

impl OpeningHours {
    /// Parses what the receptionist app's table has, which may hold more than days and times. `None`: nothing is set.
    ///
    /// # Errors
    ///
    /// Fails if a day cannot be read, or if there is none.
    pub fn parse_of_app(json: &str) -> Result<Option<Self>, HoursError> {
        let members = match json.trim() {
            "null" => return Ok(None),
            json => Members::parse(json).ok_or(HoursError::NoObject)?.0,
        };
        if members.is_empty() {
            return Ok(None);
        }
        let (mut days, mut found) = ([None; 7], false);
        for (name, value) in members {
            let name = name.trim().to_ascii_lowercase();
            if let Some(index) = DAYS.iter().position(|(_, day)| *day == name) {
                days[index] = day_of_app(DAYS[index].1, value.get())?;
                found = true;
            }
        }
        if !found {
            return Err(HoursError::UnknownDay(None));
        }
        Self::without_overlap(days).map(Some)
    }
}

fn day_of_app(day: &'static str, json: &str) -> Result<Option<DayHours>, HoursError> {
    if json == "null" {
        return Ok(None);
    }
    let (mut open, mut close) = (None, None);
    for (name, value) in Members::parse(json).ok_or(HoursError::NoDay(day))?.0 {
        let (name, value) = (name.to_ascii_lowercase(), value.get());
        if value == "true" && CLOSED_IF_TRUE.contains(&name.as_str())
            || value == "false" && CLOSED_IF_FALSE.contains(&name.as_str())
        {
            return Ok(None);
        }
        let place = match name.as_str() {
            OPEN => &mut open,
            CLOSE => &mut close,
            _ => continue,
        };
        // Forms leave the times of a closed day empty.
        *place = Some(value.to_owned()).filter(|value| !matches!(value.as_str(), "null" | "\"\""));
    }
    match (open, close) {
        (None, None) => Ok(None),
        (Some(open), Some(close)) => {
            interval(day, read_time(day, OPEN, &open)?, read_time(day, CLOSE, &close)?).map(Some)
        }
        (None, Some(_)) => Err(HoursError::MissingField(day, OPEN)),
        (Some(_), None) => Err(HoursError::MissingField(day, CLOSE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_of_app(json: &str, read: &str) {
        let hours = OpeningHours::parse_of_app(json).unwrap().unwrap();
        assert_eq!(serde_json::to_string(&hours).unwrap(), read);
    }

    #[test]
    fn the_app_may_say_more_than_days_and_times() {
        let monday = r#"{"monday":{"open":"09:00","close":"17:00"}}"#;
        assert_of_app(monday, monday);
        let more = r#"{"timezone":"Europe/Berlin","Monday":{"open":"09:00","close":"17:00","isOpen":true,"closed":false,"note":[1]},
            "tuesday":{"closed":true,"open":"09:00","close":"17:00"},"wednesday":{"isOpen":false},"thursday":{"enabled":false,"open":"x"},
            "friday":null,"saturday":{"open":null,"close":""},"sunday":{"open":false}}"#;
        assert_of_app(more, monday);
        assert_of_app(r#"{"monday":{"closed":true}}"#, "{}");
        assert_eq!(OpeningHours::parse_of_app("{}"), Ok(None), "what a new business has");
        assert_eq!(OpeningHours::parse_of_app("null"), Ok(None));
    }

    #[test]
    fn what_the_app_says_is_read_as_a_whole_or_not_at_all() {
        for odd in [
            "[]",
            "\"always\"",
            r#"{"mon":{"open":"09:00","close":"17:00"}}"#,
            r#"{"monday":{"open":"nine","close":"17:00"}}"#,
            r#"{"monday":{"open":"09:00"}}"#,
            r#"{"monday":{"close":"09:00"}}"#,
            r#"{"monday":[{"open":"09:00","close":"17:00"}]}"#,
            r#"{"monday":{"open":"09:00","close":"09:00"}}"#,
            r#"{"monday":{"open":"20:00","close":"10:00"},"tuesday":{"open":"09:00","close":"17:00"}}"#,
        ] {
            assert!(OpeningHours::parse_of_app(odd).is_err(), "{odd}");
        }
    }
}
