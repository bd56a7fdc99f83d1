//! The engine: transfers through accounts, channels, journal and projection, without the network.
//!
//! `cargo bench -p actors --bench engine -- --accounts 100000 --clients 256 --window 16 --seconds 60`
//!
//! Prints durable transfers a second, their latency, CPU a transfer, records and bytes of journal a
//! transfer, and memory. Every transfer has an idempotency key, as clients send them. `--no-views`
//! leaves the projection out; `--zipf N` sends nine of ten transfers between N hot accounts;
//! `--hot payee|payer` makes one account a side of every transfer.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark prints and stops"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to read"
)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actors::clock::{BusinessZone, WallClock};
use actors::config::LedgerConfig;
use actors::dead_letters::DeadLetterBox;
use actors::ledger::Ledger;
use actors::node::{LocalLink, Node, Publisher, Stores};
use actors::shards::Shards;
use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::{AccountId, OperationId, ShardCount, ShardId, TransferId, UserId, derived, random};
use domain::ledger::{By, Command, Event, Fingerprint, Opening, Origin, Party, Principal, Request, Via};
use domain::money::{Currency, Minor};
use domain::time::Timestamp;
use ractor::Actor;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom};
use storage::embedded::lock::StoreLock;
use storage::embedded::views::{EmbeddedViews, Opening as ViewsOpening, PayloadReader, ViewsConfig};
use storage::journal::{Append, Generation, Journal, JournalKey, Opened, Place, Record, Slot, Space, StoredRecord};
use storage::views::{Batch, Checkpoint, Gone, Position, StoredEvent, Table, Views};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Clock;

impl WallClock for Clock {
    #[allow(clippy::disallowed_methods, reason = "a benchmark is its own binary")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(since.as_micros() as u64)
    }
}

struct Nobody;

impl Publisher for Nobody {
    fn publish(&self, _: ShardId, _: Slot, _: &[Arc<Event>]) {}
}

struct Reader(Arc<EmbeddedJournal>);

impl PayloadReader for Reader {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        self.0.read_bytes(place, at, len)
    }
}

/// The journal, and how many records it was given.
struct Counted(Arc<EmbeddedJournal>, AtomicU64);

#[async_trait]
impl Journal for Counted {
    async fn open(&self, key: JournalKey) -> Result<Opened, Error> {
        self.0.open(key).await
    }
    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.append(generation, record).await
    }
    async fn read(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
        self.0.read(key, from, bytes_max).await
    }
    fn projected(&self, key: JournalKey, through: Slot) {
        self.0.projected(key, through);
    }
    fn bytes_behind(&self, place: Place) -> u64 {
        self.0.bytes_behind(place)
    }
    fn has_room(&self) -> bool {
        self.0.has_room()
    }
}

/// Views that keep nothing: the journal path alone.
struct NoViews;

#[async_trait]
impl Views for NoViews {
    async fn apply(&self, _: Batch) -> Result<(), Error> {
        Ok(())
    }
    async fn remove(&self, _: Gone) -> Result<(), Error> {
        Ok(())
    }
    async fn position(&self, _: JournalKey) -> Result<Option<Position>, Error> {
        Ok(None)
    }
    async fn checkpoint(&self, _: Uuid) -> Result<Option<Checkpoint>, Error> {
        Ok(None)
    }
    async fn events_after(&self, _: Uuid, _: u64, _: usize) -> Result<Vec<StoredEvent>, Error> {
        Ok(Vec::new())
    }
    async fn events_before(&self, _: Uuid, _: u64, _: usize) -> Result<Vec<StoredEvent>, Error> {
        Ok(Vec::new())
    }
    async fn offset_of_entry(&self, _: Uuid, _: u64) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    async fn cell(&self, _: Table, _: Uuid, _: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(None)
    }
    async fn cells(&self, _: Table, _: Uuid, _: &[u8], _: usize) -> Result<Vec<(Vec<u8>, Bytes)>, Error> {
        Ok(Vec::new())
    }
}

