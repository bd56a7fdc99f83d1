//! What an export is made of.
//!
//! ```text
//! DIR/MANIFEST            what is in it; written again after each file
//! DIR/ledger-000001.part  records, at most 64 MiB a file
//! DIR/rooms-000001.part   the same of rooms
//! DIR/people-000001.part  people, devices, what they read and follow; timelines; dead letters; what was looked at
//! ```

use std::path::Path;

use domain::ids::ShardId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use storage::Error;
use storage::journal::{Hash, Slot, Space, StoredRecord};

use crate::archive::{FilePart, Kind, manifest};
use crate::node::store::Founding;

/// Exports, and the newest format of them: from 2 on they have timelines.
pub(in crate::command) const KIND: Kind = Kind { name: "export", format: 2 };

/// What an export holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct Contents {
    /// The store that it is of.
    pub(in crate::command) store: Founding,
    /// All of the store is here, as of one moment.
    pub(in crate::command) is_whole: bool,
    /// The ledger's journals.
    pub(in crate::command) ledger: Log,
    /// Those of rooms.
    pub(in crate::command) rooms: Log,
    /// People, and what is kept of them.
    pub(in crate::command) people: People,
    /// Credits between shards that their receivers have not booked.
    pub(in crate::command) in_transit: u64,
}

/// The journals of a space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct Log {
    /// How many records.
    pub(in crate::command) records: u64,
    /// The first and last record of each shard that has any, by the shard.
    pub(in crate::command) ends: Vec<End>,
    /// The files, in order.
    pub(in crate::command) parts: Vec<FilePart>,
}

/// Where a shard's records begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct End {
    /// The shard.
    pub(in crate::command) shard: ShardId,
    /// The slot of the first record.
    pub(in crate::command) first: Slot,
    /// The slot of the last.
    pub(in crate::command) last: Slot,
    /// The last record's hash.
    #[serde(with = "hexadecimal")]
    pub(in crate::command) hash: Hash,
    /// Its stamp.
    pub(in crate::command) at: Timestamp,
}

/// People, and what is kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct People {
    /// How many.
    pub(in crate::command) users: u64,
    /// The files, in order.
    pub(in crate::command) parts: Vec<FilePart>,
}

impl Contents {
    /// Nothing yet of this store.
    pub(in crate::command) fn new(store: Founding) -> Self {
        let (ledger, rooms, people) = Default::default();
        Self { store, is_whole: false, ledger, rooms, people, in_transit: 0 }
    }

    /// What the folder holds; nothing if it is no export's.
    pub(in crate::command) fn read(folder: &Path) -> Result<Option<Self>, Error> {
        manifest::read(folder, KIND)
    }

    /// Says that the folder holds this.
    pub(in crate::command) fn write(&self, folder: &Path) -> Result<(), Error> {
        manifest::write(folder, KIND, self)
    }

    /// The journals of a space.
    pub(in crate::command) const fn log(&self, space: Space) -> &Log {
        match space {
            Space::Ledger => &self.ledger,
            Space::Rooms => &self.rooms,
        }
    }

    /// The same, to change them.
    pub(in crate::command) const fn log_mut(&mut self, space: Space) -> &mut Log {
        match space {
            Space::Ledger => &mut self.ledger,
            Space::Rooms => &mut self.rooms,
        }
    }

    /// All files.
    pub(in crate::command) fn parts(&self) -> impl Iterator<Item = &FilePart> {
        self.ledger.parts.iter().chain(&self.rooms.parts).chain(&self.people.parts)
    }
}

impl Log {
    /// The end of a shard.
    pub(in crate::command) fn end(&self, shard: ShardId) -> Option<&End> {
        self.ends.binary_search_by_key(&shard, |end| end.shard).ok().and_then(|at| self.ends.get(at))
    }

    /// Takes the next record, which must follow from the one before of its shard.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it does not.
    pub(in crate::command) fn take(&mut self, stored: &StoredRecord) -> Result<(), Error> {
        let record = &stored.record;
        let (shard, slot) = (record.key.shard, record.slot);
        self.records = self.records.saturating_add(1);
        let new = End { shard, first: slot, last: slot, hash: stored.hash, at: record.at };
        match self.ends.binary_search_by_key(&shard, |end| end.shard) {
            Err(at) => self.ends.insert(at, new),
            Ok(at) => {
                let Some(end) = self.ends.get_mut(at) else { return Ok(()) };
                if slot != end.last.next() || record.previous != end.hash {
                    let what = format!("slot {} of shard {shard} does not follow from the one before", slot.0);
                    let file = format!("journal/{}", record.key.space.name()).into();
                    return Err(Error::Damaged { file, offset: slot.0, what });
                }
                *end = End { first: end.first, ..new };
            }
        }
        Ok(())
    }

    /// Whether a record is among these.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if another is in its place: these are of another history.
    pub(in crate::command) fn has(&self, stored: &StoredRecord) -> Result<bool, Error> {
        let (shard, slot) = (stored.record.key.shard, stored.record.slot);
        let Some(end) = self.end(shard) else { return Ok(false) };
        if slot == end.last && stored.hash != end.hash {
            return Err(Error::Unavailable(format!(
                "the export holds another record at slot {} of shard {shard}: export into another folder",
                slot.0
            )));
        }
        Ok(slot <= end.last)
    }

    /// Whether `other`, which was read from the store, has all of these and goes on from them.
    pub(in crate::command) fn is_within(&self, other: &Self) -> bool {
        self.ends.iter().all(|end| {
            // What retention has removed since, before the end of what is here, is here only.
            other.end(end.shard).is_some_and(|now| now.first == end.first && now.last >= end.last)
        })
    }
}

/// Hashes in hexadecimal digits.
mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use storage::journal::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(blake3::Hash::from_bytes(hash.0).to_hex().as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(|_| D::Error::custom("a hash has 64 hexadecimal digits"))?;
        Ok(Hash(*hash.as_bytes()))
    }
}
