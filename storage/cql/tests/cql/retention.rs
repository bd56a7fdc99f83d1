//! Retention: a part that is retired reads as gone, its slots stay taken, and what was cut short is done again.

use std::sync::Arc;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::journal::{Append, Hash, Journal, JournalKey, OldSegment, Record, Retention, Slot, Space};
use storage_cql::{CqlJournal, SEGMENT_SLOTS};

use super::server::{self, Timed};

const KEY: JournalKey = JournalKey { space: Space::Rooms, shard: ShardId(202) };

async fn blocking<T: Send + 'static>(
    journal: &Arc<CqlJournal>,
    work: impl FnOnce(&CqlJournal) -> T + Send + 'static,
) -> T {
    let journal = Arc::clone(journal);
    tokio::task::spawn_blocking(move || work(&journal)).await.unwrap()
}

async fn oldest(journal: &Arc<CqlJournal>) -> Option<OldSegment> {
    blocking(journal, |journal| journal.oldest().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_part_is_gone_and_its_slots_are_taken() {
    let _timed = Timed::new("retention");
    let cql = server::connect().await;
    let journal = Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Rooms));
    let opened = journal.open(KEY).await.unwrap();
    let (mut records, mut previous) = (Vec::new(), Hash::default());
    for slot in 1..SEGMENT_SLOTS + 3 {
        let payload = Bytes::from_static(&[7; 100]);
        let record = Record { key: KEY, slot: Slot(slot), term: 1, at: Timestamp(1_000 + slot), previous, payload };
        previous = record.hash();
        if slot == SEGMENT_SLOTS {
            assert_eq!(oldest(&journal).await, None, "full, and nothing is written after it yet");
        }
        let answer = journal.append(opened.generation, record.clone()).await.unwrap();
        assert!(matches!(answer, Append::Durable { .. }));
        records.push(record);
    }
    let part = oldest(&journal).await.unwrap();
    assert_eq!((part.newest, part.log_bytes), (Timestamp(1_000 + SEGMENT_SLOTS - 1), 100 * (SEGMENT_SLOTS + 2)));
    assert_eq!(part.through.get(202), Some(&Slot(SEGMENT_SLOTS - 1)));
    assert!(part.through[..202].iter().all(|slot| *slot == Slot(0)));
    let read = |part: OldSegment| {
        blocking(&journal, move |journal| {
            journal.records(&part).unwrap().map(|stored| stored.unwrap().record).collect::<Vec<_>>()
        })
    };
    let (old, kept) = records.split_at(usize::try_from(SEGMENT_SLOTS - 1).unwrap());
    assert_eq!(read(part.clone()).await, old);

    let removed = part.clone();
    blocking(&journal, move |journal| journal.remove(&removed).unwrap()).await;
    assert_eq!(oldest(&journal).await, None);
    for reader in [Arc::clone(&journal), Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Rooms))] {
        let read = reader.read(KEY, Slot(1), 1 << 20).await.unwrap();
        assert_eq!(read.into_iter().map(|stored| stored.record).collect::<Vec<_>>(), kept);
    }
    let again = part.clone();
    assert!(blocking(&journal, move |journal| journal.remove(&again)).await.is_err(), "only ever the oldest");

    let zombie = CqlJournal::new(Arc::clone(&cql), Space::Rooms);
    let opened = zombie.open(KEY).await.unwrap();
    assert_eq!(opened.last, Slot(SEGMENT_SLOTS + 2));
    let text = "SELECT hash FROM quickpe_tests.journal WHERE space = 1 AND shard = 202 AND segment = 0 LIMIT 1000";
    assert_eq!(cql.connection().count(text).await.unwrap(), old.len(), "an old owner finds each slot taken");
}
