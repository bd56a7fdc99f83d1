//! The embedded stores of a node, opened in the order in which they vouch for one another.
//!
//! The views say how far they are; the journal is opened with that, and refuses views of another history. Views that
//! are missing, of another format or too far behind are brought up by a replay before anything is served.

use std::sync::{Arc, OnceLock};

use actors::projector::rebuild::Rebuilder;
use bytes::Bytes;
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::Deliveries;
use storage::embedded::deliveries::EmbeddedDeliveries;
use storage::embedded::identity::EmbeddedIdentity;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom};
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig};
use storage::identity::{Identity, random_quickpe_ids};
use storage::journal::{Journal, JournalKey, Place, Slot, Space};
use storage::sealing::{KeyEncryptionKey, Keyring};
use storage::views::{Position, Views};

use crate::config::{Config, Keys};
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

/// The journal and the views.
pub struct LedgerStores {
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

impl LedgerStores {
    /// Opens the journal and the views of a locked store. Blocks on the disk.
    ///
    /// # Errors
    /// See [`EmbeddedJournal::open`] and [`EmbeddedViews::open`].
    pub fn open(store: &Store, config: &Config) -> Result<Self, Error> {
        let reader = Arc::new(LateReader::default());
        let layout = Layout::of(store.lock.dir());
        let views_config =
            ViewsConfig { cache_bytes: config.storage.views_cache_bytes, ..ViewsConfig::of(store.founding.id) };
        let (views, mut rebuild) = match EmbeddedViews::open(&layout.views(), &views_config, reader.clone())? {
            Opening::Ready(views) => (views, None),
            Opening::Rebuild { views, reason } => (views, Some(reason)),
        };
        let positions = views.positions()?;
        let known: Vec<_> = positions.iter().map(|(key, position)| known(*key, position)).collect();
        let journal_config = JournalConfig {
            segment_bytes: config.storage.segment_bytes,
            bytes_max: config.storage.bytes_max.unwrap_or(u64::MAX),
            ..JournalConfig::new(Space::Ledger, store.founding.id, store.shards)
        };
        let from = OpenFrom::Last(config.ledger.tail_log_bytes_max);
        let journal = Arc::new(EmbeddedJournal::open(Arc::clone(&store.lock), &journal_config, from, &known)?);
        journal.set_bytes_beside(views.bytes_on_disk());
        // Nobody else has set it: the reader was made above.
        reader.set(Arc::clone(&journal));
        if rebuild.is_none() && positions.is_empty() && !store.is_new {
            rebuild = Some("there are no views".to_owned());
        }
        Ok(Self { journal, views: Arc::new(views), rebuild })
    }

    /// Brings the views up to the journal if they are further behind than opening a shard may read.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn catch_up(&self, store: &Store, config: &Config, watch: Watcher<'_>) -> Result<(), Error> {
        let positions = self.views.positions()?;
        let Some(from) = self.behind(store, config, &positions).await? else { return Ok(()) };
        let reason = self.rebuild.as_deref().unwrap_or("they are too far behind the journal");
        tracing::warn!(reason, "the views are brought up from the journal");
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
        let mut rebuilder = Rebuilder::new(views, positions)?;
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
            let key = JournalKey { space: Space::Ledger, shard };
            let through = positions.iter().find(|(other, _)| *other == key).map_or(Slot(0), |(_, at)| at.through);
            if let Some(next) = self.journal.read(key, through.next(), 1).await?.first() {
                oldest = Some(oldest.map_or(next.place, |oldest| oldest.min(next.place)));
            }
        }
        // Twice the bound: a node that was stopped at it is not behind.
        let bound = config.ledger.tail_log_bytes_max.saturating_mul(2);
        Ok(oldest.filter(|oldest| self.journal.bytes_behind(*oldest) > bound))
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
