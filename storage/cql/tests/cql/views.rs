//! The views' conformance.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use storage::conformance::views::ViewsFixture;
use storage::journal::{Place, Space};
use storage::views::Views;
use storage_cql::{Cql, CqlViews};
use tokio::sync::OnceCell;

use super::server::{self, Timed};

/// Tables that are emptied before the first opening.
struct Fixture {
    cql: Arc<Cql>,
    emptied: OnceCell<()>,
}

#[async_trait]
impl ViewsFixture for Fixture {
    async fn open(&self) -> Arc<dyn Views> {
        let tables = ["positions", "checkpoints", "cells", "events", "event_buckets"];
        self.emptied.get_or_init(|| server::empty(&self.cql, &tables)).await;
        Arc::new(CqlViews::new(Arc::clone(&self.cql), Space::Ledger))
    }

    /// Rows hold their events.
    fn keep(&self, _: Place, _: Bytes) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let _timed = Timed::new("views");
    let cql = server::connect().await;
    let make = || Fixture { cql: Arc::clone(&cql), emptied: OnceCell::new() };
    storage::conformance::views::views(make).await;
}
