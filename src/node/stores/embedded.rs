//! The stores of a space in the data folder.
//!
//! The views say how far they are; the journal is opened with that, and refuses views of another history. Views that
//! are missing, of another format or too far behind are brought up by a replay before anything is served.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom, Scan};
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig};
use storage::journal::{Journal, JournalKey, Place, Slot, Space};
use storage::views::Position;

use crate::config::{Config, StorageConfig};
use crate::node::store::{Layout, Store};

/// The journal of a space and its views, in the data folder.
pub(super) struct EmbeddedSpace {
    space: Space,
    pub(super) journal: Arc<EmbeddedJournal>,
    pub(super) views: Arc<EmbeddedViews>,
    /// Why the views hold nothing, if they do and there is a journal.
    pub(super) rebuild: Option<String>,
}

/// Lets the views read from a journal that is opened after them.
#[derive(Default)]
struct LateReader(OnceLock<Arc<EmbeddedJournal>>);

impl LateReader {
    /// The journal is open. Only the first is taken.
    fn set(&self, journal: Arc<EmbeddedJournal>) {
        self.0.set(journal).ok();
    }
}

impl PayloadReader for LateReader {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        let journal = self.0.get().ok_or_else(|| Error::Unavailable("the journal is not open yet".to_owned()))?;
        journal.read_bytes(place, at, len)
    }
}

impl EmbeddedSpace {
    /// Opens the journal of a space and its views, of a locked store. Blocks on the disk.
    pub(super) fn open(store: &Store, config: &Config, space: Space) -> Result<Self, Error> {
        let reader = Arc::new(LateReader::default());
        let layout = Layout::of(store.lock.dir());
        let views_config =
            ViewsConfig { cache_bytes: cache_bytes(&config.storage, space), ..ViewsConfig::of(store.founding.id) };
        let (views, mut rebuild) = match EmbeddedViews::open(&layout.views(space), &views_config, reader.clone())? {
            Opening::Ready(views) => (views, None),
            Opening::Rebuild { views, reason } => (views, Some(reason)),
        };
        let positions = views.positions()?;
        let known: Vec<_> = positions.iter().map(|(key, position)| known(*key, position)).collect();
        let (segment_bytes, segments_ahead) = segments(&config.storage, space);
        let journal_config = JournalConfig {
            segment_bytes,
            segments_ahead,
            bytes_max: config.storage.bytes_max.unwrap_or(u64::MAX),
            ..JournalConfig::new(space, store.founding.id, store.shards)
        };
        let from = OpenFrom::Last(tail_log_bytes_max(config, space));
        let journal = Arc::new(EmbeddedJournal::open(Arc::clone(&store.lock), &journal_config, from, &known)?);
        journal.set_bytes_beside(views.bytes_on_disk());
        // Nobody else has set it: the reader was made above.
        reader.set(Arc::clone(&journal));
        if rebuild.is_none() && positions.is_empty() && !store.is_new {
            rebuild = Some("there are no views".to_owned());
        }
        Ok(Self { space, journal, views: Arc::new(views), rebuild })
    }

    /// All records from a place on.
    pub(super) fn scan(&self, from: Place) -> Result<Scan, Error> {
        self.journal.scan(from)
    }

    /// Counts the views' bytes towards what the store may hold.
    pub(super) fn measure(&self) {
        self.journal.set_bytes_beside(self.views.bytes_on_disk());
    }

    /// From where the journal must be read into the views before shards are opened, if it must.
    pub(super) async fn behind(
        &self,
        store: &Store,
        config: &Config,
        positions: &[(JournalKey, Position)],
    ) -> Result<Option<Place>, Error> {
        if store.is_new {
            return Ok(None);
        }
        if positions.is_empty() {
            return Ok(Some(Place(0)));
        }
        let mut oldest: Option<Place> = None;
        for shard in store.shards.shards() {
            let key = JournalKey { space: self.space, shard };
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
        let bound = tail_log_bytes_max(config, self.space).saturating_mul(2);
        Ok(oldest.filter(|oldest| self.journal.bytes_behind(*oldest) > bound))
    }
}

/// Bytes of a new segment, and how many are made ahead. What is kept for a while goes by whole segments, so those of
/// rooms are small.
const fn segments(storage: &StorageConfig, space: Space) -> (u64, u64) {
    match space {
        Space::Ledger => (storage.segment_bytes, 2),
        Space::Rooms => (storage.rooms_segment_bytes, 1),
    }
}

const fn cache_bytes(storage: &StorageConfig, space: Space) -> u64 {
    match space {
        Space::Ledger => storage.views_cache_bytes,
        Space::Rooms => storage.rooms_views_cache_bytes,
    }
}

/// How far views may be behind the log before opening a shard reads too much.
const fn tail_log_bytes_max(config: &Config, space: Space) -> u64 {
    match space {
        Space::Ledger => config.ledger.tail_log_bytes_max,
        Space::Rooms => config.rooms.tail_log_bytes_max,
    }
}

fn known(key: JournalKey, position: &Position) -> Known {
    Known { key, slot: position.through, hash: position.hash }
}
