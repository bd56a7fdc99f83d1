//! How Redis is reached and how far its answers are waited for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest prefix of keys, in bytes: keys are short, and there are many.
const PREFIX_BYTES_MAX: usize = 32;

/// Redis, or Valkey.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// Servers, `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS: the one, the Sentinels, or some of the cluster.
    /// Default none: what nodes share is then kept by each for itself.
    pub urls: Vec<String>,
    /// What the servers are: `standalone`, `sentinel` or `cluster`. Default `standalone`.
    pub kind: RedisKind,
    /// The name by which the Sentinels know the master. Default `quickpe`.
    pub master_name: String,
    /// Who signs in, if the servers ask. Default nobody; with a password alone, Redis's user `default`.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// Who signs in to the Sentinels, if these ask. Default nobody.
    pub sentinel_user: Option<String>,
    /// Their password.
    pub sentinel_password: Option<String>,
    /// Whether the server that the Sentinels name is spoken to over TLS. Default `false`.
    pub sentinel_master_tls: bool,
    /// A file in PEM with the certificates that vouch for the servers'. Default those that the system trusts.
    pub tls_certificates: Option<PathBuf>,
    /// What every key begins with, so that platforms can share a server. Default `quickpe`.
    pub prefix: String,
    /// How many milliseconds one request is waited for. Default 50.
    pub request_timeout_ms: u32,
    /// Within how many milliseconds a connection is made and greeted. Default 1,000.
    pub connect_timeout_ms: u32,
    /// While Redis is away a node allows one in so many of what a rate limit allows: at least the number of nodes.
    /// Default 4.
    pub fallback_share: u32,
}

/// What the servers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisKind {
    /// One server, or several of which the first that answers is used.
    #[default]
    Standalone,
    /// Sentinels, which say who the master is.
    Sentinel,
    /// Redis Cluster.
    Cluster,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            kind: RedisKind::Standalone,
            master_name: "quickpe".to_owned(),
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            sentinel_master_tls: false,
            tls_certificates: None,
            prefix: "quickpe".to_owned(),
            request_timeout_ms: 50,
            connect_timeout_ms: 1_000,
            fallback_share: 4,
        }
    }
}

/// Logs get no password, and no URL: it may hold one.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("urls", &self.urls.len())
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl RedisConfig {
    /// Whether there is a Redis at all.
    pub fn is_used(&self) -> bool {
        !self.urls.is_empty()
    }

    /// [`Self::request_timeout_ms`].
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    /// [`Self::connect_timeout_ms`].
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The key, and what it must be. A URL is not repeated: it may hold a password.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        for url in &self.urls {
            let Some((scheme, rest)) = url.split_once("://") else {
                return Err(("urls", "must be like redis://HOST:PORT or rediss://HOST:PORT"));
            };
            if !["redis", "rediss"].contains(&scheme) || rest.is_empty() {
                return Err(("urls", "must be like redis://HOST:PORT or rediss://HOST:PORT"));
            }
            if rest.contains('@') {
                return Err(("urls", "must hold no password: use `user` and `password`"));
            }
            // Certificates that nobody vouches for would be taken; options would go past this configuration.
            if rest.contains(['#', '?']) {
                return Err(("urls", "must hold neither options nor a fragment"));
            }
        }
        if self.master_name.is_empty() {
            return Err(("master_name", "must be the name of a master"));
        }
        for (user, password, key) in [
            (&self.user, &self.password, "password"),
            (&self.sentinel_user, &self.sentinel_password, "sentinel_password"),
        ] {
            if user.is_some() && password.is_none() {
                return Err((key, "must be given with its user"));
            }
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if self.prefix.is_empty() || self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.bytes().all(is_plain) {
            return Err(("prefix", "must be 1 to 32 letters, digits, _, -, . and :"));
        }
        for (key, value) in [
            ("request_timeout_ms", self.request_timeout_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("fallback_share", self.fallback_share),
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
        assert_eq!(RedisConfig::default().check(), Ok(()));
        let of = |change: fn(&mut RedisConfig)| {
            let mut config = RedisConfig::default();
            change(&mut config);
            config.check().map_err(|(key, _)| key)
        };
        let url = |url: &str| RedisConfig { urls: vec![url.to_owned()], ..RedisConfig::default() }.check().is_ok();
        assert!(url("redis://127.0.0.1:6379") && url("rediss://redis.example:6380/2"));
        for wrong in
            ["127.0.0.1:6379", "http://a", "redis://", "redis://:secret@a", "rediss://a/#insecure", "redis://a?b"]
        {
            assert!(!url(wrong), "{wrong}");
        }
        assert_eq!(of(|config| config.master_name.clear()), Err("master_name"));
        assert_eq!(of(|config| config.user = Some("quickpe".to_owned())), Err("password"));
        assert_eq!(of(|config| config.password = Some("a".to_owned())), Ok(()), "of the default user");
        assert_eq!(of(|config| config.prefix = "a{b}".to_owned()), Err("prefix"));
        assert_eq!(of(|config| config.request_timeout_ms = 0), Err("request_timeout_ms"));
        assert_eq!(of(|config| config.fallback_share = 0), Err("fallback_share"));
    }

    #[test]
    fn a_password_is_not_logged() {
        let config = RedisConfig { password: Some("hunter2".to_owned()), ..RedisConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
