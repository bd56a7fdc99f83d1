//! Who is online, under paused time: what is said to the store of presence, and what becomes of it when nobody says
//! more or the store is away.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actors::clock::WallClock;
use actors::config::PresenceConfig;
use actors::presence::{PresenceWriter, Presences, WAITING_MAX};
use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use domain::time::Timestamp;
use ractor::Actor;
use storage::Error;
use storage::embedded::presence::EmbeddedPresence;
use storage::presence::{Presence, Present};
use uuid::Uuid;

/// A clock that goes with tokio's.
struct Clock(tokio::time::Instant);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(1_790_000_000_000_000).after(self.0.elapsed())
    }
}

/// A store that is away for the first so many writes.
struct Away {
    inner: EmbeddedPresence,
    puts_that_fail: AtomicU32,
}

#[async_trait]
impl Presence for Away {
    async fn put(&self, sessions: Vec<Present>, now: Timestamp, lasts: Duration) -> Result<(), Error> {
        let failing = self.puts_that_fail.load(Ordering::SeqCst);
        if failing > 0 {
            self.puts_that_fail.store(failing - 1, Ordering::SeqCst);
            return Err(Error::Unavailable("away".into()));
        }
        self.inner.put(sessions, now, lasts).await
    }

    async fn of(&self, users: &[UserId], now: Timestamp) -> Result<Vec<Vec<Present>>, Error> {
        self.inner.of(users, now).await
    }
}

/// Session number `session` of person number `user`.
fn present(user: usize, session: usize) -> Present {
    let id = |number: usize| Uuid::from_u128(u128::try_from(number).unwrap());
    let (user, session) = (UserId(id(user)), SessionId(id(session)));
    Present { user, device: None, session, login: None, since: Timestamp(1) }
}

fn presences(puts_that_fail: u32) -> Arc<Presences> {
    let store = Away { inner: EmbeddedPresence::default(), puts_that_fail: puts_that_fail.into() };
    let clock = Arc::new(Clock(tokio::time::Instant::now()));
    Presences::new(Arc::new(store), clock, PresenceConfig::default())
}

/// How many sessions a person has, once all mail is handled.
async fn there(presences: &Presences, user: usize) -> usize {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    presences.of(&[present(user, 0).user]).await.unwrap()[0].len()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_lingers_and_one_that_nobody_says_again_expires() {
    let presences = presences(0);
    presences.connected(present(1, 1));
    Actor::spawn(None, PresenceWriter, Arc::clone(&presences)).await.unwrap();
    assert_eq!(there(&presences, 1).await, 1, "what was said before the writer began is found");
    presences.ended(present(1, 1));
    assert_eq!(there(&presences, 1).await, 1, "it may come back");
    presences.connected(present(1, 2));
    assert_eq!(there(&presences, 1).await, 2, "as another");
    tokio::time::advance(presences.debounce()).await;
    assert_eq!(there(&presences, 1).await, 1);
    tokio::time::advance(presences.refresh_every() * 2).await;
    presences.connected(present(1, 2));
    assert_eq!(there(&presences, 1).await, 1);
    tokio::time::advance(presences.refresh_every() * 2).await;
    assert_eq!(there(&presences, 1).await, 1, "said again in time");
    tokio::time::advance(presences.refresh_every() * 2).await;
    assert_eq!(there(&presences, 1).await, 0, "nobody said it again");
}

#[tokio::test(start_paused = true)]
async fn what_a_store_did_not_take_is_said_again() {
    let presences = presences(1);
    Actor::spawn(None, PresenceWriter, Arc::clone(&presences)).await.unwrap();
    presences.connected(present(1, 1));
    assert_eq!(there(&presences, 1).await, 0, "the store was away");
    presences.connected(present(1, 1));
    assert_eq!(there(&presences, 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_failed_has_a_successor_that_finds_what_waits() {
    let presences = presences(0);
    let (first, handle) = Actor::spawn(None, PresenceWriter, Arc::clone(&presences)).await.unwrap();
    first.kill();
    handle.await.unwrap();
    presences.connected(present(1, 1));
    assert_eq!(there(&presences, 1).await, 0);
    Actor::spawn(None, PresenceWriter, Arc::clone(&presences)).await.unwrap();
    assert_eq!(there(&presences, 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_the_newest_of_a_session_counts() {
    let presences = presences(0);
    for number in 0..=WAITING_MAX {
        presences.connected(present(number, number));
    }
    presences.ended(present(0, 0));
    Actor::spawn(None, PresenceWriter, Arc::clone(&presences)).await.unwrap();
    assert_eq!(there(&presences, WAITING_MAX).await, 0, "one too many");
    assert_eq!((there(&presences, 0).await, there(&presences, 1).await), (1, 1));
    tokio::time::advance(presences.debounce()).await;
    assert_eq!((there(&presences, 0).await, there(&presences, 1).await), (0, 1), "it was said to have ended");
}
