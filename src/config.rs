//! Every setting of the service. Nothing else reads the environment, and nothing reads it after the start.
//!
//! To add a variable, add one entry to `settings!` below: its doc comment is the manual, its text is what
//! `.env.example` and `--help` show. Then write `.env.example` anew with `mlops-service env-example`.

mod check;
mod issuer;
mod notice;
mod setting;
mod source;
mod tiers;

pub use check::MIN_PRODUCTION_KEY_CHARS;
pub use issuer::{Issuer, IssuerUrl, KeySource};
pub use notice::{Contact, NoticeFile, Part, Place};
pub use setting::{
    ApiKey, Bounded, Database, Environment, Folder, HashKey, Limit, LogFormat, MAX_KEY_BYTES, Mode, Origin,
    PostgresUrl, RedisUrl, Setting, TimeOfDay, Tls, Wait,
};
pub use source::{Problem, Problems, Source};
pub use tiers::Tiers;

use std::net::{IpAddr, Ipv4Addr};
use std::thread::available_parallelism;

use chrono_tz::Tz;
use ipnet::IpNet;

use crate::quota::Quota;

/// An environment variable that the service knows.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value when unset; empty where there is none.
    pub default: &'static str,
    /// A value it may have.
    pub example: &'static str,
    /// What it means.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal, default $default:literal, example $example:literal;)+) => {
        /// The settings, each read and checked.
        #[derive(Debug, Clone)]
        #[expect(clippy::doc_markdown, reason = "the text is shown as it is in .env.example and by --help")]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// The tiers of keys, TIER_FREE and TIER_PAID among them.
            pub tiers: Tiers,
            /// The variables that have a value, with its text where it may be shown.
            pub in_force: Vec<(&'static str, String)>,
        }

        /// Every variable, in the order in which they are documented.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name, default: $default, example: $example, doc: concat!($($doc, "\n"),+),
        },)+];

        impl Config {
            /// Reads every variable from `source`, and tells all problems together.
            pub fn read(source: &Source) -> Result<Self, Problems> {
                let mut problems = source.problems();
                let mut variables = VARIABLES.iter();
                let mut next = || variables.next().expect("VARIABLES has an entry for every field");
                let tiers = Tiers::read(source, &mut problems);
                let shown = VARIABLES.iter().zip([$(<$type as Setting>::SHOWN),+]);
                let in_force = shown.filter_map(|(variable, shown)| source.in_force(variable, shown)).collect();
                let config = Self { $($field: source.get::<$type>(next(), &mut problems),)+ tiers, in_force };
                check::together(&config, &mut problems);
                if problems.all().is_empty() { Ok(config) } else { Err(problems) }
            }
        }
    };
}

