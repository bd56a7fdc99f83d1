//! The embedded views: the suite of the port, and what only a folder on a disk can go through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which the exception for test functions does not cover"
)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use futures_util::FutureExt;
use parking_lot::Mutex;
use storage::Error;
use storage::conformance::views::ViewsFixture;
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig, clear};
use storage::journal::{Hash, JournalKey, Place, Slot, Space};
use storage::views::{Batch, Cell, Checkpoint, EventRow, Position, Table, Views};
use uuid::Uuid;

const STORE: Uuid = Uuid::from_u128(0x5707e);
const KEY: JournalKey = JournalKey { space: Space::Ledger, shard: ShardId(3) };
const ENTITY: Uuid = Uuid::from_u128(0xe171);

/// The payloads of records, in memory.
#[derive(Default)]
struct Payloads(Mutex<HashMap<Place, Bytes>>);

impl PayloadReader for Payloads {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        let payloads = self.0.lock();
        let payload = payloads.get(&place).ok_or_else(|| Error::Unknown(format!("no record at {place:?}")))?;
        let (at, len) = (at as usize, len as usize);
        Ok(payload.slice(at..at + len))
    }
}

/// Payloads for records that [`numbered`] batches name: each is its event's text.
struct Named;

impl PayloadReader for Named {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        let payload = Bytes::from(text(place.0));
        Ok(payload.slice(at as usize..(at + len) as usize))
    }
}

fn text(slot: u64) -> String {
    format!("event {slot}")
}

struct Fixture {
    folder: tempfile::TempDir,
    payloads: Arc<Payloads>,
}

#[async_trait]
impl ViewsFixture for Fixture {
    async fn open(&self) -> Arc<dyn Views> {
        let reader = Arc::clone(&self.payloads);
        match EmbeddedViews::open(&self.folder.path().join("views"), &ViewsConfig::of(STORE), reader) {
            Ok(Opening::Ready(views)) => Arc::new(views),
            Ok(Opening::Rebuild { reason, .. }) => panic!("set aside: {reason}"),
            Err(error) => panic!("not opened: {error}"),
        }
    }

    fn keep(&self, place: Place, payload: Bytes) {
        self.payloads.0.lock().insert(place, payload);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_views_pass_the_suite() {
    storage::conformance::views::views(|| Fixture { folder: tempfile::tempdir().unwrap(), payloads: Arc::default() })
        .await;
}

/// The batch of a slot: one event, one checkpoint, one cell, all of which name the slot.
fn numbered(slot: u64) -> Batch {
    let at = Timestamp(slot);
    let bytes = Bytes::from(text(slot));
    Batch {
        key: KEY,
        events: vec![EventRow { stream: ENTITY, offset: slot, entries: slot, place: Place(slot), at: 0, bytes }],
        checkpoints: vec![Checkpoint { entity: ENTITY, head: slot, at, state: Bytes::from(vec![1; 150]) }],
        cells: vec![Cell {
            table: Table::Transfers,
            partition: Uuid::from_u64_pair(1, slot),
            sort: vec![1],
            value: Bytes::from(slot.to_le_bytes().to_vec()),
        }],
        position: Position { through: Slot(slot), hash: Hash([9; 32]), at, term: 1, state: Bytes::new() },
    }
}

fn open(dir: &Path, config: &ViewsConfig) -> Result<Opening, Error> {
    EmbeddedViews::open(dir, config, Arc::new(Named))
}

fn ready(dir: &Path) -> EmbeddedViews {
    match open(dir, &ViewsConfig::of(STORE)).unwrap() {
        Opening::Ready(views) => views,
        Opening::Rebuild { reason, .. } => panic!("set aside: {reason}"),
    }
}

fn rebuild(dir: &Path, config: &ViewsConfig) -> (EmbeddedViews, String) {
    match open(dir, config).unwrap() {
        Opening::Ready(_) => panic!("opened as if all were well"),
        Opening::Rebuild { views, reason } => (views, reason),
    }
}

/// What was set aside next to `dir`, by name.
fn asides(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.contains(".aside-"));
    names.sort();
    names
}

/// Asserts that the views hold the batches of slots 1 to `through`, whole, and nothing more.
async fn holds_exactly(views: &EmbeddedViews, through: u64) {
    assert_eq!(views.position(KEY).await.unwrap().map_or(0, |position| position.through.0), through);
    assert_eq!(views.checkpoint(ENTITY).await.unwrap().map_or(0, |checkpoint| checkpoint.head), through);
    let events = views.events_after(ENTITY, 0, usize::MAX).await.unwrap();
    assert_eq!(events.iter().map(|event| event.offset).collect::<Vec<_>>(), (1..=through).collect::<Vec<_>>());
    for event in events {
        assert_eq!(event.bytes, text(event.offset));
        let cell = views.cell(Table::Transfers, Uuid::from_u64_pair(1, event.offset), &[1]).await.unwrap();
        assert_eq!(cell.as_deref(), Some(event.offset.to_le_bytes().as_slice()));
    }
    let beyond = views.cell(Table::Transfers, Uuid::from_u64_pair(1, through + 1), &[1]).await.unwrap();
    assert_eq!(beyond, None);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The first log file of the store, which is the only one in these small views.
fn log_file(dir: &Path) -> PathBuf {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "jnl")).unwrap()
}

