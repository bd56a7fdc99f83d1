//! Redis killed and back, not there at the start, and too slow: calls end, limits get stricter, and all is well again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{SessionId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::cache::{Cache, Versioned};
use storage::presence::{Presence, Present};
use storage::rate_limits::{Limit, RateLimits};
use storage_redis::breaker::FAILURES_MAX;
use storage_redis::{Redis, RedisCache, RedisConfig, RedisPresence, RedisRateLimits, State};
use uuid::Uuid;

use super::server::{PATIENCE, Server, connect, eventually, free_port, of_port, reaches};

/// A limit within which nothing comes back while a test runs.
const LIMIT: Limit = Limit { count: 100, window: Duration::from_hours(10) };

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

fn limits(redis: &Arc<Redis>) -> RedisRateLimits {
    RedisRateLimits::new(Arc::clone(redis), [7; 32])
}

/// How many of so many tries are allowed.
async fn allowed(limits: &RedisRateLimits, key: &str, tries: u32, now: Timestamp) -> u32 {
    let mut allowed = 0;
    for _ in 0..tries {
        let decision = tokio::time::timeout(PATIENCE, limits.check(key, LIMIT, now)).await.unwrap().unwrap();
        allowed += u32::from(decision.allowed);
    }
    allowed
}

#[tokio::test]
async fn two_nodes_share_one_bucket_whatever_their_clocks_say() {
    let server = Server::start(&[]).await;
    let one = limits(&connect(&server.config()).await);
    let other = limits(&connect(&server.config()).await);
    assert_eq!(allowed(&one, "a", 60, NOW).await, 60);
    let wrong = NOW.after(Duration::from_hours(1_000));
    assert_eq!(allowed(&other, "a", 60, wrong).await, 40, "what the other left, and nothing for a clock that is ahead");
    assert_eq!(allowed(&one, "a", 10, Timestamp(1)).await, 0);
    assert_eq!(server.cli(&["dbsize"]), "1", "one bucket");
    let key = server.cli(&["--scan"]);
    let hash = key.strip_prefix("quickpe:limit:").unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}: not as it came");
    let expires: u64 = server.cli(&["pttl", &key]).parse().unwrap();
    assert!(expires > 0 && expires <= 36_000_000, "it goes by itself: {expires}");
}

#[tokio::test]
async fn limits_are_stricter_while_redis_is_gone() {
    let mut server = Server::start(&[]).await;
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(connect(&server.config()).await);
    }
    let limits: Vec<_> = nodes.iter().map(limits).collect();
    // One node has had its share already when Redis goes.
    assert_eq!(allowed(&limits[0], "a", 25, NOW).await, 25);
    server.kill().await;
    assert_eq!(allowed(&limits[0], "a", 50, NOW).await, 0, "it is not full again");
    let mut all = 25;
    for node in &limits[1..] {
        all += allowed(node, "a", 50, NOW).await;
    }
    assert_eq!(all, LIMIT.count, "no more than the limit among all nodes");
    for node in &nodes {
        reaches(node, State::Open).await;
    }
    let failing = Limit { count: 10, ..LIMIT };
    let mut noted = 0;
    for _ in 0..20 {
        noted += u32::from(limits[0].note_failure("asha", failing, NOW).await.unwrap().allowed);
    }
    assert_eq!(noted, 2, "one in four");
    server.restart().await;
    for node in &nodes {
        reaches(node, State::Closed).await;
    }
    assert_eq!(allowed(&limits[0], "b", 150, NOW).await, LIMIT.count, "as before");
}

#[tokio::test]
async fn a_node_starts_without_redis_and_finds_it_later() {
    let port = free_port();
    let redis = Redis::open(&of_port(port)).await.unwrap();
    assert_ne!(redis.state(), State::Closed);
    let (cache, limits) = (RedisCache::new(Arc::clone(&redis)), limits(&redis));
    assert!(matches!(cache.get("a").await, Err(Error::Unavailable(_))));
    assert_eq!(allowed(&limits, "a", 50, NOW).await, 25);
    let _server = Server::start_at(port).await;
    reaches(&redis, State::Closed).await;
    assert_eq!(cache.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_slow_redis_is_not_waited_for() {
    let server = Server::start(&[]).await;
    let redis = connect(&RedisConfig { request_timeout_ms: 50, connect_timeout_ms: 200, ..server.config() }).await;
    let (cache, limits) = (RedisCache::new(Arc::clone(&redis)), limits(&redis));
    let entry = Versioned { version: 1, value: Bytes::from_static(b"value") };
    assert!(cache.put("a", entry.clone(), Duration::from_hours(1)).await.unwrap());
    server.signal("STOP");
    // A stopped server answers never: that each ends at all is the time-out's doing.
    for _ in 0..FAILURES_MAX {
        assert!(tokio::time::timeout(PATIENCE, cache.get("a")).await.unwrap().is_err());
    }
    assert_ne!(redis.state(), State::Closed, "nobody else waits");
    assert_eq!(allowed(&limits, "a", 50, NOW).await, 25);
    server.signal("CONT");
    reaches(&redis, State::Closed).await;
    eventually("it answers in time", async || cache.get("a").await.is_ok_and(|found| found == Some(entry.clone())))
        .await;
}

#[tokio::test]
async fn presence_without_redis_is_what_the_node_knows() {
    let mut server = Server::start(&[]).await;
    let one = connect(&server.config()).await;
    let (here, there) = (RedisPresence::new(Arc::clone(&one)), RedisPresence::new(connect(&server.config()).await));
    let [own, other] = [1, 2].map(|number| Present {
        user: UserId(Uuid::from_u128(number)),
        device: None,
        session: SessionId(Uuid::from_u128(number)),
        login: None,
        since: NOW,
    });
    let lasts = Duration::from_hours(1);
    here.put(vec![own], NOW, lasts).await.unwrap();
    there.put(vec![other], NOW, lasts).await.unwrap();
    let users = [own.user, other.user];
    assert_eq!(here.of(&users, NOW).await.unwrap(), [[own], [other]]);
    server.kill().await;
    assert_eq!(here.of(&users, NOW).await.unwrap(), [vec![own], vec![]], "the other's are not known");
    server.restart().await;
    reaches(&one, State::Closed).await;
    assert_eq!(here.of(&users, NOW).await.unwrap(), [vec![], vec![]], "Redis has forgotten");
    here.put(vec![own], NOW, lasts).await.unwrap();
    assert_eq!(here.of(&users, NOW).await.unwrap(), [vec![own], vec![]], "until it is said again");
}
