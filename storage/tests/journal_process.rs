//! The embedded journal across processes: its lock, kill -9, and a disk that fails.
//!
//! A child is this same test program, told by the environment what to do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom, SEGMENT_BYTES_MIN};
use storage::embedded::lock::StoreLock;
use storage::journal::{Append, Journal, JournalKey, Record, Slot, Space};
use uuid::Uuid;

const DIR: &str = "JOURNAL_CHILD_DIR";
const KEY: JournalKey = JournalKey { space: Space::Ledger, shard: ShardId(0) };

fn open(dir: &Path) -> Result<EmbeddedJournal, Error> {
    let mut config = JournalConfig::new(Space::Ledger, Uuid::from_u128(1), ShardCount::few(4).unwrap());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config.segments_ahead = 1;
    EmbeddedJournal::open(Arc::new(StoreLock::acquire(dir)?), &config, OpenFrom::Everything, &[])
}

/// Appends records until the process ends, and prints the slot of each that is durable.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let journal = open(Path::new(&dir)).unwrap();
    let opened = journal.open(KEY).await.unwrap();
    let (mut slot, mut previous) = (opened.last, opened.hash);
    loop {
        slot = slot.next();
        let payload = Bytes::from(vec![7; 3000]);
        let record = Record { key: KEY, slot, term: 1, at: Timestamp(slot.0), previous, payload };
        previous = record.hash();
        let answer = journal.append(opened.generation, record).await.unwrap();
        assert!(matches!(answer, Append::Durable { .. }));
        println!("\ndurable {}", slot.0);
    }
}

/// Starts [`child`] on `dir`; `shell` runs first in its process.
fn spawn(dir: &Path, shell: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The slots that the child says are durable, as it says them.
fn slots(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("durable ")?.parse().ok())
}

/// How many records the journal has, each read and checked.
async fn count(journal: &EmbeddedJournal) -> u64 {
    let mut next = Slot(1);
    loop {
        let read = journal.read(KEY, next, 1 << 20).await.unwrap();
        let Some(last) = read.last() else { return next.0 - 1 };
        next = last.record.slot.next();
    }
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn(dir.path(), "");
    assert_eq!(slots(&mut child).next(), Some(1));
    assert!(matches!(open(dir.path()), Err(Error::Locked(path)) if path == dir.path()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(open(dir.path()).is_ok());
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 1..=10 {
        let mut child = spawn(dir.path(), "");
        let mut slots = slots(&mut child);
        let mut last = slots.by_ref().take(30 * round).last().unwrap();
        child.kill().unwrap();
        last = slots.last().unwrap_or(last);
        child.wait().unwrap();
        let journal = open(dir.path()).unwrap();
        let found = count(&journal).await;
        assert!(found >= last && last > before, "round {round}: {found} records, {last} answered, {before} before");
        before = found;
    }
}

#[tokio::test]
async fn a_failed_write_ends_the_process_unanswered() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    while !dir.path().join("journal/ledger/000002.log").exists() {
        tokio::task::yield_now().await;
    }
    drop(journal);
    // Writes past 200 KiB of a file fail from here on, as on a disk with a bad place there.
    let mut child = spawn(dir.path(), "trap '' XFSZ; ulimit -f 400;");
    let last = slots(&mut child).last().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "the process aborts: {status}");
    assert!((50..70).contains(&last), "{last} records of 3,000 bytes fit");
    let journal = open(dir.path()).unwrap();
    let found = count(&journal).await;
    assert!(found >= last && found <= last + 1, "{found} records, {last} answered");
}
