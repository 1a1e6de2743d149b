//! How much of the internet address ranges cover.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The number of public IPv4 addresses beyond which ranges are too wide: that of a `/10`, a thousandth of all. The ranges of any one
/// content delivery network are fewer.
const MAX_IPV4: u128 = 1 << (32 - 10);

/// The same for IPv6: the addresses of a `/20`.
const MAX_IPV6: u128 = 1 << (128 - 20);

/// Ranges whose addresses nobody can call from over the internet: private, shared, link-local and loopback ones.
const NOT_PUBLIC: [&str; 10] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
    "::/128",
];

/// Returns the ranges that together cover a large part of the internet, those of one family of addresses or of both; none if they
/// do not.
pub(super) fn too_wide(ranges: &[IpNet]) -> Vec<IpNet> {
    let hidden: Vec<IpNet> = NOT_PUBLIC.iter().filter_map(|range| range.parse().ok()).collect();
    let mapped: Option<Ipv6Net> = "::ffff:0:0/96".parse().ok();
    let public: Vec<IpNet> = ranges
        .iter()
        .filter(|range| !hidden.iter().any(|hidden| hidden.contains(*range)))
        // Callers are compared by their IPv4 address: ranges of mapped ones contain none.
        .filter(
            |range| !matches!((range, mapped), (IpNet::V6(range), Some(mapped)) if mapped.contains(range)),
        )
        .copied()
        .collect();
    // Ranges that overlap count once.
    let (mut v4, mut v6) = (0, 0);
    for range in IpNet::aggregate(&public) {
        match range {
            IpNet::V4(range) => v4 += 1_u128 << (Ipv4Net::max_prefix_len(&range) - range.prefix_len()),
            IpNet::V6(range) => v6 = u128::saturating_add(v6, size(&range)),
        }
    }
    let is_wide = |range: &IpNet| match range {
        IpNet::V4(_) => v4 > MAX_IPV4,
        IpNet::V6(_) => v6 > MAX_IPV6,
    };
    public.into_iter().filter(is_wide).collect()
}

/// Returns the number of addresses in a range, at most the greatest number there is.
fn size(range: &Ipv6Net) -> u128 {
    1_u128.checked_shl((range.max_prefix_len() - range.prefix_len()).into()).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(ranges: &str) -> String {
        let ranges: Vec<IpNet> = ranges.split(' ').map(|range| range.parse().unwrap()).collect();
        too_wide(&ranges).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn large_parts_of_the_internet_are_told_from_proxies() {
        for ranges in [
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1 128.0.0.0/1",
            "2000::/3",
            "8.0.0.0/7",
            "44.0.0.0/10 45.0.0.0/12",
            "2001::/16",
        ] {
            assert_eq!(wide(ranges), ranges);
        }
        assert_eq!(wide("10.0.0.0/8 0.0.0.0/2 ::1/128"), "0.0.0.0/2");
        let cloudflare = "173.245.48.0/20 103.21.244.0/22 141.101.64.0/18 108.162.192.0/18 162.158.0.0/15 104.16.0.0/13 \
                          104.24.0.0/14 172.64.0.0/13 2400:cb00::/32 2606:4700::/32 2a06:98c0::/29";
        for ranges in [
            "10.0.0.0/8",
            "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.1/32",
            "fd00::/8",
            "fc00::/7 fe80::/10 ::1/128",
            "203.0.113.7/32 2001:db8::7/128",
            "44.0.0.0/10 44.0.0.0/10 44.32.0.0/11",
            cloudflare,
        ] {
            assert_eq!(wide(ranges), "");
        }
    }
}
