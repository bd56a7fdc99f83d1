//! The embedded journal near its limit: it says so early, and waits rather than fail half way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom, SEGMENT_BYTES_MIN};
use storage::embedded::lock::StoreLock;
use storage::journal::{Append, Generation, Hash, Journal, JournalKey, Record, Slot, Space};
use uuid::Uuid;

const KEY: JournalKey = JournalKey { space: Space::Ledger, shard: ShardId(0) };

fn open(dir: &Path, bytes_max: u64) -> EmbeddedJournal {
    let mut config = JournalConfig::new(Space::Ledger, Uuid::from_u128(1), ShardCount::few(4).unwrap());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config.bytes_max = bytes_max;
    EmbeddedJournal::open(Arc::new(StoreLock::acquire(dir).unwrap()), &config, OpenFrom::Everything, &[]).unwrap()
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("journal/ledger")).unwrap().count()
}

fn record(slot: Slot, previous: Hash) -> Record {
    let payload = Bytes::from(vec![1; 100_000]);
    Record { key: KEY, slot: slot.next(), term: 1, at: Timestamp(slot.0 + 1), previous, payload }
}

/// Appends until an append waits; that record, and the generation.
async fn fill(journal: &EmbeddedJournal) -> (Generation, Record) {
    let opened = journal.open(KEY).await.unwrap();
    let (mut slot, mut previous) = (opened.last, opened.hash);
    loop {
        let next = record(slot, previous);
        let append = journal.append(opened.generation, next.clone());
        match tokio::time::timeout(Duration::from_secs(2), append).await {
            Err(_) => return (opened.generation, next),
            Ok(answer) => assert!(matches!(answer, Ok(Append::Durable { .. })), "{answer:?}"),
        }
        (slot, previous) = (next.slot, next.hash());
        assert!(slot.0 < 100, "the limit is never reached");
    }
}

#[tokio::test]
async fn bytes_max_ends_new_commands_but_not_settlement() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 800_000);
    let opened = journal.open(KEY).await.unwrap();
    let (mut slot, mut previous) = (opened.last, opened.hash);
    while journal.has_room() {
        let next = record(slot, previous);
        (slot, previous) = (next.slot, next.hash());
        assert!(matches!(journal.append(opened.generation, next).await, Ok(Append::Durable { .. })));
        assert!(slot.0 <= 8);
    }
    assert!(journal.durable() >= 800_000 && journal.durable() < 1_000_000);
    // Settlement goes on.
    let next = record(slot, previous);
    assert!(matches!(journal.append(opened.generation, next).await, Ok(Append::Durable { .. })));
    drop(journal);
    assert!(!open(dir.path(), 800_000).has_room());
    let journal = open(dir.path(), 2_000_000);
    assert!(journal.has_room());
    journal.set_bytes_beside(1_500_000);
    assert!(!journal.has_room(), "the views count too");
}

#[tokio::test]
async fn without_a_segment_an_append_waits_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 1 << 40);
    journal.set_bytes_beside(1 << 40);
    let (generation, waiting) = fill(&journal).await;
    assert!(!journal.has_room());
    let made = files(dir.path());
    assert!(made <= 3, "{made} segments: none is made without room");
    journal.set_bytes_beside(0);
    let answer = journal.append(generation, waiting.clone()).await.unwrap();
    assert!(matches!(answer, Append::Durable { .. }), "{answer:?}");
    let read = journal.read(KEY, waiting.slot, 1).await.unwrap();
    assert_eq!(read.first().map(|stored| &stored.record), Some(&waiting));
    assert!(files(dir.path()) > made && journal.has_room());
}

#[tokio::test]
async fn a_log_that_ends_without_a_next_segment_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 1 << 40);
    journal.set_bytes_beside(1 << 40);
    let (_, waiting) = fill(&journal).await;
    drop(journal);

    let journal = open(dir.path(), 1 << 40);
    let opened = journal.open(KEY).await.unwrap();
    assert_eq!((opened.last.next(), opened.hash), (waiting.slot, waiting.previous), "what waited left nothing");
    let answer = journal.append(opened.generation, waiting).await.unwrap();
    assert!(matches!(answer, Append::Durable { .. }), "{answer:?}");
}
