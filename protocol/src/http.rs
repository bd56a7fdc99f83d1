//! Bodies and query strings of the HTTP routes, by topic.
//!
//! Names follow the routes of the API: what comes in ends in `Request` or `Query`, what goes out in
//! `Response`, and the things themselves ([`user::User`], [`transaction::Transaction`],
//! [`hold::Hold`]) have their own names.

pub mod account;
pub mod admin;
pub mod auth;
pub mod escalation;
pub mod health;
pub mod hold;
pub mod message;
pub mod page;
pub mod presence;
pub mod room;
pub mod server;
pub mod transaction;
pub mod user;

use serde::Deserialize;
use utoipa::IntoParams;

/// The header that makes a request that moves money happen once.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header of an answer that was given before: `true`.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
/// The header of the request's id.
pub const REQUEST_ID: &str = "x-request-id";

/// The most characters an idempotency key may have.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// What every route that moves money takes, as the OpenAPI document says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct KeyHeader {
    /// Makes the request happen once: the same key answers the stored outcome.
    #[serde(rename = "Idempotency-Key")]
    #[param(required = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub key: String,
}

/// Whether a text may be an idempotency key: 1 to 128 visible ASCII characters.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        for key in ["a", "!~", &"k".repeat(128)] {
            assert!(is_idempotency_key(key), "{key}");
        }
        for key in ["", "a b", "a\n", "é", &"k".repeat(129)] {
            assert!(!is_idempotency_key(key), "{key}");
        }
    }
}
