//! The caller a quota is counted for, and the client address. No I/O here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::key::KeyId;

/// The address of the client. IPv4-mapped IPv6 addresses are converted to IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The caller a quota is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The holder of the key of `MLOPS_API_KEY` with this fingerprint.
    Configured(u64),
    /// The holder of this named key.
    Named(KeyId),
    /// The subject of a token with this fingerprint.
    Token(u64),
    /// Callers without a valid key at this IPv4 address or in this IPv6 /64: a single host has 2^64 IPv6
    /// addresses.
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
    /// Returns the name of the caller in the audit trail, without an address and with nothing of a key but
    /// its public id.
    #[must_use]
    pub fn actor(self) -> String {
        match self {
            Self::Configured(_) => "service key".to_owned(),
            Self::Network(_) => "unauthenticated".to_owned(),
            Self::Named(_) | Self::Token(_) => self.to_string(),
        }
    }

    /// Returns the caller for requests without a valid key from `ip`.
    #[must_use]
    pub fn at(ip: ClientIp) -> Self {
        Self::Network(Self::network(ip))
    }

    /// Returns the IPv4 address or the IPv6 /64 of `ip`.
    #[must_use]
    pub fn network(ip: ClientIp) -> IpAddr {
        match ip.0 {
            IpAddr::V4(_) => ip.0,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let caller = |ip: &str| Caller::at(ClientIp(ip.parse::<IpAddr>().unwrap().to_canonical()));
        assert_eq!(caller("2001:db8:1:2::1"), caller("2001:db8:1:2:ffff::9"));
        assert_ne!(caller("2001:db8:1:2::1"), caller("2001:db8:1:3::1"));
        assert_eq!(caller("::ffff:192.0.2.1"), caller("192.0.2.1"));
        assert_ne!(caller("192.0.2.1"), caller("192.0.2.2"));
    }
}
