//! The name of a model, as an event has it.

/// What Google's interfaces put in front of a name.
const COLLECTION: &str = "models/";

/// A name, taken apart, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The provider in front of it.
    pub(super) provider: Option<String>,
    /// The name without what is in front of it.
    pub(super) bare: String,
    /// The name with its provider: some sellers' names have another provider in them, such as `openai/gpt-oss-20b`.
    pub(super) whole: String,
}

impl Name {
    /// Takes a name apart. `is_provider` is whether the table has rows of a provider.
    pub(super) fn read(text: &str, is_provider: impl Fn(&str) -> bool) -> Self {
        let text = text.trim().to_lowercase();
        let whole = text.strip_prefix(COLLECTION).unwrap_or(&text).to_owned();
        let (provider, bare) = match whole.split_once('/') {
            Some((provider, rest)) if is_provider(provider) => (Some(provider.to_owned()), rest),
            _ => (None, whole.as_str()),
        };
        let bare = bare.strip_prefix(COLLECTION).unwrap_or(bare).to_owned();
        Self { provider, bare, whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_front_of_a_name_is_dropped() {
        for (text, provider, bare) in [
            ("gemini-pro", None, "gemini-pro"),
            (" Models/Gemini-Pro ", None, "gemini-pro"),
            ("google/gemini-pro", Some("google"), "gemini-pro"),
            ("models/google/gemini-pro", Some("google"), "gemini-pro"),
            ("google/models/gemini-pro", Some("google"), "gemini-pro"),
            ("google/openai/gpt", Some("google"), "openai/gpt"),
            ("azure/gpt", None, "azure/gpt"),
            ("google", None, "google"),
            ("models/", None, ""),
        ] {
            let name = Name::read(text, |provider| provider == "google");
            assert_eq!((name.provider.as_deref(), name.bare.as_str()), (provider, bare), "{text}");
        }
    }
}
