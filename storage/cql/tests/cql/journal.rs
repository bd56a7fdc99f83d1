//! The journal's conformance, in both spaces, and a record of the largest size across a segment's boundary.

use std::sync::Arc;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::conformance;
use storage::journal::{Append, Journal, JournalKey, PAYLOAD_BYTES_MAX, Record, Slot, Space};
use storage_cql::{CqlJournal, SEGMENT_SLOTS};

use super::server::{self, Timed};

#[tokio::test(flavor = "multi_thread")]
async fn conforms_in_the_space_of_the_ledger() {
    let _timed = Timed::new("journal of the ledger");
    let cql = server::connect().await;
    let open = || async { Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Ledger)) as Arc<dyn Journal> };
    conformance::journal::journal_of(Space::Ledger, open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_in_the_space_of_rooms() {
    let _timed = Timed::new("journal of rooms");
    let cql = server::connect().await;
    let open = || async { Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Rooms)) as Arc<dyn Journal> };
    conformance::journal::journal_of(Space::Rooms, open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_goes_on_across_segments() {
    let _timed = Timed::new("segments");
    let cql = server::connect().await;
    let key = JournalKey { space: Space::Ledger, shard: ShardId(200) };
    let journal = CqlJournal::new(Arc::clone(&cql), Space::Ledger);
    let opened = journal.open(key).await.unwrap();
    let mut previous = opened.hash;
    let count = 2 * SEGMENT_SLOTS + 1;
    for slot in 1..=count {
        // The last of the first segment, and the first of the next, are as large as can be.
        let bytes = if [SEGMENT_SLOTS - 1, SEGMENT_SLOTS].contains(&slot) { PAYLOAD_BYTES_MAX } else { 10 };
        let payload = Bytes::from(vec![u8::try_from(slot % 251).unwrap(); bytes]);
        let record = Record { key, slot: Slot(slot), term: 1, at: Timestamp(slot), previous, payload };
        previous = record.hash();
        let answer = journal.append(opened.generation, record).await.unwrap();
        assert!(matches!(answer, Append::Durable { .. }), "slot {slot}: {answer:?}");
        if slot == SEGMENT_SLOTS - 1 {
            // Full to the last slot: the next segment is empty, and that is the end.
            let other = CqlJournal::new(Arc::clone(&cql), Space::Ledger);
            assert_eq!(other.last(key).await.unwrap(), Slot(slot));
            assert_eq!(other.read(key, Slot(slot + 1), 1 << 20).await.unwrap(), []);
        }
    }
    // As another process finds it, which knows nothing.
    let journal = CqlJournal::new(Arc::clone(&cql), Space::Ledger);
    let opened = journal.open(key).await.unwrap();
    assert_eq!((opened.last, opened.hash), (Slot(count), previous));
    let (mut next, mut slots) = (Slot(1), 0);
    loop {
        let records = journal.read(key, next, 100_000).await.unwrap();
        let Some(last) = records.last() else { break };
        next = last.record.slot.next();
        slots += records.len();
    }
    assert_eq!(u64::try_from(slots).unwrap(), count);
}
