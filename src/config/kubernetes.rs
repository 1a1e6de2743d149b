//! Variables that Kubernetes sets in every container of a namespace, for each of its services. Those of a service called
//! `prometheus` or `tier-free` have names of our settings.
//!
//! Source: <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::collections::HashMap;

/// Returns the prefixes of the variables of all services.
pub(super) fn services(variables: &HashMap<String, String>) -> Vec<String> {
    let prefixes = variables.keys().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let is_service = |prefix: &&str| variables.contains_key(&format!("{prefix}_SERVICE_PORT"));
    prefixes.filter(is_service).map(ToOwned::to_owned).collect()
}

/// Whether a variable is one of a service.
pub(super) fn is_link(name: &str, value: &str, services: &[String]) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_of = |service: &String| {
        let rest = name.strip_prefix(service.as_str());
        rest.is_some_and(|rest| {
            ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| rest.starts_with(part))
        })
    };
    (is_address && name.contains("_PORT")) || services.iter().any(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_service_are_known_by_its_host_and_port() {
        let of = |pairs: &[(&str, &str)]| {
            let variables =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let services = services(&variables);
            let is_link = |(name, value): &(&str, &str)| is_link(name, value, &services);
            pairs.iter().filter(|pair| is_link(pair)).map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("PROMETHEUS_PORT", "tcp://10.96.0.7:9090")]), ["PROMETHEUS_PORT"]);
        assert_eq!(of(&[("PROMETHEUS_PORT", "9090"), ("TIER_FREE", "100 per day")]), [""; 0]);
        // The variables of a pod's own specification have precedence over those of services.
        let own = [
            ("PROMETHEUS_SERVICE_HOST", "h"),
            ("PROMETHEUS_SERVICE_PORT", "80"),
            ("PROMETHEUS_PORT", "8001"),
        ];
        assert!(!of(&own).contains(&"PROMETHEUS_PORT".to_owned()));
        let tier = [
            ("TIER_FREE_SERVICE_HOST", "10.96.0.8"),
            ("TIER_FREE_SERVICE_PORT", "80"),
            ("TIER_FREE_SERVICE_PORT_HTTP", "80"),
            ("TIER_FREE_PORT_80_TCP_PROTO", "tcp"),
        ];
        assert_eq!(of(&tier).len(), 4);
    }
}
