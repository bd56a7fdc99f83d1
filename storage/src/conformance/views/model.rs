//! Random batches and reads, against maps in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::ViewsFixture;
use super::batches::{self, Batches, key};
use crate::journal::JournalKey;
use crate::views::{Batch, Checkpoint, Gone, Position, Table, Views};

const SHARDS: u16 = 3;
const STEPS: u64 = 120;
const TABLES: [Table; 3] = [Table::Transfers, Table::RoomRedactions, Table::HoldsOfAccount];

/// Numbers from a seed. Source: `SplitMix64`, Steele and others, 2014.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn bytes(&mut self, len_max: u64) -> Vec<u8> {
        let len = self.below(len_max + 1);
        (0..len).map(|_| u8::try_from(self.below(4)).unwrap_or_default()).collect()
    }
}

/// What the views should hold.
#[derive(Default)]
struct Model {
    events: BTreeMap<(Uuid, u64), (u64, Bytes)>,
    checkpoints: BTreeMap<Uuid, Checkpoint>,
    cells: BTreeMap<(Table, Uuid, Vec<u8>), Bytes>,
    positions: BTreeMap<JournalKey, Position>,
}

impl Model {
    fn apply(&mut self, batch: Batch) {
        if self.positions.get(&batch.key).is_some_and(|stored| batch.position.through <= stored.through) {
            return;
        }
        self.events.extend(batch.events.into_iter().map(|row| ((row.stream, row.offset), (row.entries, row.bytes))));
        self.checkpoints.extend(batch.checkpoints.into_iter().map(|row| (row.entity, row)));
        self.cells.extend(batch.cells.into_iter().map(|cell| ((cell.table, cell.partition, cell.sort), cell.value)));
        self.positions.insert(batch.key, batch.position);
    }

    fn remove(&mut self, gone: &Gone) {
        for (stream, through) in &gone.events {
            self.events.retain(|(of, offset), _| of != stream || offset > through);
        }
        for cell in &gone.cells {
            self.cells.remove(cell);
        }
    }

    /// Offset, entries and bytes of a stream's events.
    fn events(&self, stream: Uuid) -> Vec<(u64, u64, Bytes)> {
        let rows = self.events.range((stream, 0)..=(stream, u64::MAX));
        rows.map(|((_, offset), (entries, bytes))| (*offset, *entries, bytes.clone())).collect()
    }
}

/// The streams of a shard: each has one writing shard.
fn stream(shard: u16, number: u64) -> Uuid {
    batches::id(u64::from(shard) * 100 + number)
}

/// One run. `seed` says all that happens in it.
pub(super) async fn the_views_are_what_a_map_would_be(fixture: &impl ViewsFixture, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut model = Model::default();
    let mut views = fixture.open().await;
    let mut shards: Vec<Batches> = (0..SHARDS).map(Batches::of).collect();
    let mut old: Vec<Batch> = Vec::new();
    // Events that were removed leave no trace of how many there were.
    let mut highest: BTreeMap<Uuid, u64> = BTreeMap::new();
    for step in 0..STEPS {
        let shard = u16::try_from(numbers.below(u64::from(SHARDS))).unwrap_or_default();
        let Some(batches) = shards.get_mut(usize::from(shard)) else { continue };
        for _ in 0..numbers.below(8) {
            let stream = stream(shard, numbers.below(5));
            let stored = model.events(stream).last().map_or(0, |last| last.0);
            let last = highest.entry(stream).or_insert(0);
            *last += 1;
            let entries = model.events(stream).last().map_or(0, |last| last.1).max(batches.entries_of(stream));
            let entries = entries + numbers.below(3);
            let offset = *last;
            assert!(offset > stored);
            let text = format!("{seed}:{step}:{stream}:{offset}");
            batches.event_of(fixture, stream, offset, entries, text.as_bytes());
            batches.checkpoint(stream, offset, &numbers.bytes(200));
        }
        for _ in 0..numbers.below(6) {
            let Some(table) = TABLES.get(usize::try_from(numbers.below(3)).unwrap_or_default()) else { continue };
            let (sort, value) = (numbers.bytes(3), numbers.bytes(60));
            batches.cell(*table, stream(shard, numbers.below(3)), &sort, &value);
        }
        let batch = batches.take();
        old.push(batch.clone());
        model.apply(batch.clone());
        views.apply(batch).await.expect("applied");
        if numbers.below(4) == 0 {
            let again = usize::try_from(numbers.below(old.len() as u64)).ok().and_then(|index| old.get(index));
            if let Some(again) = again {
                model.apply(again.clone());
                views.apply(again.clone()).await.expect("taken without effect");
            }
        }
        if numbers.below(8) == 0 {
            let stream = stream(shard, numbers.below(5));
            let through = numbers.below(highest.get(&stream).copied().unwrap_or(0) + 2);
            let cells: Vec<_> = model.cells.keys().filter(|_| numbers.below(10) == 0).cloned().collect();
            let gone = Gone { events: vec![(stream, through)], cells };
            model.remove(&gone);
            views.remove(gone).await.expect("removed");
        }
        if numbers.below(40) == 0 {
            drop(views);
            views = fixture.open().await;
        }
        let shard = u16::try_from(numbers.below(u64::from(SHARDS))).unwrap_or_default();
        compare(&*views, &model, &mut numbers, shard, &format!("seed {seed}, step {step}")).await;
    }
}

