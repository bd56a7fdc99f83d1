//! The names, units and meanings of what is measured of Redis.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Label: what was asked, such as `limit` or `cache_get`.
pub const CALL: &str = "call";
/// Seconds of one request, failed ones included; label [`CALL`].
pub const REQUEST_SECONDS: &str = "quickpe_redis_request_seconds";
/// Label: why: `timeout`, `broken` or `refused`.
pub const REASON: &str = "reason";
/// Requests that failed; label [`REASON`].
pub const FAILURES: &str = "quickpe_redis_failures_total";
/// Requests that were not sent because the breaker was open.
pub const SPARED: &str = "quickpe_redis_spared_total";
/// The breaker: 0 closed, 1 half-open, 2 open.
pub const BREAKER: &str = "quickpe_redis_breaker_state";
/// Times the breaker opened.
pub const OPENED: &str = "quickpe_redis_breaker_opened_total";
/// Rate limits that were decided by this node alone.
pub const FALLBACKS: &str = "quickpe_redis_limit_fallbacks_total";
/// Revocations that were let go because too many waited for Redis.
pub const REVOCATIONS_DROPPED: &str = "quickpe_redis_revocations_dropped_total";
/// Times that revocations may have been missed.
pub const REVOCATIONS_MISSED: &str = "quickpe_redis_revocations_missed_total";

/// Tells the recorder the units and meanings.
pub fn describe() {
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Seconds of one request to Redis, by what was asked");
    describe_counter!(FAILURES, Unit::Count, "Requests to Redis that failed, by reason");
    describe_counter!(SPARED, Unit::Count, "Requests that were not sent to Redis because the breaker was open");
    describe_gauge!(BREAKER, Unit::Count, "The circuit breaker of Redis: 0 closed, 1 half-open, 2 open");
    describe_counter!(OPENED, Unit::Count, "Times the circuit breaker of Redis opened");
    describe_counter!(FALLBACKS, Unit::Count, "Rate limits that this node decided alone because Redis was away");
    describe_counter!(REVOCATIONS_DROPPED, Unit::Count, "Revocations let go because too many waited for Redis");
    describe_counter!(REVOCATIONS_MISSED, Unit::Count, "Times that revocations of other nodes may have been missed");
}
