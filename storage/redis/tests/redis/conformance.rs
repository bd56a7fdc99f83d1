//! What every adapter of these ports must do, on Redis. The callers' clock stands still all the while.

use std::sync::Arc;

use storage::cache::Cache;
use storage::conformance::time::Stopped;
use storage::conformance::{cache, presence, rate_limits, revocations};
use storage::presence::Presence;
use storage::rate_limits::RateLimits;
use storage::revocations::Revocations;
use storage_redis::{RedisCache, RedisConfig, RedisPresence, RedisRateLimits, RedisRevocations};

use super::server::{connect, shared};

#[tokio::test]
async fn rate_limits_conform() {
    let fresh = async || Arc::new(RedisRateLimits::new(connect(&shared().await).await, [7; 32])) as Arc<dyn RateLimits>;
    rate_limits::all(fresh, &Stopped).await;
}

#[tokio::test]
async fn presence_conforms() {
    let fresh = async || Arc::new(RedisPresence::new(connect(&shared().await).await)) as Arc<dyn Presence>;
    presence::all(fresh, &Stopped).await;
}

#[tokio::test]
async fn the_cache_conforms() {
    let fresh = async || Arc::new(RedisCache::new(connect(&shared().await).await)) as Arc<dyn Cache>;
    cache::all(fresh, &Stopped).await;
}

#[tokio::test]
async fn revocations_conform() {
    let server = shared().await;
    let join = async |bus: &str| {
        let config = RedisConfig { prefix: format!("{}-{bus}", server.prefix), ..server.clone() };
        Arc::new(RedisRevocations::join(connect(&config).await).await) as Arc<dyn Revocations>
    };
    revocations::all(join).await;
}
