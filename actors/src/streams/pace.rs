//! Time and chance for deliveries: milliseconds since the streams were made, and cheap random numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::delivery::Millis;
use tokio::time::Instant;

/// The odd constant of splitmix64 (Steele, Lea and Flood, 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One clock and one source of chance for all deliveries of a node.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    state: AtomicU64,
}

impl Pace {
    /// A clock that begins now, and chance from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { start: Instant::now(), state: AtomicU64::new(seed) }
    }

    /// Now.
    pub(crate) fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// A random number: splitmix64 over a counter. It spreads retries and hides nothing.
    pub(crate) fn jitter(&self) -> u32 {
        let mut mixed = self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_spread_and_repeats_with_its_seed() {
        let draw = |seed| {
            let pace = Pace::new(seed);
            (0..1_000).map(|_| pace.jitter()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let low = draw(7).iter().filter(|number| **number < u32::MAX / 2).count();
        assert!((400..600).contains(&low), "{low} of 1000 are in the lower half");
    }
}
