//! The stores of a node, in the data folder or on CQL; and bringing views up to their journal before anything is served.

mod cql;
mod embedded;
mod records;

use std::sync::Arc;

use actors::projector::rebuild::Rebuilder;
use actors::room_projector::rebuild::RoomRebuilder;
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::Deliveries;
use storage::embedded::deliveries::EmbeddedDeliveries;
use storage::embedded::identity::EmbeddedIdentity;
use storage::embedded::journal::EmbeddedJournal;
use storage::identity::{Identity, random_quickpe_ids};
use storage::journal::{Journal, JournalKey, Place, Retention, Space, StoredRecord};
use storage::moving::{MoveDevices, MovePeople};
use storage::sealing::{KeyEncryptionKey, Keyring};
use storage::views::{Position, Views};
use storage::watches::Watches;
use storage_cql::{CqlDeliveries, CqlIdentity, CqlWatches};

use crate::config::{Config, Keys};
use crate::node::store::Store;
use cql::CqlSpace;
use embedded::EmbeddedSpace;
pub use records::Records;

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
    engine: Engine,
}

/// Where they are.
enum Engine {
    Embedded(EmbeddedSpace),
    Cql(CqlSpace),
}

impl SpaceStores {
    /// Opens the journal of a space and its views, of a locked store. May block on the disk.
    ///
    /// # Errors
    /// A file that cannot be opened or is damaged, or views of another history.
    pub fn open(store: &Store, config: &Config, space: Space) -> Result<Self, Error> {
        let engine = match &store.cql {
            Some(cql) => Engine::Cql(CqlSpace::new(cql, space)),
            None => Engine::Embedded(EmbeddedSpace::open(store, config, space)?),
        };
        Ok(Self { space, engine })
    }

    /// The truth.
    pub fn journal(&self) -> Arc<dyn Journal> {
        match &self.engine {
            Engine::Embedded(space) => Arc::clone(&space.journal) as _,
            Engine::Cql(space) => Arc::clone(&space.journal) as _,
        }
    }

    /// What is read.
    pub fn views(&self) -> Arc<dyn Views> {
        match &self.engine {
            Engine::Embedded(space) => Arc::clone(&space.views) as _,
            Engine::Cql(space) => Arc::clone(&space.views) as _,
        }
    }

    /// The journal's old end.
    pub fn retention(&self) -> Arc<dyn Retention> {
        match &self.engine {
            Engine::Embedded(space) => Arc::clone(&space.journal) as _,
            Engine::Cql(space) => Arc::clone(&space.journal) as _,
        }
    }

    /// Whether one reading of all records is of one moment: what it has of one shard is not older than what another
    /// was told of it.
    pub const fn reads_one_moment(&self) -> bool {
        matches!(self.engine, Engine::Embedded(_))
    }

    /// How far the views are, by journal.
    ///
    /// # Errors
    /// The views do not answer.
    pub async fn positions(&self, store: &Store) -> Result<Vec<(JournalKey, Position)>, Error> {
        match &self.engine {
            Engine::Embedded(space) => space.views.positions(),
            Engine::Cql(space) => space.views.positions(space.keys(store)).await,
        }
    }

    /// All records that there are now.
    ///
    /// # Errors
    /// The journal does not answer.
    pub async fn records(&self, store: &Store) -> Result<Records, Error> {
        match &self.engine {
            Engine::Embedded(space) => Ok(Records::Log(Box::new(space.scan(Place(0))?))),
            Engine::Cql(space) => Ok(Records::Shards(space.records(store).await?)),
        }
    }

    /// The log of the space, where it is in the data folder.
    pub fn log(&self) -> Option<Arc<EmbeddedJournal>> {
        match &self.engine {
            Engine::Embedded(space) => Some(Arc::clone(&space.journal)),
            Engine::Cql(_) => None,
        }
    }

    /// Counts the views' bytes towards what the store may hold, where that is this node's affair.
    pub fn measure(&self) {
        if let Engine::Embedded(space) = &self.engine {
            space.measure();
        }
    }

