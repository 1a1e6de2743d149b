//! Authentication and authorisation: who makes a request, and what they may do.
//!
//! [`Authenticator`] recognises a [`Principal`] by a key of `MLOPS_API_KEY` ([`ConfiguredKeys`]), a named key
//! ([`KeyCache`]) or a bearer token ([`TokenVerifier`]). [`key`] and [`Caller`] do no I/O.

mod authenticator;
mod caller;
mod configured_keys;
mod jwks;
mod jwt;
pub mod key;
mod key_admin;
mod key_cache;
mod principal;
mod proxies;
mod session;

pub use authenticator::{Authenticator, Credentials, Denied, Unknown};
pub use caller::{Caller, ClientIp};
pub use configured_keys::ConfiguredKeys;
pub use jwt::{InvalidToken, Token, TokenVerifier};
pub use key_admin::{Authority, DEFAULT_GRACE, KeyError, NewKey, Revocation, duration_shape};
pub use key_cache::{CachedKey, KeyCache, Rejected};
pub use principal::Principal;
pub use proxies::Proxies;
pub use session::{NoSession, Sessions};
