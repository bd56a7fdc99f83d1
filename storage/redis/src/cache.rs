//! Cached reads that all nodes share. An entry is one string: its version as 16 digits, `+` and the value, or `-` if it
//! is forgotten.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Script;
use storage::Error;
use storage::cache::{Cache, FORGOTTEN_LASTS, Versioned, check};

use crate::client::Redis;
use crate::error::unreadable;

/// The digits of a version: of 2^53, up to which scripts reckon exactly.
const VERSION_DIGITS: usize = 16;

/// Sets an entry, unless one is there that its version does not beat: of the same version too if `ARGV[4]` is 1.
const SET: &str = "
local known, version = tonumber(redis.call('GETRANGE', KEYS[1], 0, 15)), tonumber(ARGV[1])
if known and (known > version or (known == version and ARGV[4] == '1')) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

/// A cache on Redis.
pub struct RedisCache {
    redis: Arc<Redis>,
    set: Script,
}

impl RedisCache {
    /// Over a server.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self { redis, set: Script::new(SET) }
    }

    async fn set(
        &self,
        call: &'static str,
        key: &str,
        version: u64,
        value: Option<&Bytes>,
        lasts: Duration,
    ) -> Result<bool, Error> {
        let sign = if value.is_some() { '+' } else { '-' };
        let mut text = format!("{version:0VERSION_DIGITS$}{sign}").into_bytes();
        text.extend_from_slice(value.map_or(&[], |value| value));
        // Less than a millisecond cannot be said.
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut script = self.set.key(self.redis.key("cache", key));
        script.arg(version).arg(text).arg(lasts_ms).arg(u8::from(value.is_some()));
        self.redis.run(call, &script).await
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, Error> {
        let key = self.redis.key("cache", key);
        let found: Option<Vec<u8>> = self.redis.ask("cache_get", redis::cmd("GET").arg(key)).await?;
        found.map_or(Ok(None), |text| read(&text))
    }

    async fn put(&self, key: &str, entry: Versioned, lasts: Duration) -> Result<bool, Error> {
        check(key, entry.version, &entry.value)?;
        self.set("cache_put", key, entry.version, Some(&entry.value), lasts).await
    }

    async fn forget(&self, key: &str, version: u64) -> Result<(), Error> {
        check(key, version, &[])?;
        self.set("cache_forget", key, version, None, FORGOTTEN_LASTS).await.map(drop)
    }
}

/// An entry, unless it is forgotten.
fn read(text: &[u8]) -> Result<Option<Versioned>, Error> {
    let wrong = || unreadable("a cached entry");
    let (version, rest) = text.split_at_checked(VERSION_DIGITS).ok_or_else(wrong)?;
    let version = std::str::from_utf8(version).ok().and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    match rest.split_first() {
        Some((b'+', value)) => Ok(Some(Versioned { version, value: Bytes::copy_from_slice(value) })),
        Some((b'-', [])) => Ok(None),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wrote_is_not_taken() {
        let value = Bytes::from_static(b"\0");
        assert_eq!(read(b"0000000000000012+\0").unwrap(), Some(Versioned { version: 12, value }));
        assert_eq!(read(b"0000000000000012-").unwrap(), None);
        for wrong in [&b""[..], b"12+", b"000000000000001x+", b"0000000000000012", b"0000000000000012*a"] {
            assert!(matches!(read(wrong), Err(Error::Unknown(_))), "{wrong:?}");
        }
    }
}
