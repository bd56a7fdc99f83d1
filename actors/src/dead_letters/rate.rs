//! How many dead letters a minute there are: of this minute, and of the one before as far as it counts.

use domain::time::Timestamp;

const MINUTE_MS: u64 = 60_000;

/// Counts of two minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    minute: u64,
    now: u64,
    before: u64,
}

impl Rate {
    /// One more.
    pub(super) fn count(&mut self, at: Timestamp) {
        self.turn(at);
        self.now = self.now.saturating_add(1);
    }

    /// How many there were in the minute that ends at `at`, taken as even over the minute before.
    pub(super) fn per_minute(&mut self, at: Timestamp) -> u64 {
        self.turn(at);
        let left = MINUTE_MS - at.millis() % MINUTE_MS;
        self.now.saturating_add(self.before.saturating_mul(left) / MINUTE_MS)
    }

    fn turn(&mut self, at: Timestamp) {
        let minute = at.millis() / MINUTE_MS;
        if minute > self.minute {
            self.before = if minute == self.minute + 1 { self.now } else { 0 };
            (self.minute, self.now) = (minute, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_fades() {
        let at = |seconds: u64| Timestamp(1_790_000_000_000_000 / 60_000_000 * 60_000_000 + seconds * 1_000_000);
        let mut rate = Rate::default();
        for _ in 0..60 {
            rate.count(at(30));
        }
        assert_eq!([30, 60, 90, 120].map(|seconds| rate.per_minute(at(seconds))), [60, 60, 30, 0]);
        assert_eq!(rate.per_minute(at(10_000)), 0);
    }
}