#[tokio::test]
async fn a_torn_last_batch_is_absent_and_those_before_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    let views = ready(&dir);
    let mut ends = vec![0];
    for slot in 1..=20 {
        views.apply(numbered(slot)).await.unwrap();
        // The log is made 64 MB long, of zeros; what is written so far is at its very beginning.
        let mut log = Vec::new();
        fs::File::open(log_file(&dir)).unwrap().take(64 << 10).read_to_end(&mut log).unwrap();
        ends.push(log.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    }
    // As a process leaves it that is killed at any moment: copied while it is open, cut anywhere.
    for (whole, cut) in [(20, 0), (19, 1), (19, 60), (10, ends[20] - ends[11] + 5)] {
        let copied = folder.path().join(format!("cut-{cut}"));
        copy(&dir, &copied);
        let log = fs::OpenOptions::new().write(true).open(log_file(&copied)).unwrap();
        log.set_len((ends[20] - cut) as u64).unwrap();
        drop(log);
        holds_exactly(&ready(&copied), whole).await;
    }
}

/// Set in the process that a test starts in order to kill it.
const CHILD_FOLDER: &str = "QUICKPE_TEST_VIEWS_FOLDER";

/// In the child of the test below: applies batches until it is killed, and says so of each.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else { return };
    let views = ready(Path::new(&folder));
    let from = views.position(KEY).await.unwrap().map_or(0, |position| position.through.0);
    for slot in from + 1.. {
        views.apply(numbered(slot)).await.unwrap();
        println!("\napplied {slot}");
    }
}

#[tokio::test]
async fn what_was_applied_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    for more in [1, 300, 2_000] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let applied = lines.filter_map(|line| line.strip_prefix("applied ")?.parse::<u64>().ok()).nth(more - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let applied = applied.expect("the child applied as many");
        let views = ready(&dir);
        let through = views.position(KEY).await.unwrap().unwrap().through.0;
        assert!(through >= applied, "{applied} were answered, {through} are there");
        holds_exactly(&views, through).await;
    }
}

#[tokio::test]
async fn views_that_do_not_open_are_set_aside_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    for round in 1..=3 {
        let views = ready(&dir);
        views.apply(numbered(1)).await.unwrap();
        drop(views);
        fs::write(dir.join("version"), b"not a version").unwrap();
        let (views, reason) = rebuild(&dir, &ViewsConfig::of(STORE));
        assert!(reason.contains("does not open"), "{reason}");
        holds_exactly(&views, 0).await;
        views.apply(numbered(1)).await.unwrap();
        assert_eq!(asides(&dir), [format!("views.aside-{round}")], "only the last one stays");
        drop(views);
        holds_exactly(&ready(&dir), 1).await;
    }
}

