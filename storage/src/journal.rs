//! The port of the journal: sequences of numbered, hash-chained records, one a space and shard.
//!
//! The journal is the truth. What it holds is never changed; all else is derived from it.

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The most bytes of payload that one record may hold: 256 KiB.
///
/// A record is one group commit. Larger ones gain no throughput on a disk (measured) and are past
/// what a CQL store takes well in one lightweight transaction.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// A family of journals with one retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Money: kept for ever.
    Ledger,
    /// What people say to one another: kept for a while.
    Rooms,
}

impl Space {
    /// The name of the space's folder and of its label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Rooms => "rooms",
        }
    }

    /// The number of the space in stored records. Never changes its meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ledger => 0,
            Self::Rooms => 1,
        }
    }

    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ledger, Self::Rooms];

    /// Whether nothing of the space ever goes.
    pub const fn is_kept_for_ever(self) -> bool {
        matches!(self, Self::Ledger)
    }
}

/// Which journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JournalKey {
    /// The family.
    pub space: Space,
    /// The shard.
    pub shard: ShardId,
}

/// A record's place in its journal, dense from 1. Slot 0 is before the first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// BLAKE3 of a record, which the next record of its journal repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(pub [u8; 32]);

/// One group commit of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The journal it is in.
    pub key: JournalKey,
    /// Its place there.
    pub slot: Slot,
    /// The ownership of the shard under which it was written.
    pub term: u64,
    /// When, on the shard's clock: later than the record before, not before any event inside.
    pub at: Timestamp,
    /// The hash of the record before; zeros for the first.
    pub previous: Hash,
    /// The encoded events, at most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

impl Record {
    /// The hash of everything in the record, its place and its predecessor included.
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 journal record");
        hasher.update(&[self.key.space.number()]);
        hasher.update(&self.key.shard.0.to_le_bytes());
        hasher.update(&self.slot.0.to_le_bytes());
        hasher.update(&self.term.to_le_bytes());
        hasher.update(&self.at.0.to_le_bytes());
        hasher.update(&self.previous.0);
        hasher.update(&self.payload);
        Hash(*hasher.finalize().as_bytes())
    }
}

/// Where a store keeps a record. What it means is the adapter's affair; views may hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(pub u64);

/// A record as it was read, its hash checked against the chain within the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The record.
    pub record: Record,
    /// [`Record::hash`] of it.
    pub hash: Hash,
    /// Where it is kept.
    pub place: Place,
}

/// The right of one writer to append to one journal. A later one fences all earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// The end of a journal, as its new writer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The new writer's right.
    pub generation: Generation,
    /// The last durable record's slot; 0 if there is none.
    pub last: Slot,
    /// Its hash; zeros if there is none.
    pub hash: Hash,
    /// Its term; 0 if there is none.
    pub term: u64,
    /// Its stamp; the epoch if there is none.
    pub at: Timestamp,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The record is on the disk (or on a quorum of them) and stays there.
    Durable {
        /// Where.
        place: Place,
    },
    /// Another writer has the slot or the journal: this writer is none any more.
    Fenced,
    /// Nobody knows. Only the same record may be offered again.
    Unknown,
}

/// Sequences of records, one a space and shard.
///
/// A journal has one writer at a time, and that writer one append in flight.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Makes the caller the journal's only writer: waits for an append in flight, then raises the
    /// writer generation, so that every append of an earlier generation is fenced.
    async fn open(&self, key: JournalKey) -> Result<Opened, Error>;

    /// Appends a record to the slot after the last.
    ///
    /// Durable when answered [`Append::Durable`]. A record of an older generation, or not at last
    /// slot + 1, is [`Append::Fenced`] and leaves nothing. Offering the same record again after
    /// [`Append::Unknown`] is safe. An error of the embedded store's disk ends the process: it is
    /// never answered.
    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error>;

    /// Reads records in order from `from` on, at least one if there is one, until about `bytes_max`
    /// bytes of payload; empty at the end. Only durable records are seen. In a space with retention a
    /// record before the oldest that is kept reads as that one.
    async fn read(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error>;

    /// Says that views hold everything up to `through`: readers will start after it, so what the
    /// store keeps in memory to find older records quickly may go. A hint, not durable.
    fn projected(&self, key: JournalKey, through: Slot);

    /// How many bytes of log lie between `place` and the end of the journal it is in. Bounds how far
    /// a projection may stay behind: opening reads no more than that.
    fn bytes_behind(&self, place: Place) -> u64;

    /// Whether there is room for new commands. `false` while the disk is nearly full; what settles
    /// commands already decided is still appended.
    fn has_room(&self) -> bool;
}

/// The oldest part of a space with retention, in which nothing is written any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSegment {
    /// Its number; the one after it has the next.
    pub number: u64,
    /// The stamp of the newest record up to its end.
    pub newest: Timestamp,
    /// The last slot of each shard up to its end, by the shard's number.
    pub through: Vec<Slot>,
    /// The bytes of the whole space, this part included.
    pub log_bytes: u64,
}

/// The old end of a space with retention. All of it blocks on the disk.
///
/// Who removes sees to it first that nothing is lost which must stay: rows that the part founded are
/// written into the journal again, views have all of it and let its events go.
pub trait Retention: Send + Sync + 'static {
    /// The oldest part, if there is one in which nothing is written any more.
    fn oldest(&self) -> Result<Option<OldSegment>, Error>;

    /// Its records, in the order in which they were written, across shards.
    fn records(
        &self,
        segment: &OldSegment,
    ) -> Result<Box<dyn Iterator<Item = Result<StoredRecord, Error>> + Send>, Error>;

    /// Removes it, durably: all of it, or after a crash what is left of it goes at the next opening.
    /// Only ever the oldest.
    fn remove(&self, segment: &OldSegment) -> Result<(), Error>;
}
