//! Reads e-mail addresses and phone numbers in the ways in which people write them.

use std::str::FromStr;

use super::{Selector, email, found_in, phone};

/// A country, whose national phone numbers can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(phonenumber::country::Id);

impl FromStr for Country {
    type Err = ();

    /// Parses an ISO 3166-1 code of two letters.
    fn from_str(text: &str) -> Result<Self, ()> {
        text.to_ascii_uppercase().parse().map(Self).map_err(drop)
    }
}

/// Reads the ways in which people write e-mail addresses and phone numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContactReader {
    /// The country of phone numbers without a country code.
    country: Option<Country>,
}

impl ContactReader {
    /// Creates a reader that takes phone numbers without a country code for numbers of `country`.
    #[must_use]
    pub const fn new(country: Option<Country>) -> Self {
        Self { country }
    }

    /// Loads the numbering plans, which takes a while, so that no batch of events waits for it.
    pub fn warm_up() {
        drop(Self::default().phone("+49 30 1234567"));
    }

    /// Parses an e-mail address: bare, as a `mailto:` link, or after a name. The error says what it must be, as do those of the
    /// other functions.
    pub fn email(self, text: &str) -> Result<Selector, String> {
        let must_be =
            || format!("must be one e-mail address of at most {} characters", email::MAX_EMAIL_CHARS);
        email::one(text).map(Selector::Email).ok_or_else(must_be)
    }

    /// Parses a phone number with any common separators, digits, prefix or extension.
    pub fn phone(self, text: &str) -> Result<Selector, String> {
        phone::one(text, self.id()).map(Selector::Phone).ok_or_else(|| {
            format!(
                "must be one phone number of {} to {} digits, such as +49 151 2345678",
                phone::DIGITS.start(),
                phone::DIGITS.end()
            )
        })
    }

    /// Parses a text of unknown kind: with an `@`, an e-mail address; written like a phone number, a phone number; otherwise a
    /// conversation id.
    pub fn guess(self, text: &str) -> Result<Selector, String> {
        if found_in::is_like_an_address(text) {
            return self.email(text);
        }
        if !phone::is_like_a_number(text) && !found_in::is_like_a_number(text) {
            return Selector::conversation(text);
        }
        match self.phone(text) {
            Ok(Selector::Phone(number)) if number.starts_with('+') => Ok(Selector::Phone(number)),
            _ => Err("looks like a phone number whose country is not known: write it with its country code, set DEFAULT_COUNTRY, \
                      or name what it is: {\"phone\": …} or {\"conversation_id\": …}"
                .to_owned()),
        }
    }

    /// Returns every e-mail address in a text, each once.
    #[must_use]
    pub fn emails(self, text: &str) -> Vec<String> {
        email::all(text)
    }

    /// Returns every phone number in a text, each once.
    #[must_use]
    pub fn phones(self, text: &str) -> Vec<String> {
        phone::all(text, self.id())
    }

    /// Returns the selectors under which the same person may have been stored by versions before this one, or before a default
    /// country was set.
    #[must_use]
    pub(super) fn also_known_as(self, selector: &Selector) -> Vec<Selector> {
        match selector {
            Selector::Phone(number) => {
                phone::also_known_as(number, self.id()).into_iter().map(Selector::Phone).collect()
            }
            Selector::Email(_) | Selector::Conversation(_) | Selector::Session(_) => Vec::new(),
        }
    }

