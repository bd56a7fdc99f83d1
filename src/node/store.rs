//! The store that a node is opened on, and the folder of one that is not on CQL: its lock, what it says of itself, and where everything is.
//!
//! ```text
//! DATA/LOCK             who has it open
//! DATA/store.json       format, id, epoch, shards, business zone, currency: written once
//! DATA/unfinished.json  that a store is being put here: see [`crate::node::unfinished`]
//! DATA/journal/         the truth
//! DATA/views/           derived, may be deleted
//! DATA/views-rooms/     the same of rooms
//! DATA/identity.redb    people
//! DATA/deliveries.redb  cursors and dead letters
//! DATA/keys/            development's own keys
//! DATA/control.sock     commands to the running node
//! DATA/resharding/      what an import into another number of shards works with, and removes
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::clock::BusinessZone;
use domain::ids::ShardCount;
use domain::money::Currency;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use storage::embedded::lock::StoreLock;
use storage::encoding::STORE_FORMAT;
use storage::journal::Space;
use storage_cql::Cql;
use uuid::Uuid;

use crate::archive::files;
use crate::config::{Config, StorageConfig, StoreKind};
use crate::node::cql;
use crate::node::unfinished::Unfinished;

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founding {
    /// The number of its format.
    pub format: u8,
    /// Drawn when it was made: its files belong together by it.
    pub id: Uuid,
    /// One life of its streams: clients hold it beside offsets.
    pub epoch: String,
    /// How many shards it has.
    pub shards: u16,
    /// Where its business days begin.
    pub business_zone: String,
    /// The currency of people's accounts.
    pub currency: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: Timestamp,
}

/// A store that this process has locked.
pub struct Store {
    /// The lock.
    pub lock: Arc<StoreLock>,
    /// What it says of itself.
    pub founding: Founding,
    /// How many shards it has.
    pub shards: ShardCount,
    /// The currency of people's accounts.
    pub currency: Currency,
    /// Whether it was made by this opening.
    pub is_new: bool,
    /// Where it is, if it is not in the folder.
    pub cql: Option<Arc<Cql>>,
}

/// The paths under a data folder.
#[derive(Clone, Debug)]
pub struct Layout(PathBuf);

impl Layout {
    /// Of this data folder.
    pub fn of(data: &Path) -> Self {
        Self(data.to_owned())
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.0
    }

    /// What the store says of itself.
    pub fn founding(&self) -> PathBuf {
        self.0.join("store.json")
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Whether there is a journal of the space.
    pub fn has_journal(&self, space: Space) -> bool {
        self.journal().join(space.name()).exists()
    }

    /// The views of a space.
    pub fn views(&self, space: Space) -> PathBuf {
        self.0.join(match space {
            Space::Ledger => "views",
            Space::Rooms => "views-rooms",
        })
    }

    /// People.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.redb")
    }

    /// Cursors, dead letters, and what is owed to people.
    pub fn deliveries(&self) -> PathBuf {
        self.0.join("deliveries.redb")
    }

    /// Development's own keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// What an import into another number of shards works with.
    pub fn resharding(&self) -> PathBuf {
        self.0.join("resharding")
    }

