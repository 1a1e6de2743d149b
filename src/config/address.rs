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
        let url = Url::parse(self.url.expose_secret());
        url.map_or_else(
            |_| String::new(),
            |url| parameter(&url, &["user"]).unwrap_or_else(|| url.username().to_owned()),
        )
    }

    /// Returns the password in the URL, if there is one.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        let url = Url::parse(self.url.expose_secret()).ok()?;
        parameter(&url, &["password"]).or_else(|| password(&url))
    }

    /// Parses a URL as libpq does, or says why it cannot be used.
    fn parse(text: &str) -> Result<Self, String> {
        let must_be = "must be a postgresql:// or sqlite: URL";
        let (scheme, _) = text.split_once("://").ok_or(must_be)?;
        if let Some((_, driver)) = scheme.split_once('+').filter(|(scheme, _)| is_postgres(scheme)) {
            return Err(format!(
                "names a driver, +{driver}, which only other programs know; write postgresql://"
            ));
        }
        if !is_postgres(scheme) {
            return Err(must_be.to_owned());
        }
        let text = name_host(&encode_credentials(text));
        let mut url: Url = Url::parse(&text).map_err(|error| why_unusable(&text, error))?;
        if url.path().contains('@') || url.fragment().is_some() {
            return Err(SPECIAL_CHARACTER.to_owned());
        }
        keep_known_parameters(&mut url);
        use_public_authorities(&mut url)?;
        let host = host(&url).ok_or(NO_HOST)?;
        if host.contains(',') {
            return Err(SEVERAL_HOSTS.to_owned());
        }
        let is_socket = host.starts_with('/');
        let tls = match is_socket {
            // As in libpq: nothing leaves the machine, and servers take no TLS there.
            true => Tls::Socket,
            false => Tls::from_url(&url).ok_or(
                "has an unknown sslmode: it must be disable, allow, prefer, require, verify-ca or verify-full",
            )?,
        };
        let port = parameter(&url, &["port"]).or_else(|| url.port().map(|port| port.to_string()));
        let database =
            parameter(&url, &["dbname"]).unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
        let place = format!("{host}:{}/{database}", port.as_deref().unwrap_or("5432"));
        Ok(Self { url: String::from(url).into(), place, tls })
    }
}

/// The names of the parameter with the root certificates.
const ROOTS: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];

/// The names of the parameter with the TLS mode.
const MODES: [&str; 2] = ["sslmode", "ssl-mode"];

const SEVERAL_HOSTS: &str = "lists several hosts; name one";

const NO_HOST: &str = "has no host; for a socket, add ?host=/run/postgresql";

const SPECIAL_CHARACTER: &str =
    "has a special character in the user name or password: write / as %2F, @ as %40, : as %3A";

fn is_postgres(scheme: &str) -> bool {
    matches!(scheme, "postgres" | "postgresql")
}

/// Encodes what may stand in a password for libpq, and not in a URL: `#` and `?`, which would end the address.
fn encode_credentials(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['@', '/']).map_or(start, |at| start + at);
    let (credentials, rest) = (&text[start..end], &text[end..]);
    match rest.starts_with('@') {
        true => format!("{}{}{rest}", &text[..start], credentials.replace('#', "%23").replace('?', "%3F")),
        false => text.to_owned(),
    }
}

/// Names a host in `USER@/DATABASE?host=…`, which is no URL without one. The parameter has precedence.
fn name_host(text: &str) -> String {
    match text.split_once("@/") {
        Some((before, after)) if after.contains("host=") => format!("{before}@localhost/{after}"),
        _ => text.to_owned(),
    }
}

/// Returns why a URL cannot be parsed, in words that its author can act on.
fn why_unusable(text: &str, error: url::ParseError) -> String {
    let authority =
        text.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    match error {
        _ if hosts.contains(',') => SEVERAL_HOSTS.to_owned(),
        url::ParseError::EmptyHost => NO_HOST.to_owned(),
        url::ParseError::InvalidPort if !authority.contains('@') => SPECIAL_CHARACTER.to_owned(),
        error => format!("is not a URL: {error}"),
    }
}

/// Returns the last value of a parameter under any of its names.
fn parameter(url: &Url, names: &[&str]) -> Option<String> {
    let values = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
    values.map(|(_, value)| value.into_owned()).last().filter(|value| !value.is_empty())
}

/// Returns the password before the host, decoded.
fn password(url: &Url) -> Option<String> {
    let encoded = url.password().filter(|password| !password.is_empty())?;
    // A query is decoded alike, but for these two; a parsed URL has encoded the equals sign.
    let query = encoded.replace('+', "%2B").replace('&', "%26");
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(password, _)| password.into_owned())
}

/// Returns the host, or the directory of a socket.
fn host(url: &Url) -> Option<String> {
    let decoded = |host: &str| host.replace("%2F", "/").replace("%2f", "/");
    let in_url = url.host_str().filter(|host| !host.is_empty()).map(decoded);
    parameter(url, &["hostaddr"]).or_else(|| parameter(url, &["host"])).or(in_url)
}

/// Carries out `sslrootcert=system` as libpq 16 does: the public authorities, and nothing less than `verify-full`.
fn use_public_authorities(url: &mut Url) -> Result<(), String> {
    if parameter(url, &ROOTS).as_deref() != Some("system") {
        return Ok(());
    }
    if parameter(url, &MODES).is_some_and(|mode| mode != "verify-full") {
        return Err("has sslrootcert=system, which requires sslmode=verify-full".to_owned());
    }
    retain_parameters(url, |name| !ROOTS.contains(&name) && !MODES.contains(&name));
    url.query_pairs_mut().append_pair("sslmode", "verify-full");
    Ok(())
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
    /// A socket of this machine, unencrypted.
    Socket,
}

impl Tls {
    /// Returns the mode that `sslmode` requests. As in libpq, `require` with a root certificate verifies the
    /// certificate.
    fn from_url(url: &Url) -> Option<Self> {
        let with_root = parameter(url, &ROOTS).is_some();
        match parameter(url, &MODES).as_deref() {
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
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.split('?').next() {
                Some("" | ":memory:") | None => Err("has no file name after sqlite:".to_owned()),
                Some(path) => Ok(Self::Sqlite(path.into())),
            };
        }
        PostgresUrl::parse(text).map(Self::Postgres)
    }
}

impl Setting for PostgresUrl {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.starts_with("postgres") {
            true => Self::parse(text),
            false => Err("must be a postgresql:// URL".to_owned()),
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
    retain_parameters(url, |name| KNOWN.contains(&name));
}

fn retain_parameters(url: &mut Url, is_retained: impl Fn(&str) -> bool) {
    let retained = url.query_pairs().filter(|(name, _)| is_retained(name));
    let retained: Vec<(String, String)> = retained.map(|(name, value)| (name.into(), value.into())).collect();
    url.set_query(None);
    if !retained.is_empty() {
        url.query_pairs_mut().extend_pairs(retained);
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

impl RedisUrl {
    /// Returns the password in the URL, if there is one.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        password(&Url::parse(self.url.expose_secret()).ok()?)
    }
}

impl Setting for RedisUrl {
    const SECRET: bool = true;

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
