//! What is done to a connection: drawn from a seed and the connection's number.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How long a connection on which everything is dropped looks alive.
pub(super) const STALL: Duration = Duration::from_secs(2);

/// What is done to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It is reset at once.
    Refuse,
    /// Each piece is passed on so much later, both ways.
    Delay {
        /// How much.
        each: Duration,
    },
    /// After so many bytes towards the client it is reset, both ways, wherever that is in a frame.
    Cut {
        /// How many.
        after: usize,
    },
    /// After so many bytes towards the client it ends, both ways, in good order but for the frame.
    Truncate {
        /// How many.
        after: usize,
    },
    /// After so many bytes the client hears that no more come, and may still send for a while.
    HalfClose {
        /// How many.
        after: usize,
    },
    /// After so many bytes towards the client what comes is dropped, for [`STALL`]; then it is reset, both ways.
    Drop {
        /// How many.
        after: usize,
    },
    /// When it is over, all that the client sent is sent once more on a connection of its own.
    Repeat {
        /// How much later.
        after: Duration,
    },
    /// The client reads no faster than this.
    Throttle {
        /// How fast.
        bytes_per_second: u32,
    },
}

impl Fault {
    /// A stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refuse => "refuse",
            Self::Delay { .. } => "delay",
            Self::Cut { .. } => "cut",
            Self::Truncate { .. } => "truncate",
            Self::HalfClose { .. } => "halfClose",
            Self::Drop { .. } => "drop",
            Self::Repeat { .. } => "repeat",
            Self::Throttle { .. } => "throttle",
        }
    }

    /// How much later each piece is passed on.
    pub(super) const fn delay(self) -> Duration {
        match self {
            Self::Delay { each } => each,
            _ => Duration::ZERO,
        }
    }
}

/// The plan of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is done to it.
    pub(super) fault: Fault,
}

impl Plan {
    /// The plan of connection `number` under `seed`: the same at every run.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // From within the handshake (some 200 bytes) to after dozens of messages.
        let after = |rng: &mut StdRng| rng.random_range(50..40_000);
        let fault = match rng.random_range(0..100) {
            0..20 => Fault::None,
            20..25 => Fault::Refuse,
            25..37 => Fault::Delay { each: Duration::from_millis(rng.random_range(1..200)) },
            37..48 => Fault::Cut { after: after(&mut rng) },
            48..59 => Fault::Truncate { after: after(&mut rng) },
            59..68 => Fault::HalfClose { after: after(&mut rng) },
            68..76 => Fault::Drop { after: after(&mut rng) },
            76..90 => Fault::Repeat { after: Duration::from_millis(rng.random_range(0..1_500)) },
            _ => Fault::Throttle { bytes_per_second: rng.random_range(500..20_000) },
        };
        Self { fault }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn plans_follow_from_the_seed() {
        let plans = |seed| (0..1000).map(|number| Plan::of(seed, number)).collect::<Vec<_>>();
        assert_eq!(plans(11), plans(11));
        assert_ne!(plans(11), plans(12));
        let mut counts = BTreeMap::new();
        for plan in plans(11) {
            *counts.entry(plan.fault.name()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 9, "every fault is made: {counts:?}");
        assert!(counts.values().all(|count| *count > 20), "{counts:?}");
    }
}
