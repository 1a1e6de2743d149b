//! The issuer of bearer tokens.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Config, Environment, Problems, Setting};

/// The URL of an issuer or of its keys.
#[derive(Debug, Clone)]
pub struct IssuerUrl {
    /// The parsed URL.
    pub url: Url,
    /// Its original text, which the `iss` claim must equal.
    pub text: String,
}

impl IssuerUrl {
    /// Returns whether responses cannot be tampered with in transit: the URL is `https`, or its host is this
    /// machine.
    fn is_safe(&self) -> bool {
        let is_this_machine = match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            None => false,
        };
        self.url.scheme() == "https" || is_this_machine
    }
}

impl Setting for IssuerUrl {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.fragment().is_none())
            // The URL is logged.
            .filter(|url| url.username().is_empty() && url.password().is_none());
        let url = url.ok_or("must be an https:// URL without a user name or password")?;
        Ok(Self { url, text: text.to_owned() })
    }
}

/// Where the keys of an issuer are found.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// At this URL.
    KeySet(IssuerUrl),
    /// At the URL in the metadata of this issuer.
    Issuer(IssuerUrl),
}

/// The issuer whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The required `iss` of tokens; `None` accepts any.
    pub name: Option<String>,
    /// The accepted audiences; the `aud` of a token must contain one of them.
    pub audience: Vec<String>,
    /// Where its keys are found.
    pub keys: KeySource,
}

impl Config {
    /// Returns the issuer whose tokens are accepted; `None` if tokens are not accepted.
    #[must_use]
    pub fn issuer(&self) -> Option<Issuer> {
        let keys = match (&self.jwks_url, &self.oidc_issuer) {
            (Some(keys), _) => KeySource::KeySet(keys.clone()),
            (None, Some(issuer)) => KeySource::Issuer(issuer.clone()),
            (None, None) => return None,
        };
        let name = self.oidc_issuer.as_ref().map(|issuer| issuer.text.clone());
        Some(Issuer { name, audience: self.oidc_audience.clone(), keys })
    }
}

/// Checks the settings of tokens as a whole.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let issues = config.oidc_issuer.is_some() || config.jwks_url.is_some();
    if issues && config.oidc_audience.is_empty() {
        problems.add(
            "OIDC_AUDIENCE",
            "must be set with OIDC_ISSUER or JWKS_URL, so that tokens for other services are rejected",
            "mlops-service",
        );
    }
    if !issues && !config.oidc_audience.is_empty() {
        problems.add("OIDC_AUDIENCE", "needs OIDC_ISSUER or JWKS_URL", "");
    }
    let addresses = [("OIDC_ISSUER", &config.oidc_issuer), ("JWKS_URL", &config.jwks_url)];
    for (name, address) in addresses {
        let unsafe_address = address.as_ref().is_some_and(|address| !address.is_safe());
        if unsafe_address && config.environment == Environment::Production {
            problems.add(
                name,
                "must start with https:// in production",
                "https://login.example.com/realms/main",
            );
        }
    }
}
