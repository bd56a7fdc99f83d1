//! What a node does now and then: rewrites what was erased, forgets what has expired, measures the stores.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use storage::Error;
use storage_cql::{Cql, paxos};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::node::stores::SpaceStores;

/// How often the node looks.
const LOOK: Duration = Duration::from_mins(10);

/// How long after an erasure the identity store is rewritten. It must be within 24 h; what is erased together is
/// rewritten once.
const COMPACT_AFTER: Duration = Duration::from_hours(20);

/// Rows forgotten in one commit.
const SWEEP_ROWS: usize = 1_000;

/// How often the views' size is measured: it counts towards `storage.bytes_max`.
const MEASURE: Duration = Duration::from_secs(2);

/// Runs until `stop`.
pub async fn run(app: Arc<App>, stores: [Arc<SpaceStores>; 2], cql: Option<Arc<Cql>>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    let mut measures = tokio::time::interval(MEASURE);
    measures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = measures.tick() => {
                for stores in &stores {
                    stores.measure();
                }
            }
            _ = looks.tick() => {
                if let Some(cql) = &cql {
                    paxos::measure(cql.connection()).await;
                }
                if let Err(error) = look(&app).await {
                    tracing::error!(%error, "upkeep failed and is tried again");
                }
            }
        }
    }
}

async fn look(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    while app.identity.sweep_logins(now, SWEEP_ROWS).await? == SWEEP_ROWS {}
    while app.deliveries.sweep_devices(now, SWEEP_ROWS).await? == SWEEP_ROWS {}
    while app.deliveries.sweep_dead_letters(now, SWEEP_ROWS).await? == SWEEP_ROWS {}
    let due = app.identity.compaction_due().await?;
    if due.is_some_and(|due| is_due(due.since, now)) {
        app.identity.compact().await?;
        tracing::info!("the identity store is rewritten: what was erased is gone from the disk");
    }
    Ok(())
}

fn is_due(since: Timestamp, now: Timestamp) -> bool {
    now.since(since) >= COMPACT_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_is_due_well_within_a_day() {
        let at = Timestamp(1_790_000_000_000_000);
        assert!(!is_due(at, at.after(Duration::from_hours(19))));
        assert!(is_due(at, at.after(Duration::from_hours(20))));
        assert!(COMPACT_AFTER + LOOK < Duration::from_hours(24));
    }
}
