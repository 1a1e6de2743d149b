//! Security events: each is counted, and logged with what an operator needs to follow it up.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::auth::Caller;
use crate::auth::key::KeyId;

/// Lines a second that are logged at most of one kind of event. Attackers must not fill the disk, nor keep one kind out of
/// the log with another; all events are counted.
const MAX_LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityEvent {
    /// A protected route was called without a key or a token.
    AuthMissing,
    /// What was presented is not valid.
    AuthInvalid,
    /// What was presented is not valid any more.
    AuthExpired,
    /// A valid key or token lacks the scope of a route.
    ScopeDenied,
    /// A valid key or token is bound to another business.
    BusinessDenied,
    /// A quota was used up.
    RateLimited,
    /// A client ran into the flood limit.
    FloodLimited,
    /// A key was made.
    KeyCreated,
    /// A key was given a new secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
}

impl SecurityEvent {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::AuthMissing,
        Self::AuthInvalid,
        Self::AuthExpired,
        Self::ScopeDenied,
        Self::BusinessDenied,
        Self::RateLimited,
        Self::FloodLimited,
        Self::KeyCreated,
        Self::KeyRotated,
        Self::KeyRevoked,
    ];

    /// The name under which it is counted and logged.
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
        }
    }

    /// Whether somebody changed a key, which is always logged: only who may do so can cause many of these.
    const fn is_change(self) -> bool {
        matches!(self, Self::KeyCreated | Self::KeyRotated | Self::KeyRevoked)
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::AuthMissing => "no API key",
            Self::AuthInvalid => "invalid API key",
            Self::AuthExpired => "expired API key",
            Self::ScopeDenied => "the key lacks the scope",
            Self::BusinessDenied => "the key is bound to another business",
            Self::RateLimited => "a quota is used up",
            Self::FloodLimited => "too many requests a second",
            Self::KeyCreated => "a key was created",
            Self::KeyRotated => "a key was rotated",
            Self::KeyRevoked => "a key was revoked",
        }
    }
}

/// A security event and the keys it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// What happened.
    pub event: SecurityEvent,
    /// What makes it one.
    pub reason: &'static str,
    /// The key that was presented or changed.
    pub key: Option<KeyId>,
    /// Who changed the key.
    pub by: Option<Caller>,
    /// Whether it is counted only, because the same was logged often enough.
    pub quiet: bool,
    /// Whether it would have been a refusal, were quotas enforced.
    pub shadow: bool,
}

impl Incident {
    /// An incident with whatever key.
    #[must_use]
    pub const fn new(event: SecurityEvent, key: Option<KeyId>) -> Self {
        Self { event, reason: event.reason(), key, by: None, quiet: false, shadow: false }
    }

    /// A quota that is used up and not enforced.
    #[must_use]
    pub const fn shadow() -> Self {
        let reason = "a quota would be used up";
        Self { reason, shadow: true, ..Self::new(SecurityEvent::RateLimited, None) }
    }

    /// Logs it without a request, as the command line does.
    pub fn log(self) {
        write(self, Circumstances { request_id: "", client_ip: "", route: "command line" }, None);
    }

    /// Fills in who made the request, and the key that was presented.
    pub const fn made_by(&mut self, caller: Caller, key: Option<KeyId>) {
        match self.key {
            None => self.key = key,
            Some(_) => self.by = Some(caller),
        }
    }
}

/// The request that an incident came with.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a, I> {
    /// Its id.
    pub request_id: &'a str,
    /// The address of the client. Security events are the only lines that name one.
    pub client_ip: I,
    /// The pattern of its route.
    pub route: &'a str,
}

/// The log of security events; each kind has a share of its own.
#[derive(Debug, Default)]
pub struct SecurityLog([Share; SecurityEvent::ALL.len()]);

#[derive(Debug)]
struct Share {
    budget: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            budget: RateLimiter::direct(Quota::per_second(MAX_LINES_PER_SECOND)),
            unlogged: AtomicU64::new(0),
        }
    }
}

impl SecurityLog {
    /// Logs an incident, unless too many of its kind were logged within the last second; a later line of the same kind
    /// tells how many were not.
    pub fn write<I: Display>(&self, incident: Incident, at: Circumstances<'_, I>) {
        let share = &self.0[incident.event as usize];
        let fits = incident.event.is_change() || share.budget.check().is_ok();
        if incident.quiet || !fits {
            share.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unlogged = Some(share.unlogged.swap(0, Ordering::Relaxed)).filter(|unlogged| *unlogged > 0);
        write(incident, at, unlogged);
    }
}

fn write<I: Display>(incident: Incident, at: Circumstances<'_, I>, unlogged: Option<u64>) {
    let (event, reason) = (incident.event.name(), incident.reason);
    let (key_id, by) = (incident.key.map(tracing::field::display), incident.by.map(tracing::field::display));
    let Circumstances { request_id, client_ip, route } = at;
    let (request_id, client_ip) = (said(&request_id), said(&client_ip));
    tracing::warn!(
        target: "security", event, request_id, client_ip, route, key_id, by, unlogged, reason,
        "{event}: {reason}"
    );
}

fn said<T: Display>(what: &T) -> Option<String> {
    Some(what.to_string()).filter(|text| !text.is_empty())
}
