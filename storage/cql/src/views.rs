//! Views on CQL: rows stamped with the record they come from, so that of two writers the later record wins.
//!
//! A batch is written as its rows first and the position last; cut short, it is written again from the journal. Events
//! are in partitions of [`BUCKET_EVENTS`]; a directory a stream says which of them there are.

mod entries;
mod events;
mod removing;
mod row;
mod writing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use storage::Error;
use storage::journal::{Hash, JournalKey, Slot, Space};
use storage::views::{Batch, Checkpoint, Gone, Position, StoredEvent, Table, Views};
use uuid::Uuid;

use crate::Cql;
use crate::journal::space_number;
use crate::number::{from_cql, limit};
use crate::statements::Named;

/// How many events one partition holds: about a megabyte of money's, at most 64 MiB of messages.
const BUCKET_EVENTS: u64 = 4_096;

/// Cells asked for at once.
const PAGE_ROWS: usize = 500;

/// Buckets that are remembered to be in the directory. Beyond it all are forgotten, and noted again when written.
const KNOWN_BUCKETS_MAX: usize = 65_536;

/// Positions read together.
const POSITIONS_MAX: usize = 16;

/// The longest sort of a cell that there can be, in bytes.
const SORT_BYTES_MAX: usize = 64;

/// The views of one space.
pub struct CqlViews {
    cql: Arc<Cql>,
    space: Space,
    /// How far each shard is, as this process wrote it. Another's writing is found by its stamps.
    applied: Mutex<HashMap<JournalKey, Slot>>,
    known_buckets: Mutex<HashSet<(Uuid, i64)>>,
}

impl CqlViews {
    /// The views of `space`.
    pub fn new(cql: Arc<Cql>, space: Space) -> Self {
        Self { cql, space, applied: Mutex::default(), known_buckets: Mutex::default() }
    }

    /// The positions of these journals.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn positions(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, Position)>, Error> {
        let read = |key| async move { Ok::<_, Error>((key, self.position(key).await?)) };
        let reads = stream::iter(keys).map(read).buffered(POSITIONS_MAX);
        let all: Vec<_> = reads.try_collect().await?;
        Ok(all.into_iter().filter_map(|(key, position)| position.map(|position| (key, position))).collect())
    }

    fn space(&self) -> i8 {
        space_number(self.space)
    }
}

#[async_trait]
impl Views for CqlViews {
    async fn apply(&self, batch: Batch) -> Result<(), Error> {
        writing::apply(self, batch).await
    }

    async fn remove(&self, gone: Gone) -> Result<(), Error> {
        removing::remove(self, gone).await
    }

    async fn position(&self, key: JournalKey) -> Result<Option<Position>, Error> {
        type Row = (i64, Vec<u8>, i64, i64, Bytes);
        let shard = i32::from(key.shard.0);
        let row = self.cql.row::<Row>(Named::PositionGet, (space_number(key.space), shard)).await?;
        let Some((through, hash, at, term, state)) = row else { return Ok(None) };
        let hash = hash.try_into().map_err(|_| Error::Unknown("a position's hash is not 32 bytes long".to_owned()))?;
        Ok(Some(Position {
            through: Slot(from_cql(through)?),
            hash: Hash(hash),
            at: Timestamp(from_cql(at)?),
            term: from_cql(term)?,
            state,
        }))
    }

    async fn checkpoint(&self, entity: Uuid) -> Result<Option<Checkpoint>, Error> {
        let row = self.cql.row::<(i64, i64, Bytes)>(Named::CheckpointGet, (self.space(), entity)).await?;
        let Some((head, at, state)) = row else { return Ok(None) };
        Ok(Some(Checkpoint { entity, head: from_cql(head)?, at: Timestamp(from_cql(at)?), state }))
    }

    async fn events_after(&self, stream: Uuid, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.after(stream, after, limit).await
    }

    async fn events_before(&self, stream: Uuid, before: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.before(stream, before, limit).await
    }

    async fn offset_of_entry(&self, stream: Uuid, entry: u64) -> Result<Option<u64>, Error> {
        self.find_entry(stream, entry).await
    }

    async fn cell(&self, table: Table, partition: Uuid, sort: &[u8]) -> Result<Option<Bytes>, Error> {
        if sort.len() > SORT_BYTES_MAX {
            return Ok(None);
        }
        let values = (self.space(), family(table), partition, sort);
        Ok(self.cql.row::<(Bytes,)>(Named::CellGet, values).await?.map(|(value,)| value))
    }

    async fn cells(
        &self,
        table: Table,
        partition: Uuid,
        after: &[u8],
        count: usize,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Error> {
        let mut found: Vec<(Vec<u8>, Bytes)> = Vec::new();
        while found.len() < count {
            let page = (count - found.len()).min(PAGE_ROWS);
            let after = found.last().map_or(after, |(sort, _)| sort.as_slice());
            let values = (self.space(), family(table), partition, after, limit(page));
            let rows = self.cql.rows::<(Vec<u8>, Bytes)>(Named::CellsAfter, values).await?;
            let is_last = rows.len() < page;
            found.extend(rows);
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}

/// Throws the views of all spaces away, to be derived again.
///
/// # Errors
/// The store does not answer.
pub async fn clear_views(cql: &Cql) -> Result<(), Error> {
    for table in ["positions", "checkpoints", "cells", "events", "event_buckets"] {
        // A removal that is stamped would hide what is written again with the stamps that it had.
        cql.clear(table).await?;
    }
    Ok(())
}

/// A table as it is stored.
fn family(table: Table) -> i8 {
    i8::try_from(table.number()).unwrap_or(i8::MAX)
}
