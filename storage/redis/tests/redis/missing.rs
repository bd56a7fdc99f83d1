//! Revocations that were told while nobody could hear them, or not told at all.

use domain::ids::{LoginId, UserId};
use storage::revocations::{Heard, Revocation, Revocations};
use storage_redis::{RedisRevocations, State};
use uuid::Uuid;

use super::proxy::Proxy;
use super::server::{PATIENCE, Server, connect, of_port, reaches};

fn numbered(number: u128) -> Revocation {
    Revocation::Login { user: UserId(Uuid::from_u128(1)), login: LoginId(Uuid::from_u128(number)) }
}

async fn next(node: &RedisRevocations) -> Heard {
    tokio::time::timeout(PATIENCE, node.heard()).await.expect("nothing is heard")
}

#[tokio::test]
async fn what_was_told_while_one_was_away_is_caught_up() {
    let server = Server::start(&[]).await;
    let one = RedisRevocations::join(connect(&server.config()).await).await;
    let proxy = Proxy::start(server.port).await;
    let redis = connect(&of_port(proxy.port)).await;
    let away = RedisRevocations::join(redis.clone()).await;
    one.tell(numbered(1)).await.unwrap();
    assert_eq!(next(&away).await, Heard::Revoked(numbered(1)));
    proxy.cut();
    reaches(&redis, State::Open).await;
    for number in 2..=2_000 {
        one.tell(numbered(number)).await.unwrap();
    }
    proxy.mend();
    for number in 2..=2_000 {
        assert_eq!(next(&away).await, Heard::Revoked(numbered(number)));
    }
}

#[tokio::test]
async fn what_redis_has_lost_is_said_to_be_missed() {
    let server = Server::start(&[]).await;
    let one = RedisRevocations::join(connect(&server.config()).await).await;
    let proxy = Proxy::start(server.port).await;
    let redis = connect(&of_port(proxy.port)).await;
    let away = RedisRevocations::join(redis.clone()).await;
    proxy.cut();
    reaches(&redis, State::Open).await;
    one.tell(numbered(1)).await.unwrap();
    assert_eq!(server.cli(&["flushall"]), "OK");
    one.tell(numbered(2)).await.unwrap();
    proxy.mend();
    assert_eq!(next(&away).await, Heard::Missed);
    assert_eq!(next(&away).await, Heard::Revoked(numbered(2)), "what is there is heard");
    one.tell(numbered(3)).await.unwrap();
    assert_eq!(next(&away).await, Heard::Revoked(numbered(3)), "and all that comes");
}

#[tokio::test]
async fn who_joined_while_redis_was_away_knows_that_they_missed_some() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    proxy.cut();
    let redis = storage_redis::Redis::open(&of_port(proxy.port)).await.unwrap();
    let late = RedisRevocations::join(redis.clone()).await;
    proxy.mend();
    assert_eq!(next(&late).await, Heard::Missed);
    let one = RedisRevocations::join(connect(&server.config()).await).await;
    one.tell(numbered(1)).await.unwrap();
    assert_eq!(next(&late).await, Heard::Revoked(numbered(1)));
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later() {
    let server = Server::start(&[]).await;
    let other = RedisRevocations::join(connect(&server.config()).await).await;
    let proxy = Proxy::start(server.port).await;
    let redis = connect(&of_port(proxy.port)).await;
    let one = RedisRevocations::join(redis.clone()).await;
    proxy.cut();
    reaches(&redis, State::Open).await;
    for number in 1..=3 {
        assert!(one.tell(numbered(number)).await.is_err());
    }
    proxy.mend();
    for number in 1..=3 {
        assert_eq!(next(&other).await, Heard::Revoked(numbered(number)));
    }
}
