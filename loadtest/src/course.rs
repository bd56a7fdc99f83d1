//! The course of a run: what happened in each part of a second, and in all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::length::float;
use crate::meter::{Delta, Meter};
use crate::result::Series;
use crate::usage::{Sample, Sampler};

/// What is told apart over time.
const BUCKET: Duration = Duration::from_millis(500);
/// The most buckets: six hours. What comes later counts in the last.
const BUCKETS_MAX: usize = 12 * 3600;

/// The course of a run.
pub(crate) struct Course {
    start: Instant,
    whole: Delta,
    buckets: BTreeMap<usize, Delta>,
    /// What the server and the tool used.
    pub(crate) sampler: Sampler,
}

impl Course {
    /// Starts now.
    pub(crate) fn start(sampler: Sampler) -> Self {
        Self { start: Instant::now(), whole: Delta::default(), buckets: BTreeMap::new(), sampler }
    }

    /// Starts again: what was before was only to get ready.
    pub(crate) fn restart(&mut self) {
        self.start = Instant::now();
    }

    /// How long the run is going on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Adds what happened just now.
    pub(crate) fn add(&mut self, delta: &Delta) -> anyhow::Result<()> {
        self.add_at(self.elapsed(), delta)
    }

    fn add_at(&mut self, at: Duration, delta: &Delta) -> anyhow::Result<()> {
        let bucket = usize::try_from(at.as_nanos() / BUCKET.as_nanos()).unwrap_or(usize::MAX).min(BUCKETS_MAX);
        self.buckets.entry(bucket).or_default().add(delta)?;
        self.whole.add(delta)
    }

    /// Looks at what is used now, and keeps it.
    pub(crate) fn look(&mut self) -> Sample {
        self.sampler.sample(self.elapsed())
    }

    /// Notes what happens until all tasks are done; `told` hears of each part and of the time.
    pub(crate) async fn note(
        &mut self,
        meter: &Meter,
        tasks: &mut JoinSet<()>,
        mut told: impl FnMut(&Delta, Duration),
    ) -> anyhow::Result<()> {
        let mut ticks = interval(BUCKET);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !tasks.is_empty() {
            tokio::select! {
                _ = ticks.tick() => {
                    let delta = meter.take();
                    self.add(&delta)?;
                    self.look();
                    told(&delta, self.elapsed());
                }
                Some(ended) = tasks.join_next() => ended?,
            }
        }
        self.add(&meter.take())
    }

    /// All that happened.
    pub(crate) fn whole(&self) -> &Delta {
        &self.whole
    }

    /// How often this happened a second, over time.
    pub(crate) fn rate(&self, name: &str, label: &str) -> Series {
        let points = self
            .buckets
            .iter()
            .map(|(bucket, delta)| [middle(*bucket), float(delta.count(name)) / BUCKET.as_secs_f64()]);
        Series::of(name, label, "/s", points.collect())
    }

    /// How long this took, over time: the median and the 99th of 100.
    pub(crate) fn times(&self, name: &str, label: &str) -> Vec<Series> {
        let at = |quantile: f64| {
            let timed = self.buckets.iter().filter_map(|(bucket, delta)| Some((bucket, delta.timings.get(name)?)));
            timed.map(|(bucket, timing)| [middle(*bucket), timing.quantile(quantile)]).collect::<Vec<_>>()
        };
        [("p50", 0.5), ("p99", 0.99)]
            .into_iter()
            .map(|(suffix, quantile)| {
                Series::of(&format!("{name}.{suffix}"), &format!("{label}, {suffix}"), "ms", at(quantile))
            })
            .collect()
    }
}

/// The middle of a bucket, in seconds.
fn middle(bucket: usize) -> f64 {
    (float(bucket as u64) + 0.5) * BUCKET.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_told_apart_over_time() {
        let meter = Meter::default();
        let mut course = Course::start(Sampler::of(None, Vec::new()));
        for (at, count) in [(100, 5), (400, 5), (700, 1)] {
            meter.count_many("in", count);
            meter.time("welcome", Duration::from_millis(count));
            course.add_at(Duration::from_millis(at), &meter.take()).unwrap();
        }
        assert_eq!(format!("{:?}", course.rate("in", "in").points), "[[0.25, 20.0], [0.75, 2.0]]");
        let times = course.times("welcome", "to the welcome");
        assert_eq!(times.len(), 2);
        assert!((times[0].points[0][1] - 5.0).abs() < 0.1, "{:?}", times[0].points);
        assert_eq!(course.whole().count("in"), 11);
    }
}
