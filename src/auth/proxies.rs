//! The client address of a request, behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::ClientIp;

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Creates the set of proxies at these addresses.
    #[must_use]
    pub const fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    /// Returns the client behind `peer`: the peer itself, unless it is a trusted proxy; then the right-most
    /// address of `forwarded` (the `X-Forwarded-For` lines, in order) that is not trusted. Entries to the
    /// left of that address, or of one that cannot be parsed, may be forged.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> ClientIp {
        let mut client = peer.to_canonical();
        let mut hops = forwarded.rev().flat_map(|line| line.rsplit(','));
        while self.trusts(client) {
            match hops.next().and_then(address) {
                Some(hop) => client = hop.to_canonical(),
                None => break,
            }
        }
        ClientIp(client)
    }

    /// Returns whether `ip` is one of them.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&ip))
    }
}

/// Parses an entry of `X-Forwarded-For`: an address, with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::new(Vec::read(trusted).unwrap());
        proxies.client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let trusted = "10.0.0.0/8, 2001:db8::1";
        assert_eq!(client(trusted, "10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(trusted, "2001:db8::1", &["6.6.6.6", "203.0.113.9:4711,10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(trusted, "10.0.0.1", &["[2001:db8::9]:80"]), "2001:db8::9");
    }

    #[test]
    fn entries_left_of_a_malformed_one_are_ignored() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }
}
