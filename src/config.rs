//! All settings of the service. Nothing else reads the environment, and nothing reads it after start.
//!
//! To add a variable, add an entry to `settings!` below: its doc comment is its manual, shown in
//! `.env.example` and `--help`. Then regenerate `.env.example` with `mlops-service env-example`.

mod address;
mod check;
pub mod dotenv;
mod import_from;
mod issuer;
mod kubernetes;
mod notice;
mod prices;
mod public_url;
mod setting;
mod source;
mod text_file;
mod tiers;
mod weak_secret;

pub use address::{Database, PostgresUrl, RedisUrl, Tls};
pub use check::MIN_PRODUCTION_KEY_CHARS;
pub use import_from::ImportFrom;
pub use issuer::{Issuer, IssuerUrl, KeySource};
pub use notice::{Contact, Line, NoticeFile, Part, Placeholder};
pub use prices::PricesFile;
pub use public_url::PublicUrl;
pub use setting::{
    ApiKey, Bounded, Environment, Folder, HashKey, Limit, LogFormat, MAX_KEY_BYTES, Mode, Origin, Setting,
    TimeOfDay, Wait,
};
#[cfg(unix)]
pub use source::is_open_to_others;
pub use source::{Problem, Problems, Source};
pub use tiers::Tiers;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::thread::available_parallelism;

use chrono_tz::Tz;
use ipnet::IpNet;

use crate::privacy::subject::{ContactReader, Country, Hasher};
use crate::quota::{LIMITS_NOBODY_PER_SECOND, Quota};

/// An environment variable of the service.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its default, or empty if there is none.
    pub default: &'static str,
    /// A valid value.
    pub example: &'static str,
    /// Its documentation.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal, default $default:literal, example $example:literal;)+) => {
        /// The settings, parsed and checked.
        #[derive(Debug, Clone)]
        #[expect(clippy::doc_markdown, reason = "the text is shown as it is in .env.example and by --help")]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// The tiers of keys, including those of TIER_FREE and TIER_PAID.
            pub tiers: Tiers,
            /// The variables in effect, with their text if it may be shown.
            pub in_effect: Vec<(&'static str, String)>,
            /// What is odd about the variables and does not stop the start.
            pub warnings: Vec<String>,
        }

        /// Every variable, in the order of the documentation.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name, default: $default, example: $example, doc: concat!($($doc, "\n"),+),
        },)+];

        impl Config {
            /// Reads all variables from `source`. Returns all problems together.
            pub fn read(source: &Source) -> Result<Self, Problems> {
                let mut problems = source.problems();
                let mut variables = VARIABLES.iter();
                let mut next = || variables.next().expect("VARIABLES has an entry for every field");
                let tiers = Tiers::read(source, &mut problems);
                let shown = VARIABLES.iter().zip([$(<$type as Setting>::SHOWN),+]);
                let in_effect = shown.filter_map(|(variable, shown)| source.in_effect(variable, shown)).collect();
                let warnings = source.warnings();
                let config =
                    Self { $($field: source.get::<$type>(next(), &mut problems),)+ tiers, in_effect, warnings };
                check::together(&config, &mut problems);
                if problems.all().is_empty() { Ok(config) } else { Err(problems) }
            }
        }
    };
}

