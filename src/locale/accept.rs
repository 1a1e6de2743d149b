//! `Accept-Language`.

use icu_locale_core::{LanguageIdentifier, langid};

/// What a reader is taken for who does not say.
const DEFAULT: LanguageIdentifier = langid!("en-US");

/// How many languages of a header are read. Browsers send up to six or so; whoever sends thousands makes no work with them.
const MAX_LANGUAGES: usize = 10;

/// The longest tag that is read, in bytes: language, script and region are 11.
const MAX_TAG_BYTES: usize = 35;

/// Returns the language that a header prefers: the one of the greatest quality, the first of those that are alike.
///
/// What is no language (`*`, and what nobody can read) is passed over.
pub(super) fn preferred(header: &str) -> LanguageIdentifier {
    let ranges = header.split(',').take(MAX_LANGUAGES).filter_map(range);
    let best = ranges.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(DEFAULT, |(language, _)| language)
}

/// Reads a language and its quality in thousandths; `None` for what is none, or is not wanted.
fn range(text: &str) -> Option<(LanguageIdentifier, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| tag.len() <= MAX_TAG_BYTES)?;
    let language: LanguageIdentifier =
        tag.parse().ok().filter(|language: &LanguageIdentifier| !language.language.is_unknown())?;
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let thousandths = quality.map_or(Some(1_000), thousandths)?;
    (thousandths > 0).then_some((language, thousandths))
}

/// Reads a quality: from 0 to 1, with at most three decimal places.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1000")]
fn thousandths(text: &str) -> Option<u16> {
    let quality: f64 = text.trim().parse().ok()?;
    (0.0..=1.0).contains(&quality).then(|| (quality * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_greatest_quality_wins() {
        for (header, chosen) in [
            ("", "en-US"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de-AT"),
            ("en;q=0.5, fr-CH ; q=0.9, *;q=0.1", "fr-CH"),
            ("fr;q=0.7,it;q=0.7", "fr"),
            ("*", "en-US"),
            ("*;q=1, nl;q=0.5", "nl"),
            ("de;q=0, sv;q=0.001", "sv"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("pt-br", "pt-BR"),
            ("de;q=2,it;q=x,es;q=NaN,da;q=0.1", "da"),
            ("und,\u{1f600},-,;;;,en-GB", "en-GB"),
            ("<script>,'; drop table", "en-US"),
        ] {
            assert_eq!(preferred(header).to_string(), chosen, "{header}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_header_is_read() {
        let header = format!("{}sv", "x;q=0.1,".repeat(MAX_LANGUAGES));
        assert_eq!(preferred(&header), DEFAULT);
        assert_eq!(preferred(&format!("en-{}", "a".repeat(100_000))), DEFAULT);
    }

    proptest! {
        #[test]
        fn every_header_has_an_answer(header in ".{0,200}") {
            let locale = super::super::Locale::from_header(Some(&header));
            prop_assert!(locale.count(1_234).ends_with("234"));
        }
    }
}
