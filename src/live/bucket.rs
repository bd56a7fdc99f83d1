//! A token bucket: how many frames a client may send a second.

use std::time::Duration;

use tokio::time::Instant;

/// How many seconds' worth of frames may come at once: a client that comes back has things to say.
const BURST_SECONDS: u32 = 2;

/// The frames that may still come now.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), tokens: (per_second.saturating_mul(BURST_SECONDS)).into(), at: now }
    }

    /// Takes the tokens of some frames that came. If there were not enough, how long nothing more is to be read.
    pub(super) fn take(&mut self, frames: usize, now: Instant) -> Option<Duration> {
        let full = self.per_second * f64::from(BURST_SECONDS);
        let refilled = self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.tokens = refilled.min(full) - f64::from(u32::try_from(frames).unwrap_or(u32::MAX));
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_a_flood_waits() {
        let mut bucket = Bucket::new(10, Instant::now());
        assert_eq!(bucket.take(20, Instant::now()), None);
        assert_eq!(bucket.take(5, Instant::now()), Some(Duration::from_millis(500)));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(bucket.take(1, Instant::now()), None);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(bucket.take(21, Instant::now()), Some(Duration::from_millis(100)), "never fuller than full");
    }
}
