//! The folder of a store: its lock, what it says of itself, and where everything is.
//!
//! ```text
//! DATA/LOCK             who has it open
//! DATA/store.json       format, id, epoch, shards, business zone, currency: written once
//! DATA/journal/         the truth
//! DATA/views/           derived, may be deleted
//! DATA/views-rooms/     the same of rooms
//! DATA/identity.redb    people
//! DATA/deliveries.redb  cursors and dead letters
//! DATA/keys/            development's own keys
//! DATA/control.sock     commands to the running node
//! ```

use std::fs::{self, File};
use std::io::Write;
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
use uuid::Uuid;

use crate::config::StorageConfig;

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
#[derive(Debug)]
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

    /// Development's own keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Store {
    /// Locks the store in `data`; makes it, as `config` says, if there is none and `make` allows.
    ///
    /// # Errors
    /// [`storage::Error::Locked`] if another process has it. [`storage::Error::Damaged`] if it does not say what it
    /// is, though it holds a journal. [`storage::Error::Unknown`] if it is of a newer build.
    pub fn open(data: &Path, config: &StorageConfig, make: bool, now: Timestamp) -> Result<Self, storage::Error> {
        let layout = Layout::of(data);
        if !make && !layout.founding().exists() && !layout.journal().exists() {
            return Err(storage::Error::Unavailable(format!("there is no store in {}", data.display())));
        }
        let lock = Arc::new(StoreLock::acquire(data)?);
        let found = Founding::read(&layout)?;
        let is_new = found.is_none();
        let founding = match found {
            Some(founding) => founding,
            None => Founding::write(&layout, config, now)?,
        };
        let damaged = |what: &str| storage::Error::Damaged {
            file: layout.founding(),
            offset: 0,
            what: format!("its {what} is none that this build knows"),
        };
        let shards = ShardCount::new(founding.shards).ok_or_else(|| damaged("number of shards"))?;
        let currency = Currency::from_code(&founding.currency).ok_or_else(|| damaged("currency"))?;
        if BusinessZone::new(&founding.business_zone).is_none() {
            return Err(damaged("business zone"));
        }
        Ok(Self { lock, founding, shards, currency, is_new })
    }
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
        if founding.format > STORE_FORMAT {
            let (theirs, path) = (founding.format, path.display());
            return Err(storage::Error::Unknown(format!(
                "{path} is of format {theirs}, and this build knows {STORE_FORMAT}: use a newer build"
            )));
        }
        Ok(Some(founding))
    }

    /// Makes a store: whole or not at all.
    fn write(layout: &Layout, config: &StorageConfig, now: Timestamp) -> Result<Self, storage::Error> {
        let id = Uuid::from_bytes(rand::random());
        let founding = Self {
            format: STORE_FORMAT,
            id: uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid(),
            epoch: format!("{:012x}", rand::random::<u64>() >> 16),
            shards: config.shards,
            business_zone: config.business_zone.clone(),
            currency: config.currency.clone(),
            created_at: now,
        };
        let path = layout.founding();
        let write = || {
            let unfinished = path.with_extension("json.new");
            let mut file = File::create(&unfinished)?;
            file.write_all(serde_json::to_string_pretty(&founding)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(layout.data())?.sync_all()
        };
        write().map_err(|error| storage::Error::io(format!("making {}", path.display()), error))?;
        Ok(founding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<Store, storage::Error> {
        Store::open(dir, &StorageConfig::default(), true, Timestamp(1))
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
        let again = Store::open(dir.path(), &config, true, Timestamp(2)).unwrap();
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
        assert!(matches!(open(dir.path()), Err(storage::Error::Unknown(_))));
        fs::write(layout.founding(), text.replace("256", "3")).unwrap();
        assert!(matches!(open(dir.path()), Err(storage::Error::Damaged { .. })));
        fs::remove_file(layout.founding()).unwrap();
        fs::create_dir(layout.journal()).unwrap();
        assert!(matches!(open(dir.path()), Err(storage::Error::Damaged { .. })));
    }

    #[test]
    fn a_command_makes_no_store() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Store::open(dir.path(), &StorageConfig::default(), false, Timestamp(1));
        assert!(matches!(opened, Err(storage::Error::Unavailable(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
