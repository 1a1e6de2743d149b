//! The addresses of databases and of Redis.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::setting::{Setting, parse};

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
