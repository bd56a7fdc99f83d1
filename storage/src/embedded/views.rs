//! The views on this process's disk: a log-structured store that may be deleted and rebuilt.
//!
//! Writing these rows costs more of a core than anything else the platform does for a transfer, so
//! they are kept small: an event's row says where the event is in the journal, not what it is, and
//! keys and most values fit the 20 bytes that the store keeps without an allocation. One thread
//! writes; it merges the batches that wait into one commit. Nothing is synced: what a power cut
//! takes is projected again from the journal.
//!
//! Bounds: [`QUEUE_BATCHES_MAX`] batches wait, then `apply` waits for a place among them.

mod folder;
mod key;
mod rows;
mod writer;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use self::folder::Database;
pub use self::folder::{Opening, clear};
pub use self::rows::{SORT_BYTES_MAX, STATE_BYTES_MAX, VALUE_BYTES_MAX};
use self::writer::Writer;
pub use self::writer::{COMMIT_ROWS_MAX, QUEUE_BATCHES_MAX};
use crate::Error;
use crate::journal::{JournalKey, Place};
use crate::views::{Batch, Checkpoint, Gone, Position, StoredEvent, Table, Views};

/// Reads parts of durable records, by which event rows find their bytes.
pub trait PayloadReader: Send + Sync {
    /// The `len` bytes from `at` on of the payload of the record at `place`.
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error>;
}

/// What can be chosen about the embedded views.
#[derive(Clone, Debug)]
pub struct ViewsConfig {
    /// The store that the views are of. Views of another store are set aside.
    pub store: Uuid,
    /// Blocks of rows kept in memory, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// Rows gathered in memory before they become a table, in bytes a tree. Default 16 MiB, with
    /// which 1.2 s was the longest reopening measured.
    pub memtable_bytes: u64,
}

impl ViewsConfig {
    /// The defaults for the store of this id.
    pub const fn of(store: Uuid) -> Self {
        Self { store, cache_bytes: 64 << 20, memtable_bytes: 16 << 20 }
    }
}

/// The embedded adapter of [`Views`].
///
/// Dropping it writes what still waits and closes the store, which may take a second: do so where
/// blocking is allowed.
pub struct EmbeddedViews {
    /// Declared first: the writer ends before its database closes.
    writer: Writer,
    database: Database,
    dir: PathBuf,
    reader: Arc<dyn PayloadReader>,
}

impl EmbeddedViews {
    /// Opens the views in `dir`, or makes them there. Blocks for up to seconds.
    ///
    /// A database that does not open, of another format or of another store is renamed to
    /// `<dir>.aside-N`, the older one of that name deleted, and [`Opening::Rebuild`] answered with
    /// an empty one.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another process has it open; [`Error::Io`] if the disk is full or not
    /// ours to write. Neither sets anything aside.
    pub fn open(dir: &Path, config: &ViewsConfig, reader: Arc<dyn PayloadReader>) -> Result<Opening, Error> {
        folder::open(dir, config, reader)
    }

    /// The adapter over an open database.
    fn over(dir: &Path, database: Database, reader: Arc<dyn PayloadReader>) -> Result<Self, Error> {
        let through = database.positions(dir)?.into_iter().map(|(key, position)| (key, position.through)).collect();
        let writer = Writer::start(dir, database.clone(), through)?;
        Ok(Self { writer, database, dir: dir.to_owned(), reader })
    }

    /// How much of the disk the views take.
    pub fn bytes_on_disk(&self) -> u64 {
        self.database.bytes_on_disk()
    }

    /// Every journal's position.
    pub fn positions(&self) -> Result<Vec<(JournalKey, Position)>, Error> {
        self.database.positions(&self.dir)
    }

    /// The event whose row is `key` and `value`.
    fn event(&self, key: &[u8], value: &[u8]) -> Result<StoredEvent, Error> {
        let (offset, row) = self.event_row(key, value)?;
        let bytes = self.reader.read_bytes(row.place, row.at, row.len)?;
        Ok(StoredEvent { offset, bytes })
    }

    fn event_row(&self, key: &[u8], value: &[u8]) -> Result<(u64, rows::EventValue), Error> {
        let offset = rows::offset_in_event_key(key).ok_or_else(|| folder::damaged(&self.dir, "an event's key"))?;
        let row = rows::EventValue::decode(value).ok_or_else(|| folder::damaged(&self.dir, "an event's row"))?;
        Ok((offset, row))
    }

    /// The first stored row of `stream` at `from` or after it.
    fn first_row(&self, stream: Uuid, from: u64) -> Result<Option<(u64, rows::EventValue)>, Error> {
        let range = rows::event_key(stream, from)..=rows::event_key(stream, u64::MAX);
        let Some(guard) = self.database.events.range(range).next() else { return Ok(None) };
        let (key, value) = guard.into_inner().map_err(|e| folder::failed(&self.dir, "reading events", e))?;
        self.event_row(&key, &value).map(Some)
    }

