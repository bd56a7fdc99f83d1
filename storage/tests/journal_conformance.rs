//! The embedded journal keeps the promises of its port, and its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom, SEGMENT_BYTES_MIN, Scan};
use storage::embedded::lock::StoreLock;
use storage::journal::{Append, Hash, Journal, JournalKey, Place, Record, Slot, Space};
use uuid::Uuid;

fn config() -> JournalConfig {
    config_of(Space::Ledger)
}

fn config_of(space: Space) -> JournalConfig {
    let mut config = JournalConfig::new(space, Uuid::from_u128(1), ShardCount::new(64).unwrap());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config
}

fn open(dir: &Path, from: OpenFrom, known: &[Known]) -> Result<EmbeddedJournal, Error> {
    EmbeddedJournal::open(Arc::new(StoreLock::acquire(dir)?), &config(), from, known)
}

fn key(shard: u16) -> JournalKey {
    JournalKey { space: Space::Ledger, shard: ShardId(shard) }
}

/// Opens the shard and appends `count` records; the last one's slot and hash.
async fn write(journal: &EmbeddedJournal, shard: u16, count: usize, payload: usize) -> (Slot, Hash, Place) {
    let opened = journal.open(key(shard)).await.unwrap();
    let (mut slot, mut previous, mut place) = (opened.last, opened.hash, Place(0));
    for number in 0..count {
        slot = slot.next();
        let payload = Bytes::from(vec![u8::try_from(number % 251).unwrap(); payload]);
        let record = Record { key: key(shard), slot, term: 1, at: Timestamp(slot.0), previous, payload };
        previous = record.hash();
        let answer = journal.append(opened.generation, record).await.unwrap();
        let Append::Durable { place: at } = answer else { panic!("{answer:?}") };
        place = at;
    }
    (slot, previous, place)
}

#[tokio::test]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    for from in [OpenFrom::Everything, OpenFrom::Last(0), OpenFrom::Last(1 << 20), OpenFrom::Place(Place(1 << 20))] {
        let dir = dir.path().join(format!("{from:?}"));
        let make = || async { Arc::new(open(&dir, from, &[]).unwrap()) as Arc<dyn Journal> };
        storage::conformance::journal::journal(make).await.unwrap();
    }
}

#[tokio::test]
async fn conforms_in_the_space_of_rooms() {
    let dir = tempfile::tempdir().unwrap();
    let make = || async {
        let lock = Arc::new(StoreLock::acquire(dir.path()).unwrap());
        let journal = EmbeddedJournal::open(lock, &config_of(Space::Rooms), OpenFrom::Everything, &[]).unwrap();
        Arc::new(journal) as Arc<dyn Journal>
    };
    storage::conformance::journal::journal_of(Space::Rooms, make).await.unwrap();
}

