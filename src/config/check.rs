//! Checks that involve more than one setting.

use tracing_subscriber::EnvFilter;

use super::{ApiKey, Config, Database, Environment, ImportFrom, Problems, Tls, issuer, prices};

/// The minimum length of an API key in production, in characters.
pub const MIN_PRODUCTION_KEY_CHARS: usize = 32;

const KEY_EXAMPLE: &str = "your-generated-key-here";
const HASH_KEY_EXAMPLE: &str = "your-generated-key-of-32-characters-or-more";

const MAKE_A_KEY: &str = "make one with: openssl rand -hex 32";

/// Adds the problems with `config` as a whole, except for variables that already have one.
pub(super) fn together(config: &Config, problems: &mut Problems) {
    let mut found = Problems::default();
    check_log_filter(config, &mut found);
    check_ports(config, &mut found);
    check_origins(config, &mut found);
    check_other_urls(config, &mut found);
    issuer::check(config, &mut found);
    prices::check(config, &mut found);
    if config.environment == Environment::Production {
        check_production_keys(config, &mut found);
        check_production_secrets(config, &mut found);
        check_production_tls(config, &mut found);
        check_production_consent(config, &mut found);
    }
    problems.add_new(found);
}

fn check_log_filter(config: &Config, problems: &mut Problems) {
    if EnvFilter::builder().parse(&config.rust_log).is_err() {
        problems.add("RUST_LOG", "must be a level such as info, or target=level pairs", "info,sqlx=warn");
    }
}

fn check_ports(config: &Config, problems: &mut Problems) {
    if config.service_port != 0 && config.prometheus_port == Some(config.service_port) {
        problems.add("PROMETHEUS_PORT", "must differ from SERVICE_PORT", "8001");
    }
}

fn check_origins(config: &Config, problems: &mut Problems) {
    let origins = config.origins();
    if origins.len() > 1 && origins.iter().any(super::Origin::is_any) {
        problems.add(
            "CORS_ALLOWED_ORIGINS",
            "must be either * or a list of origins",
            "https://app.example.com",
        );
    }
}

fn check_other_urls(config: &Config, problems: &mut Problems) {
    if matches!(config.database_url, Database::Postgres(_)) {
        return;
    }
    for (name, url) in config.other_urls() {
        if url.is_some() {
            problems.add(name, "must be unset unless DATABASE_URL is a Postgres URL", "");
        }
    }
}

fn check_production_keys(config: &Config, problems: &mut Problems) {
    let example = KEY_EXAMPLE;
    if config.mlops_api_key.is_empty() {
        problems.add("MLOPS_API_KEY", format!("must be set in production; {MAKE_A_KEY}"), example);
    }
    if config.mlops_api_key.iter().any(is_short) {
        let what = format!(
            "must have keys of at least {MIN_PRODUCTION_KEY_CHARS} characters in production; {MAKE_A_KEY}"
        );
        problems.add("MLOPS_API_KEY", what, example);
    }
}

fn is_short(key: &ApiKey) -> bool {
    key.expose().len() < MIN_PRODUCTION_KEY_CHARS
}

fn check_production_secrets(config: &Config, problems: &mut Problems) {
    for (name, weakness) in config.weak_secrets() {
        if name == "MLOPS_API_KEY" && config.mlops_api_key.iter().any(is_short) {
            continue;
        }
        let example = if name == "MLOPS_API_KEY" { KEY_EXAMPLE } else { HASH_KEY_EXAMPLE };
        problems.add(name, format!("{weakness}, which is not allowed in production; {MAKE_A_KEY}"), example);
    }
}

fn check_production_tls(config: &Config, problems: &mut Problems) {
    let serving = match &config.database_url {
        Database::Postgres(url) => Some(("DATABASE_URL", url)),
        Database::Sqlite(_) => None,
    };
    let others = config.other_urls().into_iter().filter_map(|(name, url)| Some((name, url?)));
    let importing = match &config.import_from {
        Some(ImportFrom::Postgres(url)) => Some(("IMPORT_FROM", url)),
        _ => None,
    };
    for (name, url) in serving.into_iter().chain(others).chain(importing) {
        let Tls::Optional(mode) = url.tls else { continue };
        problems.add(
            name,
            format!(
                "has sslmode={mode}, which is not allowed in production; use sslmode=verify-full, or at least require"
            ),
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=/path/to/ca.pem",
        );
    }
}

/// Without the key, consents can be neither recorded nor looked up.
fn check_production_consent(config: &Config, problems: &mut Problems) {
    if config.consent_required && config.privacy_hash_key.is_none() {
        let what = format!("must be set in production with CONSENT_REQUIRED=true; {MAKE_A_KEY}");
        problems.add("PRIVACY_HASH_KEY", what, HASH_KEY_EXAMPLE);
    }
}
