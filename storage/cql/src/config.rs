//! How a CQL store is reached and how far its answers are waited for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A CQL store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CqlConfig {
    /// Some of its nodes, `address:port`; the others are learned from them. Default `127.0.0.1:9042`.
    pub nodes: Vec<String>,
    /// The keyspace. Default `quickpe`.
    pub keyspace: String,
    /// The data centre of this node, the only one that it talks to. Default `datacenter1`.
    pub data_centre: String,
    /// How many copies a new keyspace has in the data centre. Default: 3, or as many as there are nodes if fewer.
    pub replication: Option<u8>,
    /// Among whom a lightweight transaction is agreed on. Default `local`.
    pub serial: Serial,
    /// Whether a node brings the schema to its version when it starts, as `quickpe migrate` does. Default `false`.
    pub migrate_at_start: bool,
    /// Who signs in, if the store asks. Default nobody.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// A file in PEM with the certificates that vouch for the store's; with it connections are encrypted. Default none.
    pub tls_certificates: Option<PathBuf>,
    /// Connections to each node of the store (to each shard of a ScyllaDB node). Default 1.
    pub connections: u16,
    /// Within how many milliseconds a connection is made. Default 5,000.
    pub connect_timeout_ms: u32,
    /// How many milliseconds one request is waited for. Default 3,000.
    pub request_timeout_ms: u32,
    /// How many lightweight transactions are in flight at once; others wait here instead of timing out there.
    /// Default 64.
    pub transactions_max: u16,
}

/// Among whom a lightweight transaction is agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serial {
    /// The copies in one data centre, in which all nodes of QuickPe must then be.
    #[default]
    Local,
    /// The copies in all data centres: slower by the way between them.
    Global,
}

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "quickpe".to_owned(),
            data_centre: "datacenter1".to_owned(),
            replication: None,
            serial: Serial::Local,
            migrate_at_start: false,
            user: None,
            password: None,
            tls_certificates: None,
            connections: 1,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 3_000,
            transactions_max: 64,
        }
    }
}

/// Logs get no password.
impl fmt::Debug for CqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CqlConfig")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}

impl CqlConfig {
    /// [`Self::connect_timeout_ms`].
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    /// [`Self::request_timeout_ms`].
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The key, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.nodes.is_empty() {
            return Err(("nodes", "must name a node"));
        }
        // It stands in statements that take no values; quoting what is none is not worth the doubt.
        let letters =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let begins = self.keyspace.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if !begins || !letters(&self.keyspace) || self.keyspace.len() > 48 {
            return Err(("keyspace", "must be 1 to 48 of a-z, 0-9 and _, and begin with a letter"));
        }
        if self.data_centre.is_empty() || self.data_centre.contains(['\'', '"', '\\']) {
            return Err(("data_centre", "must be the name of a data centre"));
        }
        if self.replication == Some(0) {
            return Err(("replication", "must be at least 1"));
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(("password", "must be given with `user`, and only then"));
        }
        for (key, value) in [
            ("connections", u32::from(self.connections)),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("transactions_max", u32::from(self.transactions_max)),
        ] {
            if value == 0 {
                return Err((key, "must be at least 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        assert_eq!(CqlConfig::default().check(), Ok(()));
        let of = |change: fn(&mut CqlConfig)| {
            let mut config = CqlConfig::default();
            change(&mut config);
            config.check().unwrap_err().0
        };
        assert_eq!(of(|config| config.nodes.clear()), "nodes");
        assert_eq!(of(|config| config.keyspace = "a; DROP".to_owned()), "keyspace");
        assert_eq!(of(|config| config.keyspace = "1a".to_owned()), "keyspace");
        assert_eq!(of(|config| config.data_centre = "dc'".to_owned()), "data_centre");
        assert_eq!(of(|config| config.user = Some("quickpe".to_owned())), "password");
        assert_eq!(of(|config| config.transactions_max = 0), "transactions_max");
    }

    #[test]
    fn a_password_is_not_logged() {
        let config = CqlConfig { password: Some("hunter2".to_owned()), ..CqlConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