#[tokio::test]
async fn opening_the_last_segment_finds_the_ends_of_cold_shards() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), OpenFrom::Everything, &[]).unwrap();
    let cold = write(&journal, 9, 3, 100).await;
    let hot = write(&journal, 2, 300, 10_000).await;
    assert!(journal.durable() > 5 * SEGMENT_BYTES_MIN);
    drop(journal);

    let known = |shard, slot, hash| Known { key: key(shard), slot, hash };
    let good = [known(9, cold.0, cold.1), known(2, hot.0, hot.1)];
    let journal = open(dir.path(), OpenFrom::Last(0), &good).unwrap();
    let opened = journal.open(key(9)).await.unwrap();
    assert_eq!((opened.last, opened.hash), (cold.0, cold.1));
    assert_eq!(journal.read(key(9), Slot(1), 1 << 20).await.unwrap().len(), 3);
    assert_eq!(journal.read(key(2), Slot(1), 25_000).await.unwrap().len(), 3);
    let cold = write(&journal, 9, 1, 100).await;
    assert_eq!(cold.0, Slot(4));
    drop(journal);

    for bad in [
        known(9, Slot(5), cold.1),
        known(9, cold.0, Hash([1; 32])),
        known(2, hot.0, Hash([1; 32])),
        known(2, hot.0.next(), hot.1),
        known(3, Slot(1), hot.1),
    ] {
        let refused = open(dir.path(), OpenFrom::Last(0), &[bad]).map(drop);
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{bad:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_scan_reads_all_in_order_from_any_record() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), OpenFrom::Everything, &[]).unwrap();
    for round in 0..40 {
        write(&journal, round % 5, 2, 9_000).await;
    }
    let all: Vec<_> = journal.scan(Place(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 80);
    assert!(all.windows(2).all(|pair| pair[0].place < pair[1].place));
    for at in (0..80).step_by(9) {
        let mut scan = journal.scan(all[at].place).unwrap();
        assert_eq!(scan.by_ref().map(Result::unwrap).collect::<Vec<_>>(), all[at..]);
        assert_eq!(scan.position(), journal.durable());
        assert_eq!(scan.end(), journal.durable());
    }
    // Without the lock, while the store is in use.
    let files = Scan::of_files(dir.path(), Space::Ledger, ShardCount::new(64).unwrap()).unwrap();
    assert_eq!(files.map(Result::unwrap).collect::<Vec<_>>(), all);
    assert!(journal.scan(Place(all[3].place.0 + 8)).unwrap().next().unwrap().is_err());
}

#[tokio::test]
async fn bytes_of_a_payload_are_read_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), OpenFrom::Everything, &[]).unwrap();
    let (_, _, place) = write(&journal, 1, 8, 1000).await;
    assert_eq!(journal.read_bytes(place, 10, 20).unwrap(), vec![7; 20]);
    assert_eq!(journal.read_bytes(place, 0, 1000).unwrap(), vec![7; 1000]);
    for (place, at, length) in [
        (place, 0, 5000),
        (place, u32::MAX, 1),
        (place, 1, u32::MAX),
        (Place(0), 0, 1),
        (Place(journal.durable()), 0, 1),
        (Place(u64::MAX), 0, 1),
    ] {
        let read = journal.read_bytes(place, at, length);
        assert!(matches!(read, Err(Error::Damaged { .. })), "{place:?} {at} {length}: {read:?}");
    }
}

#[tokio::test]
async fn what_is_not_this_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), OpenFrom::Everything, &[]).unwrap();
    assert!(matches!(open(dir.path(), OpenFrom::Everything, &[]), Err(Error::Locked(_))));
    assert!(journal.open(key(64)).await.is_err());
    write(&journal, 63, 1, 10).await;
    drop(journal);

    let lock = Arc::new(StoreLock::acquire(dir.path()).unwrap());
    let other = JournalConfig { store: Uuid::from_u128(2), ..config() };
    let refused = EmbeddedJournal::open(Arc::clone(&lock), &other, OpenFrom::Everything, &[]).map(drop);
    assert!(matches!(refused, Err(Error::Unknown(_))), "{refused:?}");
    let fewer = JournalConfig { shards: ShardCount::few(8).unwrap(), ..config() };
    let refused = EmbeddedJournal::open(lock, &fewer, OpenFrom::Everything, &[]).map(drop);
    assert!(matches!(refused, Err(Error::Unknown(_))), "{refused:?}");
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), OpenFrom::Everything, &[]).unwrap();
    write(&journal, 1, 8, 200_000).await;
    drop(journal);
    let second = dir.path().join("journal/ledger/000002.log");
    std::fs::remove_file(&second).unwrap();
    let refused = open(dir.path(), OpenFrom::Last(0), &[]).map(drop);
    let Err(Error::Damaged { file, what, .. }) = refused else { panic!("{refused:?}") };
    assert!(file.ends_with("000003.log") && what.contains("segment 2"), "{} {what}", file.display());
}
