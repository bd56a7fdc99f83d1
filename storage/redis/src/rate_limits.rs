//! Rate limits that all nodes share: a key has one bucket, whichever node is asked.
//!
//! Scripts decide, by the server's own time; a caller's clock changes nothing. Keys are hashed under a secret of the
//! platform and expire when they are as good as new.
//!
//! **When Redis is away** a node decides alone and allows one in [`RedisConfig::fallback_share`] of the limit, so that
//! all nodes together allow no more than Redis would. Each node uses its share up beside Redis all the time: it is not
//! full when Redis goes away. What was counted alone is not told to Redis later.
//!
//! [`RedisConfig::fallback_share`]: crate::RedisConfig::fallback_share

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use metrics::counter;
use redis::Script;
use storage::Error;
use storage::embedded::rate_limits::EmbeddedRateLimits;
use storage::rate_limits::{Decision, Limit, RateLimits};

use crate::client::Redis;
use crate::metrics as names;

/// How many failures are remembered a key, whatever the limit: as the limits of one process.
const FAILURES_MAX: u32 = 128;

/// A token bucket, kept as the time in microseconds at which it is full again.
const TAKE: &str = "
local t = redis.call('TIME')
local now, count, window = t[1] * 1000000 + t[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local step = math.max(1, math.floor(window / math.max(1, count)))
local capacity = step * count
local full_at = tonumber(redis.call('GET', KEYS[1]) or '') or now
local missing = math.min(capacity, math.max(0, full_at - now))
local allowed = 0
if count > 0 and missing + step <= capacity then
  allowed = 1
  missing = missing + step
  redis.call('SET', KEYS[1], string.format('%.0f', now + missing), 'PX', math.ceil(missing / 1000))
end
local remaining = math.floor((capacity - missing) / step)
local retry = math.max(0, missing + step - capacity)
return {allowed, remaining, missing, retry}
";

/// The times of failures in microseconds, the oldest first.
const FAIL: &str = "
local t = redis.call('TIME')
local now, count, window = t[1] * 1000000 + t[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local left = {}
for _, time in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local rest = math.min(window, window - (now - tonumber(time)))
  if rest > 0 then left[#left + 1] = rest end
end
local allowed = 0
local retry = 0
if #left < count then
  allowed = 1
  if ARGV[3] == '1' then
    if #left == 0 then redis.call('DEL', KEYS[1]) else redis.call('LTRIM', KEYS[1], -#left, -1) end
    redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    left[#left + 1] = window
  end
  if #left >= count then retry = left[#left - count + 1] end
else
  retry = left[#left - count + 1] or window
end
return {allowed, math.max(0, count - #left), left[#left] or 0, retry}
";

/// Rate limits on Redis.
pub struct RedisRateLimits {
    redis: Arc<Redis>,
    /// This node's share, used up beside.
    alone: EmbeddedRateLimits,
    secret: [u8; 32],
    take: Script,
    fail: Script,
}

/// What a script answers: whether, how many remain, and in microseconds until all are back and until one is.
type Answer = (u8, u32, u64, u64);

impl RedisRateLimits {
    /// Over a server. All nodes must give the same `secret`.
    pub fn new(redis: Arc<Redis>, secret: [u8; 32]) -> Self {
        let alone = EmbeddedRateLimits::new(secret);
        Self { redis, alone, secret, take: Script::new(TAKE), fail: Script::new(FAIL) }
    }

    fn key(&self, kind: &str, key: &str) -> String {
        // As much of it as in one process: nobody can make two keys meet.
        let hash = blake3::keyed_hash(&self.secret, key.as_bytes()).to_hex();
        self.redis.key(kind, hash.split_at(32).0)
    }

    fn share(&self, limit: Limit) -> Limit {
        share(limit, self.redis.config().fallback_share)
    }

    async fn fail(&self, key: &str, limit: Limit, is_noted: bool) -> Result<Decision, Error> {
        let mut script = self.fail.key(self.key("fail", key));
        script.arg(limit.count.min(FAILURES_MAX)).arg(micros(limit.window)).arg(u8::from(is_noted));
        self.redis.run("failures", &script).await.map(decision)
    }
}

#[async_trait]
impl RateLimits for RedisRateLimits {
    async fn check(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let alone = self.alone.check(key, self.share(limit), now).await?;
        let mut script = self.take.key(self.key("limit", key));
        script.arg(limit.count).arg(micros(limit.window));
        let decided = self.redis.run("limit", &script).await;
        Ok(decided.map_or_else(|_| fallen_back(alone), decision))
    }

    async fn note_failure(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let alone = self.alone.note_failure(key, self.share(limit), now).await?;
        Ok(self.fail(key, limit, true).await.unwrap_or_else(|_| fallen_back(alone)))
    }

    async fn failures(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let alone = self.alone.failures(key, self.share(limit), now).await?;
        Ok(self.fail(key, limit, false).await.unwrap_or_else(|_| fallen_back(alone)))
    }

    async fn clear_failures(&self, key: &str) -> Result<(), Error> {
        self.alone.clear_failures(key).await?;
        self.redis.ask("failures", redis::cmd("DEL").arg(self.key("fail", key))).await
    }
}

/// What the node decided alone.
fn fallen_back(alone: Decision) -> Decision {
    // The failure itself is counted and logged where it happened.
    counter!(names::FALLBACKS).increment(1);
    alone
}

/// One in `share` of a limit: fewer in the same time, or one in a longer time.
fn share(limit: Limit, share: u32) -> Limit {
    match limit.count / share.max(1) {
        0 if limit.count > 0 => {
            let times = share.div_ceil(limit.count);
            Limit { count: 1, window: limit.window.saturating_mul(times) }
        }
        count => Limit { count, ..limit },
    }
}

fn micros(window: Duration) -> u64 {
    // What scripts reckon exactly with, some 140 years.
    u64::try_from(window.as_micros()).unwrap_or(u64::MAX).min(1 << 52)
}

fn decision((allowed, remaining, reset, retry): Answer) -> Decision {
    let allowed = allowed == 1;
    Decision {
        allowed,
        remaining,
        reset_after: Duration::from_micros(reset),
        retry_after: Duration::from_micros(retry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    #[test]
    fn the_shares_of_all_nodes_are_no_more_than_the_limit() {
        for (count, nodes, expected) in [
            (1_000, 4, (250, 60)),
            (10, 4, (2, 60)),
            (4, 4, (1, 60)),
            (3, 4, (1, 120)),
            (1, 4, (1, 240)),
            (0, 4, (0, 60)),
            (10, 1, (10, 60)),
        ] {
            let shared = share(Limit { count, window: WINDOW }, nodes);
            assert_eq!((shared.count, shared.window.as_secs()), expected, "{count} among {nodes}");
            let all_nodes = u64::from(shared.count) * u64::from(nodes) * WINDOW.as_secs() / shared.window.as_secs();
            assert!(all_nodes <= u64::from(count), "{count} among {nodes}");
        }
    }
}