settings! {
    /// Port of the service; 0 takes any free one.
    service_port: u16 = "SERVICE_PORT", default "5001", example "5001";
    /// Address to listen on. When unset: 127.0.0.1 without an API key, 0.0.0.0 with one.
    service_host: Option<IpAddr> = "SERVICE_HOST", default "", example "0.0.0.0";
    /// Port of a second listener that serves only /metrics. When unset, there is none.
    prometheus_port: Option<u16> = "PROMETHEUS_PORT", default "", example "8001";
    /// Where the service runs: development, test, staging or production. Production refuses to start without
    /// a strong API key or with an unencrypted database connection.
    environment: Environment = "ENVIRONMENT", default "development", example "production";
    /// The key that callers send as X-API-Key. Several, separated by commas, are all valid, so that one can be
    /// replaced without a gap. Without a key, authentication is off. Make one with: openssl rand -hex 32
    mlops_api_key: Vec<ApiKey> = "MLOPS_API_KEY", default "", example "your-generated-key-here";
    /// Issuer of bearer tokens (OpenID Connect), exactly as it calls itself. Its tokens work wherever a key does.
    oidc_issuer: Option<IssuerUrl> = "OIDC_ISSUER", default "", example "https://login.example.com/realms/main";
    /// What tokens must be for: one of these, separated by commas, must be in their "aud".
    oidc_audience: Vec<String> = "OIDC_AUDIENCE", default "", example "mlops-service";
    /// Where the issuer's keys are (a JWK Set), if its metadata shall not be asked. Without OIDC_ISSUER, tokens may
    /// name any issuer.
    jwks_url: Option<IssuerUrl> = "JWKS_URL", default "", example "https://login.example.com/realms/main/certs";
    /// The database: postgresql://… or sqlite:PATH. Postgres connections are encrypted (sslmode=require) unless
    /// the URL says otherwise; with sslmode=verify-full&sslrootcert=PATH the server is authenticated too.
    database_url: Database = "DATABASE_URL", default "sqlite:data/mlops.db", example "postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
    /// The same database for mlops-service migrate alone, as the role that owns its tables. When it is set, the service and
    /// all other commands change no tables, and DATABASE_URL may name a role that cannot; see migrations/roles.sql.
    migration_database_url: Option<PostgresUrl> = "MIGRATION_DATABASE_URL", default "", example "postgresql://OWNER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
    /// Connections to Postgres for reading, beside two for writing and, while old rows are deleted, two for that.
    database_connections: Bounded<1, 100> = "DATABASE_CONNECTIONS", default "4", example "4";
    /// How long an event may wait for Postgres before it goes into the spool, or is refused where there is none; 0.1s to 2.5s.
    store_timeout: Wait = "STORE_TIMEOUT", default "2s", example "2s";
    /// Folder for the spool: events that Postgres cannot take are kept there, on disk, until it can. off: they are refused.
    spool_dir: Limit<Folder> = "SPOOL_DIR", default "data/spool", example "/var/lib/mlops-service/spool";
    /// The most that the spool may hold, in MiB; when it is full, events are refused.
    spool_max_mb: Bounded<1, 65_536> = "SPOOL_MAX_MB", default "512", example "512";
    /// Time zone of the days in analytics, by its IANA name. Days that are already added up keep theirs.
    time_zone: Tz = "TIME_ZONE", default "UTC", example "Europe/Berlin";
    /// Days that events (rows of ai_metrics) are kept; their sums stay. off: for ever.
    retention_days: Limit<Bounded<1, 36_500>> = "RETENTION_DAYS", default "90", example "90";
    /// When each day what is older is deleted: HH:MM in TIME_ZONE.
    retention_at: TimeOfDay = "RETENTION_AT", default "03:00", example "03:00";
    /// Days that the receptionist app's messages and conversations (messages, chat_messages, conversations) are kept. off:
    /// they are never deleted.
    retention_chats_days: Limit<Bounded<1, 36_500>> = "RETENTION_CHATS_DAYS", default "off", example "365";
    /// Days that the receptionist app's appointments are kept. off: they are never deleted.
    retention_appointments_days: Limit<Bounded<1, 36_500>> = "RETENTION_APPOINTMENTS_DAYS", default "off", example "730";
    /// Days that the audit trail, requests that are done and consents that hold no more are kept; at least 31. off: for ever.
    retention_audit_days: Limit<Bounded<31, 36_500>> = "RETENTION_AUDIT_DAYS", default "730", example "730";
    /// Proxies whose X-Forwarded-For is believed: addresses or CIDRs, separated by commas.
    trusted_proxies: Vec<IpNet> = "TRUSTED_PROXIES", default "", example "10.0.0.0/8,192.0.2.7";
    /// Origins whose pages may call the service from a browser, separated by commas. When unset:
    /// http://localhost:3000 in development, none elsewhere.
    cors_allowed_origins: Option<Vec<Origin>> = "CORS_ALLOWED_ORIGINS", default "", example "https://app.example.com";
    /// The key under which persons are hashed wherever their plain e-mail address, phone number or id is not needed; at
    /// least 32 characters. Whoever changes it loses who a consent or an audit entry is about. When unset: a key that
    /// everybody knows, and in production none, so that the privacy routes that need it answer 503. Make one with:
    /// openssl rand -hex 32
    privacy_hash_key: Option<HashKey> = "PRIVACY_HASH_KEY", default "", example "your-generated-key-of-32-characters-or-more";
    /// true: without an API key (development) the privacy routes and GET /admin/audit are as open as the others. Otherwise
    /// they are refused then.
    allow_unauthenticated_privacy: bool = "ALLOW_UNAUTHENTICATED_PRIVACY", default "false", example "true";
    /// Quota of GET /health, per caller; off lifts it.
    rate_limit_health: Limit<Quota> = "RATE_LIMIT_HEALTH", default "100 per minute", example "100 per minute";
    /// Quota of GET /health/detailed, per caller; off lifts it.
    rate_limit_health_detailed: Limit<Quota> = "RATE_LIMIT_HEALTH_DETAILED", default "50 per minute", example "50 per minute";
    /// Quota of POST /track, per caller; off lifts it.
    rate_limit_track: Limit<Quota> = "RATE_LIMIT_TRACK", default "100 per hour", example "1000 per minute";
    /// Quota of GET /analytics/{business_id}, per caller; off lifts it.
    rate_limit_analytics: Limit<Quota> = "RATE_LIMIT_ANALYTICS", default "50 per hour", example "50 per hour";
    /// Quota of POST /refresh-metrics, per caller; off lifts it.
    rate_limit_refresh_metrics: Limit<Quota> = "RATE_LIMIT_REFRESH_METRICS", default "10 per hour", example "10 per hour";
    /// Quota of every limited route without one of its own, per caller; off lifts it.
    rate_limit_default: Limit<Quota> = "RATE_LIMIT_DEFAULT", default "200 per day;50 per hour", example "200 per day;50 per hour";
    /// What happens when a quota is used up: enforce refuses, shadow only counts what it would have refused.
    rate_limit_mode: Mode = "RATE_LIMIT_MODE", default "enforce", example "shadow";
    /// Redis or Valkey through which replicas share quotas, and which keeps them over restarts: redis://… or, encrypted
    /// and with the server's certificate checked, rediss://… (?sslrootcert=PATH for an authority of your own).
    redis_url: Option<RedisUrl> = "REDIS_URL", default "", example "rediss://:PASSWORD@HOST:6379";
    /// Quota of requests without a valid key or token, per client IP and across all protected routes; off lifts it.
    rate_limit_auth_failures: Limit<Quota> = "RATE_LIMIT_AUTH_FAILURES", default "20 per minute", example "20 per minute";
    /// Quota of POST /track for each key of the tier "free", in place of the route's; off lifts it. Any other TIER_NAME
    /// makes one more tier.
    tier_free: Limit<Quota> = "TIER_FREE", default "100 per day", example "100 per day";
    /// Quota of POST /track for each key of the tier "paid", in place of the route's; off lifts it.
    tier_paid: Limit<Quota> = "TIER_PAID", default "10000 per day", example "10000 per day";
    /// Requests a second that one client IP, or the holder of a key, may make before it is turned away whatever its
    /// quotas, with bursts of twice as many; off lifts it. The dashboard, /metrics and the probes are exempt.
    flood_limit_per_second: Limit<Bounded<1, 1_000_000>> = "FLOOD_LIMIT_PER_SECOND", default "200", example "200";
    /// Open connections; one more is answered 503 and closed.
    max_connections: Bounded<1, 65_536> = "MAX_CONNECTIONS", default "4096", example "4096";
    /// Requests of protected routes being answered at the same time; one more is answered 503.
    max_requests_in_flight: Bounded<1, 65_536> = "MAX_REQUESTS_IN_FLIGHT", default "2048", example "2048";
    /// Events waiting to be written; one more is answered 503.
    ingest_queue_size: Bounded<1, 65_536> = "INGEST_QUEUE_SIZE", default "8192", example "8192";
    /// Threads that answer requests and write events. When unset: one for every two cores.
    worker_threads: Option<Bounded<1, 1_024>> = "WORKER_THREADS", default "", example "2";
    /// Seconds between two readings of the totals, which brings in what other replicas wrote.
    metrics_refresh_seconds: Bounded<1, 3_600> = "METRICS_REFRESH_SECONDS", default "15", example "15";
    /// Businesses with label values of their own on /metrics; those that come later are one "other".
    metrics_max_businesses: Bounded<1, 100_000> = "METRICS_MAX_BUSINESSES", default "1000", example "1000";
    /// Seconds a stop may take, from the signal to the exit.
    shutdown_seconds: Bounded<1, 300> = "SHUTDOWN_SECONDS", default "10", example "10";
    /// true: an event is only counted, and its row not kept, unless the newest consent of its customer to "chat_storage"
    /// is granted; see POST /privacy/consents.
    consent_required: bool = "CONSENT_REQUIRED", default "false", example "true";
    /// Who answers letters about personal data, as the notice at /privacy tells: an e-mail address, a URL, or a text.
    privacy_contact: Option<Contact> = "PRIVACY_CONTACT", default "", example "privacy@example.com";
    /// A notice of your own for /privacy, in place of the service's: an HTML file with places for values, such as
    /// {{contact}}, which docs/privacy.md lists. It is read at start.
    privacy_notice_file: Option<NoticeFile> = "PRIVACY_NOTICE_FILE", default "", example "/etc/mlops-service/privacy.html";
    /// Form of the log: text or json. When unset: json in production, text elsewhere.
    log_format: Option<LogFormat> = "LOG_FORMAT", default "", example "json";
    /// What is logged, in the notation of Rust's tracing: a level, or target=level pairs.
    rust_log: String = "RUST_LOG", default "info,sqlx=warn,hyper=error", example "debug";
}

