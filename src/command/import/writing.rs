//! Writing the records of a space into journals: several shards at once, each in its order.
//!
//! Of each shard two chains are followed: that of the export, which is checked, and that of the new journal. They are
//! one and the same unless the beginning of the shard is gone; then slots are moved to begin at 1.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::ShardId;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::journal::{Append, Hash, Journal, JournalKey, Opened, Record, Slot, Space};

use crate::command::export::contents::{End, Log};
use crate::node::store::Store;

/// Bytes of payload that are gathered before they are written.
const BATCH_BYTES: usize = 8 << 20;

/// Shards written together.
const TOGETHER_MAX: usize = 64;

/// How often a record is offered whose outcome nobody knows.
const OFFERS_MAX: usize = 8;

/// Journals of a space in the making.
pub(super) struct Writing<'a> {
    journal: Arc<dyn Journal>,
    log: &'a Log,
    space: Space,
    shards: BTreeMap<ShardId, Shard>,
    batch: BTreeMap<ShardId, Vec<Record>>,
    batch_bytes: usize,
    written: u64,
    found: u64,
}

/// One journal.
struct Shard {
    opened: Opened,
    /// By how much slots are moved towards the beginning.
    moved: u64,
    /// The last record of the export that was read.
    read: Option<(Slot, Hash)>,
    /// The last record of the new journal.
    last: (Slot, Hash),
}

impl<'a> Writing<'a> {
    /// Becomes the writer of all journals of a space.
    pub(super) async fn begin(
        journal: Arc<dyn Journal>,
        store: &Store,
        log: &'a Log,
        space: Space,
    ) -> Result<Self, Error> {
        let open = |shard| {
            let journal = Arc::clone(&journal);
            async move { Ok::<_, Error>((shard, journal.open(JournalKey { space, shard }).await?)) }
        };
        let opened: Vec<_> = stream::iter(store.shards.shards()).map(open).buffered(TOGETHER_MAX).try_collect().await?;
        let shards = opened.into_iter().map(|(shard, opened)| {
            let moved = log.end(shard).map_or(0, |end| end.first.0.saturating_sub(1));
            (shard, Shard { opened, moved, read: None, last: (Slot(0), Hash::default()) })
        });
        let shards = shards.collect();
        let (batch, batch_bytes, written, found) = Default::default();
        Ok(Self { journal, log, space, shards, batch, batch_bytes, written, found })
    }

    /// Whether any journal has records already.
    pub(super) fn has_records(&self) -> bool {
        self.shards.values().any(|shard| shard.opened.last > Slot(0))
    }

    /// How many records were written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// How many were there.
    pub(super) const fn found(&self) -> u64 {
        self.found
    }

    /// By how much the slots of each shard are moved.
    pub(super) fn moved(&self) -> BTreeMap<ShardId, u64> {
        self.shards.iter().map(|(shard, state)| (*shard, state.moved)).collect()
    }

    /// Takes the next record of the export.
    pub(super) async fn push(&mut self, record: Record) -> Result<(), Error> {
        let key = record.key;
        let unknown =
            || Error::Unknown(format!("the export has a record of shard {}, which the store has not", key.shard));
        let shard = self.shards.get_mut(&key.shard).ok_or_else(unknown)?;
        let Some(record) = shard.take(record)? else {
            self.found = self.found.saturating_add(1);
            return Ok(());
        };
        self.batch_bytes = self.batch_bytes.saturating_add(record.payload.len());
        self.batch.entry(key.shard).or_default().push(record);
        if self.batch_bytes >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let journal = &*self.journal;
        let appends = batch.into_iter().filter_map(|(shard, records)| {
            let opened = self.shards.get(&shard)?.opened;
            Some(append_all(journal, opened, records))
        });
        let counts: Vec<u64> = stream::iter(appends).buffer_unordered(TOGETHER_MAX).try_collect().await?;
        self.written = self.written.saturating_add(counts.iter().sum());
        Ok(())
    }

    /// Checks that all records that the export should have were there.
    pub(super) fn finish(&self) -> Result<(), Error> {
        for End { shard, last, hash, .. } in &self.log.ends {
            let read = self.shards.get(shard).and_then(|shard| shard.read);
            if read != Some((*last, *hash)) {
                let space = self.space.name();
                return Err(Error::Unknown(format!(
                    "the export does not have all records of shard {shard} of {space}"
                )));
            }
        }
        Ok(())
    }
}

impl Shard {
    /// The record as it goes into the new journal; nothing if it is there.
    fn take(&mut self, record: Record) -> Result<Option<Record>, Error> {
        let (shard, slot, hash) = (record.key.shard, record.slot, record.hash());
        let wrong = |what: &str| Error::Unknown(format!("the export's slot {} of shard {shard} {what}", slot.0));
        let follows = match self.read {
            Some((last, hash)) => slot == last.next() && record.previous == hash,
            // What comes before the first is gone; of a whole journal nothing does.
            None => slot.0 == self.moved.saturating_add(1) && (self.moved > 0 || record.previous == Hash::default()),
        };
        if !follows {
            return Err(wrong("does not follow from the one before"));
        }
        self.read = Some((slot, hash));
        let new = Record { slot: Slot(slot.0.saturating_sub(self.moved)), previous: self.last.1, ..record };
        self.last = (new.slot, if self.moved == 0 { hash } else { new.hash() });
        if self.last.0 == self.opened.last && self.last.1 != self.opened.hash {
            return Err(wrong("is not what the store has there: it holds something else"));
        }
        Ok((self.last.0 > self.opened.last).then_some(new))
    }
}

/// Appends records of one shard in their order.
async fn append_all(journal: &dyn Journal, opened: Opened, records: Vec<Record>) -> Result<u64, Error> {
    let mut count = 0;
    for record in records {
        append(journal, opened, record).await?;
        count += 1;
    }
    Ok(count)
}

async fn append(journal: &dyn Journal, opened: Opened, record: Record) -> Result<(), Error> {
    let (shard, slot) = (record.key.shard, record.slot.0);
    for _ in 0..OFFERS_MAX {
        match journal.append(opened.generation, record.clone()).await? {
            Append::Durable { .. } => return Ok(()),
            Append::Fenced => {
                return Err(Error::Unavailable(format!("another writer has slot {slot} of shard {shard}: stop it")));
            }
            Append::Unknown => {}
        }
    }
    Err(Error::Unavailable(format!("nobody knows whether slot {slot} of shard {shard} is written: run it again")))
}
