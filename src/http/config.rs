//! The limits and switches of HTTP, each with its unit and its default.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::rate_limits::Limit;

use crate::config::Profile;

/// How requests are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Bytes of a request's body. Default 65,536.
    pub body_bytes_max: usize,
    /// Bytes of a body above that which are read and dropped, so that its sender hears the answer. Default 1,048,576.
    pub drop_bytes_max: usize,
    /// Milliseconds a body may take to arrive. Default 10,000.
    pub body_timeout_ms: u32,
    /// Milliseconds until a request is answered at the latest. Default 15,000: longer than any command takes.
    pub request_timeout_ms: u32,
    /// Requests a minute from one address; 0 is without limit. Default 0 in development, 1,000 in production.
    pub requests_per_address_per_minute: Option<u32>,
    /// Requests a minute of one account; 0 is without limit. Default 0 in development, 1,000 in production.
    pub requests_per_account_per_minute: Option<u32>,
    /// Whether requests that move money need an `Idempotency-Key`. Default off in development, on in production.
    pub idempotency_key_required: Option<bool>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 10,
            drop_bytes_max: 1 << 20,
            body_timeout_ms: 10_000,
            request_timeout_ms: 15_000,
            requests_per_address_per_minute: None,
            requests_per_account_per_minute: None,
            idempotency_key_required: None,
        }
    }
}

/// Requests a minute in production.
const PRODUCTION_PER_MINUTE: u32 = 1_000;

impl HttpConfig {
    /// [`Self::body_timeout_ms`].
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms.into())
    }

    /// [`Self::request_timeout_ms`].
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    /// [`Self::requests_per_address_per_minute`], if there is a limit.
    pub fn address_limit(&self, profile: Profile) -> Option<Limit> {
        per_minute(self.requests_per_address_per_minute, profile)
    }

    /// [`Self::requests_per_account_per_minute`], if there is a limit.
    pub fn account_limit(&self, profile: Profile) -> Option<Limit> {
        per_minute(self.requests_per_account_per_minute, profile)
    }

    /// [`Self::idempotency_key_required`].
    pub fn is_key_required(&self, profile: Profile) -> bool {
        self.idempotency_key_required.unwrap_or(profile == Profile::Production)
    }
}

fn per_minute(count: Option<u32>, profile: Profile) -> Option<Limit> {
    let default = if profile == Profile::Production { PRODUCTION_PER_MINUTE } else { 0 };
    let count = count.unwrap_or(default);
    (count > 0).then_some(Limit { count, window: Duration::from_mins(1) })
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Seconds an access token is good for. Default 900.
    pub access_seconds: u32,
    /// Seconds a refresh token is good for. Default 604,800: 7 days.
    pub refresh_seconds: u32,
    /// The `iss` of access tokens. Default `quickpe`.
    pub issuer: String,
    /// The `aud` of access tokens. Default `quickpe`.
    pub audience: String,
    /// The fewest characters of a new password. Default 6 in development, 8 in production.
    pub password_chars_min: Option<u32>,
    /// Failed sign-ins of one account in [`Self::failures_window_seconds`] before it is locked for a while. Default 10.
    pub failures_max: u32,
    /// Default 900.
    pub failures_window_seconds: u32,
    /// Passwords hashed at once: each takes 19 MiB and some 25 ms of a core. Default: as many as there are cores.
    pub hashes_max: Option<u16>,
    /// Passwords that wait to be hashed; beyond it the answer is `busy`. Default 256.
    pub hashes_waiting_max: u16,
    /// Milliseconds a password waits to be hashed before the answer is `busy`. Default 5,000.
    pub hash_wait_ms: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            access_seconds: 900,
            refresh_seconds: 7 * 24 * 3_600,
            issuer: "quickpe".to_owned(),
            audience: "quickpe".to_owned(),
            password_chars_min: None,
            failures_max: 10,
            failures_window_seconds: 900,
            hashes_max: None,
            hashes_waiting_max: 256,
            hash_wait_ms: 5_000,
        }
    }
}

impl AuthConfig {
    /// [`Self::access_seconds`].
    pub fn access_lasts(&self) -> Duration {
        Duration::from_secs(self.access_seconds.into())
    }

    /// [`Self::refresh_seconds`].
    pub fn refresh_lasts(&self) -> Duration {
        Duration::from_secs(self.refresh_seconds.into())
    }

    /// [`Self::password_chars_min`].
    pub fn password_chars_min(&self, profile: Profile) -> usize {
        let default = if profile == Profile::Production { 8 } else { 6 };
        usize::try_from(self.password_chars_min.unwrap_or(default)).unwrap_or(usize::MAX)
    }

    /// How often a password may be wrong.
    pub fn failures(&self) -> Limit {
        Limit { count: self.failures_max, window: Duration::from_secs(self.failures_window_seconds.into()) }
    }
}

/// Who brings money onto the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FundingConfig {
    /// Whether people deposit into their own account; where they may not, only the role `treasury` does. Default on
    /// in development, off in production.
    pub self_service: Option<bool>,
}

impl FundingConfig {
    /// [`Self::self_service`].
    pub fn is_self_service(&self, profile: Profile) -> bool {
        self.self_service.unwrap_or(profile == Profile::Development)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_differ_where_nothing_is_said() {
        let (http, auth, funding) = (HttpConfig::default(), AuthConfig::default(), FundingConfig::default());
        assert_eq!(http.address_limit(Profile::Development), None);
        assert_eq!(http.account_limit(Profile::Production).unwrap().count, 1_000);
        assert!(!http.is_key_required(Profile::Development) && http.is_key_required(Profile::Production));
        assert_eq!([Profile::Development, Profile::Production].map(|profile| auth.password_chars_min(profile)), [6, 8]);
        assert!(funding.is_self_service(Profile::Development) && !funding.is_self_service(Profile::Production));
        let said = HttpConfig { requests_per_address_per_minute: Some(0), ..http };
        assert_eq!(said.address_limit(Profile::Production), None);
    }
}
