//! What can be told from the settings alone.

use super::finding::{Check, Finding};
use crate::config::{Config, Environment, Mode, Origin};

/// The checks of the settings.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    vec![
        cors(config),
        https(config),
        limits(config),
        hash_key(config),
        open_privacy(config),
        consent(config),
        contact(config),
    ]
}

fn cors(config: &Config) -> Finding {
    let check = Check::new("cors", "CORS_ALLOWED_ORIGINS");
    let origins = config.origins();
    let name_them = "name the origins of your pages in CORS_ALLOWED_ORIGINS";
    let plain = |origin: &&Origin| origin.as_str().starts_with("http:");
    match origins.as_slice() {
        [] => check.ok("no page of another origin may call the service"),
        some if some.iter().any(Origin::is_any) => {
            check.wrong("*: every page may call the service", name_them)
        }
        some => match some.iter().find(plain) {
            Some(plain) if config.environment == Environment::Production => {
                check.warning(format!("{} is not encrypted", plain.as_str()), name_them)
            }
            _ => check.ok(format!("{} named origins", some.len())),
        },
    }
}

fn https(config: &Config) -> Finding {
    let check = Check::new("https", "ENVIRONMENT, SERVICE_HOST and TRUSTED_PROXIES");
    if config.environment != Environment::Production {
        return check
            .not_applicable(format!("it is for production, and this is {}", config.environment.name()));
    }
    match (config.trusted_proxies.len(), config.host().is_loopback()) {
        (0, true) => check.ok("only this machine reaches the service: what serves HTTPS must be here too"),
        (0, false) => check.wrong(
            "callers reach the service itself, which speaks plain HTTP",
            "put a proxy that serves HTTPS in front (deploy/nginx.conf), and name it in TRUSTED_PROXIES",
        ),
        (proxies, _) => check.ok(format!("behind {proxies} trusted proxies, which are to serve HTTPS")),
    }
}

fn limits(config: &Config) -> Finding {
    let check = Check::new("limits", "RATE_LIMIT_*, FLOOD_LIMIT_PER_SECOND, TIER_*, REDIS_URL");
    let off = config.limits_off();
    let restore = "remove the lines that turn them off: each has a default";
    if !config.limits() {
        return check.wrong("all of them are off", restore);
    }
    if config.rate_limit_mode == Mode::Shadow {
        return check.wrong("RATE_LIMIT_MODE=shadow only counts", "set RATE_LIMIT_MODE=enforce");
    }
    if !off.is_empty() {
        return check.warning(format!("off: {}", off.join(", ")), restore);
    }
    match config.redis_url {
        Some(_) => check.ok("all on, shared through Redis"),
        None => check
            .ok("all on, counted by each replica for itself; several replicas need REDIS_URL to share them"),
    }
}

fn hash_key(config: &Config) -> Finding {
    let check = Check::new("privacy-hash-key", "PRIVACY_HASH_KEY");
    match config.privacy_hash_key {
        Some(_) => check.ok("set, and long enough"),
        None => check.wrong_if(
            config.environment == Environment::Production,
            match config.environment {
                Environment::Production => "not set: privacy routes answer 503",
                _ => "not set: a key that everybody knows is used",
            },
            "make one with: openssl rand -hex 32; and keep it, for who changes it loses who an entry is about",
        ),
    }
}

fn open_privacy(config: &Config) -> Finding {
    let check = Check::new("privacy-access", "ALLOW_UNAUTHENTICATED_PRIVACY");
    match config.allow_unauthenticated_privacy {
        false => check.ok("the privacy desk always asks for a key"),
        true => check.wrong_if(
            config.environment == Environment::Production,
            "without an API key everybody may read and erase customers' data",
            "remove ALLOW_UNAUTHENTICATED_PRIVACY",
        ),
    }
}

/// Consent is a question of law: both answers are well.
fn consent(config: &Config) -> Finding {
    let check = Check::new("consent", "CONSENT_REQUIRED");
    match config.consent_required {
        true => check.ok("the rows of events are kept only with consent"),
        false => {
            check.ok("rows are kept without it; set CONSENT_REQUIRED=true where consent is your lawful basis")
        }
    }
}

fn contact(config: &Config) -> Finding {
    let check =
        Check::new("privacy-contact", "PRIVACY_CONTACT and PRIVACY_NOTICE_FILE, for the notice at /privacy");
    match (&config.privacy_contact, &config.privacy_notice_file) {
        (None, None) => check.warning(
            "the notice names nobody whom customers can turn to",
            "set PRIVACY_CONTACT to an address that somebody reads",
        ),
        (_, Some(_)) => check.ok("your own notice"),
        (Some(_), None) => check.ok("the notice names a contact"),
    }
}
