//! The wall clock, read here and nowhere else: whatever needs the time takes it as an argument or asks the port.

use std::time::{SystemTime, UNIX_EPOCH};

use actors::clock::WallClock;
use domain::time::Timestamp;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is as wrong as the epoch, and shards go on after their last stamp anyway.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > Timestamp(1_790_000_000_000_000));
    }
}
