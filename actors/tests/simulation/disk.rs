//! The journal on a simulated disk: appends take time, are lost or kept by a crash, and are sometimes
//! told as unknown.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::ShardId;
use storage::Error;
use storage::journal::{Append, Generation, Hash, Journal, JournalKey, Opened, Place, Record, Slot, StoredRecord};

use crate::model::Model;
use crate::world::{Chance, State, World, note};

/// The durable records of all shards.
pub(crate) struct Disk {
    logs: Vec<Log>,
}

#[derive(Default)]
struct Log {
    records: Vec<StoredRecord>,
    generation: u64,
    /// A record that may or may not become durable.
    limbo: Option<Record>,
    in_flight: bool,
}

impl Disk {
    pub(crate) fn new(shards: u16) -> Self {
        Self { logs: (0..shards).map(|_| Log::default()).collect() }
    }

    /// The last durable slot of a shard.
    pub(crate) fn last(&self, shard: ShardId) -> Slot {
        self.logs[usize::from(shard.0)].last()
    }

    /// What was in flight became durable, or did not.
    pub(crate) fn crash(&mut self, chance: &mut Chance, model: &mut Model, wrong: &mut Vec<String>, trace: &mut u64) {
        for log in &mut self.logs {
            log.in_flight = false;
            log.decide(chance, model, wrong, trace);
        }
    }
}

impl Log {
    fn last(&self) -> Slot {
        Slot(self.records.len() as u64)
    }

    /// The fate of a record nobody knows of is decided.
    fn decide(&mut self, chance: &mut Chance, model: &mut Model, wrong: &mut Vec<String>, trace: &mut u64) {
        if let Some(record) = self.limbo.take()
            && chance.happens(50)
        {
            self.land(record, model, wrong, trace);
        }
    }

    fn land(&mut self, record: Record, model: &mut Model, wrong: &mut Vec<String>, trace: &mut u64) {
        note(trace, &record.hash().0);
        if let Err(what) = model.record(&record) {
            wrong.push(what);
        }
        let hash = record.hash();
        self.records.push(StoredRecord { place: Place(record.slot.0), hash, record });
    }
}

/// The journal of a node in this world.
pub(crate) struct SimJournal(pub Arc<World>);

/// An append in flight, until it is answered or given up.
struct InFlight<'a>(&'a World, usize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().disk.logs[self.1].in_flight = false;
    }
}

impl SimJournal {
    async fn take_time(&self) {
        let time = {
            let mut state = self.0.lock();
            let weather = state.weather;
            state.chance.between(weather.append_least_ms, weather.append_ms)
        };
        self.0.pass(Duration::from_millis(time)).await;
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn open(&self, key: JournalKey) -> Result<Opened, Error> {
        let shard = usize::from(key.shard.0);
        self.0.pass(Duration::from_millis(1)).await;
        while self.0.lock().disk.logs[shard].in_flight {
            self.0.pass(Duration::from_millis(1)).await;
        }
        let mut state = self.0.lock();
        let State { disk, chance, model, wrong, trace, .. } = &mut *state;
        let log = &mut disk.logs[shard];
        log.decide(chance, model, wrong, trace);
        log.generation += 1;
        let generation = Generation(log.generation);
        let last = log.records.last();
        Ok(Opened {
            generation,
            last: log.last(),
            hash: last.map_or_else(Hash::default, |last| last.hash),
            term: last.map_or(0, |last| last.record.term),
            at: last.map(|last| last.record.at).unwrap_or_default(),
        })
    }

    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error> {
        let shard = usize::from(record.key.shard.0);
        self.0.pass(Duration::ZERO).await;
        let in_flight = {
            let mut state = self.0.lock();
            let State { disk, chance, model, wrong, trace, weather, .. } = &mut *state;
            if chance.happens(weather.unknown / 3) {
                return Err(Error::Unavailable("the weather is bad".into()));
            }
            let log = &mut disk.logs[shard];
            if generation.0 != log.generation {
                return Ok(Append::Fenced);
            }
            log.decide(chance, model, wrong, trace);
            if record.slot <= log.last() {
                let there = log.records.iter().find(|stored| stored.record == record);
                return Ok(there.map_or(Append::Fenced, |stored| Append::Durable { place: stored.place }));
            }
            if record.slot != log.last().next() {
                return Ok(Append::Fenced);
            }
            log.limbo = Some(record.clone());
            log.in_flight = true;
            InFlight(&self.0, shard)
        };
        self.take_time().await;
        drop(in_flight);
        let mut state = self.0.lock();
        let State { disk, chance, model, wrong, trace, weather, .. } = &mut *state;
        let log = &mut disk.logs[shard];
        if chance.happens(weather.unknown) {
            return Ok(Append::Unknown);
        }
        let place = Place(record.slot.0);
        log.limbo = None;
        log.land(record, model, wrong, trace);
        // What one shard has for good and another has not yet is where order matters most.
        if disk.logs.iter().any(|log| log.in_flight) && chance.happens(5) {
            state.crash_soon();
        }
        Ok(Append::Durable { place })
    }

    async fn read(&self, key: JournalKey, from: Slot, _: usize) -> Result<Vec<StoredRecord>, Error> {
        self.0.pass(Duration::from_millis(1)).await;
        let state = self.0.lock();
        let start = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(state.disk.logs[usize::from(key.shard.0)].records.iter().skip(start).take(3).cloned().collect())
    }

    fn projected(&self, _: JournalKey, _: Slot) {}

    fn bytes_behind(&self, _: Place) -> u64 {
        0
    }

    fn has_room(&self) -> bool {
        true
    }
}
