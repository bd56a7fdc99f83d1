//! Where an export goes: an empty data folder, or an empty keyspace.

use std::path::Path;
use std::sync::Arc;

use storage::Error;
use storage::embedded::lock::StoreLock;
use storage::embedded::views;
use storage::journal::Space;

use crate::command::export::contents::Contents;
use crate::config::{Config, StoreKind};
use crate::node::cql;
use crate::node::store::{Founding, Layout, Store};
use crate::node::unfinished::Unfinished;

/// The store in the making, which nobody else can open.
pub(super) struct Target {
    pub(super) store: Store,
    /// An import of the same was begun before.
    pub(super) is_begun: bool,
}

impl Target {
    /// Claims the data folder and, on CQL, a keyspace in which no store was made.
    pub(super) async fn open(config: &Config, contents: &Contents, shards: u16) -> Result<Self, Error> {
        let lock = Arc::new(StoreLock::acquire(&config.data)?);
        let layout = Layout::of(&config.data);
        let (note, is_begun) = Unfinished::claim(&layout, "import", named(contents, shards)?)?;
        // Another store, with files of its own, in which the streams go on.
        let founding = Founding { id: note.id, shards, ..contents.store.clone() };
        let (cql, place) = match config.storage.kind {
            StoreKind::Embedded => (None, layout.founding()),
            StoreKind::Cql => {
                let place = Path::new(&config.storage.cql.keyspace).to_owned();
                (Some(cql::open_unfounded(config, &founding).await?), place)
            }
        };
        let store = Store::of(lock, founding, false, cql, &place)?;
        Ok(Self { store, is_begun })
    }

    /// The data folder.
    pub(super) fn layout(&self) -> Layout {
        Layout::of(self.store.lock.dir())
    }

    /// Removes views of an import that was cut short: they are derived at the end.
    pub(super) async fn clear_views(&self) -> Result<(), Error> {
        if let Some(cql) = &self.store.cql {
            return storage_cql::clear_views(cql).await;
        }
        for space in Space::ALL {
            tokio::task::block_in_place(|| views::clear(&self.layout().views(space)))?;
        }
        Ok(())
    }

    /// Makes it a store that can be served.
    pub(super) async fn found(self, config: &Config) -> Result<(), Error> {
        match &self.store.cql {
            Some(cql) => cql::found_as(cql, config, &self.store.founding).await?,
            None => self.store.founding.write(&self.layout())?,
        }
        Unfinished::remove(&self.layout())
    }
}

/// A name for what is imported, by which it is known again: another export, or another number of shards, is not the same.
fn named(contents: &Contents, shards: u16) -> Result<String, Error> {
    let text = serde_json::to_vec(contents).map_err(|error| Error::Unknown(error.to_string()))?;
    let hash = blake3::hash(&text).to_hex();
    Ok(if shards == contents.store.shards { hash.to_string() } else { format!("{hash} in {shards} shards") })
}