settings! {
    /// Port to listen on; 0 picks any free port.
    service_port: u16 = "SERVICE_PORT", default "5001", example "5001";
    /// Address to listen on. Default: 127.0.0.1 without an API key, 0.0.0.0 with one.
    service_host: Option<IpAddr> = "SERVICE_HOST", default "", example "0.0.0.0";
    /// Port of a second listener that serves only /metrics. Unset: no second listener.
    prometheus_port: Option<u16> = "PROMETHEUS_PORT", default "", example "8001";
    /// Deployment environment: development, test, staging or production. Production refuses to start without a strong
    /// API key or with an unencrypted database connection.
    environment: Environment = "ENVIRONMENT", default "development", example "production";
    /// The key that callers send as X-API-Key. Several keys, separated by commas, are all valid, so that a key can be
    /// rotated without downtime. Without a key, authentication is off. Make one with: openssl rand -hex 32
    mlops_api_key: Vec<ApiKey> = "MLOPS_API_KEY", default "", example "your-generated-key-here";
    /// Issuer of bearer tokens (OpenID Connect), exactly as in its metadata. Its tokens work wherever a key does.
    oidc_issuer: Option<IssuerUrl> = "OIDC_ISSUER", default "", example "https://login.example.com/realms/main";
    /// Accepted audiences, separated by commas; the "aud" claim of a token must contain one of them.
    oidc_audience: Vec<String> = "OIDC_AUDIENCE", default "", example "mlops-service";
    /// URL of the issuer's keys (a JWK Set), if they should not be found through its metadata. Without OIDC_ISSUER, tokens
    /// of any issuer are accepted.
    jwks_url: Option<IssuerUrl> = "JWKS_URL", default "", example "https://login.example.com/realms/main/certs";
    /// The database: postgresql://… or sqlite:PATH. Postgres connections are encrypted (sslmode=require) unless the URL
    /// says otherwise; sslmode=verify-full&sslrootcert=PATH also verifies the server.
    database_url: Database = "DATABASE_URL", default "sqlite:data/mlops.db", example "postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
    /// The same database for mlops-service migrate, as the role that owns the tables. If set, no other command changes
    /// tables, and DATABASE_URL may name a role that cannot; see migrations/roles.sql.
    migration_database_url: Option<PostgresUrl> = "MIGRATION_DATABASE_URL", default "", example "postgresql://OWNER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
    /// A read replica of the same database: analytics and pages are read there while it is at most ten seconds behind. What must be exact
    /// is not.
    database_read_url: Option<PostgresUrl> = "DATABASE_READ_URL", default "", example "postgresql://USER:PASSWORD@REPLICA:5432/DATABASE?sslmode=require";
    /// What mlops-service import reads, where --from is not given: postgresql://…, a file, or - for standard input. Here the password
    /// of a URL does not show in the list of processes.
    import_from: Option<ImportFrom> = "IMPORT_FROM", default "", example "postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
    /// Postgres connections for reading. Two more are used for writing, and another two while old rows are deleted.
    database_connections: Bounded<1, 100> = "DATABASE_CONNECTIONS", default "4", example "4";
    /// How long an event may wait for Postgres before it is spooled, or refused if there is no spool; 0.1s to 2.5s.
    store_timeout: Wait = "STORE_TIMEOUT", default "2s", example "2s";
    /// Directory of the spool, which holds events on disk while Postgres cannot take them. off: such events are refused.
    spool_dir: Limit<Folder> = "SPOOL_DIR", default "data/spool", example "/var/lib/mlops-service/spool";
    /// Maximum size of the spool in MiB; when it is full, events are refused.
    spool_max_mb: Bounded<1, 65_536> = "SPOOL_MAX_MB", default "512", example "512";
    /// Time zone of the days in analytics, as an IANA name, of businesses without one of their own. A change does not affect
    /// days already summed.
    time_zone: Tz = "TIME_ZONE", default "UTC", example "Europe/Berlin";
    /// Days to keep events (rows of ai_metrics) and facts about conversations; their sums stay. off: forever.
    retention_days: Limit<Bounded<1, 36_500>> = "RETENTION_DAYS", default "90", example "90";
    /// Time of the daily deletion of old data: HH:MM in TIME_ZONE.
    retention_at: TimeOfDay = "RETENTION_AT", default "03:00", example "03:00";
    /// Days to keep the receptionist app's chats (messages, chat_messages, conversations). off: they are never deleted.
    retention_chats_days: Limit<Bounded<1, 36_500>> = "RETENTION_CHATS_DAYS", default "off", example "365";
    /// Days to keep the receptionist app's appointments. off: they are never deleted.
    retention_appointments_days: Limit<Bounded<1, 36_500>> = "RETENTION_APPOINTMENTS_DAYS", default "off", example "730";
    /// Days to keep the audit trail, completed privacy requests and superseded consents; at least 31. off: forever.
    retention_audit_days: Limit<Bounded<31, 36_500>> = "RETENTION_AUDIT_DAYS", default "730", example "730";
    /// File to which the head of the audit trail is appended within a second of each entry. Keep it where nobody who can write to
    /// the database can change it; mlops-service audit verify compares the trail with it. Unset: no file.
    audit_head_file: Option<PathBuf> = "AUDIT_HEAD_FILE", default "", example "/var/lib/mlops-service/audit-heads";
    /// Proxies whose X-Forwarded-For is trusted: addresses or CIDRs, separated by commas.
    trusted_proxies: Vec<IpNet> = "TRUSTED_PROXIES", default "", example "10.0.0.0/8,192.0.2.7";
    /// Address at which people open the service in a browser, without a path. Links and the check of forms are made of it. Unset:
    /// the host of each request, and the scheme that a trusted proxy states in X-Forwarded-Proto.
    public_url: Option<PublicUrl> = "PUBLIC_URL", default "", example "https://metrics.example.com";
    /// How long a browser stays signed in, in hours. Signing in again begins anew; revoking the key ends it at once.
    session_hours: Bounded<1, 720> = "SESSION_HOURS", default "12", example "12";
    /// Origins that may call the service from a browser, separated by commas. Default: http://localhost:3000 in
    /// development, none elsewhere.
    cors_allowed_origins: Option<Vec<Origin>> = "CORS_ALLOWED_ORIGINS", default "", example "https://app.example.com";
    /// Without an API key (development): host names, separated by commas, by which the service may be called besides those of
    /// machines nearby (localhost, IP addresses, single words, *.localhost, *.local, *.internal, *.svc). Other names are refused,
    /// so that no web page can reach the service by pointing its own name at it.
    allowed_hosts: Vec<String> = "ALLOWED_HOSTS", default "", example "mlops.example.com";
    /// Key for hashing personal identifiers (e-mail addresses, phone numbers, ids) where the plain value is not needed; at
    /// least 32 characters. If it changes, existing consents and audit entries cannot be matched to people. Unset: a
    /// publicly known key, and in production none, so that privacy routes that need it return 503. Make one with:
    /// openssl rand -hex 32
    privacy_hash_key: Option<HashKey> = "PRIVACY_HASH_KEY", default "", example "your-generated-key-of-32-characters-or-more";
    /// Country of phone numbers that are written without a country code, as an ISO 3166-1 code of two letters. Unset: such a number
    /// is the same as another one only if both have the same digits.
    default_country: Option<Country> = "DEFAULT_COUNTRY", default "", example "DE";
    /// true: without an API key (development), the privacy routes and GET /admin/audit are as open as the others. false:
    /// they are refused then.
    allow_unauthenticated_privacy: bool = "ALLOW_UNAUTHENTICATED_PRIVACY", default "false", example "true";
    /// Quota of GET /health, per caller; off disables it.
    rate_limit_health: Limit<Quota> = "RATE_LIMIT_HEALTH", default "100 per minute", example "100 per minute";
    /// Quota of GET /health/detailed, per caller; off disables it.
    rate_limit_health_detailed: Limit<Quota> = "RATE_LIMIT_HEALTH_DETAILED", default "50 per minute", example "50 per minute";
    /// Quota of POST /track, POST /track/batch and POST /outcomes, each by itself, per caller; off disables it.
    rate_limit_track: Limit<Quota> = "RATE_LIMIT_TRACK", default "100 per hour", example "1000 per minute";
    /// Quota of GET /analytics and of what is below it, each by itself, per caller; off disables it.
    rate_limit_analytics: Limit<Quota> = "RATE_LIMIT_ANALYTICS", default "50 per hour", example "50 per hour";
    /// Quota of POST /refresh-metrics, per caller; off disables it.
    rate_limit_refresh_metrics: Limit<Quota> = "RATE_LIMIT_REFRESH_METRICS", default "10 per hour", example "10 per hour";
    /// Quota of each page for people (/businesses and what is below it, statements, links, signing in), per caller; off disables it.
    rate_limit_pages: Limit<Quota> = "RATE_LIMIT_PAGES", default "120 per minute", example "120 per minute";
    /// Quota of every other limited route, per caller; off disables it.
    rate_limit_default: Limit<Quota> = "RATE_LIMIT_DEFAULT", default "200 per day;50 per hour", example "200 per day;50 per hour";
    /// enforce refuses requests over quota; shadow only counts them.
    rate_limit_mode: Mode = "RATE_LIMIT_MODE", default "enforce", example "shadow";
    /// Redis or Valkey for quotas that replicas share and that survive restarts: redis://…, or rediss://… for TLS with a
    /// verified server certificate (?sslrootcert=PATH for your own CA).
    redis_url: Option<RedisUrl> = "REDIS_URL", default "", example "rediss://:PASSWORD@HOST:6379";
    /// Quota of requests without a valid key or token, per client IP across all protected routes; off disables it.
    rate_limit_auth_failures: Limit<Quota> = "RATE_LIMIT_AUTH_FAILURES", default "20 per minute", example "20 per minute";
    /// Quota of the same routes as RATE_LIMIT_TRACK for keys of the tier "free", instead of it; off disables it. Any other
    /// TIER_NAME defines another tier.
    tier_free: Limit<Quota> = "TIER_FREE", default "100 per day", example "100 per day";
    /// Quota of the same routes for keys of the tier "paid"; off disables it.
    tier_paid: Limit<Quota> = "TIER_PAID", default "10000 per day", example "10000 per day";
    /// Requests per second from one client IP, or with one key, whatever its quotas, with bursts of twice as many; off
    /// disables it. /metrics and the probes are exempt.
    flood_limit_per_second: Limit<Bounded<1, 1_000_000>> = "FLOOD_LIMIT_PER_SECOND", default "200", example "200";
    /// Maximum open connections; then an idle one of the client with most of them is closed, or the new one gets a 503. A few more
    /// are kept for probes and for callers with a valid key.
    max_connections: Bounded<1, 65_536> = "MAX_CONNECTIONS", default "4096", example "4096";
    /// Maximum open connections of one client address (IPv6: of one /64). Trusted proxies have no limit of their own. Default: a
    /// quarter of MAX_CONNECTIONS.
    max_connections_per_client: Option<Bounded<1, 65_536>> = "MAX_CONNECTIONS_PER_CLIENT", default "", example "1024";
    /// How long a connection may be idle between two requests, in seconds. Should be longer than a load balancer in front keeps
    /// idle connections, so that the balancer is the one to close them.
    keep_alive_seconds: Bounded<1, 3_600> = "KEEP_ALIVE_SECONDS", default "75", example "75";
    /// Maximum concurrent requests to protected routes; further ones get a 503. A business, or a caller of many businesses, gets
    /// at most three quarters of what others leave; so it is with BODY_MEMORY_MB and INGEST_QUEUE_SIZE.
    max_requests_in_flight: Bounded<1, 65_536> = "MAX_REQUESTS_IN_FLIGHT", default "2048", example "2048";
    /// Memory for the bodies of all requests, in MiB, from when they are read until they are answered; further ones get a 503.
    body_memory_mb: Bounded<2, 65_536> = "BODY_MEMORY_MB", default "64", example "64";
    /// Maximum events waiting to be written; further ones get a 503.
    ingest_queue_size: Bounded<1, 65_536> = "INGEST_QUEUE_SIZE", default "8192", example "8192";
    /// Threads that serve requests and write events. Default: one for every two cores.
    worker_threads: Option<Bounded<1, 1_024>> = "WORKER_THREADS", default "", example "2";
    /// Seconds between reloads of the totals and of business profiles, which pick up what other replicas wrote.
    metrics_refresh_seconds: Bounded<1, 3_600> = "METRICS_REFRESH_SECONDS", default "15", example "15";
    /// Businesses with their own label values on /metrics; further ones are folded into "other".
    metrics_max_businesses: Bounded<1, 100_000> = "METRICS_MAX_BUSINESSES", default "1000", example "1000";
    /// Maximum seconds from a stop signal to the exit.
    shutdown_seconds: Bounded<1, 300> = "SHUTDOWN_SECONDS", default "10", example "10";
    /// true: the row of an event is stored only if its customer's latest consent to "chat_storage" is granted; otherwise the
    /// event is only counted. See POST /privacy/consents.
    consent_required: bool = "CONSENT_REQUIRED", default "false", example "true";
    /// Name of the controller, the business that decides why personal data is processed; shown in the notice at /privacy and in
    /// exports of personal data.
    controller_name: Option<Line> = "CONTROLLER_NAME", default "", example "Example Dental Ltd";
    /// Postal address of the controller on one line, shown in the same places.
    controller_address: Option<Line> = "CONTROLLER_ADDRESS", default "", example "1 Main Street, Springfield";
    /// Contact for questions about personal data, shown in the same places: an e-mail address, a URL, or text.
    privacy_contact: Option<Contact> = "PRIVACY_CONTACT", default "", example "privacy@example.com";
    /// HTML file to serve at /privacy instead of the built-in notice. It may contain placeholders, such as {{contact}}, listed
    /// in docs/privacy.md. It is read at start.
    privacy_notice_file: Option<NoticeFile> = "PRIVACY_NOTICE_FILE", default "", example "/etc/mlops-service/privacy.html";
    /// CSV file with prices of models, which replaces rows of the built-in table or adds some: see docs/configuration.md. It is read at
    /// start. mlops-service prices list shows the table, mlops-service prices check what it lacks. Unset: the built-in table.
    prices_file: Option<PricesFile> = "PRICES_FILE", default "", example "/etc/mlops-service/prices.csv";
    /// Log format: text or json. Default: json in production, text elsewhere.
    log_format: Option<LogFormat> = "LOG_FORMAT", default "", example "json";
    /// Log filter in the syntax of Rust's tracing: a level, or target=level pairs.
    rust_log: String = "RUST_LOG", default "info,sqlx=warn,hyper=error", example "debug";
}

