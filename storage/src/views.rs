//! The port of the views: what is read, derived from durable records and rebuilt from them at will.
//!
//! Each row has one writing shard. A shard's projector writes batches in the order of its records.

use async_trait::async_trait;
use bytes::Bytes;
use domain::time::Timestamp;
use uuid::Uuid;

use crate::Error;
use crate::journal::{Hash, JournalKey, Place, Slot};

/// Rows of one event each, by stream and offset: from them resume, resend and statements read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The entity whose event it is.
    pub stream: Uuid,
    /// The event's dense number in the stream, from 1.
    pub offset: u64,
    /// How many money entries the stream has up to and with this event. Never falls.
    pub entries: u64,
    /// The record that holds the event.
    pub place: Place,
    /// Where the event's bytes begin in the record's payload.
    pub at: u32,
    /// The event's bytes, as they are in the payload.
    pub bytes: Bytes,
}

/// An event as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the stream.
    pub offset: u64,
    /// Its bytes, as they are in the record's payload.
    pub bytes: Bytes,
}

/// An entity's state as of one of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The entity.
    pub entity: Uuid,
    /// The offset of the last event in the state.
    pub head: u64,
    /// The stamp of the record that holds it.
    pub at: Timestamp,
    /// The encoded state.
    pub state: Bytes,
}

/// The tables of index cells. The number is stored and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// By transfer id; sort is the side that wrote the cell.
    Transfers = 1,
    /// By hold id.
    Holds = 2,
    /// By account; sort orders its holds, newest first.
    HoldsOfAccount = 3,
    /// By room; sort is the hash of an idempotency key, the value says which message it made.
    RoomKeys = 4,
    /// By room; sort is a message's offset, the value says what became of it.
    RoomRedactions = 5,
    /// By person; sort is a room, the value says whether they are in it.
    RoomsOfMember = 6,
}

impl Table {
    /// The number under which it is stored.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// One small value of one writing shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The table.
    pub table: Table,
    /// The first part of the key: an id.
    pub partition: Uuid,
    /// The second part, which orders cells of one partition by bytes; at most 64 bytes, may be empty.
    pub sort: Vec<u8>,
    /// The value, at most 4 KiB.
    pub value: Bytes,
}

/// How far a shard's records are in the views, with what the shard needs to go on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last record applied.
    pub through: Slot,
    /// Its hash.
    pub hash: Hash,
    /// Its stamp.
    pub at: Timestamp,
    /// Its term.
    pub term: u64,
    /// The shard's own state at that record, encoded.
    pub state: Bytes,
}

/// What one run of a projector writes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The journal that it comes from.
    pub key: JournalKey,
    /// Event rows.
    pub events: Vec<EventRow>,
    /// One checkpoint an entity, the newest.
    pub checkpoints: Vec<Checkpoint>,
    /// Index cells.
    pub cells: Vec<Cell>,
    /// The position after it.
    pub position: Position,
}

/// Rows whose time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Of each of these streams, all events up to and with this offset.
    pub events: Vec<(Uuid, u64)>,
    /// These cells: table, partition, sort.
    pub cells: Vec<(Table, Uuid, Vec<u8>)>,
}

/// Upserts of durable state. May be deleted and rebuilt; losing what was written last costs a replay.
///
/// Reads of the embedded adapter answer at once (at most a read of the page cache or the disk), so a
/// caller may poll them once before it parks anything.
#[async_trait]
pub trait Views: Send + Sync + 'static {
    /// Writes a batch: all of it or, after a crash, none (embedded); rows first and the position last
    /// (others). A batch at or before the stored position changes nothing. Every later read sees it.
    async fn apply(&self, batch: Batch) -> Result<(), Error>;

    /// Removes rows that retention has ended. Those that are not there are no error, and after a crash it
    /// is done again. Every later read is without them.
    async fn remove(&self, gone: Gone) -> Result<(), Error>;

    /// The journal's position; `None` if nothing was ever applied.
    async fn position(&self, key: JournalKey) -> Result<Option<Position>, Error>;

    /// The entity's newest checkpoint.
    async fn checkpoint(&self, entity: Uuid) -> Result<Option<Checkpoint>, Error>;

    /// Events of `stream` with `offset > after`, ascending, at most `limit`.
    async fn events_after(&self, stream: Uuid, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error>;

    /// Events of `stream` with `offset < before`, descending, at most `limit`.
    async fn events_before(&self, stream: Uuid, before: u64, limit: usize) -> Result<Vec<StoredEvent>, Error>;

    /// The offset of the stream's money entry number `entry`, if it is projected.
    async fn offset_of_entry(&self, stream: Uuid, entry: u64) -> Result<Option<u64>, Error>;

    /// The value of one cell.
    async fn cell(&self, table: Table, partition: Uuid, sort: &[u8]) -> Result<Option<Bytes>, Error>;

    /// Cells of one partition with `sort > after`, ascending, at most `limit`: sort and value.
    async fn cells(
        &self,
        table: Table,
        partition: Uuid,
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Error>;
}
