//! The embedded stores of a node, opened in the order in which they vouch for one another.
//!
//! The views say how far they are; the journal is opened with that, and refuses views of another history. Views that
//! are missing, of another format or too far behind are brought up by a replay before anything is served.

use std::sync::{Arc, OnceLock};

use actors::projector::rebuild::Rebuilder;
use actors::room_projector::rebuild::RoomRebuilder;
use bytes::Bytes;
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::Deliveries;
use storage::embedded::deliveries::EmbeddedDeliveries;
use storage::embedded::identity::EmbeddedIdentity;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom};
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig};
use storage::identity::{Identity, random_quickpe_ids};
use storage::journal::{Journal, JournalKey, Place, Slot, Space, StoredRecord};
use storage::sealing::{KeyEncryptionKey, Keyring};
use storage::views::{Position, Views};

use crate::config::{Config, Keys, StorageConfig};
use crate::node::store::{Layout, Store};

/// How often a replay says how far it is, in records.
const PROGRESS_RECORDS: u64 = 256;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of log that were read.
    pub done: u64,
    /// Bytes of log that are to be read.
    pub of: u64,
    /// Records that were read.
    pub records: u64,
}

/// Hears of progress.
pub type Watcher<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// The journal of a space and its views.
pub struct SpaceStores {
    space: Space,
    /// The truth.
    pub journal: Arc<EmbeddedJournal>,
    /// What is read.
    pub views: Arc<EmbeddedViews>,
    /// Why the views hold nothing, if they do and there is a journal.
    pub rebuild: Option<String>,
}

/// The stores of people and their devices.
pub struct PeopleStores {
    /// People.
    pub identity: Arc<EmbeddedIdentity>,
    /// Cursors and dead letters.
    pub deliveries: Arc<EmbeddedDeliveries>,
}

/// Lets the views read from a journal that is opened after them.
#[derive(Default)]
pub(super) struct LateReader(OnceLock<Arc<EmbeddedJournal>>);

impl LateReader {
    /// The journal is open. Only the first is taken.
    pub(super) fn set(&self, journal: Arc<EmbeddedJournal>) {
        self.0.set(journal).ok();
    }
}

impl PayloadReader for LateReader {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        let journal = self.0.get().ok_or_else(|| Error::Unavailable("the journal is not open yet".to_owned()))?;
        journal.read_bytes(place, at, len)
    }
}

impl SpaceStores {
    /// Opens the journal of a space and its views, of a locked store. Blocks on the disk.
    ///
    /// # Errors
    /// See [`EmbeddedJournal::open`] and [`EmbeddedViews::open`].
    pub fn open(store: &Store, config: &Config, space: Space) -> Result<Self, Error> {
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

    /// Brings the views up to the journal if they are further behind than opening a shard may read.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn catch_up(&self, store: &Store, config: &Config, watch: Watcher<'_>) -> Result<(), Error> {
        let positions = self.views.positions()?;
        let Some(from) = self.behind(store, config, &positions).await? else { return Ok(()) };
        let reason = self.rebuild.as_deref().unwrap_or("they are too far behind the journal");
        tracing::warn!(space = self.space.name(), reason, "the views are brought up from the journal");
        self.replay(from, positions, watch).await.map(drop)
    }

    /// Reads the journal from `from` on into views that are at `positions`. Answers how many records it read.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn replay(
        &self,
        from: Place,
        positions: Vec<(JournalKey, Position)>,
        watch: Watcher<'_>,
    ) -> Result<u64, Error> {
        let views: Arc<dyn Views> = Arc::clone(&self.views) as _;
        let mut rebuilder = match self.space {
            Space::Ledger => AnyRebuilder::Ledger(Rebuilder::new(views, positions)?),
            Space::Rooms => AnyRebuilder::Rooms(RoomRebuilder::new(views, positions)?),
        };
        let mut scan = self.journal.scan(from)?;
        let (of, mut records) = (scan.end(), 0_u64);
        while let Some(stored) = scan.next() {
            rebuilder.record(stored?).await?;
            records += 1;
            if records.is_multiple_of(PROGRESS_RECORDS) {
                watch(Progress {
                    done: scan.position().saturating_sub(from.0),
                    of: of.saturating_sub(from.0),
                    records,
                });
                // So that signals are heard in a replay that takes minutes.
                tokio::task::yield_now().await;
            }
        }
        rebuilder.finish().await?;
        let whole = of.saturating_sub(from.0);
        watch(Progress { done: whole, of: whole, records });
        self.journal.set_bytes_beside(self.views.bytes_on_disk());
        Ok(records)
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

/// Makes the views of a space.
enum AnyRebuilder {
    Ledger(Rebuilder),
    Rooms(RoomRebuilder),
}

impl AnyRebuilder {
    async fn record(&mut self, stored: StoredRecord) -> Result<(), Error> {
        match self {
            Self::Ledger(rebuilder) => rebuilder.record(stored).await,
            Self::Rooms(rebuilder) => rebuilder.record(stored).await,
        }
    }

    async fn finish(self) -> Result<(), Error> {
        match self {
            Self::Ledger(rebuilder) => rebuilder.finish().await,
            Self::Rooms(rebuilder) => rebuilder.finish().await,
        }
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

impl PeopleStores {
    /// Opens the stores of people. Blocks on the disk.
    ///
    /// # Errors
    /// A file that cannot be opened, or keys that are none.
    pub fn open(store: &Store, keys: &Keys) -> Result<Self, Error> {
        let wrapping: Vec<_> = keys.encryption.iter().map(|key| KeyEncryptionKey::new(*key)).collect();
        let data = store.lock.dir();
        let identity = EmbeddedIdentity::open(data, Keyring::new(&wrapping)?, random_quickpe_ids())?;
        let deliveries = EmbeddedDeliveries::open(data)?;
        Ok(Self { identity: Arc::new(identity), deliveries: Arc::new(deliveries) })
    }

    /// The port of identity.
    pub fn identity(&self) -> Arc<dyn Identity> {
        Arc::clone(&self.identity) as _
    }

    /// The port of deliveries.
    pub fn deliveries(&self) -> Arc<dyn Deliveries> {
        Arc::clone(&self.deliveries) as _
    }
}

/// When the wall clock says that a store is made.
pub fn now() -> Timestamp {
    actors::clock::WallClock::now(&crate::clock::SystemClock)
}