impl Config {
    /// Returns the hasher with the configured key. Without a key it is one with a publicly known key, in production none.
    #[must_use]
    pub fn hasher(&self) -> Option<Hasher> {
        let key = self.privacy_hash_key.as_ref().map(|key| key.expose().as_bytes());
        let is_usable = key.is_some() || self.environment != Environment::Production;
        is_usable.then(|| Hasher::new(key, ContactReader::new(self.default_country)))
    }

    /// Returns whether callers of protected routes need a key or a token.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.mlops_api_key.is_empty() || self.issuer().is_some()
    }

    /// Returns the maximum number of connections of one client.
    #[must_use]
    pub fn max_connections_per_client(&self) -> usize {
        let quarter = || self.max_connections.get().div_ceil(4);
        self.max_connections_per_client.map_or_else(quarter, Bounded::get) as usize
    }

    /// Returns the number of worker threads; by default one per two cores. One per core would cause needless
    /// wake-ups, and the database and the kernel need the cores too.
    #[must_use]
    pub fn threads(&self) -> usize {
        let half = || available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        self.worker_threads.map_or_else(half, |threads| threads.get() as usize)
    }

    /// Returns whether any rate limit is on.
    #[must_use]
    pub fn limits(&self) -> bool {
        self.all_limits().iter().any(|(_, effect)| *effect != Effect::Off)
    }

    /// Returns every rate limit but those of tiers, by its variable, with what it does.
    #[must_use]
    pub fn all_limits(&self) -> [(&'static str, Effect); 9] {
        let flood = match self.flood_limit_per_second.get() {
            None => Effect::Off,
            Some(limit) if u64::from(limit.get()) >= LIMITS_NOBODY_PER_SECOND => Effect::LimitsNobody,
            Some(_) => Effect::On,
        };
        [
            ("RATE_LIMIT_HEALTH", Effect::of(&self.rate_limit_health)),
            ("RATE_LIMIT_HEALTH_DETAILED", Effect::of(&self.rate_limit_health_detailed)),
            ("RATE_LIMIT_TRACK", Effect::of(&self.rate_limit_track)),
            ("RATE_LIMIT_ANALYTICS", Effect::of(&self.rate_limit_analytics)),
            ("RATE_LIMIT_REFRESH_METRICS", Effect::of(&self.rate_limit_refresh_metrics)),
            ("RATE_LIMIT_PAGES", Effect::of(&self.rate_limit_pages)),
            ("RATE_LIMIT_DEFAULT", Effect::of(&self.rate_limit_default)),
            ("RATE_LIMIT_AUTH_FAILURES", Effect::of(&self.rate_limit_auth_failures)),
            ("FLOOD_LIMIT_PER_SECOND", flood),
        ]
    }

    /// Returns the address to listen on. Without a key, the default is the loopback address.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        let default = if self.authenticates() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        self.service_host.unwrap_or(default.into())
    }

    /// Returns the format of the log.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or(match self.environment {
            Environment::Production => LogFormat::Json,
            _ => LogFormat::Text,
        })
    }

    /// Returns the origins that may call from a browser.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        match (&self.cors_allowed_origins, self.environment) {
            (Some(origins), _) => origins.clone(),
            (None, Environment::Development) => Origin::read("http://localhost:3000").into_iter().collect(),
            (None, _) => Vec::new(),
        }
    }
}

