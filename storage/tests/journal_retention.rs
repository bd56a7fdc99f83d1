//! Retention of the embedded journal: what goes, what stays, and a crash at each step between.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom, SEGMENT_BYTES_MIN, Scan};
use storage::embedded::lock::StoreLock;
use storage::journal::{
    Append, Hash, Journal, JournalKey, OldSegment, Place, Record, Retention, Slot, Space, StoredRecord,
};
use uuid::Uuid;

const SHARDS: u16 = 4;

fn open_space(dir: &Path, space: Space, from: OpenFrom, known: &[Known]) -> Result<EmbeddedJournal, Error> {
    let mut config = JournalConfig::new(space, Uuid::from_u128(1), ShardCount::few(SHARDS).unwrap());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config.segments_ahead = 1;
    EmbeddedJournal::open(Arc::new(StoreLock::acquire(dir)?), &config, from, known)
}

fn open(dir: &Path, from: OpenFrom) -> Result<EmbeddedJournal, Error> {
    open_space(dir, Space::Rooms, from, &[])
}

fn key(shard: u16) -> JournalKey {
    JournalKey { space: Space::Rooms, shard: ShardId(shard) }
}

/// Appends `count` records of 20 KB to a shard.
async fn write(journal: &EmbeddedJournal, key: JournalKey, count: usize) {
    let opened = journal.open(key).await.unwrap();
    let (mut slot, mut previous) = (opened.last, opened.hash);
    for _ in 0..count {
        slot = slot.next();
        let payload = Bytes::from(vec![u8::try_from(slot.0 % 251).unwrap(); 20_000]);
        let record = Record { key, slot, term: 1, at: Timestamp(slot.0 * 10), previous, payload };
        previous = record.hash();
        let answer = journal.append(opened.generation, record).await.unwrap();
        assert!(matches!(answer, Append::Durable { .. }), "{answer:?}");
    }
}

/// Four segments, three of which are full; shard 3 is only in the first.
async fn filled(dir: &Path) -> EmbeddedJournal {
    let journal = open(dir, OpenFrom::Everything).unwrap();
    write(&journal, key(3), 2).await;
    while journal.durable() < 3 * SEGMENT_BYTES_MIN + SEGMENT_BYTES_MIN / 2 {
        for shard in 0..3 {
            write(&journal, key(shard), 2).await;
        }
    }
    journal
}

fn scanned(journal: &EmbeddedJournal) -> Vec<StoredRecord> {
    journal.scan(Place(0)).unwrap().map(Result::unwrap).collect()
}

fn old_records(journal: &EmbeddedJournal, segment: &OldSegment) -> Vec<StoredRecord> {
    journal.records(segment).unwrap().map(Result::unwrap).collect()
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("journal/rooms")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs
}

/// What is kept of the log must be whole: every record, every way to read it, and going on.
async fn check_kept(dir: &Path, kept: &[StoredRecord]) {
    for from in [OpenFrom::Everything, OpenFrom::Last(0), OpenFrom::Place(Place(0))] {
        let journal = open(dir, from).unwrap();
        assert!(scanned(&journal) == kept, "{from:?}");
        for shard in 0..SHARDS {
            let own: Vec<_> = kept.iter().filter(|stored| stored.record.key == key(shard)).cloned().collect();
            let mut read = Vec::new();
            let mut next = Slot(1);
            loop {
                let batch = journal.read(key(shard), next, 50_000).await.unwrap();
                let Some(last) = batch.last() else { break };
                next = last.record.slot.next();
                read.extend(batch);
            }
            assert!(read == own, "shard {shard} from {from:?}");
        }
    }
    let files = Scan::of_files(dir, Space::Rooms, ShardCount::few(SHARDS).unwrap()).unwrap();
    assert!(files.map(Result::unwrap).collect::<Vec<_>>() == kept, "without the lock");
    let journal = open(dir, OpenFrom::Everything).unwrap();
    for shard in 0..SHARDS {
        write(&journal, key(shard), 1).await;
    }
    drop(journal);
    let journal = open(dir, OpenFrom::Last(0)).unwrap();
    assert_eq!(scanned(&journal).len(), kept.len() + usize::from(SHARDS));
}

#[tokio::test]
async fn the_oldest_segment_goes_and_all_else_stays() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    let all = scanned(&journal);
    let mut kept = all.clone();
    for number in [1, 2] {
        let oldest = journal.oldest().unwrap().unwrap();
        assert_eq!((oldest.number, oldest.log_bytes > SEGMENT_BYTES_MIN), (number, true));
        let records = old_records(&journal, &oldest);
        assert!(records == kept[..records.len()]);
        kept.drain(..records.len());
        let newest = all[..all.len() - kept.len()].iter().map(|stored| stored.record.at).max();
        assert_eq!(Some(oldest.newest), newest);
        for shard in 0..SHARDS {
            let last = all[..all.len() - kept.len()].iter().rev().find(|stored| stored.record.key == key(shard));
            assert_eq!(oldest.through[usize::from(shard)], last.unwrap().record.slot);
        }
        journal.remove(&oldest).unwrap();
        assert!(scanned(&journal) == kept);
        assert!(journal.remove(&oldest).is_err(), "it is gone");
        assert!(journal.read_bytes(all[0].place, 0, 10).is_err(), "what is gone is not read");
    }
    let oldest = journal.oldest().unwrap().unwrap();
    journal.remove(&oldest).unwrap();
    kept.retain(|stored| stored.record.slot > oldest.through[usize::from(stored.record.key.shard.0)]);
    assert_eq!(journal.oldest().unwrap(), None, "the one that is written stays");
    // A reader from the start begins at the oldest that is kept; the index in memory knows no better.
    let read = journal.read(key(0), Slot(1), 1).await.unwrap();
    assert_eq!(read[0].record.slot, oldest.through[0].next());
    drop(journal);
    check_kept(dir.path(), &kept).await;
}