    /// The last stored row of `stream`.
    fn last_row(&self, stream: Uuid) -> Result<Option<(u64, rows::EventValue)>, Error> {
        let range = rows::event_key(stream, 0)..=rows::event_key(stream, u64::MAX);
        let Some(guard) = self.database.events.range(range).next_back() else { return Ok(None) };
        let (key, value) = guard.into_inner().map_err(|e| folder::failed(&self.dir, "reading events", e))?;
        self.event_row(&key, &value).map(Some)
    }

    /// The value of a key of the tree of all that are not events.
    fn get(&self, key: &[u8]) -> Result<Option<fjall::Slice>, Error> {
        self.database.rows.get(key).map_err(|e| folder::failed(&self.dir, "reading a row", e))
    }
}

#[async_trait]
impl Views for EmbeddedViews {
    /// A journal's batches come one after another: of two that wait at once for a place in the queue,
    /// the later could be taken first, and the earlier would then change nothing.
    ///
    /// Cancel safe in that a batch is written whole or not at all: whole once it is in the queue.
    async fn apply(&self, batch: Batch) -> Result<(), Error> {
        let encoded = rows::Encoded::of(&batch)?;
        drop(batch);
        self.writer.apply(encoded).await
    }

    async fn remove(&self, gone: Gone) -> Result<(), Error> {
        self.writer.remove(gone).await
    }

    async fn position(&self, key: JournalKey) -> Result<Option<Position>, Error> {
        let Some(value) = self.get(&rows::position_key(key))? else { return Ok(None) };
        rows::decode_position(&value).map(Some).ok_or_else(|| folder::damaged(&self.dir, "a position"))
    }

    async fn checkpoint(&self, entity: Uuid) -> Result<Option<Checkpoint>, Error> {
        let Some(value) = self.get(&rows::checkpoint_key(entity))? else { return Ok(None) };
        rows::decode_checkpoint(entity, &value).map(Some).ok_or_else(|| folder::damaged(&self.dir, "a checkpoint"))
    }

    async fn events_after(&self, stream: Uuid, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        let range = rows::event_key(stream, from)..=rows::event_key(stream, u64::MAX);
        let mut events = Vec::new();
        for guard in self.database.events.range(range).take(limit) {
            let (key, value) = guard.into_inner().map_err(|e| folder::failed(&self.dir, "reading events", e))?;
            events.push(self.event(&key, &value)?);
        }
        Ok(events)
    }

    async fn events_before(&self, stream: Uuid, before: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        if before == 0 {
            return Ok(Vec::new());
        }
        let range = rows::event_key(stream, 0)..rows::event_key(stream, before);
        let mut events = Vec::new();
        for guard in self.database.events.range(range).rev().take(limit) {
            let (key, value) = guard.into_inner().map_err(|e| folder::failed(&self.dir, "reading events", e))?;
            events.push(self.event(&key, &value)?);
        }
        Ok(events)
    }

    /// A search by halves over the stream's rows, whose `entries` never fall: no rows of its own.
    async fn offset_of_entry(&self, stream: Uuid, entry: u64) -> Result<Option<u64>, Error> {
        let Some((first, first_row)) = self.first_row(stream, 0)? else { return Ok(None) };
        let Some((last, last_row)) = self.last_row(stream)? else { return Ok(None) };
        if entry == 0 || last_row.entries < entry {
            return Ok(None);
        }
        if first_row.entries >= entry {
            // Entries before the first row belong to events that are not projected here.
            return Ok((first == 1).then_some(first));
        }
        // Invariant: rows up to `low` have fewer entries, the row `answer` has enough, and what is not
        // known lies between `low` and `end`. Offsets without a row are allowed.
        let (mut low, mut end, mut answer) = (first, last, last);
        while end - low > 1 {
            let middle = low + (end - low) / 2;
            match self.first_row(stream, middle)? {
                Some((found, row)) if found < end && row.entries < entry => low = found,
                Some((found, _)) if found < end => (end, answer) = (middle, found),
                _ => end = middle,
            }
        }
        Ok(Some(answer))
    }

    async fn cell(&self, table: Table, partition: Uuid, sort: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.get(&rows::cell_key(table, partition, sort))?.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn cells(
        &self,
        table: Table,
        partition: Uuid,
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Error> {
        if after > [u8::MAX; SORT_BYTES_MAX].as_slice() {
            return Ok(Vec::new());
        }
        let from = Bound::Excluded(rows::cell_key(table, partition, after));
        let to = Bound::Included(rows::cell_key_end(table, partition));
        let mut cells = Vec::new();
        for guard in self.database.rows.range((from, to)).take(limit) {
            let (key, value) = guard.into_inner().map_err(|e| folder::failed(&self.dir, "reading cells", e))?;
            let sort = rows::sort_in_cell_key(&key).ok_or_else(|| folder::damaged(&self.dir, "a cell's key"))?;
            cells.push((sort.to_vec(), Bytes::copy_from_slice(&value)));
        }
        Ok(cells)
    }
}