impl Config {
    /// Whether callers of protected routes need a key or a token.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.mlops_api_key.is_empty() || self.issuer().is_some()
    }

    /// See `worker_threads`. One for every core would keep waking each other up, and the cores are the database's and the
    /// kernel's as well.
    #[must_use]
    pub fn threads(&self) -> usize {
        let half = || available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        self.worker_threads.map_or_else(half, |threads| threads.get() as usize)
    }

    /// Whether there is any limit on how often callers may call.
    #[must_use]
    pub fn limits(&self) -> bool {
        self.all_limits().iter().any(|(_, is_on)| *is_on)
    }

    /// The limits on how often callers may call that are off, by the variables that say so.
    #[must_use]
    pub fn limits_off(&self) -> Vec<&'static str> {
        self.all_limits().iter().filter(|(_, is_on)| !is_on).map(|(name, _)| *name).collect()
    }

    /// Every limit on how often callers may call, and whether it is on.
    fn all_limits(&self) -> [(&'static str, bool); 8] {
        let is_on = |quota: &Limit<Quota>| quota.get().is_some();
        [
            ("RATE_LIMIT_HEALTH", is_on(&self.rate_limit_health)),
            ("RATE_LIMIT_HEALTH_DETAILED", is_on(&self.rate_limit_health_detailed)),
            ("RATE_LIMIT_TRACK", is_on(&self.rate_limit_track)),
            ("RATE_LIMIT_ANALYTICS", is_on(&self.rate_limit_analytics)),
            ("RATE_LIMIT_REFRESH_METRICS", is_on(&self.rate_limit_refresh_metrics)),
            ("RATE_LIMIT_DEFAULT", is_on(&self.rate_limit_default)),
            ("RATE_LIMIT_AUTH_FAILURES", is_on(&self.rate_limit_auth_failures)),
            ("FLOOD_LIMIT_PER_SECOND", self.flood_limit_per_second.get().is_some()),
        ]
    }

    /// The address to listen on. Without a key only this machine reaches the service, unless it is told otherwise.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        let default = if self.authenticates() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        self.service_host.unwrap_or(default.into())
    }

    /// The form of the log.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or(match self.environment {
            Environment::Production => LogFormat::Json,
            _ => LogFormat::Text,
        })
    }

    /// The origins that browsers may call from.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        match (&self.cors_allowed_origins, self.environment) {
            (Some(origins), _) => origins.clone(),
            (None, Environment::Development) => Origin::read("http://localhost:3000").into_iter().collect(),
            (None, _) => Vec::new(),
        }
    }
}

/// The text of `.env.example`: every variable with its meaning, none of them set but for an empty key.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of mlops-service. Copy this file to .env, remove the # in front of what you want to change,\n\
         # and restart the service. Variables of the environment win over this file. Never commit .env.\n",
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

/// `text` with `margin` in front of each line.
#[must_use]
pub fn indented(margin: &str, text: &str) -> String {
    text.lines().flat_map(|line| [margin, line, "\n"]).collect()
}
