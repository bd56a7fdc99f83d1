//! The conformance of watches.

use std::sync::Arc;

use storage::watches::Watches;
use storage_cql::CqlWatches;

use super::server::{self, Timed};

/// What is owed. What falls due is passed over when there is nothing that it leads to.
const TABLES: [&str; 6] = ["subscribers", "subscriptions", "watches", "noted", "timeline_days", "timelines"];

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let _timed = Timed::new("watches");
    let cql = server::connect().await;
    storage::conformance::watches::all(async || {
        server::empty(&cql, &TABLES).await;
        Arc::new(CqlWatches::new(Arc::clone(&cql))) as Arc<dyn Watches>
    })
    .await;
}
