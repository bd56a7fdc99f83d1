//! What every store of rate limits must do. Each check wants a fresh store; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::time::Time;
use crate::rate_limits::{Limit, RateLimits};

/// A limit within which nothing comes back while a check runs.
const SLOW: Limit = Limit { count: 10, window: Duration::from_hours(1) };

/// A limit that comes back while one waits.
const QUICK: Limit = Limit { count: 2, window: Duration::from_secs(3) };

/// Runs every check, each on a store of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn RateLimits>, time: &dyn Time) {
    a_bucket_empties(fresh().await, time).await;
    a_bucket_fills_evenly(fresh().await, time).await;
    takers_at_once_get_no_more(fresh().await, time).await;
    so_many_failures_and_no_more(fresh().await, time).await;
    failures_are_over_after_their_window(fresh().await, time).await;
    nothing_is_allowed_of_nothing(fresh().await, time).await;
}

async fn a_bucket_empties(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    for taken in 1..=SLOW.count {
        let decision = limits.check("a", SLOW, time.now()).await.unwrap();
        assert_eq!((decision.allowed, decision.remaining), (true, SLOW.count - taken));
    }
    let step = SLOW.window / SLOW.count;
    for _ in 0..3 {
        let empty = limits.check("a", SLOW, time.now()).await.unwrap();
        assert_eq!((empty.allowed, empty.remaining), (false, 0));
        assert!(empty.retry_after > Duration::ZERO && empty.retry_after <= step, "{empty:?}");
        assert!(empty.reset_after + step > SLOW.window && empty.reset_after <= SLOW.window, "{empty:?}");
    }
    let other = limits.check("b", SLOW, time.now()).await.unwrap();
    assert_eq!((other.allowed, other.retry_after), (true, Duration::ZERO), "another key");
}

async fn a_bucket_fills_evenly(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    let take = async || limits.check("a", QUICK, time.now()).await.unwrap();
    assert!(take().await.allowed && take().await.allowed);
    time.pass(QUICK.window / QUICK.count).await;
    assert!(take().await.allowed, "one has come back");
    time.pass(QUICK.window).await;
    let full = take().await;
    assert_eq!((full.allowed, full.remaining), (true, QUICK.count - 1), "all have, and no more");
}

async fn takers_at_once_get_no_more(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    let now = time.now();
    let takers: Vec<_> = (0..50)
        .map(|_| {
            let limits = Arc::clone(&limits);
            tokio::spawn(async move { limits.check("a", SLOW, now).await.unwrap().allowed })
        })
        .collect();
    let mut allowed = 0;
    for taker in takers {
        allowed += u32::from(taker.await.unwrap());
    }
    assert_eq!(allowed, SLOW.count);
}

async fn so_many_failures_and_no_more(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    let now = time.now();
    let failing: Vec<_> = (0..50)
        .map(|_| {
            let limits = Arc::clone(&limits);
            tokio::spawn(async move { limits.note_failure("asha", SLOW, now).await.unwrap().allowed })
        })
        .collect();
    let mut allowed = 0;
    for failed in failing {
        allowed += u32::from(failed.await.unwrap());
    }
    assert_eq!(allowed, SLOW.count);
    let blocked = limits.failures("asha", SLOW, time.now()).await.unwrap();
    assert_eq!((blocked.allowed, blocked.remaining), (false, 0));
    assert!(blocked.retry_after > Duration::ZERO && blocked.retry_after <= SLOW.window, "{blocked:?}");
    assert!(limits.failures("ravi", SLOW, time.now()).await.unwrap().allowed, "another key");
    assert!(limits.check("asha", SLOW, time.now()).await.unwrap().allowed, "failures are not requests");
    limits.clear_failures("asha").await.unwrap();
    let cleared = limits.failures("asha", SLOW, time.now()).await.unwrap();
    assert_eq!((cleared.allowed, cleared.remaining), (true, SLOW.count));
}

async fn failures_are_over_after_their_window(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    let note = async || limits.note_failure("asha", QUICK, time.now()).await.unwrap();
    assert_eq!(note().await.remaining, 1);
    time.pass(QUICK.window / 2).await;
    assert!(note().await.allowed);
    let blocked = note().await;
    assert!(!blocked.allowed && blocked.retry_after <= QUICK.window / 2, "{blocked:?}");
    time.pass(blocked.retry_after).await;
    assert!(note().await.allowed, "the window slides: the first is over, and what was refused is not counted");
    time.pass(QUICK.window).await;
    assert_eq!(limits.failures("asha", QUICK, time.now()).await.unwrap().remaining, QUICK.count);
}

async fn nothing_is_allowed_of_nothing(limits: Arc<dyn RateLimits>, time: &dyn Time) {
    let none = Limit { count: 0, ..SLOW };
    assert!(!limits.check("a", none, time.now()).await.unwrap().allowed);
    assert!(!limits.note_failure("a", none, time.now()).await.unwrap().allowed);
}