    /// Whether a process has the folder open. Says nothing of the next moment.
    pub fn is_locked(&self) -> bool {
        let is_there = self.0.join("LOCK").exists();
        is_there && matches!(StoreLock::acquire(&self.0), Err(storage::Error::Locked(_)))
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Store {
    /// Locks the data folder and opens the store, there or on CQL as `config` says; makes it if there is none and
    /// `make` allows.
    ///
    /// # Errors
    /// As [`Store::open_folder`] and [`cql::open`].
    pub async fn open(config: &Config, make: bool, now: Timestamp) -> Result<Self, storage::Error> {
        match config.storage.kind {
            StoreKind::Embedded => Self::open_folder(&config.data, &config.storage, make, now),
            StoreKind::Cql => cql::open(config, make, now).await,
        }
    }

    /// Locks the store in `data`; makes it, as `config` says, if there is none and `make` allows.
    ///
    /// # Errors
    /// [`storage::Error::Locked`] if another process has it. [`storage::Error::Damaged`] if it does not say what it
    /// is, though it holds a journal. [`storage::Error::Unknown`] if it is of a newer build.
    pub fn open_folder(
        data: &Path,
        config: &StorageConfig,
        make: bool,
        now: Timestamp,
    ) -> Result<Self, storage::Error> {
        let layout = Layout::of(data);
        if !make && !layout.founding().exists() && !layout.journal().exists() {
            return Err(storage::Error::Unsuitable(format!("there is no store in {}", data.display())));
        }
        let lock = Arc::new(StoreLock::acquire(data)?);
        refuse_unfinished(&layout)?;
        let found = Founding::read(&layout)?;
        let is_new = found.is_none();
        let founding = if let Some(founding) = found {
            founding
        } else {
            let founding = Founding::draw(config, now);
            founding.write(&layout)?;
            founding
        };
        Self::of(lock, founding, is_new, None, &layout.founding())
    }

    /// A locked store that says this of itself, in `place`.
    ///
    /// # Errors
    /// It is of a newer build, or cannot be what it says.
    pub fn of(
        lock: Arc<StoreLock>,
        founding: Founding,
        is_new: bool,
        cql: Option<Arc<Cql>>,
        place: &Path,
    ) -> Result<Self, storage::Error> {
        let damaged = |what: &str| storage::Error::Damaged {
            file: place.to_owned(),
            offset: 0,
            what: format!("its {what} is none that this build knows"),
        };
        if founding.format > STORE_FORMAT {
            let (theirs, place) = (founding.format, place.display());
            return Err(storage::Error::Unsuitable(format!(
                "{place} is of format {theirs}, and this build knows {STORE_FORMAT}: use a newer build"
            )));
        }
        let shards = ShardCount::new(founding.shards).ok_or_else(|| damaged("number of shards"))?;
        let currency = Currency::from_code(&founding.currency).ok_or_else(|| damaged("currency"))?;
        if BusinessZone::new(&founding.business_zone).is_none() {
            return Err(damaged("business zone"));
        }
        Ok(Self { lock, founding, shards, currency, is_new, cql })
    }
}

/// Refuses a folder into which a store is being put.
///
/// # Errors
/// [`storage::Error::Unsuitable`] then.
pub fn refuse_unfinished(layout: &Layout) -> Result<(), storage::Error> {
    let Some(Unfinished { by, .. }) = Unfinished::read(layout)? else { return Ok(()) };
    let data = layout.data().display();
    Err(storage::Error::Unsuitable(format!("the {by} into {data} is not finished: run it again, and it goes on")))
}

/// A new life of streams.
pub fn draw_epoch() -> String {
    format!("{:012x}", rand::random::<u64>() >> 16)
}

impl Founding {
    /// What the store in the folder says of itself, if there is one.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn read(layout: &Layout) -> Result<Option<Self>, storage::Error> {
        let path = layout.founding();
        let damaged = |what: String| storage::Error::Damaged { file: path.clone(), offset: 0, what };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // It is written before the first journal: without it nothing says what that journal means.
                return if layout.journal().exists() {
                    Err(damaged("it is missing, and there is a journal beside it".to_owned()))
                } else {
                    Ok(None)
                };
            }
            Err(error) => return Err(storage::Error::io(format!("reading {}", path.display()), error)),
        };
        let founding: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(founding))
    }

    /// A store that is made now, as the configuration says.
    pub fn draw(config: &StorageConfig, now: Timestamp) -> Self {
        let id = Uuid::from_bytes(rand::random());
        Self {
            format: STORE_FORMAT,
            id: uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid(),
            epoch: draw_epoch(),
            shards: config.shards,
            business_zone: config.business_zone.clone(),
            currency: config.currency.clone(),
            created_at: now,
        }
    }

    /// Makes the store of a locked folder say this: whole or not at all.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, layout: &Layout) -> Result<(), storage::Error> {
        let path = layout.founding();
        let text = serde_json::to_string_pretty(self).map_err(|error| storage::Error::Unknown(error.to_string()))?;
        files::put_bytes(&path, text.as_bytes())?;
        files::sync_folder(layout.data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<Store, storage::Error> {
        Store::open_folder(dir, &StorageConfig::default(), true, Timestamp(1))
    }

    #[test]
    fn a_store_keeps_what_it_was_founded_with() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        let founding = first.founding.clone();
        assert!(first.is_new);
        assert!(matches!(open(dir.path()), Err(storage::Error::Locked(_))));
        drop(first);
        let config = StorageConfig { shards: 64, business_zone: "Europe/Berlin".into(), ..StorageConfig::default() };
        let again = Store::open_folder(dir.path(), &config, true, Timestamp(2)).unwrap();
        assert_eq!(again.founding, founding);
        assert!(!again.is_new);
        assert_eq!(again.shards.get(), 256);
    }

    #[test]
    fn a_store_that_does_not_say_what_it_is_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        let layout = Layout::of(dir.path());
        let text = fs::read_to_string(layout.founding()).unwrap();
        fs::write(layout.founding(), text.replace("\"format\": 1", "\"format\": 9")).unwrap();
        assert!(matches!(open(dir.path()), Err(storage::Error::Unsuitable(_))));
        fs::write(layout.founding(), text.replace("256", "3")).unwrap();
        assert!(matches!(open(dir.path()), Err(storage::Error::Damaged { .. })));
        fs::remove_file(layout.founding()).unwrap();
        fs::create_dir(layout.journal()).unwrap();
        assert!(matches!(open(dir.path()), Err(storage::Error::Damaged { .. })));
    }

    #[test]
    fn a_command_makes_no_store() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Store::open_folder(dir.path(), &StorageConfig::default(), false, Timestamp(1));
        assert!(matches!(opened, Err(storage::Error::Unsuitable(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
