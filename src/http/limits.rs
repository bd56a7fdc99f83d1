//! How often a client may ask, by address and by account.
//!
//! The store of rate limits may be lost, and may fail: then a client may ask more often for a while.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::ids::UserId;
use protocol::code::Code;
use storage::rate_limits::{Decision, Limit};

use crate::app::App;
use crate::failure::Failure;
use crate::http::context::Context;

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Counts a request of the client's address.
///
/// # Errors
/// [`Code::RateLimited`]
pub async fn address(app: &App, context: &Context) -> Result<(), Failure> {
    match app.config.http.address_limit(app.config.profile) {
        Some(limit) => check(app, context, &format!("address:{}", counted(context.address)), limit).await,
        None => Ok(()),
    }
}

/// Counts a request of a person.
///
/// # Errors
/// [`Code::RateLimited`]
pub async fn account(app: &App, context: &Context, user: UserId) -> Result<(), Failure> {
    match app.config.http.account_limit(app.config.profile) {
        Some(limit) => check(app, context, &format!("account:{user}"), limit).await,
        None => Ok(()),
    }
}

async fn check(app: &App, context: &Context, key: &str, limit: Limit) -> Result<(), Failure> {
    let decision = match app.rate_limits.check(key, limit, app.now()).await {
        Ok(decision) => decision,
        Err(error) => {
            tracing::warn!(%error, "requests cannot be counted");
            return Ok(());
        }
    };
    context.limited(limit, decision);
    if decision.allowed { Ok(()) } else { Err(Failure::of(Code::RateLimited).retry_after(decision.retry_after)) }
}

/// What counts as one address: a household has an IPv6 /64 to itself.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Tells a limit in the headers of the IETF's draft (`draft-ietf-httpapi-ratelimit-headers-06`).
pub fn write(limit: Limit, decision: Decision, headers: &mut HeaderMap) {
    headers.insert(LIMIT.clone(), HeaderValue::from(limit.count));
    headers.insert(REMAINING.clone(), HeaderValue::from(decision.remaining));
    headers.insert(RESET.clone(), HeaderValue::from(whole_seconds(decision.reset_after)));
}

fn whole_seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_address() {
        let counted = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn seconds_are_never_too_few() {
        let decision = Decision {
            allowed: true,
            remaining: 7,
            reset_after: Duration::from_millis(1_001),
            retry_after: Duration::ZERO,
        };
        let mut headers = HeaderMap::new();
        write(Limit { count: 10, window: Duration::from_mins(1) }, decision, &mut headers);
        let read = |name: &HeaderName| headers[name].to_str().unwrap().to_owned();
        assert_eq!([read(&LIMIT), read(&REMAINING), read(&RESET)], ["10", "7", "2"]);
    }
}
