//! How time passes for the store that a suite looks at: as it is told, as the process's timers have it, or really.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;

/// Where the time of suites begins.
const BEGIN: Timestamp = Timestamp(1_790_000_000_000_000);

/// Lets time pass.
#[async_trait]
pub trait Time: Send + Sync {
    /// What a caller tells the store that the time is. A store that keeps its own goes by that.
    fn now(&self) -> Timestamp;

    /// Lets at least so much time pass.
    async fn pass(&self, duration: Duration);
}

/// Of a store that goes by what it is told, exactly; the timers of a paused runtime follow.
#[derive(Debug)]
pub struct Paused(AtomicU64);

impl Default for Paused {
    fn default() -> Self {
        Self(AtomicU64::new(BEGIN.0))
    }
}

#[async_trait]
impl Time for Paused {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn pass(&self, duration: Duration) {
        self.0.store(self.now().after(duration).0, Ordering::Relaxed);
        // In a paused runtime this takes no time.
        tokio::time::sleep(duration).await;
    }
}

/// Of a store that keeps its own time: it really passes, and a caller whose clock has stopped changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopped;

#[async_trait]
impl Time for Stopped {
    fn now(&self) -> Timestamp {
        BEGIN
    }

    async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
