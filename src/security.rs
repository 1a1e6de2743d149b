//! Security events, which are counted and logged with what an operator needs to investigate them.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use strum::VariantArray;

use crate::auth::Caller;
use crate::auth::key::KeyId;

/// The maximum number of lines logged per second and kind of event, so that attackers can neither fill the
/// disk nor crowd other kinds out of the log. All events are counted.
const MAX_LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum SecurityEvent {
    /// A protected route was called without a key or a token.
    AuthMissing,
    /// The credentials are invalid.
    AuthInvalid,
    /// The credentials have expired.
    AuthExpired,
    /// A valid key or token lacks the scope of a route.
    ScopeDenied,
    /// A valid key or token is bound to another business.
    BusinessDenied,
    /// A quota was exceeded.
    RateLimited,
    /// The flood limit was exceeded.
    FloodLimited,
    /// A key was created.
    KeyCreated,
    /// A key was given a new secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// A browser signed in.
    SignedIn,
    /// A browser signed out.
    SignedOut,
}

impl SecurityEvent {
    /// Returns the name under which it is counted and logged.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthMissing => "auth_missing",
            Self::AuthInvalid => "auth_invalid",
            Self::AuthExpired => "auth_expired",
            Self::ScopeDenied => "scope_denied",
            Self::BusinessDenied => "business_denied",
            Self::RateLimited => "rate_limited",
            Self::FloodLimited => "flood_limited",
            Self::KeyCreated => "key_created",
            Self::KeyRotated => "key_rotated",
            Self::KeyRevoked => "key_revoked",
            Self::SignedIn => "signed_in",
            Self::SignedOut => "signed_out",
        }
    }

    /// Returns whether a key was changed. Such events are always logged: only an authorised caller can cause
    /// many of them.
    const fn is_change(self) -> bool {
        matches!(self, Self::KeyCreated | Self::KeyRotated | Self::KeyRevoked)
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::AuthMissing => "missing API key",
            Self::AuthInvalid => "invalid API key",
            Self::AuthExpired => "expired API key",
            Self::ScopeDenied => "the key lacks the scope",
            Self::BusinessDenied => "the key is bound to another business",
            Self::RateLimited => "quota exceeded",
            Self::FloodLimited => "flood limit exceeded",
            Self::KeyCreated => "key created",
            Self::KeyRotated => "key rotated",
            Self::KeyRevoked => "key revoked",
            Self::SignedIn => "a browser signed in",
            Self::SignedOut => "a browser signed out",
        }
    }
}

/// A security event and the keys concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// What happened.
    pub event: SecurityEvent,
    /// Why it happened.
    pub reason: &'static str,
    /// The key that was presented or changed.
    pub key: Option<KeyId>,
    /// The caller who changed the key.
    pub by: Option<Caller>,
    /// How many times it happened.
    pub times: u64,
    /// Whether it is only counted, because the same event has been logged often enough.
    pub quiet: bool,
    /// Whether it would have been a rejection if quotas were enforced.
    pub shadow: bool,
}

impl Incident {
    /// Creates an incident about `key`, if there is one.
    #[must_use]
    pub const fn new(event: SecurityEvent, key: Option<KeyId>) -> Self {
        Self { event, reason: event.reason(), key, by: None, times: 1, quiet: false, shadow: false }
    }

    /// Creates an incident for a quota that was exceeded but is not enforced.
    #[must_use]
    pub const fn shadow() -> Self {
        let reason = "quota would be exceeded";
        Self { reason, shadow: true, ..Self::new(SecurityEvent::RateLimited, None) }
    }

    /// Logs the incident without a request, for the command line.
    pub fn log(self) {
        let at = Circumstances { request_id: "", audit_id: None, client_ip: "", route: "command line" };
        write(self, at, None);
    }

    /// Makes it one that happened this many times.
    #[must_use]
    pub const fn repeated(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Adds the caller and the presented key. If the incident already has a key, `caller` is who changed that
    /// one.
    pub const fn made_by(&mut self, caller: Caller, key: Option<KeyId>) {
        match self.key {
            None => self.key = key,
            Some(_) => self.by = Some(caller),
        }
    }
}

/// The request that caused an incident.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a, I> {
    /// Its id.
    pub request_id: &'a str,
    /// Its id in the audit trail, if that is another.
    pub audit_id: Option<&'a str>,
    /// The client address. No other log lines contain one.
    pub client_ip: I,
    /// The pattern of the route.
    pub route: &'a str,
}

/// The log of security events, with a separate budget for each kind.
#[derive(Debug, Default)]
pub struct SecurityLog([Budget; SecurityEvent::VARIANTS.len()]);

#[derive(Debug)]
struct Budget {
    limiter: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            limiter: RateLimiter::direct(Quota::per_second(MAX_LINES_PER_SECOND)),
            unlogged: AtomicU64::new(0),
        }
    }
}

impl SecurityLog {
    /// Logs an incident, unless too many of its kind were logged within the last second; a later line of the
    /// same kind reports how many were skipped.
    pub fn write<I: Display>(&self, incident: Incident, at: Circumstances<'_, I>) {
        let budget = &self.0[incident.event as usize];
        let fits = incident.event.is_change() || budget.limiter.check().is_ok();
        if incident.quiet || !fits {
            budget.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unlogged = Some(budget.unlogged.swap(0, Ordering::Relaxed)).filter(|unlogged| *unlogged > 0);
        write(incident, at, unlogged);
    }
}

fn write<I: Display>(incident: Incident, at: Circumstances<'_, I>, unlogged: Option<u64>) {
    let (event, reason) = (incident.event.name(), incident.reason);
    let times = Some(incident.times).filter(|times| *times > 1);
    let (key_id, by) = (incident.key.map(tracing::field::display), incident.by.map(tracing::field::display));
    let Circumstances { request_id, audit_id, client_ip, route } = at;
    let (request_id, client_ip) = (non_empty(&request_id), non_empty(&client_ip));
    tracing::warn!(
        target: "security", event, request_id, audit_id, client_ip, route, key_id, by, times, unlogged, reason,
        "{event}: {reason}"
    );
}

fn non_empty<T: Display>(what: &T) -> Option<String> {
    Some(what.to_string()).filter(|text| !text.is_empty())
}
