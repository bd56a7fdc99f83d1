//! `Rebuilder`: the views of all shards from a sequential scan of the log.
//!
//! The same rows as the projectors', in the same batches. Records wait, a batch a shard, until one shard has enough or
//! all together have too many: memory is bounded by [`WAITING_BYTES_MAX`], whatever the log's length. Stopped at any
//! point it leaves views that are behind and otherwise whole; a later one goes on from them.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::ShardId;
use domain::ledger;
use storage::Error;
use storage::encoding;
use storage::journal::{Hash, JournalKey, Slot, StoredRecord};
use storage::views::{Position, Views};

use crate::projector::rows::Rows;
use crate::shard::opening::fold_record;
use crate::shard::tail::TailRecord;

/// Bytes of records in one batch of a shard: as a projector's.
const BATCH_BYTES: usize = 256 << 10;

/// Bytes of records that wait, of all shards. Beyond it the shard with the most is written.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Makes views from records in the order of the log.
pub struct Rebuilder {
    views: Arc<dyn Views>,
    shards: HashMap<ShardId, Progress>,
    waiting_bytes: usize,
}

/// How far one shard is.
#[derive(Default)]
struct Progress {
    ledger: ledger::Shard,
    /// The last record that was taken.
    through: Slot,
    hash: Hash,
    waiting: Vec<StoredRecord>,
    bytes: usize,
}

impl Rebuilder {
    /// Goes on from where the views are.
    ///
    /// # Errors
    /// A position does not read.
    pub fn new(views: Arc<dyn Views>, positions: Vec<(JournalKey, Position)>) -> Result<Self, Error> {
        let mut shards = HashMap::new();
        for (key, Position { through, hash, state, .. }) in positions {
            let ledger = encoding::read_state(&state)?;
            shards.insert(key.shard, Progress { ledger, through, hash, ..Progress::default() });
        }
        Ok(Self { views, shards, waiting_bytes: 0 })
    }

    /// Takes the next record of the log. One that the views have is passed over.
    ///
    /// # Errors
    /// It does not follow from what the shard has, or the views do not answer. The rebuilder is then of no use.
    pub async fn record(&mut self, mut stored: StoredRecord) -> Result<(), Error> {
        let key = stored.record.key;
        let progress = self.shards.entry(key.shard).or_default();
        if stored.record.slot <= progress.through {
            return Ok(());
        }
        if stored.record.slot != progress.through.next() || stored.record.previous != progress.hash {
            return Err(Error::Unknown(format!(
                "slot {} of shard {} does not follow from slot {}, where the views are",
                stored.record.slot.0, key.shard, progress.through.0
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
        let mut waiting: Vec<_> = self
            .shards
            .values()
            .filter_map(|progress| progress.waiting.first())
            .map(|first| first.record.key)
            .collect();
        waiting.sort_unstable();
        for key in waiting {
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
            let place = |broken| Error::Unknown(format!("slot {} of shard {}: {broken}", record.slot.0, key.shard));
            fold_record(&mut progress.ledger, &record).map_err(place)?;
            rows.record(&record).await?;
        }
        let batch = rows.finish(&progress.ledger)?;
        self.views.apply(batch).await
    }
}

fn tail_record(stored: StoredRecord) -> Result<TailRecord, Error> {
    Ok(TailRecord {
        slot: stored.record.slot,
        at: stored.record.at,
        hash: stored.hash,
        term: stored.record.term,
        place: stored.place,
        items: encoding::read(&stored.record.payload)?,
        payload: stored.record.payload,
        accounts: Vec::new(),
    })
}
