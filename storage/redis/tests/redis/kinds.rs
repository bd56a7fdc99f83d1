//! A cluster and Sentinels: real processes, small ones.

use std::sync::Arc;

use storage::cache::Cache;
use storage::conformance::time::Stopped;
use storage::conformance::{cache, presence, rate_limits, revocations};
use storage::presence::Presence;
use storage::rate_limits::RateLimits;
use storage::revocations::Revocations;
use storage_redis::{RedisCache, RedisConfig, RedisKind, RedisPresence, RedisRateLimits, RedisRevocations, State};

use super::server::{Server, connect, eventually, free_port, of_port, reaches};

/// All suites, each on keys of its own.
async fn all_conform(server: &RedisConfig) {
    let fresh = async |name: &str| connect(&RedisConfig { prefix: unique(name), ..server.clone() }).await;
    let limits = async || Arc::new(RedisRateLimits::new(fresh("limits").await, [7; 32])) as Arc<dyn RateLimits>;
    let caches = async || Arc::new(RedisCache::new(fresh("cache").await)) as Arc<dyn Cache>;
    let there = async || Arc::new(RedisPresence::new(fresh("presence").await)) as Arc<dyn Presence>;
    let join = async |bus: &str| {
        let redis = connect(&RedisConfig { prefix: bus.to_owned(), ..server.clone() }).await;
        Arc::new(RedisRevocations::join(redis).await) as Arc<dyn Revocations>
    };
    tokio::join!(
        rate_limits::all(limits, &Stopped),
        cache::all(caches, &Stopped),
        presence::all(there, &Stopped),
        revocations::all(join),
    );
}

fn unique(name: &str) -> String {
    let number = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}-{}", &number[..12])
}

#[tokio::test]
async fn a_cluster_conforms() {
    // One node of the smallest cluster there is: all slots, redirections and scripts by key are as in a large one.
    let bus = free_port().to_string();
    let server =
        Server::start(&["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-config-file", "nodes.conf"])
            .await;
    assert_eq!(server.cli(&["cluster", "addslotsrange", "0", "16383"]), "OK");
    eventually("the cluster is whole", async || server.cli(&["cluster", "info"]).contains("cluster_state:ok")).await;
    all_conform(&RedisConfig { kind: RedisKind::Cluster, ..server.config() }).await;
}

/// A Sentinel that watches a master.
async fn sentinel(master: &Server) -> (Server, RedisConfig) {
    let file = master.folder().join("sentinel.conf");
    let port = master.port;
    let text = format!(
        "sentinel monitor quickpe 127.0.0.1 {port} 1\nsentinel down-after-milliseconds quickpe 500\nsentinel \
         failover-timeout quickpe 2000\n"
    );
    std::fs::write(&file, text).unwrap();
    let sentinel = Server::start_with(&file, &["--sentinel"]).await;
    let config = RedisConfig { kind: RedisKind::Sentinel, ..of_port(sentinel.port) };
    (sentinel, config)
}

#[tokio::test]
async fn a_master_that_sentinels_name_conforms() {
    let master = Server::start(&[]).await;
    let (_sentinel, config) = sentinel(&master).await;
    all_conform(&config).await;
    let unknown = RedisConfig { master_name: "another".to_owned(), ..config };
    let redis = storage_redis::Redis::open(&unknown).await.unwrap();
    assert_ne!(redis.state(), State::Closed, "the Sentinels know no such master");
}

#[tokio::test]
async fn the_next_master_is_followed() {
    let mut master = Server::start(&[]).await;
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await;
    eventually("it is a replica", async || replica.cli(&["info", "replication"]).contains("master_link_status:up"))
        .await;
    let (sentinel, config) = sentinel(&master).await;
    eventually("the Sentinel knows the replica", async || {
        sentinel.cli(&["sentinel", "replicas", "quickpe"]).contains(&replica.port.to_string())
    })
    .await;
    let redis = connect(&config).await;
    let cache = RedisCache::new(Arc::clone(&redis));
    let (one, other) =
        (RedisRevocations::join(connect(&config).await).await, RedisRevocations::join(redis.clone()).await);
    assert_eq!(cache.get("a").await.unwrap(), None);
    master.kill().await;
    reaches(&redis, State::Open).await;
    reaches(&redis, State::Closed).await;
    assert!(replica.cli(&["role"]).starts_with("master"));
    eventually("it writes", async || cache.get("a").await.is_ok()).await;
    let told = storage::revocations::Revocation::Profile { user: domain::ids::UserId(uuid::Uuid::from_u128(1)) };
    eventually("it is told", async || one.tell(told).await.is_ok()).await;
    eventually("it is heard", async || other.heard().await == storage::revocations::Heard::Revoked(told)).await;
}
