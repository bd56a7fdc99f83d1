//! Servers killed in the middle of appends: what was acknowledged is there once, what was not is resolved, and the same
//! session goes on.
//!
//! Each test has servers of its own on 127.0.9.1 to 127.0.9.3, which it ends; one test runs after the other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "the helpers of tests fail as tests do")]

#[allow(dead_code, reason = "shared with tests that share one server, and with those of whole nodes")]
#[path = "cql_faults/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::{Append, Hash, Journal, JournalKey, Record, Slot, Space};
use storage::views::Views;
use storage_cql::{Connection, Cql, CqlConfig, CqlJournal, CqlViews, migrate};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use servers::Servers;

/// Where the servers are.
const NET: &str = "127.0.9";

/// Shards that are written to.
const SHARDS: u16 = 8;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

fn key(shard: u16) -> JournalKey {
    JournalKey { space: Space::Ledger, shard: ShardId(shard) }
}

/// Writers to all shards, and what they were told.
struct Writers {
    cql: Arc<Cql>,
    journal: Arc<CqlJournal>,
    stop: Arc<AtomicBool>,
    durable: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
    tasks: JoinSet<(u16, BTreeMap<u64, Hash>)>,
}

impl Writers {
    async fn start(servers: &Servers) -> Self {
        let nodes = vec![servers.node(1)];
        let config = CqlConfig { nodes, request_timeout_ms: 1_000, ..CqlConfig::default() };
        let connection = Connection::open(&config).await.unwrap();
        migrate::run(&connection, &config).await.unwrap();
        let cql = Arc::new(Cql::prepare(connection, &config).await.unwrap());
        let journal = Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Ledger));
        let (stop, durable, unknown) = Default::default();
        let mut writers = Self { cql, journal, stop, durable, unknown, tasks: JoinSet::new() };
        for shard in 0..SHARDS {
            let (journal, stop) = (Arc::clone(&writers.journal), Arc::clone(&writers.stop));
            let (durable, unknown) = (Arc::clone(&writers.durable), Arc::clone(&writers.unknown));
            writers.tasks.spawn(async move { (shard, write(&journal, shard, &stop, &durable, &unknown).await) });
        }
        writers
    }

    /// Waits until a count is so much higher.
    async fn more(count: &AtomicU64, more: u64) {
        let goal = count.load(Ordering::Relaxed) + more;
        while count.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops, and compares what was told with what is there.
    async fn check(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (shard, durable) in self.tasks.join_all().await {
            let reader = CqlJournal::new(Arc::clone(&self.cql), Space::Ledger);
            let mut next = Slot(1);
            loop {
                let records = reader.read(key(shard), next, 1 << 20).await.unwrap();
                let Some(last) = records.last() else { break };
                for stored in &records {
                    let told = durable.get(&stored.record.slot.0);
                    assert_eq!(told, Some(&stored.hash), "shard {shard}: once, and as it was");
                }
                next = last.record.slot.next();
            }
            assert_eq!(next.0 - 1, durable.len() as u64, "shard {shard}: what was acknowledged is there");
        }
    }
}

/// Appends to one shard until it is told to stop. Answers the hash of each record that was acknowledged, by slot.
async fn write(
    journal: &CqlJournal,
    shard: u16,
    stop: &AtomicBool,
    durable: &AtomicU64,
    unknown: &AtomicU64,
) -> BTreeMap<u64, Hash> {
    let key = key(shard);
    let opened = journal.open(key).await.unwrap();
    let (mut slot, mut previous) = (opened.last, opened.hash);
    let mut told = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        slot = slot.next();
        let payload = Bytes::from(vec![7; 500]);
        let record = Record { key, slot, term: 1, at: Timestamp(slot.0), previous, payload };
        previous = record.hash();
        // The same record until it is known.
        loop {
            match journal.append(opened.generation, record.clone()).await.unwrap() {
                Append::Durable { .. } => break,
                Append::Unknown => unknown.fetch_add(1, Ordering::Relaxed),
                Append::Fenced => panic!("shard {shard}, slot {}: nobody else writes", slot.0),
            };
        }
        told.insert(slot.0, previous);
        durable.fetch_add(1, Ordering::Relaxed);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_killed_server() {
    let _alone = ALONE.lock().await;
    let servers = Servers::start(NET, 1, &[]);
    let writers = Writers::start(&servers).await;
    Writers::more(&writers.durable, 200).await;
    servers.fault("kill", 1);
    servers.fault("revive", 1);
    Writers::more(&writers.durable, 200).await;
    writers.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_may_fail_and_with_two_gone_nothing_is_acknowledged() {
    let _alone = ALONE.lock().await;
    let servers = Servers::start(NET, 3, &[]);
    let writers = Writers::start(&servers).await;
    Writers::more(&writers.durable, 100).await;
    servers.fault("kill", 3);
    Writers::more(&writers.durable, 100).await;

    servers.fault("kill", 2);
    // An append is given up after many offers, each with a time-out: no answer of before is on its way by then.
    Writers::more(&writers.unknown, u64::from(SHARDS)).await;
    let before = writers.durable.load(Ordering::Relaxed);
    let views = CqlViews::new(Arc::clone(&writers.cql), Space::Ledger);
    assert!(matches!(views.position(key(0)).await, Err(Error::Unavailable(_))), "a reading says that it cannot be had");
    Writers::more(&writers.unknown, u64::from(SHARDS)).await;
    assert_eq!(writers.durable.load(Ordering::Relaxed), before, "nothing is acknowledged by one of three");

    servers.fault("revive", 2);
    Writers::more(&writers.durable, 100).await;
    writers.check().await;
}
