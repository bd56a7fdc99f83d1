//! The journal and the views of a simulated node.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use storage::Error;
use storage::journal::{Append, Generation, Hash, Journal, JournalKey, Opened, Place, Record, Slot, StoredRecord};
use storage::views::{Batch, Checkpoint, EventRow, Gone, Position, StoredEvent, Table, Views};
use uuid::Uuid;

use crate::world::{Chance, State, World};

/// The durable records of one shard.
#[derive(Default)]
pub(crate) struct Log {
    pub records: Vec<StoredRecord>,
    generation: u64,
    /// A record that may or may not become durable.
    limbo: Option<Record>,
    in_flight: bool,
}

impl Log {
    fn last(&self) -> Slot {
        Slot(self.records.len() as u64)
    }

    /// The fate of a record nobody knows of is decided.
    fn decide(&mut self, chance: &mut Chance, trace: &mut u64) {
        if let Some(record) = self.limbo.take()
            && chance.happens(50)
        {
            self.land(record, trace);
        }
    }

    fn land(&mut self, record: Record, trace: &mut u64) {
        let hash = record.hash();
        assert_eq!(record.slot, self.last().next());
        assert_eq!(record.previous, self.records.last().map_or_else(Hash::default, |last| last.hash));
        *trace = trace.rotate_left(5) ^ u64::from_le_bytes(hash.0[..8].try_into().unwrap());
        self.records.push(StoredRecord { place: Place(record.slot.0), hash, record });
    }

    /// What was in flight is on the disk or lost.
    pub(crate) fn crash(&mut self, chance: &mut Chance, trace: &mut u64) {
        self.in_flight = false;
        self.decide(chance, trace);
    }
}

/// The journal of a node in this world.
pub(crate) struct SimJournal(pub Arc<World>);

/// An append in flight, until it is answered or given up.
struct InFlight<'a>(&'a World, usize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().logs[self.1].in_flight = false;
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn open(&self, key: JournalKey) -> Result<Opened, Error> {
        let shard = usize::from(key.shard.0);
        while self.0.lock().logs[shard].in_flight {
            self.0.pass(1).await;
        }
        let mut state = self.0.lock();
        let State { logs, chance, trace, .. } = &mut *state;
        let log = &mut logs[shard];
        log.decide(chance, trace);
        log.generation += 1;
        let last = log.records.last();
        Ok(Opened {
            generation: Generation(log.generation),
            last: log.last(),
            hash: last.map_or_else(Hash::default, |last| last.hash),
            term: last.map_or(0, |last| last.record.term),
            at: last.map(|last| last.record.at).unwrap_or_default(),
        })
    }

    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error> {
        let shard = usize::from(record.key.shard.0);
        let (time, in_flight) = {
            let mut state = self.0.lock();
            let State { logs, chance, trace, append_ms, .. } = &mut *state;
            let log = &mut logs[shard];
            if generation.0 != log.generation {
                return Ok(Append::Fenced);
            }
            log.decide(chance, trace);
            if record.slot <= log.last() {
                let there = log.records.iter().find(|stored| stored.record == record);
                return Ok(there.map_or(Append::Fenced, |stored| Append::Durable { place: stored.place }));
            }
            if record.slot != log.last().next() {
                return Ok(Append::Fenced);
            }
            log.limbo = Some(record.clone());
            log.in_flight = true;
            (1 + chance.below(*append_ms), InFlight(&self.0, shard))
        };
        self.0.pass(time).await;
        drop(in_flight);
        let mut state = self.0.lock();
        let State { logs, chance, trace, unknown, .. } = &mut *state;
        if chance.happens(*unknown) {
            return Ok(Append::Unknown);
        }
        let place = Place(record.slot.0);
        logs[shard].limbo = None;
        logs[shard].land(record, trace);
        Ok(Append::Durable { place })
    }

    async fn read(&self, key: JournalKey, from: Slot, _: usize) -> Result<Vec<StoredRecord>, Error> {
        self.0.pass(1).await;
        let state = self.0.lock();
        let start = from.0.saturating_sub(1) as usize;
        Ok(state.logs[usize::from(key.shard.0)].records.iter().skip(start).take(3).cloned().collect())
    }

    fn projected(&self, _: JournalKey, _: Slot) {}

    fn bytes_behind(&self, _: Place) -> u64 {
        0
    }

    fn has_room(&self) -> bool {
        true
    }
}

