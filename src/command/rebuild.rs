//! `quickpe rebuild-views`: the views thrown away and derived from the journal again.

use std::sync::Arc;

use storage::embedded::views;
use storage::journal::Space;
use tokio::time::Instant;

use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::config::Config;
use crate::node::store::{Layout, Store};
use crate::node::stores::{SpaceStores, now};

/// Rebuilds the views of a stopped store.
///
/// # Errors
/// The store is in use or damaged, or it refuses.
pub async fn run(config: &Arc<Config>, out: &Output) -> Result<(), Failure> {
    let store = Store::open(config, false, now()).await?;
    let begun = Instant::now();
    let mut records = 0;
    if let Some(cql) = &store.cql {
        // One set of tables holds the views of all spaces.
        storage_cql::clear_views(cql).await?;
    }
    for space in [Space::Ledger, Space::Rooms] {
        let stores = tokio::task::block_in_place(|| {
            if store.cql.is_none() {
                views::clear(&Layout::of(&config.data).views(space))?;
            }
            SpaceStores::open(&store, config, space)
        })?;
        let all = stores.records(&store).await?;
        records += stores.replay(all, Vec::new(), &|at| out.progress(at)).await?;
        // Closing writes what the views still hold in memory.
        tokio::task::block_in_place(|| drop(stores));
    }
    let seconds = begun.elapsed().as_secs_f64();
    out.line(format!("the views are rebuilt from {records} records in {seconds:.1} s")).await;
    Ok(())
}
