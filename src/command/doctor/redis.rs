//! Redis: whether it answers.

use storage_redis::{Redis, State};

use super::Finding;
use crate::config::Config;

/// Connects once.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let redis = match Redis::open(&config.redis).await {
        Ok(redis) => redis,
        Err(error) => return vec![Finding::wrong("redis.reachable", error.to_string(), "mend the keys of `redis`")],
    };
    vec![match redis.state() {
        State::Closed => Finding::fine("redis.reachable", "Redis answers"),
        State::Open | State::HalfOpen => Finding::warning(
            "redis.reachable",
            "Redis does not answer: a node starts so, degraded, with stricter limits",
            "start it, or set `redis.urls`, `kind`, `user`, `password` and `tls_certificates` to what it needs",
        ),
    }]
}
