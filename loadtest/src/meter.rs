//! What happens, counted and timed until somebody takes it away.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::timing::Timing;

/// The most faults that are kept in words; all are counted.
const FAULTS_MAX: usize = 20;

/// A name of something that is counted or timed.
pub(crate) type Name = Cow<'static, str>;

/// What happened since the last time. Deltas of several processes add up.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delta {
    /// How often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) counts: BTreeMap<Name, u64>,
    /// How long.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) timings: BTreeMap<Name, Timing>,
    /// What went wrong, in words; the first of them only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<String>,
}

impl Delta {
    /// How often this was counted.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Adds what another holds.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        for (name, timing) in &other.timings {
            match self.timings.get_mut(name) {
                Some(known) => known.add(timing)?,
                None => _ = self.timings.insert(name.clone(), timing.clone()),
            }
        }
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(other.faults.iter().take(room).cloned());
        Ok(())
    }
}

/// Counts and times. Shared by all that run.
#[derive(Default)]
pub(crate) struct Meter(Mutex<Delta>);

impl Meter {
    /// Counts one more.
    pub(crate) fn count(&self, name: impl Into<Name>) {
        self.count_many(name, 1);
    }

    /// Counts so many more.
    pub(crate) fn count_many(&self, name: impl Into<Name>, more: u64) {
        *self.0.lock().counts.entry(name.into()).or_default() += more;
    }

    /// Adds a time.
    pub(crate) fn time(&self, name: impl Into<Name>, time: Duration) {
        let mut delta = self.0.lock();
        match delta.timings.entry(name.into()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut().record(time),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                // The bounds are constants: there always is one.
                if let Ok(timing) = Timing::new() {
                    vacant.insert(timing).record(time);
                }
            }
        }
    }

    /// Adds a distribution that somebody kept apart, and empties it.
    pub(crate) fn absorb(&self, name: &'static str, timing: &mut Timing) -> anyhow::Result<()> {
        if timing.count() > 0 {
            let mut delta = Delta::default();
            delta.timings.insert(name.into(), timing.clone());
            timing.clear();
            self.0.lock().add(&delta)?;
        }
        Ok(())
    }

    /// Counts something that must not be, and keeps the first in words.
    pub(crate) fn fault(&self, name: &'static str, what: impl FnOnce() -> String) {
        let mut delta = self.0.lock();
        *delta.counts.entry(name.into()).or_default() += 1;
        if delta.faults.len() < FAULTS_MAX {
            delta.faults.push(what());
        }
    }

    /// Takes away what happened since the last time.
    pub(crate) fn take(&self) -> Delta {
        std::mem::take(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_add_up_over_text() {
        let meter = Meter::default();
        let mut whole = Delta::default();
        for round in 0..3 {
            meter.count("in");
            meter.count_many("messages", 10);
            meter.time("welcome", Duration::from_millis(1 + round));
            meter.fault("lost", || format!("round {round}"));
            let text = serde_json::to_string(&meter.take()).unwrap();
            whole.add(&serde_json::from_str(&text).unwrap()).unwrap();
        }
        assert_eq!((whole.count("in"), whole.count("messages"), whole.count("lost")), (3, 30, 3));
        assert_eq!(whole.faults, ["round 0", "round 1", "round 2"]);
        assert_eq!(whole.timings["welcome"].count(), 3);
        assert!(meter.take().counts.is_empty(), "what is taken is gone");
    }

    #[test]
    fn words_are_bounded_and_counts_are_not() {
        let meter = Meter::default();
        for _ in 0..100 {
            meter.fault("lost", || "x".into());
        }
        let delta = meter.take();
        assert_eq!((delta.count("lost"), delta.faults.len()), (100, FAULTS_MAX));
    }
}
