//! The types of settings and how they are parsed.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveTime;
use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::quota::{InvalidQuota, Quota};

/// The maximum length of an API key, in bytes: every comparison hashes this many.
pub const MAX_KEY_BYTES: usize = 255;

/// A type that can be parsed from an environment variable.
pub trait Setting: Sized {
    /// Whether its text may be shown, because it contains neither a secret nor personal data. Otherwise only
    /// whether it is set is shown.
    const SHOWN: bool = false;

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

    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::read).collect()
    }

    fn unset() -> Option<Self> {
        Some(Self::new())
    }
}

fn parse<T: FromStr>(text: &str, must_be: &str) -> Result<T, String> {
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

    fn read(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        T::read(text).map(Self::At).map_err(|must_be| format!("{must_be}, or \"off\""))
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
    /// The plain key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Setting for ApiKey {
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
    /// The plain key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Setting for HashKey {
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

/// The database.
#[derive(Debug, Clone)]
pub enum Database {
    /// An embedded SQLite file.
    Sqlite(PathBuf),
    /// A Postgres server.
    Postgres(PostgresUrl),
}

/// The URL of a Postgres database, with its TLS mode.
#[derive(Debug, Clone)]
pub struct PostgresUrl {
    /// The whole URL, password included.
    pub url: SecretString,
    /// `host:port/database`, for people.
    pub place: String,
    /// How connections are protected.
    pub tls: Tls,
}

impl PostgresUrl {
    /// Returns the role in the URL; empty if there is none.
    #[must_use]
    pub fn user(&self) -> String {
        Url::parse(self.url.expose_secret()).map_or_else(|_| String::new(), |url| url.username().to_owned())
    }
}

/// How connections to Postgres are protected; libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Unencrypted, or only if the server prefers it: `disable`, `allow`, `prefer`.
    Optional(&'static str),
    /// Encrypted; the server is not verified.
    Require,
    /// Encrypted; the server's certificate is verified.
    VerifyCa,
    /// Encrypted; the server's certificate and host name are verified.
    VerifyFull,
}

impl Tls {
    /// Returns the mode that `sslmode` requests. As in libpq, `require` with a root certificate verifies the
    /// certificate.
    fn from_url(url: &Url) -> Option<Self> {
        let value = |names: &[&str]| {
            url.query_pairs()
                .filter(|(name, _)| names.contains(&name.as_ref()))
                .map(|(_, value)| value)
                .last()
        };
        let with_root = value(&["sslrootcert", "ssl-root-cert", "ssl-ca"]).is_some();
        match value(&["sslmode", "ssl-mode"]).as_deref() {
            Some("disable") => Some(Self::Optional("disable")),
            Some("allow") => Some(Self::Optional("allow")),
            Some("prefer") => Some(Self::Optional("prefer")),
            None | Some("require") if with_root => Some(Self::VerifyCa),
            None | Some("require") => Some(Self::Require),
            Some("verify-ca") => Some(Self::VerifyCa),
            Some("verify-full") => Some(Self::VerifyFull),
            Some(_) => None,
        }
    }
}

impl Setting for Database {
    fn read(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.split('?').next() {
                Some("" | ":memory:") | None => Err("has no file name after sqlite:".to_owned()),
                Some(path) => Ok(Self::Sqlite(path.into())),
            };
        }
        let must_be = "must be a postgresql:// or sqlite: URL";
        let mut url: Url = parse(text, must_be)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(must_be.to_owned());
        }
        if url.path().contains('@') || url.fragment().is_some() {
            return Err(
                "has a special character in the user name or password: write / as %2F, # as %23, @ as %40"
                    .to_owned(),
            );
        }
        keep_known_parameters(&mut url);
        let tls = Tls::from_url(&url).ok_or(
            "has an unknown sslmode: it must be disable, allow, prefer, require, verify-ca or verify-full",
        )?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("has no host")?;
        let place = format!("{host}:{}{}", url.port().unwrap_or(5432), url.path());
        Ok(Self::Postgres(PostgresUrl { url: String::from(url).into(), place, tls }))
    }
}

impl Setting for PostgresUrl {
    fn read(text: &str) -> Result<Self, String> {
        match Database::read(text) {
            Ok(Database::Postgres(url)) => Ok(url),
            Err(what) if text.starts_with("postgres") => Err(what),
            Ok(Database::Sqlite(_)) | Err(_) => Err("must be a postgresql:// URL".to_owned()),
        }
    }
}

/// Removes parameters that sqlx does not know: it would log their values.
fn keep_known_parameters(url: &mut Url) {
    const KNOWN: [&str; 18] = [
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
    ];
    let known: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| KNOWN.contains(&name.as_ref()))
        .map(|(a, b)| (a.into(), b.into()))
        .collect();
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(known);
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

/// The URL of a Redis.
#[derive(Debug, Clone)]
pub struct RedisUrl {
    /// The whole URL, password included.
    pub url: SecretString,
    /// The CA certificate to verify the server's against, instead of public ones.
    pub root_certificate: Option<PathBuf>,
}

impl Setting for RedisUrl {
    fn read(text: &str) -> Result<Self, String> {
        let must_be = "must be a redis:// or rediss:// URL";
        let mut url: Url = parse(text, must_be)?;
        let encrypted = url.scheme() == "rediss";
        if !(encrypted || url.scheme() == "redis") || url.host_str().is_none_or(str::is_empty) {
            return Err(must_be.to_owned());
        }
        let database = url.path().trim_start_matches('/');
        if url.fragment().is_some() || !database.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(
                "has a special character in the password (write / as %2F, # as %23, @ as %40) or a database \
                        that is not a number"
                    .to_owned(),
            );
        }
        let root = url.query_pairs().find(|(name, _)| name == "sslrootcert");
        let root_certificate = root.map(|(_, path)| PathBuf::from(path.as_ref()));
        if root_certificate.is_some() && !encrypted {
            return Err("has sslrootcert, which requires rediss://".to_owned());
        }
        url.set_query(None);
        Ok(Self { url: String::from(url).into(), root_certificate })
    }
}
