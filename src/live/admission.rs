//! Admission: how many clients may come in at a time, and what the others are told.
//!
//! When everybody connects at once, a `hello` waits for its turn; one that waited too long, or finds too many waiting,
//! is sent away with the time over which those who were sent away should spread their return: as long as the node
//! takes to let them in at the rate at which it does.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::edge::websocket::WebSocketConfig;

/// Over which time it is counted who came in and who was sent away.
const WINDOW: Duration = Duration::from_secs(1);

/// When who was sent away may come back at the earliest.
const AFTER: Duration = Duration::from_secs(1);

/// The longest spread that anybody is told: a client that waits longer has given up.
const SPREAD_MAX: Duration = Duration::from_mins(1);

/// Lets clients in, so many at a time.
#[derive(Debug)]
pub struct Admission {
    turns: Arc<Semaphore>,
    waiting: Semaphore,
    patience: Duration,
    pace: Mutex<Pace>,
}

/// The right to come in now.
#[derive(Debug)]
pub struct Turn {
    _turn: OwnedSemaphorePermit,
}

/// Not now: when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow {
    /// Not before.
    pub after: Duration,
    /// At a random time in this span after that.
    pub spread: Duration,
}

/// How many came in and were sent away, in this window and the one before.
#[derive(Clone, Copy, Debug)]
struct Pace {
    began: Instant,
    now: Counts,
    before: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    admitted: u32,
    refused: u32,
}

impl Admission {
    /// Bounded as configured.
    pub fn new(config: &WebSocketConfig) -> Arc<Self> {
        let places = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let pace = Pace { began: Instant::now(), now: Counts::default(), before: Counts::default() };
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(places(config.hellos_max))),
            waiting: Semaphore::new(places(config.hellos_waiting_max)),
            patience: Duration::from_millis(config.hello_wait_ms.into()),
            pace: Mutex::new(pace),
        })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Too many wait, or this one waited too long.
    pub async fn turn(&self) -> Result<Turn, NotNow> {
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => Some(turn),
            Err(_) => self.wait().await,
        };
        let turn = turn.ok_or_else(|| self.refuse())?;
        self.pace.lock().at(Instant::now()).admitted += 1;
        Ok(Turn { _turn: turn })
    }

    async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        let _place = self.waiting.try_acquire().ok()?;
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.turns).acquire_owned()).await;
        turn.ok()?.ok()
    }

    /// Sends somebody away.
    pub fn refuse(&self) -> NotNow {
        let mut pace = self.pace.lock();
        let now = pace.at(Instant::now());
        now.refused = now.refused.saturating_add(1);
        NotNow { after: AFTER, spread: pace.spread() }
    }
}

impl Pace {
    /// The counts of the window that `now` is in.
    fn at(&mut self, now: Instant) -> &mut Counts {
        let passed = now.saturating_duration_since(self.began);
        if passed >= WINDOW {
            self.before = if passed < 2 * WINDOW { self.now } else { Counts::default() };
            self.now = Counts::default();
            self.began = now;
        }
        &mut self.now
    }

    /// How long it takes to let in all who were sent away lately.
    fn spread(&self) -> Duration {
        let refused = self.now.refused.saturating_add(self.before.refused);
        let admitted = self.now.admitted.max(self.before.admitted).max(1);
        (WINDOW * (refused / admitted).min(60)).clamp(WINDOW, SPREAD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(hellos_max: u32, hellos_waiting_max: u32) -> Arc<Admission> {
        let config =
            WebSocketConfig { hellos_max, hellos_waiting_max, hello_wait_ms: 500, ..WebSocketConfig::default() };
        Admission::new(&config)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_next_turn_or_is_sent_away_in_time() {
        let admission = admission(1, 1);
        let first = admission.turn().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.turn().await.map(drop) }
        });
        tokio::task::yield_now().await;
        let began = Instant::now();
        assert!(admission.turn().await.is_err(), "one waits already");
        assert_eq!(Instant::now(), began, "who finds no place to wait is told at once");
        drop(first);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let _held = admission.turn().await.unwrap();
        let refused = admission.turn().await.unwrap_err();
        assert_eq!((Instant::now() - began, refused.after), (Duration::from_millis(500), AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn the_spread_grows_with_those_who_were_sent_away() {
        let admission = admission(1, 0);
        for _ in 0..10 {
            admission.turn().await.unwrap();
        }
        let _held = admission.turn().await.unwrap();
        let mut spread = Duration::ZERO;
        for _ in 0..55 {
            spread = admission.turn().await.unwrap_err().spread;
        }
        assert_eq!(spread, Duration::from_secs(5), "55 at 11 a second");
        for _ in 0..10_000 {
            spread = admission.refuse().spread;
        }
        assert_eq!(spread, SPREAD_MAX);
        tokio::time::advance(WINDOW * 3).await;
        assert_eq!(admission.refuse().spread, WINDOW, "the storm is over");
    }
}