struct Options {
    accounts: u64,
    clients: u64,
    window: usize,
    seconds: u64,
    views: bool,
    zipf: Option<u64>,
    hot: Option<String>,
}

fn options() -> Options {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let number = |name: &str, default: u64| value(name).map_or(default, |text| text.parse().expect("a number"));
    Options {
        accounts: number("--accounts", 10_000),
        clients: number("--clients", 256),
        window: number("--window", 16) as usize,
        seconds: number("--seconds", 10),
        views: !args.iter().any(|arg| arg == "--no-views"),
        zipf: value("--zipf").map(|text| text.parse().expect("a number")),
        hot: value("--hot"),
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn party(number: u64) -> Party {
    let user = UserId(Uuid::from_u128(u128::from(number) + 1));
    Party { user, account: AccountId::of(user, Currency::Inr) }
}

fn command(payer: Party, request: Request) -> Command {
    let by = By { principal: Principal::Person(payer.user), session: None, device: None, via: Via::Http };
    let origin = Origin { operation: OperationId(Uuid::new_v4()), by, trace: None };
    Command { origin, opening: Opening { owner: payer.user, currency: Currency::Inr }, request }
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % most
    }
}

async fn deposit(ledger: &Ledger, parties: &[Party]) {
    let mut waiting = VecDeque::new();
    for party in parties {
        let (ledger, party) = (ledger.clone(), *party);
        waiting.push_back(tokio::spawn(async move {
            loop {
                let transfer = TransferId(random(party.account, *Uuid::new_v4().as_bytes()));
                let amount = Minor::new(1 << 40);
                let request = Request::Deposit { transfer, amount, fingerprint: None, note: None };
                if ledger.submit(party.account, command(party, request)).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }));
        if waiting.len() > 2_000 {
            waiting.pop_front().unwrap().await.unwrap();
        }
    }
    for task in waiting {
        task.await.unwrap();
    }
}

/// Picks payer and payee.
fn pick(random: &mut Random, options: &Options) -> (u64, u64) {
    let most = match options.zipf {
        Some(hot) if random.below(10) < 9 => hot,
        _ => options.accounts,
    };
    let (mut payer, mut payee) = (random.below(most), random.below(most));
    match options.hot.as_deref() {
        Some("payee") => payee = 0,
        Some("payer") => payer = 0,
        _ => {}
    }
    if payer == payee {
        payee = (payer + 1) % options.accounts;
        if options.hot.as_deref() == Some("payee") {
            (payer, payee) = (1, 0);
        }
    }
    (payer, payee)
}

async fn run(options: Arc<Options>) {
    let dir = PathBuf::from(std::env::var("ENGINE_DIR").unwrap_or_else(|_| "target/engine".into()));
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir_all(&dir).unwrap();
    let store = Uuid::new_v4();
    let lock = Arc::new(StoreLock::acquire(&dir).unwrap());
    let config = JournalConfig::new(Space::Ledger, store, ShardCount::DEFAULT);
    let journal = Arc::new(EmbeddedJournal::open(lock, &config, OpenFrom::Everything, &[]).unwrap());
    let views: Arc<dyn Views> = if options.views {
        let reader = Arc::new(Reader(Arc::clone(&journal)));
        match EmbeddedViews::open(&dir.join("views"), &ViewsConfig::of(store), reader).unwrap() {
            ViewsOpening::Ready(views) | ViewsOpening::Rebuild { views, .. } => Arc::new(views),
        }
    } else {
        Arc::new(NoViews)
    };
    let counted = Arc::new(Counted(Arc::clone(&journal), AtomicU64::new(0)));
    let node = Arc::new(Node::new(
        ShardCount::DEFAULT,
        LedgerConfig::default(),
        BusinessZone::new("Asia/Kolkata").unwrap(),
        Arc::new(Clock),
        Stores { journal: counted.clone(), views },
        Arc::new(LocalLink),
        Arc::new(Nobody),
        DeadLetterBox::default(),
    ));
    Actor::spawn(None, Shards, Arc::clone(&node)).await.unwrap();
    node.opening.subscribe().wait_for(|opening| opening.open == 256).await.unwrap();
    let ledger = Ledger::new(node);
    let parties: Arc<Vec<Party>> = Arc::new((0..options.accounts).map(party).collect());
    let begun = Instant::now();
    deposit(&ledger, &parties).await;
    println!("{} accounts opened in {:.1?}, rss {} MiB", options.accounts, begun.elapsed(), rss_mib());

    let done = Arc::new(AtomicU64::new(0));
    let busy = Arc::new(AtomicU64::new(0));
    let (logged, appended) = (journal.durable(), counted.1.load(Ordering::Relaxed));
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let until = begun + Duration::from_secs(options.seconds);
    let mut clients = Vec::new();
    for client in 0..options.clients {
        let (ledger, parties, options) = (ledger.clone(), Arc::clone(&parties), Arc::clone(&options));
        let (done, busy) = (Arc::clone(&done), Arc::clone(&busy));
        clients.push(tokio::spawn(async move {
            let mut tasks = Vec::new();
            for lane in 0..options.window as u64 {
                let (ledger, parties, options) = (ledger.clone(), Arc::clone(&parties), Arc::clone(&options));
                let (done, busy) = (Arc::clone(&done), Arc::clone(&busy));
                tasks.push(tokio::spawn(async move {
                    let mut random = Random((client * 1_000 + lane + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let mut latencies = Vec::new();
                    let mut count = 0_u64;
                    while Instant::now() < until {
                        let (payer, payee) = pick(&mut random, &options);
                        let (payer, payee) = (parties[payer as usize], parties[payee as usize]);
                        count += 1;
                        let key = format!("{client}-{lane}-{count}");
                        let request = Request::Transfer {
                            transfer: TransferId(derived(payer.account, payer.user.0, &key)),
                            payee,
                            amount: Minor::new(1 + i64::try_from(count % 100).unwrap()),
                            fingerprint: Some(Fingerprint([7; 16])),
                            note: None,
                        };
                        let sent = Instant::now();
                        if ledger.submit(payer.account, command(payer, request)).await.is_ok() {
                            done.fetch_add(1, Ordering::Relaxed);
                            if count.is_multiple_of(8) {
                                latencies.push(sent.elapsed().as_micros() as u32);
                            }
                        } else {
                            busy.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                    latencies
                }));
            }
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.extend(task.await.unwrap());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    let mut last = 0;
    for second in 1..=options.seconds {
        tokio::time::sleep_until((begun + Duration::from_secs(second)).into()).await;
        let now = done.load(Ordering::Relaxed);
        if second % 10 == 0 || options.seconds <= 10 {
            println!(
                "  {second:>3} s: {} transfers in the last, {} refused as busy, rss {} MiB",
                now - last,
                busy.load(Ordering::Relaxed),
                rss_mib()
            );
        }
        last = now;
    }
    for client in clients {
        latencies.extend(client.await.unwrap());
    }
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    latencies.sort_unstable();
    let percentile = |part: f64| {
        let place = ((latencies.len().max(1) - 1) as f64 * part) as usize;
        f64::from(latencies.get(place).copied().unwrap_or(0)) / 1_000.0
    };
    let done = done.load(Ordering::Relaxed);
    println!(
        "{:.0} transfers/s ({} in {elapsed:.1} s), p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, CPU {:.1} us a transfer ({:.0} %), {:.0} bytes of log and {:.2} records a transfer, {} busy, rss {} MiB",
        done as f64 / elapsed,
        done,
        percentile(0.5),
        percentile(0.99),
        percentile(1.0),
        cpu * 1e6 / done as f64,
        cpu / elapsed * 100.0,
        (journal.durable() - logged) as f64 / done as f64,
        (counted.1.load(Ordering::Relaxed) - appended) as f64 / done as f64,
        busy.load(Ordering::Relaxed),
        rss_mib(),
    );
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Arc::new(options())));
    std::process::exit(0);
}
