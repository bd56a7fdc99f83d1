//! Settings that are allowed and all the same dangerous, together or where the node stands.

use std::net::SocketAddr;

use super::Finding;
use crate::config::{Config, Profile, StoreKind};

/// Looks at the settings.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_open = !config.listen.ip().is_loopback();
    let is_production = config.profile == Profile::Production;
    if is_open && !is_production {
        findings.push(Finding::warning(
            "settings.profile",
            format!("the development profile listens on {}, where others reach it", config.listen),
            "people can make money there: set `profile` to `production`, or listen on 127.0.0.1",
        ));
    }
    if is_open && config.edge.listener.trusted_proxies.is_empty() {
        findings.push(Finding::warning(
            "settings.proxies",
            "requests from anywhere come without TLS, and no proxy is named that ends it",
            "put a proxy that speaks TLS in front, and name it in `edge.listener.trusted_proxies`",
        ));
    }
    if config.ledger.accept_clock || config.rooms.accept_clock {
        findings.push(Finding::warning(
            "settings.accept_clock",
            "shards are opened whatever the clock says",
            "take `ledger.accept_clock`, `rooms.accept_clock` and --accept-clock out once the store is open",
        ));
    }
    if is_production && config.storage.kind == StoreKind::Cql {
        findings.extend(cql(config));
    }
    if findings.is_empty() {
        findings.push(Finding::fine("settings", "nothing dangerous is set"));
    }
    findings
}

fn cql(config: &Config) -> Vec<Finding> {
    let cql = &config.storage.cql;
    let is_near = |node: &String| node.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let mut findings = Vec::new();
    if cql.tls_certificates.is_none() && !cql.nodes.iter().all(is_near) {
        findings.push(Finding::warning(
            "settings.cql_tls",
            "what goes to the store on other machines is not encrypted",
            "set `storage.cql.tls_certificates`",
        ));
    }
    if cql.user.is_none() {
        findings.push(Finding::warning(
            "settings.cql_user",
            "the store is used by nobody in particular",
            "make a user for the nodes in the store, and set `storage.cql.user` and `password`",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dangerous_is_named() {
        let found = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            check(&config).into_iter().map(|finding| finding.check).collect::<Vec<_>>()
        };
        assert_eq!(found(|_| {}), ["settings"]);
        let open = found(|config| config.listen = SocketAddr::from(([0, 0, 0, 0], 80)));
        assert_eq!(open, ["settings.profile", "settings.proxies"]);
        assert_eq!(found(|config| config.ledger.accept_clock = true), ["settings.accept_clock"]);
        assert_eq!(found(|config| config.rooms.accept_clock = true), ["settings.accept_clock"]);
        let far = found(|config| {
            (config.profile, config.storage.kind) = (Profile::Production, StoreKind::Cql);
            config.storage.cql.nodes = vec!["10.0.0.1:9042".to_owned()];
        });
        assert_eq!(far, ["settings.cql_tls", "settings.cql_user"]);
    }
}
