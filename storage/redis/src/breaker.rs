//! A circuit breaker: who asks a server that is away is told at once, instead of waiting for it.
//!
//! *Closed*: requests go through. [`FAILURES_MAX`] failures in a row, or a broken connection, open it. *Open*: none
//! goes through until a pause is over, each twice as long as the one before. *Half-open*: the keeper of the
//! connection makes a new one and greets the server; requests still wait for nothing, so no user's request is the one
//! that finds out. If the server answers, the breaker is closed.

use std::time::Duration;

/// Failures in a row that open the breaker: one is a hiccup, and each costs a caller the whole time-out.
pub const FAILURES_MAX: u32 = 5;

/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause: a server that is back is noticed within it.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests go through.
    Closed,
    /// A connection is tried.
    HalfOpen,
    /// None goes through.
    Open,
}

impl State {
    /// Its number in metrics: 0, 1 and 2.
    pub const fn number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// A breaker. It begins open: no connection is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaker {
    state: State,
    failures: u32,
    pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Open, failures: 0, pause: PAUSE_MIN }
    }
}

impl Breaker {
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// A request was answered.
    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// A request was not answered, or the connection `is_broken`. Answers whether this opened the breaker.
    pub(crate) const fn failed(&mut self, is_broken: bool) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = matches!(self.state, State::Closed) && (is_broken || self.failures >= FAILURES_MAX);
        if opens {
            self.state = State::Open;
            self.pause = PAUSE_MIN;
        }
        opens
    }

    /// The pause is over.
    pub(crate) const fn half_open(&mut self) {
        self.state = State::HalfOpen;
    }

    /// The server answered the try.
    pub(crate) const fn close(&mut self) {
        *self = Self { state: State::Closed, failures: 0, pause: PAUSE_MIN };
    }

    /// It did not: how long until the next.
    pub(crate) fn reopen(&mut self) -> Duration {
        self.state = State::Open;
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Breaker {
        let mut breaker = Breaker::default();
        breaker.close();
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let mut breaker = closed();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert!(!breaker.failed(false));
            }
            breaker.answered();
        }
        assert_eq!(breaker.state(), State::Closed);
        for failure in 1..=FAILURES_MAX {
            assert_eq!(breaker.failed(false), failure == FAILURES_MAX);
        }
        assert_eq!(breaker.state(), State::Open);
        assert!(!breaker.failed(true), "it opens once");
        assert!(closed().failed(true), "a broken connection opens it at once");
    }

    #[test]
    fn pauses_grow_until_the_server_is_back() {
        let mut breaker = closed();
        breaker.failed(true);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            breaker.half_open();
            assert_eq!(breaker.state(), State::HalfOpen);
            pauses.push(u64::try_from(breaker.reopen().as_millis()).unwrap());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
        breaker.half_open();
        breaker.close();
        assert_eq!(breaker.state(), State::Closed);
        assert!(breaker.failed(true));
        assert_eq!(breaker.reopen(), PAUSE_MIN, "the next time begins anew");
    }
}
