//! The embedded stores of rooms: a log of their own with retention, and views of their own.
//!
//! Apart from the ledger's, so that talk neither slows money down nor is slowed down by it, and so that what
//! retention removes is nobody else's.

use std::sync::Arc;

use actors::room_projector::rebuild::RoomRebuilder;
use actors::rooms::hall;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom};
use storage::embedded::views::{EmbeddedViews, Opening, ViewsConfig};
use storage::journal::{Journal, JournalKey, Place, Retention, Slot, Space};
use storage::views::{Position, Views};

use crate::config::Config;
use crate::node::store::{Layout, Store};
use crate::node::stores::LateReader;

/// How often a replay lets other tasks run, in records.
const TURN_RECORDS: u64 = 256;

/// The journal and the views of rooms.
pub struct RoomStores {
    /// The truth.
    pub journal: Arc<EmbeddedJournal>,
    /// What is read.
    pub views: Arc<EmbeddedViews>,
}

impl RoomStores {
    /// Opens the journal and the views of rooms of a locked store. Blocks on the disk.
    ///
    /// # Errors
    /// See [`EmbeddedJournal::open`] and [`EmbeddedViews::open`].
    pub fn open(store: &Store, config: &Config) -> Result<Self, Error> {
        let reader = Arc::new(LateReader::default());
        let storage = &config.storage;
        let views_config =
            ViewsConfig { cache_bytes: storage.rooms_views_cache_bytes, ..ViewsConfig::of(store.founding.id) };
        let folder = Layout::of(store.lock.dir()).room_views();
        let views = match EmbeddedViews::open(&folder, &views_config, reader.clone())? {
            Opening::Ready(views) => views,
            Opening::Rebuild { views, reason } => {
                tracing::warn!(reason, "the views of rooms are derived anew");
                views
            }
        };
        let positions = views.positions()?;
        let known: Vec<_> = positions
            .iter()
            .map(|(key, position)| Known { key: *key, slot: position.through, hash: position.hash })
            .collect();
        let journal_config = JournalConfig {
            segment_bytes: storage.rooms_segment_bytes,
            segments_ahead: 1,
            bytes_max: storage.bytes_max.unwrap_or(u64::MAX),
            ..JournalConfig::new(Space::Rooms, store.founding.id, store.shards)
        };
        let from = OpenFrom::Last(config.rooms.tail_log_bytes_max);
        let journal = Arc::new(EmbeddedJournal::open(Arc::clone(&store.lock), &journal_config, from, &known)?);
        // Nobody else has set it: the reader was made above.
        reader.set(Arc::clone(&journal));
        Ok(Self { journal, views: Arc::new(views) })
    }

    /// Brings the views up to the journal if they are further behind than opening a shard may read.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn catch_up(&self, store: &Store, config: &Config) -> Result<(), Error> {
        let positions = self.views.positions()?;
        let Some(from) = self.behind(store, config, &positions).await? else { return Ok(()) };
        tracing::warn!("the views of rooms are brought up from their journal");
        let mut rebuilder = RoomRebuilder::new(Arc::clone(&self.views) as Arc<dyn Views>, positions)?;
        let mut records = 0_u64;
        for stored in self.journal.scan(from)? {
            rebuilder.record(stored?).await?;
            records += 1;
            if records.is_multiple_of(TURN_RECORDS) {
                // So that signals are heard in a replay that takes long.
                tokio::task::yield_now().await;
            }
        }
        rebuilder.finish().await
    }

    /// From where the journal must be read into the views before shards are opened, if it must.
    async fn behind(
        &self,
        store: &Store,
        config: &Config,
        positions: &[(JournalKey, Position)],
    ) -> Result<Option<Place>, Error> {
        if store.is_new {
            return Ok(None);
        }
        let mut oldest: Option<Place> = None;
        for shard in store.shards.shards() {
            let key = JournalKey { space: Space::Rooms, shard };
            let through = positions.iter().find(|(other, _)| *other == key).map_or(Slot(0), |(_, at)| at.through);
            if let Some(next) = self.journal.read(key, through.next(), 1).await?.first() {
                // What retention has removed before it, no shard can read: only a replay starts there.
                if next.record.slot != through.next() {
                    return Ok(Some(Place(0)));
                }
                oldest = Some(oldest.map_or(next.place, |oldest| oldest.min(next.place)));
            }
        }
        // Twice the bound: a node that was stopped at it is not behind.
        let bound = config.rooms.tail_log_bytes_max.saturating_mul(2);
        Ok(oldest.filter(|oldest| self.journal.bytes_behind(*oldest) > bound))
    }

    /// The ports, as the actors have them.
    pub fn ports(&self) -> hall::RoomStores {
        hall::RoomStores { journal: Arc::clone(&self.journal) as _, views: Arc::clone(&self.views) as _ }
    }

    /// The log's old end.
    pub fn retention(&self) -> Arc<dyn Retention> {
        Arc::clone(&self.journal) as _
    }
}