#[tokio::test]
async fn a_shard_whose_records_are_all_gone_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    let last = scanned(&journal).into_iter().rfind(|stored| stored.record.key == key(3)).unwrap();
    journal.remove(&journal.oldest().unwrap().unwrap()).unwrap();
    drop(journal);
    // Views may be at a record that is gone: its hash is still known, and a wrong one is still seen.
    let known = Known { key: key(3), slot: last.record.slot, hash: last.hash };
    let wrong = Known { hash: Hash([1; 32]), ..known };
    for from in [OpenFrom::Everything, OpenFrom::Last(0)] {
        assert!(open_space(dir.path(), Space::Rooms, from, &[known]).is_ok());
        let refused = open_space(dir.path(), Space::Rooms, from, &[wrong]).map(drop);
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    }
    let journal = open(dir.path(), OpenFrom::Everything).unwrap();
    let opened = journal.open(key(3)).await.unwrap();
    assert_eq!((opened.last, opened.hash), (last.record.slot, last.hash));
    assert!(journal.read(key(3), Slot(1), 1 << 20).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_crash_at_each_step_leaves_the_log_whole() {
    let before = tempfile::tempdir().unwrap();
    let journal = filled(before.path()).await;
    let oldest = journal.oldest().unwrap().unwrap();
    let all = scanned(&journal);
    let gone = old_records(&journal, &oldest).len();
    drop(journal);
    let root = before.path().join("journal/rooms");
    let copy = |to: &Path| {
        fs::create_dir_all(to.join("journal/rooms")).unwrap();
        for entry in fs::read_dir(&root).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join("journal/rooms").join(entry.file_name())).unwrap();
        }
    };
    // The floor as a finished removal leaves it.
    let after = tempfile::tempdir().unwrap();
    copy(after.path());
    open(after.path(), OpenFrom::Everything).unwrap().remove(&oldest).unwrap();
    let floor = fs::read(after.path().join("journal/rooms/floor")).unwrap();
    check_kept(after.path(), &all[gone..]).await;

    // Nothing was written yet; the floor was half written; written and not named.
    for unfinished in [None, Some(&floor[..9]), Some(&floor[..])] {
        let dir = tempfile::tempdir().unwrap();
        copy(dir.path());
        if let Some(bytes) = unfinished {
            fs::write(dir.path().join("journal/rooms/floor.new"), bytes).unwrap();
        }
        check_kept(dir.path(), &all).await;
    }
    // The floor stands, and no file has gone: the next opening removes it.
    let dir = tempfile::tempdir().unwrap();
    copy(dir.path());
    fs::write(dir.path().join("journal/rooms/floor"), &floor).unwrap();
    let files = Scan::of_files(dir.path(), Space::Rooms, ShardCount::few(SHARDS).unwrap()).unwrap();
    assert!(files.map(Result::unwrap).collect::<Vec<_>>() == all[gone..], "without the lock nothing is tidied");
    assert!(logs(dir.path())[0].ends_with("000001.log"));
    check_kept(dir.path(), &all[gone..]).await;
    assert!(logs(dir.path())[0].ends_with("000002.log"));
}

#[tokio::test]
async fn what_retention_did_not_remove_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    journal.remove(&journal.oldest().unwrap().unwrap()).unwrap();
    drop(journal);
    let root = dir.path().join("journal/rooms");
    // Without its floor the log misses its first segment; with it, the one after.
    let floor = fs::read(root.join("floor")).unwrap();
    fs::remove_file(root.join("floor")).unwrap();
    assert!(matches!(open(dir.path(), OpenFrom::Last(0)), Err(Error::Damaged { .. })));
    fs::write(root.join("floor"), &floor[1..]).unwrap();
    assert!(matches!(open(dir.path(), OpenFrom::Last(0)), Err(Error::Damaged { .. })));
    fs::write(root.join("floor"), &floor).unwrap();
    fs::remove_file(root.join("000002.log")).unwrap();
    assert!(matches!(open(dir.path(), OpenFrom::Last(0)), Err(Error::Damaged { .. })));
}

#[tokio::test]
async fn money_is_kept_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open_space(dir.path(), Space::Ledger, OpenFrom::Everything, &[]).unwrap();
    let key = JournalKey { space: Space::Ledger, shard: ShardId(0) };
    while journal.durable() < 2 * SEGMENT_BYTES_MIN {
        write(&journal, key, 4).await;
    }
    let oldest = journal.oldest().unwrap().unwrap();
    assert!(journal.remove(&oldest).is_err());
    assert!(dir.path().join("journal/ledger/000001.log").exists());
    assert!(!dir.path().join("journal/ledger/floor").exists());
}