    fn id(self) -> Option<phonenumber::country::Id> {
        self.country.map(|Country(id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(country: Option<&str>) -> ContactReader {
        ContactReader::new(country.map(|country| country.parse().unwrap()))
    }

    #[track_caller]
    fn assert_same(read: impl Fn(&str) -> Result<Selector, String>, written: &[&str], normal: &str) {
        for text in written {
            assert_eq!(read(text).unwrap().expose(), normal, "{text:?}");
        }
    }

    #[track_caller]
    fn assert_refused(read: impl Fn(&str) -> Result<Selector, String>, written: &[&str]) {
        for text in written {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_e_mail_address_is_the_same_however_it_is_written() {
        let read = |text: &str| reader(None).email(text);
        let ana = [
            "ana@example.com",
            "  Ana@Example.COM\n",
            "mailto:ana@example.com",
            "MAILTO:Ana@example.com?subject=Hello",
            "mailto:ana%40example.com",
            "Ana Doe <ana@example.com>",
            "<ana@example.com>",
            "ana\u{200b}@exam\u{ad}ple.com\u{feff}",
            "ａｎａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
            "\u{a0}ana@example.com\u{a0}",
        ];
        assert_same(read, &ana, "ana@example.com");
        assert_same(
            read,
            &["JÖRG@example.com", "jo\u{308}rg@example.com", "Jörg@EXAMPLE.com"],
            "jörg@example.com",
        );
        assert_same(read, &["STRASSE@example.com", "straße@example.com"], "strasse@example.com");
        assert_same(read, &["ΜΆΙΟΣ@example.com", "μάιος@example.com"], "μάιοσ@example.com");
        assert_same(
            read,
            &["ana@müller.example", "ana@xn--mller-kva.example", "ANA@MÜLLER.example"],
            "ana@müller.example",
        );
        let long = "a@b".repeat(99);
        assert_refused(
            read,
            &[
                "",
                "ana",
                "@example.com",
                "ana@",
                "a na@example.com",
                "ana@exam\0ple.com",
                &long,
                "ana@example.com, ben@example.com",
                "ana@example.com ben@example.com",
            ],
        );
    }

    #[test]
    fn a_field_may_hold_several_contacts() {
        let reader = reader(Some("DE"));
        assert_eq!(
            reader.emails(
                "Ana <Ana@example.com>; ben@example.com / mailto:ana@example.com, (cleo@example.com)."
            ),
            ["ana@example.com", "ben@example.com", "cleo@example.com"]
        );
        assert!(reader.emails("nobody at example.com").is_empty());
        assert_eq!(
            reader.phones("Tel. +44 20 7946 0000 (office), mobile: 0151 2345678 / 030 1234567"),
            ["+442079460000", "+491512345678", "+49301234567"]
        );
        assert_eq!(reader.phones("0049 151 2345678 +44 (0)20 7946 0000"), ["+491512345678", "+442079460000"]);
        assert!(reader.phones("12, 34567").is_empty());
    }

    #[test]
    fn a_phone_number_is_the_same_however_it_is_written() {
        let international = [
            "+49 151 2345678",
            "+49 (0)151 2345678",
            "+49 0151 2345678",
            "0049 151 2345678",
            "0049 (0) 151/2345678",
            "49151 2345678",
            "491512345678",
            "tel:+49-151-2345678",
            "tel:+49-151-2345678;ext=12",
            "(+49) 151 2345678",
            "(0049) 151 2345678",
            "+49\u{a0}151\u{200b} 2345678",
            "\u{202a}+491512345678\u{202c}",
            "+49\u{2212}151\u{2212}2345678",
            "＋４９　１５１　２３４５６７８",
            "+49.151.23 45 678 ext. 12",
            "+49 151 2345678x12",
            "+49 151 2345678 #12",
            "+٤٩ ١٥١ ٢٣٤٥٦٧٨",
        ];
        for country in [None, Some("DE"), Some("US"), Some("AT")] {
            assert_same(|text| reader(country).phone(text), &international, "+491512345678");
        }
    }

    #[test]
    fn a_phone_number_may_lack_its_country() {
        let german = |text: &str| reader(Some("de")).phone(text);
        assert_same(
            german,
            &["0151 2345678", "(0151) 2345678", "0151-2345678", "0151/2345678"],
            "+491512345678",
        );
        assert_same(
            |text| reader(Some("US")).phone(text),
            &["(202) 555-0123", "1 202 555 0123", "202.555.0123"],
            "+12025550123",
        );
        assert_same(
            |text| reader(Some("IT")).phone(text),
            &["06 6982 1234", "+39 06 69821234"],
            "+390669821234",
        );
        assert_same(|text| reader(None).phone(text), &["(0151) 234-5678"], "01512345678");
        let wrong = [
            "",
            "+",
            "123456",
            "+1234567890123456",
            "+49 151 CALL ME",
            "49+151234567",
            "+999 123456",
            "+49 151 2345678, 030 1234567",
        ];
        assert_refused(|text| reader(None).phone(text), &wrong);
    }

    #[test]
    fn the_kind_of_a_free_text_is_guessed_from_its_form() {
        for (text, kind) in [
            ("Ana@example.com", "email"),
            ("+49 151 234567", "phone"),
            ("0049151234567", "phone"),
            ("tel:+49151234567", "phone"),
            ("491512345678", "phone"),
            ("00000000-0000-4000-8000-000000000000", "conversation_id"),
            ("conv-1", "conversation_id"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "conversation_id"),
            ("chat 7 of 2026-11-27", "conversation_id"),
            ("42", "conversation_id"),
        ] {
            assert_eq!(reader(None).guess(text).unwrap().kind(), kind, "{text}");
        }
        let unreadable = [
            "",
            "@",
            "ana@",
            "ana＠",
            "+49 and so on",
            "+1234567890123456",
            "0151 2345678",
            "12345678",
            "(+49) 151",
            "Tel. 0151 2345678",
            "whatsapp:+491512345678",
            "ana [at] example.com",
            "ana(at)example.com",
            "mailto:ana",
            "0151 2345678, 030 1234567",
        ];
        assert_refused(|text| reader(None).guess(text), &unreadable);
        for written in ["0151 2345678", "0151 2345678 ext. 12", "0151 2345678 #12"] {
            assert_eq!(reader(Some("DE")).guess(written).unwrap().expose(), "+491512345678", "{written}");
        }
        assert_eq!(
            reader(None).guess("ana%40example.com").map_err(drop),
            Err(()),
            "not decoded outside a link"
        );
    }
}