/// What views hold.
#[derive(Default)]
pub(crate) struct Rows {
    positions: BTreeMap<JournalKey, Position>,
    checkpoints: BTreeMap<Uuid, Checkpoint>,
    events: BTreeMap<(Uuid, u64), EventRow>,
    cells: BTreeMap<(Table, Uuid, Vec<u8>), Bytes>,
    /// All batches, in the order in which they were written.
    batches: Vec<Batch>,
}

impl Rows {
    fn write(&mut self, batch: &Batch) {
        if self.positions.get(&batch.key).is_some_and(|position| position.through >= batch.position.through) {
            return;
        }
        self.events.extend(batch.events.iter().map(|row| ((row.stream, row.offset), row.clone())));
        self.checkpoints.extend(batch.checkpoints.iter().map(|row| (row.entity, row.clone())));
        let cells = batch.cells.iter();
        self.cells.extend(cells.map(|cell| ((cell.table, cell.partition, cell.sort.clone()), cell.value.clone())));
        self.positions.insert(batch.key, batch.position.clone());
    }

    /// What was written last may be gone: nothing promises that it is durable.
    pub(crate) fn crash(&mut self, chance: &mut Chance) {
        let lost = if chance.happens(50) { chance.below(8) as usize } else { 0 };
        let mut batches = std::mem::take(&mut self.batches);
        batches.truncate(batches.len().saturating_sub(lost));
        *self = Self::default();
        for batch in &batches {
            self.write(batch);
        }
        self.batches = batches;
    }
}

/// The views of a node in this world.
pub(crate) struct SimViews(pub Arc<World>);

impl SimViews {
    /// Reads now, and then takes time, or the other way round.
    async fn read<T: Send>(&self, read: impl Fn(&Rows) -> T + Send) -> Result<T, Error> {
        let (time, early, fails) = {
            let mut state = self.0.lock();
            let views_ms = state.views_ms;
            let unavailable = state.unavailable;
            let chance = &mut state.chance;
            (if views_ms == 0 { 0 } else { chance.below(views_ms) }, chance.happens(50), chance.happens(unavailable))
        };
        let before = early.then(|| read(&self.0.lock().rows));
        self.0.pass(time).await;
        if fails {
            return Err(Error::Unavailable("the weather is bad".into()));
        }
        Ok(before.unwrap_or_else(|| read(&self.0.lock().rows)))
    }
}

#[async_trait]
impl Views for SimViews {
    async fn apply(&self, batch: Batch) -> Result<(), Error> {
        let (before, after) = {
            let mut state = self.0.lock();
            let most = state.views_ms + 2;
            (state.chance.below(most), state.chance.below(most))
        };
        self.0.pass(before).await;
        {
            let mut state = self.0.lock();
            state.rows.write(&batch);
            state.rows.batches.push(batch);
        }
        self.0.pass(after).await;
        Ok(())
    }

    async fn remove(&self, gone: Gone) -> Result<(), Error> {
        assert_eq!(gone, Gone::default(), "nothing is old enough here");
        Ok(())
    }

    async fn position(&self, key: JournalKey) -> Result<Option<Position>, Error> {
        self.read(|rows| rows.positions.get(&key).cloned()).await
    }

    async fn checkpoint(&self, entity: Uuid) -> Result<Option<Checkpoint>, Error> {
        self.read(|rows| rows.checkpoints.get(&entity).cloned()).await
    }

    async fn events_after(&self, stream: Uuid, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        let range = (stream, after + 1)..=(stream, u64::MAX);
        self.read(|rows| rows.events.range(range.clone()).take(limit).map(stored).collect()).await
    }

    async fn events_before(&self, stream: Uuid, before: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.read(|rows| rows.events.range((stream, 0)..(stream, before)).rev().take(limit).map(stored).collect()).await
    }

    async fn offset_of_entry(&self, _: Uuid, _: u64) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    async fn cell(&self, table: Table, partition: Uuid, sort: &[u8]) -> Result<Option<Bytes>, Error> {
        let key = (table, partition, sort.to_vec());
        self.read(|rows| rows.cells.get(&key).cloned()).await
    }

    async fn cells(
        &self,
        table: Table,
        partition: Uuid,
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Error> {
        let after = after.to_vec();
        self.read(|rows| {
            let own = rows.cells.iter().filter(|(key, _)| key.0 == table && key.1 == partition && key.2 > after);
            own.take(limit).map(|(key, value)| (key.2.clone(), value.clone())).collect()
        })
        .await
    }
}

fn stored(((_, offset), row): (&(Uuid, u64), &EventRow)) -> StoredEvent {
    StoredEvent { offset: *offset, bytes: row.bytes.clone() }
}