    /// Brings the views up to the journal if they are further behind than opening a shard may read.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn catch_up(&self, store: &Store, config: &Config, watch: Watcher<'_>) -> Result<(), Error> {
        let positions = self.positions(store).await?;
        let why = "they are too far behind the journal";
        let (records, reason) = match &self.engine {
            Engine::Embedded(space) => {
                let from = space.behind(store, config, &positions).await?;
                let records = from.map(|from| space.scan(from)).transpose()?;
                (records.map(|scan| Records::Log(Box::new(scan))), space.rebuild.as_deref().unwrap_or(why))
            }
            Engine::Cql(space) => (space.behind(store, config, &positions).await?.map(Records::Shards), why),
        };
        let Some(records) = records else { return Ok(()) };
        tracing::warn!(space = self.space.name(), reason, "the views are brought up from the journal");
        self.replay(records, positions, watch).await.map(drop)
    }

    /// Reads records into views that are at `positions`. Answers how many there were.
    ///
    /// # Errors
    /// A store does not answer, or is damaged.
    pub async fn replay(
        &self,
        mut records: Records,
        positions: Vec<(JournalKey, Position)>,
        watch: Watcher<'_>,
    ) -> Result<u64, Error> {
        let mut rebuilder = match self.space {
            Space::Ledger => AnyRebuilder::Ledger(Rebuilder::new(self.views(), positions)?),
            Space::Rooms => AnyRebuilder::Rooms(RoomRebuilder::new(self.views(), positions)?),
        };
        let (begin, end, mut count) = (records.position(), records.end(), 0_u64);
        let of = end.saturating_sub(begin);
        while let Some(stored) = records.next().await {
            rebuilder.record(stored?).await?;
            count += 1;
            if count.is_multiple_of(PROGRESS_RECORDS) {
                watch(Progress { done: records.position().saturating_sub(begin), of, records: count });
                // So that signals are heard in a replay that takes minutes.
                tokio::task::yield_now().await;
            }
        }
        rebuilder.finish().await?;
        watch(Progress { done: of, of, records: count });
        self.measure();
        Ok(count)
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

/// The stores of people and their devices.
pub struct PeopleStores {
    /// People.
    pub identity: Arc<dyn Identity>,
    /// Cursors and dead letters.
    pub deliveries: Arc<dyn Deliveries>,
    /// What is owed to persons.
    pub watches: Arc<dyn Watches>,
    /// The same, where they are files of the data folder.
    pub files: Option<PeopleFiles>,
    /// People, to be moved.
    pub move_people: Arc<dyn MovePeople>,
    /// Devices, to be moved.
    pub move_devices: Arc<dyn MoveDevices>,
}

/// The stores of people in the data folder.
#[derive(Clone)]
pub struct PeopleFiles {
    /// People.
    pub identity: Arc<EmbeddedIdentity>,
    /// Cursors, dead letters and what is owed to persons.
    pub deliveries: Arc<EmbeddedDeliveries>,
}

impl PeopleStores {
    /// Opens the stores of people. May block on the disk.
    ///
    /// # Errors
    /// A file that cannot be opened, or keys that are none.
    pub fn open(store: &Store, keys: &Keys) -> Result<Self, Error> {
        let wrapping: Vec<_> = keys.encryption.iter().map(|key| KeyEncryptionKey::new(*key)).collect();
        let keyring = Keyring::new(&wrapping)?;
        if let Some(cql) = &store.cql {
            let identity = Arc::new(CqlIdentity::new(Arc::clone(cql), keyring, random_quickpe_ids()));
            let deliveries = Arc::new(CqlDeliveries::new(Arc::clone(cql)));
            return Ok(Self {
                identity: Arc::clone(&identity) as _,
                deliveries: Arc::clone(&deliveries) as _,
                watches: Arc::new(CqlWatches::new(Arc::clone(cql))),
                files: None,
                move_people: identity,
                move_devices: deliveries,
            });
        }
        let data = store.lock.dir();
        let identity = Arc::new(EmbeddedIdentity::open(data, keyring, random_quickpe_ids())?);
        let deliveries = Arc::new(EmbeddedDeliveries::open(data)?);
        let files = PeopleFiles { identity: Arc::clone(&identity), deliveries: Arc::clone(&deliveries) };
        Ok(Self {
            identity: Arc::clone(&identity) as _,
            deliveries: Arc::clone(&deliveries) as _,
            watches: Arc::clone(&deliveries) as _,
            files: Some(files),
            move_people: identity,
            move_devices: deliveries,
        })
    }

    /// The port of identity.
    pub fn identity(&self) -> Arc<dyn Identity> {
        Arc::clone(&self.identity)
    }

    /// The port of watches.
    pub fn watches(&self) -> Arc<dyn Watches> {
        Arc::clone(&self.watches)
    }

    /// The port of deliveries.
    pub fn deliveries(&self) -> Arc<dyn Deliveries> {
        Arc::clone(&self.deliveries)
    }
}

/// When the wall clock says that a store is made.
pub fn now() -> Timestamp {
    actors::clock::WallClock::now(&crate::clock::SystemClock)
}
