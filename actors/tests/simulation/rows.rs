//! The views of a simulated node: slow at random, behind after a crash, written whole or row by row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::JournalKey;
use storage::views::{Batch, Checkpoint, EventRow, Gone, Position, StoredEvent, Table, Views};
use uuid::Uuid;

use crate::world::{Chance, World};

/// The key of a cell.
type CellKey = (Table, Uuid, Vec<u8>);

/// What views hold.
#[derive(Default)]
pub(crate) struct Rows {
    pub positions: BTreeMap<JournalKey, Position>,
    pub checkpoints: BTreeMap<Uuid, Checkpoint>,
    pub events: BTreeMap<(Uuid, u64), EventRow>,
    pub cells: BTreeMap<CellKey, (Timestamp, Bytes)>,
    /// All batches, in the order in which they were written.
    batches: Vec<Batch>,
}

impl Rows {
    /// Writes what a batch has, up to `most` rows; the position comes last.
    fn write(&mut self, batch: &Batch, most: usize) {
        let at = batch.position.at;
        let mut left = most;
        let mut more = || {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        };
        for row in batch.events.iter().take_while(|_| more()) {
            self.events.insert((row.stream, row.offset), row.clone());
        }
        for row in batch.checkpoints.iter().take_while(|_| more()) {
            if self.checkpoints.get(&row.entity).is_none_or(|old| old.at <= row.at) {
                self.checkpoints.insert(row.entity, row.clone());
            }
        }
        for cell in batch.cells.iter().take_while(|_| more()) {
            let key = (cell.table, cell.partition, cell.sort.clone());
            if self.cells.get(&key).is_none_or(|(old, _)| *old <= at) {
                self.cells.insert(key, (at, cell.value.clone()));
            }
        }
        if more() {
            self.positions.insert(batch.key, batch.position.clone());
        }
    }

    fn is_old(&self, batch: &Batch) -> bool {
        self.positions.get(&batch.key).is_some_and(|position| position.through >= batch.position.through)
    }

    /// What was written last may be gone, where nothing promises that it is durable.
    pub(crate) fn crash(&mut self, chance: &mut Chance, torn: bool) {
        if torn || !chance.happens(50) {
            return;
        }
        let lost = usize::try_from(chance.below(8)).unwrap_or(0);
        let mut batches = std::mem::take(&mut self.batches);
        batches.truncate(batches.len().saturating_sub(lost));
        *self = Self::default();
        for batch in &batches {
            self.write(batch, usize::MAX);
        }
        self.batches = batches;
    }
}

fn rows_of(batch: &Batch) -> usize {
    batch.events.len() + batch.checkpoints.len() + batch.cells.len()
}

/// The views of a node in this world.
pub(crate) struct SimViews(pub Arc<World>);

impl SimViews {
    /// Reads now, before it takes time, or after.
    async fn read<T>(&self, read: impl Fn(&Rows) -> T + Send) -> Result<T, Error>
    where
        T: Send,
    {
        let (fails, time, early) = {
            let mut state = self.0.lock();
            let weather = state.weather;
            let slow = state.chance.happens(weather.slow);
            let time = if slow { state.chance.between(weather.slow_least_ms, weather.slow_ms) } else { 0 };
            (state.chance.happens(weather.unavailable), Duration::from_millis(time), state.chance.happens(50))
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
        let (before, after, fails) = {
            let mut state = self.0.lock();
            let weather = state.weather;
            let most = if state.chance.happens(weather.slow) { weather.slow_ms } else { 2 };
            let (before, after) = (state.chance.below(most + 1), state.chance.below(most + 1));
            (Duration::from_millis(before), Duration::from_millis(after), state.chance.happens(weather.unavailable))
        };
        self.0.pass(before).await;
        if self.0.lock().weather.torn {
            // Some rows, then the rest, and the position last: readers and crashes may come between.
            let most = {
                let mut state = self.0.lock();
                let most = state.chance.below(rows_of(&batch) as u64 + 1);
                let most = usize::try_from(most).unwrap_or(0);
                if !state.rows.is_old(&batch) {
                    state.rows.write(&batch, most);
                }
                most
            };
            self.0.pass(Duration::from_millis(1)).await;
            if fails && most > 0 {
                return Err(Error::Unavailable("the weather is bad".into()));
            }
        } else if fails {
            return Err(Error::Unavailable("the weather is bad".into()));
        }
        {
            let mut state = self.0.lock();
            if !state.rows.is_old(&batch) {
                state.rows.write(&batch, usize::MAX);
                state.rows.batches.push(batch);
            }
        }
        self.0.pass(after).await;
        Ok(())
    }

    /// Money is kept for ever: nothing of it is ever removed.
    async fn remove(&self, gone: Gone) -> Result<(), Error> {
        assert_eq!(gone, Gone::default());
        Ok(())
    }

    async fn position(&self, key: JournalKey) -> Result<Option<Position>, Error> {
        self.read(|rows| rows.positions.get(&key).cloned()).await
    }

    async fn checkpoint(&self, entity: Uuid) -> Result<Option<Checkpoint>, Error> {
        self.read(|rows| rows.checkpoints.get(&entity).cloned()).await
    }

    async fn events_after(&self, stream: Uuid, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.read(|rows| rows.events.range((stream, after + 1)..=(stream, u64::MAX)).take(limit).map(stored).collect())
            .await
    }

    async fn events_before(&self, stream: Uuid, before: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.read(|rows| rows.events.range((stream, 0)..(stream, before)).rev().take(limit).map(stored).collect()).await
    }

    async fn offset_of_entry(&self, stream: Uuid, entry: u64) -> Result<Option<u64>, Error> {
        self.read(|rows| {
            let mut events = rows.events.range((stream, 0)..=(stream, u64::MAX));
            events.find(|(_, row)| row.entries >= entry).map(|((_, offset), _)| *offset)
        })
        .await
    }

    async fn cell(&self, table: Table, partition: Uuid, sort: &[u8]) -> Result<Option<Bytes>, Error> {
        let key = (table, partition, sort.to_vec());
        self.read(|rows| rows.cells.get(&key).map(|(_, value)| value.clone())).await
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
            let of = |key: &&CellKey| key.0 == table && key.1 == partition && key.2 > after;
            let found = rows.cells.iter().filter(|(key, _)| of(key));
            found.take(limit).map(|(key, (_, value))| (key.2.clone(), value.clone())).collect()
        })
        .await
    }
}

fn stored(((_, offset), row): (&(Uuid, u64), &EventRow)) -> StoredEvent {
    StoredEvent { offset: *offset, bytes: row.bytes.clone() }
}
