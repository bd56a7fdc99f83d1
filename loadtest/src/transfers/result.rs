//! What became of the transfers, and how long they took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use uuid::Uuid;

use super::Options;
use super::follow::Heard;
use super::usage::Used;

/// The longest time that is told apart, in microseconds: above the patience for an answer.
const MICROS_MAX: u64 = 120_000_000;
/// The most transfers whose id is kept, to match them with what payees hear.
const SENT_MAX: usize = 4_000_000;

/// An empty histogram of microseconds, exact to three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MICROS_MAX, 3)?)
}

/// Adds a time; the longest that is told apart if it is longer.
pub(crate) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX).clamp(1, MICROS_MAX));
}

/// What became of one transfer.
pub(crate) enum Outcome {
    /// It was made.
    Done {
        /// The payee's side was not known yet.
        pending: bool,
        /// Its id, if that matters.
        id: Option<Uuid>,
    },
    /// It was refused, for this reason.
    Refused(String),
    /// No answer in time, a broken connection, or none that could be read.
    Unanswered,
}

/// What one connection, or all of them, saw.
pub(crate) struct Tally {
    /// From when a transfer was due until its answer.
    latency: Histogram<u64>,
    /// From when it was due until it was sent: how far connections or the generator were behind.
    lag: Histogram<u64>,
    completed: u64,
    pending: u64,
    unanswered: u64,
    refused: BTreeMap<String, u64>,
    /// When each transfer was due, by its id; only where payees listen.
    pub(crate) sent: Vec<(Uuid, Instant)>,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (latency, lag) = (histogram()?, histogram()?);
        let (refused, sent) = (BTreeMap::new(), Vec::new());
        Ok(Self { latency, lag, completed: 0, pending: 0, unanswered: 0, refused, sent })
    }

    /// Adds one transfer that was due then and sent then, and whose outcome is known now.
    pub(crate) fn record(&mut self, outcome: Outcome, due: Instant, sent: Instant, keep: bool) {
        record(&mut self.lag, sent.saturating_duration_since(due));
        match outcome {
            Outcome::Done { pending, id } => {
                record(&mut self.latency, due.elapsed());
                if pending {
                    self.pending += 1;
                } else {
                    self.completed += 1;
                }
                if let Some(id) = id.filter(|_| keep && self.sent.len() < SENT_MAX) {
                    self.sent.push((id, due));
                }
            }
            Outcome::Refused(code) => *self.refused.entry(code).or_default() += 1,
            Outcome::Unanswered => self.unanswered += 1,
        }
    }

    /// Adds what another saw.
    pub(crate) fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.lag.add(&other.lag)?;
        self.completed += other.completed;
        self.pending += other.pending;
        self.unanswered += other.unanswered;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.sent.extend(other.sent);
        Ok(())
    }

    /// Transfers that were made.
    fn done(&self) -> u64 {
        self.completed + self.pending
    }
}

/// A distribution of times, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Millis {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Millis {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| float(histogram.value_at_quantile(quantile)) / 1000.0;
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: float(histogram.max()) / 1000.0,
        }
    }
}

/// The result of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    closed: bool,
    rate: Option<u32>,
    connections: u16,
    followers: u16,
    seconds: f64,
    per_second: f64,
    completed: u64,
    pending: u64,
    unanswered: u64,
    unsent: u64,
    refused: BTreeMap<String, u64>,
    latency_ms: Millis,
    lag_ms: Millis,
    message_latency_ms: Option<Millis>,
    messages_missing: Option<u64>,
    followers_ended: Vec<String>,
    server_cpu_us_per_transfer: Option<f64>,
    used: Used,
}

impl Results {
    /// The result of what all connections saw.
    pub(crate) fn of(
        options: &Options,
        seconds: f64,
        tally: &Tally,
        unsent: u64,
        heard: Option<&Heard>,
        used: Used,
    ) -> Self {
        let done = tally.done();
        let each = |cpu_ms: u64| float(cpu_ms) * 1000.0 / float(done.max(1));
        Self {
            closed: options.closed,
            rate: (!options.closed).then_some(options.rate),
            connections: options.connections,
            followers: options.followers,
            seconds,
            per_second: float(done) / seconds.max(f64::MIN_POSITIVE),
            completed: tally.completed,
            pending: tally.pending,
            unanswered: tally.unanswered,
            unsent,
            refused: tally.refused.clone(),
            latency_ms: Millis::of(&tally.latency),
            lag_ms: Millis::of(&tally.lag),
            message_latency_ms: heard.map(|heard| Millis::of(&heard.latency)),
            messages_missing: heard.map(|heard| heard.missing),
            followers_ended: heard.map(|heard| heard.ended.clone()).unwrap_or_default(),
            server_cpu_us_per_transfer: used.server_cpu_ms.map(each),
            used,
        }
    }

    /// Whether all was answered and heard.
    pub(crate) fn passed(&self) -> bool {
        self.completed > 0 && self.unanswered == 0 && self.unsent == 0 && self.messages_missing.unwrap_or(0) == 0
    }

    /// Tells it to a person.
    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    pub(crate) fn print(&self) {
        let Self { per_second, completed, pending, unanswered, unsent, seconds, connections, .. } = self;
        let rate = self.rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("{rate}/s"));
        println!("{rate}, {connections} connections, {seconds:.1} s: {per_second:.0} transfers/s");
        println!(
            "{completed} completed, {pending} pending, {unanswered} unanswered, {unsent} never sent, refused: {:?}",
            self.refused
        );
        let line = |name: &str, it: &Millis| {
            let Millis { mean, p50, p90, p99, p999, max, .. } = it;
            println!(
                "{name:>16}  mean {mean:.2}  p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms"
            );
        };
        line("to the answer", &self.latency_ms);
        line("sent late by", &self.lag_ms);
        if let (Some(heard), Some(missing)) = (&self.message_latency_ms, self.messages_missing) {
            line("to the message", heard);
            println!("{missing} messages missing; connections that ended: {:?}", self.followers_ended);
        }
        if let (Some(cpu), Some(rss), Some(peak)) =
            (self.server_cpu_us_per_transfer, self.used.server_rss_kib, self.used.server_rss_peak_kib)
        {
            println!("server: {cpu:.0} µs CPU a transfer, {} MiB, at most {} MiB", rss / 1024, peak / 1024);
        }
        if let Some(cpu) = self.used.generator_cpu_ms {
            println!("generator: {:.2} cores", float(cpu) / 1000.0 / seconds);
        }
    }
}

/// A count as a number to divide.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_when_a_transfer_was_due() {
        let mut tally = Tally::new().unwrap();
        let Some(due) = Instant::now().checked_sub(Duration::from_millis(500)) else { return };
        let sent = due + Duration::from_millis(400);
        tally.record(Outcome::Done { pending: false, id: None }, due, sent, false);
        tally.record(Outcome::Refused("busy".into()), due, sent, false);
        tally.record(Outcome::Unanswered, due, sent, false);
        let mut whole = Tally::new().unwrap();
        whole.add(tally).unwrap();
        let latency = Millis::of(&whole.latency);
        assert!(latency.count == 1 && latency.p50 >= 499.0, "{latency:?}");
        assert!((399.0..402.0).contains(&Millis::of(&whole.lag).p99));
        assert_eq!((whole.done(), whole.unanswered, whole.refused["busy"]), (1, 1, 1));
    }
}
