//! Tells secrets that somebody made up or copied from those that a machine drew.

use std::collections::BTreeSet;

use super::{Config, Database, PostgresUrl, RedisUrl};

/// The least length, in characters, at which the characters themselves are judged: what is shorter is refused as that.
const MIN_JUDGED_CHARS: usize = super::MIN_PRODUCTION_KEY_CHARS;

/// The least number of different characters. Of 32 random hexadecimal digits, fewer than eight differ once in 10¹¹ cases.
const MIN_DISTINCT: usize = 8;

/// What guides print as an example of a key or where one belongs, in lower-case letters and digits alone: the key that the lab
/// shows, `your-generated-key…` of `.env.example`, `YOUR_API_KEY`, and other words that stand for a key.
const PUBLISHED: [&str; 10] = [
    "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e",
    "skabc123xyz456",
    "yourgeneratedkey",
    "yourapikey",
    "yoursecret",
    "yourkey",
    "keyhere",
    "changeme",
    "replaceme",
    "placeholder",
];

/// Returns why `secret` can be guessed, if it can.
#[must_use]
fn weakness(secret: &str) -> Option<&'static str> {
    let bytes = secret.as_bytes();
    let plain: String = secret.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let is_repeated = (1..=bytes.len() / 2).any(|unit| bytes.iter().zip(&bytes[unit..]).all(|(a, b)| a == b));
    let steps = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    if PUBLISHED.iter().any(|published| plain.contains(published)) {
        return Some("is or contains the example of a guide");
    }
    if is_repeated {
        return Some("repeats a short text");
    }
    if bytes.len() < MIN_JUDGED_CHARS {
        return None;
    }
    if bytes.iter().collect::<BTreeSet<_>>().len() < MIN_DISTINCT {
        return Some("has too few different characters");
    }
    // Of 31 steps between random hexadecimal digits, about six are that small.
    (steps * 3 > bytes.len() * 2).then_some("counts up or down")
}

impl Config {
    /// Returns the secrets that can be guessed, or that stand in two places, by their variables, with what is wrong.
    #[must_use]
    pub fn weak_secrets(&self) -> Vec<(&'static str, &'static str)> {
        let secrets = self.secrets();
        let weak = secrets.iter().filter_map(|(name, text)| Some((*name, weakness(text)?)));
        let repeated = secrets.iter().enumerate().filter_map(|(index, (name, text))| {
            let is_equal = secrets[..index].iter().any(|(_, earlier)| earlier == text);
            is_equal.then_some((*name, "is the same as another secret"))
        });
        weak.chain(repeated).collect()
    }

    /// Returns the keys, by their variables.
    fn secrets(&self) -> Vec<(&'static str, &str)> {
        let keys = self.mlops_api_key.iter().map(|key| ("MLOPS_API_KEY", key.expose()));
        let hash_key = self.privacy_hash_key.iter().map(|key| ("PRIVACY_HASH_KEY", key.expose()));
        keys.chain(hash_key).collect()
    }

    /// Returns the passwords in URLs that can be guessed, or that stand in two places, by their variables, with what is wrong.
    #[must_use]
    pub fn weak_passwords(&self) -> Vec<(&'static str, &'static str)> {
        let passwords = self.passwords();
        let weak = passwords.iter().enumerate().filter_map(|(index, (name, user, password))| {
            let is_key = self.secrets().iter().any(|(_, key)| key == password);
            // The same role has the same password in both URLs.
            let is_of_another =
                passwords[..index].iter().any(|(_, other, known)| other != user && known == password);
            let is_obvious = ["password", user].iter().any(|obvious| password.eq_ignore_ascii_case(obvious));
            let what = match weakness(password) {
                _ if is_key || is_of_another => "is the same as another secret",
                _ if is_obvious => "is the first that is tried",
                Some(weakness) => weakness,
                None => return None,
            };
            Some((*name, what))
        });
        weak.collect()
    }

    /// Returns the URLs of the same database beside `DATABASE_URL`, by their variables.
    pub(super) const fn other_urls(&self) -> [(&'static str, Option<&PostgresUrl>); 2] {
        [
            ("MIGRATION_DATABASE_URL", self.migration_database_url.as_ref()),
            ("DATABASE_READ_URL", self.database_read_url.as_ref()),
        ]
    }

    /// Returns the passwords in URLs, by their variables, with the role that each belongs to.
    #[must_use]
    pub fn passwords(&self) -> Vec<(&'static str, String, String)> {
        let serving = match &self.database_url {
            Database::Postgres(url) => Some(("DATABASE_URL", url)),
            Database::Sqlite(_) => None,
        };
        let others = self.other_urls().into_iter().filter_map(|(name, url)| Some((name, url?)));
        let of_roles = serving.into_iter().chain(others);
        let of_roles = of_roles.filter_map(|(name, url)| Some((name, url.user(), url.password()?)));
        let of_redis = self.redis_url.as_ref().and_then(RedisUrl::password);
        of_roles.chain(of_redis.map(|password| ("REDIS_URL", "redis".to_owned(), password))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VARIABLES;

    #[test]
    fn secrets_that_somebody_made_up_or_copied_are_weak() {
        for weak in [
            "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e",
            "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e8f4d2a6b9c1e7f3a5d8b2c6e4f1a3d7",
            "YOUR_API_KEY",
            "please-change-me-please-change-it-now",
            "aaaa",
            &"a".repeat(32),
            &"password".repeat(4),
            "0123456789abcdef0123456789abcdef",
            "aabbaabbaaabbbabababaabbbaabbaab",
            "abcdefghijklmnopqrstuvwxyz012345",
            "98765432109876543210zyxwvutsrqpo",
        ] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
        for strong in ["c51e07fa9b3d4862d8a1f6704e92b5c3", "correct horse battery staple, and more", "k"] {
            assert_eq!(weakness(strong), None, "{strong}");
        }
    }

    #[test]
    fn what_env_example_shows_is_weak() {
        let shown: Vec<_> = VARIABLES.iter().filter(|variable| variable.name.ends_with("_KEY")).collect();
        assert!(shown.len() > 1);
        for variable in shown {
            assert!(weakness(variable.example).is_some(), "{}", variable.name);
        }
    }
}
