//! `RoomRebuilder`: the views of all shards of rooms from a sequential scan of the log.
//!
//! The same rows as the projectors', in the same batches. Where retention has removed the log's begin,
//! a room whose founding is gone has rows of events only, until the record that wrote it again.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::ShardId;
use domain::room::RoomShard;
use storage::Error;
use storage::encoding;
use storage::journal::{Hash, JournalKey, Slot, StoredRecord};
use storage::views::{Position, Views};

use crate::room_projector::rows::Rows;
use crate::room_shard::opening::{fold_record, tail_record};

/// Bytes of records in one batch of a shard: as a projector's.
const BATCH_BYTES: usize = 128 << 10;

/// Bytes of records that wait, of all shards: memory is bounded by it, whatever the log's length.
/// Beyond it the shard with the most is written.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Makes views of rooms from records in the order of the log. Stopped at any point it leaves views that
/// are behind and otherwise whole; a later one goes on from them.
pub struct RoomRebuilder {
    views: Arc<dyn Views>,
    shards: HashMap<ShardId, Progress>,
    waiting_bytes: usize,
}

/// How far one shard is.
#[derive(Default)]
struct Progress {
    fold: RoomShard,
    /// The last record that was taken; slot 0 if none was.
    through: Slot,
    hash: Hash,
    waiting: Vec<StoredRecord>,
    bytes: usize,
}

impl RoomRebuilder {
    /// Goes on from where the views are.
    ///
    /// # Errors
    /// A position does not read.
    pub fn new(views: Arc<dyn Views>, positions: Vec<(JournalKey, Position)>) -> Result<Self, Error> {
        let mut shards = HashMap::new();
        for (key, Position { through, hash, state, .. }) in positions {
            let fold = encoding::read_state(&state)?;
            shards.insert(key.shard, Progress { fold, through, hash, ..Progress::default() });
        }
        Ok(Self { views, shards, waiting_bytes: 0 })
    }

    /// Takes the next record of the log. One that the views have is passed over; the first of a shard
    /// may be any, where those before it are gone.
    ///
    /// # Errors
    /// It does not follow from what the shard has, or the views do not answer. The rebuilder is then of
    /// no use.
    pub async fn record(&mut self, mut stored: StoredRecord) -> Result<(), Error> {
        let key = stored.record.key;
        let progress = self.shards.entry(key.shard).or_default();
        if stored.record.slot <= progress.through {
            return Ok(());
        }
        let follows = stored.record.slot == progress.through.next() && stored.record.previous == progress.hash;
        if progress.through > Slot(0) && !follows {
            let (slot, through) = (stored.record.slot.0, progress.through.0);
            return Err(Error::Unknown(format!(
                "slot {slot} of shard {} of rooms does not follow from slot {through}, where the views are",
                key.shard
            )));
        }
        (progress.through, progress.hash) = (stored.record.slot, stored.hash);
        // A copy: the payload shares a large chunk of memory with its neighbours.
        stored.record.payload = bytes::Bytes::copy_from_slice(&stored.record.payload);
        let bytes = stored.record.payload.len();
        progress.waiting.push(stored);
        progress.bytes += bytes;
        self.waiting_bytes += bytes;
        if progress.bytes >= BATCH_BYTES {
            self.flush(key).await?;
        } else if self.waiting_bytes >= WAITING_BYTES_MAX
            && let Some((shard, _)) = self.shards.iter().max_by_key(|(_, progress)| progress.bytes)
        {
            self.flush(JournalKey { shard: *shard, ..key }).await?;
        }
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn finish(mut self) -> Result<(), Error> {
        let waiting = self.shards.values().filter_map(|progress| progress.waiting.first());
        let mut keys: Vec<_> = waiting.map(|first| first.record.key).collect();
        keys.sort_unstable();
        for key in keys {
            self.flush(key).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, key: JournalKey) -> Result<(), Error> {
        let Some(progress) = self.shards.get_mut(&key.shard) else { return Ok(()) };
        let waiting = std::mem::take(&mut progress.waiting);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(std::mem::take(&mut progress.bytes));
        if waiting.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(&*self.views, key);
        for stored in waiting {
            let record = tail_record(stored)?;
            fold_record(&mut progress.fold, &record);
            rows.record(&record).await?;
        }
        let batch = rows.finish(&progress.fold)?;
        self.views.apply(batch).await
    }
}
