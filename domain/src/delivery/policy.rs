//! The numbers of a class: window, times and attempts, as data.

use serde::{Deserialize, Serialize};

use super::Class;

/// The most messages that one window may hold: each costs 32 bytes on every connection that leaves it unacknowledged.
pub const WINDOW_MAX: u32 = 4_096;

/// The most retries: with doubling back-offs, ten are hours.
const RETRIES_MAX: u32 = 10;

/// The longest back-off or time-out: an hour. What waits longer is a deadline's business.
const WAIT_MS_MAX: u32 = 3_600_000;

/// The longest deadline: thirty days.
const DEADLINE_MS_MAX: u64 = 30 * 24 * 3_600_000;

/// The longest time for which a client may put a message off by a `nack`. Longer than this it should refuse it.
pub const NACK_AFTER_MAX_MS: u64 = 600_000;

/// How one class of streams is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Messages of one stream that one connection may leave unacknowledged, 1 to 4,096. Beyond it the stream waits.
    /// Default 64; `chat` 512.
    pub window: u32,
    /// Milliseconds in which a message is to be acknowledged, 1 to an hour. Default 10,000.
    pub ack_timeout_ms: u32,
    /// How often a message is sent again, 0 to 10. Default 3.
    pub retries: u32,
    /// Milliseconds between the time-out and the first retry, at most an hour; doubled for each further one, and
    /// between half and one and a half of it at random. Default 5,000.
    pub backoff_ms: u32,
    /// Milliseconds in which one of a person's devices is to apply a message, 1 s to thirty days. Default 300,000;
    /// `notice` 900,000. Has no effect on `chat`.
    pub deadline_ms: u64,
    /// Bytes that may wait in the outbox of a connection before this class waits too, or, for `chat`, is let go with a
    /// said gap. Default 196,608; `chat` 131,072.
    pub outbox_bytes_max: u32,
}

/// A number of a policy that is out of its range: its key, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be {range}")]
pub struct PolicyError {
    /// The field.
    pub key: &'static str,
    /// What it must be.
    pub range: &'static str,
}

impl Policy {
    /// The defaults of a class.
    pub const fn of(class: Class) -> Self {
        let money = Self {
            window: 64,
            ack_timeout_ms: 10_000,
            retries: 3,
            backoff_ms: 5_000,
            deadline_ms: 300_000,
            outbox_bytes_max: 192 << 10,
        };
        match class {
            Class::Money => money,
            Class::Notice => Self { deadline_ms: 900_000, ..money },
            Class::Chat => Self { window: 512, outbox_bytes_max: 128 << 10, ..money },
        }
    }

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), PolicyError> {
        let out = |key, range| Err(PolicyError { key, range });
        if self.window == 0 || self.window > WINDOW_MAX {
            return out("window", "1 to 4096");
        }
        if self.ack_timeout_ms == 0 || self.ack_timeout_ms > WAIT_MS_MAX {
            return out("ack_timeout_ms", "1 to 3600000");
        }
        if self.retries > RETRIES_MAX {
            return out("retries", "0 to 10");
        }
        if self.backoff_ms > WAIT_MS_MAX {
            return out("backoff_ms", "0 to 3600000");
        }
        if self.deadline_ms < 1_000 || self.deadline_ms > DEADLINE_MS_MAX {
            return out("deadline_ms", "1000 to 2592000000");
        }
        if self.outbox_bytes_max < 4 << 10 {
            return out("outbox_bytes_max", "at least 4096");
        }
        Ok(())
    }

    /// How often a message is sent at most.
    pub const fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// The pause before try `tries + 1`, from 1; `jitter` is a random number of any size.
    pub fn backoff(&self, tries: u32, jitter: u32) -> u64 {
        let exponent = tries.saturating_sub(1).min(RETRIES_MAX);
        let pause = u64::from(self.backoff_ms).saturating_mul(1_u64.checked_shl(exponent).unwrap_or(1));
        // 500 to 1,500 thousandths of it.
        let share = u64::from(jitter).checked_rem(1_001).unwrap_or(0).saturating_add(500);
        pause.saturating_mul(share).checked_div(1_000).unwrap_or(0)
    }

    /// When a message that is sent as try `tries` is sent again, or given up, in milliseconds from then.
    pub fn due_in(&self, tries: u32, jitter: u32) -> u64 {
        let pause = if tries < self.attempts() { self.backoff(tries, jitter) } else { 0 };
        u64::from(self.ack_timeout_ms).saturating_add(pause)
    }

    /// The time within which a client has to say anything at all where messages are not tracked one by one.
    pub fn patience_ms(&self) -> u64 {
        u64::from(self.ack_timeout_ms).saturating_mul(u64::from(self.attempts()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range_and_numbers_out_of_it_are_named() {
        for class in Class::ALL {
            assert_eq!(Policy::of(class).check(), Ok(()));
        }
        let sound = Policy::of(Class::Money);
        let cases = [
            (Policy { window: 0, ..sound }, "window"),
            (Policy { window: WINDOW_MAX + 1, ..sound }, "window"),
            (Policy { ack_timeout_ms: 0, ..sound }, "ack_timeout_ms"),
            (Policy { retries: 11, ..sound }, "retries"),
            (Policy { backoff_ms: WAIT_MS_MAX + 1, ..sound }, "backoff_ms"),
            (Policy { deadline_ms: 999, ..sound }, "deadline_ms"),
            (Policy { outbox_bytes_max: 1, ..sound }, "outbox_bytes_max"),
        ];
        for (policy, key) in cases {
            assert_eq!(policy.check().map_err(|error| error.key), Err(key));
        }
    }

    #[test]
    fn pauses_double_and_the_last_try_has_none() {
        let policy = Policy::of(Class::Money);
        // A jitter of 500 leaves the pause as it is.
        assert_eq!([1, 2, 3].map(|tries| policy.backoff(tries, 500)), [5_000, 10_000, 20_000]);
        assert_eq!([1, 2, 3, 4].map(|tries| policy.due_in(tries, 500)), [15_000, 20_000, 30_000, 10_000]);
        assert_eq!((policy.backoff(1, 0), policy.backoff(1, 1_000)), (2_500, 7_500));
        assert_eq!(policy.backoff(u32::MAX, u32::MAX), policy.backoff(11, u32::MAX));
    }
}
