//! What every presence store must do. Each check wants a fresh store; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;
use uuid::Uuid;

use crate::conformance::time::Time;
use crate::presence::{PEOPLE_MAX, PUT_MAX, Presence, Present, SESSIONS_PER_USER_MAX};

/// Since when the oldest session here is connected.
const SINCE: Timestamp = Timestamp(1_790_000_000_000_000);

/// How long a session is there here.
const LASTS: Duration = Duration::from_mins(1);

/// A time that a check can wait for.
const SHORT: Duration = Duration::from_secs(1);

/// Runs every check, each on a store of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Presence>, time: &dyn Time) {
    a_session_is_there_until_its_time_is_over(fresh().await, time).await;
    what_was_said_last_counts(fresh().await, time).await;
    people_are_answered_in_the_order_asked(fresh().await, time).await;
    sessions_are_bounded(fresh().await, time).await;
}

/// The session number `session` of person number `user`.
fn present(user: u128, session: u128) -> Present {
    Present {
        user: UserId(Uuid::from_u128(user)),
        device: session.is_multiple_of(2).then(|| DeviceId(Uuid::from_u128(session / 2))),
        session: SessionId(Uuid::from_u128(session)),
        login: session.is_multiple_of(3).then(|| LoginId(Uuid::from_u128(session))),
        since: SINCE.after(Duration::from_secs(u64::try_from(session).unwrap())),
    }
}

async fn of(presence: &Arc<dyn Presence>, user: u128, time: &dyn Time) -> Vec<Present> {
    presence.of(&[UserId(Uuid::from_u128(user))], time.now()).await.unwrap().pop().unwrap()
}

async fn a_session_is_there_until_its_time_is_over(presence: Arc<dyn Presence>, time: &dyn Time) {
    assert_eq!(of(&presence, 1, time).await, []);
    presence.put(vec![present(1, 1), present(1, 2)], time.now(), 2 * SHORT).await.unwrap();
    assert_eq!(of(&presence, 1, time).await, [present(1, 2), present(1, 1)], "the newest first");
    assert_eq!(of(&presence, 2, time).await, []);
    time.pass(SHORT).await;
    presence.put(vec![present(1, 1)], time.now(), 2 * SHORT).await.unwrap();
    time.pass(SHORT).await;
    assert_eq!(of(&presence, 1, time).await, [present(1, 1)], "said again in time");
    time.pass(SHORT).await;
    assert_eq!(of(&presence, 1, time).await, [], "nobody said it again");
}

async fn what_was_said_last_counts(presence: Arc<dyn Presence>, time: &dyn Time) {
    presence.put(vec![present(1, 1), present(1, 2)], time.now(), LASTS).await.unwrap();
    presence.put(vec![present(1, 1)], time.now(), SHORT).await.unwrap();
    assert_eq!(of(&presence, 1, time).await.len(), 2);
    time.pass(SHORT).await;
    assert_eq!(of(&presence, 1, time).await, [present(1, 2)], "a shorter time counts too");
    presence.put(vec![present(1, 2)], time.now(), Duration::ZERO).await.unwrap();
    assert_eq!(of(&presence, 1, time).await, [], "no time at all is gone at once");
    let moved = Present { device: Some(DeviceId(Uuid::from_u128(77))), ..present(1, 1) };
    presence.put(vec![present(1, 1), moved], time.now(), LASTS).await.unwrap();
    assert_eq!(of(&presence, 1, time).await, [moved], "one entry a session");
    presence.put(Vec::new(), time.now(), LASTS).await.unwrap();
}

async fn people_are_answered_in_the_order_asked(presence: Arc<dyn Presence>, time: &dyn Time) {
    let one_each = (1..=200).map(|number| present(number, number)).collect();
    presence.put(one_each, time.now(), LASTS).await.unwrap();
    let asked: Vec<_> = [7, 9_999, 3, 7].map(|number| UserId(Uuid::from_u128(number))).into();
    let found = presence.of(&asked, time.now()).await.unwrap();
    assert_eq!(found, [vec![present(7, 7)], Vec::new(), vec![present(3, 3)], vec![present(7, 7)]]);
    assert_eq!(presence.of(&[], time.now()).await.unwrap(), Vec::<Vec<Present>>::new());
    let many: Vec<_> = (0..=PEOPLE_MAX).map(|_| asked[0]).collect();
    assert_eq!(presence.of(&many, time.now()).await.unwrap().len(), PEOPLE_MAX);
}

async fn sessions_are_bounded(presence: Arc<dyn Presence>, time: &dyn Time) {
    for number in 1..=SESSIONS_PER_USER_MAX + 8 {
        let session = u128::try_from(number).unwrap();
        let lasts = LASTS + Duration::from_secs(u64::try_from(number).unwrap());
        presence.put(vec![present(1, session)], time.now(), lasts).await.unwrap();
    }
    let kept = of(&presence, 1, time).await;
    assert_eq!(kept.len(), SESSIONS_PER_USER_MAX);
    assert!(kept.iter().all(|kept| kept.session.0.as_u128() > 8), "those whose time is over first are not kept");
    let too_many = (0..=PUT_MAX).map(|_| present(1, 1)).collect();
    assert!(presence.put(too_many, time.now(), LASTS).await.is_err());
}
