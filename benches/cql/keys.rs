//! What it costs to ask the views what an idempotency key did before: once a transfer with a key that is not in the
//! tail, and nearly always for nothing.

use std::sync::Arc;

use actors::projector::cells;
use storage::journal::Space;
use storage::views::{Table, Views};
use storage_cql::CqlViews;
use uuid::Uuid;

use crate::Options;
use crate::figures::{Figures, Step, cpu_seconds};

/// Asks for transfers that there never were.
struct Asker(Arc<CqlViews>);

impl Step for Asker {
    async fn step(&mut self) -> bool {
        let found = self.0.cell(Table::Transfers, Uuid::new_v4(), cells::EFFECT).await;
        assert_eq!(found.unwrap(), None);
        true
    }
}

/// Prints latency, rate and our CPU of such readings.
pub(crate) async fn table(options: &Options) {
    println!("\n| reading of a key that is new, at once | p50 / p99 | rate | our CPU |");
    println!("|---|---|---|---|");
    let views = Arc::new(CqlViews::new(options.connect().await, Space::Ledger));
    for at_once in [1, 64] {
        let cpu = cpu_seconds();
        let askers = (0..at_once).map(|_| Asker(Arc::clone(&views))).collect();
        let figures = Figures::of(askers, options.length).await;
        println!(
            "| {at_once} | {:.1} / {:.1} ms | {:.0}/s | {:.0} µs |",
            figures.ms(0.5),
            figures.ms(0.99),
            figures.rate(),
            (cpu_seconds() - cpu) * 1e6 / figures.count as f64
        );
    }
}
