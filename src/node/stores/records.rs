//! All records of a space, one after another: in the order of the log, or shard by shard where each has its own.

use std::collections::VecDeque;
use std::sync::Arc;

use storage::Error;
use storage::embedded::journal::Scan;
use storage::journal::{Journal, JournalKey, Slot, StoredRecord};
use storage_cql::CqlJournal;

/// Bytes of payload in one reading of a journal.
const READ_BYTES: usize = 1 << 20;

/// Records of a space, each shard's in the order of its slots, up to the last that there was when the reading began.
pub enum Records {
    /// Of a log of all shards.
    Log(Box<Scan>),
    /// Of each shard's own journal.
    Shards(ShardRecords),
}

impl Records {
    /// The next record.
    pub async fn next(&mut self) -> Option<Result<StoredRecord, Error>> {
        match self {
            Self::Log(scan) => scan.next(),
            Self::Shards(records) => records.next().await.transpose(),
        }
    }

    /// How far the reading is, of [`Self::end`]: bytes of a log, or records.
    pub fn position(&self) -> u64 {
        match self {
            Self::Log(scan) => Scan::position(scan),
            Self::Shards(records) => records.done,
        }
    }

    /// How far it goes.
    pub fn end(&self) -> u64 {
        match self {
            Self::Log(scan) => Scan::end(scan),
            Self::Shards(records) => records.of,
        }
    }
}

/// Which records of one journal are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) key: JournalKey,
    pub(super) next: Slot,
    pub(super) last: Slot,
}

/// Records of one journal after another.
pub struct ShardRecords {
    journal: Arc<CqlJournal>,
    rest: VecDeque<Reach>,
    batch: VecDeque<StoredRecord>,
    done: u64,
    of: u64,
}

impl ShardRecords {
    pub(super) fn new(journal: Arc<CqlJournal>, reaches: Vec<Reach>) -> Self {
        let of = reaches.iter().map(|reach| reach.last.next().0.saturating_sub(reach.next.0)).sum();
        Self { journal, rest: reaches.into(), batch: VecDeque::new(), done: 0, of }
    }

    async fn next(&mut self) -> Result<Option<StoredRecord>, Error> {
        while self.batch.is_empty() {
            let Some(reach) = self.rest.front_mut() else { return Ok(None) };
            if reach.next <= reach.last {
                let read = self.journal.read(reach.key, reach.next, READ_BYTES).await?;
                self.batch.extend(read.into_iter().filter(|stored| stored.record.slot <= reach.last));
            }
            match self.batch.back() {
                Some(last) => reach.next = last.record.slot.next(),
                None => drop(self.rest.pop_front()),
            }
        }
        self.done = self.done.saturating_add(1);
        Ok(self.batch.pop_front())
    }
}
