//! Who makes a request.

mod authenticator;
mod client_ip;
mod flood;
mod key_set;
mod keyring;
mod keys;
mod manage;
mod principal;
mod tokens;
mod trouble;

pub use authenticator::{Authenticator, Denied, Presented, Unknown};
pub use client_ip::{ClientIp, Proxies};
pub use flood::{ByCaller, Flood, FloodConfig};
pub use keyring::{Held, KeyRing, Rejected};
pub use keys::Keys;
pub use manage::{DEFAULT_GRACE, KeyError, Wish};
pub use principal::Principal;
pub use tokens::{BadToken, Token, Tokens};
pub(crate) use trouble::Trouble;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::key::KeyId;

/// Who a quota is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The holder of the key of `MLOPS_API_KEY` with this fingerprint.
    Configured(u64),
    /// The holder of this named key.
    Named(KeyId),
    /// Whoever a token with this fingerprint was issued to.
    Token(u64),
    /// Whoever calls from this IPv4 address, or from this /64 of IPv6: a single host has 2^64 addresses of its own.
    Network(IpAddr),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(fingerprint) => write!(f, "configured:{fingerprint:016x}"),
            Self::Named(id) => write!(f, "key:{id}"),
            Self::Token(fingerprint) => write!(f, "token:{fingerprint:016x}"),
            Self::Network(address) => write!(f, "ip:{address}"),
        }
    }
}

impl Caller {
    /// What the audit trail calls it: by no address, and by nothing of a key but its public id.
    #[must_use]
    pub fn actor(self) -> String {
        match self {
            Self::Configured(_) => "service key".to_owned(),
            Self::Network(_) => "nobody known".to_owned(),
            Self::Named(_) | Self::Token(_) => self.to_string(),
        }
    }

    /// The caller behind `ip`, for requests without a valid key.
    #[must_use]
    pub fn at(ip: ClientIp) -> Self {
        Self::Network(match ip.0 {
            IpAddr::V4(_) => ip.0,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}
