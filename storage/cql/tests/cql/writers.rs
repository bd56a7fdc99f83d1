//! Two writers on one shard: whoever is stopped in the middle and goes on later finds that the slot is not theirs.
//!
//! The other writer is this same test program, told by the environment what to do. `WRITERS_ROUNDS=1000` makes it long.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::journal::{Append, Hash, Journal, JournalKey, Opened, Record, Slot, Space};
use storage_cql::{CqlJournal, SEGMENT_SLOTS};

use super::server::{self, Timed};

const CHILD: &str = "CQL_WRITER_CHILD";
const KEY: JournalKey = JournalKey { space: Space::Ledger, shard: ShardId(201) };

/// A writer that knows its last record.
struct Writer {
    journal: CqlJournal,
    opened: Opened,
    end: (Slot, Hash),
}

impl Writer {
    async fn new() -> Self {
        let journal = CqlJournal::new(server::connect_to_what_is_there().await, Space::Ledger);
        let opened = journal.open(KEY).await.unwrap();
        Self { journal, end: (opened.last, opened.hash), opened }
    }

    async fn take_over(&mut self) {
        self.opened = self.journal.open(KEY).await.unwrap();
        self.end = (self.opened.last, self.opened.hash);
    }

    /// Appends a record: its slot and hash if it is durable, nothing if another writer was first.
    async fn append(&mut self, payload: &'static [u8]) -> Option<(Slot, Hash)> {
        let slot = self.end.0.next();
        let (term, at) = (self.opened.term + 1, Timestamp(slot.0));
        let payload = Bytes::from_static(payload);
        let record = Record { key: KEY, slot, term, at, previous: self.end.1, payload };
        loop {
            match self.journal.append(self.opened.generation, record.clone()).await.unwrap() {
                Append::Durable { .. } => {
                    self.end = (slot, record.hash());
                    return Some(self.end);
                }
                Append::Fenced => return None,
                Append::Unknown => {}
            }
        }
    }
}

/// Appends until it is fenced, says what is durable, and begins again when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    let mut writer = Writer::new().await;
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        writer.take_over().await;
        while let Some((slot, hash)) = writer.append(b"child").await {
            println!("\ndurable {} {:02x?}", slot.0, hash.0);
        }
        println!("\nfenced");
        assert_eq!(writer.append(b"child").await, None, "fenced for good");
    }
}

/// The other process.
struct Other {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    durable: BTreeMap<u64, String>,
}

impl Other {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cql::writers::child", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, said, durable: BTreeMap::new() }
    }

    fn begin(&mut self) {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Hears until it says that a record is durable (`true`) or that it is fenced.
    fn hear(&mut self) -> bool {
        loop {
            let line = self.said.next().expect("the other writer goes on").unwrap();
            if let Some((slot, hash)) = line.strip_prefix("durable ").and_then(|rest| rest.split_once(' ')) {
                let before = self.durable.insert(slot.parse().unwrap(), hash.to_owned());
                assert_eq!(before, None, "slot {slot} is durable once");
                return true;
            }
            if line == "fenced" {
                return false;
            }
        }
    }

    /// Stops it, and waits until every thread stands still: one of them takes the signal and tells the others, which on
    /// a busy machine run on until then and win more slots.
    fn stop(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.process.id());
        let stands = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T'))
        };
        while !std::fs::read_dir(&tasks).unwrap().all(|task| stands(task.unwrap())) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_writers_has_each_slot() {
    let _timed = Timed::new("two writers");
    let rounds: u64 = std::env::var("WRITERS_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let cql = server::connect().await;
    let mut ours = Writer::new().await;
    let mut mine = BTreeMap::new();
    // The first round is on a segment's boundary: the other writer gets the last slot of the first.
    while ours.end.0.0 < SEGMENT_SLOTS - 2 {
        let (slot, hash) = ours.append(b"first").await.unwrap();
        mine.insert(slot.0, format!("{:02x?}", hash.0));
    }
    let mut other = Other::start();
    for round in 0..rounds {
        other.begin();
        for _ in 0..=(round % 3) {
            assert!(other.hear());
        }
        // Somewhere in the middle of its next append.
        tokio::time::sleep(Duration::from_micros(rand_below(4_000))).await;
        other.stop();
        assert_eq!(ours.append(b"late").await, None, "round {round}: the other writer was first");
        // What the other had sent before it was stopped may still win one slot after we have looked, and no more.
        let mut won = None;
        for _ in 0..2 {
            ours.take_over().await;
            won = ours.append(b"ours").await;
            if won.is_some() {
                break;
            }
        }
        let (slot, hash) = won.expect("the other writer stands still");
        assert_eq!(mine.insert(slot.0, format!("{:02x?}", hash.0)), None);
        if round % 2 == 1 {
            let (slot, hash) = ours.append(b"more").await.expect("the slot before is ours");
            assert_eq!(mine.insert(slot.0, format!("{:02x?}", hash.0)), None);
        }
        other.signal("-CONT");
        // What was in flight may have been durable before; nothing after it.
        while other.hear() {}
    }
    let last = ours.end.0;
    let reader = CqlJournal::new(Arc::clone(&cql), Space::Ledger);
    let (mut next, mut previous) = (Slot(1), Hash::default());
    loop {
        let records = reader.read(KEY, next, 1 << 20).await.unwrap();
        if records.is_empty() {
            break;
        }
        for stored in records {
            assert_eq!((stored.record.slot, stored.record.previous), (next, previous), "dense and chained");
            let hash = format!("{:02x?}", stored.hash.0);
            let claims = [mine.remove(&next.0), other.durable.remove(&next.0)];
            let claimed: Vec<_> = claims.into_iter().flatten().collect();
            assert_eq!(claimed, [hash], "slot {}: one writer, and it is the one that heard so", next.0);
            (next, previous) = (next.next(), stored.hash);
        }
    }
    assert_eq!(next, last.next());
    assert!(mine.is_empty() && other.durable.is_empty(), "what was said to be durable is there");
}

/// A random number below a bound.
fn rand_below(bound: u64) -> u64 {
    u64::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % bound
}
