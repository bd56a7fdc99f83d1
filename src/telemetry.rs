//! Logs and metrics of the process.
//!
//! Logs go to stderr, so that stdout holds nothing but the ready line and what commands print. Metrics are described
//! by the crates that count them; here is how they are kept and written.

use std::io::IsTerminal;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::config::{ConfigError, LogFormat, TelemetryConfig};

/// How often what histograms gathered is put into their buckets. Without it they grow until they are read.
const UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of buckets of seconds: from a commit in memory to a caller's whole patience.
const SECONDS: [f64; 16] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of buckets of bytes: from one event to the largest record and beyond.
const BYTES: [f64; 8] = [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 131_072.0, 262_144.0, 1_048_576.0];
/// Bounds of buckets of counts: rows, records and writes that shared one commit.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// Starts writing the log.
///
/// # Errors
/// The filter does not read, or another log is being written already.
pub fn log(config: &TelemetryConfig) -> Result<(), ConfigError> {
    let wrong = |error: &dyn std::fmt::Display| ConfigError::new(format!("`telemetry.filter`: {error}"));
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| wrong(&error))?;
    let lines = Subscriber::builder().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Pretty => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal()).finish();
            tracing::subscriber::set_global_default(lines)
        }
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
    installed.map_err(|error| ConfigError::new(error.to_string()))
}

/// Starts keeping metrics. Call it before anything counts.
///
/// # Errors
/// Another recorder is installed.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_writes".to_owned()), &COUNTS)?
        .install_recorder()?;
    actors::metrics::describe();
    actors::rooms::metrics::describe();
    storage::metrics::describe();
    storage_cql::metrics::describe();
    storage_redis::metrics::describe();
    crate::cache::metrics::describe();
    crate::edge::metrics::describe();
    crate::escalation::metrics::describe();
    crate::http::metrics::describe();
    Ok(handle)
}

/// Keeps the metrics' memory bounded until `stop`.
pub async fn keep_up(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => handle.run_upkeep(),
        }
    }
}
