//! Doing the same from many tasks for a while, and what that comes to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;

/// One task's work, done again and again.
pub(crate) trait Step: Send + 'static {
    /// Does it once. Says whether it counts.
    fn step(&mut self) -> impl Future<Output = bool> + Send;
}

/// What a run came to.
pub(crate) struct Figures {
    /// What counted.
    pub(crate) count: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    micros: Vec<u32>,
}

impl Figures {
    /// Runs all tasks until the time is over.
    pub(crate) async fn of<S: Step>(steps: Vec<S>, length: Duration) -> Self {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for mut work in steps {
            tasks.spawn(async move {
                let mut micros = Vec::new();
                while begun.elapsed() < length {
                    let sent = Instant::now();
                    if work.step().await {
                        micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                    }
                }
                micros
            });
        }
        let mut micros: Vec<u32> = tasks.join_all().await.into_iter().flatten().collect();
        micros.sort_unstable();
        Self { count: micros.len() as u64, seconds: begun.elapsed().as_secs_f64(), micros }
    }

    /// How often a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// In how many milliseconds this part of all was done.
    pub(crate) fn ms(&self, part: f64) -> f64 {
        let place = (self.micros.len().saturating_sub(1) as f64 * part) as usize;
        f64::from(self.micros.get(place).copied().unwrap_or(0)) / 1e3
    }
}

/// Counts and sums as the node's own metrics have them.
pub(crate) struct Counted(BTreeMap<String, f64>);

impl Counted {
    /// Up to now.
    pub(crate) fn now(handle: &PrometheusHandle) -> Self {
        let text = handle.render();
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Self(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of a metric over all labels that hold `label`, since an earlier look.
    pub(crate) fn since(&self, before: &Self, name: &str, label: &str) -> f64 {
        let of = |all: &Self| -> f64 {
            let lines = all.0.iter().filter(|(line, _)| line.split('{').next() == Some(name) && line.contains(label));
            lines.map(|(_, value)| value).sum()
        };
        of(self) - of(before)
    }
}

/// Seconds of CPU that this process has used, from `/proc/self/stat` in ticks of 10 ms.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