/// What a rate limit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is off.
    Off,
    /// It is so high that it limits nobody; see [`Quota::limits_nobody`].
    LimitsNobody,
    /// It limits callers.
    On,
}

impl Effect {
    /// Returns what a quota does.
    #[must_use]
    pub fn of(quota: &Limit<Quota>) -> Self {
        match quota.get() {
            None => Self::Off,
            Some(quota) if quota.limits_nobody() => Self::LimitsNobody,
            Some(_) => Self::On,
        }
    }
}

/// Returns the text of `.env.example`: all variables with their documentation, commented out except for an
/// empty key.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings for mlops-service. Copy this file to .env, uncomment what you want to change, and restart the\n\
         # service. Environment variables take precedence over this file. Never commit .env.\n",
    );
    for variable in VARIABLES {
        let doc = indented("#", variable.doc);
        let default = match variable.default {
            "" => String::new(),
            default => format!("# Default: {default}\n"),
        };
        let setting = match variable.name {
            "MLOPS_API_KEY" => "MLOPS_API_KEY=".to_owned(),
            name if variable.example.contains(' ') => format!("#{name}=\"{}\"", variable.example),
            name => format!("#{name}={}", variable.example),
        };
        text.extend(["\n", &doc, &default, &setting, "\n"]);
    }
    text
}

/// Prepends `margin` to each line of `text`.
#[must_use]
pub fn indented(margin: &str, text: &str) -> String {
    text.lines().flat_map(|line| [margin, line, "\n"]).collect()
}
