//! The journal on CQL: each record is one lightweight transaction into the next slot, and the slot is the fence.
//!
//! A writer that was replaced finds its slot taken, whatever it believes of time and of who is alive. A partition
//! holds [`SEGMENT_SLOTS`] slots of one shard. What this process knows of a journal's end is kept under one lock a
//! journal, which an append holds to its end even when its caller goes away.

mod append;
mod end;
mod reading;
mod retention;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::{
    Append, Generation, Hash, Journal, JournalKey, Opened, Place, Record, Slot, Space, StoredRecord,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::Cql;
use crate::number::to_cql;

/// How many slots one partition holds: of records of 256 KiB no more than 64 MiB, which a server reads and repairs with
/// ease.
pub const SEGMENT_SLOTS: u64 = 256;

/// What a record that was not read yet is taken to cost whoever opens a shard: its row's own bytes and a little payload.
const RECORD_BYTES: u64 = 512;

/// The bits of a [`Place`] that hold the slot; the shard is above them.
const SLOT_BITS: u32 = 48;

/// The journals of one space.
pub struct CqlJournal {
    store: Arc<Store>,
}

/// What appends that outlive their callers share.
struct Store {
    cql: Arc<Cql>,
    space: Space,
    journals: parking_lot::Mutex<HashMap<JournalKey, Arc<Mutex<Writer>>>>,
    /// The last slots that are known, for who must not wait for an append.
    ends: parking_lot::Mutex<HashMap<u16, Slot>>,
    handle: Handle,
}

/// What is known of one journal's end, and who may write there.
#[derive(Clone, Debug)]
struct Writer {
    /// The newest writer of this process; 0 if it never had one.
    generation: Generation,
    /// What tells its records from equal ones of another process.
    id: Uuid,
    /// Another process has written since: this writer is none any more.
    fenced: bool,
    end: End,
}

/// The last record of a journal.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    slot: Slot,
    hash: Hash,
    term: u64,
    at: Timestamp,
    /// The bytes of all payloads up to it.
    total: u64,
}

impl CqlJournal {
    /// The journals of `space`. To be called on the runtime that the store's requests are to run on.
    pub fn new(cql: Arc<Cql>, space: Space) -> Self {
        let (journals, ends) = Default::default();
        Self { store: Arc::new(Store { cql, space, journals, ends, handle: Handle::current() }) }
    }

    /// The last slot of a journal, found without becoming its writer.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn last(&self, key: JournalKey) -> Result<Slot, Error> {
        Ok(self.store.find_end(key).await?.slot)
    }
}

impl Store {
    /// What is known of a journal. Bounded by the number of shards.
    fn writer(&self, key: JournalKey) -> Result<Arc<Mutex<Writer>>, Error> {
        if key.space != self.space {
            return Err(Error::Unknown(format!(
                "a journal of {} in the store of {}",
                key.space.name(),
                self.space.name()
            )));
        }
        let none = || Writer { generation: Generation(0), id: Uuid::nil(), fenced: true, end: End::default() };
        let mut journals = self.journals.lock();
        Ok(Arc::clone(journals.entry(key).or_insert_with(|| Arc::new(Mutex::new(none())))))
    }

    /// Notes how far a journal is.
    fn reached(&self, key: JournalKey, slot: Slot) {
        self.ends.lock().insert(key.shard.0, slot);
    }
}

#[async_trait]
impl Journal for CqlJournal {
    async fn open(&self, key: JournalKey) -> Result<Opened, Error> {
        let writer = self.store.writer(key)?;
        let mut writer = writer.lock().await;
        let end = self.store.find_end(key).await?;
        let generation = Generation(writer.generation.0.saturating_add(1));
        *writer = Writer { generation, id: Uuid::from_bytes(rand::random()), fenced: false, end };
        self.store.reached(key, end.slot);
        Ok(Opened { generation, last: end.slot, hash: end.hash, term: end.term, at: end.at })
    }

    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error> {
        append::append(&self.store, generation, record).await
    }

    async fn read(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
        self.store.read(key, from, bytes_max).await
    }

    /// Nothing is kept in memory to find older records: a slot says where it is.
    fn projected(&self, _: JournalKey, _: Slot) {}

    /// Each shard's journal is apart, and its tail is bounded by its bytes where it is kept; so a record counts little
    /// here.
    fn bytes_behind(&self, place: Place) -> u64 {
        let (shard, slot) = split(place);
        let end = self.store.ends.lock().get(&shard).copied().unwrap_or_default();
        end.0.saturating_sub(slot.0).saturating_mul(RECORD_BYTES)
    }

    /// Whose disk fills is the store's own affair: it says so by refusing, and commands wait.
    fn has_room(&self) -> bool {
        true
    }
}

/// The place of a record: its shard and slot.
fn place(key: JournalKey, slot: Slot) -> Place {
    Place(u64::from(key.shard.0) << SLOT_BITS | slot.0)
}

/// The shard and slot of a place.
fn split(place: Place) -> (u16, Slot) {
    let shard = u16::try_from(place.0 >> SLOT_BITS).unwrap_or(u16::MAX);
    (shard, Slot(place.0 & ((1 << SLOT_BITS) - 1)))
}

/// The partition that holds a slot.
const fn segment(slot: Slot) -> u64 {
    slot.0 / SEGMENT_SLOTS
}

/// The first slot of a partition; slots begin at 1.
const fn first_of(segment: u64) -> Slot {
    Slot(if segment == 0 { 1 } else { segment.saturating_mul(SEGMENT_SLOTS) })
}

/// The last slot of a partition.
const fn last_of(segment: u64) -> Slot {
    Slot(segment.saturating_mul(SEGMENT_SLOTS).saturating_add(SEGMENT_SLOTS - 1))
}

/// Space, shard and segment as the key of a partition.
fn partition(key: JournalKey, segment: u64) -> Result<(i8, i32, i64), Error> {
    let (space, shard) = bounds_key(key);
    Ok((space, shard, to_cql(segment)?))
}

/// Space and shard as the key of a row of `journal_bounds`.
fn bounds_key(key: JournalKey) -> (i8, i32) {
    (space_number(key.space), i32::from(key.shard.0))
}

/// A space as it is stored.
pub(crate) fn space_number(space: Space) -> i8 {
    i8::try_from(space.number()).unwrap_or(i8::MAX)
}

/// A hash as it was read.
fn hash(bytes: &[u8]) -> Result<Hash, Error> {
    let bytes = bytes.try_into();
    bytes.map(Hash).map_err(|_| Error::Unknown("the store holds a hash that is not 32 bytes long".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::ShardId;

    #[test]
    fn places_are_shards_and_slots() {
        let key = JournalKey { space: Space::Ledger, shard: ShardId(1_023) };
        assert_eq!(split(place(key, Slot(12_345_678))), (1_023, Slot(12_345_678)));
        assert!(place(key, Slot(1)) < place(key, Slot(2)));
    }

    #[test]
    fn segments_end_where_the_next_begins() {
        assert_eq!((segment(Slot(1)), segment(Slot(255)), segment(Slot(256))), (0, 0, 1));
        assert_eq!(last_of(0).next(), first_of(1));
        assert_eq!((first_of(0), first_of(1)), (Slot(1), Slot(256)));
        assert_eq!(segment(last_of(7)), 7);
    }
}
