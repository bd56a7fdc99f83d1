//! What nodes share and may lose: on Redis if it is configured, else of this node alone.

use std::sync::Arc;

use storage::Error;
use storage::cache::Cache;
use storage::embedded::presence::EmbeddedPresence;
use storage::embedded::rate_limits::EmbeddedRateLimits;
use storage::embedded::revocations::EmbeddedRevocations;
use storage::presence::Presence;
use storage::rate_limits::RateLimits;
use storage::revocations::Revocations;
use storage_redis::{Redis, RedisCache, RedisConfig, RedisPresence, RedisRateLimits, RedisRevocations};

use crate::config::Keys;

/// What the secret is for under which keys of rate limits are hashed. Never changes.
const HASH_CONTEXT: &str = "QuickPe 2026-11 hashes of the keys of rate limits";

/// The stores that nodes share.
pub struct SharedStores {
    /// How often somebody may do something.
    pub rate_limits: Arc<dyn RateLimits>,
    /// Who is online.
    pub presence: Arc<dyn Presence>,
    /// What has ended or changed.
    pub revocations: Arc<dyn Revocations>,
    /// What was read once, if nodes share it.
    pub cache: Option<Arc<dyn Cache>>,
    /// Redis, if there is one.
    pub redis: Option<Arc<Redis>>,
}

impl SharedStores {
    /// As configured. Redis need not answer.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub async fn open(config: &RedisConfig, keys: &Keys) -> Result<Self, Error> {
        if !config.is_used() {
            return Ok(Self {
                rate_limits: Arc::new(EmbeddedRateLimits::default()),
                presence: Arc::new(EmbeddedPresence::default()),
                revocations: Arc::new(EmbeddedRevocations::default()),
                cache: None,
                redis: None,
            });
        }
        let redis = Redis::open(config).await?;
        Ok(Self {
            rate_limits: Arc::new(RedisRateLimits::new(Arc::clone(&redis), secret(keys))),
            presence: Arc::new(RedisPresence::new(Arc::clone(&redis))),
            revocations: Arc::new(RedisRevocations::join(Arc::clone(&redis)).await),
            cache: Some(Arc::new(RedisCache::new(Arc::clone(&redis)))),
            redis: Some(redis),
        })
    }
}

/// The secret of hashes, the same on all nodes of one configuration. Another first secret of refresh tokens makes
/// another, and buckets are full again once.
fn secret(keys: &Keys) -> [u8; 32] {
    blake3::derive_key(HASH_CONTEXT, keys.refresh.first().map_or(&[], |secret| secret))
}
