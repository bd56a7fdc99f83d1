//! The deliveries store's conformance.

use std::sync::Arc;

use storage::deliveries::Deliveries;
use storage_cql::CqlDeliveries;

use super::server::{self, Timed};

/// What is delivered. What falls due is passed over when there is nothing that it leads to.
const TABLES: [&str; 5] = ["devices", "cursors", "read_marks", "dead_letters", "dead_letter_lists"];

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let _timed = Timed::new("deliveries");
    let cql = server::connect().await;
    storage::conformance::deliveries::all(async || {
        server::empty(&cql, &TABLES).await;
        Arc::new(CqlDeliveries::new(Arc::clone(&cql))) as Arc<dyn Deliveries>
    })
    .await;
}
