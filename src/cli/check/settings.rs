//! Checks of the settings alone.

use super::finding::{Check, Finding};
use super::reach;
use crate::config::{Config, Effect, Environment, Mode, Origin, Problem};

/// Runs the checks of the settings.
pub(super) fn checks(config: &Config) -> Vec<Finding> {
    vec![
        cors(config),
        https(config),
        proxies(config),
        limits(config),
        hash_key(config),
        privacy_access(config),
        consent(config),
        controller(config),
        contact(config),
    ]
}

fn cors(config: &Config) -> Finding {
    let check = Check::new("cors", "CORS_ALLOWED_ORIGINS");
    let origins = config.origins();
    let fix = "list the origins of your pages in CORS_ALLOWED_ORIGINS";
    let plain = |origin: &&Origin| origin.as_str().starts_with("http:");
    match origins.as_slice() {
        [] => check.ok("no cross-origin access"),
        some if some.iter().any(Origin::is_any) => check.wrong("*: any web page may call the service", fix),
        some => match some.iter().find(plain) {
            Some(plain) if config.environment == Environment::Production => {
                check.warning(format!("{} does not use HTTPS", plain.as_str()), fix)
            }
            _ => check.ok(format!("{} origins allowed", some.len())),
        },
    }
}

fn https(config: &Config) -> Finding {
    let check = Check::new("https", "ENVIRONMENT, SERVICE_HOST and TRUSTED_PROXIES");
    if config.environment != Environment::Production {
        return check.not_applicable(format!("applies to production; this is {}", config.environment.name()));
    }
    match (config.trusted_proxies.len(), config.host().is_loopback()) {
        (0, true) => check.ok("only reachable from this machine: the HTTPS proxy must run here too"),
        (0, false) => check.wrong(
            "callers connect directly, over plain HTTP",
            "put an HTTPS proxy in front (deploy/nginx.conf) and list it in TRUSTED_PROXIES",
        ),
        (proxies, _) => check.ok(format!("behind {proxies} trusted proxies, which must terminate HTTPS")),
    }
}

/// Returns the finding of a setting that cannot be used, without which nothing can be checked.
pub(super) fn unusable(problem: &Problem) -> Finding {
    let fix = match problem.example {
        "" => "see .env.example".to_owned(),
        example => format!("for example: {}={example}", problem.name),
    };
    let check = Check::new("settings", "the settings");
    Finding { subject: problem.name.clone().into(), ..check.wrong(problem.what.clone(), fix) }
}

fn proxies(config: &Config) -> Finding {
    let check = Check::new("trusted-proxies", "TRUSTED_PROXIES");
    let wide = reach::too_wide(&config.trusted_proxies);
    match (config.trusted_proxies.len(), wide.is_empty()) {
        (0, _) => check.not_applicable("not set: X-Forwarded-For is ignored"),
        (_, false) => check.wrong(
            format!(
                "{} covers a large part of the internet: whoever calls from there can give any address as theirs",
                wide.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
            "list the addresses of your own proxies only",
        ),
        (proxies, true) => check.ok(format!("{proxies} addresses or ranges, none of them large parts of the internet")),
    }
}

fn limits(config: &Config) -> Finding {
    let check = Check::new("limits", "RATE_LIMIT_*, FLOOD_LIMIT_PER_SECOND, TIER_*, REDIS_URL");
    let restore = "remove the lines that disable or raise them: every limit has a default";
    let routes = config.all_limits();
    if routes.iter().all(|(_, effect)| *effect != Effect::On) {
        return check.wrong("all limits are off, or so high that they limit nobody", restore);
    }
    if config.rate_limit_mode == Mode::Shadow {
        return check.wrong("RATE_LIMIT_MODE=shadow counts without enforcing", "set RATE_LIMIT_MODE=enforce");
    }
    let tiers = config.tiers.quotas().map(|(name, quota)| (name, Effect::of(quota)));
    let all: Vec<(String, Effect)> =
        routes.into_iter().map(|(name, effect)| (name.to_owned(), effect)).chain(tiers).collect();
    let those = |wanted: Effect| {
        let names = all.iter().filter(|(_, effect)| *effect == wanted).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (off, void) = (those(Effect::Off), those(Effect::LimitsNobody));
    if !void.is_empty() {
        return check.wrong(format!("so high that it limits nobody: {void}"), restore);
    }
    if !off.is_empty() {
        return check.warning(format!("off: {off}"), restore);
    }
    match config.redis_url {
        Some(_) => check.ok("all on, shared through Redis"),
        None => check.ok("all on, counted per replica; several replicas need REDIS_URL to share them"),
    }
}

fn hash_key(config: &Config) -> Finding {
    let check = Check::new("privacy-hash-key", "PRIVACY_HASH_KEY");
    if let Some((_, weakness)) = config.weak_secrets().iter().find(|(name, _)| *name == "PRIVACY_HASH_KEY") {
        return check.wrong(format!("it {weakness}"), "make one with: openssl rand -hex 32");
    }
    match config.privacy_hash_key {
        Some(_) => check.ok("set, and long enough"),
        None => check.wrong_if(
            config.environment == Environment::Production,
            match config.environment {
                Environment::Production => "not set: privacy routes return 503",
                _ => "not set: a publicly known default key is used",
            },
            "make one with: openssl rand -hex 32; keep it safe, because a new key cannot be matched to existing entries",
        ),
    }
}

fn privacy_access(config: &Config) -> Finding {
    let check = Check::new("privacy-access", "ALLOW_UNAUTHENTICATED_PRIVACY");
    match config.allow_unauthenticated_privacy {
        false => check.ok("privacy routes always require a key"),
        true => check.wrong_if(
            config.environment == Environment::Production,
            "without an API key anyone can read and erase customers' data",
            "remove ALLOW_UNAUTHENTICATED_PRIVACY",
        ),
    }
}

/// Whether consent is needed is a legal question: either setting is fine.
fn consent(config: &Config) -> Finding {
    let check = Check::new("consent", "CONSENT_REQUIRED");
    match config.consent_required {
        true => check.ok("event rows are kept only with consent"),
        false => check.ok(
            "event rows are kept without consent; set CONSENT_REQUIRED=true if consent is your lawful basis",
        ),
    }
}

fn controller(config: &Config) -> Finding {
    let check = Check::new("privacy-controller", "CONTROLLER_NAME, for the notice at /privacy and exports");
    match config.controller_name {
        Some(_) => check.ok("they name the controller"),
        None => check.warning(
            "they do not say who is responsible",
            "set CONTROLLER_NAME to the name of the business, and CONTROLLER_ADDRESS to its address",
        ),
    }
}

fn contact(config: &Config) -> Finding {
    let check = Check::new("privacy-contact", "PRIVACY_CONTACT, for the notice at /privacy and exports");
    match config.privacy_contact {
        Some(_) => check.ok("they name a contact"),
        None => check
            .warning("they do not name a contact", "set PRIVACY_CONTACT to an address that someone monitors"),
    }
}