/// Reads at random what belongs to `shard` and compares it with the model.
async fn compare(views: &dyn Views, model: &Model, numbers: &mut Numbers, shard: u16, when: &str) {
    let stream = stream(shard, numbers.below(5));
    let position = views.position(key(shard)).await.expect("a read");
    assert_eq!(position.as_ref(), model.positions.get(&key(shard)), "{when}");
    let checkpoint = views.checkpoint(stream).await.expect("a read");
    assert_eq!(checkpoint.as_ref(), model.checkpoints.get(&stream), "{when}");

    let all = model.events(stream);
    let edge = numbers.below(all.len() as u64 + 3);
    let limit = usize::try_from(numbers.below(7)).unwrap_or_default();
    let pairs = |events: Vec<crate::views::StoredEvent>| -> Vec<(u64, Bytes)> {
        events.into_iter().map(|event| (event.offset, event.bytes)).collect()
    };
    let expected: Vec<_> =
        all.iter().filter(|row| row.0 > edge).take(limit).map(|row| (row.0, row.2.clone())).collect();
    assert_eq!(pairs(views.events_after(stream, edge, limit).await.expect("a read")), expected, "{when}");
    let before = all.iter().rev().filter(|row| row.0 < edge);
    let expected: Vec<_> = before.take(limit).map(|row| (row.0, row.2.clone())).collect();
    assert_eq!(pairs(views.events_before(stream, edge, limit).await.expect("a read")), expected, "{when}");
    let entry = numbers.below(all.len() as u64 + 3);
    let expected = all.iter().find(|row| row.1 >= entry).map(|row| row.0).filter(|_| entry > 0);
    // Entries up to a first event that is not the stream's first may belong to those that are gone.
    let first = all.first().map(|row| row.0);
    let expected = expected.filter(|offset| *offset == 1 || Some(*offset) != first);
    assert_eq!(views.offset_of_entry(stream, entry).await.expect("a read"), expected, "{when}, entry {entry}");

    let (partition, after) = (self::stream(shard, numbers.below(3)), numbers.bytes(3));
    for table in TABLES {
        let own = model.cells.iter().filter(|((in_table, in_partition, sort), _)| {
            *in_table == table && *in_partition == partition && *sort > after
        });
        let expected: Vec<_> = own.take(limit).map(|((_, _, sort), value)| (sort.clone(), value.clone())).collect();
        let found = views.cells(table, partition, &after, limit).await.expect("a read");
        assert_eq!(found, expected, "{when}");
        let cell = views.cell(table, partition, &after).await.expect("a read");
        assert_eq!(cell.as_ref(), model.cells.get(&(table, partition, after.clone())), "{when}");
    }
}