#[tokio::test]
async fn a_folder_of_something_else_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("0.jnl"), vec![0xff; 4_096]).unwrap();
    fs::write(dir.join("notes"), b"of someone").unwrap();
    let (views, reason) = rebuild(&dir, &ViewsConfig::of(STORE));
    assert!(reason.contains("views.aside-1"), "{reason}");
    holds_exactly(&views, 0).await;
    assert_eq!(fs::read(folder.path().join("views.aside-1/notes")).unwrap(), b"of someone");
}

#[tokio::test]
async fn views_of_another_store_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    let views = ready(&dir);
    views.apply(numbered(1)).await.unwrap();
    drop(views);
    let (views, reason) = rebuild(&dir, &ViewsConfig::of(Uuid::from_u128(2)));
    assert!(reason.contains("is of the store"), "{reason}");
    holds_exactly(&views, 0).await;
}

#[tokio::test]
async fn views_of_another_format_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    drop(ready(&dir));
    let store = fjall::Database::builder(&dir).open().unwrap();
    let rows = store.keyspace("rows", fjall::KeyspaceCreateOptions::default).unwrap();
    let meta = rows.get([0]).unwrap().unwrap();
    let other = [77_u32.to_le_bytes().as_slice(), &meta[4..]].concat();
    rows.insert([0], other).unwrap();
    store.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((rows, store));
    let (views, reason) = rebuild(&dir, &ViewsConfig::of(STORE));
    assert!(reason.contains("has format 77"), "{reason}");
    holds_exactly(&views, 0).await;
}

#[tokio::test]
async fn views_that_are_open_are_neither_opened_nor_set_aside_nor_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    let views = ready(&dir);
    views.apply(numbered(1)).await.unwrap();
    assert!(matches!(open(&dir, &ViewsConfig::of(STORE)), Err(Error::Locked(path)) if path == dir));
    assert!(matches!(clear(&dir), Err(Error::Locked(path)) if path == dir));
    assert_eq!(asides(&dir), [""; 0]);
    views.apply(numbered(2)).await.unwrap();
    holds_exactly(&views, 2).await;
}

#[tokio::test]
async fn cleared_views_are_empty() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    clear(&dir).unwrap();
    let views = ready(&dir);
    views.apply(numbered(1)).await.unwrap();
    assert!(views.bytes_on_disk() > 0);
    assert_eq!(views.positions().unwrap(), [(KEY, numbered(1).position)]);
    drop(views);
    clear(&dir).unwrap();
    assert!(!dir.exists());
    holds_exactly(&ready(&dir), 0).await;
}

#[tokio::test]
async fn batches_that_wait_together_are_all_written_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    let views = ready(&dir);
    // As many as the queue has places for, so that commits merge; every second one is offered twice.
    let batches = (1..=160).flat_map(|slot| std::iter::repeat_n(slot, if slot % 2 == 0 { 2 } else { 1 }));
    let offers = futures_util::future::join_all(batches.map(|slot| views.apply(numbered(slot))));
    // Unconstrained: tokio's budget would let later offers of the same journal overtake earlier ones.
    let answers = tokio::task::unconstrained(offers).await;
    assert!(answers.iter().all(Result::is_ok));
    holds_exactly(&views, 160).await;
    drop(views);
    holds_exactly(&ready(&dir), 160).await;
}

#[tokio::test]
async fn batches_whose_callers_have_gone_are_written_before_the_views_close() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("views");
    let views = ready(&dir);
    for slot in 1..=50 {
        // One poll puts the batch in the queue, which has room for all of them.
        let answer = views.apply(numbered(slot)).now_or_never();
        assert!(answer.is_none_or(|answer| answer.is_ok()));
    }
    drop(views);
    holds_exactly(&ready(&dir), 50).await;
}
