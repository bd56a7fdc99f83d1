//! What deliveries came to, by class, since the node began.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::delivery::{Acked, Class, Stage};
use metrics::{Counter, Histogram, counter, histogram};

use crate::metrics as names;

/// Steps of the times within one power of two: a percentile is read to an eighth.
const STEPS: usize = 8;

/// Buckets of times: up to 2⁴⁰ ms, which is beyond any deadline.
const BUCKETS: usize = 40 * STEPS;

/// What deliveries of every class came to.
#[derive(Debug)]
pub struct Stats {
    classes: [ClassStats; Class::ALL.len()],
}

/// What deliveries of one class came to.
#[derive(Debug)]
struct ClassStats {
    sent: Counted,
    retried: Counted,
    shed: Counted,
    delivered: Counted,
    dead: Counted,
    took: Times,
    took_seconds: Histogram,
}

/// A count, for answers and for the metrics.
#[derive(Debug)]
struct Counted {
    count: AtomicU64,
    metric: Counter,
}

/// What deliveries of one class came to, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages that were sent, a connection each, without those sent again.
    pub sent: u64,
    /// Messages that were sent again.
    pub retried: u64,
    /// Messages that were let go under pressure.
    pub shed: u64,
    /// Messages that were applied.
    pub delivered: u64,
    /// Messages that were dead for a device.
    pub dead: u64,
    /// Milliseconds from sending to `applied` within which half of them were; nothing if none was.
    pub p50_ms: Option<u64>,
    /// Milliseconds within which 99 of 100 were.
    pub p99_ms: Option<u64>,
}

impl Default for Stats {
    /// The metrics recorder must be installed before.
    fn default() -> Self {
        Self { classes: Class::ALL.map(ClassStats::new) }
    }
}

impl Stats {
    const fn of(&self, class: Class) -> &ClassStats {
        match class {
            Class::Money => &self.classes[0],
            Class::Notice => &self.classes[1],
            Class::Chat => &self.classes[2],
        }
    }

    /// Messages were put into outboxes for the first time.
    pub(crate) fn sent(&self, class: Class, count: u64) {
        self.of(class).sent.add(count);
    }

    /// A message was put into an outbox again.
    pub(crate) fn retried(&self, class: Class) {
        self.of(class).retried.add(1);
    }

    /// Messages were let go under pressure.
    pub(crate) fn shed(&self, class: Class, count: u64) {
        self.of(class).shed.add(count);
    }

    /// A message was acknowledged.
    pub(crate) fn acked(&self, class: Class, acked: &Acked) {
        if acked.stage == Stage::Applied {
            let stats = self.of(class);
            stats.delivered.add(1);
            stats.took.record(acked.took_ms);
            stats.took_seconds.record(std::time::Duration::from_millis(acked.took_ms));
        }
    }

    /// Messages of a counted window were acknowledged.
    pub(crate) fn counted(&self, class: Class, count: u64) {
        self.of(class).delivered.add(count);
    }

    /// A message is dead for a device.
    pub(crate) fn dead(&self, class: Class) {
        self.of(class).dead.add(1);
    }

    /// What deliveries of a class came to.
    pub fn read(&self, class: Class) -> Delivered {
        let stats = self.of(class);
        Delivered {
            sent: stats.sent.get(),
            retried: stats.retried.get(),
            shed: stats.shed.get(),
            delivered: stats.delivered.get(),
            dead: stats.dead.get(),
            p50_ms: stats.took.percentile(50),
            p99_ms: stats.took.percentile(99),
        }
    }
}

impl ClassStats {
    fn new(class: Class) -> Self {
        let counted = |name: names::Metric| Counted {
            count: AtomicU64::new(0),
            metric: counter!(name.name, "class" => class.as_str()),
        };
        Self {
            sent: counted(names::MESSAGES),
            retried: counted(names::RETRIES),
            shed: counted(names::SHED),
            delivered: counted(names::DELIVERED),
            dead: counted(names::DEAD),
            took: Times::default(),
            took_seconds: histogram!(names::APPLIED.name, "class" => class.as_str()),
        }
    }
}

impl Counted {
    fn add(&self, count: u64) {
        if count > 0 {
            self.count.fetch_add(count, Ordering::Relaxed);
            self.metric.increment(count);
        }
    }

    fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// How often which time was taken, in buckets that grow with it.
#[derive(Debug)]
struct Times {
    buckets: Box<[AtomicU64]>,
}

impl Default for Times {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Times {
    fn record(&self, ms: u64) {
        self.buckets[bucket(ms)].fetch_add(1, Ordering::Relaxed);
    }

    /// The upper end of the bucket that the percentile lies in.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let rank = all.saturating_mul(percent).div_ceil(100);
        let mut below = 0;
        let at = counts.iter().position(|count| {
            below += count;
            rank > 0 && below >= rank
        });
        at.map(upper)
    }
}

/// The bucket of a time: below 16 ms each millisecond has its own, above it [`STEPS`] a power of two.
fn bucket(ms: u64) -> usize {
    let power = ms.checked_ilog2().unwrap_or(0);
    let Some(shift) = power.checked_sub(STEPS.ilog2()) else { return usize::try_from(ms).unwrap_or(0) };
    let step = usize::try_from((ms >> shift) & (STEPS as u64 - 1)).unwrap_or(0);
    (usize::try_from(shift + 1).unwrap_or(BUCKETS) * STEPS + step).min(BUCKETS - 1)
}

/// The largest time in a bucket.
fn upper(bucket: usize) -> u64 {
    let (shift, step) = (bucket / STEPS, bucket % STEPS);
    let Some(shift) = shift.checked_sub(1) else { return bucket as u64 };
    (((STEPS + step) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for ms in (0..5_000).chain([1 << 20, (1 << 33) + 7]) {
            let end = upper(bucket(ms));
            assert!(end >= ms && end - ms <= ms / STEPS as u64, "{ms} is in the bucket up to {end}");
            assert!(bucket(ms) == 0 || upper(bucket(ms) - 1) < ms, "{ms}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_all_that_was_recorded() {
        let times = Times::default();
        assert_eq!(times.percentile(50), None);
        for ms in 1..=100 {
            times.record(ms);
        }
        assert_eq!(times.percentile(50), Some(upper(bucket(50))));
        assert_eq!(times.percentile(99), Some(upper(bucket(99))));
    }

    #[test]
    fn only_what_is_applied_is_delivered() {
        let stats = Stats::default();
        let acked = |stage| Acked { offset: 1, stage, attempts: 1, took_ms: 3, received_at: None };
        stats.acked(Class::Money, &acked(Stage::Received));
        stats.acked(Class::Money, &acked(Stage::Applied));
        stats.sent(Class::Money, 2);
        let read = stats.read(Class::Money);
        assert_eq!((read.sent, read.delivered, read.p99_ms), (2, 1, Some(3)));
        assert_eq!(stats.read(Class::Chat), Delivered::default());
    }
}
