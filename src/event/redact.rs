//! Labels that would identify a person: the intent, the response type and the model of an event are on the public `/metrics`.

use super::{Event, UNKNOWN};
use crate::privacy::subject::has_contact;

/// The minimum number of digits of a phone number.
const MIN_DIGITS: usize = 7;

/// The same in the name of a model, which may have the numbers of versions in it.
const MIN_DIGITS_OF_MODEL: usize = 10;

impl Event {
    /// Replaces labels that have an e-mail address or phone number in them by `unknown`. Returns how many.
    pub fn redact_labels(&mut self) -> u64 {
        let labels = [
            (&mut self.intent_detected, MIN_DIGITS),
            (&mut self.response_type, MIN_DIGITS),
            (&mut self.model_name, MIN_DIGITS_OF_MODEL),
        ];
        let mut redacted = 0;
        for (label, min_digits) in labels {
            if has_contact(label, min_digits) {
                UNKNOWN.clone_into(label);
                redacted += 1;
            }
        }
        redacted
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::event::Report;

    fn event(intent: &str, model: &str) -> Event {
        let report = serde_json::json!({"business_id": "b", "response_time_ms": 1, "tokens_used": 1,
            "intent_detected": intent, "response_type": intent, "model_name": model});
        Report::parse(report.to_string().as_bytes()).unwrap().into_event(None, DateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn contacts_are_redacted() {
        for contact in [
            "ana@example.com",
            "mail to Ana.Doe+x@mail.example.co.uk",
            "ana＠example.com",
            "ana%40example.com",
            "+49 151 2345678",
            "call 0151-2345678",
            "callback_0151_2345678",
            "(202) 555-0123 now",
            "tel:+49-151-2345678",
            "491512345678",
            "０１５１ ２３４５６７８",
            "+49\u{2212}151\u{200b}2345678",
            "ana@example.xn--p1ai",
            "ana@example.com-booking",
            "\"ana\"@example.com1",
            "ana @ example.com",
            "ana%2540example.com",
            "0151·234·5678",
            "0151|234|5678",
        ] {
            let mut redacted = event(contact, contact);
            assert_eq!(redacted.redact_labels(), 3, "{contact}");
            assert_eq!([redacted.intent_detected, redacted.response_type, redacted.model_name], [UNKNOWN; 3]);
        }
    }

    #[test]
    fn other_labels_stay() {
        for label in [
            "appointment",
            "price of 3 x 250 ml",
            "2026-11-27",
            "on 2026-11-27 at 10:30",
            "@home",
            "a@b",
            "größe 42",
            "",
        ] {
            let mut event = event(label, label);
            assert_eq!(event.redact_labels(), 0, "{label}");
        }
        for model in [
            "gpt-4o-2024-08-06",
            "claude-opus-4-20250514",
            "claude-sonnet-4@20250514",
            "gpt-4.1-2025-04-14",
            "claude-3-5-sonnet-v2@20241022",
            "gemini-2.5-flash-preview-09-2025",
            "gpt-3.5-turbo-16k-0613",
            "command-r-08-2024",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-haiku@latest",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x",
        ] {
            assert_eq!(event("x", model).redact_labels(), 0, "{model}");
        }
    }
}
