//! Distributions of times: exact to three digits, added up over processes, written as text.

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as Reader, Serializer as _, V2Serializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::length::float;

/// The longest time that is told apart, in microseconds: above every patience of the tool.
const MICROS_MAX: u64 = 600_000_000;
/// The most bytes of a distribution as it is read: more than all buckets of one.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// A distribution of times.
#[derive(Clone)]
pub(crate) struct Timing(Histogram<u64>);

impl Timing {
    /// Nothing yet. Counts from a microsecond to ten minutes.
    ///
    /// # Errors
    /// None in practice: the bounds are constants that the histogram takes.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, MICROS_MAX, 3)?))
    }

    /// Adds a time; the longest that is told apart if it is longer.
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_micros(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// Adds a time in microseconds.
    pub(crate) fn record_micros(&mut self, micros: u64) {
        self.0.saturating_record(micros.clamp(1, MICROS_MAX));
    }

    /// Adds all of another's.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// Starts again from nothing, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// How many times there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share of all stay below or reach, in milliseconds; 0.5 is the median.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        float(self.0.value_at_quantile(quantile)) / 1000.0
    }

    /// The figures that are usually asked for.
    pub(crate) fn millis(&self) -> Millis {
        Millis {
            count: self.count(),
            mean: self.0.mean() / 1000.0,
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: float(self.0.max()) / 1000.0,
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(STANDARD.encode(bytes))
    }

    fn of_text(text: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(text.len() <= TEXT_BYTES_MAX, "a histogram of {} bytes", text.len());
        let bytes = STANDARD.decode(text).context("a histogram is base64")?;
        let read = Reader::new().deserialize(&mut bytes.as_slice());
        let read = read.map_err(|error| anyhow::anyhow!("no histogram: {error:?}"))?;
        let mut timing = Self::new()?;
        timing.0.add(read).context("a histogram of other bounds")?;
        Ok(timing)
    }
}

impl Serialize for Timing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text().map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Timing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_text(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Millis {
    /// How many.
    pub(crate) count: u64,
    /// Their mean.
    pub(crate) mean: f64,
    /// Half are below.
    pub(crate) p50: f64,
    /// Nine of ten are below.
    pub(crate) p90: f64,
    /// 99 of 100 are below.
    pub(crate) p99: f64,
    /// 999 of 1,000 are below.
    pub(crate) p999: f64,
    /// The longest.
    pub(crate) max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_of_processes_add_up() {
        let (mut one, mut other, mut whole) = (Timing::new().unwrap(), Timing::new().unwrap(), Timing::new().unwrap());
        for milli in 1..=1000 {
            let part = if milli % 3 == 0 { &mut one } else { &mut other };
            part.record(Duration::from_millis(milli));
            whole.record(Duration::from_millis(milli));
        }
        // As they travel: each as text, read again, then added.
        let mut sum = Timing::new().unwrap();
        for part in [one, other] {
            let text = serde_json::to_string(&part).unwrap();
            sum.add(&serde_json::from_str(&text).unwrap()).unwrap();
        }
        assert_eq!(sum.millis(), whole.millis());
        assert_eq!(sum.count(), 1000);
        assert!((989.0..=991.0).contains(&sum.millis().p99), "{:?}", sum.millis());
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["", "=", "AAAA", "HISTgAAA"] {
            assert!(Timing::of_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_beyond_the_bounds_count_as_the_bounds() {
        let mut timing = Timing::new().unwrap();
        timing.record(Duration::ZERO);
        timing.record(Duration::from_hours(10));
        assert_eq!(timing.count(), 2);
        assert!((timing.millis().max - 600_000.0).abs() < 700.0);
    }
}
