//! The old end of journals with retention: partitions that are full, each shard's oldest first.
//!
//! A part is one partition of one shard. Retiring it empties its payloads, row by row, and then notes the new floor;
//! the rows themselves stay, so that an old owner still finds each slot taken. Cut short, it is gone through again.

use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::journal::{JournalKey, OldSegment, Retention, Slot, StoredRecord};

use super::end::Bounds;
use super::{CqlJournal, Store, bounds_key, first_of, last_of, partition, segment};
use crate::number::{from_cql, to_cql};
use crate::statements::Named;

/// Bytes of records read at once.
const READ_BYTES: usize = 4 << 20;

/// Shards looked at together.
const LOOKING_MAX: usize = 16;

/// The bits of a part's number that hold its partition; the shard is above them.
const PARTITION_BITS: u32 = 40;

/// A shard's oldest partition that is not retired, if nothing is written there any more.
struct Oldest {
    key: JournalKey,
    number: u64,
    newest: Timestamp,
    /// The bytes of its shard's payloads that are not retired.
    bytes: u64,
}

impl Store {
    /// The oldest partition of every journal that this process has open.
    async fn oldest(&self) -> Result<(Vec<Oldest>, u64), Error> {
        let ends: Vec<(JournalKey, Slot)> = {
            let shards = self.ends.lock();
            let key = |shard: &u16| JournalKey { space: self.space, shard: domain::ids::ShardId(*shard) };
            shards.iter().map(|(shard, slot)| (key(shard), *slot)).collect()
        };
        let looks = stream::iter(ends).map(|(key, end)| self.look(key, end)).buffer_unordered(LOOKING_MAX);
        let found: Vec<(Option<Oldest>, u64)> = looks.try_collect().await?;
        let bytes = found.iter().map(|(_, bytes)| bytes).sum();
        Ok((found.into_iter().filter_map(|(oldest, _)| oldest).collect(), bytes))
    }

    /// A journal's oldest partition, if it is full, and the bytes that are not retired.
    async fn look(&self, key: JournalKey, end: Slot) -> Result<(Option<Oldest>, u64), Error> {
        let Bounds { floor, floor_total, .. } = self.bounds(key).await?;
        let Some((_, total)) = self.stamp(key, end).await? else { return Ok((None, 0)) };
        let bytes = total.saturating_sub(floor_total);
        let number = segment(floor);
        if number >= segment(end) {
            return Ok((None, bytes));
        }
        let newest = self.stamp(key, last_of(number)).await?;
        Ok((newest.map(|(newest, _)| Oldest { key, number, newest, bytes }), bytes))
    }

    /// A record's stamp and the bytes of payload up to it.
    pub(super) async fn stamp(&self, key: JournalKey, slot: Slot) -> Result<Option<(Timestamp, u64)>, Error> {
        let (space, shard, segment) = partition(key, segment(slot))?;
        let row = self.cql.row::<(i64, i64)>(Named::JournalStamp, (space, shard, segment, to_cql(slot.0)?)).await?;
        row.map(|(at, total)| Ok((Timestamp(from_cql(at)?), from_cql(total)?))).transpose()
    }

    async fn retire(&self, key: JournalKey, number: u64) -> Result<(), Error> {
        let (space, shard, segment) = partition(key, number)?;
        let mut from = first_of(number);
        loop {
            let records = self.read(key, from, READ_BYTES).await?;
            let mut rest = records.iter().filter(|stored| stored.record.slot <= last_of(number)).peekable();
            if rest.peek().is_none() {
                break;
            }
            for stored in rest {
                from = stored.record.slot.next();
                let (slot, hash) = (to_cql(stored.record.slot.0)?, &stored.hash.0[..]);
                let values = (space, shard, segment, slot, hash);
                self.cql.transaction(Named::JournalEmpty, (space, shard, segment), values).await?;
            }
        }
        let Some((_, total)) = self.stamp(key, last_of(number)).await? else { return Ok(()) };
        let (floor, total) = (to_cql(last_of(number).next().0)?, to_cql(total)?);
        let (space, shard) = bounds_key(key);
        self.cql.write(Named::JournalFloor, (floor, floor, total, space, shard)).await
    }
}

impl Retention for CqlJournal {
    fn oldest(&self) -> Result<Option<OldSegment>, Error> {
        let (parts, log_bytes) = self.store.handle.block_on(self.store.oldest())?;
        // The one whose newest record is oldest; of two such, in the longer journal.
        let Some(oldest) = parts.into_iter().min_by_key(|part| (part.newest, std::cmp::Reverse(part.bytes))) else {
            return Ok(None);
        };
        let shard = usize::from(oldest.key.shard.0);
        let mut through = vec![Slot(0); shard.saturating_add(1)];
        if let Some(slot) = through.get_mut(shard) {
            *slot = last_of(oldest.number);
        }
        let number = u64::from(oldest.key.shard.0) << PARTITION_BITS | oldest.number;
        Ok(Some(OldSegment { number, newest: oldest.newest, through, log_bytes }))
    }

    fn records(
        &self,
        part: &OldSegment,
    ) -> Result<Box<dyn Iterator<Item = Result<StoredRecord, Error>> + Send>, Error> {
        let (key, number) = self.part(part)?;
        let store = std::sync::Arc::clone(&self.store);
        let mut next = Some(first_of(number));
        let batches = std::iter::from_fn(move || {
            let from = next.take()?;
            let read = store.handle.block_on(store.read(key, from, READ_BYTES));
            let batch = match read {
                Ok(batch) => batch,
                Err(error) => return Some(vec![Err(error)]),
            };
            let inside: Vec<_> = batch.into_iter().filter(|stored| stored.record.slot <= last_of(number)).collect();
            next = inside.last().map(|stored| stored.record.slot.next());
            (!inside.is_empty()).then(|| inside.into_iter().map(Ok).collect())
        });
        Ok(Box::new(batches.flatten()))
    }

    fn remove(&self, part: &OldSegment) -> Result<(), Error> {
        let (key, number) = self.part(part)?;
        if key.space.is_kept_for_ever() {
            return Err(Error::Unknown(format!("the journal of space {} is kept for ever", key.space.name())));
        }
        self.store.handle.block_on(self.store.retire(key, number))?;
        tracing::info!(shard = %key.shard, part = number, "retired records whose time is over");
        Ok(())
    }
}

impl CqlJournal {
    /// The journal and partition of a part, which must be the oldest of its shard.
    fn part(&self, part: &OldSegment) -> Result<(JournalKey, u64), Error> {
        let shard = u16::try_from(part.number >> PARTITION_BITS).unwrap_or(u16::MAX);
        let key = JournalKey { space: self.store.space, shard: domain::ids::ShardId(shard) };
        let number = part.number & ((1 << PARTITION_BITS) - 1);
        let floor = self.store.handle.block_on(self.store.bounds(key))?.floor;
        if segment(floor) != number {
            return Err(Error::Unavailable(format!("part {number} of shard {shard} is not its oldest")));
        }
        Ok((key, number))
    }
}
