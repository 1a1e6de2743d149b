//! The types of settings and how they are parsed; those of databases are in [`address`](super::address).

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveTime;
use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::privacy::subject::Country;
use crate::quota::{InvalidQuota, Quota};

/// The maximum length of an API key, in bytes: every comparison hashes this many.
pub const MAX_KEY_BYTES: usize = 255;

/// A type that can be parsed from an environment variable.
pub trait Setting: Sized {
    /// Whether its text may be shown, because it contains neither a secret nor personal data. Otherwise only
    /// whether it is set is shown.
    const SHOWN: bool = false;

    /// Whether its text is or contains a secret, which must not be cut without notice.
    const SECRET: bool = false;

    /// Parses `text`. The error says what the value must be, never what it is.
    fn read(text: &str) -> Result<Self, String>;

    /// Returns the value of a variable that is unset and has no default.
    #[must_use]
    fn unset() -> Option<Self> {
        None
    }
}

impl<T: Setting> Setting for Option<T> {
    const SHOWN: bool = T::SHOWN;
    const SECRET: bool = T::SECRET;

    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(Some)
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

/// A list separated by commas; empty items are ignored.
impl<T: Setting> Setting for Vec<T> {
    const SHOWN: bool = T::SHOWN;
    const SECRET: bool = T::SECRET;

    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::read).collect()
    }

    fn unset() -> Option<Self> {
        Some(Self::new())
    }
}

/// Parses `text`; the error is `must_be`.
pub(super) fn parse<T: FromStr>(text: &str, must_be: &str) -> Result<T, String> {
    text.parse().map_err(|_: T::Err| must_be.to_owned())
}

impl Setting for bool {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

impl Setting for u16 {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        parse(text, "must be a port number from 0 to 65535")
    }
}

impl Setting for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for IpAddr {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        parse(text, "must be an IP address")
    }
}

impl Setting for Tz {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        parse(text, "must be an IANA time zone name")
    }
}

impl Setting for Country {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        parse(text, "must be an ISO 3166-1 country code of two letters, such as DE")
    }
}

impl Setting for IpNet {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(Self::from);
        address.or_else(|_| parse(text, "must be IP addresses or CIDRs, separated by commas"))
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> Setting for Bounded<MIN, MAX> {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        number.map(Self).ok_or_else(|| format!("must be a whole number from {MIN} to {MAX}"))
    }
}

/// A limit that `off` disables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit<T> {
    /// There is no limit.
    Off,
    /// The limit.
    At(T),
}

impl<T> Limit<T> {
    /// Returns the limit, if there is one.
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl<T: Setting> Setting for Limit<T> {
    const SHOWN: bool = T::SHOWN;
    const SECRET: bool = T::SECRET;

    fn read(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        T::read(text).map(Self::At).map_err(|must_be| format!("{must_be}, or \"off\""))
    }
}

impl Setting for PathBuf {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// A directory, which need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

impl Setting for Folder {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }
}

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay(pub NaiveTime);

impl Setting for TimeOfDay {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| text.len() == 5);
        time.map(Self).ok_or_else(|| "must be a time of day from 00:00 to 23:59".to_owned())
    }
}

/// How long to wait for a neighbouring service: 0.1 to 2.5 seconds, because callers wait for 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_millis(2_500);
}

impl Setting for Wait {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        // With a zero in front, ".5s" is accepted too.
        let duration = humantime::parse_duration(&format!("0{text}")).ok();
        let bounded = duration.filter(|duration| (Self::SHORTEST..=Self::LONGEST).contains(duration));
        bounded.map(Self).ok_or_else(|| "must be a duration from 0.1s to 2.5s".to_owned())
    }
}

impl Setting for Quota {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: InvalidQuota| error.to_string())
    }
}

/// An API key: printable ASCII without spaces or commas, so that it fits into a header.
#[derive(Debug, Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Returns the plain key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Setting for ApiKey {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must be at most {MAX_KEY_BYTES} printable ASCII characters without spaces"));
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// The minimum length of the key for hashing persons, in characters.
const MIN_HASH_KEY_CHARS: usize = 32;

/// The key for hashing persons.
#[derive(Debug, Clone)]
pub struct HashKey(SecretString);

impl HashKey {
    /// Returns the plain key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Setting for HashKey {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text.chars().count() < MIN_HASH_KEY_CHARS {
            return Err(format!(
                "must have at least {MIN_HASH_KEY_CHARS} characters; make one with: openssl rand -hex 32"
            ));
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// Where the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine.
    Development,
    /// In automated tests.
    Test,
    /// On a server that resembles production.
    Staging,
    /// With real callers and real data: the service refuses unsafe settings.
    Production,
}

impl Environment {
    /// Returns its name, as in the setting.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl Setting for Environment {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        [Self::Development, Self::Test, Self::Staging, Self::Production]
            .into_iter()
            .find(|environment| environment.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "must be development, test, staging or production".to_owned())
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Setting for LogFormat {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }
}

/// An origin that may call from a browser: `scheme://host[:port]`, or `*` for every origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Returns the origin as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is `*`, every origin.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl Setting for Origin {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let must_be = "must be origins such as https://app.example.com, separated by commas, or *";
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let url: Url = parse(text.trim_end_matches('/'), must_be)?;
        let plain = url.path() == "/" && url.query().is_none();
        let plain = plain && url.username().is_empty() && url.password().is_none();
        match url.scheme() {
            "http" | "https" if plain => Ok(Self(url.origin().ascii_serialization())),
            _ => Err(must_be.to_owned()),
        }
    }
}

/// Whether quotas are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Requests over quota are rejected.
    Enforce,
    /// Requests over quota are counted and let through.
    Shadow,
}

impl Setting for Mode {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "enforce" => Ok(Self::Enforce),
            "shadow" => Ok(Self::Shadow),
            _ => Err("must be enforce or shadow".to_owned()),
        }
    }
}
