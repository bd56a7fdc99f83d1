//! A store on CQL: what one append takes, what transfers take beside the bare driver, how long a takeover takes, and
//! what it costs to read what an idempotency key did before.
//!
//! `cargo bench --bench cql -- --node 127.0.0.1:9042 --seconds 5 --takeover 100000`
//!
//! Works in the keyspace `quickpe_bench`, which it makes anew. Transfers go through the accounts of a node in this
//! process, without HTTP: its CPU is the process's, clients included.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark prints and stops"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to read"
)]

#[path = "cql/appends.rs"]
mod appends;
#[path = "cql/figures.rs"]
mod figures;
#[path = "cql/keys.rs"]
mod keys;
#[path = "cql/takeover.rs"]
mod takeover;
#[path = "cql/transfers.rs"]
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use actors::config::LedgerConfig;
use storage_cql::{Connection, Cql, CqlConfig, migrate};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is measured, where, and for how long each.
pub(crate) struct Options {
    config: CqlConfig,
    length: Duration,
    takeover: u64,
    projection_delay_ms: u64,
}

impl Options {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
        let number = |name: &str, default: u64| value(name).map_or(default, |text| text.parse().expect("a number"));
        let nodes = value("--node").unwrap_or_else(|| "127.0.0.1:9042".to_owned());
        let nodes = nodes.split(',').map(str::to_owned).collect();
        Self {
            // As many in flight as there are shards: a figure of the store, not of a bound of ours.
            config: CqlConfig {
                nodes,
                keyspace: "quickpe_bench".to_owned(),
                transactions_max: 256,
                ..CqlConfig::default()
            },
            length: Duration::from_secs(number("--seconds", 5)),
            takeover: number("--takeover", 100_000),
            projection_delay_ms: number("--projection-delay-ms", LedgerConfig::default().projection_delay_ms),
        }
    }

    /// A session of its own, as another process has it.
    async fn connect(&self) -> Arc<Cql> {
        let connection = Connection::open(&self.config).await.unwrap();
        Arc::new(Cql::prepare(connection, &self.config).await.unwrap())
    }
}

async fn run(options: Options) {
    let metrics = quickpe::telemetry::metrics().unwrap();
    let connection = Connection::open(&options.config).await.unwrap();
    connection.execute("DROP KEYSPACE IF EXISTS quickpe_bench").await.unwrap();
    migrate::run(&connection, &options.config).await.unwrap();
    drop(connection);
    let bare = appends::Bare::connect(&options.config).await;
    appends::table(&options, &bare).await;
    transfers::table(&options, &bare, &metrics).await;
    keys::table(&options).await;
    takeover::table(&options, &bare).await;
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Options::read()));
    // Nothing of the actors is worth an orderly end.
    std::process::exit(0);
}
